# SPDX-License-Identifier: Apache-2.0
"""A store that takes its time to open, here because its disk hangs: the hub does all else meanwhile, says that it
isn't ready and why, and ends when it is told to."""
import contextlib
import json
import signal
import socket
import subprocess

from harness import FIXTURE, LIMIT_S, Hub, Load, Proxy, assert_exactly_once, wait_until
from webapi import call

EX_UNAVAILABLE = 69


@contextlib.contextmanager
def bound(what, at):
    subprocess.run(["mount", "--bind", what, at], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", at], check=True)


@contextlib.contextmanager
def slow_hub(place, started, disk):
    """Started, answering, and at its store; and what lets it go on."""
    at, freeze = disk
    (at / "store").mkdir(mode=0o700)
    hub = Hub(place / "hub")
    hub._env["NOTIFY_SOCKET"] = str(place / "notify")
    store = hub.dir / "data/store"
    store.mkdir(parents=True)
    with bound(at / "store", store):
        freeze(True)
        try:
            started(hub)
            wait_until(lambda: call(hub, "GET", "/healthz", key=None).status == 200, "the hub answers")
            yield hub, lambda: freeze(False)
        finally:
            freeze(False)
            hub.stop()


def test_all_else_goes_on(place, started, disk):
    supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    supervisor.bind(str(place / "notify"))
    supervisor.setblocking(False)
    with supervisor, slow_hub(place, started, disk) as (hub, go_on):
        heard = []

        def is_ready():
            with contextlib.suppress(BlockingIOError):
                while True:
                    heard.extend(supervisor.recv(4096).decode().splitlines())
            return "READY=1" in heard

        problem = call(hub, "GET", "/readyz", key=None).problem(503)
        assert problem["retryable"] is True and "being opened" in problem["detail"], problem
        done = hub.cli("status", "--json", check=False)
        assert done.returncode == EX_UNAVAILABLE and "being opened" in done.stderr, done
        status = json.loads(done.stdout)
        assert (status["store"]["open"], status["store"]["opening"]) == (0, 1) and "being opened" in status["store_error"]
        done = hub.cli("check", check=False)
        assert done.returncode == EX_UNAVAILABLE and "FAIL store: the store is being opened" in done.stdout, done
        hub.load(FIXTURE)
        done = hub.cli("query", "--measure", "requests", check=False)
        assert done.returncode == EX_UNAVAILABLE and "mail-analytics status" in done.stderr, done
        proxy = started(Proxy(place / "edge-1", hub)).ready()
        load = Load(proxy.port, limit=25).start()
        wait_until(lambda: hub.metrics()["mail_analytics_receive_records_total"] == 100, "all of it is acknowledged")
        hub.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "hub: reloaded" in hub.log(), "reload")
        wait_until(lambda: "takes its time to open" in hub.log(), "the log says what it waits for")
        assert not is_ready() and "STATUS=the store is being opened" in heard, heard
        go_on()
        hub.ready()
        wait_until(is_ready, "the supervisor knows")
        assert call(hub, "GET", "/readyz", key=None).status == 200
        assert_exactly_once(hub, load.stop())
        assert json.loads(hub.cli("status", "--json").stdout)["store"]["opening"] == 0
        proxy.stop()


def test_it_ends_when_it_is_told_to(place, started, disk):
    with slow_hub(place, started, disk) as (hub, go_on):
        hub.process.terminate()
        wait_until(lambda: "can't be broken off" in hub.log(), "the log says what it waits for")
        assert hub.alive()
        go_on()
        assert hub.process.wait(LIMIT_S) == 0, hub.log()
        assert "hub: stopped" in hub.log() and "hub: ready" not in hub.log()
        hub.start()
        hub.ready()
