# SPDX-License-Identifier: Apache-2.0
"""The drill: backed up while mail flows, restored elsewhere, the same answers; what is damaged is noticed; what was
erased stays erased."""
import json
import os
import signal

import detector
from harness import TENANT, Hub, Load, wait_until
from test_jobs import CANARY, job, jobs, send


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
    upto = other.total("requests")
    assert 300 <= upto <= total
    known = {row["instance"] for row in other.query("requests", by=["instance"], limit=100000)}
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
