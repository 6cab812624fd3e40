# SPDX-License-Identifier: Apache-2.0
"""kill -9 in the middle of a backup, of a restore, and of the first start of a newer release: the next try finds what it
can finish, and half of a backup is never taken for a whole one."""
import filecmp
import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from harness import Hub, wait_until
from killed import Doomed, calls, environment, points, wait_killed
from test_backup import fill, run_dry
from test_upgrade import SAMPLES, TOLD, assert_answers_alike, check_store, stored


def is_whole(hub, directory):
    return hub.cli("restore", str(directory), "--check", check=False).returncode == 0


def last_backup(hub):
    """Its state; None: the hub is being killed."""
    done = hub.cli("job", "list", "--json", check=False)
    if done.returncode != 0:
        return None
    rows = [row for row in json.loads(done.stdout)["rows"] if row["kind"] == "backup"]
    return max(rows, key=lambda row: row["id"])["state"]


@pytest.mark.parametrize("ending", ["", ".tar.zst"])
def test_in_the_middle_of_a_backup(place, hub, proxy, ending):
    run_dry(fill(proxy, "before", limit=50))
    wait_until(lambda: hub.total("requests") == 100, "stored")
    proxy.stop()
    hub.cli("backup", str(place / "first"))
    hub.stop()
    with Doomed(hub, place / "counted", count=place / "count"):
        hub.ready().cli("backup", str(place / f"counted{ending}"))
    hub.stop()
    ended = 0
    for at in points(calls(place / "count"), 3):
        to = place / f"b-{at}{ending}"
        with Doomed(hub, to, at):
            hub.ready().cli("backup", str(to), "--no-wait", check=False)
            wait_until(lambda: not hub.alive() or last_backup(hub) == "done", "killed, or through")
        ended += not hub.alive()
        assert hub.alive() or hub.process.returncode == -signal.SIGKILL, hub.log()
        assert to.exists() == is_whole(hub, to), f"at {at}: a backup has its name when it is whole"
        assert (to.parent / f"{to.name}.partial/.unfinished").exists() <= (not is_whole(hub, f"{to}.partial")), at
        hub.stop()
        hub.start().ready()
        wait_until(lambda: last_backup(hub) == "done", f"killed at {at}, it is made again")
        assert is_whole(hub, to) and not pathlib.Path(f"{to}.partial").exists(), at
        hub.stop()
    assert ended >= 4, "most runs were killed"


def is_like(directory, data):
    """Has the data all that the backup has, and nothing more?"""
    names = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()} - {"manifest.json"}
    found = {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}
    return found == names and all(filecmp.cmp(directory / name, data / name, shallow=False) for name in names)


@pytest.mark.parametrize("ending", ["", ".tar.zst"])
def test_in_the_middle_of_a_restore(place, started, hub, proxy, ending):
    run_dry(fill(proxy, "before", limit=50))
    wait_until(lambda: hub.total("requests") == 100, "stored")
    backup = place / f"backup{ending}"
    hub.cli("backup", str(backup))
    like = backup
    if ending:
        like = place / "like"
        like.mkdir()
        subprocess.run(["tar", "--zstd", "-xf", backup, "-C", like], check=True)
    other = Hub(place / "hub-2")
    data = other.dir / "data"
    other.cli("restore", str(backup), env=environment(data, count=place / "count"))
    for at in points(calls(place / "count"), 3):
        shutil.rmtree(data)
        done = other.cli("restore", str(backup), check=False, env=environment(data, at))
        assert done.returncode == -signal.SIGKILL, (at, done)
        if (data / ".unfinished").exists():
            refused = other.start().process.wait(60)
            assert refused == 65 and "restore it again" in other.log(), f"at {at}: no hub takes the half for its data"
            assert other.cli("tenant", "list", check=False).returncode == 65, at
        again = other.cli("restore", str(backup), check=False)
        assert again.returncode == 0 or (again.returncode == 73 and not (data / ".unfinished").exists()), (at, again)
        assert is_like(like, data), at
    started(other).ready()
    wait_until(lambda: other.total("requests", ["instance^=before."]) == 100, "and it runs")


def unpacked(at):
    at.mkdir()
    subprocess.run(["tar", "-xzf", SAMPLES / "data-account-2.tar.gz", "-C", at], check=True)
    return Hub(at / "hub")


def test_in_the_middle_of_the_first_start_of_a_newer_release(place, started):
    hub = unpacked(place / "counted")
    data = hub.dir / "data"
    with Doomed(hub, data, count=place / "count"):
        hub.ready()
        wait_until(lambda: stored(hub) == TOLD["stored"], "stored")
        total = calls(place / "count")
    hub.stop()
    for at in points(total, 3):
        hub = unpacked(place / f"at-{at}")
        with Doomed(hub, hub.dir / "data", at):
            wait_killed(hub)
        started(hub).ready()
        wait_until(lambda: stored(hub) == TOLD["stored"], f"killed at {at}, it goes on")
        assert_answers_alike(hub)
        assert hub.server_key() == TOLD["server_key"]
        check_store(hub)
        assert not any((hub.dir / "data/quarantine").iterdir()), os.listdir(hub.dir / "data/quarantine")
        hub.stop()
