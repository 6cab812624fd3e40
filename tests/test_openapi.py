# SPDX-License-Identifier: Apache-2.0
"""The API's description says what the program has, no more and no less, and a linter finds nothing in it."""
import json
import re
import subprocess

import pytest

import contract
from harness import LIMIT_S, ROOT, READ_KEY, build_dir
from webapi import call

ROUTE = re.compile(r'\{"(GET|POST|PUT|PATCH|DELETE)",\s*"(/[^"]*)"')


def routes():
    """What the tables of the program take, but for the page for people at "/"."""
    text = (ROOT / "src/api/api.c").read_text() + (ROOT / "src/hub/web.c").read_text()
    found = {(method, path) for method, path in ROUTE.findall(text) if path != "/"}
    assert len(found) > 30
    return found


def described():
    return {(method.upper(), re.sub(r"\{\w+\}", "*", path)) for path, operations in contract.document()["paths"].items()
            for method in operations if method != "parameters"}


def test_each_route_is_described_and_each_description_is_a_route():
    assert sorted(routes() - described()) == []
    assert sorted(described() - routes()) == []


def test_the_hub_tells_it(hub):
    reply = call(hub, "GET", "/api/openapi.json", None)
    assert reply.json() == contract.document()
    assert call(hub, "GET", "/api/openapi.json", None, fields={"If-None-Match": reply.fields["etag"]}).status == 304


def test_what_it_lists_is_taken(hub):
    """Each column, each measure in each form and each op that it names."""
    schemas = contract.document()["components"]["schemas"]
    measures, forms = re.fullmatch(r"\^\(([\w|]+)\)\((.*)\)\?\$", schemas["Measure"]["pattern"]).groups()
    for measure in measures.split("|"):
        for form in ["", *forms.replace("\\", "").split("|")]:
            assert call(hub, "POST", "/api/v1/query", READ_KEY, {"measures": [measure + form]}).status == 200
    for column in schemas["Column"]["enum"]:
        assert call(hub, "POST", "/api/v1/query", READ_KEY, {"measures": ["requests"], "by": [column]}).status == 200
    text = {"column": "sender", "values": ["x"]}
    values = {"cidr": ("client_address", ["192.0.2.0/24"]), "range": ("size", [1, 2]), "empty": ("sender", [])}
    for op in schemas["Filter"]["anyOf"][0]["properties"]["op"]["enum"]:
        column, given = values.get(op, (text["column"], text["values"]))
        where = [{"column": column, "op": op, "values": given}]
        assert call(hub, "POST", "/api/v1/query", READ_KEY, {"measures": ["requests"], "where": where}).status == 200, op


def test_the_manual_names_each_problem():
    manual = (ROOT / "docs/reference/http.md").read_text()
    for code in contract.document()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]:
        assert f"`{code}`" in manual, code


def test_the_contract_can_be_broken():
    """What the tests rely on: a reply that isn't as described is found."""
    class Reply:
        status, fields = 200, {"content-type": "application/json", "etag": '"' + "0" * 32 + '"'}
        body = json.dumps({"name": "x", "id": 1, "created": "2026-01-01T00:00:00Z", "rule_version": 1}).encode()

    contract.check("GET", "/api/v1/tenants/x", b"", {}, Reply)
    for change in ({"body": b'{"name":"x"}'}, {"body": Reply.body[:-1] + b',"more":1}'}, {"status": 202},
                   {"fields": {"content-type": "application/json"}}, {"fields": {**Reply.fields, "content-type": "text/html"}},
                   {"fields": {**Reply.fields, "etag": "weak"}}):
        with pytest.raises(AssertionError):
            contract.check("GET", "/api/v1/tenants/x", b"", {}, type("Changed", (Reply,), change))
    with pytest.raises(AssertionError):
        contract.check("GET", "/api/v1/tenants/x?who=me", b"", {}, Reply)
    with pytest.raises(AssertionError):
        contract.check("GET", "/api/v1/nothing", b"", {}, Reply)


def test_a_linter_finds_nothing():
    tool = ROOT / "build/deps/openapi-lint"
    assert (tool / "node_modules").exists(), "tools/bootstrap test installs the linter"
    done = subprocess.run(["node", ROOT / "tools/openapi-lint/lint.js", build_dir() / "src/api/openapi.json"],
                          env={"PATH": "/usr/local/bin:/usr/bin:/bin", "NODE_PATH": str(tool / "node_modules")},
                          capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
