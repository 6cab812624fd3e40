# SPDX-License-Identifier: Apache-2.0
"""Everything that was stored is read out, once: by files that are cut off at random, and by streams."""
import base64
import concurrent.futures
import csv
import ctypes
import datetime
import http.client
import io
import json
import os
import random
import signal
import subprocess
import threading
import time

import pytest

from harness import (FIXTURE, LIMIT_S, READ_KEY, ROOT, TENANT, Hub, Load, PolicyClient, Proxy, assert_exactly_once, program, request,
                     wait_until)
from test_lists import FIXTURE_OF_TWO, OTHER_KEY, get
from test_http import call


def fake_clock(shift):
    """The environment in which a program's clock is ahead; the monotonic one stays what it is. ASan and libfaketime
    each want to be the first library of a process: programs with this clock come from the release build."""
    fake = subprocess.run(["faketime", "-f", shift, "env"], capture_output=True, text=True, check=True).stdout
    env = dict(line.split("=", 1) for line in fake.splitlines() if line.startswith(("LD_PRELOAD=", "FAKETIME")))
    return {**env, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_FORCE_MONOTONIC_FIX": "0"}


@pytest.fixture
def hub(place, started):
    hub = started(Hub(place / "hub")).ready()
    hub.load(FIXTURE_OF_TWO)
    hub.proxy = started(Proxy(place / "proxy", hub)).ready()
    return hub


def identity(event):
    return event["edge"], event["epoch"], event["seq"]


def stored(hub):
    """The identities of all events, by another way."""
    rows, cursor = [], []
    while True:
        page = json.loads(call(hub, "GET", "/api/v1/events?sort=time&limit=1000&cols=edge,epoch,seq&from=1970-01-01"
                               + "".join(cursor)).body)
        rows += [identity(row) for row in page["rows"]]
        if page["next"] is None:
            return rows
        cursor = ["&cursor=" + page["next"]]


@pytest.mark.parametrize("kind", [("--columns", "edge,epoch,seq"), ("--raw",)], ids=["events", "raw"])
def test_an_export_that_is_killed_has_each_event_once(hub, place, kind):
    """Killed at random and started again while events arrive, over restarts of the hub: nothing twice, nothing lost."""
    seed = int(os.environ.get("EXPORT_SEED", "7"))
    print(f"seed {seed} (EXPORT_SEED sets it)")
    chance = random.Random(seed)
    args = [program("mail-analytics"), "export", "--output", str(place / "all.ndjson"), "--state", str(place / "state"), *kind]
    environment = {**os.environ, **hub.env}
    load = Load(hub.proxy.port, connections=2, pause_s=0.002)
    load.start()
    for turn in range(8):
        export = subprocess.Popen([*args, "--follow"], env=environment, stderr=subprocess.PIPE)
        time.sleep(chance.uniform(0.05, 0.6))  # where it is killed is what is random here
        export.send_signal(signal.SIGKILL)
        export.communicate()
        if turn == 4:
            hub.stop()
            hub.start()
            hub.ready()
    load.stop()
    assert_exactly_once(hub, load)
    assert len(stored(hub)) > 100
    subprocess.run(args, env=environment, check=True, timeout=LIMIT_S)
    lines = [json.loads(line) for line in (place / "all.ndjson").read_text().splitlines()]
    if kind == ("--raw",):
        assert "gap" in lines[0] and "gap" not in str(lines[1:])
        lines.pop(0)
    got = [identity(line) for line in lines]
    assert len(got) == len(set(got)) and set(got) == set(stored(hub))


def test_a_stream_follows_and_tells_its_cursor(hub):
    with PolicyClient(hub.proxy.port) as client:
        client.ask(request(instance="1.0.0.0"))
        wait_until(lambda: hub.total("requests") == 1, "stored")
        connection = http.client.HTTPConnection("127.0.0.1", hub.http_port, timeout=60)
        connection.request("GET", "/api/v1/export?follow=1&cols=instance,seq", headers={"Authorization": f"Bearer {READ_KEY}"})
        reply = connection.getresponse()
        assert reply.status == 200 and reply.getheader("content-type") == "application/x-ndjson"
        assert json.loads(reply.readline()) == {"instance": "1.0.0.0", "seq": 1}
        cursor = json.loads(reply.readline())["cursor"]
        client.ask(request(instance="2.0.0.0"))
        assert json.loads(reply.readline())["instance"] == "2.0.0.0"
        connection.close()
    connection = http.client.HTTPConnection("127.0.0.1", hub.http_port, timeout=60)
    connection.request("GET", f"/api/v1/export?cols=instance,seq&cursor={cursor}",
                       headers={"Authorization": f"Bearer {READ_KEY}"})
    lines = connection.getresponse().read().splitlines()
    assert [json.loads(line).get("instance") for line in lines] == ["2.0.0.0", None]  # and its cursor
    connection.close()


def stream(hub, key):
    """A stream that is open once its head is there."""
    connection = http.client.HTTPConnection("127.0.0.1", hub.http_port, timeout=60)
    connection.request("GET", "/api/v1/export?follow=1&cols=instance", headers={"Authorization": f"Bearer {key}"})
    return connection, connection.getresponse()


def test_one_tenant_leaves_streams_to_others(place, started):
    hub = started(Hub(place / "hub", {"http_streams": "4"})).ready()
    hub.load(FIXTURE_OF_TWO)
    proxy = started(Proxy(place / "proxy", hub)).ready()
    with PolicyClient(proxy.port) as client:  # a stream's head comes with its first event
        client.ask(request(instance="1.0.0.0"))
    wait_until(lambda: hub.total("requests") == 1, "stored")
    mine = [stream(hub, READ_KEY) for _ in range(2)]
    assert [reply.status for _, reply in mine] == [200, 200]
    for _ in range(5):
        connection, refused = stream(hub, READ_KEY)
        problem = json.loads(refused.read())
        assert refused.status == 429 and int(refused.getheader("Retry-After")) > 0
        assert refused.getheader("Content-Type") == "application/problem+json"
        assert problem["code"] == "busy" and problem["retryable"] is True and "long answers" in problem["detail"]
        connection.close()
    assert call(hub, "GET", "/api/v1/export", key=OTHER_KEY).status == 200  # while mine go on
    mine[0][0].close()
    mine[0][1].close()

    def again():
        connection, reply = stream(hub, READ_KEY)
        mine.append((connection, reply))
        return reply.status == 200
    wait_until(again, "the place of a client that left is free again")
    for connection, reply in mine:
        reply.close()
        connection.close()


def test_a_clock_that_goes_back_hides_nothing(place, started):
    """What comes later is later for readers, though the hub's clock was two hours ahead before its restart."""
    hub = Hub(place / "hub")
    ahead = fake_clock("+2h")
    args = ("export", "--output", str(place / "all"), "--state", str(place / "state"), "--columns", "instance")
    usual = dict(hub._env)
    hub._env = {**usual, **ahead}
    hub.args[0] = program("mail-analytics", "release")
    started(hub).ready()
    hub.load(FIXTURE_OF_TWO)
    proxy = started(Proxy(place / "proxy", hub)).ready()
    with PolicyClient(proxy.port) as client:
        client.ask(request(instance="1.0.0.0"))
        wait_until(lambda: hub.query("requests", since="7d", to="now+1d") == [{"requests": 1}], "stored")
        hub.cli(*args)
        hub.stop()
        hub._env = usual
        hub.start()
        hub.ready()
        client.ask(request(instance="2.0.0.0"))
        wait_until(lambda: hub.query("requests", since="7d", to="now+1d") == [{"requests": 2}], "stored")
    hub.cli(*args)
    assert (place / "all").read_text().splitlines() == ['{"instance":"1.0.0.0"}', '{"instance":"2.0.0.0"}']


def test_csv_is_a_table_and_holds_no_formula(hub):
    hostile = ["=1+1@a.example", "+1@a.example", "-1@a.example", "@a.example", "quo\"te,@a.example", "plain@a.example"]
    with PolicyClient(hub.proxy.port) as client:
        for number, sender in enumerate(hostile):
            client.ask(request(instance=f"{number}.0.0.0", sender=sender))
    wait_until(lambda: hub.total("requests") == len(hostile), "stored")
    text = hub.cli("export", "--format", "csv", "--columns", "seq,sender,retry_of").stdout
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["seq", "sender", "retry_of"] and len(rows) == 1 + len(hostile)
    for row, sender in zip(rows[1:], hostile):
        assert row[1] == ("'" + sender if sender[0] in "=+-@" else sender) and row[2] == ""


def test_filters_and_tenants(hub):
    with PolicyClient(hub.proxy.port) as client:
        for number in range(20):
            client.ask(request(instance=f"{number}.0.0.0", sender=f"s{number % 2}@a.example"))
    wait_until(lambda: hub.total("requests") == 20, "stored")
    lines = hub.cli("export", "--where", "sender=s1@a.example", "--columns", "sender").stdout.splitlines()
    assert lines == ['{"sender":"s1@a.example"}'] * 10
    assert hub.cli("export", "--tenant", "other").stdout == ""
    get(hub, "/api/v1/export", OTHER_KEY, tenant=FIXTURE["tenants"][0]["name"], status=404)
    for parameters in ({"format": "xml"}, {"limit": "0"}, {"sort": "time"}, {"follow": "2"}, {"cursor": "00"}, {"x": "1"}):
        get(hub, "/api/v1/export", status=400, **parameters)


def raw(hub, *args):
    """The lines of a raw export."""
    return [json.loads(line) for line in hub.cli("export", "--raw", *args).stdout.splitlines()]


def bytes_of(lines):
    return [base64.b64decode(line["request"], validate=True) for line in lines if "request" in line]


def test_raw_requests_are_what_postfix_sent(hub):
    asked = [request(instance="1.0.0.0"), request(instance="2.0.0.0", sender="gone@a.example"),
             request(instance="3.0.0.0").replace(b"sender=", b"sender=\xff\x01\""), b"request=smtpd_access_policy\n\n", request(instance="4.0.0.0", size="x=y")]
    with PolicyClient(hub.proxy.port) as client:
        for one in asked:
            client.ask(one)
    wait_until(lambda: len(bytes_of(raw(hub))) == len(asked), "received")
    lines = raw(hub)
    assert "from" not in lines[0]["gap"] and lines[0]["gap"]["to"] == lines[1]["hub_ts"]
    assert bytes_of(lines) == asked and [line["seq"] for line in lines[1:]] == [1, 2, 3, 4, 5]
    wait_until(lambda: hub.total("requests") >= 3, "stored")
    columns = "edge,epoch,seq,tenant,edge_ts,hub_ts"
    for event in map(json.loads, hub.cli("export", "--columns", columns).stdout.splitlines()):
        line = next(line for line in lines[1:] if line["seq"] == event["seq"])
        assert {name: line[name] for name in columns.split(",")} == event
    # over HTTP, in pieces, each with its cursor
    got, cursor = [], {}
    while True:
        page = [json.loads(line) for line in call(hub, "GET", "/api/v1/export?format=raw&limit=2" + "".join(
            f"&cursor={one}" for one in cursor.values())).body.splitlines()]
        if not page:
            break
        got, cursor = got + page[:-1], page[-1]
    assert got == lines
    get(hub, "/api/v1/export", OTHER_KEY, format="raw", status=400, **cursor)
    # whose it is, and what is erased
    assert call(hub, "GET", "/api/v1/export?format=raw", key=OTHER_KEY).body in ("", b"")
    assert raw(hub, "--tenant", "other") == []
    hub.cli("erase", "--tenant", FIXTURE["tenants"][0]["name"], "--address", "gone@a.example")
    assert bytes_of(raw(hub)) == [one for one in asked if b"gone@" not in one]
    for parameters in ({"where": "[]"}, {"from": "2026-01-01"}, {"cursor": "00"}, {"follow": "2"}, {"marks": ""}, {"limit": "0"}):
        get(hub, "/api/v1/export", status=400, format="raw", **parameters)
    assert hub.cli("export", "--raw", "--format", "csv", check=False).returncode == 64


def test_what_left_the_journal_is_a_gap(place, started):
    hub = started(Hub(place / "hub", {"journal_keep": "0s"})).ready()
    hub.load(FIXTURE_OF_TWO)
    proxy = started(Proxy(place / "proxy", hub)).ready()
    args = ("--output", str(place / "raw"), "--state", str(place / "state"))

    def say(instance):
        with PolicyClient(proxy.port) as client:
            client.ask(request(instance=instance))
        wait_until(lambda: instance in str(bytes_of(raw(hub))), "received")

    def forget():  # a restart ends the segment, and its checkpoint lets it go
        hub.stop()
        hub.start()
        hub.ready()
        wait_until(lambda: bytes_of(raw(hub)) == [], "removed")

    say("1.0.0.0")
    raw(hub, *args)
    forget()
    say("2.0.0.0")
    forget()
    say("3.0.0.0")
    raw(hub, *args)
    raw(hub, *args)
    first, one, gap, three = [json.loads(line) for line in (place / "raw").read_text().splitlines()]
    assert "from" not in first["gap"] and gap == {"gap": {"from": one["hub_ts"], "to": three["hub_ts"]}}
    assert [b"instance=1.0" in bytes_of([one])[0], b"instance=3.0" in bytes_of([three])[0]] == [True, True]


class Result(ctypes.Structure):
    """duckdb_result: only its size matters, what is in it is the library's."""
    _fields_ = [("counts", ctypes.c_uint64 * 3), ("pointers", ctypes.c_void_p * 3)]


def duckdb(sql):
    """The rows of one statement, each cell as text or None, by DuckDB's own library: another program than the hub."""
    library = ctypes.CDLL(str(ROOT / "build/deps/duckdb/libduckdb.so"))
    library.duckdb_value_varchar.restype = ctypes.c_void_p
    library.duckdb_value_varchar.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64]
    library.duckdb_result_error.restype = ctypes.c_char_p
    library.duckdb_row_count.restype = library.duckdb_column_count.restype = ctypes.c_uint64
    library.duckdb_free.argtypes = [ctypes.c_void_p]
    database, connection, result = ctypes.c_void_p(), ctypes.c_void_p(), Result()
    assert library.duckdb_open(None, ctypes.byref(database)) == 0
    assert library.duckdb_connect(database, ctypes.byref(connection)) == 0
    assert library.duckdb_query(connection, sql.encode(), ctypes.byref(result)) == 0, library.duckdb_result_error(ctypes.byref(result))
    rows = []
    for row in range(library.duckdb_row_count(ctypes.byref(result))):
        cells = []
        for column in range(library.duckdb_column_count(ctypes.byref(result))):
            text = library.duckdb_value_varchar(ctypes.byref(result), column, row)
            cells.append(ctypes.string_at(text).decode() if text else None)
            library.duckdb_free(text)
        rows.append(cells)
    library.duckdb_destroy_result(ctypes.byref(result))
    library.duckdb_disconnect(ctypes.byref(connection))
    library.duckdb_close(ctypes.byref(database))
    return rows


def read_parquet(path):
    """(types, rows as objects without what is null): times in microseconds, all else as text."""
    types = dict(line[:2] for line in duckdb(f"DESCRIBE FROM '{path}'"))
    cells = ",".join(f"epoch_us({name})" if "TIMESTAMP" in kind else f"{name}::VARCHAR" for name, kind in types.items())
    return types, [{name: cell for name, cell in zip(types, row) if cell is not None} for row in duckdb(f"SELECT {cells} FROM '{path}'")]


def notes_of(path):
    """What the file says of itself."""
    return {key.removeprefix("mail_analytics."): value for key, value in
            duckdb(f"SELECT decode(key), decode(value) FROM parquet_kv_metadata('{path}')") if key.startswith("mail_analytics.")}


def as_parquet_has_it(event, types):
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

    def text(name, value):
        if "TIMESTAMP" in types[name]:
            return str((datetime.datetime.fromisoformat(value.replace("Z", "+00:00")) - epoch) // datetime.timedelta(microseconds=1))
        return str(value).lower() if isinstance(value, bool) else str(value)
    return {name: text(name, value) for name, value in event.items()}


def test_parquet_has_what_ndjson_has(hub, place):
    (hub.dir / "data/export").mkdir()
    (hub.dir / "data/export/77.parquet").write_text("of a hub that was killed")
    hub.stop()
    hub.start()
    hub.ready()
    assert os.listdir(hub.dir / "data/export") == []
    odd = ["", "a'b\"@c.example", "\u00fcml\u00e4ut@c.example", "x" * 200 + "@c.example"]
    with PolicyClient(hub.proxy.port) as client:
        for number in range(2500):  # more than DuckDB has in a vector
            client.ask(request(instance=f"{number // 3}.0", sender=odd[number % 4], client_address=["192.0.2.9", "2001:db8::7"][number % 2],
                               size=number * 997, protocol_state=["MAIL", "RCPT", "END-OF-MESSAGE"][number % 3], some_attribute="v" * (number % 5)))
    wait_until(lambda: hub.total("requests") == 2500, "stored")
    # by the command line: all columns, later what came since
    args = ("export", "--format", "parquet", "--output", str(place / "files"), "--state", str(place / "state"))
    hub.cli(*args)
    with PolicyClient(hub.proxy.port) as client:
        client.ask(request(instance="last"))
    wait_until(lambda: hub.total("requests") == 2501, "stored")
    (place / "files/000002.parquet.new").write_text("of an export that was killed")
    hub.cli(*args)
    hub.cli(*args)
    assert sorted(os.listdir(place / "files")) == ["000001.parquet", "000002.parquet"]
    types, first = read_parquet(place / "files/000001.parquet")
    _, second = read_parquet(place / "files/000002.parquet")
    events = [json.loads(line) for line in hub.cli("export").stdout.splitlines()]
    assert len(events) == 2501 and len(second) == 1
    assert first + second == [as_parquet_has_it(event, types) for event in events]
    assert {types[name] for name in ("tenant", "seq", "client_port", "ts_corrected", "ts", "sender")} == {
        "UINTEGER", "UBIGINT", "USMALLINT", "BOOLEAN", "TIMESTAMP WITH TIME ZONE", "VARCHAR"}
    version = hub.cli("--version").stdout.split()[1]
    assert notes_of(place / "files/000001.parquet") == {
        "version": version, "from": "1970-01-01T00:00:00.000000Z", "to": "9999-12-31T00:00:00.000000Z", "time_zone": "UTC",
        "columns": ",".join(types)}
    # over HTTP: some columns of some rows, in files of 500
    names, got, cursor = ["seq", "sender", "stage", "hub_ts", "epoch", "client_address"], [], None
    question = "cols=" + ",".join(names) + "&f=client_address:eq:2001:db8::7&from=2020-01-01"
    while True:
        reply = call(hub, "GET", f"/api/v1/export?format=parquet&limit=500&{question}" + (f"&cursor={cursor}" if cursor else ""))
        assert reply.status == 200 and reply.fields["content-type"] == "application/vnd.apache.parquet"
        (place / "part.parquet").write_bytes(reply.body)
        types, rows = read_parquet(place / "part.parquet")
        assert notes_of(place / "part.parquet") == {
            "version": version, "from": "2020-01-01T00:00:00.000000Z", "to": "9999-12-31T00:00:00.000000Z", "time_zone": "UTC",
            "columns": ",".join(names), "tenant": TENANT}
        assert list(types) == names and len(rows) == int(reply.fields["export-rows"]) <= 500
        got += rows
        cursor = reply.fields.get("export-cursor")
        if not rows:
            break
    assert cursor is None
    assert got == [as_parquet_has_it({name: event[name] for name in names if name in event}, types) for event in events
                   if event["client_address"] == "2001:db8::7"] and len(got) == 1250
    # nobody else's, nothing left over, no stream
    reply = call(hub, "GET", "/api/v1/export?format=parquet", key=OTHER_KEY)
    assert reply.status == 200 and reply.fields["export-rows"] == "0" and reply.body[:4] == b"PAR1"
    get(hub, "/api/v1/export", status=400, format="parquet", follow="1")
    assert os.listdir(hub.dir / "data/export") == []
    assert hub.cli("export", "--format", "parquet", check=False).returncode == 64


def test_one_tenant_leaves_parquet_files_to_others(hub):
    """Whoever asks for one file after the other, many at once, keeps nobody else waiting."""
    with PolicyClient(hub.proxy.port) as client:
        for number in range(3000):
            client.ask(request(instance=f"{number}.0"))
    wait_until(lambda: hub.total("requests") == 3000, "stored")
    statuses, enough = [], threading.Event()

    def ask_on():
        while not enough.is_set():
            reply = call(hub, "GET", "/api/v1/export?format=parquet")
            assert reply.status == 200 or (reply.problem(429)["code"] == "busy" and int(reply.fields["retry-after"]) > 0)
            statuses.append(reply.status)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(ask_on) for _ in range(6)]
        wait_until(lambda: 200 in statuses and 429 in statuses, "more than its place is asked for")
        others = [call(hub, "GET", "/api/v1/export?format=parquet", key=OTHER_KEY).status for _ in range(20)]
        enough.set()
    for one in asking:
        one.result()
    assert others == [200] * 20
