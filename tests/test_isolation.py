# SPDX-License-Identifier: Apache-2.0
"""No tenant sees another. Made from the API's description: every route with every kind of key against what is its own, what
is another tenant's and what isn't there. The last two answer alike, byte for byte but for the request's id."""
import json
import re
import sqlite3
import time

import pytest

import contract
from harness import ROOT, Hub, wait_until
from webapi import Browser, call

KEYS = {"ingest": ["ingest"], "read": ["read"], "manage": ["manage"], "all": ["ingest", "read", "manage"]}
SECRET = {name: "ma_" + name[0].upper() * 43 for name in KEYS} | {
    "revoked": "ma_" + "V" * 43, "expired": "ma_" + "X" * 43, "elsewhere": "ma_" + "W" * 43, "unknown": "ma_" + "U" * 43,
    "theirs": "ma_" + "T" * 43}
MINE, THEIRS, NOBODYS = "mine", "theirs", "nobodys"
# A part of a path, by the parameter's route: what is one's own, another's, nobody's.
PARTS = {"tenants": (MINE, THEIRS, NOBODYS), "domains": ("mine.example", "theirs.example", "nobodys.example"),
         "networks": ("192.0.2.0%2F24", "198.51.100.0%2F24", "203.0.113.0%2F24"), "apikeys": ("all", "theirs", "nobodys"),
         "edges": ("mx-mine", "mx-theirs", "mx-nobodys"), "tombstones": ("1", "2", "999"), "jobs": ("1", "2", "999"), "sessions": ("1", "2", "3"), "users": ("admin", "bob", "carol")}
BODIES = {"add_tenant": {"name": "new"}, "change_tenant": {"name": "renamed"}, "add_domain": {"name": "new.example"},
          "change_domain": {"subdomains": True}, "add_network": {"prefix": "233.252.0.0/24"}, "change_network": {"trusted": False},
          "add_apikey": {"name": "new", "scopes": ["read"]}, "change_apikey": {"expires": None},
          "change_edge_settings": {"comment": "x"}, "ask": {"measures": ["requests"]}, "load": {"tenants": []},
          "login": {"name": "nobody", "password": "not a password"}, "add_user": {"name": "eve"},
          "add_job": {"kind": "erase", "address": "gone@example.com"}, "set_retention": {"kind": "events", "keep": "90d"}}
SPARED = {"/healthz", "/readyz", "/metrics", "/api/v1/ingest", "/api/v1/live"}  # the last two: in test_ingest.py, test_live.py


def scopes():
    """{(method, path with '*'): the scopes of which one is needed}, from the table of routes."""
    table = re.findall(r'\{"(\w+)",\s*"([^"]+)",\s*\w+,\s*([\w| ]+),\s*([\w| ]+)\}', (ROOT / "src/api/api.c").read_text())
    assert len(table) > 30
    return {(method, path): None if "API_OPERATOR" in flags or "API_LOCAL" in flags else
            [word.split("_")[1].lower() for word in scope.split(" | ") if word != "0"] for method, path, scope, flags in table}


def operations():
    for path, operations_ in contract.document()["paths"].items():
        for method, operation in operations_.items():
            if method != "parameters" and path not in SPARED:
                parameters = operation.get("parameters", []) + operations_.get("parameters", [])
                yield method.upper(), path, operation, any(one.get("$ref", "").endswith(("/Tenant", "/Whose")) for one in parameters)


@pytest.fixture
def hub(place, started):
    hub = started(Hub(place / "hub")).ready()
    mine = [{"name": name, "key": SECRET[name], "scopes": wanted} for name, wanted in KEYS.items()]
    mine += [{"name": "revoked", "key": SECRET["revoked"], "scopes": KEYS["all"]},
             {"name": "elsewhere", "key": SECRET["elsewhere"], "scopes": ["read", "manage"], "addresses": ["192.0.2.99"]},
             {"name": "expired", "key": SECRET["expired"], "scopes": KEYS["all"]}]
    hub.load({"tenants": [
        {"name": MINE, "domains": ["mine.example"], "networks": ["192.0.2.0/24"], "apikeys": mine},
        {"name": THEIRS, "domains": ["theirs.example"], "networks": ["198.51.100.0/24"],
         "apikeys": [{"name": "theirs", "key": SECRET["theirs"], "scopes": KEYS["all"]}]}]})
    hub.cli("apikey", "remove", "revoked", "--tenant", MINE)
    with sqlite3.connect(hub.dir / "data" / "account.db") as database:
        database.execute("UPDATE apikey SET expires_us = 1 WHERE name = 'expired'")
        for tenant, edge in ((1, "mx-mine"), (2, "mx-theirs")):
            database.execute("INSERT INTO edge (tenant, id, curve_key, first_seen_us) VALUES (?, ?, ?, 1)", (tenant, edge, "k" * 40))
    for name in ("all", "theirs"):  # jobs 1 and 2
        assert call(hub, "POST", "/api/v1/jobs", SECRET[name], BODIES["add_job"]).status == 202
    PARTS["messages"] = (message_of(hub, "all"), message_of(hub, "theirs"), "0" * 32)
    return hub


def message_of(hub, name):
    """The id of a message that this key's tenant has."""
    event = {"id": {"source": "program", "seq": 1}, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "protocol_state": "RCPT",
             "instance": name, "sender": f"{name}@sender.example", "recipient": "u@example.com", "client_address": "203.0.113.7"}
    line = json.dumps(event).encode() + b"\n"
    taken = call(hub, "POST", "/api/v1/ingest", SECRET[name], line, {"Content-Type": "application/x-ndjson"})
    assert taken.json()["accepted"] == 1, taken.body
    return wait_until(lambda: call(hub, "GET", "/api/v1/messages", SECRET[name]).json()["rows"], "it is stored")[0]["id"]


def ask(asker, method, path, operation, which, tenant):
    """which: 0 one's own, 1 another's, 2 nobody's thing."""
    noun = path.split("/")[3] if path.startswith("/api/v1/") else ""
    target = re.sub(r"\{\w+\}", lambda _: PARTS[noun][which], path)
    body = BODIES.get(operation["operationId"], {}) if "requestBody" in operation else None
    fields = {"If-Match": "*"} if method == "PATCH" else {}
    return asker(method, target + (f"?tenant={tenant}" if tenant else ""), body, fields)


def by_key(hub, key):
    return lambda method, target, body, fields: call(hub, method, target, key, body, fields)


def bare(reply):
    """What stays when names of things, and what differs with each request, are taken out."""
    text = reply.body.decode()
    for names in PARTS.values():
        for name in names[1:]:
            text = re.sub(rf"\b{re.escape(name.replace('%2F', '/'))}\b", "THING", text)
    text = re.sub(r'"request_id":"\w+"', "", text)
    changing = {"x-request-id", "date", "ratelimit", "content-length", "connection"}
    return reply.status, text, sorted((name, value) for name, value in reply.fields.items() if name not in changing)


def test_another_tenants_things_are_not_there(hub):
    before = {noun: call(hub, "GET", f"/api/v1/{noun}", SECRET["theirs"]).json() for noun in ("tenants", "domains", "networks", "apikeys")}
    tried = 0
    for kind in KEYS:
        asker = by_key(hub, SECRET[kind])
        for method, path, operation, narrows in operations():
            pairs = []
            if "{" in path:
                pairs.append([(which, None) for which in (1, 2)])
            if narrows:
                pairs.append([(0, tenant) for tenant in (THEIRS, NOBODYS)])
            if narrows and "{" in path:
                pairs.append([(1, THEIRS), (2, NOBODYS)])
            for pair in pairs:
                foreign, absent = (ask(asker, method, path, operation, *one) for one in pair)
                assert bare(foreign) == bare(absent), (kind, method, path, pair)
                assert foreign.status in (403, 404), (kind, method, path, pair, foreign.body)
                tried += 1
    assert tried > 100
    for noun, document in before.items():
        assert call(hub, "GET", f"/api/v1/{noun}", SECRET["theirs"]).json() == document


def test_bodies_name_no_other_tenant(hub):
    for noun, body in (("domains", {"name": "x.example"}), ("networks", {"prefix": "203.0.113.0/24"}),
                       ("apikeys", {"name": "k", "scopes": ["read"]})):
        foreign, absent = (call(hub, "POST", f"/api/v1/{noun}", SECRET["all"], {**body, "tenant": tenant}) for tenant in (THEIRS, NOBODYS))
        assert bare(foreign) == bare(absent) and foreign.status == 404


@pytest.mark.parametrize("kind,status", [("revoked", 401), ("expired", 401), ("unknown", 401), ("elsewhere", 403), (None, 401)])
def test_keys_that_are_none(hub, kind, status):
    """Nothing is told apart: each route answers the same, whatever is asked for."""
    seen = set()
    for method, path, operation, _ in operations():
        if operation.get("security") != []:
            reply = ask(by_key(hub, kind and SECRET[kind]), method, path, operation, 0, None)
            assert reply.status == status, (method, path)
            seen.add(str(bare(reply)))
    assert len(seen) == 1


def test_scopes_are_what_the_table_says(hub):
    wanted = scopes()
    for kind, has in KEYS.items():
        for method, path, operation, _ in operations():
            if operation.get("security") == [] or method == "DELETE":
                continue
            needs = wanted[method, re.sub(r"\{\w+\}", "*", path)]
            reply = ask(by_key(hub, SECRET[kind]), method, path, operation, 0, None)
            allowed = needs is not None and set(needs) & set(has)
            refused = reply.status == 403
            if operation["operationId"] == "add_apikey" and kind == "manage":
                assert refused  # it has no scope read to hand out
            elif operation["operationId"] == "change_apikey" and kind == "manage":
                assert refused  # that key can more than it
            else:
                assert refused != bool(allowed), (kind, method, path, reply.status, reply.body)


def test_what_rows_say_belongs_to_who_asks(hub):
    for noun in ("tenants", "domains", "networks", "apikeys"):
        for key, tenant in ((SECRET["all"], MINE), (SECRET["theirs"], THEIRS)):
            rows = call(hub, "GET", f"/api/v1/{noun}", key).json()["rows"]
            assert rows and {row.get("tenant", row.get("name")) for row in rows} == {tenant}


def test_a_person_sees_all_and_narrows(hub):
    browser = Browser(hub)
    password = hub.cli("user", "reset").stdout.strip()
    assert browser.login("admin", password).status == 201
    seen = {"x" if browser.call(method, path).status == 200 else path for method, path, operation, _ in operations()
            if method == "GET" and "{" not in path and operation.get("security") != [{"session": []}]}
    assert seen == {"x"}
    for tenant, which in ((MINE, 0), (THEIRS, 1)):
        for noun in ("domains", "networks"):
            rows = browser.call("GET", f"/api/v1/{noun}?tenant={tenant}").json()["rows"]
            assert {row["tenant"] for row in rows} == {tenant}
            assert browser.call("GET", f"/api/v1/{noun}/{PARTS[noun][which]}?tenant={tenant}").status == 200
            browser.call("GET", f"/api/v1/{noun}/{PARTS[noun][1 - which]}?tenant={tenant}").problem(404)
            browser.call("GET", f"/api/v1/{noun}?tenant={NOBODYS}").problem(404)
