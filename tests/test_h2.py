# SPDX-License-Identifier: Apache-2.0
"""HTTP/2: what test_http.py asks of HTTP/1.1, many requests on one connection, and clients that only talk, stall or smuggle."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest

from harness import LIMIT_S, READ_KEY, metrics, wait_until
from test_http import KEYS, MANAGE_KEY, QUESTION, REFUSALS, writers_wait
from test_https import SecureHub, client_context
from webapi import Reply

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, UNKNOWN = 0, 1, 2, 3, 4, 6, 7, 8, 9, 77
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture
def hub(place, started):
    hub = started(SecureHub(place / "hub")).ready()
    hub.load(KEYS)
    return hub


def frame(kind, payload=b"", flags=0, stream=0):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def dial(hub):
    fd = socket.create_connection(("127.0.0.1", hub.https_port), timeout=60)
    fd.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    fd = client_context(hub, ["h2"]).wrap_socket(fd, server_hostname="localhost")
    assert fd.selected_alpn_protocol() == "h2"
    return fd


class Client:
    """A connection of python-h2, which is as strict with us as it is with itself; `checked` False lets it send anything."""

    def __init__(self, hub, checked=True, window=None):
        self.fd = dial(hub)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=checked, normalize_outbound_headers=checked))
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.flush()
        self.heads, self.bodies, self.ends, self.interim, self.rest = {}, {}, {}, [], b""
        self.goaway, self.closed = None, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.fd.close()

    def flush(self):
        with contextlib.suppress(OSError):  # refused already: what comes tells
            self.fd.sendall(self.h2.data_to_send())

    def send(self, data):
        with contextlib.suppress(OSError):
            self.fd.sendall(data)

    def ask(self, method, path, key=READ_KEY, body=None, fields=(), last=True, authority="localhost"):
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)]
        head = [pair for pair in head if pair[1] is not None]
        head += [("authorization", f"Bearer {key}")] if key else []
        if body is not None:
            head.append(("content-type", "application/json"))
        self.h2.send_headers(stream, head + list(fields), end_stream=body is None and last)
        self.flush()
        if body is not None:
            self.send_body(stream, body if isinstance(body, bytes) else json.dumps(body).encode(), last)
        return stream

    def send_body(self, stream, body, last=True, piece=16384):
        for at in range(0, len(body), piece):
            part = body[at:at + piece]
            while self.h2.local_flow_control_window(stream) < len(part):
                if stream in self.ends or not self.hear():
                    return
            if stream in self.ends:
                return
            self.h2.send_data(stream, part, end_stream=last and at + piece >= len(body))
            self.flush()

    def hear(self):
        """Takes what comes; False at the end."""
        try:
            data = self.fd.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return False
        self.rest += data
        while len(self.rest) >= 9 and len(self.rest) >= 9 + int.from_bytes(self.rest[:3], "big"):
            size = 9 + int.from_bytes(self.rest[:3], "big")
            whole, self.rest = self.rest[:size], self.rest[size:]
            if whole[3] == GOAWAY:  # python-h2 would hear no answer after it
                self.goaway = int.from_bytes(whole[13:17], "big")
                continue
            for event in self.h2.receive_data(whole):
                self.take(event)
        self.flush()
        return True

    def take(self, event):
        if isinstance(event, h2.events.ResponseReceived):
            self.heads[event.stream_id] = dict(event.headers)
            assert len(self.heads[event.stream_id]) == len(event.headers)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            self.interim.append(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
            if event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.ends[event.stream_id] = None
        elif isinstance(event, h2.events.StreamReset):
            self.ends.setdefault(event.stream_id, event.error_code)

    def reply(self, stream):
        while stream not in self.ends:
            assert self.hear(), f"the connection ended: {self.goaway}"
        assert self.ends[stream] is None, f"reset: {self.ends[stream]}"
        head = self.heads[stream]
        return Reply(int(head.pop(":status")), head, self.bodies.get(stream, b""))

    def call(self, *args, **more):
        return self.reply(self.ask(*args, **more))

    def until_closed(self):
        while self.hear():
            pass
        return self.goaway


def test_many_questions_at_once(hub):
    with Client(hub) as client:
        streams = [client.ask("POST", "/api/v1/query", body=QUESTION) for _ in range(60)]
        replies = [client.reply(stream) for stream in streams]
        assert all(reply.status == 200 and reply.json()["rows"] == [{"requests": 0}] for reply in replies)
        assert len({reply.fields["x-request-id"] for reply in replies}) == 60
        first = replies[0].fields
        assert first["strict-transport-security"] and first["content-length"] == str(len(replies[0].body))
        assert not {"connection", "transfer-encoding"} & first.keys()
        for i in range(300):  # and many more than one connection may have at once
            assert client.call("GET", "/healthz", key=None).status == 200, i
        assert client.call("GET", "/api/v1/domains", MANAGE_KEY).json()["rows"]
    assert metrics(hub.metrics_port)["mail_analytics_http_floods_total"] == 0


def test_curl(hub):
    done = subprocess.run(["curl", "-sS", "--http2", "--cacert", hub.certificate, "-w", " %{http_version}",
                           f"https://localhost:{hub.https_port}/healthz"], capture_output=True, check=True)
    assert done.stdout == b'{"status":"ok"} 2'


def test_head_and_problems(hub):
    with Client(hub) as client:
        head = client.call("HEAD", "/healthz", key=None)
        assert (head.status, head.fields["content-length"], head.body) == (200, "15", b"")
        assert client.call("GET", "/nowhere").problem(404)
        assert client.call("GET", "/api/v1/domains", key=None).fields["www-authenticate"]
        client.call("GET", "/metrics", fields=[("x-forwarded-for", "192.0.2.1")]).problem(404)


@pytest.mark.parametrize("method,path,body,fields,status", [  # what is about framing: test_odd_heads
    case for case in REFUSALS if not {"Transfer-Encoding", "Content-Length"} & case[3].keys()])
def test_refusals(hub, method, path, body, fields, status):
    given = [(name.lower(), value) for name, value in fields.items() if name != "Content-Type"]
    with Client(hub) as client:
        if "Content-Type" in fields:
            stream = client.ask(method, path, last=False, fields=[("content-type", fields["Content-Type"])])
            client.send_body(stream, body)
        else:
            stream = client.ask(method, path, body=body, fields=given)
        assert client.reply(stream).problem(status)
        assert client.call("GET", "/healthz").status == 200  # the connection goes on


def test_bodies_however_they_come(hub):
    question = json.dumps(QUESTION).encode()
    json_type = [("content-type", "application/json")]
    with Client(hub) as client:
        for fields in (json_type, [*json_type, ("content-length", str(len(question)))]):
            stream = client.ask("POST", "/api/v1/query", fields=fields, last=False)
            client.send_body(stream, question, piece=1)
            assert client.reply(stream).status == 200
        stream = client.ask("POST", "/api/v1/query", fields=json_type, last=False)
        client.send_body(stream, question, last=False)
        client.h2.send_headers(stream, [("x-trailer", "y")], end_stream=True)
        client.flush()
        assert client.reply(stream).status == 200
        stream = client.ask("POST", "/api/v1/query", fields=[*json_type, ("expect", "100-continue")], last=False)
        wait_until(lambda: client.hear() and client.interim == ["100"], "it may go on")
        client.send_body(stream, question)
        assert client.reply(stream).status == 200
        domains = [{"name": f"d{i}.example"} for i in range(20000)]
        assert client.call("POST", "/api/v1/domains", MANAGE_KEY, body=domains).json() == {"added": 20000}
        assert len(client.call("GET", "/api/v1/domains").json()["rows"]) > 20000


def test_a_body_that_is_too_long(hub):
    """With a length it is refused before it comes; without, where the limit is; and the rest isn't wanted."""
    fields = [("content-type", "application/json")]
    with Client(hub) as client:
        stream = client.ask("POST", "/api/v1/query", fields=[*fields, ("content-length", "99999999")], last=False)
        assert client.reply(stream).problem(413)
        stream = client.ask("POST", "/api/v1/query", fields=fields, last=False)
        client.send_body(stream, b" " * (9 * 1024 * 1024), last=False)
        assert client.reply(stream).problem(413)
        assert client.call("GET", "/healthz").status == 200


def lines(*pairs):
    return [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/healthz"), *pairs]


# What is wrong with it, and the statuses that may follow; None: the stream is reset.
ODD_HEADS = {
    "an upper case name": (lines(("X-Name", "y")), (400, None)),
    "a name with a colon": (lines(("x:y", "z")), (400, None)),
    "a line break in a value": (lines(("x", "y\r\nhost: b")), (400, None)),
    "a NUL in a value": (lines(("x", "y\0z")), (400, None)),
    "a connection field": (lines(("connection", "close")), (None,)),
    "a transfer-encoding": (lines(("transfer-encoding", "chunked")), (None,)),
    "another te than trailers": (lines(("te", "gzip")), (None,)),
    "a length without a body": (lines(("content-length", "5")), (None,)),
    "two lengths": (lines(("content-length", "0"), ("content-length", "5")), (None, 400)),
    "a pseudo-field behind others": ([*lines()[:3], ("x", "y"), lines()[3]], (None,)),
    "an unknown pseudo-field": (lines()[:1] + [(":x", "y")] + lines()[1:], (None,)),
    "two paths": (lines((":path", "/")), (None,)),
    "no path": (lines()[:3], (None,)),
    "an empty path": ([*lines()[:3], (":path", "")], (None, 400)),
    "a path without a slash": ([*lines()[:3], (":path", "healthz")], (None, 400)),
    "a path with a space": ([*lines()[:3], (":path", "/healthz HTTP/1.1\r\nx: y")], (None, 400)),
    "CONNECT": ([(":method", "CONNECT"), (":authority", "a:80")], (None, 400)),
    "a method with a space": ([(":method", "GET /"), *lines()[1:]], (None, 400)),
    "another host": (lines(("host", "b")), (400,)),
    "no host at all": ([lines()[0], lines()[1], lines()[3]], (None, 400)),
    "101 fields": (lines(*[(f"x{i}", "y") for i in range(101)]), (431,)),
    "a path of 9,000 bytes": ([*lines()[:3], (":path", "/" + "x" * 9000)], (414,)),
    "17,000 bytes": (lines(*[(f"x{i}", "y" * 1000) for i in range(17)]), (431,)),
    "60,000 bytes, a few on the wire": (lines(*[("x", "y" * 3000)] * 20), (431,)),
}


@pytest.mark.parametrize("name", ODD_HEADS)
def test_odd_heads(hub, name):
    head, statuses = ODD_HEADS[name]
    with Client(hub, checked=False) as client:
        stream = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream, head, end_stream=True)
        client.flush()
        while stream not in client.ends and client.hear():
            pass
        if client.ends.get(stream, "closed") is None:
            reply = client.reply(stream)
            assert reply.problem(reply.status) and reply.status in statuses
        else:
            assert None in statuses
    with Client(hub) as client:
        assert client.call("GET", "/healthz").status == 200


def test_the_same_host_twice_and_cookies_in_crumbs(hub):
    """Browsers cut their cookies in pieces; some proxies send Host along."""
    with Client(hub, checked=False) as client:
        stream = client.ask("GET", "/healthz", fields=[("cookie", "a=b"), ("cookie", "c=d"), ("host", "localhost")])
        assert client.reply(stream).status == 200


def end_of(fd):
    """The error code of the last GOAWAY before the end, or None."""
    data, code = b"", None
    with contextlib.suppress(OSError):
        while part := fd.recv(65536):
            data += part
    while len(data) >= 9:
        size, kind = int.from_bytes(data[:3], "big"), data[3]
        if kind == GOAWAY:
            code = int.from_bytes(data[13:17], "big")
        data = data[9 + size:]
    return code


HEAD_BLOCK = b"\x82\x87\x84\x41\x01a"  # GET, https, /, and "a" for the host, as HPACK writes it
FLOODS = {
    "PING": frame(PING, b"12345678") * 100,
    "SETTINGS": frame(SETTINGS, struct.pack(">HI", 4, 65535)) * 100,
    "WINDOW_UPDATE": frame(WINDOW_UPDATE, struct.pack(">I", 1)) * 100,
    "PRIORITY": b"".join(frame(PRIORITY, struct.pack(">IB", 0, 1), stream=2 * i + 1) for i in range(100)),
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods(hub, name):
    with dial(hub) as fd, Client(hub) as other:
        with contextlib.suppress(OSError):
            fd.sendall(PREFACE + frame(SETTINGS))
            for _ in range(100):
                fd.sendall(FLOODS[name])
        assert other.call("POST", "/api/v1/query", body=QUESTION).status == 200
        assert end_of(fd) in (h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, None)
    assert metrics(hub.metrics_port)["mail_analytics_http_floods_total"] == 1


@pytest.mark.parametrize("flags", [0, END_STREAM])
def test_rapid_reset(hub, flags):
    with dial(hub) as fd, Client(hub) as other:
        with contextlib.suppress(OSError):
            fd.sendall(PREFACE + frame(SETTINGS))
            for i in range(10000):
                fd.sendall(frame(HEADERS, HEAD_BLOCK, END_HEADERS | flags, 2 * i + 1) +
                           frame(RST_STREAM, struct.pack(">I", 8), stream=2 * i + 1))
        assert other.call("POST", "/api/v1/query", body=QUESTION).status == 200
        assert end_of(fd) in (h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, None)
    assert metrics(hub.metrics_port)["mail_analytics_http_requests_total"] < 2000


def test_empty_data(hub):
    with dial(hub) as fd, Client(hub) as other:
        block = b"\x83\x87\x41\x01a\x04\x0d/api/v1/query" + b"\x00\x0dauthorization" + bytes([len(READ_KEY) + 7]) + b"Bearer " + \
            READ_KEY.encode() + b"\x00\x0ccontent-type\x10application/json"
        with contextlib.suppress(OSError):
            fd.sendall(PREFACE + frame(SETTINGS) + frame(HEADERS, block, END_HEADERS, 1))
            for _ in range(100):
                fd.sendall(frame(DATA, stream=1) * 100)
        assert other.call("GET", "/healthz").status == 200
        assert end_of(fd) in (h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, None)
    assert metrics(hub.metrics_port)["mail_analytics_http_floods_total"] == 1


def test_a_head_without_an_end(hub):
    """CONTINUATION for ever, with fields and without."""
    for piece in (b"", b"\x00\x01x\x01y" * 100):
        with dial(hub) as fd, Client(hub) as other:
            with contextlib.suppress(OSError):
                fd.sendall(PREFACE + frame(SETTINGS) + frame(HEADERS, HEAD_BLOCK, END_STREAM, 1))
                for _ in range(5000):
                    fd.sendall(frame(CONTINUATION, piece, 0, 1))
            assert other.call("GET", "/healthz").status == 200
            end_of(fd)


NOISE = {
    "no preface": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "random bytes": bytes(range(256)) * 100,
    "a frame beyond the limit": PREFACE + frame(SETTINGS) + frame(DATA, b"x" * 20000, 0, 1),
    "data on no stream": PREFACE + frame(SETTINGS) + frame(DATA, b"x", 0, 0),
    "data on an idle stream": PREFACE + frame(SETTINGS) + frame(DATA, b"x", 0, 5),
    "an even stream": PREFACE + frame(SETTINGS) + frame(HEADERS, HEAD_BLOCK, END_HEADERS | END_STREAM, 2),
    "a stream backwards": PREFACE + frame(SETTINGS) + frame(HEADERS, HEAD_BLOCK, END_HEADERS | END_STREAM, 5) +
                          frame(HEADERS, HEAD_BLOCK, END_HEADERS | END_STREAM, 3),
    "broken HPACK": PREFACE + frame(SETTINGS) + frame(HEADERS, b"\xff\xff\xff\xff\xff", END_HEADERS | END_STREAM, 1),
    "an index of nothing": PREFACE + frame(SETTINGS) + frame(HEADERS, b"\xfe", END_HEADERS | END_STREAM, 1),
    "CONTINUATION of nothing": PREFACE + frame(SETTINGS) + frame(CONTINUATION, HEAD_BLOCK, END_HEADERS, 1),
    "a frame between a head's": PREFACE + frame(SETTINGS) + frame(HEADERS, HEAD_BLOCK, 0, 1) + frame(PING, b"12345678"),
    "a window beyond 2^31": PREFACE + frame(SETTINGS) + frame(WINDOW_UPDATE, struct.pack(">I", 0x7fffffff)) * 2,
    "no window": PREFACE + frame(SETTINGS) + frame(WINDOW_UPDATE, struct.pack(">I", 0)),
    "a stream that hangs on itself": PREFACE + frame(SETTINGS) + frame(HEADERS, struct.pack(">IB", 1, 1) + HEAD_BLOCK,
                                                                       END_HEADERS | END_STREAM | 0x20, 1) + frame(PING, b"x"),
    "padding beyond the frame": PREFACE + frame(SETTINGS) + frame(HEADERS, b"\xff" + HEAD_BLOCK, END_HEADERS | 8, 1),
    "a push": PREFACE + frame(SETTINGS) + frame(5, struct.pack(">I", 2) + HEAD_BLOCK, END_HEADERS, 1),
    "half a preface": PREFACE[:10],
}


def test_noise(place, started):
    """Each ends the connection, with a word or without, and nothing else."""
    hub = started(SecureHub(place / "hub", {"http_head_timeout": "1s", "http_idle_timeout": "1s"})).ready()
    for name, data in NOISE.items():
        with dial(hub) as fd:
            with contextlib.suppress(OSError):
                fd.sendall(data)
            assert end_of(fd) is not None or not data.startswith(PREFACE), name
    wait_until(lambda: metrics(hub.metrics_port)["mail_analytics_http_connections"] == 0, "all are gone")
    with Client(hub) as client:
        assert client.call("GET", "/healthz", key=None).status == 200


def test_who_is_slow_is_let_go(place, started):
    """A half head ends its connection; a half body is answered with 408; an idle connection ends, pings or not."""
    hub = started(SecureHub(place / "hub", {"http_head_timeout": "1s", "http_body_timeout": "1s", "http_idle_timeout": "2s"})).ready()
    hub.load(KEYS)
    with dial(hub) as fd:
        fd.sendall(PREFACE + frame(SETTINGS) + frame(HEADERS, HEAD_BLOCK[:3], END_STREAM, 1))
        end_of(fd)
    wait_until(lambda: metrics(hub.metrics_port)["mail_analytics_http_timeouts_total"] == 1, "it is counted")
    with Client(hub) as client:
        stream = client.ask("POST", "/api/v1/query", fields=[("content-type", "application/json")], last=False)
        client.send_body(stream, b"{", last=False)
        assert client.reply(stream).problem(408)
        assert client.call("GET", "/healthz").status == 200
        assert client.until_closed() == h2.errors.ErrorCodes.NO_ERROR
    with Client(hub) as client:
        while client.goaway is None:
            client.h2.ping(b"12345678")
            client.flush()
            assert client.hear()


def resident_bytes(hub):
    return int(pathlib.Path(f"/proc/{hub.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_who_opens_no_window_hinders_nobody(hub):
    """Its own small answers come on the same connection, its large ones wait, bounded."""
    with Client(hub) as client:
        domains = [{"name": f"d{i}.example"} for i in range(5000)]
        client.call("POST", "/api/v1/domains", MANAGE_KEY, body=domains)
    before = resident_bytes(hub)
    with Client(hub, window=0) as stuck, Client(hub) as other:
        for _ in range(50):
            stuck.ask("GET", "/api/v1/domains")
        head = stuck.ask("HEAD", "/healthz")
        while head not in stuck.ends:
            assert stuck.hear()
        whole = other.call("GET", "/api/v1/domains").body
        assert resident_bytes(hub) < before + 160 * 1024 * 1024  # HTTP_REPLIES_BYTES and a little
        stuck.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
        stuck.flush()
        for stream in list(stuck.heads):
            if stream != head and stuck.heads[stream][":status"] == "200":
                assert stuck.reply(stream).body == whole
    with Client(hub) as deaf, Client(hub) as other:  # doesn't read at all
        for _ in range(100):
            deaf.ask("GET", "/api/v1/domains")
        assert other.call("GET", "/healthz").status == 200


def test_who_cancels_is_counted_and_the_others_are_answered(hub):
    with Client(hub) as client:
        with writers_wait(hub):
            streams = [client.ask("POST", "/api/v1/domains", MANAGE_KEY, body={"name": f"d{i}.example"}) for i in range(8)]
            assert client.call("GET", "/healthz").status == 200
            for stream in (streams.pop(0), streams.pop()):
                client.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
            client.flush()
            wait_until(lambda: metrics(hub.metrics_port)["mail_analytics_http_abandoned_total"] == 2, "two are given up")
        assert [client.reply(stream).status for stream in streams] == [201] * 6
    names = {row["name"] for row in json.loads(hub.cli("domain", "list", "--json").stdout)["rows"]}
    assert {f"d{i}.example" for i in range(1, 7)} < names and "d7.example" not in names


def test_one_stream_too_many(hub):
    with dial(hub) as fd:
        fd.sendall(PREFACE + frame(SETTINGS, b"", 0) + frame(SETTINGS, b"", 1) + b"".join(
            frame(HEADERS, b"\x83" + HEAD_BLOCK[1:], END_HEADERS, 2 * i + 1) for i in range(150)))
        fd.settimeout(60)
    with Client(hub) as client:
        assert client.call("GET", "/healthz").status == 200


def test_unknown_frames_are_read_over(hub):
    with Client(hub) as client:
        client.send(frame(UNKNOWN, b"x" * 100) * 100)
        assert client.call("GET", "/healthz").status == 200


def test_sigterm_lets_a_change_be_made(hub):
    with Client(hub) as client, Client(hub) as idle:
        with writers_wait(hub):
            stream = client.ask("POST", "/api/v1/domains", MANAGE_KEY, body={"name": "late.example"})
            assert client.call("GET", "/healthz").status == 200
            hub.process.send_signal(signal.SIGTERM)
            assert idle.until_closed() == h2.errors.ErrorCodes.NO_ERROR
        assert client.reply(stream).status == 201
        assert client.until_closed() == h2.errors.ErrorCodes.NO_ERROR
    assert hub.process.wait(LIMIT_S) == 0, hub.log()
