# SPDX-License-Identifier: Apache-2.0
"""mail-analytics as the operator types it: with a hub, without one, and wrong."""
import json
import os
import pathlib
import socket
import subprocess
import threading

import pytest

from harness import FIXTURE, Hub, program, wait_until, write_settings

EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_UNAVAILABLE, EX_CANTCREAT, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG = (
    64, 65, 66, 69, 73, 75, 77, 78)
VERBS = ["serve", "query", "tenant", "domain", "network", "apikey", "edge", "job", "erase", "retention", "reclassify", "backup", "restore", "load", "key", "status", "check", "help"]


class Offline:
    """The CLI with a data directory and no hub."""

    def __init__(self, place):
        self.place = pathlib.Path(place)
        self.data = self.place / "data"
        self.config = self.place / "hub.conf"
        write_settings(self.config, "mail-analytics", {"data": self.data})

    def cli(self, *args, stdin=None, check=True):
        done = subprocess.run([program("mail-analytics"), *args], input=stdin, capture_output=True, text=True, timeout=60,
                              env={**os.environ, "MAIL_ANALYTICS_CONFIG": str(self.config)})
        assert not check or done.returncode == 0, done
        return done

    def rows(self, noun, *args):
        return json.loads(self.cli(noun, "list", *args, "--json").stdout)["rows"]


@pytest.fixture
def offline(place):
    return Offline(place)


def test_a_change_of_rules_says_that_history_keeps_its_labels(offline):
    """Not where no hub has ever run; with older data and no hub to ask, always."""
    names = offline.place / "names"
    names.write_text("b.example\nc.example\n")
    fixture = offline.place / "fixture.json"
    fixture.write_text(json.dumps({"tenants": [{"name": "acme", "domains": ["d.example"]}]}))
    offline.cli("tenant", "add", "acme")
    commands = [["domain", "add", "a.example", "--tenant", "acme"], ["domain", "add", "z.example", "--tenant", "acme", "--json"],
                ["domain", "import", str(names), "--tenant", "acme"], ["domain", "remove", "a.example", "--tenant", "acme"],
                ["network", "add", "192.0.2.0/24", "--tenant", "acme"], ["network", "remove", "192.0.2.0/24", "--tenant", "acme"],
                ["load", str(fixture)]]
    hint = "what was heard before keeps its labels: `mail-analytics reclassify --tenant acme` re-labels it\n"
    assert hint not in offline.cli(*commands[0]).stderr
    offline.cli("domain", "remove", "a.example", "--tenant", "acme")
    (offline.data / "journal").mkdir()
    for args in commands:
        assert hint in offline.cli(*args).stderr, args
    assert hint not in offline.cli("load", str(fixture)).stderr  # nothing has changed
    assert hint not in offline.cli("domain", "list").stderr


def test_every_verb_has_help(offline):
    overview = offline.cli("--help").stdout
    for verb in VERBS:
        assert f"  {verb} " in overview
        for words in (["help", verb], [verb, "--help"]):
            text = offline.cli(*words).stdout
            assert text.startswith(f"mail-analytics {verb}: ") and "usage: " in text and "example" in text
    assert offline.cli("--version").stdout.startswith("mail-analytics ")


@pytest.mark.parametrize("args, status, says", [
    ([], EX_USAGE, "verb"),
    (["frobnicate"], EX_USAGE, "no verb 'frobnicate'"),
    (["query"], EX_USAGE, "--measure"),
    (["query", "--measure", "requests", "--frob", "1"], EX_USAGE, "--frob"),
    (["query", "--measure", "requests", "extra"], EX_USAGE, "extra"),
    (["query", "--measure", "requests", "--where", "nothing"], EX_USAGE, "column=value"),
    (["query", "--measure", "requests", "--where", "nocolumn=1"], EX_USAGE, "nocolumn"),
    (["query", "--measure", "requests", "--limit", "x"], EX_USAGE, "--limit"),
    (["query", "--measure", "requests"], EX_UNAVAILABLE, "mail-analytics serve"),
    (["status"], EX_UNAVAILABLE, "mail-analytics serve"),
    (["tenant"], EX_USAGE, "help tenant"),
    (["tenant", "frob"], EX_USAGE, "frob"),
    (["edge", "add", "x", "--tenant", "t"], EX_USAGE, "add"),
    (["edge", "remove", "x"], EX_USAGE, "--tenant"),
    (["network", "list", "192.0.2.0/24"], EX_USAGE, "no name"),
    (["tenant", "add"], EX_USAGE, "help tenant"),
    (["tenant", "add", "a b"], EX_DATAERR, "letters"),
    (["tenant", "add", "x", "--untrusted"], EX_USAGE, "--untrusted"),
    (["tenant", "remove", "nobody"], EX_NOINPUT, "nobody"),
    (["domain", "add", "a.example"], EX_USAGE, "--tenant"),
    (["domain", "add", "a.example", "--tenant", "nobody"], EX_NOINPUT, "nobody"),
    (["load"], EX_USAGE, "help load"),
    (["load", "/nowhere/f.json"], EX_NOINPUT, "/nowhere/f.json"),
    (["serve", "extra"], EX_USAGE, "extra"),
    (["serve", "-U", "mongodb://x"], EX_UNAVAILABLE, "mongodb"),
    (["-c", "stop"], EX_CONFIG, "pid_file"),
])
def test_mistakes_cost_one_clear_line(offline, args, status, says):
    done = offline.cli(*args, check=False)
    assert done.returncode == status, done
    lines = [line for line in done.stderr.splitlines() if ": warning: " not in line]
    assert len(lines) == 1 and says in lines[0], done


def test_accounts_without_a_hub(offline):
    offline.cli("tenant", "add", "acme")
    assert oct(os.stat(offline.data / "account.db").st_mode)[-3:] == "600"
    offline.cli("domain", "add", "Example.com", "--tenant", "acme", "--subdomains")
    offline.cli("domain", "add", "relay.example", "--tenant", "acme", "--relayed")
    offline.cli("network", "add", "192.0.2.0/24", "--tenant", "acme", "--comment", "office, 2nd floor")
    key = offline.cli("apikey", "add", "mx1", "--tenant", "acme", "--scope", "ingest,read", "--address",
                      "192.0.2.25").stdout.strip()
    assert len(key) == 46 and key.startswith("ma_")
    domains = {row["name"]: row for row in offline.rows("domain")}
    assert domains["example.com"] == {"tenant": "acme", "name": "example.com", "kind": "own", "subdomains": True}
    assert domains["relay.example"]["kind"] == "relayed"
    assert offline.rows("network") == [
        {"tenant": "acme", "prefix": "192.0.2.0/24", "trusted": True, "comment": "office, 2nd floor"}]
    row = offline.rows("apikey", "--tenant", "acme")[0]
    assert (row["scopes"], row["addresses"], row["revoked"]) == (["ingest", "read"], ["192.0.2.25/32"], None)
    done = offline.cli("apikey", "add", "mx1", "--tenant", "acme", "--scope", "read", check=False)
    assert done.returncode == EX_CANTCREAT and "mx1" in done.stderr
    table = offline.cli("domain", "list").stdout.splitlines()
    assert table[0].split() == ["tenant", "name", "kind", "subdomains"]
    assert table[1].index("example.com") == table[0].index("name")
    offline.cli("apikey", "remove", "mx1", "--tenant", "acme")
    assert offline.rows("apikey")[0]["revoked"] is not None
    offline.cli("network", "remove", "192.0.2.0/24", "--tenant", "acme")
    offline.cli("domain", "remove", "relay.example", "--tenant", "acme")
    offline.cli("tenant", "remove", "acme")
    assert offline.rows("tenant") == offline.rows("domain") == offline.rows("apikey") == []
    assert offline.cli("tenant", "list").stdout == "no tenants\n"


def test_import_is_atomic_and_names_the_line(offline):
    offline.cli("tenant", "import", "-", stdin="# customers\none\n\ntwo\n")
    assert [row["name"] for row in offline.rows("tenant")] == ["one", "two"]
    names = offline.place / "names"
    names.write_text("a.example\nb.example,relayed,subdomains\n\n*.c.example\nd.example\n")
    done = offline.cli("domain", "import", str(names), "--tenant", "one", check=False)
    assert done.returncode == EX_DATAERR and f"{names}:4: '*.c.example'" in done.stderr
    assert "nothing was changed" in done.stderr and offline.rows("domain") == []
    names.write_text("a.example\nb.example,relayed,subdomains\nd.example,neither\n")
    done = offline.cli("domain", "import", str(names), "--tenant", "one", check=False)
    assert done.returncode == EX_DATAERR and f"{names}:3: " in done.stderr and offline.rows("domain") == []
    names.write_text("a.example\r\nb.example,relayed,subdomains\r\n")
    assert offline.cli("domain", "import", str(names), "--tenant", "one").stdout == "added 2 domains\n"
    assert [(row["kind"], row["subdomains"]) for row in offline.rows("domain")] == [("own", False), ("relayed", True)]
    offline.cli("network", "import", "-", "--tenant", "two", stdin="192.0.2.0/24\n192.0.2.128/25,untrusted,a, hole\n")
    assert offline.rows("network")[1]["comment"] == "a, hole"
    keys = offline.cli("apikey", "import", "-", "--tenant", "two", stdin="mx1,ingest\nmx2,ingest+read,192.0.2.1\n").stdout
    assert [line.split()[0] for line in keys.splitlines()] == ["mx1", "mx2"]
    done = offline.cli("domain", "import", str(names), "--tenant", "one", check=False)
    assert done.returncode == EX_CANTCREAT and f"{names}:1: " in done.stderr


def test_a_large_import(offline):
    offline.cli("tenant", "add", "acme")
    text = "".join(f"customer-{i}.example\n" for i in range(20000))
    assert offline.cli("domain", "import", "-", "--tenant", "acme", stdin=text).stdout == "added 20000 domains\n"
    assert len(offline.rows("domain")) == 20000


def test_load_is_idempotent_and_whole(offline):
    path = offline.place / "fixture.json"
    path.write_text(json.dumps(FIXTURE))
    first = json.loads(offline.cli("load", str(path), "--json").stdout)
    assert (first["tenants"], first["apikeys"]) == (1, 2)
    again = json.loads(offline.cli("load", str(path), "--json").stdout)
    assert (again["tenants"], again["domains"], again["networks"], again["apikeys"]) == (0, 0, 0, 0)
    done = offline.cli("load", "-", stdin='{"tenants":[{"name":"new"},{"name":"x","domains":["no good"]}]}', check=False)
    assert done.returncode == EX_DATAERR and "$.tenants[1].domains[0]" in done.stderr
    assert len(offline.rows("tenant")) == 1


def test_the_key_is_made_once(offline):
    key = offline.cli("key").stdout.strip()
    assert len(key) == 40 and key == offline.cli("key").stdout.strip()
    assert json.loads(offline.cli("key", "--json").stdout) == {"server_key": key}
    assert oct(os.stat(offline.data / "wire.key").st_mode)[-3:] == "600"


def test_data_that_is_not_ours(place):
    case = Offline(place)
    case.data.mkdir()
    (case.data / "account.db").write_bytes(b"no database" * 1000)
    done = case.cli("tenant", "list", check=False)
    assert done.returncode == EX_DATAERR and "account.db" in done.stderr
    write_settings(case.config, "mail-analytics", {"data": "/nowhere/at/all"})
    done = case.cli("tenant", "list", check=False)
    assert done.returncode == EX_NOINPUT and "/nowhere/at/all" in done.stderr


def test_the_running_hub_answers(hub):
    status = json.loads(hub.cli("status", "--json").stdout)
    assert status["running"] and status["engine"] == "duckdb" and status["store"]["open"] == 1
    assert status["server_key"] == hub.server_key()
    assert "store.open" in hub.cli("status").stdout
    answer = json.loads(hub.cli("query", "--measure", "messages,requests", "--by", "sender_domain", "--where",
                                "direction=in", "--since", "24h", "--json").stdout)
    assert answer["rows"] == [] and answer["columns"] == ["sender_domain", "messages", "requests"]
    assert answer["truncated"] is False
    assert hub.cli("query", "--measure", "requests", "--by", "sender").stdout.startswith("no rows from ")
    assert json.loads(hub.cli("query", "--measure", "requests", "--json").stdout)["rows"] == [{"requests": 0}]
    days = json.loads(hub.cli("query", "--measure", "requests,requests.per_hour", "--interval", "day", "--from", "2026-03-28",
                              "--to", "2026-03-31", "--timezone", "Europe/Paris", "--fill", "--totals", "--where",
                              "!helo_name~=dsl || sender$=.example", "--json").stdout)
    assert [row["time"][:19] for row in days["rows"]] == ["2026-03-27T23:00:00", "2026-03-28T23:00:00",
                                                          "2026-03-29T22:00:00"]
    assert days["columns"] == ["time", "requests", "requests.per_hour"] and days["from"].startswith("2026-03-27T23")
    assert days["totals"] == {"requests": 0, "requests.per_hour": 0}
    top = json.loads(hub.cli("query", "--measure", "messages.share", "--by", "sender", "--top", "3", "--rest", "--json").stdout)
    assert top["rows"] == [] and top["columns"] == ["sender", "messages.share", "rest"] and "totals" not in top
    fast = json.loads(hub.cli("query", "--measure", "messages,clients", "--by", "direction", "--fast", "--json").stdout)
    assert fast["mode"] in ("fast", "exact") and fast["approximate"] == [] and top["mode"] == "exact"
    done = hub.cli("query", "--measure", "nothing", check=False)
    assert done.returncode == EX_DATAERR and "nothing" in done.stderr
    done = hub.cli("query", "--measure", "requests", "--tenant", "nobody", check=False)
    assert done.returncode == EX_NOINPUT and "nobody" in done.stderr
    steps = json.loads(hub.cli("check", "--json").stdout)
    assert steps["ok"] and {step["step"] for step in steps["steps"]} >= {"hub", "store", "journal", "API keys"}
    assert hub.metrics()["mail_analytics_store_open"] == 1
    assert hub.metrics()["mail_analytics_control_requests_total"] > 5


def test_the_store_is_looked_at(hub):
    found = json.loads(hub.cli("check", "--store", "--json").stdout)
    assert found["ok"] and all(row["good"] for row in found["rows"])
    assert "all are right" in hub.cli("check", "--store").stdout


def test_changes_through_the_hub(hub):
    hub.cli("domain", "add", "more.example", "--tenant", "acme")
    names = [row["name"] for row in json.loads(hub.cli("domain", "list", "--json").stdout)["rows"]]
    assert "more.example" in names
    assert json.loads(hub.cli("edge", "list", "--json").stdout)["rows"] == []


def test_the_control_socket_speaks_http(hub):
    sock = pathlib.Path(hub.settings["data"]) / "control.sock"
    assert oct(sock.stat().st_mode)[-3:] == "660"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(sock))
        client.sendall(b"GET /api/v1/tenants HTTP/1.1\r\nHost: localhost\r\n\r\n")
        reply = b""
        while part := client.recv(65536):
            reply += part
    head, body = reply.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200 ") and json.loads(body)["rows"][0]["name"] == "acme"


def test_many_ask_at_once(hub):
    results = []

    def ask():
        results.append(hub.cli("query", "--measure", "requests", "--json", check=False))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 12
    for done in results:  # two at a time are answered; the others may be told to come back
        assert done.returncode in (0, EX_TEMPFAIL), done
    assert any(done.returncode == 0 for done in results)


def test_a_second_hub_is_refused(hub, place):
    second = Hub(place / "second", {"data": hub.settings["data"]})
    second.start()
    assert second.process.wait(60) == EX_TEMPFAIL, second.log()
    hub.cli("status")


def test_a_busy_port_is_named(place, started):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for settings in ({"server_address": f"tcp://{address}"}, {"metrics": address}):
            hub = Hub(place / f"hub-{list(settings)[0]}", settings)
            hub.start()
            assert hub.process.wait(60) == EX_TEMPFAIL, hub.log()
            assert address in hub.log() or str(taken.getsockname()[1]) in hub.log()


def test_the_pid_file_of_the_hub_lies_in_its_runtime_directory(place, started):
    run = place / "run"
    run.mkdir(mode=0o700)
    hub = Hub(place / "hub")
    hub._env["RUNTIME_DIRECTORY"] = str(run)
    started(hub).ready()
    (pid_file,) = run.glob("mail-analytics-*.pid")
    assert int(pid_file.read_text()) == hub.pid
    hub.cli("-c", "stop", env={"RUNTIME_DIRECTORY": str(run)})
    assert hub.process.wait(60) == 0


def test_stop_start_and_pid_file(place, started):
    pid_file = place / "hub.pid"
    hub = started(Hub(place / "hub", {"pid_file": pid_file})).ready()
    assert int(pid_file.read_text()) == hub.pid
    assert hub.cli("-c", "reload").returncode == 0
    wait_until(lambda: "reloaded" in hub.log(), "reload")
    hub.cli("-c", "stop")
    assert hub.process.wait(60) == 0, hub.log()
    assert not (place / "hub/data/control.sock").exists()
    done = hub.cli("status", check=False)
    assert done.returncode == EX_UNAVAILABLE
    hub.start()
    hub.ready()


def test_kill_leaves_a_socket_that_the_next_start_replaces(place, started):
    hub = started(Hub(place / "hub")).ready()
    hub.kill()
    assert (place / "hub/data/control.sock").exists()
    assert hub.cli("tenant", "list").stdout == "no tenants\n"  # offline, although the socket's file is there
    hub.start()
    hub.ready()


def test_a_store_that_cannot_be_opened_stops_nothing_else(place, started):
    directory = place / "hub"
    (directory / "data").mkdir(parents=True)
    blocked = directory / "data/store"
    blocked.write_text("in the way of the store's directory")
    hub = started(Hub(directory)).ready()
    status = json.loads(hub.cli("status", "--json").stdout)
    assert status["store"]["open"] == 0 and status["store_error"]
    assert "store" in hub.log()
    done = hub.cli("query", "--measure", "requests", check=False)
    assert done.returncode == EX_UNAVAILABLE and "mail-analytics status" in done.stderr
    assert hub.cli("check", check=False).returncode != 0
    assert hub.metrics()["mail_analytics_store_open"] == 0
    hub.cli("tenant", "add", "acme")
    blocked.unlink()
    wait_until(lambda: hub.metrics()["mail_analytics_store_open"] == 1, "store opened again")
    assert json.loads(hub.cli("query", "--measure", "requests", "--json").stdout)["rows"] == [{"requests": 0}]
    assert json.loads(hub.cli("status", "--json").stdout)["store_error"] is None
