# SPDX-License-Identifier: Apache-2.0
"""What can be edited over HTTP: tags and conditional requests, requests that come twice, and how many come at all."""
import concurrent.futures
import json
import re
import uuid

import pytest

from harness import FIXTURE, READ_KEY, TENANT, Hub, PolicyClient, Proxy, request, wait_until
from webapi import Raw, call

MANAGE_KEY = "ma_" + "M" * 43


@pytest.fixture
def hub(place, started):
    hub = started(Hub(place / "hub")).ready()
    keys = FIXTURE["tenants"][0]["apikeys"] + [{"name": "managers", "key": MANAGE_KEY, "scopes": ["read", "manage"]}]
    hub.load({"tenants": [{**FIXTURE["tenants"][0], "apikeys": keys}]})
    return hub


def test_two_editors(hub):
    """The second one hears that somebody was faster."""
    path = "/api/v1/domains/example.com"
    seen = call(hub, "GET", path, MANAGE_KEY)
    tag = seen.fields["etag"]
    assert re.fullmatch('"[0-9a-f]{32}"', tag)
    first = call(hub, "PATCH", path, MANAGE_KEY, {"subdomains": True}, {"If-Match": tag})
    assert first.status == 200 and first.json() == {**seen.json(), "subdomains": True}
    call(hub, "PATCH", path, MANAGE_KEY, {"kind": "relayed"}, {"If-Match": tag}).problem(412)
    call(hub, "PATCH", path, MANAGE_KEY, {"kind": "relayed"}).problem(428)
    again = call(hub, "GET", path, MANAGE_KEY, fields={"If-None-Match": f'"x", {first.fields["etag"]}'})
    assert (again.status, again.body, again.fields["etag"]) == (304, b"", first.fields["etag"])
    assert "content-length" not in again.fields
    head = call(hub, "HEAD", path, MANAGE_KEY)
    assert (head.status, head.fields["etag"]) == (200, first.fields["etag"])
    call(hub, "DELETE", path, MANAGE_KEY, fields={"If-Match": tag}).problem(412)
    call(hub, "PATCH", path, READ_KEY, {"kind": "relayed"}, {"If-Match": "*"}).problem(403)
    assert call(hub, "PATCH", path, MANAGE_KEY, {"kind": "relayed"},
                {"If-Match": "*", "Content-Type": "application/merge-patch+json"}).json()["kind"] == "relayed"


def test_one_of_many_editors_wins(hub):
    path = "/api/v1/networks/192.0.2.0%2F24"
    tag = call(hub, "GET", path, MANAGE_KEY).fields["etag"]

    def edit(number):
        return call(hub, "PATCH", path, MANAGE_KEY, {"comment": f"editor {number}"}, {"If-Match": tag}).status

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(edit, range(8))) == [200] + [412] * 7


def test_lists_have_tags(hub):
    for noun in ("tenants", "domains", "networks", "apikeys"):
        tag = call(hub, "GET", f"/api/v1/{noun}", MANAGE_KEY).fields["etag"]
        assert call(hub, "GET", f"/api/v1/{noun}", MANAGE_KEY, fields={"If-None-Match": tag}).status == 304
    tag = call(hub, "GET", "/api/v1/domains", MANAGE_KEY).fields["etag"]
    assert call(hub, "POST", "/api/v1/domains", MANAGE_KEY, {"name": "new.example"}).status == 201
    assert call(hub, "GET", "/api/v1/domains", MANAGE_KEY, fields={"If-None-Match": tag}).status == 200


def test_a_request_that_comes_many_times_at_once_is_done_once(hub):
    fields = {"Idempotency-Key": str(uuid.uuid4())}
    body = {"name": "only-one", "scopes": ["read"]}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: call(hub, "POST", "/api/v1/apikeys", MANAGE_KEY, body, fields), range(8)))
    assert {reply.status for reply in replies} == {201}
    assert len({reply.body for reply in replies}) == 1
    assert sum("idempotency-replayed" in reply.fields for reply in replies) == 7
    key = replies[0].json()["key"]
    assert call(hub, "GET", "/api/v1/domains", key).status == 200
    call(hub, "POST", "/api/v1/apikeys", MANAGE_KEY, {**body, "name": "another"}, fields).problem(422)
    call(hub, "POST", "/api/v1/apikeys", MANAGE_KEY, body, {"Idempotency-Key": "short"}).problem(400)
    hub.stop()
    kept = b"".join(path.read_bytes() for path in (hub.dir / "data").glob("account.db*"))
    assert key.encode() not in kept and fields["Idempotency-Key"].encode() not in kept
    hub.start().ready()
    assert call(hub, "POST", "/api/v1/apikeys", MANAGE_KEY, body, fields).json()["key"] == key


def test_an_answer_too_long_to_keep_undoes_the_request(hub):
    keys = [{"name": f"key-{number}", "scopes": ["read"]} for number in range(900)]
    fields = {"Idempotency-Key": str(uuid.uuid4())}
    call(hub, "POST", "/api/v1/apikeys", MANAGE_KEY, keys, fields).problem(413)
    assert b"key-0" not in call(hub, "GET", "/api/v1/apikeys", MANAGE_KEY).body
    assert call(hub, "POST", "/api/v1/apikeys", MANAGE_KEY, keys).status == 201


def test_too_many_requests(place, started):
    hub = started(Hub(place / "hub", {"http_rate": "20"})).ready()
    hub.load(FIXTURE)
    replies = [call(hub, "GET", "/api/v1/domains") for _ in range(21)]
    assert [reply.status for reply in replies] == [200] * 20 + [429]
    assert replies[0].fields["ratelimit-policy"] == '"requests";q=20;w=60'
    left = [int(re.fullmatch(r'"requests";r=(\d+);t=\d+', reply.fields["ratelimit"])[1]) for reply in replies]
    assert left[0] == 19 and left[-1] == 0
    assert replies[20].problem(429)["retryable"] is True
    assert 1 <= int(replies[20].fields["retry-after"]) <= 3
    assert call(hub, "GET", "/healthz").status == 200
    hub.load({"tenants": [{"name": TENANT, "apikeys": [{"name": "managers", "key": MANAGE_KEY, "scopes": ["manage"]}]}]})
    assert call(hub, "GET", "/api/v1/domains", MANAGE_KEY).status == 200  # another key has its own


def test_methods_of_a_thing(hub):
    reply = call(hub, "PUT", "/api/v1/domains/example.com", MANAGE_KEY, {})
    assert reply.problem(405) and reply.fields["allow"] == "GET, HEAD, PATCH, DELETE"
    with Raw(hub, b"PATCH /api/v1/domains/example.com HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " +
             MANAGE_KEY.encode() + b"\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\n{}") as raw:
        raw.reply().problem(415)
    assert json.loads(hub.cli("domain", "remove", "example.com", "--tenant", TENANT, "--json").stdout) == {"removed": 1}


def test_an_edge_and_its_history(hub, started, place):
    proxy = started(Proxy(place / "edge-1", hub)).ready()
    with PolicyClient(proxy.port) as client:
        for number in range(20):
            client.ask(request(instance=f"history.{number}"))

    def edge():
        return call(hub, "GET", "/api/v1/edges/edge-1").json()

    wait_until(lambda: edge()["records"] >= 20, "the events are there")
    assert edge()["connected"] and edge()["comment"] == "" and re.fullmatch(r"\S{40}", edge()["curve_key"])
    settings = call(hub, "GET", "/api/v1/edges/edge-1/settings")
    changed = call(hub, "PATCH", "/api/v1/edges/edge-1/settings", MANAGE_KEY, {"comment": "in the cellar"},
                   {"If-Match": settings.fields["etag"]})
    assert changed.json() == {"comment": "in the cellar"} and edge()["comment"] == "in the cellar"
    call(hub, "PATCH", "/api/v1/edges/edge-1/settings", MANAGE_KEY, {"comment": "x"}, {"If-Match": settings.fields["etag"]}).problem(412)

    def history():
        return call(hub, "GET", "/api/v1/edges/edge-1/history").json()["rows"]

    wait_until(lambda: sum(row["records"] for row in history()) >= 20, "its figures tell of them", pause_s=0.5)
    assert sum(row["answers"] for row in history()) >= 20 and history()[-1]["depth"] == 0
    kept = sum(row["records"] for row in history())
    proxy.stop()
    hub.stop()
    hub.start().ready()
    assert sum(row["records"] for row in history()) == kept  # a restart forgets nothing
    assert call(hub, "GET", "/api/v1/edges/edge-2/history").problem(404)
    assert call(hub, "DELETE", "/api/v1/edges/edge-1", MANAGE_KEY).json() == {"removed": 1}
