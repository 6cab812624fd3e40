# SPDX-License-Identifier: Apache-2.0
"""The ways from an edge to the hub: HTTPS instead of ZeroMQ, falling back and coming back, through proxies and
tunnels. Whatever way it is, and whenever it changes: what was answered is stored once."""
import contextlib
import json
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import threading
import time

import pytest

from front import Door, HttpProxy, TlsFront
from harness import (DUNNO, FIXTURE, LIMIT_S, Hub, Load, PolicyClient, Proxy, assert_exactly_once, free_port, program, request,
                     wait_until)
from test_edge import receive, unsanitized

READY = 'policy_proxy_uplink_state{state="ready"}'


@pytest.fixture
def front(place, hub):
    with TlsFront(("127.0.0.1", hub.http_port), place) as front:
        yield front


def by_https(front, **more):
    return {"transport": "https", "https_server": f"https://127.0.0.1:{front.port}", "https_pin": front.pin(), **more}


def edge_by_https(place, hub, front, name="edge-1", **more):
    return Proxy(place / name, hub, {"server": f"tcp://127.0.0.1:{free_port()}", **by_https(front, **more)})


def is_ready(edge, https):
    found = edge.metrics()
    return found[READY] == 1 and found["policy_proxy_uplink_https"] == https


def keeps(edge):
    """A busy disk may open the spool late, and what is answered before that is not kept."""
    wait_until(lambda: "records wait" in edge.log(), "the spool is open")
    return edge


def check(edge):
    return subprocess.run([program("policy-proxy"), "check"], capture_output=True, text=True, timeout=LIMIT_S * 2,
                          env={**os.environ, **edge._env}, stdin=subprocess.DEVNULL)


def edges_of(hub):
    return {edge["id"]: edge for edge in json.loads(hub.cli("edge", "list", "--json").stdout)["rows"]}


def test_everything_goes_by_https(place, started, hub, front):
    edge = keeps(started(edge_by_https(place, hub, front)).ready())
    load = Load(edge.port, connections=4, prefix="https", limit=500).start()
    wait_until(lambda: len(load.answered) == 2000, "all is answered")
    assert_exactly_once(hub, load.stop())
    wait_until(lambda: edge.metrics()["policy_proxy_spool_records"] == 0, "all is acked")
    shown = edges_of(hub)["edge-1"]
    assert shown["transport"] == "https" and shown["connected"] and shown["gaps"] == 0
    assert front.taken == 1, "the connection is kept"
    assert edge.stop() == 0
    wait_until(lambda: not edges_of(hub)["edge-1"]["connected"], "it said goodbye")


def test_hub_and_front_may_end_at_any_time(place, started, hub, front):
    edge = keeps(started(edge_by_https(place, hub, front)).ready())
    load = Load(edge.port, connections=2, prefix="ends", pause_s=0.002).start()
    for round_ in range(4):
        wait_until(lambda: is_ready(edge, 1), "it is welcome")
        if round_ % 2:
            front.close()
            front.open()
        else:
            hub.kill()
            hub.start().ready()
    wait_until(lambda: is_ready(edge, 1), "it is welcome")
    assert_exactly_once(hub, load.stop())


def test_the_server_is_known_by_its_key(place, started, hub, front):
    with TlsFront(("127.0.0.1", hub.http_port), place) as other:
        edge = started(Proxy(place / "edge-1", hub, by_https(front, https_server=f"https://127.0.0.1:{other.port}"))).ready()
        wait_until(lambda: "not the pinned one" in keeps(edge).log(), "it is refused")
        with PolicyClient(edge.port) as client:
            client.ask(request(instance="kept"))
        assert hub.total("requests") == 0
        told = check(edge)
        assert told.returncode != 0 and f"the key {other.pin()}, which is not https_pin" in told.stdout
        edge.settings["https_pin"] = other.pin()
        edge.write()
        subprocess.run([program("policy-proxy"), "-c", "reload"], check=True, env={**os.environ, **edge._env})
        wait_until(lambda: hub.total("requests") == 1, "what was kept is sent")


@pytest.mark.parametrize("host, pinned, good", [("localhost", False, True), ("localhost", True, True), ("127.0.0.1", False, False)])
def test_or_by_an_authority(place, started, hub, front, host, pinned, good):
    """The name counts then: the certificate is for localhost."""
    edge = Proxy(place / "edge-1", hub, by_https(front, https_ca=str(front.certificate), https_server=f"https://{host}:{front.port}",
                                                 https_pin=front.pin() if pinned else ""))
    started(edge).ready()
    if good:
        wait_until(lambda: is_ready(edge, 1), "it is welcome")
        assert "ok" in check(edge).stdout and check(edge).returncode == 0
    else:
        wait_until(lambda: "not of https_ca, or not for this name" in edge.log(), "it is refused")


def test_an_authority_of_others_is_none(place, started, hub, front):
    with TlsFront(("127.0.0.1", hub.http_port), place) as other:
        edge = started(Proxy(place / "edge-1", hub, by_https(front, https_ca=str(other.certificate), https_pin="",
                                                             https_server=f"https://localhost:{front.port}"))).ready()
        wait_until(lambda: "not of https_ca" in edge.log(), "it is refused")


def test_an_edges_key_is_pinned_whatever_the_way(place, started, hub, front):
    """Another machine with the API key can't take an edge's name by the other way."""
    edge = started(Proxy(place / "edge-1", hub)).ready()
    wait_until(lambda: is_ready(edge, 0), "it is welcome")
    thief = started(edge_by_https(place, hub, front, name="thief", edge_id="edge-1")).ready()
    wait_until(lambda: "code=pinned" in thief.log(), "it is refused")
    assert is_ready(edge, 0)


def test_another_hub_behind_the_same_certificate(place, started, hub, front):
    """TLS may end anywhere: the hub's own key is asked for behind it."""
    other = started(Hub(place / "other")).ready()
    other.load(FIXTURE)
    edge = started(edge_by_https(place, hub, front, server_key=other.server_key())).ready()
    wait_until(lambda: "is server_key the hub's?" in edge.log(), "it is refused")
    assert hub.metrics()["mail_analytics_ingest_bad_parcels_total"] >= 1
    assert "server_key" in check(edge).stdout


def test_refusals_come_as_over_zeromq(place, started, hub, front):
    edge = started(edge_by_https(place, hub, front, api_key="ma_" + "X" * 43)).ready()
    wait_until(lambda: "code=key" in edge.log(), "it is refused")
    wait_until(lambda: "peer refused address=127.0.0.1 code=key" in hub.log(), "the hub says so")
    told = check(edge)
    assert told.returncode != 0 and "FAIL  https: API key: refused with key" in told.stdout


def test_through_an_http_proxy(place, started, hub, front):
    with HttpProxy() as proxy:
        edge = started(edge_by_https(place, hub, front, https_proxy=f"127.0.0.1:{proxy.port}")).ready()
        keeps(edge)
        load = Load(edge.port, connections=2, prefix="proxied", limit=50).start()
        wait_until(lambda: len(load.answered) == 100, "all is answered")
        assert_exactly_once(hub, load.stop())
        assert proxy.asked and set(proxy.asked) == {f"CONNECT 127.0.0.1:{front.port} HTTP/1.1"}


def test_check_tells_of_each_way(place, hub, front):
    edge = Proxy(place / "edge-1", hub, {**by_https(front), "transport": "auto"})
    told = check(edge)
    assert told.returncode == 0 and "FAIL" not in told.stdout, told.stdout
    for line in ("connection: tcp://", "server key: the hub has it", "https: the server has the pinned key",
                 "API key: welcome as edge edge-1", "https: API key: welcome as edge edge-1"):
        assert f"ok    {line}" in told.stdout, told.stdout
    edge.settings["server"] = f"tcp://127.0.0.1:{free_port()}"
    edge.write()
    told = check(edge)
    assert told.returncode == 0 and "FAIL  connection: " in told.stdout and "ok    https: API key" in told.stdout
    front.close()
    told = check(edge)
    assert told.returncode != 0 and f"FAIL  https: https://127.0.0.1:{front.port}: nothing answers" in told.stdout


def test_a_busy_hub_is_given_time(place, started, hub):
    """503 with Retry-After, from a front whose hub is down: nothing is asked before it is over."""
    asked = []

    class Busy(TlsFront):
        def greet(self, near):
            near.settimeout(10)
            near = self._context.wrap_socket(near, server_side=True)
            data = b""
            while b"\r\n\r\n" not in data:
                data += near.recv(4096)
            asked.append(time.monotonic())
            near.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            near.close()
            raise OSError("served")

    with Busy(None, place) as front:
        edge = started(edge_by_https(place, hub, front)).ready()
        wait_until(lambda: len(asked) >= 3, "it asks again")
        assert all(later - earlier >= 2.9 for earlier, later in zip(asked, asked[1:])), asked
        assert "the hub is busy" in edge.log()


def test_the_hubs_own_https(place, started):
    """Its listener with its self-signed certificate, whose pin its log tells; which is read again under way."""
    port = free_port()
    hub = started(Hub(place / "hub", {"https": f"127.0.0.1:{port}"})).ready()
    hub.load(FIXTURE)
    pin = re.search(r"https: ready .* pin=(sha256//[A-Za-z0-9+/=]+)", hub.log()).group(1)
    edge = started(Proxy(place / "edge-1", hub, {"transport": "https", "https_server": f"https://127.0.0.1:{port}", "https_pin": pin,
                                                 "server": f"tcp://127.0.0.1:{free_port()}"})).ready()
    keeps(edge)
    load = Load(edge.port, connections=2, prefix="own", pause_s=0.002).start()
    wait_until(lambda: is_ready(edge, 1), "it is welcome")
    for end in (hub.kill, hub.stop):
        end()
        hub.start().ready()
        wait_until(lambda: is_ready(edge, 1), "it is welcome again")
    hub.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(load.answered) > 500, "it goes on")
    assert_exactly_once(hub, load.stop())
    assert check(edge).returncode == 0


@pytest.fixture
def ways(place, hub, front):
    """A hub's own port behind a door, and an edge that may go both ways."""
    with Door(("127.0.0.1", hub.wire_port)) as door:
        edge = Proxy(place / "edge-1", hub, {**by_https(front), "transport": "auto", "server": f"tcp://127.0.0.1:{door.port}"})
        yield door, edge


def test_falls_back_and_comes_back(place, started, hub, front, ways):
    door, edge = ways
    started(edge).ready()
    wait_until(lambda: is_ready(edge, 0), "by ZeroMQ first")
    load = Load(edge.port, connections=2, prefix="ways", pause_s=0.002).start()
    door.close()
    wait_until(lambda: is_ready(edge, 1), "by HTTPS")
    found = edge.metrics()
    assert found["policy_proxy_uplink_fallbacks_total"] == 1 and found["policy_proxy_uplink_returns_total"] == 0
    wait_until(lambda: edges_of(hub)["edge-1"]["transport"] == "https", "the hub shows it")
    assert "HTTPS only" in edge.log()
    sent = edge.metrics()["policy_proxy_uplink_records_acked_total"]
    wait_until(lambda: edge.metrics()["policy_proxy_uplink_records_acked_total"] > sent, "it goes on")
    door.open()
    wait_until(lambda: is_ready(edge, 0), "by ZeroMQ again")
    assert edge.metrics()["policy_proxy_uplink_returns_total"] == 1
    assert_exactly_once(hub, load.stop())
    shown = edges_of(hub)["edge-1"]
    assert shown["transport"] == "zmq" and shown["gaps"] == 0


def test_a_key_that_is_refused_is_no_reason_to_fall_back(place, started, hub, front, ways):
    _, edge = ways
    edge.settings["api_key"] = "ma_" + "X" * 43
    edge.write()
    started(edge).ready()
    wait_until(lambda: edge.metrics()["policy_proxy_uplink_refusals_total"] >= 3, "it is refused")
    assert edge.metrics()["policy_proxy_uplink_fallbacks_total"] == 0 and front.taken == 0


def storm(started, hub, front, ways, seconds, seed):
    """The door opens and closes, the front is cut, hub and proxy are killed, at random, while mail is answered."""
    door, edge = ways
    rng = random.Random(seed)
    keeps(started(edge).ready())
    load = Load(edge.port, connections=4, prefix=f"storm{seed}", pause_s=0.004).start()
    until = time.monotonic() + seconds
    kinds = [door.close, door.open, lambda: (front.close(), front.open()), "hub", "proxy"]
    while time.monotonic() < until:
        kind = rng.choice(kinds)
        if kind == "hub":
            hub.kill()
            hub.start()
        elif kind == "proxy":
            edge.kill()
            edge.start()
        else:
            kind()
        threading.Event().wait(rng.uniform(0.2, 2.5))  # how long it stays so
    door.open()
    hub.ready()
    wait_until(lambda: edge.metrics()[READY] == 1, "it is welcome", LIMIT_S * 2)
    assert_exactly_once(hub, load.stop(), LIMIT_S * 2)
    assert edges_of(hub)["edge-1"]["gaps"] == 0


def test_nothing_is_lost_whatever_happens_to_the_ways(place, started, hub, front, ways):
    storm(started, hub, front, ways, 20, 11)


@pytest.mark.torture
def test_nothing_is_lost_in_a_long_storm(place, started, hub, front, ways):
    seed = int(os.environ.get("TRANSPORT_SEED", random.randrange(1 << 32)))
    print(f"seed {seed}")
    for wave in range(max(1, int(float(os.environ.get("TORTURE_SECONDS", "600")) / 60))):  # hub and spool stay
        storm(started, hub, front, ways, 45, seed + wave)
        ways[1].stop()


def test_https_costs_little_memory(place, started, record_property):
    """A thousand connections, and a backlog that goes by HTTPS."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    hub = started(Hub(place / "hub")).ready()
    hub.load(FIXTURE)
    with TlsFront(("127.0.0.1", hub.http_port), place) as front:
        edge = edge_by_https(place, hub, front)
        edge.args = [unsanitized(), *edge.args[1:]]
        front.close()
        started(edge).ready()
        in_all, at_once = 40000, 100
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(PolicyClient(edge.port)) for _ in range(1000)]
            for i in range(in_all // at_once):
                many = [request(instance=os.urandom(16).hex(), sender=f"{os.urandom(8).hex()}@x.example") for _ in range(at_once)]
                clients[i].fd.sendall(b"".join(many))
                receive(clients[i].fd, len(DUNNO) * at_once)
            front.open()
            wait_until(lambda: edge.metrics()["policy_proxy_uplink_records_acked_total"] >= in_all, "all is sent")
            kib = int(pathlib.Path(f"/proc/{edge.pid}/status").read_text().split("VmHWM:")[1].split()[0])
            record_property("highest_resident_kib", kib)
            print(f"{kib} KiB")
            assert kib <= 12 * 1024
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Sshd:
    """Debian's sshd on loopback, with host key, accounts and pid of its own; root may come by key."""

    def __init__(self, directory):
        self.dir, self.port = directory / "sshd", free_port()
        self.dir.mkdir(mode=0o700)
        pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # the one place that sshd can't be told
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.dir / "host"], check=True)
        self.authorized = self.dir / "authorized"
        self.authorized.write_text("")
        (self.dir / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.dir}/host\nAuthorizedKeysFile {self.authorized}\n"
            f"PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"PermitRootLogin prohibit-password\nAllowTcpForwarding yes\nLogLevel VERBOSE\n")
        self.process = None

    def start(self):
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", self.dir / "config"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        return self

    def stop(self):
        """With all sessions: a machine that goes away."""
        if self.process is not None:
            for pid in (self.process.pid, *self.children()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            self.process.wait()
        self.process = None

    def children(self):
        """Sessions move to groups of their own."""
        parents = {}
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {self.process.pid}

    def known(self):
        kind, key = (self.dir / "host.pub").read_text().split()[:2]
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


@pytest.fixture
def sshd(place):
    with Sshd(place) as sshd:
        yield sshd


def edge_by_ssh(place, hub, sshd, **more):
    """The hub's own port, as seen from the machine that lets us in; nothing else leads there."""
    return Proxy(place / "edge-1", hub, {"via_ssh": f"root@127.0.0.1:{sshd.port}", "server": f"tcp://127.0.0.1:{hub.wire_port}", **more})


def let_in(edge, sshd):
    spool = pathlib.Path(edge.settings["spool"])
    spool.mkdir(mode=0o700, exist_ok=True)
    (spool / "ssh.known_hosts").write_text(sshd.known())
    told = check(edge)  # makes the key
    public = (spool / "ssh.key.pub").read_text()
    assert public.strip() in told.stdout and (spool / "ssh.key").stat().st_mode & 0o777 == 0o600
    sshd.authorized.write_text(f"restrict,port-forwarding {public}")


def ssh_children(edge):
    out = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(edge.pid)], capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in out.splitlines() if line.split()[1] == "ssh"]


def test_through_ssh(place, started, hub, sshd):
    edge = edge_by_ssh(place, hub, sshd)
    let_in(edge, sshd)
    told = check(edge)
    assert told.returncode == 0 and "ok    ssh: the tunnel through root@" in told.stdout and "ok    API key: welcome" in told.stdout, told.stdout
    started(edge).ready()
    wait_until(lambda: edge.metrics()[READY] == 1, "it is welcome")
    load = Load(edge.port, connections=2, prefix="ssh", pause_s=0.002).start()
    for _ in range(2):
        for pid in ssh_children(edge):
            os.kill(pid, 9)
        wait_until(lambda: edge.metrics()[READY] == 0, "the tunnel is gone")
        wait_until(lambda: edge.metrics()[READY] == 1, "it is welcome again")
    sshd.stop()
    wait_until(lambda: edge.metrics()[READY] == 0, "the tunnel is gone")
    with PolicyClient(edge.port) as client:
        assert client.ask(request(instance="ssh.no-tunnel.1")) < 1
    load.answered.append("ssh.no-tunnel.1")
    sshd.start()
    wait_until(lambda: edge.metrics()[READY] == 1, "it is welcome again")
    assert_exactly_once(hub, load.stop())
    assert check(edge).returncode == 0 and edge.metrics()[READY] == 1  # beside it, in a socket of its own


def test_a_tunnel_ends_with_the_proxy(place, started, hub, sshd):
    edge = edge_by_ssh(place, hub, sshd)
    let_in(edge, sshd)
    for end in (edge.kill, edge.stop):
        started(edge).ready()
        wait_until(lambda: edge.metrics()[READY] == 1, "it is welcome")
        children = ssh_children(edge)
        assert len(children) == 1
        end()
        wait_until(lambda: not pathlib.Path(f"/proc/{children[0]}").exists() or
                   pathlib.Path(f"/proc/{children[0]}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z", "ssh ends, too")


def test_a_host_that_is_not_known_or_another(place, started, hub, sshd):
    edge = edge_by_ssh(place, hub, sshd)
    told = check(edge)
    assert told.returncode != 0 and "the host of via_ssh is not known" in told.stdout and "ssh.known_hosts" in told.stdout
    let_in(edge, sshd)
    known = pathlib.Path(edge.settings["spool"]) / "ssh.known_hosts"
    host = known.read_text().split()
    known.write_text(f"{host[0]} {host[1]} {'AAAAC3NzaC1lZDI1NTE5AAAAI' + 'B' * 43}\n")  # a key of somebody else
    told = check(edge)
    assert told.returncode != 0 and "FAIL  ssh: no tunnel through" in told.stdout and "key" in told.stdout, told.stdout
    keeps(started(edge).ready())
    with PolicyClient(edge.port) as client:
        client.ask(request(instance="kept"))
    wait_until(lambda: "ssh tunnel is down" in edge.log(), "it is told")
    assert hub.total("requests") == 0
    known.write_text(sshd.known())
    wait_until(lambda: hub.total("requests") == 1, "what was kept is sent")


def test_a_key_that_is_not_let_in(place, started, hub, sshd):
    edge = edge_by_ssh(place, hub, sshd)
    let_in(edge, sshd)
    sshd.authorized.write_text("")
    told = check(edge)
    assert told.returncode != 0 and "Permission denied" in told.stdout, told.stdout
