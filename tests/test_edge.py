# SPDX-License-Identifier: Apache-2.0
"""policy-proxy alone: its port, its spool, its command line, its supervisor. Without a hub; what the two do together
is in test_promises.py."""
import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading

import pytest

import harness
from harness import DUNNO, LIMIT_S, PolicyClient, Proxy, build_dir, free_port, program, request, wait_until

TEMPFAIL, UNAVAILABLE, USAGE, CONFIG = 75, 69, 64, 78
LATE_S = 5  # the promise is 50 ms; a machine that is busy may be late, a disk that hangs is later
NO_HUB = {"server_key": "", "api_key": ""}


@pytest.fixture(autouse=True)
def rings(place):
    """The rings of this test, on the machine's tmpfs; they go with it."""
    path = pathlib.Path("/dev/shm") / place.name
    path.mkdir()
    yield path
    shutil.rmtree(path)


def lone(place, settings=None, **rest):
    own = {**NO_HUB, "ring_dir": f"/dev/shm/{place.name}"}
    return Proxy(place / "edge", settings={**own, **(settings or {})}, **rest)


@pytest.fixture
def edge(place, started):
    return started(lone(place)).ready()


def command(edge, *args, check=False):
    return subprocess.run(
        [program("policy-proxy"), *args], capture_output=True, timeout=LIMIT_S, check=check, stdin=subprocess.DEVNULL,
        env={**os.environ, **edge._env},
    )


def spooled(edge):
    """The bytes of the spool, as Postfix sent them."""
    return command(edge, "spool", check=True).stdout


def receive(fd, n):
    got = b""
    while len(got) < n:
        part = fd.recv(n - len(got))
        assert part, f"closed after {got!r}"
        got += part
    return got


def assert_closed(fd):
    try:
        assert fd.recv(1) == b""
    except ConnectionResetError:
        pass
    fd.close()


# --- the protocol


def test_byte_by_byte_and_kept_as_sent(edge):
    """Unknown attributes and raw bytes included."""
    one = request(sender="caf\xe9@x.test", new_in_some_later_release="x").replace("é".encode(), b"\xe9")
    assert b"\xe9" in one
    with PolicyClient(edge.port) as client:
        for byte in one:
            client.fd.sendall(bytes([byte]))
        assert receive(client.fd, len(DUNNO)) == DUNNO
    edge.stop()
    assert spooled(edge) == one
    record = json.loads(command(edge, "spool", "--json", check=True).stdout)
    assert record["seq"] == 1 and record["attributes"]["sender"] == "caf\\xe9@x.test"
    assert record["others"] == [{"new_in_some_later_release": "x"}]


def test_several_in_a_segment_are_answered_in_order_of_arrival(edge):
    many = [request(instance=f"i.{i}") for i in range(300)]
    with PolicyClient(edge.port) as client:
        client.fd.sendall(b"".join(many))
        assert receive(client.fd, len(DUNNO) * len(many)) == DUNNO * len(many)
    edge.stop()
    assert spooled(edge) == b"".join(many)


def test_garbage_costs_a_line_and_a_counter(edge):
    with PolicyClient(edge.port) as other:
        for _ in range(5):
            with PolicyClient(edge.port) as client:
                client.fd.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert_closed(client.fd)
        other.ask(request())
    wait_until(lambda: edge.metrics()["policy_proxy_garbage_total"] == 5, "it is counted")
    assert edge.log().count("no policy request") == 1, "repeats become a counter"
    assert edge.metrics()["policy_proxy_requests_total"] == 1


# --- bounds


def unsanitized():
    """A build without sanitizers, whose memory says something."""
    for path in (build_dir(), harness.ROOT / "build/release", harness.ROOT / "build/dev"):
        binary = path / "src/main/policy-proxy"
        if binary.exists() and b"__asan_init" not in binary.read_bytes() and b"__tsan_init" not in binary.read_bytes():
            return str(binary)
    raise RuntimeError("no build without sanitizers: run `make build`")


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def test_a_thousand_connections_cost_little(place, started, record_property):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    hubless = {"server_key": "0" * 40, "api_key": harness.INGEST_KEY}  # an uplink that looks for its hub
    edge = lone(place, hubless)
    edge.args = [unsanitized(), *edge.args[1:]]
    started(edge).ready()
    one = request()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(PolicyClient(edge.port)) for _ in range(1000)]
        for i, client in enumerate(clients):
            client.fd.sendall(one if i % 2 else one + one[:100])  # half of them hold half a request
            receive(client.fd, len(DUNNO))
        with PolicyClient(edge.port) as busy:
            for _ in range(12000):  # once around the ring
                busy.ask(one)
        assert edge.metrics()["policy_proxy_connections"] == 1000
        kib = resident_kib(edge.pid)
        record_property("resident_kib", kib)
        print(f"{kib} KiB")
        assert kib <= 12 * 1024
        for i, client in enumerate(clients):
            client.fd.sendall(one if i % 2 else one[100:])
            receive(client.fd, len(DUNNO))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_sending_a_backlog_costs_little(place, started, record_property):
    """A thousand connections, and a hub that takes what has gathered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    hub = started(harness.Hub(place / "hub")).ready()
    hub.load(harness.FIXTURE)
    edge = Proxy(place / "edge", hub=hub, settings={"ring_dir": f"/dev/shm/{place.name}"})
    edge.args = [unsanitized(), *edge.args[1:]]
    assert hub.stop() == 0
    started(edge).ready()
    in_all, at_once = 40000, 100
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(PolicyClient(edge.port)) for _ in range(1000)]
        for i in range(in_all // at_once):
            # no two alike, or the compressed batches would be too small to say anything
            many = [request(instance=os.urandom(16).hex(), sender=f"{os.urandom(8).hex()}@x.example") for _ in range(at_once)]
            clients[i].fd.sendall(b"".join(many))
            receive(clients[i].fd, len(DUNNO) * at_once)
        hub.start().ready()
        wait_until(lambda: edge.metrics()["policy_proxy_uplink_records_acked_total"] >= in_all, "all is sent")
        kib = int(pathlib.Path(f"/proc/{edge.pid}/status").read_text().split("VmHWM:")[1].split()[0])
        record_property("highest_resident_kib", kib)
        print(f"{kib} KiB")
        assert kib <= 12 * 1024
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_too_many_connections(place, started):
    """The longest idle one is closed; Postfix opens another when it needs one."""
    edge = started(lone(place, {"max_connections": 3})).ready()
    wait_until(lambda: edge.metrics()["policy_proxy_connections"] == 0, "the probe is gone")
    clients = []
    for _ in range(4):
        clients.append(PolicyClient(edge.port))
        clients[-1].ask(request())
    assert_closed(clients[0].fd)
    for client in clients[1:]:
        client.ask(request())
        client.close()
    assert edge.metrics()["policy_proxy_connections_evicted_total"] == 1
    assert "raise max_connections" in edge.log()


def test_more_connections_than_descriptors(place):
    edge = lone(place, {"max_connections": 4096})
    done = subprocess.run(
        ["bash", "-c", 'ulimit -n 1000; exec "$@"', "bash", *edge.args], capture_output=True, text=True,
        env={**os.environ, **edge._env}, timeout=LIMIT_S,
    )
    assert done.returncode == CONFIG and "max_connections" in done.stderr and "LimitNOFILE" in done.stderr


@contextlib.contextmanager
def own_address(address):
    """An address of this machine beyond loopback."""
    subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    try:
        yield address
    finally:
        subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=True)


def test_only_allowed_networks_may_ask_and_a_reload_changes_them(place, started):
    with own_address("198.51.100.77") as far:
        edge = lone(place, {"listen": f"0.0.0.0:{free_port()}", "allow": "192.0.2.0/24"})
        edge.port = int(edge.settings["listen"].rpartition(":")[2])
        started(edge).ready()

        def dial():
            fd = socket.create_connection((far, edge.port), timeout=LIMIT_S, source_address=(far, 0))
            with contextlib.suppress(OSError):
                fd.sendall(request())
            return fd

        assert_closed(dial())
        assert edge.metrics()["policy_proxy_connections_refused_total"] == 1
        assert f"client {far} refused" in edge.log()
        edge.settings["allow"] += ", 198.51.100.0/24"
        edge.write()
        assert command(edge, "-c", "reload").returncode == 0
        wait_until(lambda: edge.metrics()["policy_proxy_reloads_total"] == 1, "reloaded")
        with dial() as fd:
            assert receive(fd, len(DUNNO)) == DUNNO


def test_unix_socket(place, started):
    path = place / "policy.sock"
    edge = started(lone(place, {"listen": f"unix:{path}"}))

    def dial():
        fd = socket.socket(socket.AF_UNIX)
        fd.settimeout(LIMIT_S)
        fd.connect(str(path))
        return fd

    with wait_until(dial, "listening") as fd:
        fd.sendall(request())
        assert receive(fd, len(DUNNO)) == DUNNO
        edge.kill()
        edge.start()  # over the dead socket's file
    with wait_until(dial, "listening again") as fd:
        fd.sendall(request())
        assert receive(fd, len(DUNNO)) == DUNNO
    assert edge.stop() == 0
    assert not path.exists()


# --- nothing answered is lost


def test_kill_and_restart_lose_nothing(edge):
    sent = []
    with contextlib.suppress(OSError):
        killer = None
        with PolicyClient(edge.port) as client:
            for i in range(100000):
                one = request(instance=f"kill.{i}")
                client.ask(one)
                sent.append(one)
                if i == 500:
                    killer = threading.Thread(target=edge.kill)
                    killer.start()
    killer.join()
    edge.start()
    edge.ready()
    wait_until(lambda: edge.metrics()["policy_proxy_spool_unwritten"] == 0, "the ring is empty")
    edge.stop()
    kept = spooled(edge)
    assert len(sent) > 500
    expected = b"".join(sent)
    assert kept[: len(expected)] == expected, "answered requests are missing"
    assert len(kept) - len(expected) <= len(request(instance="kill.100000")), "at most the one that was cut off more"


@pytest.mark.parametrize("sync", ["interval", "always"])
def test_a_hung_disk_does_not_hold_answers(place, started, disk, sync, record_property):
    at, freeze = disk
    edge = started(lone(place, {"spool": str(at / "spool"), "sync": sync})).ready()
    sent, seconds = [], []
    with PolicyClient(edge.port) as client:
        def ask(count):
            for _ in range(count):
                sent.append(request(instance=f"hang.{len(sent)}"))
                seconds.append(client.ask(sent[-1]))

        ask(20)
        synced = edge.metrics()["policy_proxy_answered_unsynced_total"]
        freeze(True)
        seconds.clear()
        ask(60)
        wait_until(lambda: edge.metrics()["policy_proxy_spool_unwritten"] > 0, "what waits for the disk is shown")
        if sync == "always":
            assert edge.metrics()["policy_proxy_answered_unsynced_total"] >= synced + 50
        freeze(False)
        record_property("worst_ms", max(seconds) * 1000)
        print(f"worst {max(seconds) * 1000:.1f} ms, median {sorted(seconds)[30] * 1000:.1f} ms")
        assert max(seconds) < LATE_S  # a disk that holds answers would have held them until it went on
        wait_until(lambda: edge.metrics()["policy_proxy_spool_unwritten"] == 0, "all is written")
    assert edge.stop() == 0
    assert spooled(edge) == b"".join(sent)


@pytest.mark.parametrize("sync", ["interval", "always"])
def test_a_disk_that_hangs_at_start_holds_no_answers(place, started, disk, sync):
    """What comes before the spool is open is answered and counted lost, exactly; what comes after it is kept."""
    at, freeze = disk
    (at / "spool").mkdir()
    edge = lone(place, {"spool": str(at / "spool"), "sync": sync}, env={"RUNTIME_DIRECTORY": str(place / "run")})
    (place / "run").mkdir(mode=0o700)  # as the supervisor makes it; the pid file goes there
    freeze(True)
    started(edge).ready()
    with PolicyClient(edge.port) as client:
        seconds = sorted(client.ask(request(instance=f"lost.{i}")) for i in range(1, 21))
        assert seconds[-1] < LATE_S
        found = edge.metrics()
        assert found["policy_proxy_answered_lost_total"] == 20 and found["policy_proxy_spool_accepted_total"] == 0
        wait_until(lambda: "answered but not kept" in edge.log(), "the log tells")
        assert "NOT kept" in edge.log() and edge.log().count("answered but not kept") == 1
        edge.process.send_signal(signal.SIGHUP)  # waits for the spool
        freeze(False)
        wait_until(lambda: "records wait" in edge.log(), "the spool is open")
        wait_until(lambda: edge.metrics()["policy_proxy_reloads_total"] == 1, "reloaded")
        kept = [request(instance=f"kept.{i}") for i in range(20)]
        for one in kept:
            client.ask(one)
        assert edge.metrics()["policy_proxy_answered_lost_total"] == 20
    assert edge.stop() == 0
    assert spooled(edge) == b"".join(kept)


@pytest.mark.parametrize(
    "key, full, room",
    [("spool", "size=64k", "size=64M"), ("spool", "nr_inodes=1", "nr_inodes=1000"), ("ring_dir", "size=1M", "size=64M")],
    ids=["disk", "inodes", "ring"],
)
def test_a_full_disk_at_start_holds_no_mail(place, started, key, full, room):
    """A disk fills for reasons that have nothing to do with mail: it is answered, counted, and kept once there is room."""
    with harness.mounted("tmpfs", place / "small", "-o", full, "tmpfs") as at:
        if full == "size=64k":
            (at / "filler").write_bytes(bytes(64 * 1024))
        edge = started(lone(place, {key: str(at / "spool") if key == "spool" else str(at)})).ready()
        with PolicyClient(edge.port) as client:
            client.ask(request(instance="lost"))
            assert edge.metrics()["policy_proxy_answered_lost_total"] == 1
            lines = [line for line in edge.log().splitlines() if "NOT kept until" in line]
            assert len(lines) == 1 and "No space left" in lines[0] and str(at) in lines[0], edge.log()
            subprocess.run(["mount", "-o", f"remount,{room}", at], check=True)
            wait_until(lambda: "records wait" in edge.log(), "the spool is open")
            client.ask(request(instance="kept"))
        assert edge.metrics()["policy_proxy_answered_lost_total"] == 1
        assert edge.stop() == 0
        assert spooled(edge) == request(instance="kept")


def test_a_spool_that_cannot_be_opened_is_tried_again(place, started):
    edge = lone(place)
    in_the_way = pathlib.Path(edge.settings["spool"]) / "journal"
    in_the_way.parent.mkdir()
    in_the_way.write_text("no directory")
    started(edge).ready()
    with PolicyClient(edge.port) as client:
        client.ask(request(instance="lost"))
        assert str(in_the_way) in edge.log() and "tried again" in edge.log()
        assert edge.stop() == 0, "a stop does not wait for the next attempt"
    edge.start().ready()
    with PolicyClient(edge.port) as client:
        client.ask(request(instance="lost"))
        assert edge.metrics()["policy_proxy_answered_lost_total"] == 1
        in_the_way.unlink()
        wait_until(lambda: "records wait" in edge.log(), "the spool is open")
        client.ask(request(instance="kept"))
    assert edge.stop() == 0
    assert spooled(edge) == request(instance="kept")


def test_always_answers_after_the_sync(place, started):
    edge = started(lone(place, {"sync": "always"})).ready()
    with PolicyClient(edge.port) as client:
        for _ in range(50):
            client.ask(request())
    found = edge.metrics()
    assert found["policy_proxy_answers_total"] == 50
    covered = 50 - found["policy_proxy_answered_unsynced_total"]
    assert covered > 0 and found["policy_proxy_spool_syncs_total"] >= covered


# --- command line and supervisor


def test_stop_and_reload_find_a_living_process_only(edge):
    pid_file = pathlib.Path(edge.settings["spool"]) / "policy-proxy.pid"
    assert int(pid_file.read_text()) == edge.pid
    for _ in range(5):  # a reload at any moment of its start
        edge.kill()
        edge.start()
        wait_until(lambda: command(edge, "-c", "reload").returncode == 0, "its pid file is locked")
        wait_until(lambda: edge.alive() and edge.metrics()["policy_proxy_reloads_total"] == 1, "reloaded")
    done = command(edge)
    assert done.returncode == TEMPFAIL and str(edge.pid).encode() in done.stderr
    assert command(edge, "-c", "stop").returncode == 0
    assert edge.process.wait(LIMIT_S) == 0
    pid_file.write_text(f"{os.getpid()}\n")
    done = command(edge, "-c", "stop")
    assert done.returncode == UNAVAILABLE and b"not running" in done.stderr


def test_pid_file_and_ring_lie_below_run(place, started):
    """In a /run of its own, and so does the ring; another spool has another name there."""
    inside = 'mount -t tmpfs tmpfs /run && mkdir -m 700 /run/policy-proxy && exec "$@"'
    edge = lone(place, {"ring_dir": ""})
    edge.args = [*harness.unshare("--mount"), "sh", "-c", inside, "sh", *edge.args]
    started(edge).ready()
    run = pathlib.Path(f"/proc/{edge.pid}/root/run/policy-proxy")
    (pid_file,) = run.glob("*.pid")
    assert pid_file.name.startswith("policy-proxy-") and int(pid_file.read_text()) == edge.pid
    wait_until(lambda: len(list(run.glob("mail-analytics-*.ring"))) == 1, "the ring is there")
    stop = ["nsenter", "-t", str(edge.pid), "-m", "-r", program("policy-proxy"), "-c", "stop"]
    env = {**os.environ, **edge._env}
    run.chmod(0o777)  # whoever may write there might have locked the file first
    done = subprocess.run(stop, env=env, capture_output=True, timeout=LIMIT_S, check=False)
    assert done.returncode == UNAVAILABLE and edge.settings["spool"].encode() in done.stderr
    run.chmod(0o700)
    subprocess.run(stop, env=env, timeout=LIMIT_S, check=True)
    assert edge.process.wait(LIMIT_S) == 0


def test_a_wrong_configuration_is_not_loaded(edge):
    edge.settings["log_level"] = "loud"
    edge.write()
    assert command(edge, "--check-config").returncode == CONFIG
    edge.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "reload failed" in edge.log(), "the log says so")
    with PolicyClient(edge.port) as client:
        client.ask(request())
    assert edge.metrics()["policy_proxy_reloads_total"] == 0


def test_a_damaged_key_holds_no_mail_and_a_reload_mends_it(place, started):
    spool = place / "edge" / "spool"
    spool.mkdir(parents=True)
    (spool / "edge.key").touch(0o600)
    edge = started(Proxy(place / "edge", settings={"ring_dir": f"/dev/shm/{place.name}"})).ready()
    with PolicyClient(edge.port) as client:
        client.ask(request())
    assert "holds no key" in edge.log() and "then reload" in edge.log()
    (spool / "edge.key").unlink()
    edge.process.send_signal(signal.SIGHUP)
    wait_until(lambda: edge.metrics()["policy_proxy_reloads_total"] == 1, "reloaded")
    wait_until(lambda: "hub is not reached" in edge.log(), "the uplink is at work")
    assert edge.stop() == 0
    assert spooled(edge) == request()


def state_of(pid):
    """Z: dead, not yet buried by this machine's init."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


def test_in_the_background(place):
    edge = lone(place, {"log_output": f"file:{place}/log"})
    done = command(edge, "-D")
    assert done.returncode == 0, done.stderr
    pid = int((pathlib.Path(edge.settings["spool"]) / "policy-proxy.pid").read_text())
    try:
        with PolicyClient(edge.port) as client:  # at once: the parent left when it was ready
            client.ask(request())
        assert os.readlink(f"/proc/{pid}/fd/2") == "/dev/null"
        again = command(edge, "-D")
        assert again.returncode == TEMPFAIL and str(pid).encode() in again.stderr
    finally:
        assert command(edge, "-c", "stop").returncode == 0
    wait_until(lambda: state_of(pid) in ("gone", "Z"), "the process is gone")
    assert "stopping" in (place / "log").read_text()


def test_becomes_another_user(place, rings):
    os.chmod(place, 0o755)
    os.chmod(rings, 0o777)
    edge = lone(place, {"user": "nobody", "log_output": f"file:{place}/log"})
    assert command(edge, "-D").returncode == 0
    try:
        pid = int((pathlib.Path(edge.settings["spool"]) / "policy-proxy.pid").read_text())
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert status.split("Uid:")[1].split()[:4] == ["65534"] * 4
        with PolicyClient(edge.port) as client:
            client.ask(request())
    finally:
        assert command(edge, "-c", "stop").returncode == 0
    assert spooled(edge) == request()


def test_stopping_answers_what_was_sent(edge):
    with PolicyClient(edge.port) as client:
        client.ask(request(instance="first"))
        edge.process.send_signal(signal.SIGSTOP)
        client.fd.sendall(request(instance="second") * 3)
        late = socket.create_connection(("127.0.0.1", edge.port), timeout=LIMIT_S)
        late.sendall(request(instance="third"))
        edge.process.send_signal(signal.SIGTERM)
        edge.process.send_signal(signal.SIGCONT)
        assert receive(client.fd, len(DUNNO) * 3) == DUNNO * 3
        assert receive(late, len(DUNNO)) == DUNNO
        late.close()
        assert edge.process.wait(LIMIT_S) == 0
    assert spooled(edge).count(b"instance=") == 5


def test_systemd_passes_the_socket(place, started):
    """systemd-socket-activate holds the port; the proxy doesn't bind its own."""
    edge = lone(place)
    names = [f"-E{name}={value}" for name, value in edge._env.items()]
    edge.args = ["systemd-socket-activate", "-l", f"127.0.0.1:{free_port()}", *names, *edge.args]
    port = int(edge.args[2].rpartition(":")[2])
    started(edge)

    def ask():
        with PolicyClient(port) as client:
            return client.ask(request())

    wait_until(ask, "answers on the passed socket")
    with pytest.raises(OSError):
        PolicyClient(edge.port)
    assert edge.stop() == 0


@pytest.fixture
def supervisor(place):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as fd:
        fd.bind(str(place / "notify"))
        fd.settimeout(LIMIT_S)
        yield fd


def hear(supervisor, word):
    """Datagrams until one has the word."""
    while True:
        lines = supervisor.recv(4096).decode().splitlines()
        if word in lines:
            return lines


def test_the_supervisor_hears(place, started, supervisor):
    env = {"NOTIFY_SOCKET": str(place / "notify"), "WATCHDOG_USEC": "200000"}
    edge = started(lone(place, env=env))
    assert f"MAINPID={edge.pid}" in hear(supervisor, "READY=1")
    for _ in range(3):
        hear(supervisor, "WATCHDOG=1")
    edge.process.send_signal(signal.SIGHUP)
    hear(supervisor, "RELOADING=1")
    hear(supervisor, "READY=1")
    edge.process.send_signal(signal.SIGTERM)
    hear(supervisor, "STOPPING=1")
    assert edge.process.wait(LIMIT_S) == 0


def test_check_says_what_to_do(place):
    edge = lone(place)
    done = command(edge, "check")
    lines = done.stdout.decode().splitlines()
    assert done.returncode == CONFIG
    assert [line[:4] for line in lines] == ["ok  ", "ok  ", "FAIL"]
    assert "mail-analytics key" in lines[2]
    edge.settings["ring_dir"] = str(place)
    edge.write()
    done = command(edge, "check")
    assert done.returncode == CONFIG and b"/dev/shm" in done.stdout
    edge.settings |= {"ring_dir": "/dev/shm", "server_key": "0" * 40, "api_key": "ma_x"}
    edge.write()
    done = command(edge, "check")
    assert done.returncode == UNAVAILABLE, (done.returncode, done.stdout)  # nobody listens there
    assert done.stdout.decode().splitlines()[3].startswith("FAIL")


@pytest.mark.parametrize(
    "args, status, word",
    [(["--no-such-flag"], USAGE, b"--no-such-flag"), (["dance"], USAGE, b"dance"), (["spool", "--xml"], USAGE, b"--xml"),
     (["check", "now"], USAGE, b"now"), (["-c", "stop", "now"], USAGE, b"now")],
    ids=["flag", "verb", "flag of a verb", "operand", "operand of -c"],
)
def test_the_command_line_is_held_to_its_words(place, args, status, word):
    done = command(lone(place), *args)
    assert done.returncode == status and word in done.stderr and done.stderr.count(b"\n") == 1


def test_metrics_port_is_busy(place):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        done = command(lone(place, {"metrics": f"127.0.0.1:{port}"}))
        assert done.returncode == TEMPFAIL and str(port).encode() in done.stderr and done.stderr.count(b"\n") == 1


def test_help_and_version(place):
    edge = lone(place)
    text = command(edge, "--help", check=True).stdout.decode()
    for word in ("Examples:", "check", "spool", "--listen", "check_policy_service"):
        assert word in text
    assert command(edge, "--version", check=True).stdout.startswith(b"policy-proxy ")
    assert b"api_key = " in command(edge, "--print-config", check=True).stdout


def in_files_of_its_own(edge, **files):
    """Starts it in a mount namespace where these files of /etc are others."""
    mounts = "".join(f"mount --bind {path} /etc/{name.replace('_', '.', 1)} && " for name, path in files.items())
    edge.args = [*harness.unshare("--mount"), "sh", "-c", mounts + 'exec "$@"', "sh", *edge.args]
    return edge


def test_a_hub_with_two_addresses_of_which_one_leads_nowhere(place, started):
    """The hub listens on the second address only."""
    hub = started(harness.Hub(place / "hub")).ready()
    hub.load(harness.FIXTURE)
    hosts = place / "hosts"
    hosts.write_text("::1 hub.test\n127.0.0.1 hub.test\n")
    own = {"ring_dir": f"/dev/shm/{place.name}", "server": f"tcp://hub.test:{hub.wire_port}"}
    edge = in_files_of_its_own(Proxy(place / "edge", hub=hub, settings=own), hosts=hosts)
    started(edge).ready()
    with PolicyClient(edge.port) as client:
        client.ask(request())
    wait_until(lambda: edge.metrics()["policy_proxy_uplink_records_acked_total"] == 1, "the hub has it")
    done = subprocess.run(["nsenter", "-t", str(edge.pid), "-m", "-r", program("policy-proxy"), "check"], capture_output=True,
                          env={**os.environ, **edge._env}, timeout=LIMIT_S, check=False)
    assert done.returncode == 0 and b"FAIL" not in done.stdout, done.stdout


def test_a_silent_name_service_does_not_hold_the_stop(place, started):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((f"127.53.{os.getpid() % 250}.{free_port() % 250}", 53))
        silent.settimeout(LIMIT_S)
        resolv = place / "resolv.conf"
        resolv.write_text(f"nameserver {silent.getsockname()[0]}\noptions timeout:30 attempts:5\n")
        own = {"ring_dir": f"/dev/shm/{place.name}", "server": "tcp://hub.test:4000"}
        edge = in_files_of_its_own(Proxy(place / "edge", settings=own), resolv_conf=resolv)
        started(edge).ready()
        silent.recv(512)  # the lookup waits for its answer
        assert edge.stop(limit_s=20) == 0


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
