# SPDX-License-Identifier: Apache-2.0
"""harness: starts the real programs on free loopback ports with data of their own, and speaks to them as Postfix,
an operator and Prometheus do. Tests wait for conditions (wait_until), never for time."""
import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIMIT_S = int(os.environ.get("TEST_LIMIT_SECONDS", "120"))  # for a condition on a slow, busy machine


def build_dir():
    """BUILD_DIR, else the first of the builds that there is; sanitizers first."""
    named = os.environ.get("BUILD_DIR")
    if named:
        return pathlib.Path(named).resolve()
    for name in ("asan", "dev", "release"):
        if (ROOT / "build" / name / "src/main/policy-proxy").exists():
            return ROOT / "build" / name
    raise RuntimeError("nothing is built: run `make build`, or name a build directory in BUILD_DIR")


def program(name, build=None):
    path = (ROOT / "build" / build if build else build_dir()) / "src/main" / name
    if not path.exists():
        raise RuntimeError(f"{path} is missing: run `make build`, or name a build directory in BUILD_DIR")
    return str(path)


_handed_out = set()


def free_port():
    """A loopback port that nothing listens on, never the same twice, below the ephemeral range: while its owner is
    away, nobody's outgoing connection gets it."""
    while True:
        port = random.randrange(10240, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _handed_out:
            _handed_out.add(port)
            return port


def wait_until(condition, what, limit_s=LIMIT_S, pause_s=0.02):
    """Returns the condition's first true value. Exceptions of a program not yet up count as false."""
    deadline = time.monotonic() + limit_s
    last = None
    while time.monotonic() < deadline:
        try:
            value = condition()
            if value:
                return value
        except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
            last = error
        time.sleep(pause_s)
    raise AssertionError(f"not within {limit_s} s: {what}" + (f" ({last})" if last else ""))


class Program:
    """One of our programs in the foreground, with its log in a file."""

    def __init__(self, args, log, env=None, **popen):
        self.args = args
        self.log_path = pathlib.Path(log)
        self._env = {**os.environ, **(env or {})}
        self._popen = popen
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env, **self._popen
            )
        return self

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self, signum=signal.SIGKILL):
        if self.alive():
            self.process.send_signal(signum)
        self.process.wait(LIMIT_S)

    def stop(self, limit_s=LIMIT_S):
        """SIGTERM, and the exit status."""
        if self.process is None:
            return None
        if self.alive():
            self.process.terminate()
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.args[0]} did not end on SIGTERM:\n{self.log()[-2000:]}") from None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


def metrics(port):
    """{name with labels: value} of a Prometheus text."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        text = reply.read().decode()
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name] = float(value)
    return found


def unshare(*kinds):
    """Below chroot "/" is no mount point whose propagation could be changed."""
    alone = ["unshare", *kinds]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
        alone += ["--propagation", "unchanged"]
    return alone


def write_settings(path, section, settings):
    lines = [f"[{section}]"] + [f"{key} = {value}" for key, value in settings.items()]
    pathlib.Path(path).write_text("\n".join(lines) + "\n")
    os.chmod(path, 0o600)  # it holds keys


TENANT = "acme"
INGEST_KEY = "ma_" + "I" * 43
READ_KEY = "ma_" + "R" * 43
FIXTURE = {
    "tenants": [
        {
            "name": TENANT,
            "domains": ["example.com", "bulk.example"],
            "relayed": ["relayed.example"],
            "networks": ["192.0.2.0/24", "2001:db8:0:1::/64"],
            "apikeys": [
                {"name": "edges", "key": INGEST_KEY, "scopes": ["ingest"]},
                {"name": "readers", "key": READ_KEY, "scopes": ["read"]},
            ],
        }
    ]
}


class Hub(Program):
    def __init__(self, directory, settings=None, **popen):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.wire_port, self.metrics_port, self.http_port = free_port(), free_port(), free_port()
        self.config = self.dir / "hub.conf"
        self.settings = {
            "server_address": f"tcp://127.0.0.1:{self.wire_port}",
            "server_local_address": "",
            "data": str(self.dir / "data"),
            "metrics": f"127.0.0.1:{self.metrics_port}",
            "http": f"127.0.0.1:{self.http_port}",
            **(settings or {}),
        }
        write_settings(self.config, "mail-analytics", self.settings)
        self.env = {"MAIL_ANALYTICS_CONFIG": str(self.config)}
        super().__init__([program("mail-analytics"), "serve"], self.dir / "hub.log", env=self.env, **popen)

    @property
    def wire_addr(self):
        return f"tcp://127.0.0.1:{self.wire_port}"

    def cli(self, *args, stdin=None, check=True, env=None):
        """Runs mail-analytics ARGS against this hub; the finished process."""
        done = subprocess.run(
            [program("mail-analytics"), *args],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env={**os.environ, **self.env, **(env or {})},
        )
        if check and done.returncode != 0:
            raise AssertionError(f"mail-analytics {' '.join(args)}: {done.returncode}: {done.stderr}{done.stdout}")
        return done

    def ready(self):
        wait_until(lambda: self.alive() and self.cli("status", check=False).returncode == 0, f"hub up\n{self.log()}")
        return self

    def load(self, fixture):
        path = self.dir / "fixture.json"
        path.write_text(json.dumps(fixture))
        self.cli("load", str(path))

    def server_key(self):
        return self.cli("key").stdout.split()[-1]

    def metrics(self):
        return metrics(self.metrics_port)

    def query(self, *measures, by=(), where=(), since="3650d", **options):
        """The rows of one question."""
        args = ["query", "--measure", ",".join(measures), "--since", since, "--json"]
        for column in by:
            args += ["--by", column]
        for condition in where:
            args += ["--where", condition]
        for name, value in options.items():
            args += ["--" + name.replace("_", "-"), str(value)]
        return json.loads(self.cli(*args).stdout)["rows"]

    def total(self, measure, where=()):
        rows = self.query(measure, where=where)
        return rows[0][measure] if rows else 0


def ring_directory(place):
    """A directory of the test's own on a tmpfs, named after its place; conftest's `place` removes it."""
    ring = pathlib.Path("/dev/shm") / ("ring-" + "-".join(pathlib.Path(place).parts[-2:]))
    ring.mkdir(mode=0o700, exist_ok=True)
    return ring


class Proxy(Program):
    def __init__(self, directory, hub=None, settings=None, args=(), env=None, **popen):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.port, self.metrics_port = free_port(), free_port()
        self.config = self.dir / "proxy.conf"
        self.settings = {
            "listen": f"127.0.0.1:{self.port}",
            "metrics": f"127.0.0.1:{self.metrics_port}",
            "spool": str(self.dir / "spool"),
            "spool_max": "256M",
            "ring_dir": str(ring_directory(self.dir)),
            "edge_id": self.dir.name,
            "api_key": INGEST_KEY,
        }
        if hub is not None:
            self.settings |= {"server": hub.wire_addr, "server_key": hub.server_key()}
        else:
            # A hub that isn't there: any well-formed public key (32 zero bytes) and a closed port.
            self.settings |= {"server": f"tcp://127.0.0.1:{free_port()}", "server_key": "0" * 40}
        self.settings |= settings or {}
        self.write()
        env = {"POLICY_PROXY_CONFIG": str(self.config), **(env or {})}
        super().__init__([program("policy-proxy"), *args], self.dir / "proxy.log", env=env, **popen)

    def write(self):
        write_settings(self.config, "policy-proxy", self.settings)

    def ready(self):
        def up():
            with PolicyClient(self.port) as client:
                # The port takes connections before the loop runs: only an answer tells that it does.
                return client.fd is not None and self.alive() and self.metrics()

        wait_until(up, f"proxy up\n{self.log()}")
        return self

    def metrics(self):
        return metrics(self.metrics_port)


_BASE = {
    "request": "smtpd_access_policy",
    "protocol_state": "RCPT",
    "protocol_name": "ESMTP",
    "client_address": "203.0.113.7",
    "client_name": "mail.sender.example",
    "client_port": "36934",
    "reverse_client_name": "mail.sender.example",
    "server_address": "192.0.2.1",
    "server_port": "25",
    "helo_name": "mail.sender.example",
    "sender": "s@sender.example",
    "recipient": "u@example.com",
    "recipient_count": "0",
    "queue_id": "",
    "instance": "1.2.3.0",
    "size": "0",
    "etrn_domain": "",
    "stress": "",
    "sasl_method": "",
    "sasl_username": "",
    "sasl_sender": "",
    "ccert_subject": "",
    "ccert_issuer": "",
    "ccert_fingerprint": "",
    "ccert_pubkey_fingerprint": "",
    "encryption_protocol": "",
    "encryption_cipher": "",
    "encryption_keysize": "0",
    "policy_context": "",
}


def request(**attributes):
    """The bytes of one request; attributes replace or add to a usual one."""
    lines = {**_BASE, **{name: str(value) for name, value in attributes.items()}}
    return "".join(f"{name}={value}\n" for name, value in lines.items()).encode() + b"\n"


DUNNO = b"action=DUNNO\n\n"


class PolicyClient:
    """One connection as a smtpd process holds it: one request in flight."""

    def __init__(self, port, timeout_s=LIMIT_S):
        self.fd = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.fd.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, data):
        """Seconds until the whole answer; raises OSError when the connection ends before it."""
        began = time.perf_counter()
        self.fd.sendall(data)
        got = b""
        while len(got) < len(DUNNO):
            part = self.fd.recv(len(DUNNO) - len(got))
            if not part:
                raise ConnectionError("closed before the answer")
            got += part
        took = time.perf_counter() - began
        assert got == DUNNO, f"not DUNNO: {got!r}"
        return took

    def close(self):
        self.fd.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Load:
    """Asks without pause over some connections, each in a thread, each request with an instance of its own; what
    was answered is written down. Connections that break are opened again, the broken request is not repeated."""

    def __init__(self, port, connections=4, prefix="load", pause_s=0.0, limit=None, **attributes):
        self.port, self.pause_s, self.limit = port, pause_s, limit
        self.prefix, self.attributes = prefix, attributes
        self.answered, self.broken, self.seconds = [], [], []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(connections)]
        self.failure = None

    def start(self):
        for thread in self._threads:
            thread.start()
        return self

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(LIMIT_S * 2)
            assert not thread.is_alive(), "a policy client hangs"
        if self.failure:
            raise self.failure
        return self

    def _run(self, index):
        client, count = None, 0
        try:
            while not self._stop.is_set() and (self.limit is None or count < self.limit):
                try:
                    client = client or PolicyClient(self.port)
                except OSError:
                    self._stop.wait(0.01)
                    continue
                count += 1
                instance = f"{self.prefix}.{index}.{count}"
                try:
                    took = client.ask(request(instance=instance, **self.attributes))
                    self.answered.append(instance)
                    self.seconds.append(took)
                except OSError:
                    self.broken.append(instance)
                    client.close()
                    client = None
                if self.pause_s:
                    self._stop.wait(self.pause_s)
        except BaseException as error:  # shown by stop()
            self.failure = error
        finally:
            if client:
                client.close()


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def stored_instances(hub, prefix):
    """{instance: how often it is stored}."""
    rows = hub.query("requests", by=["instance"], where=[f"instance^={prefix}."], limit=100000)
    assert len(rows) < 100000
    return {row["instance"]: row["requests"] for row in rows}


def assert_exactly_once(hub, load, limit_s=LIMIT_S):
    """Everything answered is stored once; what was not answered at most once."""
    answered = set(load.answered)
    wait_until(
        lambda: hub.total("requests", [f"instance^={load.prefix}."]) >= len(answered), f"{len(answered)} events stored",
        limit_s, 0.2,
    )
    stored = stored_instances(hub, load.prefix)
    lost = answered - stored.keys()
    doubled = {name: count for name, count in stored.items() if count != 1}
    unknown = stored.keys() - answered - set(load.broken)
    assert not lost, f"{len(lost)} of {len(answered)} lost, such as {sorted(lost)[:5]}"
    assert not doubled, f"{len(doubled)} doubled, such as {sorted(doubled.items())[:5]}"
    assert not unknown, f"never sent: {sorted(unknown)[:5]}"


@contextlib.contextmanager
def mounted(kind, at, *options):
    at = pathlib.Path(at)
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", kind, *options, str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)
