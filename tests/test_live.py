# SPDX-License-Identifier: Apache-2.0
"""Live push of a real hub: what clients see of what Postfix asks, who may look on, and what slow or broken ones cost
the others."""
import contextlib
import json
import os
import re
import selectors
import threading
import time

import pytest

from harness import (
    FIXTURE, INGEST_KEY, LIMIT_S, READ_KEY, Hub, Load, PolicyClient, Proxy, assert_exactly_once, request, wait_until)
from webapi import Browser, call
from websocket import PING, Closed, Refused, WebSocket

OTHER_KEY, OTHER_INGEST = "ma_" + "O" * 43, "ma_" + "P" * 43
KEYS = {"tenants": [FIXTURE["tenants"][0], {"name": "other", "domains": ["example.net"], "apikeys": [
    {"name": "readers", "key": OTHER_KEY, "scopes": ["read"]}, {"name": "edges", "key": OTHER_INGEST, "scopes": ["ingest"]}]}]}
BEARER = {"Authorization": f"Bearer {READ_KEY}"}


@pytest.fixture
def hub(place, started):
    hub = started(Hub(place / "hub")).ready()
    hub.load(KEYS)
    return hub


@pytest.fixture
def proxy(place, started, hub):
    return started(Proxy(place / "edge", hub)).ready()


def connect(hub, fields=None, path="", **options):
    return WebSocket(hub.http_port, "/api/v1/live" + path, BEARER if fields is None else fields, LIMIT_S, **options)


def look_on(hub, subscription=None, key=READ_KEY, **options):
    """A client that has subscribed."""
    client = connect(hub, {"Authorization": f"Bearer {key}"}, **options)
    client.send(json.dumps(subscription or {}))
    answer = hear(client)
    assert answer["type"] == "subscribed", answer
    return client


def hear(client, limit_s=LIMIT_S):
    return json.loads(client.receive(limit_s))


class Sum:
    """What the batches of one client add up to."""

    def __init__(self):
        self.counts, self.seconds, self.events, self.of, self.batches = {}, set(), [], 0, 0

    def add(self, batch):
        assert batch["type"] == "batch", batch
        self.batches += 1
        for second in batch["counts"]:
            self.seconds.add(second["second"])
            parts = second["by_direction"]
            for name in ("requests", "messages", "recipients"):
                assert second[name] == sum(part[name] for part in parts.values())
                self.counts[name] = self.counts.get(name, 0) + second[name]
                for direction, part in parts.items():
                    self.counts[direction, name] = self.counts.get((direction, name), 0) + part[name]
        assert batch["sampled"]["shown"] == len(batch["events"]) <= batch["sampled"]["of"]
        self.of += batch["sampled"]["of"]
        self.events += batch["events"]

    def until(self, client, condition, limit_s=LIMIT_S):
        deadline = time.monotonic() + limit_s
        while not condition(self):
            assert time.monotonic() < deadline, (self.counts, len(self.events))
            self.add(hear(client))
        return self


def ask(proxy, count=1, **attributes):
    with PolicyClient(proxy.port) as postfix:
        for i in range(count):
            postfix.ask(request(**{"instance": f"live.{time.monotonic_ns()}.{i}", **attributes}))


def test_what_postfix_asks_is_seen_within_a_second(hub, proxy):
    with look_on(hub, {"rate": 50}) as client:
        for i in range(5):
            began = time.monotonic()
            ask(proxy, recipient="u@example.com", instance=f"seen.{i}", helo_name="mx.sender.example")
            seen = Sum().until(client, lambda s: s.counts.get("requests", 0) == 1)
            took = time.monotonic() - began
            event = seen.events[0]
            if took < 1.5:
                break
        else:
            pytest.fail(f"seen after {took:.2f} s")
    assert seen.counts == {"requests": 1, "messages": 1, "recipients": 1, ("in", "requests"): 1, ("in", "messages"): 1,
                           ("in", "recipients"): 1}
    assert event["direction"] == "in" and event["recipient"] == "u@example.com" and event["edge"] == "edge"
    assert event["helo_name"] == "mx.sender.example" and event["client_address"] == "203.0.113.7"
    assert event["stage"] == "RCPT" and event["first_of_message"] is True
    assert "queue_id" not in event and "size" not in event  # absent
    assert re.fullmatch("[0-9a-f]{32}", event["message_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["ts"])


def test_a_quiet_hub_says_so_each_second(hub):
    with look_on(hub) as client:
        began = time.monotonic()
        for _ in range(3):
            batch = hear(client)
            assert batch["counts"] == [] and batch["events"] == [] and batch["late"] == 0 and batch["lag_ms"] == 0
        assert time.monotonic() - began > 1.5


def test_each_tenant_sees_its_own_and_what_it_filters(hub, proxy, place, started):
    other_proxy = started(Proxy(place / "other", hub, {"api_key": OTHER_INGEST})).ready()
    to_bulk = {"where": [{"column": "recipient_domain", "values": ["bulk.example"]}], "rate": 200}
    with look_on(hub, {"rate": 200}) as all_of_it, look_on(hub, to_bulk) as some, \
            look_on(hub, {"rate": 200}, key=OTHER_KEY) as other:
        ask(proxy, 20, recipient="a@example.com")
        ask(proxy, 10, recipient="b@bulk.example")
        ask(other_proxy, 7, recipient="c@example.net")
        all_seen = Sum().until(all_of_it, lambda s: s.counts.get("requests", 0) >= 30)
        some_seen = Sum().until(some, lambda s: s.counts.get("requests", 0) >= 10)
        other_seen = Sum().until(other, lambda s: s.counts.get("requests", 0) >= 7)
        for client, seen in ((all_of_it, all_seen), (some, some_seen), (other, other_seen)):
            seen.add(hear(client))  # and nothing more
    assert all_seen.counts["requests"] == 30
    assert {event["recipient"] for event in all_seen.events} == {"a@example.com", "b@bulk.example"}
    assert some_seen.counts["requests"] == 10 == some_seen.of
    assert {event["recipient"] for event in some_seen.events} == {"b@bulk.example"}
    assert other_seen.counts["requests"] == 7
    assert {event["recipient"] for event in other_seen.events} == {"c@example.net"}


def test_a_new_subscription_takes_the_place_of_the_old_one(hub, proxy):
    with look_on(hub, {"events": False}) as client:
        client.send(json.dumps({"where": [{"column": "mood", "values": ["good"]}]}))
        answer = hear(client)
        while answer["type"] == "batch":
            answer = hear(client)
        assert answer["type"] == "error" and answer["code"] == "invalid" and "'mood' is not a column" in answer["detail"]
        ask(proxy)
        seen = Sum().until(client, lambda s: s.counts.get("requests", 0) == 1)  # the old one holds
        assert seen.events == [] and seen.of == 1
        client.send(json.dumps({"where": [{"column": "direction", "values": ["out"]}], "rate": 7}))
        while (answer := hear(client))["type"] == "batch":
            pass
        assert answer == {"type": "subscribed", "where": [{"column": "direction", "values": ["out"]}], "events": True,
                          "rate": 7}


def test_counts_are_exact_when_events_are_sampled(hub, proxy):
    with look_on(hub, {"rate": 4}) as client:
        load = Load(proxy.port, connections=4, prefix="sampled", limit=500).start()
        wait_until(lambda: len(load.answered) == 2000, "all answered")
        load.stop()
        seen = Sum().until(client, lambda s: s.counts.get("requests", 0) >= 2000)
        assert seen.counts["requests"] == 2000 == seen.of
        assert 1 <= len(seen.events) <= seen.batches
        figures = hub.metrics()
        assert figures["mail_analytics_live_sampled_total"] == 2000 - len(seen.events)
        assert figures["mail_analytics_live_events_total"] == len(seen.events)
    wait_until(lambda: hub.metrics()["mail_analytics_live_clients"] == 0, "the client gone")


def test_a_backlog_is_no_news(hub, proxy, started):
    hub.stop()
    ask(proxy, 50)
    time.sleep(6)  # what makes it old
    started(hub).ready()
    with look_on(hub) as client:
        late, worst = 0, 0
        while late < 50:
            batch = hear(client)
            assert batch["counts"] == [] and batch["events"] == []
            late += batch["late"]
            worst = max(worst, batch["lag_ms"])
        assert late == 50 and worst >= 5000
        ask(proxy)
        assert Sum().until(client, lambda s: s.counts.get("requests", 0) == 1).counts["messages"] == 1


def answer_to(hub, fields, path=""):
    """Status and text of the answer to a handshake."""
    try:
        with connect(hub, fields, path) as client:
            return 101, client.head
    except Refused as refused:
        return refused.status, refused.text


def test_who_may_look_on(place, started):
    hub = started(Hub(place / "hub", {"http_origins": "https://panel.example, http://localhost:5173"})).ready()
    hub.load(KEYS)
    for status, fields, path in [
        (101, BEARER, ""),
        (101, {**BEARER, "Host": "stats.example", "Origin": "https://stats.example"}, ""),
        (101, {**BEARER, "Origin": "https://panel.example"}, ""),
        (101, {**BEARER, "Origin": "http://localhost:5173"}, ""),
        (403, {**BEARER, "Origin": "https://evil.example"}, ""),
        (403, {**BEARER, "Origin": "https://panel.example.evil.example"}, ""),
        (403, {**BEARER, "Origin": "null"}, ""),
        (401, {}, ""),
        (401, {"Authorization": "Bearer ma_" + "X" * 43}, ""),
        (403, {"Authorization": f"Bearer {INGEST_KEY}"}, ""),
        (101, BEARER, "?tenant=acme"),
        (404, BEARER, "?tenant=other"),
        (404, BEARER, "?tenant=absent"),
        (426, {**BEARER, "Connection": "close"}, ""),
        (426, {**BEARER, "Sec-WebSocket-Version": "8"}, ""),
        (400, {**BEARER, "Sec-WebSocket-Key": "short"}, ""),
    ]:
        got, text = answer_to(hub, fields, path)
        assert got == status, (fields, path, text)
        assert status == 101 or "urn:mail-analytics:problem:" in text
    foreign, absent = (answer_to(hub, BEARER, f"?tenant={name}")[1] for name in ("other", "absent"))
    assert re.sub("[0-9a-f]{16}|Date: .*", "", foreign) == re.sub("[0-9a-f]{16}|Date: .*", "", absent)
    assert "Extensions" not in answer_to(hub, {**BEARER, "Sec-WebSocket-Extensions": "permessage-deflate"})[1]


def closes_with(client, code):
    with pytest.raises(Closed) as closed:
        while True:
            client.receive(LIMIT_S)
    assert closed.value.code == code, closed.value
    return closed.value.reason


def test_clients_are_bounded(place, started):
    hub = started(Hub(place / "hub", {"live_clients": 4})).ready()
    hub.load(KEYS)
    with contextlib.ExitStack() as clients:
        first = [clients.enter_context(look_on(hub)) for _ in range(2)]
        assert closes_with(connect(hub), 1013) == "the tenant has too many live clients"
        wait_until(lambda: hub.metrics()["mail_analytics_live_clients"] == 2, "it is gone")
        for _ in range(2):
            clients.enter_context(look_on(hub, key=OTHER_KEY))
        status, text = answer_to(hub, {"Authorization": f"Bearer {OTHER_KEY}"})
        assert status == 503 and "too many live clients" in text
        assert hear(first[0])["type"] == "batch"
        for _ in range(20):
            first[1].send("{")
        assert closes_with(first[1], 1008) == "too many subscriptions"
    assert hub.metrics()["mail_analytics_live_refused_total"] == 2


def test_who_says_nothing_is_ended(place, started):
    hub = started(Hub(place / "hub", {"live_ping": "200ms"})).ready()
    hub.load(KEYS)
    with look_on(hub) as lively:
        for _ in range(3):
            assert hear(lively)["type"] == "batch"  # it answers pings
    assert closes_with(connect(hub), 1008) == "no subscription came"
    with connect(hub) as deaf, pytest.raises(Closed) as closed:
        while True:
            assert deaf.frame() == (PING, b"")
    assert closed.value.code is None
    wait_until(lambda: hub.metrics()["mail_analytics_live_clients"] == 0, "all gone")


def test_clients_hear_that_the_hub_stops(hub):
    client = look_on(hub)
    stopped = threading.Thread(target=hub.stop)
    stopped.start()
    assert closes_with(client, 1001) == "the hub is stopping"
    stopped.join(LIMIT_S)
    assert not stopped.is_alive()


def test_who_loses_its_key_is_shown_the_door(hub):
    with look_on(hub) as client, look_on(hub, key=OTHER_KEY) as other:
        hub.cli("apikey", "remove", "readers", "--tenant", "acme")
        assert closes_with(client, 1008) == "the key or the session is over"
        assert hear(other)["type"] == "batch"


class Crowd:
    """Many clients in one thread; what the counts of each add up to."""

    def __init__(self, clients):
        self.counted, self.failure = [0] * len(clients), None
        self._poll, self._stop = selectors.DefaultSelector(), threading.Event()
        for i, client in enumerate(clients):
            client.fd.setblocking(False)
            self._poll.register(client.fd, selectors.EVENT_READ, (i, client))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop.is_set():
                for key, _ in self._poll.select(0.1):
                    i, client = key.data
                    for text in client.pump():
                        for second in json.loads(text)["counts"]:
                            self.counted[i] += second["requests"]
        except BaseException as error:  # shown by stop()
            self.failure = error

    def stop(self):
        self._stop.set()
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()
        if self.failure:
            raise self.failure


def resident_mb(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) / 1024


def test_one_that_never_reads_costs_the_others_nothing(place, started):
    hub = Hub(place / "hub", {"live_ping": "30s"})
    # What ASan keeps of freed memory, 256 MB unless told otherwise, would be taken for the hub's.
    hub._env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"
    started(hub).ready()
    hub.load(KEYS)
    proxy = started(Proxy(place / "edge", hub)).ready()
    with contextlib.ExitStack() as clients:
        crowd = Crowd([clients.enter_context(look_on(hub, {"rate": 4})) for _ in range(200)])
        deaf = clients.enter_context(look_on(hub, {"rate": 200}, receive_bytes=4096))
        load = Load(proxy.port, connections=4, prefix="crowd", pause_s=0.004, helo_name="h" * 400).start()
        wait_until(lambda: len(load.answered) > 1000, "traffic")
        before = resident_mb(hub.pid)
        wait_until(lambda: hub.metrics()["mail_analytics_live_dropped_total"] >= 20, "it has fallen behind")
        load.stop()
        assert_exactly_once(hub, load)
        everything = len(load.answered) + len(load.broken)
        wait_until(lambda: min(crowd.counted) >= len(load.answered), f"all counted by all {everything}")
        crowd.stop()
        assert set(crowd.counted) == {hub.total("requests", ["instance^=crowd."])}
        assert resident_mb(hub.pid) - before < 100
        assert hub.metrics()["mail_analytics_live_clients"] == 201
        deaf.fd.settimeout(LIMIT_S)
        seen = Sum().until(deaf, lambda s: s.counts.get("requests", 0) >= len(load.answered))  # it reads after all
        assert seen.counts["requests"] == crowd.counted[0] == seen.of > len(seen.events)


def test_a_person_looks_on_by_cookie_from_our_own_pages(hub, proxy, place, started):
    other_proxy = started(Proxy(place / "other", hub, {"api_key": OTHER_INGEST})).ready()
    browser = Browser(hub)
    password = re.search(r"'admin' is made, with the password (\S+)", hub.log()).group(1)
    assert browser.login("admin", password).status == 201
    ours = {"Cookie": browser.cookie, "Origin": f"http://127.0.0.1:{hub.http_port}"}
    assert answer_to(hub, {"Cookie": browser.cookie})[0] == 403  # no browser
    assert answer_to(hub, {**ours, "Origin": "https://evil.example"})[0] == 403
    assert answer_to(hub, {**ours, "Cookie": browser.cookie[:-1]})[0] == 401
    assert answer_to(hub, ours, "?tenant=absent")[0] == 404
    with connect(hub, ours) as everything, connect(hub, ours, "?tenant=other") as one:
        for client in (everything, one):
            client.send("{}")
            assert hear(client)["type"] == "subscribed"
        ask(proxy, 3)
        ask(other_proxy, 2, recipient="c@example.net")
        assert Sum().until(everything, lambda s: s.counts.get("requests", 0) >= 5).counts["requests"] == 5
        assert Sum().until(one, lambda s: s.counts.get("requests", 0) >= 2).counts["requests"] == 2
        assert browser.call("DELETE", "/api/v1/session").status in (200, 204)
        assert closes_with(everything, 1008) == "the key or the session is over"


def test_who_looks_on_keeps_nobody_out(place, started):
    hub = started(Hub(place / "hub", {"http_connections_per_address": 2, "http_connections": 3})).ready()
    hub.load(KEYS)
    with contextlib.ExitStack() as clients:
        for _ in range(6):
            clients.enter_context(look_on(hub))
        assert call(hub, "POST", "/api/v1/query", body={"measures": ["requests"], "since": "1h"}).status == 200
