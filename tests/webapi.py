# SPDX-License-Identifier: Apache-2.0
"""webapi: speaks to a hub's HTTP API as strict clients, browsers and hostile peers do. What goes through call() and
Browser is held against the API's description (contract.py); Raw is a connection that sends any bytes."""
import contextlib
import json
import re
import socket

import contract
from harness import READ_KEY


class Reply:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    def json(self):
        return json.loads(self.body)

    def problem(self, status):
        """The problem document, which must be one and carry the request's id."""
        assert self.status == status, self.body
        assert self.fields["content-type"] == "application/problem+json"
        document = self.json()
        assert document["status"] == status
        assert document["type"].startswith("urn:mail-analytics:problem:")
        assert re.fullmatch("[0-9a-f]{16}", document["request_id"])
        assert document["request_id"] == self.fields["x-request-id"]
        return document


class Raw:
    """A connection that sends what it is told and reads replies as RFC 9112 frames them."""

    def __init__(self, hub, data=b"", address="127.0.0.1"):
        self.fd = socket.socket()
        self.fd.settimeout(60)
        self.fd.bind((address, 0))
        self.rest = b""
        self.connect(hub)
        self.send(data)

    def connect(self, hub):
        self.fd.connect(("127.0.0.1", hub.http_port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.fd.close()

    def send(self, data):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused already: the reply tells
            self.fd.sendall(data)

    def _more(self):
        part = self.fd.recv(65536)
        if not part:
            raise EOFError(self.rest)
        self.rest += part

    def _chunks(self):
        """A body in chunks (RFC 9112, 7.1), to its end."""
        body = b""
        while True:
            while b"\r\n" not in self.rest:
                self._more()
            line, self.rest = self.rest.split(b"\r\n", 1)
            size = int(line, 16)
            while len(self.rest) < size + 2:
                self._more()
            chunk, self.rest = self.rest[:size], self.rest[size + 2:]
            if size == 0:
                return body
            body += chunk

    def reply(self, head=False):
        while b"\r\n\r\n" not in self.rest:
            self._more()
        text, self.rest = self.rest.split(b"\r\n\r\n", 1)
        first, *lines = text.decode().split("\r\n")
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        assert len(fields) == len(lines), lines  # none twice
        status = int(first.split(" ", 2)[1])
        if fields.get("transfer-encoding") == "chunked" and not head:
            return Reply(status, fields, self._chunks())
        size = 0 if head or status in (100, 204, 304) else int(fields["content-length"])
        while len(self.rest) < size:
            self._more()
        body, self.rest = self.rest[:size], self.rest[size:]
        return Reply(status, fields, body)

    def ended(self):
        """True once the server has closed and sent nothing more."""
        try:
            return not self.rest and not self.fd.recv(65536)
        except ConnectionResetError:
            return True


def call(hub, method, path, key=READ_KEY, body=None, fields=None, address="127.0.0.1", connection=Raw):
    """One request on a connection of its own. body: JSON, or bytes; key: an API key, or None."""
    lines = {"Host": "localhost", **({"Authorization": f"Bearer {key}"} if key else {})}
    data = b""
    if body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
    elif method in ("POST", "PUT", "PATCH"):
        lines |= {"Content-Length": "0"}
    lines = {name: value for name, value in (lines | (fields or {})).items() if value is not None}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    with connection(hub, head.encode() + data, address) as raw:
        reply = raw.reply(head=method == "HEAD")
    contract.check(method, path, data, lines, reply)
    return reply


class Browser:
    """A person at a browser: keeps the cookie and sends the second token with what changes something."""

    def __init__(self, hub, address="127.0.0.1"):
        self.hub, self.address = hub, address
        self.cookie = self.csrf = None

    def call(self, method, path, body=None, fields=None):
        lines = {"Sec-Fetch-Site": "same-origin", "Cookie": self.cookie}
        if method not in ("GET", "HEAD"):
            lines |= {"X-CSRF-Token": self.csrf, "Origin": "http://localhost"}
        reply = call(self.hub, method, path, None, body, lines | (fields or {}), self.address)
        if "set-cookie" in reply.fields:
            pair = reply.fields["set-cookie"].split(";")[0]
            self.cookie = pair if not pair.endswith("=") else None
        return reply

    def login(self, name, password):
        reply = self.call("POST", "/api/v1/session", {"name": name, "password": password})
        if reply.status == 201:
            self.csrf = reply.json()["csrf_token"]
        return reply
