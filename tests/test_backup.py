# SPDX-License-Identifier: Apache-2.0
"""The drill: backed up while mail flows, restored elsewhere, the same answers; what is damaged is noticed; what was
erased stays erased."""
import io
import json
import os
import signal
import subprocess
import tarfile

import pytest

import detector
from harness import LIMIT_S, TENANT, Hub, Load, wait_until, write_settings
from test_jobs import CANARY, duck_hub, fast, fast_total, job, jobs, send, send_old, stored  # noqa: F401


def answers(hub):
    """Several questions, as one thing to compare."""
    return [hub.query("requests", "messages", "recipients", by=["sender_domain", "direction"], order="requests"),
            hub.query("requests", by=["instance"], limit=100000, order="instance:asc"),
            hub.query("requests", by=["rule_version", "edge"], order="requests")]


def fill(proxy, prefix, limit=150, **attributes):
    return Load(proxy.port, connections=2, prefix=prefix, limit=limit, **attributes)


def run_dry(load):
    load.start()
    for thread in load._threads:
        thread.join(60)
    return load.stop()


def elsewhere(place, name="hub-2"):
    return Hub(place / name)


def test_a_restored_hub_answers_alike_and_goes_on(place, started, hub, proxy):
    run_dry(fill(proxy, "before"))
    wait_until(lambda: hub.total("requests") == 300, "stored")
    flow = fill(proxy, "flow", limit=None, pause_s=0.002).start()
    to = place / "backup"
    done = json.loads(hub.cli("backup", str(to), "--json").stdout)
    flow.stop()
    assert done["state"] == "done" and done["result"]["files"] > 3, done
    assert oct(os.stat(to).st_mode)[-3:] == "700" and oct(os.stat(to / "account.db").st_mode)[-3:] == "600"
    assert not (place / "backup.partial").exists()
    assert hub.cli("restore", str(to), "--check").stdout.startswith("whole: ")
    again = hub.cli("backup", str(to), check=False)
    assert again.returncode != 0 and "there already" in again.stderr
    total = len(flow.answered) + 300
    wait_until(lambda: hub.total("requests") == total, "all stored")

    other = elsewhere(place)
    other.cli("restore", str(to))
    refused = other.cli("restore", str(to), check=False)
    assert refused.returncode == 73 and "not empty" in refused.stderr
    started(other).ready()
    wait_until(lambda: other.metrics()["mail_analytics_loader_lag_us"] == 0, "the journal read")
    wait_until(lambda: other.total("requests", ["instance^=before."]) == 300, "the rows of before")
    assert other.server_key() == hub.server_key()
    assert json.loads(other.cli("domain", "list", "--json").stdout) == json.loads(hub.cli("domain", "list", "--json").stdout)
    assert [row["state"] for row in jobs(other) if row["kind"] == "backup"] == ["done"], "the backup doesn't run again where it was restored"
    # Both know the same of what both have: everything up to the backup.
    rows = other.query("requests", by=["instance"], limit=100000)  # some of it may still be on its way out of the journal
    upto = sum(row["requests"] for row in rows)
    assert 300 <= upto <= total
    known = {row["instance"] for row in rows}
    assert len(known) == upto and known <= {row["instance"] for row in hub.query("requests", by=["instance"], limit=100000)}
    ours = other.query("messages", "recipients", by=["direction"], where=["instance^=before."])
    assert ours == hub.query("messages", "recipients", by=["direction"], where=["instance^=before."])
    # And the edge goes on at the restored hub: nothing twice.
    proxy.stop()
    hub.stop()
    proxy.settings["server"] = other.wire_addr
    proxy.write()
    started(proxy)
    run_dry(fill(proxy, "after", limit=50))
    wait_until(lambda: other.total("requests", ["instance^=after."]) == 100, "goes on")
    assert all(row["requests"] == 1 for row in other.query("requests", by=["instance"], limit=100000))


def test_what_was_erased_since_stays_erased(place, started, hub, proxy):
    canaries = send(proxy, 140, "before")
    wait_until(lambda: hub.total("requests") == 140, "stored")
    to = place / "backup"
    hub.cli("backup", str(to))
    hub.cli("erase", "--tenant", TENANT, "--address", CANARY)
    assert hub.total("requests") == 140 - canaries
    hub.stop()
    assert detector.where(to, CANARY), "the older backup has it"
    other = elsewhere(place)
    other.cli("restore", str(to), "--tombstones", str(hub.dir / "data"))
    started(other).ready()
    wait_until(lambda: {row["state"] for row in jobs(other) if row["kind"] == "erase"} == {"done"}, "erased")
    assert other.total("requests") == 140 - canaries
    other.stop()
    assert [name for name in detector.where(other.dir / "data", CANARY) if not name.startswith("account.db")] == []


def test_roll_ups_of_days_whose_events_are_gone_are_restored(place, started, duck_hub):  # noqa: F811
    canaries = send_old(duck_hub, 70, days=40)
    canaries_later = send_old(duck_hub, 30, days=3, stream="later")
    wait_until(lambda: stored(duck_hub) == 100, "stored")
    duck_hub.cli("retention", "set", "--tenant", TENANT, "--kind", "events", "--keep", "20d")
    duck_hub.cli("retention", "apply")
    assert duck_hub.total("requests") == 30
    wait_until(lambda: fast_total(duck_hub, 60) == 100, "rolled", 2 * LIMIT_S)
    duck_hub.cli("backup", str(place / "backup"))
    assert not [name for name in os.listdir(duck_hub.dir / "data" / "store") if ".tmp" in name]

    other = elsewhere(place)
    other.cli("restore", str(place / "backup"))
    started(other).ready()
    wait_until(lambda: other.metrics()["mail_analytics_loader_lag_us"] == 0, "the journal read")
    assert other.total("requests") == 30 and fast_total(other, 60) == 100
    assert fast_total(other, 60, "sender=" + CANARY) == canaries + canaries_later
    send_old(other, 20, days=3, stream="after")  # and days that have events are rolled on
    wait_until(lambda: other.total("requests") == 50 and fast(other, 60)["mode"] == "fast" and fast_total(other, 60) == 120, "rolled on",
               2 * LIMIT_S)
    other.stop()

    duck_hub.cli("erase", "--tenant", TENANT, "--address", CANARY)
    assert fast_total(duck_hub, 60) == 100 - canaries_later and fast_total(duck_hub, 60, "sender=" + CANARY) == 0
    duck_hub.stop()
    assert any("rollups" in name for name in detector.where(place / "backup", CANARY)), "the backup has it"
    third = elsewhere(place, "hub-3")
    third.cli("restore", str(place / "backup"), "--tombstones", str(duck_hub.dir / "data"))
    started(third).ready()
    wait_until(lambda: {row["state"] for row in jobs(third) if row["kind"] == "erase"} == {"done"}, "erased", 2 * LIMIT_S)
    assert fast_total(third, 60, "sender=" + CANARY) == 0
    wait_until(lambda: fast_total(third, 60) == 100 - canaries_later, "nobody's figures stay", 2 * LIMIT_S)
    third.stop()
    assert [name for name in detector.where(third.dir / "data", CANARY) if not name.startswith("account.db")] == []


def test_damage_is_noticed_before_anything_is_written(place, hub, proxy):
    run_dry(fill(proxy, "before", limit=20))
    wait_until(lambda: hub.total("requests") == 40, "stored")
    to = place / "backup"
    hub.cli("backup", str(to))
    other = elsewhere(place)
    victim = next((to / "journal").glob("*.seg"))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.unlink()  # a link to the hub's own
    victim.write_bytes(data)
    for args in (["--check"], []):
        done = other.cli("restore", str(to), *args, check=False)
        assert done.returncode == 65 and victim.name in done.stderr, done
    assert not (other.dir / "data").exists()
    victim.unlink()
    assert "lacks" in other.cli("restore", str(to), "--check", check=False).stderr
    manifest = json.loads((to / "manifest.json").read_text())
    for name in ("../x", "/etc/x", "a/../../x", "", "a//b"):
        manifest["files"][0]["name"] = name
        (to / "manifest.json").write_text(json.dumps(manifest))
        assert other.cli("restore", str(to), "--check", check=False).returncode == 65
    (to / "manifest.json").unlink()
    assert "no whole backup" in other.cli("restore", str(to), check=False).stderr


@pytest.mark.parametrize("kind, goes, slashes", [
    ("root's", True, ""), ("root's, with what fsck found", True, ""), ("somebody's, empty", True, ""), ("somebody's, with a file", False, ""),
    ("a file", False, ""), ("a link", False, ""), ("with another", False, ""), ("interrupted", True, ""),
    ("root's, with what fsck found", True, "/"), ("interrupted", True, "/"), ("interrupted", True, "//"), ("with another", False, "/")])
def test_a_mount_point_is_empty_but_for_lost_and_found(place, hub, kind, goes, slashes):
    hub.cli("backup", str(place / "backup"))
    other = elsewhere(place)
    other.settings["data"] += slashes
    write_settings(other.config, "mail-analytics", other.settings)
    data, lost = other.dir / "data", other.dir / "data/lost+found"
    data.mkdir()
    os.chown(data, 65534, 65534)  # the hub's user
    if kind == "a file":
        lost.touch()
    elif kind == "a link":
        lost.symlink_to(place)
    else:
        lost.mkdir(mode=0o700)
    if kind in ("root's, with what fsck found", "somebody's, with a file", "interrupted"):
        (lost / "#17").touch()
    if kind.startswith("somebody's"):
        os.chown(lost, 12345, 12345)
    if kind == "with another":
        (data / "lost+found.old").mkdir()
    if kind == "interrupted":
        (data / ".unfinished").touch()
        (data / "store").mkdir()
        (data / "store/half").touch()
    before = lost.lstat().st_uid, os.listdir(lost) if lost.is_dir() else None
    done = other.cli("restore", str(place / "backup"), check=False)
    assert (done.returncode == 0) == goes, done
    assert (lost.lstat().st_uid, os.listdir(lost) if lost.is_dir() else None) == before
    if goes:
        assert (data / "account.db").stat().st_uid == 65534 and not (data / "store/half").exists()
    else:
        assert done.returncode == 73 and "not empty" in done.stderr and not (data / "account.db").exists()


def test_a_killed_backup_is_made_again(place, hub, proxy):
    run_dry(fill(proxy, "before", limit=50))
    wait_until(lambda: hub.total("requests") == 100, "stored")
    to = place / "backup"
    hub.cli("backup", str(to), "--no-wait")
    for _ in range(2):
        hub.kill(signal.SIGKILL)
        hub.start()
        hub.ready()
    wait_until(lambda: job(hub, 1)["state"] == "done", "made")
    assert hub.cli("restore", str(to), "--check").stdout.startswith("whole: ")
    assert not (place / "backup.partial").exists()
    (place / "other.partial").mkdir()
    (place / "other.partial/of somebody").touch()
    done = hub.cli("backup", str(place / "other"), check=False)
    assert done.returncode != 0 and "move it away" in done.stderr


def test_a_backup_needs_a_hub_and_a_place(place, hub):
    done = hub.cli("backup", "/nowhere/at/all", check=False)
    assert done.returncode != 0 and "/nowhere/at/all" in done.stderr
    assert job(hub, jobs(hub)[0]["id"])["state"] == "failed"
    hub.stop()
    done = hub.cli("backup", str(place / "b"), check=False)
    assert done.returncode == 69 and "no hub is running" in done.stderr


def archived(place, hub, proxy):
    """A backup in one file, of a hub with a hundred requests."""
    run_dry(fill(proxy, "before", limit=50))
    wait_until(lambda: hub.total("requests") == 100, "stored")
    to = place / "backup.tar.zst"
    done = json.loads(hub.cli("backup", "--output", str(to), "--json").stdout)
    assert done["state"] == "done" and done["result"]["to"] == str(to), done
    assert oct(os.stat(to).st_mode)[-3:] == "600" and not (place / "backup.tar.zst.partial").exists()
    return to


def test_a_backup_in_one_file(place, started, hub, proxy):
    to = archived(place, hub, proxy)
    assert hub.cli("restore", str(to), "--check").stdout.startswith("whole: ")
    assert "ends in .tar.zst" in hub.cli("backup", "--output", str(place / "x.tar"), check=False).stderr
    assert "there already" in hub.cli("backup", "--output", str(to), check=False).stderr
    told = answers(hub)
    other, third = elsewhere(place), elsewhere(place, "hub-3")
    other.cli("restore", str(to))
    (place / "unpacked").mkdir()
    subprocess.run(["tar", "--zstd", "-xf", to, "-C", place / "unpacked"], check=True)  # as everybody's tar has it
    third.cli("restore", str(place / "unpacked"))
    for again in (other, third):
        started(again).ready()
        wait_until(lambda: again.total("requests") == 100, "as it was")
        assert answers(again) == told and again.server_key() == hub.server_key()


def repacked(tar, change):
    """The archive's members after change(list of (TarInfo, bytes)), in zstd."""
    plain = subprocess.run(["zstd", "-dc", tar], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(plain)) as source:
        members = [(member, source.extractfile(member).read()) for member in source]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as target:
        for member, data in change(members):
            member.size = len(data)
            target.addfile(member, io.BytesIO(data))
    end = out.getvalue().rstrip(b"\0")
    whole = end + bytes(-len(end) % 512 + 1024)
    return subprocess.run(["zstd", "-q", "--check"], check=True, capture_output=True, input=whole).stdout


def renamed(name):
    """The second member, and what the manifest says of it, with that name."""
    def change(members):
        manifest = json.loads(members[0][1])
        manifest["files"][0]["name"] = members[1][0].name = name
        return [(members[0][0], json.dumps(manifest).encode()), *members[1:]]
    return change


def linked(members):
    members[1][0].type, members[1][0].linkname = tarfile.SYMTYPE, "/etc/passwd"
    return [(members[1][0], b"") if i == 1 else member for i, member in enumerate(members)]


def extra(members):
    return [*members, (tarfile.TarInfo("more"), b"more")]


def larger(members):
    return [*members[:1], (members[1][0], members[1][1] + b"x"), *members[2:]]


def test_a_damaged_or_hostile_archive_is_refused(place, hub, proxy):
    to = archived(place, hub, proxy)
    data = to.read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    bad = {"cut": data[:-9], "half": data[: len(data) // 2], "flipped": bytes(flipped), "behind": data + b"x",
           "twice": data + data, "empty": b"", "other": b"no archive" * 100,
           "above": repacked(to, renamed("../above")), "absolute": repacked(to, renamed("/tmp/absolute")),
           "mark": repacked(to, renamed(".unfinished")), "link": repacked(to, linked), "extra": repacked(to, extra),
           "larger": repacked(to, larger), "no manifest": repacked(to, lambda members: members[1:]),
           "lacking": repacked(to, lambda members: members[:-1]), "order": repacked(to, lambda m: [m[0], *m[:0:-1]])}
    other = elsewhere(place)
    for name, content in bad.items():
        (place / "bad.tar.zst").write_bytes(content)
        for args in (["--check"], []):
            done = other.cli("restore", str(place / "bad.tar.zst"), *args, check=False)
            assert done.returncode in (64, 65) and "bad.tar.zst: " in done.stderr, (name, done)
        assert not (other.dir / "data").exists(), name
    (place / "bad.tar.zst").write_bytes(repacked(to, lambda members: members))
    assert other.cli("restore", str(place / "bad.tar.zst"), "--check").returncode == 0, "packed again unchanged it is good"
