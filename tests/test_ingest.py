# SPDX-License-Identifier: Apache-2.0
"""POST /api/v1/ingest: lines of JSON from others' programs, stored exactly once whatever is sent again, cut or killed;
and garbage in both kinds of bodies."""
import contextlib
import datetime
import http.client
import json
import os
import random
import struct
import threading

import pytest

from harness import FIXTURE, INGEST_KEY, LIMIT_S, READ_KEY, TENANT, Hub, PolicyClient, Proxy, mounted, request, wait_until

EARLIER = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=5)).isoformat()  # always the same
LINES, FRAMES = "application/x-ndjson", "application/vnd.mail-analytics.frames"
OTHER_KEY = "ma_" + "O" * 43
TWO_TENANTS = {"tenants": [FIXTURE["tenants"][0], {"name": "other", "apikeys": [
    {"name": "programs", "key": OTHER_KEY, "scopes": ["ingest"]}]}]}


@pytest.fixture
def hub(place, started):
    hub = started(Hub(place / "hub")).ready()
    hub.load(TWO_TENANTS)
    return hub


def line(seq, source="shop", stream="one", after=None, **attributes):
    identity = {"source": source, "stream": stream, "seq": seq} | ({} if after is None else {"after": after})
    event = {"protocol_state": "RCPT", "sender": "a@shop.example", "recipient": "b@example.com", "instance": f"{source}.{stream}.{seq}"}
    return json.dumps({"id": identity, "time": EARLIER, **event, **attributes})


def post(hub, body, key=INGEST_KEY, kind=LINES, status=200, fields=None):
    if not isinstance(body, (str, bytes)):
        body = "\n".join(body) + "\n"
    client = http.client.HTTPConnection("127.0.0.1", hub.http_port, timeout=LIMIT_S)
    try:
        client.request("POST", "/api/v1/ingest", body.encode() if isinstance(body, str) else body,
                       {"Authorization": f"Bearer {key}", "Content-Type": kind, **(fields or {})})
        reply = client.getresponse()
        text = reply.read()
        assert reply.status == status, text
        if status >= 400:
            assert reply.getheader("Content-Type") == "application/problem+json"
            assert (reply.getheader("Retry-After") is not None) == (status == 503)
        return json.loads(text)
    finally:
        client.close()


def figures(reply):
    return reply["accepted"], reply["known"], reply["refused"]


def stored(hub, where=()):
    """{instance: how often}"""
    rows = hub.query("requests", by=["instance"], where=list(where), limit=100000)
    return {row["instance"]: row["requests"] for row in rows}


def assert_stored(hub, expected):
    expected = set(expected)
    wait_until(lambda: hub.total("requests") >= len(expected), f"{len(expected)} are stored")
    found = stored(hub)
    assert found.keys() == expected and set(found.values()) == {1}


def test_lines_become_events(hub):
    reply = post(hub, [line(1, size=1234, of_tomorrow="x"), "", line(2, sender=""), line(1, source="mill")])
    assert figures(reply) == (3, 0, 0) and reply["refusals"] == []
    assert_stored(hub, ["shop.one.1", "shop.one.2", "mill.one.1"])
    row = hub.query("requests", by=["edge", "sender", "recipient", "tenant"], where=["instance=shop.one.1"])[0]
    assert row["edge"] == "shop" and row["sender"] == "a@shop.example"
    edges = {edge["id"]: edge for edge in json.loads(hub.cli("edge", "list", "--json").stdout)["rows"]}
    assert edges["shop"]["transport"] == "lines" and edges["shop"]["last_seq"] == 2 and edges["shop"]["gaps"] == 0
    found = hub.metrics()
    assert found["mail_analytics_ingest_lines_accepted_total"] == 3
    assert found["mail_analytics_ingest_requests_total"] == 1
    assert found["mail_analytics_receive_strands_total"] == 2


def test_what_is_sent_again_is_known_in_any_portion(hub):
    all_lines = [line(seq) for seq in range(1, 101)]
    assert figures(post(hub, all_lines[:40])) == (40, 0, 0)
    assert figures(post(hub, all_lines[:40])) == (0, 40, 0)
    assert figures(post(hub, all_lines[10:60])) == (20, 30, 0)
    assert figures(post(hub, all_lines[59:])) == (40, 1, 0)
    assert figures(post(hub, all_lines)) == (0, 100, 0)
    assert hub.stop() == 0
    hub.start().ready()
    assert figures(post(hub, all_lines)) == (0, 100, 0)
    assert_stored(hub, [f"shop.one.{seq}" for seq in range(1, 101)])
    assert hub.metrics()["mail_analytics_ingest_lines_known_total"] == 100


def test_more_than_a_batch_partly_known(hub):
    """Several strands of one stream, of which the first is known in part."""
    many = [line(seq) for seq in range(1, 18001)]
    assert figures(post(hub, many[:3000])) == (3000, 0, 0)
    assert figures(post(hub, many)) == (15000, 3000, 0)
    wait_until(lambda: hub.total("requests") == 18000, "all are stored")
    assert json.loads(hub.cli("edge", "list", "--json").stdout)["rows"][0]["gaps"] == 0


def test_the_order_within_a_stream(hub):
    """Numbers rise by one, or say what came before; what breaks that is refused and stores nothing."""
    assert figures(post(hub, [line(1), line(2)])) == (2, 0, 0)
    early = post(hub, [line(4), line(5)])
    assert figures(early) == (0, 0, 2)
    assert early["refusals"] == [{"line": 1, "count": 2, "code": "order", "detail": early["refusals"][0]["detail"]}]
    assert "stands at 2" in early["refusals"][0]["detail"]
    assert figures(post(hub, [line(10, after=2), line(11), line(20, after=11)])) == (3, 0, 0)
    assert figures(post(hub, [line(10, after=2), line(11), line(20, after=11), line(21)])) == (1, 3, 0)
    torn = post(hub, [line(22), "{", line(24)])
    assert figures(torn) == (1, 0, 2) and [one["line"] for one in torn["refusals"]] == [2, 3]
    assert [one["code"] for one in torn["refusals"]] == ["invalid", "order"]
    assert figures(post(hub, [line(100, stream="two", after=0)])) == (1, 0, 0)
    assert_stored(hub, [f"shop.one.{seq}" for seq in (1, 2, 10, 11, 20, 21, 22)] + ["shop.two.100"])


def test_other_events_under_the_same_identity(hub):
    assert figures(post(hub, [line(1), line(2)])) == (2, 0, 0)
    forged = post(hub, [line(1), line(2, sender="x@evil.example")])
    assert figures(forged) == (0, 0, 2) and forged["refusals"][0]["code"] == "forked"
    assert hub.metrics()["mail_analytics_receive_forked_total"] == 1
    assert figures(post(hub, [line(1), line(2)])) == (0, 2, 0)


def test_what_is_no_event_is_refused_with_its_line(hub):
    bad = [
        "garbage", "[]", "{}", '{"id":1}', line(0), line(1, source="no/name"), line(1, sender="a\nrecipient=b"),
        line(1, **{"a=b": "c"}), line(1, sender=True), line(1, time="yesterday"), line(1, x="y" * 9000),
    ]
    reply = post(hub, bad + [line(1)])
    assert figures(reply) == (1, 0, len(bad))
    assert [one["line"] for one in reply["refusals"]] == list(range(1, len(bad) + 1))
    assert {one["code"] for one in reply["refusals"]} <= {"invalid", "limit"}
    many = post(hub, ["x"] * 500)
    assert figures(many) == (0, 0, 500) and len(many["refusals"]) == 100
    assert figures(post(hub, "")) == (0, 0, 0)
    assert figures(post(hub, line(2))) == (1, 0, 0)  # without a newline at its end
    assert hub.metrics()["mail_analytics_ingest_lines_refused_total"] == len(bad) + 500


def test_bounds(hub):
    client = http.client.HTTPConnection("127.0.0.1", hub.http_port, timeout=LIMIT_S)
    client.putrequest("POST", "/api/v1/ingest")
    for name, value in (("Authorization", f"Bearer {INGEST_KEY}"), ("Content-Type", LINES),
                        ("Content-Length", str(8 * 1024 * 1024 + 1))):
        client.putheader(name, value)
    client.endheaders()
    assert client.getresponse().status == 413
    client.close()
    over = post(hub, "\n".join(f'{{"n": {i}}}' for i in range(20005)))
    assert over["refused"] == 20001 and over["accepted"] == 0
    long = post(hub, [json.dumps({"x": "y" * 70000})])
    assert long["refusals"][0]["code"] == "limit"
    for i in range(256):
        assert figures(post(hub, [line(1, stream=str(i))])) == (1, 0, 0)
    full = post(hub, [line(1, stream="one too many"), line(2, stream="7")])
    assert figures(full) == (1, 0, 1) and full["refusals"][0]["code"] == "limit"
    assert figures(post(hub, [line(1, stream=str(i)) for i in range(256)])) == (0, 256, 0)


def test_who_may_send(hub):
    post(hub, [line(1)], key="ma_" + "X" * 43, status=401)
    post(hub, [line(1)], key=READ_KEY, status=403)
    post(hub, [line(1)], kind="application/json", status=415)
    assert figures(post(hub, [line(1)], kind="Application/X-NDJSON; charset=utf-8")) == (1, 0, 0)
    assert hub.total("requests") <= 1


def test_tenants_have_streams_of_their_own(hub):
    mine, theirs = line(1, sender="m@one.example"), line(1, sender="t@two.example")
    assert figures(post(hub, [mine])) == (1, 0, 0)
    assert figures(post(hub, [theirs], key=OTHER_KEY)) == (1, 0, 0)
    assert figures(post(hub, [mine])) == figures(post(hub, [theirs], key=OTHER_KEY)) == (0, 1, 0)
    wait_until(lambda: hub.total("requests") == 2, "both are stored")
    assert hub.query("requests", by=["sender"], tenant=TENANT) == [{"sender": "m@one.example", "requests": 1}]
    assert hub.query("requests", by=["sender"], tenant="other") == [{"sender": "t@two.example", "requests": 1}]


def test_a_program_takes_no_edges_name_nor_an_edge_a_programs(place, started, hub):
    edge = started(Proxy(place / "edge-1", hub)).ready()
    wait_until(lambda: edge.metrics()['policy_proxy_uplink_state{state="ready"}'] == 1, "the edge is welcome")
    refused = post(hub, [line(1, source="edge-1")])
    assert figures(refused) == (0, 0, 1) and refused["refusals"][0]["code"] == "pinned"
    assert figures(post(hub, [line(1, source="edge-2")])) == (1, 0, 0)
    late = started(Proxy(place / "edge-2", hub)).ready()
    wait_until(lambda: "code=pinned" in late.log(), "it is refused")
    with PolicyClient(edge.port) as client:
        client.ask(request(instance="edge"))
    wait_until(lambda: hub.total("requests", ["instance=edge"]) == 1, "the edge goes on")


def test_killed_hubs_and_impatient_clients_store_everything_once(place, started, hub):
    """A program that sends until it hears that it is stored, in portions that differ each time, while the hub is
    killed."""
    rng, sent, done = random.Random(7), [line(seq) for seq in range(1, 3001)], threading.Event()
    failure = []

    def program():
        try:
            at = 0
            while at < len(sent):
                first = max(0, at - rng.randrange(50))
                portion = sent[first : first + rng.randrange(1, 300)]
                try:
                    reply = post(hub, portion)
                except (OSError, http.client.HTTPException, AssertionError):
                    done.wait(0.05)
                    continue
                assert reply["refused"] == 0, reply
                at = max(at, first + len(portion))
        except BaseException as error:  # shown below
            failure.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=program, daemon=True)
    thread.start()
    for _ in range(6):
        done.wait(0.3)
        hub.kill()
        hub.start()
        if done.is_set():
            break
    thread.join(LIMIT_S * 2)
    assert not thread.is_alive() and not failure, failure
    hub.ready()
    assert_stored(hub, [f"shop.one.{seq}" for seq in range(1, 3001)])
    assert json.loads(hub.cli("edge", "list", "--json").stdout)["rows"][0]["gaps"] == 0


def test_two_that_send_the_same_stream_at_once(hub):
    sent, replies = [line(seq) for seq in range(1, 2001)], []

    def send():
        for at in range(0, 2000, 100):
            replies.append(post(hub, sent[at : at + 100]))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S * 2)
    assert len(replies) == 80 and sum(reply["accepted"] for reply in replies) == 2000
    assert all(reply["refused"] == 0 for reply in replies)
    assert_stored(hub, [f"shop.one.{seq}" for seq in range(1, 2001)])


def test_a_full_journal_says_try_again(place, started):
    with mounted("tmpfs", place / "small", "-o", "size=64M", "tmpfs") as at:
        hub = started(Hub(place / "hub", {"data": str(at / "data"), "store": "null", "journal_max": "1M"})).ready()
        hub.load(FIXTURE)
        noise, refused = random.Random(1), None
        for first in range(1, 50000, 100):
            try:
                post(hub, [line(first + i, noise=noise.randbytes(2000).hex()) for i in range(100)])
            except AssertionError as error:
                refused = str(error)
                break
        assert refused and "send all of it again" in refused, refused


def parcel(frames=b"", version=1, key=bytes(range(1, 33)), link=bytes(16), proof=bytes(32)):
    return bytes([version]) + key + link + proof + frames


def test_garbage_for_parcels(hub):
    rng = random.Random(3)
    cases = [b"", b"\x01", os.urandom(300), parcel(version=2), parcel(struct.pack("<I", 10)),
             parcel(struct.pack("<I", 1 << 31)), parcel(b"\x00\x00\x00\x00" * 17)]
    for body in cases:
        post(hub, body, kind=FRAMES, status=400)
    for frames in (b"", b"\x00\x00\x00\x00", struct.pack("<I", 4) + b"ABCD", bytes(rng.randrange(256) for _ in range(4))):
        with contextlib.suppress(AssertionError):
            post(hub, parcel(frames), kind=FRAMES, status=400)
            continue
        post(hub, parcel(frames), kind=FRAMES, status=403)
    post(hub, parcel(key=bytes(32)), kind=FRAMES, status=403)  # it shares a secret with nobody
    found = hub.metrics()
    assert found["mail_analytics_ingest_bad_parcels_total"] == found["mail_analytics_ingest_parcels_total"] >= 11
    assert found["mail_analytics_receive_sessions"] == 0
    assert figures(post(hub, [line(1)])) == (1, 0, 0)


def test_times_are_the_programs(hub):
    when = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=3)
    assert figures(post(hub, [line(1, time=when.isoformat())])) == (1, 0, 0)
    wait_until(lambda: hub.total("requests") == 1, "it is stored")
    assert hub.query("requests", since="2h") == [{"requests": 0}]
    assert hub.query("requests", since="4h") == [{"requests": 1}]
