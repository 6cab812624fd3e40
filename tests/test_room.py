# SPDX-License-Identifier: Apache-2.0
"""A backup that finds no room: one clear line, its exit status, and nothing that is left."""
import json
import os
import subprocess

import pytest

from harness import wait_until
from test_backup import fill, run_dry
from test_jobs import jobs

EX_CANTCREAT = 73


@pytest.fixture
def small(place):
    """A file system of 256 KiB, which is less than the hub's data."""
    at = place / "small"
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0755", "small", at], check=True)
    yield at
    subprocess.run(["umount", "-l", at], check=True)


@pytest.mark.parametrize("name", ["backup", "backup.tar.zst"])
def test_a_backup_to_a_full_disk_ends_with_one_line_and_leaves_nothing(hub, proxy, small, name):
    run_dry(fill(proxy, "before", limit=50))
    wait_until(lambda: hub.total("requests") == 100, "stored")
    done = hub.cli("backup", str(small / name), check=False)
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and "No space left on device" in lines[0] and str(small) in lines[0]
    assert done.returncode == EX_CANTCREAT and done.stdout == ""
    assert os.listdir(small) == []
    assert [(job["state"], job["code"]) for job in jobs(hub) if job["kind"] == "backup"] == [("failed", "full")]
    # the hub goes on, and with room the same command does what it says
    subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
    assert hub.cli("backup", str(small / name)).returncode == 0
    assert json.loads(hub.cli("restore", str(small / name), "--check", "--json").stdout)["state"] == "whole"
