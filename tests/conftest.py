# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a hub with one tenant, a proxy in front of it; both end with the test."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "torture: long; run by `make torture` (TORTURE_SECONDS each)")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, "report_" + outcome.get_result().when, outcome.get_result())


@pytest.fixture
def place(request):
    """A short directory (sockets have short names) that is kept when the test fails."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="ma-"))
    yield path
    for ring in pathlib.Path("/dev/shm").glob(f"ring-{path.name}-*"):
        shutil.rmtree(ring, ignore_errors=True)
    report = getattr(request.node, "report_call", None)
    if report is None or report.failed:
        print(f"kept for inspection: {path}")
    else:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def started(place):
    """started(program) starts it and ends it with the test."""
    running = []

    def start(program):
        program.start()
        running.append(program)
        return program

    yield start
    for program in reversed(running):
        if program.alive():
            program.stop()
    # A report of UBSan ends the program: without this it would look like a closed connection.
    for program in (each for each in running if hasattr(each, "log")):
        assert "runtime error:" not in program.log(), program.log()


@pytest.fixture
def hub(place, started):
    hub = started(harness.Hub(place / "hub")).ready()
    hub.load(harness.FIXTURE)
    return hub


@pytest.fixture
def proxy(place, started, hub):
    return started(harness.Proxy(place / "edge-1", hub)).ready()


@pytest.fixture
def disk(place):
    """An ext4 of its own that can be frozen."""
    image, at = place / "disk.img", place / "disk"
    with open(image, "wb") as file:
        file.truncate(32 << 20)
    at.mkdir()
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, at], check=True)
    frozen = []

    def freeze(on):
        if on != bool(frozen):
            subprocess.run(["fsfreeze", "-f" if on else "-u", at], check=True)
            frozen.append(1) if on else frozen.clear()

    yield at, freeze
    freeze(False)
    subprocess.run(["umount", "-l", at], check=True)
