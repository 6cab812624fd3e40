# SPDX-License-Identifier: Apache-2.0
"""People log in over HTTP: the first administrator, passwords, sessions, what another site's page can't do, and how
guessing is slowed down."""
import os
import re
import statistics
import threading
import time

import pytest

from harness import FIXTURE, READ_KEY, TENANT, Hub, metrics
from webapi import Browser, call

MADE = re.compile(r"administrator 'admin' is made, with the password (\S+)\n")


@pytest.fixture
def hub(place, started):
    hub = started(Hub(place / "hub")).ready()
    hub.load({"tenants": FIXTURE["tenants"] + [{"name": "other", "domains": ["example.net"]}]})
    return hub


def first_password(hub):
    return MADE.search(hub.log()).group(1)


def logged_in(hub):
    browser = Browser(hub)
    assert browser.login("admin", first_password(hub)).status == 201
    return browser


def test_the_first_start_makes_an_administrator(hub):
    password = first_password(hub)
    hub.stop()
    hub.start().ready()
    assert len(MADE.findall(hub.log())) == 1  # shown once
    assert Browser(hub).login("admin", password).status == 201
    for path in hub.dir.rglob("*"):
        if path.is_file() and path != hub.log_path:
            assert password.encode() not in path.read_bytes(), path


def test_what_the_supervisor_keeps_has_no_password(place, started):
    """As systemd starts it: standard error is the journal, and $JOURNAL_STREAM says so."""
    log = place / "journal"
    log.touch()
    kept = os.stat(log)
    hub = Hub(place / "hub")
    hub._env["JOURNAL_STREAM"] = f"{kept.st_dev}:{kept.st_ino}"
    hub.log_path = log
    started(hub).ready()
    assert "administrator 'admin' is made: `mail-analytics user reset admin`" in hub.log()
    assert MADE.search(hub.log()) is None
    assert Browser(hub).login("admin", hub.cli("user", "reset").stdout.strip()).status == 201


def test_a_person_sees_all_tenants_and_narrows(hub):
    browser = logged_in(hub)
    assert [row["name"] for row in browser.call("GET", "/api/v1/tenants").json()["rows"]] == [TENANT, "other"]
    assert [row["name"] for row in browser.call("GET", "/api/v1/domains?tenant=other").json()["rows"]] == ["example.net"]
    question = {"measures": ["requests"], "since": "24h"}
    assert browser.call("POST", "/api/v1/query", question).status == 200
    assert browser.call("POST", "/api/v1/query?tenant=other", question).status == 200
    assert browser.call("POST", "/api/v1/tenants", {"name": "new"}).status == 201
    assert browser.call("GET", "/api/v1/status").json()["running"] is True
    assert browser.call("GET", "/api/v1/users").problem(403)  # the command line's


def test_the_cookie(hub):
    browser = Browser(hub)
    reply = browser.login("admin", first_password(hub))
    cookie = reply.fields["set-cookie"]
    assert re.fullmatch(r"session=[\w-]{43}; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax", cookie)
    by_proxy = call(hub, "POST", "/api/v1/session", None, {"name": "admin", "password": first_password(hub)},
                    {"X-Forwarded-Proto": "https"})
    cookie = by_proxy.fields["set-cookie"]
    assert re.fullmatch(r"__Host-session=[\w-]{43}; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure", cookie)
    fields = {"Cookie": cookie.split(";")[0]}
    assert call(hub, "GET", "/api/v1/session", None, fields=fields).problem(401)  # not by plain HTTP
    assert call(hub, "GET", "/api/v1/session", None, fields=fields | {"X-Forwarded-Proto": "https"}).status == 200
    database = (hub.dir / "data" / "account.db").read_bytes() + (hub.dir / "data" / "account.db-wal").read_bytes()
    assert browser.cookie.split("=")[1].encode() not in database


def test_a_session_tells_about_itself_and_ends(hub):
    browser, other = logged_in(hub), logged_in(hub)
    own = browser.call("GET", "/api/v1/session").json()
    assert (own["user"], own["address"], own["csrf_token"]) == ("admin", "127.0.0.1", browser.csrf)
    rows = browser.call("GET", "/api/v1/sessions").json()["rows"]
    assert [row["current"] for row in rows] == [False, True] and rows[1]["id"] == own["id"]
    assert browser.call("DELETE", f"/api/v1/sessions/{rows[0]['id']}").status == 200
    other.call("GET", "/api/v1/session").problem(401)
    browser.call("DELETE", f"/api/v1/sessions/{rows[0]['id']}").problem(404)
    stale = browser.cookie
    ended = browser.call("DELETE", "/api/v1/session")
    assert ended.status == 200 and "Max-Age=0" in ended.fields["set-cookie"]
    browser.cookie = stale
    browser.call("GET", "/api/v1/session").problem(401)
    browser, other = logged_in(hub), logged_in(hub)
    assert browser.call("DELETE", "/api/v1/sessions").status == 200
    other.call("GET", "/api/v1/session").problem(401)
    call(hub, "GET", "/api/v1/session").problem(403)  # an API key isn't a person
    call(hub, "GET", "/api/v1/session", None).problem(401)


def test_passwords_change_and_end_sessions(hub):
    browser, other = logged_in(hub), logged_in(hub)
    change = {"current": first_password(hub), "password": "a quite new password"}
    browser.call("POST", "/api/v1/session/password", {**change, "current": "not this one"}).problem(403)
    browser.call("POST", "/api/v1/session/password", {**change, "password": "short"}).problem(400)
    assert browser.call("POST", "/api/v1/session/password", change).status == 200
    other.call("GET", "/api/v1/session").problem(401)
    Browser(hub).login("admin", change["current"]).problem(401)
    assert other.login("admin", change["password"]).status == 201
    fresh = hub.cli("user", "reset", "admin").stdout.strip()
    other.call("GET", "/api/v1/session").problem(401)
    Browser(hub).login("admin", change["password"]).problem(401)
    assert Browser(hub).login("ADMIN", fresh).status == 201


def test_the_command_line_keeps_people(hub):
    password = hub.cli("user", "add", "alice").stdout.strip()
    assert Browser(hub).login("alice", password).status == 201
    assert "alice" in hub.cli("user", "list").stdout
    assert "exists already" in hub.cli("user", "add", "Alice", check=False).stderr
    assert hub.cli("user", "remove", "admin").returncode == 0
    assert "last user" in hub.cli("user", "remove", "alice", check=False).stderr
    assert "no user 'admin'" in hub.cli("user", "reset", check=False).stderr
    hub.stop()
    assert hub.cli("user", "reset", "alice").stdout.strip() != password  # without a hub as well


FORGERIES = {
    "no second token": {"X-CSRF-Token": None},
    "a wrong second token": {"X-CSRF-Token": "A" * 43},
    "another site's page": {"Sec-Fetch-Site": "cross-site"},
    "a sibling site's page": {"Sec-Fetch-Site": "same-site"},
    "another origin": {"Origin": "http://evil.example"},
    "no origin at all": {"Origin": "null"},
}


@pytest.mark.parametrize("name", FORGERIES)
def test_other_pages_change_nothing(hub, name):
    browser = logged_in(hub)
    for method, path, body in (("POST", "/api/v1/domains?tenant=other", {"name": "evil.example"}),
                               ("DELETE", "/api/v1/tenants/other", None), ("DELETE", "/api/v1/session", None)):
        browser.call(method, path, body, FORGERIES[name]).problem(403)
    if "X-CSRF-Token" not in FORGERIES[name]:  # nor do they log somebody in
        call(hub, "POST", "/api/v1/session", None, {"name": "admin", "password": first_password(hub)},
             FORGERIES[name]).problem(403)
    assert browser.call("GET", "/api/v1/domains?tenant=other").json()["rows"][0]["name"] == "example.net"


def test_a_form_of_another_site_is_no_login(hub):
    call(hub, "POST", "/api/v1/session", None, b"name=admin&password=x",
         {"Content-Type": "application/x-www-form-urlencoded"}).problem(415)


def without_id(reply):
    return re.sub(rb'"request_id":"\w+"', b"", reply.body)


def test_an_unknown_name_and_a_wrong_password_answer_alike(hub):
    """Byte for byte, and after the same time."""
    took = {"admin": [], "nobody": []}
    replies = set()
    for turn in range(8):
        for name, times in took.items():
            began = time.perf_counter()  # from an address of its own, and with a name's fourth try never reached
            reply = call(hub, "POST", "/api/v1/session", None, {"name": name, "password": f"wrong password {turn}"},
                         address=f"127.1.{turn}.1")
            times.append(time.perf_counter() - began)
            if reply.status == 401:
                replies.add(without_id(reply))
    assert len(replies) == 1
    tried = [times[:3] for times in took.values()]
    assert 0.5 < statistics.median(tried[0]) / statistics.median(tried[1]) < 2


def test_guessing_is_slowed_down(hub):
    for turn in range(3):
        Browser(hub, f"127.2.0.{turn}").login("admin", "not the password").problem(401)
    Browser(hub, "127.2.0.4").login("admin", "not the password").problem(401)
    reply = Browser(hub, "127.2.0.5").login("admin", first_password(hub))  # even the right one waits now
    assert reply.problem(429)["retryable"] is True
    assert 1 <= int(reply.fields["retry-after"]) <= 2
    unknown = [Browser(hub, f"127.2.1.{turn}").login("nobody", "not the password") for turn in range(5)]
    assert [reply.status for reply in unknown] == [401] * 4 + [429]  # as for a name that there is
    assert re.sub(rb"\d+ s", b"", without_id(unknown[4])) == re.sub(rb"\d+ s", b"", without_id(reply))


def test_logins_hold_no_question(hub):
    """Passwords are checked by two at a time, and all workers that questions have stay theirs."""
    stop, seen = threading.Event(), []

    def knock(number):
        while not stop.is_set():
            seen.append(Browser(hub, f"127.3.{number}.{len(seen) % 200 + 1}").login(f"user-{number}-{len(seen)}", "not the password").status)

    threads = [threading.Thread(target=knock, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert call(hub, "POST", "/api/v1/query", READ_KEY, {"measures": ["requests"], "since": "24h"}).status == 200
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(seen) <= {401, 429, 503} and 401 in seen
    assert metrics(hub.metrics_port)["mail_analytics_http_requests_total"] > len(seen)
