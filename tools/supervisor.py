"""supervisor: what systemd does for an installed hub and proxy, for tools/stack and tools/run: starts the two programs,
holds Postfix's listening socket so that a restart refuses nobody, starts again what dies, stops all of it in order.
Standard library only; Linux."""
import base64
import ctypes
import errno
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

TOP = pathlib.Path(__file__).resolve().parent.parent
READY_SECONDS = 120  # with sanitizers on a busy machine
STOP_SECONDS = 30
SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """One line for the operator."""


def build_directory():
    """The release build, or $STACK_BUILD (the tests run the programs that were built with ASan, too)."""
    build = TOP / os.environ.get("STACK_BUILD", "build/release")
    programs = [build / "src/main/mail-analytics", build / "src/main/policy-proxy"]
    if not all(program.exists() for program in programs):
        for command in (["tools/bootstrap", "build"], ["tools/build", build.name]):
            if subprocess.run([TOP / command[0], *command[1:]], stdout=sys.stderr, check=False).returncode != 0:
                raise Failed(f"{build} could not be built; the lines above say why")
    return build


def free_port(taken):
    """A loopback port below the ephemeral range: while its owner is away, nobody's outgoing connection gets it."""
    for _ in range(1000):
        port = random.randrange(10240, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in taken:
            taken.add(port)
            return port
    raise Failed("no free loopback port")


def listen(port):
    """The policy socket, held for the programs' restarts."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
        sock.listen(4096)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Failed(f"127.0.0.1:{port} is in use: stop what listens there (ss -ltnp)") from error
        raise
    return sock


def ring_directory(data):
    """A directory on a tmpfs for the proxy's ring. It must outlive a killed supervisor (the ring holds what the disk
    hasn't got yet), so its name comes from the data directory; a clean stop removes it."""
    info = os.stat(data)
    name = hashlib.sha256(f"{info.st_dev}:{info.st_ino}:{data}".encode()).hexdigest()[:16]
    ring = pathlib.Path("/dev/shm") / f"policy-proxy-{name}"
    ring.mkdir(mode=0o700, exist_ok=True)
    return ring


def write_private(path, text, mode=0o600):
    """Replaces the file as a whole: a reader sees the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    os.rename(temporary, path)


def make_key():
    return "ma_" + base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()


def run_cli(cli, etc, *words):
    environment = os.environ | {"MAIL_ANALYTICS_CONFIG": str(etc)}
    done = subprocess.run([cli, *words], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"mail-analytics {' '.join(words)}: {done.stderr.strip()} (exit status {done.returncode})")
    return done.stdout


def write_config(etc, data, ports, ingest_key, server_key, ring, edge_id):
    """Both programs' settings: everything below data, on these loopback ports."""
    write_private(etc / "mail-analytics.conf", f"""[mail-analytics]
data = {data}/hub
server_address = tcp://127.0.0.1:{ports['wire']}
server_local_address = tcp://127.0.0.1:{ports['local']}
http = 127.0.0.1:{ports['http']}
metrics = 127.0.0.1:{ports['hub_metrics']}
""")
    write_private(etc / "policy-proxy.conf", f"""[policy-proxy]
listen = 127.0.0.1:{ports['policy']}
server = tcp://127.0.0.1:{ports['wire']}
server_key = {server_key}
api_key = {ingest_key}
edge_id = {edge_id}
spool = {data}/proxy
ring_dir = {ring}
metrics = 127.0.0.1:{ports['metrics']}
""")


def prepare(data, cli, ports, keys, ring, edge_id, fixture):
    """Directories, configuration and, when fixture is given, tenant and keys. Returns the hub's public key."""
    etc = data / "etc"
    for part in ("etc", "hub", "proxy", "log"):
        (data / part).mkdir(mode=0o700, parents=True, exist_ok=True)
    write_config(etc, data, ports, keys["ingest"], "", ring, edge_id)
    server_key = re.search(r"\S{40}", run_cli(cli, etc, "key")).group(0)
    write_config(etc, data, ports, keys["ingest"], server_key, ring, edge_id)
    if fixture:
        write_private(data / "fixture.json", json.dumps(fixture, indent=2))
        run_cli(cli, etc, "load", str(data / "fixture.json"))
    return server_key


def remembered(data):
    """Ports and keys of an earlier start on this directory."""
    try:
        return json.loads((data / "state.json").read_text())
    except (OSError, ValueError):
        return {}


def remember(data, state):
    write_private(data / "state.json", json.dumps(state))


def answers(url):
    try:
        # Straight to loopback: an http_proxy of the environment has nothing to do with it.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=5) as response:
            # A hub answers before its store is open.
            return response.status == 200 and b"\nmail_analytics_store_opening 1\n" not in response.read()
    except (OSError, urllib.error.URLError, ValueError):
        return False


class Child:
    def __init__(self, name, command, log, ready_url, sock=None):
        self.name, self.command, self.log, self.ready_url, self.sock = name, command, log, ready_url, sock
        self.pid, self.started, self.status, self.restarts = 0, 0.0, None, 0

    def start(self):
        self.started, self.status = time.monotonic(), None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._become()
            finally:
                os._exit(71)

    def _become(self):
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # a killed supervisor leaves nothing running
        os.setpgid(0, 0)  # a terminal's Ctrl-C reaches the supervisor alone, which stops all in order
        environment = {k: v for k, v in os.environ.items() if not k.endswith("_CONFIG") and k != "NOTIFY_SOCKET"}
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        if self.log:  # else it speaks where the supervisor speaks
            out = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(out, 1)
            os.dup2(out, 2)
        if self.sock:
            fd = self.sock.fileno()
            if fd == 3:
                os.set_inheritable(3, True)
            else:
                os.dup2(fd, 3)
            environment |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        os.execve(self.command[0], [str(word) for word in self.command], environment)

    def reap(self):
        """True when it ended since the last look."""
        if self.pid == 0:
            return False
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return False
        self.pid, self.status = 0, os.waitstatus_to_exitcode(status)
        return True

    def stop(self, seconds=STOP_SECONDS):
        """SIGTERM, and SIGKILL when it takes too long. True when it ended well."""
        if self.pid == 0:
            return self.status in (0, None)
        os.kill(self.pid, signal.SIGTERM)
        end = time.monotonic() + seconds
        while not self.reap():
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                end = float("inf")
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)
        return self.status == 0

    def last_lines(self):
        try:
            return "".join(f"  {line}\n" for line in self.log.read_text(errors="replace").splitlines()[-8:])
        except OSError:
            return ""


def pair(build, data, ports, sock):
    """The two programs, in the order in which they stop."""
    url, etc = "http://127.0.0.1:{}/metrics", data / "etc"
    return [Child("policy-proxy", [build / "src/main/policy-proxy", "--config", etc], data / "log/proxy.log",
                  url.format(ports["metrics"]), sock),
            Child("mail-analytics", [build / "src/main/mail-analytics", "serve", "--config", etc],
                  data / "log/hub.log", url.format(ports["hub_metrics"]))]


class Supervisor:
    """changed() is called whenever a pid is new. Children stop in the order given: first who sends, then who
    receives."""

    def __init__(self, children, changed=lambda: None):
        self.children, self.changed, self.asked_to_stop, self.again = children, changed, False, {}
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def _pause(self, seconds):
        info = signal.sigtimedwait(SIGNALS, max(seconds, 0.0))
        if info and info.si_signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.asked_to_stop = True

    def start(self):
        """Until every child answers. False: asked to stop meanwhile."""
        for child in reversed(self.children):
            child.start()
            end = time.monotonic() + READY_SECONDS
            while not answers(child.ready_url):
                if child.reap() or time.monotonic() > end:
                    raise Failed(f"{child.name} did not start (exit status {child.status}):\n{child.last_lines()}")
                self._pause(0.02)
                if self.asked_to_stop:
                    return False
        self.changed()
        return True

    def turn(self, seconds):
        """Waits for a signal or so many seconds, starts again what died. False: asked to stop."""
        self._pause(min([seconds] + [at - time.monotonic() for at in self.again.values()]))
        now = time.monotonic()
        for child in self.children:
            if child.reap():
                child.restarts += 1
                # At once the first time, never later than half a second: a program that dies at once must not spin.
                self.again[child] = now + (0.05 if now - child.started > 2 else 0.5)
                print(f"{child.name} ended ({child.status}), starting it again", file=sys.stderr, flush=True)
        for child, at in list(self.again.items()):
            if at <= now and not self.asked_to_stop:
                del self.again[child]
                child.start()
                self.changed()
        return not self.asked_to_stop

    def stop(self):
        """True when all ended well."""
        return all([child.stop() for child in self.children])


def remove_ring(ring, ended_well):
    """A proxy that could not empty its ring leaves it for the next start."""
    if ended_well:
        shutil.rmtree(ring, ignore_errors=True)
