# SPDX-License-Identifier: Apache-2.0
"""The same API by TLS: its certificate, what TLS refuses, and that all that test_http.py asks of HTTP/1.1 holds here, too."""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import ssl
import stat
import subprocess
import threading
import time

import pytest

from harness import LIMIT_S, READ_KEY, Hub, build_dir, free_port, metrics, wait_until
from test_http import HEAD, KEYS, MANAGE_KEY, ODD, QUESTION, REFUSALS, SMUGGLED, Raw, call, post


class SecureHub(Hub):
    def __init__(self, directory, settings=None):
        self.https_port = free_port()
        super().__init__(directory, {"https": f"127.0.0.1:{self.https_port}", **(settings or {})})

    @property
    def certificate(self):
        return pathlib.Path(self.settings.get("tls_certificate") or self.dir / "data" / "tls.crt")

    def pin(self):
        return self.cli("key").stdout.split()[0]


@pytest.fixture
def hub(place, started):
    hub = started(SecureHub(place / "hub")).ready()
    hub.load(KEYS)
    return hub


def client_context(hub, protocols=("http/1.1",)):
    context = ssl.create_default_context(cafile=str(hub.certificate))
    context.set_alpn_protocols(list(protocols))
    return context


class Secure(Raw):
    """As Raw, by TLS, which checks the certificate and the name in it."""

    def __init__(self, hub, data=b"", address="127.0.0.1", context=None, session=None):
        self.context, self.session = context or client_context(hub), session
        super().__init__(hub, data, address)

    def connect(self, hub):
        self.fd.connect(("127.0.0.1", hub.https_port))
        self.fd = self.context.wrap_socket(self.fd, server_hostname="localhost", session=self.session)

    def send(self, data):
        with contextlib.suppress(ssl.SSLError):
            super().send(data)

    def ended(self):
        try:
            return super().ended()
        except ssl.SSLError:
            return True


def secure_call(hub, method, path, **more):
    return call(hub, method, path, connection=Secure, **more)


def make_certificate(directory, name):
    """Certificate and key of an operator's own, as files."""
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
                    "-days", "30", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"],
                   check=True, capture_output=True)
    return certificate, key


def shown(hub):
    """The certificate that a new connection is shown."""
    return ssl.get_server_certificate(("127.0.0.1", hub.https_port))


def test_first_start(hub):
    """A certificate of its own, known by its pin, which the next start keeps."""
    key = hub.dir / "data" / "tls.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    pin = hub.pin()
    assert pin.startswith("sha256//") and f"pin={pin}]" in hub.log()
    assert json.loads(hub.cli("key", "--json").stdout) == {"server_key": hub.server_key(), "tls_pin": pin}
    for name in ("localhost", "127.0.0.1", socket.gethostname()):
        with socket.create_connection(("127.0.0.1", hub.https_port)) as fd, \
                client_context(hub).wrap_socket(fd, server_hostname=name) as secure:
            assert secure.version() == "TLSv1.3" and secure.selected_alpn_protocol() == "http/1.1"
    reply = secure_call(hub, "POST", "/api/v1/query", body=QUESTION)
    assert reply.status == 200 and reply.json()["rows"] == [{"requests": 0}]
    assert reply.fields["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in call(hub, "GET", "/healthz").fields
    assert hub.stop() == 0
    hub.start().ready()
    assert hub.pin() == pin
    curl = ["curl", "-sk", "--pinnedpubkey"]
    url = f"https://127.0.0.1:{hub.https_port}/healthz"
    assert subprocess.run([*curl, pin, url], check=True, capture_output=True).stdout == b'{"status":"ok"}'
    assert subprocess.run([*curl, "sha256//" + "A" * 43 + "=", url], check=False).returncode == 90


def test_the_pin_is_known_before_the_first_start(place):
    hub = SecureHub(place / "hub")
    pin, wire = hub.cli("key").stdout.split()
    assert pin.startswith("sha256//") and wire == hub.server_key() and pin == hub.pin()


def test_without_https_there_is_no_certificate(place, started):
    hub = started(Hub(place / "hub")).ready()
    assert hub.cli("key").stdout.split() == [hub.server_key()]
    assert not (hub.dir / "data" / "tls.key").exists()


def test_the_hubs_figures_are_for_this_machine(hub):
    assert secure_call(hub, "GET", "/metrics").status == 200
    secure_call(hub, "GET", "/metrics", fields={"X-Forwarded-For": "192.0.2.1"}).problem(404)


def test_an_operators_certificate_changes_while_connections_go_on(place, started):
    first, second = make_certificate(place, "first"), make_certificate(place, "second")
    certificate, key = place / "tls.crt", place / "tls.key"

    def install(files):
        for source, target in zip(files, (certificate, key)):
            fresh = target.with_suffix(".new")
            fresh.write_bytes(source.read_bytes())
            os.replace(fresh, target)

    install(first)
    hub = started(SecureHub(place / "hub", {"tls_certificate": certificate, "tls_key": key})).ready()
    assert shown(hub) == first[0].read_text()
    with Secure(hub, SMUGGLED) as raw:
        assert raw.reply().status == 200
        install(second)
        hub.process.send_signal(signal.SIGHUP)
        wait_until(lambda: shown(hub) == second[0].read_text(), "the new certificate is shown")
        raw.send(SMUGGLED)
        assert raw.reply().status == 200

        key.write_text("no key\n")  # without a word to the hub
        wait_until(lambda: "the certificate stays as it was" in hub.log(), "it is told")
        assert shown(hub) == second[0].read_text()
        install(first)
        wait_until(lambda: shown(hub) == first[0].read_text(), "and read again when it is good")
        raw.send(SMUGGLED)
        assert raw.reply().status == 200
    assert hub.log().count("the certificate stays as it was") == 1


@pytest.mark.parametrize("change", [{"tls_key": ""}, {"tls_key": "other.key"}, {"tls_certificate": "missing.crt"},
                                    {"tls_certificate": "first.key"}])
def test_a_certificate_that_cannot_be_used_stops_the_start(place, started, change):
    first, other = make_certificate(place, "first"), make_certificate(place, "other")
    assert other[1].exists()
    settings = {"tls_certificate": first[0], "tls_key": first[1]}
    settings |= {name: value and place / value for name, value in change.items()}
    hub = started(SecureHub(place / "hub", settings))
    wait_until(lambda: not hub.alive(), "it doesn't start")
    assert hub.process.wait() == os.EX_CONFIG
    assert "tls_key" in hub.log() or str(place) in hub.log()


def test_a_session_is_taken_up_again(hub):
    context = client_context(hub)
    with Secure(hub, SMUGGLED, context=context) as raw:
        assert raw.reply().status == 200  # behind the ticket
        session = raw.fd.session
    with Secure(hub, SMUGGLED, context=context, session=session) as raw:
        assert raw.reply().status == 200 and raw.fd.session_reused


def s_client(hub, *flags, stdin=b""):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{hub.https_port}", *flags], input=stdin,
                          capture_output=True, check=False, timeout=LIMIT_S)
    return (done.stdout + done.stderr).decode(errors="replace")


def test_old_tls_and_renegotiation_are_refused(hub):
    assert "alert protocol version" in s_client(hub, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    assert "handshake failure" in s_client(hub, "-tls1_2", "-cipher", "AES128-SHA")
    assert "no application protocol" in s_client(hub, "-alpn", "spdy/1")
    assert "Cipher    : ECDHE-ECDSA" in s_client(hub, "-tls1_2")
    assert "no renegotiation" in s_client(hub, "-tls1_2", stdin=b"R\n")
    assert secure_call(hub, "GET", "/healthz").status == 200


NOISE = [b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 70000, bytes(range(256)) * 300,
         b"\x16\x03\x01\x00\x05\x01\x00\xff\xff\xff", b"\x15\x03\x01\x00\x02\x02\x28", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]


def test_what_is_no_tls_ends(place, started):
    """At once, or when the time for a handshake is over; a half one costs its place no longer than that."""
    hub = started(SecureHub(place / "hub", {"http_head_timeout": "1s"})).ready()
    hub.load(KEYS)
    for noise in NOISE:
        with socket.create_connection(("127.0.0.1", hub.https_port), timeout=60) as fd, \
                contextlib.suppress(ConnectionError):
            fd.sendall(noise)
            while fd.recv(65536):
                pass
    wait_until(lambda: metrics(hub.metrics_port)["mail_analytics_http_connections"] == 0, "all are gone")
    assert metrics(hub.metrics_port)["mail_analytics_http_timeouts_total"] >= 1
    assert secure_call(hub, "GET", "/healthz").status == 200


def test_a_handshake_in_any_pieces(hub):
    """And its request, one byte a record."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = client_context(hub).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", hub.https_port), timeout=60) as fd:
        fd.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def drip():
            for byte in outgoing.read():
                fd.sendall(bytes([byte]))

        def until_done(step):
            while True:
                try:
                    done = step()
                    drip()
                    return done
                except ssl.SSLWantReadError:
                    drip()
                    incoming.write(fd.recv(65536))

        until_done(secure.do_handshake)
        for byte in SMUGGLED:
            secure.write(bytes([byte]))
        assert until_done(lambda: secure.read(65536)).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("method,path,body,fields,status", REFUSALS)
def test_refusals(hub, method, path, body, fields, status):
    assert secure_call(hub, method, path, body=body, fields=fields).problem(status)


def test_odd_requests_end_their_connection(hub):
    """The corpus of test_http.py: one refusal, and nothing of what follows is taken for a request."""
    for name, (data, status) in ODD.items():
        with Secure(hub, data) as raw:
            reply = raw.reply()
            reply.problem(status)
            assert reply.fields["connection"] == "close", name
            assert raw.ended(), name
    assert secure_call(hub, "GET", "/healthz").status == 200


def resident_bytes(hub):
    return int(pathlib.Path(f"/proc/{hub.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_large_answers_and_who_does_not_read(hub):
    """What isn't read stays where it is: at the client's end of the connection, and bounded here."""
    domains = [{"name": f"d{i}.example"} for i in range(20000)]
    assert secure_call(hub, "POST", "/api/v1/domains", key=MANAGE_KEY, body=domains).json() == {"added": 20000}
    request = b"GET /api/v1/domains HTTP/1.1\r\n" + HEAD + b"\r\n"
    whole = secure_call(hub, "GET", "/api/v1/domains")
    assert len(whole.json()["rows"]) > 20000
    quarantine = 256 * 1024 * 1024 if "asan" in build_dir().name else 0  # what was freed stays for that long
    before = resident_bytes(hub)
    with Secure(hub) as deaf:
        sender = threading.Thread(target=deaf.send, args=(request * 200,))
        sender.start()
        for _ in range(5):
            assert secure_call(hub, "GET", "/api/v1/domains").body == whole.body
        assert resident_bytes(hub) < before + 64 * 1024 * 1024 + quarantine
        for _ in range(200):
            assert deaf.reply().body == whole.body
        sender.join()


def test_pipelined_requests(hub):
    question = json.dumps(QUESTION).encode()
    one = post(question, b"Content-Length: %d" % len(question)) + SMUGGLED
    with Secure(hub) as raw:
        sender = threading.Thread(target=raw.send, args=(one * 200,))
        sender.start()
        assert [raw.reply().status for _ in range(400)] == [200] * 400
        sender.join()


def test_expect_continue(hub):
    question = json.dumps(QUESTION).encode()
    with Secure(hub, post(b"", b"Content-Length: %d" % len(question), b"Expect: 100-continue")) as raw:
        assert raw.reply().status == 100
        raw.send(question)
        assert raw.reply().status == 200


def test_too_many_connections_are_turned_away(place, started):
    """Without a handshake."""
    hub = started(SecureHub(place / "hub", {"http_connections_per_address": 3})).ready()
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(Secure(hub, SMUGGLED)).reply()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            Secure(hub)
    wait_until(lambda: metrics(hub.metrics_port)["mail_analytics_http_connections"] == 0, "all are gone")
    assert metrics(hub.metrics_port)["mail_analytics_http_turned_away_total"] == 1
    assert secure_call(hub, "GET", "/healthz").status == 200


def test_an_ordinary_client(hub):
    client = http.client.HTTPSConnection("localhost", hub.https_port, timeout=60, context=client_context(hub))
    for _ in range(5):
        client.request("GET", "/api/v1/domains", headers={"Authorization": f"Bearer {READ_KEY}"})
        reply = client.getresponse()
        assert reply.status == 200 and json.load(reply)["rows"]
    client.close()


def test_sigterm_ends_idle_connections(hub):
    with Secure(hub, SMUGGLED) as raw, socket.create_connection(("127.0.0.1", hub.https_port)) as silent:
        assert raw.reply().status == 200
        began = time.monotonic()
        hub.process.send_signal(signal.SIGTERM)
        assert raw.ended()
        silent.settimeout(60)
        assert not silent.recv(1)
    assert hub.process.wait(LIMIT_S) == 0, hub.log()
    assert time.monotonic() - began < 30


def test_a_persons_cookie_is_for_this_host_and_tls_alone(hub):
    password = hub.cli("user", "reset").stdout.strip()
    reply = call(hub, "POST", "/api/v1/session", None, {"name": "admin", "password": password}, connection=Secure)
    cookie = reply.fields["set-cookie"]
    assert cookie.startswith("__Host-session=") and cookie.endswith("; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure")
    fields = {"Cookie": cookie.split(";")[0]}
    assert call(hub, "GET", "/api/v1/session", None, fields=fields, connection=Secure).json()["user"] == "admin"
    call(hub, "GET", "/api/v1/session", None, fields=fields).problem(401)
    fields["Cookie"] = fields["Cookie"].removeprefix("__Host-")  # what a plain page could have set
    call(hub, "GET", "/api/v1/session", None, fields=fields, connection=Secure).problem(401)
