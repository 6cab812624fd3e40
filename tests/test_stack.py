# SPDX-License-Identifier: Apache-2.0
"""tools/stack, the supervisor that tests and benchmarks use: what DIR/env says, restarts, and a clean end."""
import os
import pathlib
import shlex
import signal
import subprocess

import pytest
from harness import ROOT, PolicyClient, build_dir, request, wait_until


def variables(directory):
    pairs = (word.split("=", 1) for word in shlex.split((directory / "env").read_text()))
    return dict(pairs)


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Stack:
    def __init__(self, directory):
        self.directory = directory
        environment = os.environ | {"STACK_BUILD": os.path.relpath(build_dir(), ROOT)}
        self.process = subprocess.Popen([ROOT / "tools/stack", directory], stdout=subprocess.PIPE, text=True, env=environment)

    def ready(self):
        line = self.process.stdout.readline()
        assert line.startswith("ready"), f"{line}{self.process.wait()}"
        return self

    @property
    def env(self):
        return variables(self.directory)

    @property
    def port(self):
        return int(self.env["POLICY_ADDR"].rsplit(":", 1)[1])

    def requests(self):
        done = subprocess.run([self.env["CLI"], "query", "--measure", "requests", "--since", "1h"], capture_output=True,
                              text=True, check=False, env=os.environ | self.env)
        return int((done.stdout.split() or ["0"])[-1]) if done.returncode == 0 else -1

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)


@pytest.fixture
def stack(place):
    stack = Stack(place / "stack").ready()
    yield stack
    if stack.process.poll() is None:
        stack.stop()


def test_what_is_asked_is_stored_and_everything_ends(stack):
    env = stack.env
    for name in ("POLICY_ADDR", "WIRE_ADDR", "SERVER_KEY", "INGEST_KEY", "READ_KEY", "HUB_PID", "PROXY_PID", "METRICS_URL",
                 "HUB_METRICS_URL", "MAIL_ANALYTICS_CONFIG", "CLI", "TENANT"):
        assert env[name]
    with PolicyClient(stack.port) as client:
        client.ask(request(instance="stack.1"))
    wait_until(lambda: stack.requests() == 1, "the request in the store", pause_s=0.2)
    assert stack.stop() == 0
    assert not is_alive(env["HUB_PID"]) and not is_alive(env["PROXY_PID"])


def test_what_is_killed_comes_back_and_nothing_is_lost(stack):
    for round_, name in enumerate(["PROXY_PID", "HUB_PID", "PROXY_PID"]):
        with PolicyClient(stack.port) as client:
            client.ask(request(instance=f"stack.{round_}"))
        old = stack.env[name]
        os.kill(int(old), signal.SIGKILL)
        # The supervisor holds the socket: Postfix waits a moment and is never refused.
        with PolicyClient(stack.port) as client:
            client.ask(request(instance=f"stack.{round_}.again"))
        wait_until(lambda: stack.env[name] != old and is_alive(stack.env[name]), f"{name} started again")
    wait_until(lambda: stack.requests() == 6, "all six requests in the store", pause_s=0.2)


def test_a_second_start_has_the_same_data(stack):
    with PolicyClient(stack.port) as client:
        client.ask(request(instance="stack.first"))
    wait_until(lambda: stack.requests() == 1, "the request in the store", pause_s=0.2)
    key = stack.env["SERVER_KEY"]
    assert stack.stop() == 0
    again = Stack(stack.directory).ready()
    try:
        assert again.env["SERVER_KEY"] == key
        wait_until(lambda: again.requests() == 1, "the request still in the store", pause_s=0.2)
    finally:
        assert again.stop() == 0
