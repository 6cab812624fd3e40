# SPDX-License-Identifier: Apache-2.0
"""`mail-analytics demo`: a past over the wire, then live mail through the policy port."""
import json
import re
import signal
import subprocess
import time

from harness import LIMIT_S, TENANT, program, wait_until


def demo(hub, *args):
    return [program("mail-analytics"), "demo", "--config", str(hub.config), "--tenant", TENANT, *args]


def shipped(output):
    return int(re.search(r"history: (\d+) requests", output).group(1))


def test_past_then_live_mail(hub, proxy, place):
    args = demo(hub, "--history", "36h", "--mails-per-day", "1200", "--rate", "40", "--policy", f"127.0.0.1:{proxy.port}")
    out = place / "demo.out"
    with open(out, "w") as file:
        running = subprocess.Popen(args, stdout=file, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: "live:" in out.read_text(), "live mail begins")
        past = shipped(out.read_text())
        assert 1200 < past < 1800 * 4
        wait_until(lambda: hub.total("requests", [f"edge={proxy.dir.name}"]) > 50, "live mail is stored")
    finally:
        running.send_signal(signal.SIGINT)
        assert running.wait(LIMIT_S) == 0, out.read_text()
    answered = int(re.search(r"live: (\d+) requests were answered", out.read_text()).group(1))
    wait_until(lambda: hub.total("requests", ["edge=demo-history"]) == past, "all of the past is stored")
    wait_until(lambda: hub.total("requests", [f"edge={proxy.dir.name}"]) == answered, "all that was answered is stored")

    # The past has its own times, and the directions that it was made with (36 hours: before them lies a story).
    days = hub.query("requests", since="2d", interval="12h", where=["edge=demo-history"])
    assert len(days) >= 3
    recent = hub.query("requests", since="10m", where=["edge=demo-history"])
    assert not recent or recent[0]["requests"] < past / 4
    rows = hub.query("messages", by=["direction"], where=["edge=demo-history", "stage=RCPT"])
    messages = {row["direction"]: row["messages"] for row in rows}
    total = sum(messages.values())
    assert messages.keys() == {"in", "out", "internal", "relay", "unknown"} or messages.keys() == {
        "in", "out", "internal", "relay"}
    assert 0.4 < messages["in"] / total < 0.95 and messages["out"] / total > 0.03  # the weekend is mostly spam

    edges = {row["id"]: row for row in json.loads(hub.cli("edge", "list", "--json").stdout)["rows"]}
    assert edges["demo-history"]["gaps"] == 0

    # Again: the past is not shipped twice.
    began = time.monotonic()
    again = subprocess.run([*args[:-4], "--rate", "0"], capture_output=True, text=True, timeout=LIMIT_S)
    assert again.returncode == 0, again.stderr
    more = shipped(again.stdout)
    assert more < 1200 * (60 + time.monotonic() - began) / 86400 * 4 + 20
    wait_until(lambda: hub.total("requests", ["edge=demo-history"]) == past + more, "stored once")


def test_wrong_words(hub):
    for args, word in ((["--rate", "fast"], "--rate"), (["--history", "long"], "--history"), (["--love"], "--love"),
                       (["--history", "0s", "--policy", "nowhere"], "nowhere")):
        done = subprocess.run(demo(hub, *args), capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode in (64, 65), done
        lines = done.stderr.splitlines()
        assert len(lines) == 1 and word in lines[0], done.stderr
