# SPDX-License-Identifier: Apache-2.0
"""The promises of the design, each on the real programs: mail is never blocked, nothing answered is lost, each event is
stored once, what is missing is visible, tenants don't see each other, bad input costs a counter."""
import datetime
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import (
    DUNNO, FIXTURE, INGEST_KEY, LIMIT_S, READ_KEY, TENANT, Hub, Load, PolicyClient, Proxy, assert_exactly_once,
    metrics, mounted, program, quantile, request, wait_until,
)
from relay import Relay
from watchdog import Supervised

TORTURE_S = float(os.environ.get("TORTURE_SECONDS", "600"))


def assert_answers_in_time(load, record_property, limit_s=0.050):
    """The proxy's promise is 50 ms. A busy machine may hold the client or the proxy itself a little longer now and then:
    the 99th of 100 has to keep it, and none may wait for what the disk does (seconds)."""
    worst, p99 = max(load.seconds), quantile(load.seconds, 0.99)
    record_property("answers", len(load.seconds))
    record_property("answer_p99_ms", round(p99 * 1000, 2))
    record_property("answer_max_ms", round(worst * 1000, 2))
    print(f"{len(load.seconds)} answers, p99 {p99 * 1000:.1f} ms, max {worst * 1000:.1f} ms")
    assert not load.broken, f"{len(load.broken)} requests without an answer"
    assert p99 < limit_s + 0.010
    assert worst < 1.0


# --- nothing answered is lost, each event is stored once


def kill_loop(hub, proxy, started, seconds, rng, prefix):
    """Random kills of either program under load, then everything has to be there once."""
    load = Load(proxy.port, connections=4, prefix=prefix, pause_s=0.002).start()
    end, kills = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        before = len(load.answered)
        wait_until(lambda before=before: len(load.answered) > before + rng.randrange(1, 300), "answers flow")
        victim = rng.choice([hub, proxy])
        victim.kill()
        kills += 1
        if rng.random() < 0.5:  # the other one works alone for a while
            rest = rng.randrange(1, 100)
            before = len(load.answered)
            if victim is hub:
                wait_until(lambda b=before, r=rest: len(load.answered) > b + r, "answers without a hub")
        victim.start()
        if rng.random() < 0.3:  # die again, wherever the start has come to
            threading.Event().wait(rng.random() * 0.5)
            victim.kill()
            victim.start()
            kills += 1
    load.stop()
    hub.ready()
    proxy.ready()
    print(f"{kills} kills, {len(load.answered)} answered, {len(load.broken)} broken")
    assert kills > 1 and len(load.answered) > 100
    assert_exactly_once(hub, load, LIMIT_S * 2)


def test_random_kills_lose_and_double_nothing(hub, proxy, started):
    kill_loop(hub, proxy, started, 15, random.Random(4), "kill")


@pytest.mark.torture
def test_random_kills_for_long(hub, proxy, started):
    """In rounds, each short enough to be compared event by event."""
    end, rounds = time.monotonic() + TORTURE_S, 0
    while time.monotonic() < end:
        rounds += 1
        seed = random.randrange(1 << 32)
        print(f"round {rounds}, seed {seed}")
        kill_loop(hub, proxy, started, min(60, TORTURE_S), random.Random(seed), f"round{rounds}")


def test_hub_away_for_a_while(hub, proxy, record_property):
    hub.stop()
    load = Load(proxy.port, prefix="away", limit=500).start()
    wait_until(lambda: len(load.answered) + len(load.broken) == 2000, "2,000 answers without a hub")
    load.stop()
    assert_answers_in_time(load, record_property)
    wait_until(lambda: proxy.metrics()["policy_proxy_spool_records"] == 2000, "the spool's depth is shown")
    hub.start()
    hub.ready()
    assert_exactly_once(hub, load)
    wait_until(lambda: proxy.metrics()["policy_proxy_spool_records"] == 0, "the spool is empty again")


def test_store_broken_for_a_while(place, started):
    """A store that can't write stops the loader, never the receiving: edges get their acks."""
    with mounted("tmpfs", place / "hub/data/store", "-o", "size=6m", "tmpfs") as store:
        hub = started(Hub(place / "hub")).ready()
        hub.load(FIXTURE)
        proxy = started(Proxy(place / "edge-1", hub)).ready()
        first = Load(proxy.port, prefix="before", limit=50).start()
        wait_until(lambda: len(first.answered) == 200, "answers")
        assert_exactly_once(hub, first.stop())
        filler = store / "filler"
        with open(filler, "wb") as file:
            try:
                while True:
                    file.write(bytes(65536))
                    file.flush()
            except OSError:
                pass
        second = Load(proxy.port, prefix="during", limit=2500).start()
        wait_until(lambda: len(second.answered) == 10000, "answers while the store is full", LIMIT_S * 2)
        second.stop()
        wait_until(
            lambda: proxy.metrics()["policy_proxy_spool_records"] == 0, "the hub acked what its store can't take"
        )
        assert hub.alive()
        wait_until(lambda: hub.metrics()["mail_analytics_loader_stalled"] == 1, "the stalled loader is shown")
        subprocess.run(["mount", "-o", "remount,size=256m", str(store)], check=True)
        filler.unlink()
        assert_exactly_once(hub, second)
        wait_until(lambda: hub.metrics()["mail_analytics_loader_stalled"] == 0, "the loader goes on")
        hub.stop()


# --- mail is never blocked


def answers_with_bad_disk(proxy, record_property, count=400, prefix="disk"):
    load = Load(proxy.port, connections=3, prefix=prefix, pause_s=0.002, limit=count).start()
    wait_until(lambda: len(load.answered) + len(load.broken) >= 3 * count, "answers in spite of the disk", LIMIT_S * 2)
    load.stop()
    assert_answers_in_time(load, record_property)
    return load


def test_full_tiny_spool(place, started, record_property):
    """The disk is full at once: answers go on, the oldest records go, and each that goes is counted."""
    with mounted("tmpfs", place / "edge-1/spool", "-o", "size=2m", "tmpfs"):
        proxy = started(Proxy(place / "edge-1", settings={"spool_max": "64M", "ring": "256k"})).ready()
        answered = 0
        for i in range(3):
            answered += len(answers_with_bad_disk(proxy, record_property, 1500, f"full{i}").answered)
        names = ("spool_dropped_total", "spool_records", "spool_unwritten", "spool_lost_ring_full_total")

        def counted():
            found = metrics(proxy.metrics_port)
            return [int(found["policy_proxy_" + name]) for name in names]

        try:
            wait_until(lambda: sum(counted()) == answered, "each answered request is kept, or counted as gone", pause_s=0.2)
        except AssertionError as error:
            raise AssertionError(f"{answered} answered, but {dict(zip(names, counted()))}") from error
        dropped, kept, _, lost = counted()
        print(f"{answered} answered, {kept} kept, {dropped} dropped, {lost} found the ring full")
        assert dropped + lost > 0 and kept > 0
        proxy.stop()


def test_spool_without_inodes(place, started, record_property):
    with mounted("tmpfs", place / "edge-1/spool", "-o", "size=64m,nr_inodes=12", "tmpfs") as spool:
        proxy = started(Proxy(place / "edge-1", settings={"spool_max": "8M"})).ready()
        for i in range(12):
            try:
                (spool / f"filler-{i}").touch()
            except OSError:
                break
        answers_with_bad_disk(proxy, record_property, 2500)
        assert proxy.alive()
        proxy.stop()


@pytest.fixture
def frozen_disk(place):
    """A disk that can be made to hang: an ext4 of its own, frozen. Gives (where it is mounted, freeze, thaw)."""
    image, at = place / "disk.img", place / "disk"
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    state = {"frozen": False}

    def freeze():
        subprocess.run(["fsfreeze", "-f", at], check=True)
        state["frozen"] = True

    def thaw():
        if state["frozen"]:
            subprocess.run(["fsfreeze", "-u", at], check=True)
            state["frozen"] = False

    at.mkdir()
    subprocess.run(["mount", "-o", "loop", image, at], check=True)
    try:
        yield at, freeze, thaw
    finally:
        thaw()
        subprocess.run(["umount", "-l", at], check=True)


def test_disk_hangs(place, started, hub, frozen_disk, record_property):
    """Every write to the spool hangs: answers are given within 50 ms, out of memory's bounded ring; what was answered
    is stored when the disk comes back, though the proxy was killed in between."""
    disk, freeze, thaw = frozen_disk
    proxy = started(Proxy(place / "edge-1", hub, {"spool": str(disk / "spool")})).ready()
    first = answers_with_bad_disk(proxy, record_property, 100, "healthy")
    freeze()
    hung = answers_with_bad_disk(proxy, record_property, 600, "hung")
    wait_until(lambda: proxy.metrics()["policy_proxy_spool_unwritten"] > 0, "what is unwritten is shown")
    thaw()
    assert_exactly_once(hub, first)
    assert_exactly_once(hub, hung)
    proxy.stop()


def test_disk_hangs_longer_than_the_ring(place, started, hub, frozen_disk, record_property):
    """When the ring is full as well, answers still go out, and what could not be kept is counted exactly."""
    disk, freeze, thaw = frozen_disk
    proxy = started(
        Proxy(place / "edge-1", hub, {"spool": str(disk / "spool"), "ring": "256k"})
    ).ready()
    freeze()
    load = answers_with_bad_disk(proxy, record_property, 500, "over")
    lost = wait_until(lambda: proxy.metrics()["policy_proxy_spool_lost_ring_full_total"], "the loss is counted")
    thaw()
    wait_until(lambda: proxy.metrics()["policy_proxy_spool_records"] == 0, "the rest is at the hub")
    kept = len(load.answered) - int(lost)
    wait_until(lambda: hub.total("requests", ["instance^=over."]) >= kept, "the rest is stored", pause_s=0.2)
    assert hub.total("requests", ["instance^=over."]) == kept
    proxy.stop()


def test_killed_while_the_disk_hangs(place, started, hub, frozen_disk, record_property):
    """kill -9 while records are only in the ring: the next start finds them there."""
    disk, freeze, thaw = frozen_disk
    proxy = started(Proxy(place / "edge-1", hub, {"spool": str(disk / "spool")})).ready()
    freeze()
    load = answers_with_bad_disk(proxy, record_property, 300, "ring")
    proxy.process.send_signal(signal.SIGKILL)  # it ends once the disk lets its threads go
    thaw()
    proxy.process.wait(LIMIT_S)
    proxy.start()
    proxy.ready()
    assert_exactly_once(hub, load)


# --- identities


def test_cloned_edge_directory(place, started, hub, proxy):
    """A copied spool (a cloned machine) sends what it holds under the identities it has: each is stored once."""
    hub.stop()
    load = Load(proxy.port, prefix="clone", limit=100).start()
    wait_until(lambda: len(load.answered) == 400, "answers without a hub")
    load.stop()
    proxy.stop()
    shutil.copytree(proxy.dir / "spool", place / "copy" / "spool")
    hub.start()
    hub.ready()
    proxy.start()
    proxy.ready()
    assert_exactly_once(hub, load)
    proxy.stop()
    copy = started(Proxy(place / "copy", hub, {"edge_id": proxy.dir.name})).ready()
    own = Load(copy.port, prefix="own", limit=50).start()
    wait_until(lambda: len(own.answered) == 200, "answers of the copy")
    assert_exactly_once(hub, own.stop())
    assert_exactly_once(hub, load)


def test_wiped_edge_directory(place, started, hub, proxy):
    """A new spool below the same edge id has another key: refused until the operator forgets the old one."""
    first = Load(proxy.port, prefix="old", limit=50).start()
    wait_until(lambda: len(first.answered) == 200, "answers")
    assert_exactly_once(hub, first.stop())
    proxy.stop()
    shutil.rmtree(proxy.dir / "spool")
    proxy.start()
    proxy.ready()
    second = Load(proxy.port, prefix="new", limit=50).start()
    wait_until(lambda: len(second.answered) == 200, "answers")
    second.stop()
    wait_until(lambda: "code=pinned" in proxy.log(), "the refusal is in the proxy's log")
    assert hub.total("requests", ["instance^=new."]) == 0
    hub.cli("edge", "remove", proxy.dir.name, "--tenant", TENANT)
    assert_exactly_once(hub, second)
    assert_exactly_once(hub, first)


def test_a_gone_edge_is_shown_as_gone(hub, proxy):
    """Its last figures stay, marked as of when it told them; a hub that was started anew has none to show."""

    def row():
        return json.loads(hub.cli("edge", "list", "--json").stdout)["rows"][0]

    with PolicyClient(proxy.port) as client:
        client.ask(request(instance="gone.1"))
    wait_until(lambda: hub.total("requests") == 1, "stored")
    here = row()
    assert here["connected"] and here["gone_since"] is None and here["lag_us"] is not None
    stopped = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    proxy.stop()
    wait_until(lambda: not row()["connected"], "gone")
    gone = row()
    assert gone["gone_since"] == gone["last_seen"] >= gone["as_of"] >= here["as_of"]
    assert gone["gone_since"] >= stopped, "the farewell counts"
    head, line = hub.cli("edge", "list").stdout.splitlines()
    shown = dict(zip(head.split()[-7:], line.split()[-7:]))
    assert [shown[name] for name in ("connected", "gone_since", "as_of")] == ["no", gone["gone_since"], gone["as_of"]]
    hub.stop()
    hub.start()
    hub.ready()
    again = row()
    assert not again["connected"] and again["last_seq"] == 1
    assert [again[name] for name in ("gone_since", "as_of", "lag_us", "dropped")] == [None] * 4


# --- the line between edge and hub


def test_cut_and_delayed_line(place, started, hub):
    """The connection is delayed, cut and reset at random; everything arrives, once."""
    rng = random.Random(11)
    with Relay(("127.0.0.1", hub.wire_port)) as line:
        proxy = started(Proxy(place / "edge-1", hub, {"server": f"tcp://127.0.0.1:{line.port}"})).ready()
        load = Load(proxy.port, connections=3, prefix="line", pause_s=0.003).start()
        for _ in range(8):
            before = len(load.answered)
            wait_until(lambda b=before: len(load.answered) > b + 200, "answers")
            fault = rng.choice(["reset", "cut", "delay"])
            if fault == "cut":  # bytes vanish while both sides believe in the connection; then it dies
                line.cut()
                before = len(load.answered)
                wait_until(lambda b=before: len(load.answered) > b + 100, "answers without a line")
                line.reset()
                line.heal()
            elif fault == "reset":
                line.reset()
            else:
                line.delay(rng.random() * 0.3)
        line.delay(0)
        load.stop()
        assert_exactly_once(hub, load)
        proxy.stop()


@pytest.mark.parametrize("fault", ["unknown key", "revoked key", "read key", "wrong server key", "malformed key"])
def test_keys_that_are_refused(place, started, hub, fault):
    """Nothing is stored, Postfix is answered, the operator is told by both the proxy's log and `check`."""
    settings = {"api_key": "ma_" + "U" * 43}
    if fault == "revoked key":
        listed = json.loads(hub.cli("apikey", "list", "--tenant", TENANT, "--json").stdout)["rows"]
        hub.cli("apikey", "remove", str(next(k["id"] for k in listed if k["name"] == "edges")), "--tenant", TENANT)
        settings = {}
    elif fault == "read key":
        settings = {"api_key": READ_KEY}
    elif fault == "wrong server key":
        other = started(Hub(place / "other")).ready()
        settings = {"server_key": other.server_key()}
    elif fault == "malformed key":
        settings = {"api_key": "what ever"}
    proxy = started(Proxy(place / "edge-1", hub, settings)).ready()
    check = subprocess.run(
        [program("policy-proxy"), "check", "--config", str(proxy.config)], capture_output=True, text=True, timeout=LIMIT_S
    )
    assert check.returncode != 0, check.stdout
    assert len((check.stdout + check.stderr).splitlines()) < 12
    with PolicyClient(proxy.port) as client:
        client.ask(request(instance="refused.1"))
    assert hub.total("requests") == 0
    assert proxy.alive() and hub.alive()
    if fault != "wrong server key":
        wait_until(lambda: "refus" in hub.log(), "the hub's log names the refused peer")
        assert "127.0.0.1" in hub.log()


def silent_connections(port, count):
    return [socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) for _ in range(count)]


def test_silent_connections(hub, proxy, record_property):
    """A thousand connections that say nothing, on both ports: an honest edge and an honest Postfix are served."""
    silent = silent_connections(hub.wire_port, 1000) + silent_connections(proxy.port, 1000)
    try:
        load = Load(proxy.port, prefix="honest", limit=300).start()
        wait_until(lambda: len(load.answered) + len(load.broken) == 1200, "answers")
        assert_answers_in_time(load.stop(), record_property)
        assert_exactly_once(hub, load)
        proxy.kill()
        proxy.start()  # a new session, while the silent ones still hold theirs
        proxy.ready()
        again = Load(proxy.port, prefix="again", limit=50).start()
        wait_until(lambda: len(again.answered) == 200, "answers")
        assert_exactly_once(hub, again.stop())
    finally:
        for fd in silent:
            fd.close()


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100, b"request=x\n\n", b"\n\n", b"a=" + b"x" * 9000 + b"\n\n",
     b"n=v\n" * 200 + b"\n", b"=value\n\n", bytes(range(1, 256)) * 20, b"request=smtpd_access_policy\n" + b"y" * 40000],
    ids=["http", "nul", "other request", "empty", "long line", "many lines", "no name", "binary", "endless"],
)
def test_garbage_on_the_policy_port(place, started, garbage):
    """Closed and counted; the next connection is served."""
    proxy = started(Proxy(place / "edge-1")).ready()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=LIMIT_S) as fd:
        fd.sendall(garbage)
        got = b"x"
        try:
            while got:
                got = fd.recv(4096)
                assert DUNNO not in got
        except ConnectionResetError:
            pass
    wait_until(lambda: proxy.metrics()["policy_proxy_garbage_total"] == 1, "it is counted")
    with PolicyClient(proxy.port) as client:
        client.ask(request())


def test_split_and_joined_requests(place, started):
    """Requests split at any byte, and several in one segment."""
    proxy = started(Proxy(place / "edge-1")).ready()
    one = request(instance="split")
    with PolicyClient(proxy.port) as client:
        for at in range(1, len(one), 7):
            client.fd.sendall(one[:at])
            client.fd.sendall(one[at:])
            assert client.fd.recv(len(DUNNO), socket.MSG_WAITALL) == DUNNO
        client.fd.sendall(one * 20)
        assert client.fd.recv(len(DUNNO) * 20, socket.MSG_WAITALL) == DUNNO * 20


# --- clocks and supervisors


@pytest.mark.parametrize("shift", ["+3d", "-400d", "+20y"])
def test_clock_off(place, started, hub, shift):
    """An edge whose clock is wrong: its events are stored once, with a corrected time, and flagged."""
    fake = subprocess.run(["faketime", "-f", shift, "env"], capture_output=True, text=True, check=True).stdout
    env = dict(line.split("=", 1) for line in fake.splitlines() if line.startswith(("LD_PRELOAD=", "FAKETIME")))
    env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    env["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
    env["FAKETIME_FORCE_MONOTONIC_FIX"] = "0"  # the fix makes every pthread_cond_timedwait on that clock time out at once
    proxy = started(Proxy(place / "edge-1", hub, env=env)).ready()
    load = Load(proxy.port, prefix="clock", limit=25).start()
    wait_until(lambda: len(load.answered) == 100, "answers")
    assert_exactly_once(hub, load.stop())
    assert hub.query("requests", by=["ts_corrected"]) == [{"ts_corrected": True, "requests": 100}]
    recent = hub.query("requests", since="10m")
    assert recent[0]["requests"] == 100


def test_stopped_proxy_is_restarted_by_its_watchdog(place, started, hub):
    """SIGSTOP: no answers, no watchdog messages; the supervisor kills and restarts. Postfix's connections wait in the
    socket that the supervisor holds."""
    proxy = Proxy(place / "edge-1", hub)
    with Supervised(proxy, watchdog_s=2.0) as unit:
        proxy.ready()
        wait_until(lambda: unit.ready, "READY=1")
        load = Load(proxy.port, connections=2, prefix="stopped", pause_s=0.01).start()
        wait_until(lambda: len(load.answered) > 100, "answers")
        first = unit.pid
        os.kill(first, signal.SIGSTOP)
        wait_until(lambda: unit.pid != first and unit.ready, "killed and started again")
        before = len(load.answered)
        wait_until(lambda: len(load.answered) > before + 100, "answers again")
        load.stop()
        assert unit.kills == 1
        assert_exactly_once(hub, load)


# --- tenants


def test_tenants_do_not_see_each_other(place, started, hub, proxy):
    """The tenant comes from the key of the session. The question's own words can't reach beyond it."""
    other = "ma_" + "O" * 43
    hub.load(
        {"tenants": [{"name": "other", "domains": ["other.example"], "networks": [],
                      "apikeys": [{"name": "edges", "key": other, "scopes": ["ingest"]}]}]}
    )
    second = started(Proxy(place / "edge-2", hub, {"api_key": other})).ready()
    mine = Load(proxy.port, connections=1, prefix="mine", limit=30, sender="a@mine.example").start()
    theirs = Load(second.port, connections=1, prefix="theirs", limit=20, sender="b@theirs.example").start()
    wait_until(lambda: len(mine.answered) == 30 and len(theirs.answered) == 20, "answers")
    assert_exactly_once(hub, mine.stop())
    assert_exactly_once(hub, theirs.stop())
    of_one = hub.query("requests", by=["sender"], tenant=TENANT)
    assert of_one == [{"sender": "a@mine.example", "requests": 30}]
    of_two = hub.query("requests", by=["sender"], tenant="other")
    assert of_two == [{"sender": "b@theirs.example", "requests": 20}]
    ids = {row["tenant"]: row["requests"] for row in hub.query("requests", by=["tenant"])}
    assert sorted(ids.values()) == [20, 30]
    foreign = next(tenant for tenant, count in ids.items() if count == 20)
    assert hub.query("requests", where=[f"tenant={foreign}"], by=["sender"], tenant=TENANT) == []
    assert hub.cli("query", "--measure", "requests", "--tenant", "nobody", check=False).returncode != 0
    # The same edge id in two tenants, and Postfix instances that are alike: each has its own message, at its first time.
    twin = started(Proxy(place / "edge-3", hub, {"api_key": other, "edge_id": proxy.dir.name})).ready()
    for edge in (proxy, twin):
        with PolicyClient(edge.port) as client:
            client.ask(request(instance="twin.1"))
    where = ["instance=twin.1"]
    wait_until(lambda: hub.query("requests", where=where) == [{"requests": 2}], "both are stored")
    for tenant in (TENANT, "other"):
        assert hub.query("messages", "recipients", where=where, tenant=tenant) == [{"messages": 1, "recipients": 1}]
        assert hub.query("requests", where=where + ["first_of_message=true"], tenant=tenant) == [{"requests": 1}]

    def edges(tenant):
        rows = json.loads(hub.cli("edge", "list", "--tenant", tenant, "--json").stdout)["rows"]
        assert all(row["tenant"] == tenant and row["connected"] for row in rows)
        return sorted((row["id"], row["last_seq"]) for row in rows)

    assert edges(TENANT) == [(proxy.dir.name, 31)]
    assert edges("other") == sorted([("edge-2", 20), (proxy.dir.name, 1)])
