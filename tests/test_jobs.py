# SPDX-License-Identifier: Apache-2.0
"""Long work of the hub: jobs that are listed, cancelled and resumed; what is erased is gone and stays away."""
import contextlib
import datetime
import http.client
import json
import random
import shutil
import signal
import sqlite3
import time
import urllib.error
import urllib.request
import uuid

import pytest

import detector
from harness import FIXTURE, INGEST_KEY, LIMIT_S, READ_KEY, TENANT, Hub, PolicyClient, Proxy, request, wait_until
from webapi import Browser, call

CANARY = "canary-7731@example.com"
MANAGE_KEY = "ma_" + "M" * 43


def api(hub, method, path, body=None, key=MANAGE_KEY, fields=None):
    """(status, document) of one request."""
    call = urllib.request.Request(f"http://127.0.0.1:{hub.http_port}/api/v1{path}", method=method,
                                  data=None if body is None else json.dumps(body).encode(),
                                  headers={"Authorization": "Bearer " + key, "Content-Type": "application/json",
                                           **(fields or {})})
    try:
        with urllib.request.urlopen(call, timeout=30) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def job(hub, number):
    return json.loads(hub.cli("job", "show", str(number), "--json").stdout)


def jobs(hub, *args):
    return json.loads(hub.cli("job", "list", *args, "--json").stdout)["rows"]


def stored(hub):
    return json.loads(hub.cli("status", "--json").stdout)["loader"]["events"]


def send(proxy, count, prefix, **attributes):
    """Each seventh names the canary, each time at another place."""
    places = ["sender", "recipient", "sasl_username", "sasl_sender", "some_new_attribute"]
    canaries = 0
    with PolicyClient(proxy.port) as client:
        for i in range(count):
            fields = dict(attributes)
            if i % 7 == 0:
                fields[places[canaries % len(places)]] = CANARY.upper() if canaries % 2 else CANARY
                canaries += 1
            client.ask(request(instance=f"{prefix}.{i}", **fields))
    return canaries


def with_manage_key(fixture=FIXTURE):
    fixture = json.loads(json.dumps(fixture))
    fixture["tenants"][0]["apikeys"].append({"name": "managers", "key": MANAGE_KEY, "scopes": ["manage"]})
    fixture["tenants"].append({"name": "other", "apikeys": [
        {"name": "managers", "key": "ma_" + "O" * 43, "scopes": ["manage", "read"]}]})
    return fixture


@pytest.fixture
def null_hub(place, started):
    hub = started(Hub(place / "hub", {"store": "null", "journal_max": "16M"})).ready()
    hub.load(with_manage_key())
    return hub


def journal_holds(hub):
    return detector.where(hub.dir / "data" / "journal", CANARY)


def test_an_address_leaves_the_journal_while_mail_flows(place, started, null_hub):
    proxy = started(Proxy(place / "edge-1", null_hub)).ready()
    canaries = send(proxy, 700, "before")
    wait_until(lambda: stored(null_hub) == 700, "stored")
    assert journal_holds(null_hub), "the detector finds nothing where there is something"
    done = json.loads(null_hub.cli("erase", "--tenant", TENANT, "--address", CANARY, "--json").stdout)
    assert done["state"] == "done" and done["result"]["journal_events"] == canaries, done
    assert done["result"]["journal_lost"] == 0
    assert CANARY not in json.dumps(jobs(null_hub)), "the address is in the tombstone alone"
    assert journal_holds(null_hub) == []
    send(proxy, 70, "after")  # what comes later is kept
    wait_until(lambda: stored(null_hub) == 770, "stored")
    stones = json.loads(null_hub.cli("erase", "list", "--json").stdout)["rows"]
    assert [(row["tenant"], row["address"]) for row in stones] == [(TENANT, CANARY)]
    null_hub.cli("erase", "forget", str(stones[0]["id"]))
    assert null_hub.cli("erase", "list").stdout == "nothing was erased\n"


def test_a_tenant_leaves_with_what_it_sent(place, started, null_hub):
    proxy = started(Proxy(place / "edge-1", null_hub)).ready()
    send(proxy, 100, "before")
    wait_until(lambda: stored(null_hub) == 100, "stored")
    assert "erased by job" in null_hub.cli("tenant", "remove", TENANT, "--erase").stdout
    wait_until(lambda: jobs(null_hub)[0]["state"] == "done", "erased")
    assert jobs(null_hub)[0]["result"]["journal_events"] == 100
    assert journal_holds(null_hub) == []
    assert detector.where(null_hub.dir / "data" / "journal", "sender.example") == []
    stone = json.loads(null_hub.cli("erase", "list", "--json").stdout)["rows"][0]
    assert (stone["tenant"], stone["tenant_id"], stone["address"]) == (None, 1, None)


def test_a_killed_erasure_goes_on(place, started, null_hub):
    """kill -9 again and again in the middle: the job ends, nothing is left, everything else is there."""
    proxy = started(Proxy(place / "edge-1", null_hub)).ready()
    for round_ in range(3):
        send(proxy, 400, f"part{round_}")
    wait_until(lambda: stored(null_hub) == 1200, "stored")
    assert journal_holds(null_hub)
    null_hub.cli("erase", "--tenant", TENANT, "--address", CANARY, "--no-wait")
    for _ in range(3):
        null_hub.kill(signal.SIGKILL)
        null_hub.start()
        null_hub.ready()
    wait_until(lambda: jobs(null_hub)[0]["state"] == "done", "erased")
    assert journal_holds(null_hub) == []
    assert len(jobs(null_hub)) == 1
    send(proxy, 10, "after")
    wait_until(lambda: stored(null_hub) >= 10, "still receiving")


def test_jobs_wait_for_a_hub_and_are_cancelled(null_hub):
    null_hub.stop()
    done = null_hub.cli("erase", "--tenant", TENANT, "--address", "a@b.example")
    assert "until the hub runs" in done.stdout
    null_hub.cli("erase", "--tenant", TENANT, "--address", "c@b.example", "--no-wait")
    assert json.loads(null_hub.cli("job", "cancel", "2", "--json").stdout)["state"] == "cancelled"
    null_hub.start()
    null_hub.ready()
    assert json.loads(null_hub.cli("job", "wait", "1", "--json").stdout)["state"] == "done"
    done = null_hub.cli("job", "wait", "2", check=False)
    assert done.returncode == 75 and "was cancelled" in done.stderr
    done = null_hub.cli("job", "cancel", "2", check=False)
    assert done.returncode == 65 and "has ended" in done.stderr
    assert null_hub.cli("job", "show", "99", check=False).returncode == 66
    table = null_hub.cli("job", "list").stdout.splitlines()
    assert table[0].split()[:4] == ["id", "kind", "tenant", "state"] and len(table) == 3


def test_whose_jobs(null_hub):
    other = "ma_" + "O" * 43
    status, made = api(null_hub, "POST", "/jobs", {"kind": "erase", "address": "x@y.example"})
    assert status == 202 and made["tenant"] == TENANT and made["kind"] == "erase"
    assert api(null_hub, "GET", f"/jobs/{made['id']}")[0] == 200
    absent, foreign = (api(null_hub, "GET", f"/jobs/{number}", key=other) for number in (4711, made["id"]))
    assert absent[0] == foreign[0] == 404 and absent[1]["detail"] == foreign[1]["detail"]
    assert api(null_hub, "DELETE", f"/jobs/{made['id']}", key=other)[0] == 404
    assert api(null_hub, "GET", "/jobs", key=other)[1]["rows"] == []
    assert api(null_hub, "GET", "/tombstones", key=other)[1]["rows"] == []
    assert len(api(null_hub, "GET", "/tombstones")[1]["rows"]) == 1
    for body, status, says in [
        ({"kind": "erase"}, 403, "whole tenant"),
        ({"kind": "erase", "tenant": "other", "address": "x@y"}, 404, "no tenant"),
        ({"kind": "erase", "tenant_id": 1, "address": "x@y"}, 403, "operator"),
        ({"kind": "erase", "address": ""}, 400, "must be an address"),
        ({"kind": "erase", "address": "a\nb"}, 400, "control"),
        ({"kind": "nonsense"}, 400, "no kind"),
        ({}, 400, "kind"),
        ([], 400, "object"),
    ]:
        got, document = api(null_hub, "POST", "/jobs", body)
        assert got == status and says in document["detail"], (body, got, document)
    assert api(null_hub, "POST", "/jobs", {"kind": "erase", "address": "x@y"}, key=READ_KEY)[0] == 403
    assert api(null_hub, "DELETE", "/tombstones/1")[0] == 403


def test_a_job_that_is_asked_for_twice_is_one(null_hub):
    once = {"Idempotency-Key": str(uuid.uuid4())}
    body = {"kind": "erase", "address": "x@y.example"}
    status, made = api(null_hub, "POST", "/jobs", body, fields=once)
    wait_until(lambda: job(null_hub, made["id"])["state"] == "done", "erased")
    assert (status, api(null_hub, "POST", "/jobs", body, fields=once)) == (202, (202, made))
    assert len(jobs(null_hub)) == len(api(null_hub, "GET", "/tombstones")[1]["rows"]) == 1
    replayed = call(null_hub, "POST", "/api/v1/jobs", MANAGE_KEY, body, once)
    assert replayed.fields["location"] == f"/api/v1/jobs/{made['id']}" and replayed.fields["idempotency-replayed"] == "true"
    assert api(null_hub, "POST", "/jobs", {**body, "address": "z@y.example"}, fields=once)[0] == 422
    assert api(null_hub, "POST", "/jobs", body)[1]["id"] != made["id"]
    admin = Browser(null_hub)
    assert admin.login("admin", null_hub.cli("user", "reset").stdout.strip()).status == 201
    once, body = {"Idempotency-Key": str(uuid.uuid4())}, {"tenant": TENANT, "kind": "daily", "keep": "900d"}
    assert admin.call("POST", "/api/v1/retention", body, once).status == 201
    null_hub.cli("retention", "unset", "--tenant", TENANT, "--kind", "daily")
    replayed = admin.call("POST", "/api/v1/retention", body, once)
    assert replayed.status == 201 and replayed.fields["idempotency-replayed"] == "true"
    assert json.loads(null_hub.cli("retention", "list", "--json").stdout)["rows"] == []


def everything(hub):
    """Rows of the canary, asked for in each place where it counts."""
    found = 0
    for column in ("sender", "recipient", "sasl_username", "sasl_sender"):
        found += hub.total("requests", [f"{column}={CANARY},{CANARY.upper()}"])
    return found + hub.total("requests", ["extra~=" + CANARY]) + hub.total("requests", ["extra~=" + CANARY.upper()])


@pytest.fixture
def duck_hub(place, started):
    hub = started(Hub(place / "hub")).ready()
    hub.load(with_manage_key())
    return hub


def test_an_address_leaves_the_store_and_no_rebuild_brings_it_back(place, started, duck_hub):
    proxy = started(Proxy(place / "edge-1", duck_hub)).ready()
    canaries = send(proxy, 700, "before")
    wait_until(lambda: stored(duck_hub) == 700, "stored")
    assert everything(duck_hub) == canaries, "the detector misses some"
    duck_hub.kill(signal.SIGKILL)
    data = duck_hub.dir / "data"
    assert any(name.startswith("store/") for name in detector.where(data, CANARY)), "hidden by compression"
    duck_hub.start()
    duck_hub.ready()
    duck_hub.cli("erase", "--tenant", TENANT, "--address", CANARY, "--no-wait")
    duck_hub.kill(signal.SIGKILL)
    duck_hub.start()
    duck_hub.ready()
    wait_until(lambda: jobs(duck_hub)[-1]["state"] == "done", "erased")
    assert duck_hub.total("requests") == 700 - canaries and everything(duck_hub) == 0
    duck_hub.kill(signal.SIGKILL)
    assert [name for name in detector.where(data, CANARY) if not name.startswith("account.db")] == []
    shutil.rmtree(data / "store")
    duck_hub.start()
    duck_hub.ready()
    wait_until(lambda: duck_hub.total("requests") == 700 - canaries, "rebuilt from the journal")
    assert everything(duck_hub) == 0


def send_old(hub, count, days, stream="one"):
    """Lines of a program, of some days ago, of which each seventh names the canary; how many do."""
    time = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)).isoformat()
    lines = [json.dumps({"id": {"source": "shop", "stream": stream, "seq": seq}, "time": time, "protocol_state": "RCPT",
                         "sender": CANARY if seq % 7 == 0 else "a@shop.example", "recipient": "b@example.com",
                         "instance": f"{stream}.{seq}"}) for seq in range(1, count + 1)]
    client = http.client.HTTPConnection("127.0.0.1", hub.http_port, timeout=LIMIT_S)
    client.request("POST", "/api/v1/ingest", "\n".join(lines) + "\n",
                   {"Authorization": f"Bearer {INGEST_KEY}", "Content-Type": "application/x-ndjson"})
    reply = json.loads(client.getresponse().read())
    client.close()
    assert reply["accepted"] == count, reply
    return count // 7


def holders(hub, place, name):
    """The files with the canary in a copy of the hub's data, but for the tombstones'."""
    copy = place / name
    shutil.copytree(hub.dir / "data", copy, ignore=shutil.ignore_patterns("*.sock", "lock"))
    found = [path for path in detector.where(copy, CANARY) if not path.startswith("account.db")]
    shutil.rmtree(copy)
    return found


def fast(hub, days, *where):
    begin = (datetime.date.today() - datetime.timedelta(days=days)).isoformat()
    args = [word for one in where for word in ("--where", one)]
    return json.loads(hub.cli("query", "--tenant", TENANT, "--measure", "requests", "--from", begin, "--fast", *args, "--json").stdout)


def fast_total(hub, days, *where):
    return sum(row["requests"] for row in fast(hub, days, *where)["rows"])


def test_an_address_leaves_the_roll_ups_at_once(place, duck_hub):
    """The canary was rolled; once the job is done it is nowhere, and the hub was not started again for that."""
    canaries = send_old(duck_hub, 700, days=3)
    wait_until(lambda: stored(duck_hub) == 700, "stored")
    wait_until(lambda: any(path.startswith("store/rollups") for path in holders(duck_hub, place, "before")), "rolled", 2 * LIMIT_S)
    assert fast_total(duck_hub, 5) == 700 and fast_total(duck_hub, 5, "sender=" + CANARY) == canaries
    done = json.loads(duck_hub.cli("erase", "--tenant", TENANT, "--address", CANARY, "--json").stdout)
    assert done["state"] == "done", done
    assert holders(duck_hub, place, "after") == []
    assert fast_total(duck_hub, 5) == 700 - canaries and fast_total(duck_hub, 5, "sender=" + CANARY) == 0


def test_history_is_classified_anew(place, started, duck_hub):
    proxy = started(Proxy(place / "edge-1", duck_hub)).ready()
    send(proxy, 100, "before", recipient="u@new-domain.example")
    wait_until(lambda: stored(duck_hub) == 100, "stored")
    before = {row["direction"]: row["requests"] for row in duck_hub.query("requests", by=["direction"])}
    assert before.get("in", 0) < 20, before
    said = duck_hub.cli("domain", "add", "new-domain.example", "--tenant", TENANT)
    assert f"`mail-analytics reclassify --tenant {TENANT}`" in said.stderr and "reclassify" not in said.stdout
    duck_hub.cli("tenant", "add", "silent")
    for args in (["domain", "add", "silent.example", "--tenant", "silent"], ["domain", "remove", "silent.example", "--tenant", "silent"],
                 ["apikey", "add", "another", "--tenant", TENANT, "--scope", "read"]):
        assert "reclassify" not in duck_hub.cli(*args).stderr, args
    assert before == {row["direction"]: row["requests"] for row in duck_hub.query("requests", by=["direction"])}
    done = json.loads(duck_hub.cli("reclassify", "--tenant", TENANT, "--json").stdout)
    assert done["state"] == "done" and done["result"]["parts"] == 1, done
    after = {row["direction"]: row["requests"] for row in duck_hub.query("requests", by=["direction"])}
    assert after.get("in", 0) > 80 and sum(after.values()) == 100, after


def test_retention_really_removes(place, duck_hub):
    """Events go and their roll-ups stay; then those go, and lines of the audit: from answers, and from the files."""
    send_old(duck_hub, 70, days=40)
    send_old(duck_hub, 30, days=3, stream="later")
    wait_until(lambda: stored(duck_hub) == 100, "stored")
    wait_until(lambda: any(path.startswith("store/rollups") for path in holders(duck_hub, place, "before")), "rolled", 2 * LIMIT_S)
    wait_until(lambda: fast_total(duck_hub, 60) == 100, "all of it")
    exact = ["query", "--tenant", TENANT, "--measure", "requests", "--from", "1970-01-02", "--json"]
    duck_hub.stop()
    with contextlib.closing(sqlite3.connect(duck_hub.dir / "data" / "account.db")) as account, account:
        account.execute("INSERT INTO audit (at_us, tenant, actor, action, detail) SELECT at_us - 40 * 86400000000, 1, actor, action, "
                        "'an old-line-4711' FROM audit LIMIT 1")
    duck_hub.start()
    duck_hub.ready()
    assert detector.where(duck_hub.dir / "data", "old-line-4711")

    seen = set()

    def keep(*kinds):
        """What went, whether by `apply` or by the hub's own daily job, which may be first."""
        for kind in kinds:
            duck_hub.cli("retention", "set", "--tenant", TENANT, "--kind", kind, "--keep", "20d")
        done = json.loads(duck_hub.cli("retention", "apply", "--json").stdout)
        assert done["state"] == "done", done
        new = [job for job in jobs(duck_hub) if job["kind"] == "retain" and job["id"] not in seen]
        seen.update(job["id"] for job in new)
        return {what: sum(job["result"][what] for job in new) for what in ("parts", "audit_lines")}

    def in_store(name):
        return [path for path in holders(duck_hub, place, name) if path.startswith("store/")]

    done = keep("events")
    assert done["parts"] == 1 and done["audit_lines"] == 0, done
    assert json.loads(duck_hub.cli(*exact).stdout)["rows"][0]["requests"] == 30
    assert fast_total(duck_hub, 60) == 100
    assert any(path.startswith("store/rollups") for path in in_store("events gone"))
    # What is of three days ago has the canary, too: it goes with an erasure, and with it all that is left of the name.
    duck_hub.cli("erase", "--tenant", TENANT, "--address", CANARY)
    assert in_store("erased") == []
    gone = 30 // 7
    wait_until(lambda: fast_total(duck_hub, 60) == 100 - gone, "sums of days whose events are gone stay")
    done = keep("hourly", "daily", "audit")
    assert done["parts"] == 0 and done["audit_lines"] == 1, done
    assert fast_total(duck_hub, 60) == 30 - gone
    assert json.loads(duck_hub.cli(*exact).stdout)["rows"][0]["requests"] == 30 - gone
    duck_hub.stop()
    assert detector.where(duck_hub.dir / "data", "old-line-4711") == []


def api_order(hub):
    admin = Browser(hub)
    assert admin.login("admin", hub.cli("user", "reset").stdout.strip()).status == 201
    assert admin.call("POST", "/api/v1/jobs", {"kind": "order"}).status == 202


def figures(hub):
    """What is stored, by everything that these jobs may change."""
    rows = hub.query("requests,messages,recipients,bytes", by=["direction", "sender"], limit=1000)
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def kill_within(hub, started_by, seed, moments=(0, 0.6)):
    """Kills the hub at moments after it began to work, again and again; then the job ends by itself."""
    chance = random.Random(seed)
    started_by()
    for _ in range(4):
        time.sleep(chance.uniform(*moments))  # the fault, not a wait: wherever the job is by then
        hub.kill(signal.SIGKILL)
        hub.start()
        hub.ready()
    wait_until(lambda: jobs(hub)[0]["state"] not in ("waiting", "running"), "the job ends", 2 * LIMIT_S)
    assert jobs(hub)[0]["state"] == "done", jobs(hub)[0]


@pytest.mark.parametrize("kind", ["reclassify", "retain", "erase", "order", "roll"])
def test_a_job_killed_anywhere_ends_right(place, duck_hub, kind):
    """Nothing is lost, nothing is there twice; while roll-ups are made as well, whichever the kill hits."""
    send_old(duck_hub, 1400, days=40, stream="old")
    send_old(duck_hub, 1400, days=3, stream="new")
    wait_until(lambda: stored(duck_hub) == 2800, "stored")
    duck_hub.cli("reclassify", "--tenant", TENANT)  # that closes the part
    before = figures(duck_hub)
    expected = 2800
    if kind == "reclassify":
        duck_hub.cli("domain", "remove", "example.com", "--tenant", TENANT)
        kill_within(duck_hub, lambda: duck_hub.cli("reclassify", "--tenant", TENANT, "--no-wait"), 1)
        assert figures(duck_hub) != before
    elif kind == "roll":  # the roller looks five seconds after the store was opened
        kill_within(duck_hub, lambda: None, 5, (4.6, 5.6))
        wait_until(lambda: fast(duck_hub, 60)["mode"] == "fast", "rolled", 2 * LIMIT_S)
        assert figures(duck_hub) == before
    elif kind == "retain":
        wait_until(lambda: fast(duck_hub, 60)["mode"] == "fast", "rolled", 2 * LIMIT_S)
        duck_hub.cli("retention", "set", "--tenant", TENANT, "--kind", "events", "--keep", "20d")
        kill_within(duck_hub, lambda: duck_hub.cli("retention", "apply", "--no-wait"), 2)
        expected = 1400
    elif kind == "erase":
        kill_within(duck_hub, lambda: duck_hub.cli("erase", "--tenant", TENANT, "--address", CANARY, "--no-wait"), 3)
        expected = 2400
        assert holders(duck_hub, place, "after") == []
    else:
        with_more = send_old(duck_hub, 700, days=2, stream="more")
        wait_until(lambda: duck_hub.total("requests") == 3500, "stored")
        duck_hub.cli("backup", str(place / "backup"))  # that closes the part, and leaves it in the order of coming
        kill_within(duck_hub, lambda: api_order(duck_hub), 4)
        expected = 3500
        assert with_more == 100
    assert duck_hub.total("requests") == expected
    assert len(duck_hub.query("requests", by=["instance"], limit=10000)) == expected, "one is missing or there twice"
    wait_until(lambda: fast_total(duck_hub, 60) == (2800 if kind == "retain" else expected), "roll-ups say the same", 2 * LIMIT_S)


def test_what_is_too_old_goes(place, started, duck_hub):
    proxy = started(Proxy(place / "edge-1", duck_hub)).ready()
    send(proxy, 50, "now")
    wait_until(lambda: stored(duck_hub) == 50, "stored")
    duck_hub.cli("retention", "set", "--tenant", TENANT, "--kind", "events", "--keep", "30d")
    assert json.loads(duck_hub.cli("retention", "list", "--json").stdout)["rows"] == [
        {"tenant": TENANT, "kind": "events", "keep_seconds": 30 * 86400}]
    done = json.loads(duck_hub.cli("retention", "apply", "--json").stdout)
    assert done["state"] == "done" and done["result"]["parts"] == 0, done
    assert duck_hub.total("requests") == 50
    for args, says in [(["set", "--tenant", TENANT, "--kind", "events", "--keep", "1h"], "a day"),
                       (["set", "--tenant", TENANT, "--kind", "x", "--keep", "9d"], "kind"),
                       (["unset", "--tenant", TENANT, "--kind", "audit"], "no retention"),
                       (["set"], "help retention")]:
        assert says in duck_hub.cli("retention", *args, check=False).stderr
    duck_hub.cli("retention", "unset", "--tenant", TENANT, "--kind", "events")
