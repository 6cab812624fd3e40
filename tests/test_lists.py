# SPDX-License-Identifier: Apache-2.0
"""Lists of events and messages of a real hub: pages, filters, what one message shows, and that tenants stay apart."""
import json
import urllib.parse

import pytest

from harness import FIXTURE, READ_KEY, TENANT, Hub, PolicyClient, Proxy, request, wait_until
from webapi import call

OTHER_KEY = "ma_" + "O" * 43
FIXTURE_OF_TWO = {"tenants": [*FIXTURE["tenants"], {"name": "other", "domains": ["example.net"], "apikeys": [
    {"name": "readers", "key": OTHER_KEY, "scopes": ["read"]}]}]}
MESSAGES = 40


def attributes(number):
    """What all requests of that message have in common."""
    return {"instance": f"a{number:x}.5f5e100.{number:x}.0", "sender": f"s{number % 7}@sender.example",
            "client_address": f"203.0.113.{number % 5}", "queue_id": f"4XyZ00{number:04d}z"}


def say(client, number):
    """A message with two recipients, of which every fourth is somewhere else, and its end."""
    for recipient in (f"u{number}@example.com", "two@far.example" if number % 4 == 0 else "two@example.com"):
        client.ask(request(protocol_state="RCPT", recipient=recipient, **attributes(number)))
    client.ask(request(protocol_state="END-OF-MESSAGE", recipient="", recipient_count=2, size=1000 * (number + 1),
                       **attributes(number)))


@pytest.fixture
def hub(place, started):
    hub = started(Hub(place / "hub")).ready()
    hub.load(FIXTURE_OF_TWO)
    proxy = started(Proxy(place / "proxy", hub)).ready()
    client = PolicyClient(proxy.port)
    for number in range(MESSAGES):
        say(client, number)
    client.close()
    wait_until(lambda: hub.total("requests") == 3 * MESSAGES, "all events stored")
    hub.policy_port = proxy.port
    return hub


def get(hub, path, key=READ_KEY, status=200, **parameters):
    pairs = [(name, one) for name, value in parameters.items()
             for one in (value if isinstance(value, list) else [value])]
    reply = call(hub, "GET", path + ("?" + urllib.parse.urlencode(pairs) if pairs else ""), key=key)
    assert reply.status == status, reply.body
    return reply.json()


def pages(hub, path, key=READ_KEY, **parameters):
    """All rows, page by page, and how many pages there were."""
    rows, count, cursor = [], 0, {}
    while True:
        page = get(hub, path, key, **parameters, **cursor)
        rows += page["rows"]
        count += 1
        if page["next"] is None:
            return rows, count
        assert page["rows"]
        cursor = {"cursor": page["next"]}


def test_events_come_in_pages_in_the_order_of_time(hub):
    rows, count = pages(hub, "/api/v1/events", limit=7, cols="all")
    assert len(rows) == 3 * MESSAGES and count == -(-len(rows) // 7)
    assert [row["ts"] for row in rows] == sorted((row["ts"] for row in rows), reverse=True)
    assert len({(row["edge"], row["epoch"], row["seq"]) for row in rows}) == len(rows)
    upwards, _ = pages(hub, "/api/v1/events", limit=50, cols="all", sort="time")
    assert upwards == rows[::-1]
    assert len(rows[0]) == len(get(hub, "/api/v1/events", limit=1, cols="all")["columns"]) >= 48


def test_filters_narrow_and_say_what_they_mean(hub):
    def count(**parameters):
        return len(pages(hub, "/api/v1/events", limit=1000, **parameters)[0])

    assert count(f="direction:eq:in") == hub.total("requests", ["direction=in"]) > 0
    assert count(f=["stage:eq:RCPT", "stage:eq:END-OF-MESSAGE"]) == 3 * MESSAGES
    assert count(f=["stage:eq:RCPT", "sender:eq:s1@sender.example"]) == 12
    assert count(f="size:range:20000..") == 21
    assert count(f="recipient:!prefix:u") == 2 * MESSAGES
    assert count(f="recipient:empty") == MESSAGES
    assert count(q="u17@example.com") == 1
    assert count(q="203.0.113.2") == 24
    assert count(q="4XyZ000003z") == 3
    assert count(q="a7.5f5e100.7.0") == 3
    assert count(where=json.dumps([{"or": [{"column": "recipient", "values": ["u1@example.com"]},
                                           {"column": "size", "values": [5000]}]}])) == 2
    assert count(f="hour_of_day:range:0..24", tz="Europe/Paris") == 3 * MESSAGES
    assert count(to="now-1h") == 0


@pytest.mark.parametrize("parameters,word", [
    ({"f": "nothing:eq:1"}, "nothing"), ({"limit": "1001"}, "limit"), ({"cursor": "77"}, "cursor"),
    ({"what": "1"}, "what"), ({"cols": "nothing"}, "nothing"), ({"from": "then"}, "from")])
def test_mistakes_are_named(hub, parameters, word):
    problem = call(hub, "GET", "/api/v1/events?" + urllib.parse.urlencode(parameters)).problem(400)
    assert word in problem["detail"]


def test_a_list_stays_the_same_while_events_arrive(hub):
    page = get(hub, "/api/v1/events", limit=50, cols="seq,epoch,ts")
    rows = page["rows"]
    client = PolicyClient(hub.policy_port)
    for number in range(MESSAGES, MESSAGES + 10):
        say(client, number)
    client.close()
    wait_until(lambda: hub.total("requests") == 3 * MESSAGES + 30, "the new ones stored")
    while page["next"] is not None:
        page = get(hub, "/api/v1/events", limit=50, cols="seq,epoch,ts", cursor=page["next"])
        rows += page["rows"]
    assert len(rows) == 3 * MESSAGES == len({(row["epoch"], row["seq"]) for row in rows})


def test_a_cursor_belongs_to_its_list(hub):
    cursor = get(hub, "/api/v1/events", limit=5)["next"]
    get(hub, "/api/v1/events", limit=5, cursor=cursor, f="stage:eq:RCPT", status=400)
    get(hub, "/api/v1/messages", limit=5, cursor=cursor, status=400)
    get(hub, "/api/v1/events", limit=5, cursor=cursor[:-1] + ("0" if cursor[-1] != "0" else "1"), status=400)


def test_messages_are_one_row_each(hub):
    rows, count = pages(hub, "/api/v1/messages", limit=9)
    assert len(rows) == MESSAGES and count == 5
    assert [row["first_ts"] for row in rows] == sorted((row["first_ts"] for row in rows), reverse=True)
    for number, row in enumerate(rows[::-1]):
        assert row["sender"] == f"s{number % 7}@sender.example" and row["recipient"] == f"u{number}@example.com"
        assert row["recipients"] == 2 and row["events"] == 3 and row["size"] == 1000 * (number + 1)
        assert row["directions"] == (["in", "relay"] if number % 4 == 0 else ["in"])
        assert row["stages"] == ["RCPT", "END-OF-MESSAGE"] and row["queue_id"] == f"4XyZ00{number:04d}z"
        assert row["client_address"] == f"203.0.113.{number % 5}" and row["tls"] is False
        assert row["first_ts"] <= row["last_ts"]


def test_a_message_is_found_by_any_of_its_events(hub):
    def found(**parameters):
        return [int(row["recipient"].split("@")[0][1:]) for row in pages(hub, "/api/v1/messages", **parameters)[0]][::-1]

    assert found(f="recipient:eq:u3@example.com") == [3]
    assert found(f=["recipient:eq:two@far.example", "size:range:..9001"]) == [0, 4, 8]
    assert found(f="recipient:ne:two@example.com") == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]
    assert found(f="direction:eq:relay", limit=3) == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]
    assert found(f=["sender:eq:s0@sender.example", "direction:!eq:relay"]) == [7, 14, 21, 35]
    assert found(q="4XyZ000009z") == [9]
    assert found(q="u5@example.com") == [5]


def test_one_message_shows_all_that_is_known(hub):
    row = get(hub, "/api/v1/messages", q="u4@example.com")["rows"][0]
    message = get(hub, "/api/v1/messages/" + row["id"])
    assert {name: message[name] for name in row} == row
    assert [one["recipient"] for one in message["recipient_events"]] == ["u4@example.com", "two@far.example"]
    assert [one["direction"] for one in message["recipient_events"]] == ["in", "relay"]
    events = [one["event"] for one in message["timeline"]]
    assert [event["stage"] for event in events] == ["RCPT", "RCPT", "END-OF-MESSAGE"]
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert message["timeline"][0]["after_us"] == 0 <= message["timeline"][2]["after_us"]
    assert events[2]["size"] == 5000 and "recipient" not in events[2] and message["truncated"] is False


def test_tenants_stay_apart(hub):
    """What is another's answers like what isn't there, and a cursor of another's list opens nothing."""
    row = get(hub, "/api/v1/messages", limit=1)["rows"][0]
    cursor = get(hub, "/api/v1/events", limit=5)["next"]
    assert get(hub, "/api/v1/events", OTHER_KEY)["rows"] == []
    assert get(hub, "/api/v1/events", OTHER_KEY, cursor=cursor)["rows"] == []
    assert get(hub, "/api/v1/messages", OTHER_KEY, q="u4@example.com")["rows"] == []
    get(hub, "/api/v1/events", OTHER_KEY, tenant=TENANT, status=404)
    foreign = get(hub, "/api/v1/messages/" + row["id"], OTHER_KEY, status=404)
    absent = get(hub, "/api/v1/messages/" + "0" * 32, OTHER_KEY, status=404)
    assert foreign["detail"].replace(row["id"], "") == absent["detail"].replace("0" * 32, "")
    assert get(hub, "/api/v1/messages/nonsense", status=404)["status"] == 404


def test_the_command_line_lists_too(hub):
    listed = json.loads(hub.cli("events", "--json", "--limit", "1000", "--tenant", TENANT, "--where", "stage=RCPT").stdout)
    assert len(listed["rows"]) == 2 * MESSAGES and listed["more"] is False
    table = hub.cli("messages", "--search", "u4@example.com", "--since", "7d").stdout.splitlines()
    assert len(table) == 2 and "two@far.example" not in table[1] and "in,relay" in table[1]
    shown = hub.cli("message", table[1].split()[-1]).stdout
    assert "two@far.example" in shown and "END-OF-MESSAGE" in shown
    assert hub.cli("events", "--where", "sender=nobody@sender.example").stdout == "no rows\n"
    assert "there are more rows" in hub.cli("events", "--limit", "3").stderr
    assert hub.cli("message", "00" * 16, check=False).returncode != 0
    assert hub.cli("events", "--limit", "0", check=False).returncode == 64
