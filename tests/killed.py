# SPDX-License-Identifier: Apache-2.0
"""killed: runs a program that ends by SIGKILL in front of one of its calls that change files (shim/killed.c)."""
import os
import random
import signal

from harness import build_dir, wait_until


def environment(below, at=0, count=None):
    """For a program that is to end in front of its at-th call that changes a file whose path begins with below."""
    checks = os.environ.get("ASAN_OPTIONS")
    env = {"LD_PRELOAD": str(build_dir() / "src/hub/killed.so"), "KILLED_BELOW": str(below), "KILLED_AT": str(at),
           "ASAN_OPTIONS": (checks + ":" if checks else "") + "verify_asan_link_order=0"}
    return env | ({"KILLED_COUNT": str(count)} if count else {})


def calls(count):
    """How many there were, of a run with that count file."""
    return count.stat().st_size if count.exists() else 0


def points(total, n):
    """The first two and the last three of total calls, and some between, other ones in each run."""
    assert total > 8, "the library counts"
    between = {random.randrange(stop - total // n, stop) + 1 for stop in range(total // n, total, max(1, total // n))}
    chosen = sorted({1, 2, total - 2, total - 1, total} | between)
    print("killed in front of calls", chosen, "of", total)
    return chosen


class Doomed:
    """Starts a hub that ends at a point: `with Doomed(hub, below, at):`; behind it the hub is as it was made."""

    def __init__(self, hub, below, at=0, count=None):
        self.hub, self.env = hub, environment(below, at, count)

    def __enter__(self):
        self.before = self.hub._env
        self.hub._env = {**self.before, **self.env}
        return self.hub.start()

    def __exit__(self, *_):
        self.hub._env = self.before


def wait_killed(hub):
    wait_until(lambda: not hub.alive(), "it ends")
    assert hub.process.returncode == -signal.SIGKILL, hub.log()
