# SPDX-License-Identifier: Apache-2.0
"""contract: the API's description (OpenAPI 3.1) as the build put it together, and what requests and replies must look
like to keep it. Every reply that a test sees is held against it, and every request that was not refused."""
import functools
import json
import re
import urllib.parse
import warnings

from harness import build_dir

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # RefResolver has a successor, which Debian 12 hasn't
    from jsonschema import Draft202012Validator, RefResolver


@functools.cache
def document():
    return json.loads((build_dir() / "src/api/openapi.json").read_text())


@functools.cache
def _paths():
    return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path) for path in document()["paths"]]


def _operation(method, path):
    """(template, the operation), with None for what isn't described."""
    literal = document()["paths"].get(path)
    found = path if literal else next((name for pattern, name in _paths() if pattern.fullmatch(path)), None)
    return found, document()["paths"].get(found, {}).get("get" if method == "HEAD" else method.lower())


def _resolve(value):
    while isinstance(value, dict) and "$ref" in value:
        found = document()
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


def _validate(schema, value, what):
    resolver = RefResolver("", document())
    errors = list(Draft202012Validator(schema, resolver=resolver).iter_errors(value))
    assert not errors, f"{what}: {errors[0].json_path}: {errors[0].message[:500]}"


def _abridged(value):
    """Of a long list its beginning and its end: rows are alike, and there may be tens of thousands."""
    if isinstance(value, dict):
        return {name: _abridged(one) if name == "rows" else one for name, one in value.items()}
    return value[:50] + value[-50:] if isinstance(value, list) and len(value) > 100 else value


def _media(fields):
    return fields.get("content-type", "").split(";")[0].strip()


def _check_request(template, operation, query, body, fields, what):
    parameters = [_resolve(one) for one in operation.get("parameters", []) + document()["paths"][template].get("parameters", [])]
    known = {one["name"] for one in parameters if one["in"] == "query"}
    for name in urllib.parse.parse_qs(query, keep_blank_values=True):
        assert name in known, f"{what}: ?{name}= isn't described"
    described = operation.get("requestBody")
    if not body:
        assert not (described and described["required"]), f"{what}: a body is described, and none was sent"
        return
    assert described, f"{what}: a body was sent, and none is described"
    media = _media({name.lower(): value for name, value in fields.items()})
    assert media in described["content"], f"{what}: {media} isn't described"
    if media.endswith("json") and media != "application/x-ndjson":
        _validate(described["content"][media]["schema"], _abridged(json.loads(body)), f"{what}: the request")


def _check_reply(operation, method, reply, what):
    described = operation["responses"].get(str(reply.status)) or operation["responses"].get(f"{reply.status // 100}XX")
    assert described, f"{what}: the status isn't described"
    described = _resolve(described)
    for name, header in described.get("headers", {}).items():
        if name in ("ETag", "X-Request-Id"):
            assert name.lower() in reply.fields, f"{what}: there is no {name}"
        if name.lower() in reply.fields:
            _validate(_resolve(header)["schema"], reply.fields[name.lower()], f"{what}: {name}")
    content = described.get("content")
    if method == "HEAD" or not content:
        assert not reply.body, f"{what}: there is a body"
        return
    media = _media(reply.fields)
    assert media in content, f"{what}: {media} isn't described"
    if media.endswith("json"):
        is_json = media.split(";")[0].endswith("json") and "ndjson" not in media
        body = _abridged(json.loads(reply.body)) if is_json else reply.body.decode()
        _validate(content[media]["schema"], body, f"{what}: the reply")


def check(method, target, body, fields, reply):
    """body: the bytes that were sent; fields: of the request; reply: status, fields with lower-case names, body."""
    path, _, query = target.partition("?")
    template, operation = _operation(method, path)
    what = f"{method} {target}: {reply.status}"
    if operation is None:
        # Files for browsers are none of the API's.
        assert 400 <= reply.status < 600 or not path.startswith("/api/"), f"{what}: docs/openapi doesn't describe it"
        return
    _check_reply(operation, method, reply, what)
    if reply.status < 300:
        _check_request(template, operation, query, body, fields, what)
