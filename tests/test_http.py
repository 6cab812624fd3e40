# SPDX-License-Identifier: Apache-2.0
"""The HTTP API of a real hub: who may ask what, what is refused and how, and what hostile clients get."""
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import threading
import time

import pytest

from harness import FIXTURE, INGEST_KEY, LIMIT_S, READ_KEY, TENANT, Hub, metrics, wait_until
from webapi import Raw, call

MANAGE_KEY = "ma_" + "M" * 43
OTHER_KEY = "ma_" + "O" * 43
NEAR_KEY = "ma_" + "N" * 43
ALL_KEY = "ma_" + "A" * 43
KEYS = {"tenants": [
    {**FIXTURE["tenants"][0], "apikeys": FIXTURE["tenants"][0]["apikeys"] + [
        {"name": "managers", "key": MANAGE_KEY, "scopes": ["read", "manage"]},
        {"name": "elsewhere", "key": NEAR_KEY, "scopes": ["read"], "addresses": ["192.0.2.1"]}]},
    {"name": "other", "domains": ["example.net"], "apikeys": [
        {"name": "readers", "key": OTHER_KEY, "scopes": ["read", "manage"]}]}]}
QUESTION = {"measures": ["requests"], "since": "24h"}


@pytest.fixture
def hub(place, started):
    hub = started(Hub(place / "hub")).ready()
    hub.load(KEYS)
    return hub


def limited(place, started, **settings):
    """A hub with limits of its own."""
    return started(Hub(place / "hub", settings)).ready()


def test_a_key_asks_for_its_tenant(hub):
    reply = call(hub, "POST", "/api/v1/query", body=QUESTION)
    assert reply.status == 200 and reply.json()["rows"] == [{"requests": 0}]
    assert reply.fields["content-type"] == "application/json"
    assert reply.fields["cache-control"] == "no-store"
    assert reply.fields["x-content-type-options"] == "nosniff"
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", reply.fields["date"])
    assert [row["name"] for row in call(hub, "GET", "/api/v1/tenants").json()["rows"]] == [TENANT]
    assert call(hub, "GET", f"/api/v1/tenants/{TENANT}").status == 200


def test_an_ordinary_client_keeps_its_connection(hub):
    client = http.client.HTTPConnection("127.0.0.1", hub.http_port, timeout=60)
    before = metrics(hub.metrics_port)["mail_analytics_http_connections"]
    for _ in range(5):
        client.request("POST", "/api/v1/query", json.dumps(QUESTION),
                       {"Authorization": f"Bearer {READ_KEY}", "Content-Type": "application/json"})
        reply = client.getresponse()
        assert reply.status == 200 and json.load(reply)["rows"]
    after = metrics(hub.metrics_port)
    assert after["mail_analytics_http_connections"] == before + 1
    assert after["mail_analytics_http_requests_total"] >= 5
    client.close()


def test_scopes(hub):
    domain = {"name": "new.example"}
    assert call(hub, "POST", "/api/v1/domains", READ_KEY, domain).problem(403)["code"] == "denied"
    assert call(hub, "POST", "/api/v1/domains", MANAGE_KEY, domain).status == 201
    assert "new.example" in call(hub, "GET", "/api/v1/domains").body.decode()
    assert call(hub, "DELETE", "/api/v1/domains/new.example", MANAGE_KEY).status == 200
    call(hub, "POST", "/api/v1/query", INGEST_KEY, QUESTION).problem(403)
    call(hub, "GET", "/api/v1/status", MANAGE_KEY).problem(403)  # for the operator, at the control socket
    call(hub, "POST", "/api/v1/tenants", MANAGE_KEY, {"name": "mine"}).problem(403)


def test_no_tenant_claims_an_address(hub):
    """Whose Postfix an address is decides whose mail it is: that is the operator's to say."""
    hub.load({"tenants": [{"name": TENANT, "apikeys": [{"name": "all", "key": ALL_KEY, "scopes": ["ingest", "read", "manage"]}]}]})
    key = {"name": "theirs", "scopes": ["ingest"], "addresses": ["::/0"]}
    refused = call(hub, "POST", "/api/v1/apikeys", ALL_KEY, key).problem(403)
    assert "operator" in refused["detail"]
    assert call(hub, "POST", "/api/v1/apikeys", ALL_KEY, {"name": "mine", "scopes": ["ingest"]}).status == 201
    assert call(hub, "POST", "/api/v1/apikeys", ALL_KEY, {**key, "scopes": ["read"]}).status == 201


def test_without_a_good_key(hub):
    none = call(hub, "GET", "/api/v1/domains", key=None)
    assert none.problem(401) and none.fields["www-authenticate"] == 'Bearer realm="mail-analytics"'
    for key in ("ma_" + "X" * 43, "x", "ma_" + "X" * 4000, READ_KEY.lower(), READ_KEY[:-1]):
        wrong = call(hub, "GET", "/api/v1/domains", key=key)
        assert wrong.problem(401) and 'error="invalid_token"' in wrong.fields["www-authenticate"]
    call(hub, "GET", "/api/v1/domains", key=NEAR_KEY).problem(403)  # good, but not from here
    hub.cli("apikey", "remove", "readers", "--tenant", TENANT)
    call(hub, "GET", "/api/v1/domains").problem(401)


def test_a_body_is_not_awaited_without_a_key(hub):
    with Raw(hub, b"POST /api/v1/load HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                  b"Content-Length: 8000000\r\n\r\n") as raw:
        assert raw.reply().problem(401)
        assert raw.ended()


def test_tenants_never_see_each_other(hub):
    """A thing of another tenant and a thing that isn't there answer alike but for the id of the request."""
    def alike(method, path, body=None):
        replies = []
        for name in ("other", "no-such"):
            reply = call(hub, method, path.replace("NAME", name), MANAGE_KEY,
                         body and json.loads(json.dumps(body).replace("NAME", name)))
            text = reply.body.decode().replace(name, "NAME").replace(reply.fields["x-request-id"], "ID")
            replies.append((reply.status, text))
        assert replies[0] == replies[1], (method, path)
        return replies[0][0]

    listed = {}
    for noun in ("tenants", "domains", "networks", "apikeys", "edges"):
        path = f"/api/v1/{noun}"
        listed[noun] = call(hub, "GET", path, OTHER_KEY).body + call(hub, "GET", path, MANAGE_KEY).body
        mine, others = call(hub, "GET", path, MANAGE_KEY), call(hub, "GET", path, OTHER_KEY)
        assert mine.status == others.status == 200
        for row in mine.json()["rows"]:
            assert row.get("tenant", row.get("name")) == TENANT
        for row in others.json()["rows"]:
            assert row.get("tenant", row.get("name")) == "other"
        if noun != "tenants":
            assert alike("GET", path + "?tenant=NAME") == 404
    assert b"other" in listed["tenants"] and TENANT.encode() in listed["tenants"]
    assert alike("GET", "/api/v1/tenants/NAME") == 404
    assert alike("POST", "/api/v1/query?tenant=NAME", QUESTION) == 404
    for noun, body in (("domains", {"name": "x.example", "tenant": "NAME"}),
                       ("networks", {"prefix": "203.0.113.0/24", "tenant": "NAME"}),
                       ("apikeys", {"name": "k", "scopes": ["read"], "tenant": "NAME"})):
        assert alike("POST", f"/api/v1/{noun}", body) == 404
        assert alike("POST", f"/api/v1/{noun}?tenant=NAME", body) == 404
    for path in ("/api/v1/domains/example.net?tenant=NAME", "/api/v1/edges/x?tenant=NAME",
                 "/api/v1/apikeys/readers?tenant=NAME"):
        assert alike("DELETE", path) == 404
    assert call(hub, "GET", "/api/v1/domains", OTHER_KEY).json()["rows"][0]["name"] == "example.net"


def test_health_and_figures(hub):
    assert call(hub, "GET", "/healthz", key=None).json() == {"status": "ok"}
    assert call(hub, "GET", "/readyz", key=None).status == 200
    figures = call(hub, "GET", "/metrics", key=None)
    assert figures.fields["content-type"].startswith("text/plain; version=0.0.4")
    assert b"mail_analytics_http_requests_total " in figures.body
    call(hub, "GET", "/metrics", key=None, fields={"X-Forwarded-For": "203.0.113.1"}).problem(404)
    head = call(hub, "HEAD", "/healthz", key=None)
    assert head.status == 200 and head.fields["content-length"] == "15" and head.body == b""


def test_not_ready_without_a_store(place, started):
    data = place / "hub" / "data"
    data.mkdir(parents=True)
    (data / "store").write_text("in the way of the store's directory")
    hub = started(Hub(place / "hub"))
    wait_until(lambda: call(hub, "GET", "/healthz", key=None).status == 200, "the hub answers")
    assert call(hub, "GET", "/readyz", key=None).problem(503)["retryable"] is True


REFUSALS = [
    ("GET", "/nowhere", None, {}, 404),
    ("GET", "/api/v1/../v1/tenants", None, {}, 404),
    ("GET", "/api/v1/tenants/", None, {}, 404),
    ("PATCH", "/api/v1/tenants", None, {}, 405),
    ("OPTIONS", "/healthz", None, {}, 405),
    ("POST", "/api/v1/query", b"{", {}, 400),
    ("POST", "/api/v1/query", b"[" * 5000, {}, 400),
    ("POST", "/api/v1/domains", b"\xff\xfe", {}, 403),
    ("POST", "/api/v1/query", b"{}", {"Content-Type": "text/plain"}, 415),
    ("POST", "/api/v1/query", b"{}", {"Content-Encoding": "gzip"}, 415),
    ("POST", "/api/v1/query", None, {"Content-Length": None}, 411),
    ("POST", "/api/v1/query", None, {"Content-Length": str(8 * 1024 * 1024 + 1)}, 413),
    ("GET", "/healthz", None, {"Content-Length": "5"}, 413),
    ("GET", "/" + "x" * 9000, None, {}, 414),
    ("GET", "/healthz", None, {"X": "y" * 17000}, 431),
    ("GET", "/healthz", None, {f"X{i}": "y" for i in range(101)}, 431),
    ("POST", "/api/v1/query", b"{}", {"Expect": "tea"}, 417),
    ("POST", "/api/v1/query", b"{}", {"Transfer-Encoding": "chunked"}, 400),
    ("LONGERTHANSIXTEEN", "/healthz", None, {}, 501),
]


@pytest.mark.parametrize("method,path,body,fields,status", REFUSALS)
def test_refusals(hub, method, path, body, fields, status):
    reply = call(hub, method, path, body=body, fields=fields)
    assert reply.problem(status)
    if status == 405:
        assert "GET, HEAD" in reply.fields["allow"]
    assert call(hub, "GET", "/healthz").status == 200


HEAD = b"Host: a\r\nAuthorization: Bearer " + READ_KEY.encode() + b"\r\nContent-Type: application/json\r\n"
SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
ODD = {
    "both framings": (b"POST /api/v1/query HTTP/1.1\r\n" + HEAD +
                      b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400),
    "two lengths": (b"POST /api/v1/query HTTP/1.1\r\n" + HEAD +
                    b"Content-Length: 0\r\nContent-Length: 36\r\n\r\n" + SMUGGLED, 400),
    "length with a plus": (b"POST /api/v1/query HTTP/1.1\r\n" + HEAD + b"Content-Length: +2\r\n\r\n{}" + SMUGGLED, 400),
    "chunked by another name": (b"POST /api/v1/query HTTP/1.1\r\n" + HEAD +
                                b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400),
    "identity, chunked": (b"POST /api/v1/query HTTP/1.1\r\n" + HEAD +
                          b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 501),
    "space before the colon": (b"POST /api/v1/query HTTP/1.1\r\n" + HEAD + b"Content-Length : 36\r\n\r\n" + SMUGGLED, 400),
    "bad chunk size": (b"POST /api/v1/query HTTP/1.1\r\n" + HEAD +
                       b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" + SMUGGLED, 400),
    "bad chunk end": (b"POST /api/v1/query HTTP/1.1\r\n" + HEAD +
                      b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n" + SMUGGLED, 400),
    "chunk of 16 digits": (b"POST /api/v1/query HTTP/1.1\r\n" + HEAD +
                           b"Transfer-Encoding: chunked\r\n\r\n0000000000000002\r\n{}\r\n0\r\n\r\n" + SMUGGLED, 400),
    "chunk beyond the limit": (b"POST /api/v1/query HTTP/1.1\r\n" + HEAD +
                               b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n" + b"x" * 9_000_000, 413),
    "bare LF": (b"GET /healthz HTTP/1.1\nHost: a\n\n", 400),
    "bare LF in the middle": (b"GET /healthz HTTP/1.1\r\nHost: a\nX: y\r\n\r\n" + SMUGGLED, 400),
    "bare CR": (b"GET /healthz HTTP/1.1\r\nHost: a\rX: y\r\n\r\n" + SMUGGLED, 400),
    "obs-fold": (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n" + SMUGGLED, 400),
    "NUL in a value": (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n" + SMUGGLED, 400),
    "NUL in the target": (b"GET /healthz\0 HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED, 400),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n" + SMUGGLED, 400),
    "two hosts": (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + SMUGGLED, 400),
    "authority form": (b"CONNECT localhost:80 HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED, 400),
    "HTTP/2 without asking": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n" + bytes(range(256)), 400),
    "10,000 fields": (b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10000 + b"\r\n" + SMUGGLED, 431),
    "a line without an end": (b"GET /" + b"x" * 100_000, 414),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_requests_end_their_connection(hub, name):
    """One refusal, and nothing of what follows is taken for a request."""
    data, status = ODD[name]
    with Raw(hub, data) as raw:
        reply = raw.reply()
        reply.problem(status)
        assert reply.fields["connection"] == "close"
        assert raw.ended()
    assert call(hub, "GET", "/healthz").status == 200


def test_absolute_form_and_old_clients(hub):
    with Raw(hub, b"GET http://localhost/healthz HTTP/1.1\r\nHost: a\r\n\r\n\r\n" + SMUGGLED) as raw:
        assert raw.reply().status == 200  # the empty line between them belongs to nothing
        assert raw.reply().status == 200
    with Raw(hub, b"GET /healthz HTTP/1.0\r\n\r\n") as raw:
        assert raw.reply().fields["connection"] == "close"
        assert raw.ended()
    with Raw(hub, b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") as raw:
        assert raw.reply().fields["connection"] == "keep-alive"
        raw.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert raw.reply().fields["connection"] == "close"
        assert raw.ended()


def post(text, *lines):
    return (b"POST /api/v1/query HTTP/1.1\r\n" + HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + text)


def chunked(text, size):
    parts = [text[at:at + size] for at in range(0, len(text), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\nX-Trailer: y\r\n\r\n"


def test_pipelined_requests_are_answered_in_order(hub):
    """Workers answer some of them and the loop the others; many more than fit into what is read ahead."""
    question = json.dumps(QUESTION).encode()
    one = (post(question, b"Content-Length: %d" % len(question)) + b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n" +
           post(chunked(question, 7), b"Transfer-Encoding: chunked") + SMUGGLED)
    rounds = 300
    with Raw(hub) as raw:
        sender = threading.Thread(target=raw.send, args=(one * rounds,))
        sender.start()
        ids = set()
        for i in range(rounds):
            replies = [raw.reply() for _ in range(4)]
            assert [reply.status for reply in replies] == [200, 404, 200, 200], i
            assert replies[0].json()["rows"] == replies[2].json()["rows"] == [{"requests": 0}]
            ids |= {reply.fields["x-request-id"] for reply in replies}
        sender.join()
        assert len(ids) == 4 * rounds


def test_a_request_in_any_pieces(hub):
    question = json.dumps(QUESTION).encode()
    for data in (post(chunked(question, 5), b"Transfer-Encoding: chunked"),
                 post(question, b"Content-Length: %d" % len(question))):
        with Raw(hub) as raw:
            raw.fd.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in data:
                raw.send(bytes([byte]))
            assert raw.reply().status == 200


def test_expect_continue(hub):
    question = json.dumps(QUESTION).encode()
    with Raw(hub, post(b"", b"Content-Length: %d" % len(question), b"Expect: 100-continue")) as raw:
        assert raw.reply().status == 100
        raw.send(question)
        assert raw.reply().status == 200
    with Raw(hub, post(b"", b"Content-Length: 99999999", b"Expect: 100-continue")) as raw:
        assert raw.reply().problem(413)


def test_large_bodies_arrive_whole(hub):
    domains = [{"name": f"d{i}.example"} for i in range(20000)]
    reply = call(hub, "POST", "/api/v1/domains", MANAGE_KEY, domains)
    assert reply.status == 201 and reply.json() == {"added": 20000}
    assert len(call(hub, "GET", "/api/v1/domains").json()["rows"]) > 20000


@pytest.mark.parametrize("stuck", [b"GET /healthz HTTP/1.1\r\nX: ", post(b"", b"Content-Length: 100000"),
                                   post(b"", b"Transfer-Encoding: chunked")])
def test_a_slow_client_is_let_go_while_others_are_served(place, started, stuck):
    """A byte at a time moves no deadline."""
    hub = limited(place, started, http_head_timeout="1s", http_body_timeout="1s")
    hub.load(KEYS)
    stop = threading.Event()

    def drip(raw):
        drop = b"x" if stuck.endswith(b": ") or b"Content-Length" in stuck else b"1\r\nx\r\n"
        with contextlib.suppress(OSError):
            while not stop.wait(0.05):
                raw.fd.sendall(drop)

    with Raw(hub, stuck) as raw:
        began = time.monotonic()
        dripping = threading.Thread(target=drip, args=(raw,))
        dripping.start()
        served = 0
        while time.monotonic() - began < 0.8:
            assert call(hub, "POST", "/api/v1/query", body=QUESTION).status == 200
            served += 1
        assert served > 3
        assert raw.reply().problem(408)
        assert time.monotonic() - began < 30
        assert raw.ended()
        stop.set()
        dripping.join()
    wait_until(lambda: metrics(hub.metrics_port)["mail_analytics_http_timeouts_total"] == 1, "it is counted")


def test_idle_connections_end(place, started):
    hub = limited(place, started, http_idle_timeout="500ms")
    with Raw(hub) as silent, Raw(hub, SMUGGLED) as raw, Raw(hub, SMUGGLED) as blank:
        assert raw.reply().status == 200 and blank.reply().status == 200
        assert silent.ended() and raw.ended()
        blank.send(b"\r\n" * 3)
        assert blank.ended()


def test_200_idle_connections_hinder_nobody(hub):
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(Raw(hub)) for _ in range(200)]
        wait_until(lambda: metrics(hub.metrics_port)["mail_analytics_http_connections"] == 200, "all are open")
        for _ in range(20):
            assert call(hub, "POST", "/api/v1/query", body=QUESTION).status == 200
        for raw in idle:
            raw.send(SMUGGLED)
        assert all(raw.reply().status == 200 for raw in idle)
    wait_until(lambda: metrics(hub.metrics_port)["mail_analytics_http_connections"] == 0, "all are gone")


def test_too_many_connections_are_turned_away(place, started):
    hub = limited(place, started, http_connections=6, http_connections_per_address=4)
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(Raw(hub, SMUGGLED)).reply()
        with Raw(hub) as raw:  # the fifth of this address
            reply = raw.reply()
            assert reply.problem(503) and reply.fields["retry-after"] == "1"
            assert raw.ended()
        for _ in range(2):
            stack.enter_context(Raw(hub, SMUGGLED, "127.0.0.2")).reply()
        with Raw(hub, address="127.0.0.3") as raw:  # the seventh in all
            assert raw.reply().problem(503)
        assert metrics(hub.metrics_port)["mail_analytics_http_turned_away_total"] == 2
    wait_until(lambda: metrics(hub.metrics_port)["mail_analytics_http_connections"] == 0, "all are gone")
    assert call(hub, "GET", "/healthz").status == 200


@contextlib.contextmanager
def writers_wait(hub):
    """While this lasts, whoever changes control data waits for its turn (five seconds at most)."""
    with contextlib.closing(sqlite3.connect(hub.dir / "data" / "account.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


def change(name):
    body = json.dumps({"name": name}).encode()
    return (b"POST /api/v1/domains HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + MANAGE_KEY.encode() +
            b"\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def test_busy_workers_and_clients_that_leave(hub):
    """All workers are taken: the loop still tells how it is, others wait for their turn, and who leaves is counted."""
    with contextlib.ExitStack() as stack:
        with writers_wait(hub):
            raws = [stack.enter_context(Raw(hub, change(f"d{i}.example"))) for i in range(8)]
            assert call(hub, "GET", "/healthz").status == 200
            wait_until(lambda: metrics(hub.metrics_port)["mail_analytics_http_connections"] == 8, "all are there")
            raws.pop(0).fd.close()
            raws.pop().fd.close()
            wait_until(lambda: metrics(hub.metrics_port)["mail_analytics_http_abandoned_total"] == 2, "two left")
        assert [raw.reply().status for raw in raws] == [201] * 6
    names = {row["name"] for row in call(hub, "GET", "/api/v1/domains").json()["rows"]}
    assert {f"d{i}.example" for i in range(1, 7)} < names
    assert "d7.example" not in names  # it had not begun


def test_one_key_leaves_workers_for_others(hub):
    """Whoever asks too much at once waits behind itself, and beyond a bound is refused; others don't notice."""
    with contextlib.ExitStack() as stack:
        with writers_wait(hub):
            raws = [stack.enter_context(Raw(hub, change(f"d{i}.example"))) for i in range(70)]
            refused = raws[-1].reply()
            assert refused.problem(429) and refused.fields["retry-after"] == "1"
            began = time.monotonic()
            assert call(hub, "GET", "/api/v1/domains", key=OTHER_KEY).status == 200
            assert time.monotonic() - began < 3  # the others wait for five seconds
        statuses = [raw.reply().status for raw in raws[:-1]]
    assert set(statuses) <= {201, 429} and statuses.count(201) >= 60


def test_sigterm_lets_a_change_be_made(hub):
    with Raw(hub) as idle, Raw(hub) as raw:
        with writers_wait(hub):
            raw.send(change("late.example"))
            wait_until(lambda: metrics(hub.metrics_port)["mail_analytics_http_connections"] == 2, "both are there")
            assert call(hub, "GET", "/healthz").status == 200
            hub.process.send_signal(signal.SIGTERM)
            assert idle.ended()
            with pytest.raises(ConnectionRefusedError):
                Raw(hub)
        reply = raw.reply()
        assert (reply.status, reply.fields["connection"]) == (201, "close")
        assert raw.ended()
    assert hub.process.wait(LIMIT_S) == 0, hub.log()


def test_only_loopback(place, started):
    hub = started(Hub(place / "hub", {"http": "0.0.0.0:0"}))
    wait_until(lambda: not hub.alive(), "it doesn't start")
    assert hub.process.wait() == os.EX_CONFIG
    assert "beyond loopback" in hub.log()


def test_a_unix_socket_and_none(place, started):
    path = place / "http.sock"
    hub = started(Hub(place / "hub", {"http": f"unix:{path}"})).ready()
    hub.load(KEYS)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as fd:
        fd.settimeout(60)
        fd.connect(str(path))
        fd.sendall(b"GET /api/v1/domains HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"\r\n")
        text = b""
        while part := fd.recv(65536):
            text += part
    assert text.startswith(b"HTTP/1.1 200 OK\r\n")
    hub.stop()
    assert not path.exists()


def flood(hub, stop, seen):
    """Requests on one connection until it ends; statuses into seen."""
    try:
        with Raw(hub) as raw:
            while not stop.is_set():
                raw.send(post(b'{"measures":["requests"]}', b"Content-Length: 25"))
                reply = raw.reply()
                seen.append(reply.status)
                if reply.fields.get("connection") == "close":
                    assert raw.ended()
                    return
    except (EOFError, ConnectionError) as error:
        seen.append(error)


def test_sigterm_answers_what_is_in_flight(hub):
    """Each of them hears an answer, or its connection ends between two requests; and the hub ends well."""
    stop, seen = threading.Event(), [[] for _ in range(8)]
    threads = [threading.Thread(target=flood, args=(hub, stop, one)) for one in seen]
    for thread in threads:
        thread.start()
    wait_until(lambda: all(len(one) > 3 for one in seen), "all are being answered")
    hub.process.send_signal(signal.SIGTERM)
    assert hub.process.wait(LIMIT_S) == 0, hub.log()
    stop.set()
    for thread in threads:
        thread.join()
    for one in seen:
        assert {status for status in one if isinstance(status, int)} <= {200, 429, 503}
        for error in one:
            assert isinstance(error, (int, ConnectionError)) or error.args == (b"",), error
