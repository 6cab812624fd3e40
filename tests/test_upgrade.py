# SPDX-License-Identifier: Apache-2.0
"""A data directory of an earlier release, and the spools of two edges: today's programs go on with a copy.

samples/data-account-2.tar.gz was written by a release with account schema 2 and store schema 1, whose hub and first edge
were killed: WALs are not checkpointed, segments not sealed, and the edge holds requests that no hub has heard of.
samples/data-account-2.json is what that hub answered before."""
import json
import pathlib
import subprocess

import pytest

from harness import Hub, Proxy, wait_until
from test_backup import fill, run_dry

SAMPLES = pathlib.Path(__file__).parent / "samples"
TOLD = json.loads((SAMPLES / "data-account-2.json").read_text())
EDGE_2_KEY = "ma_" + "O" * 43


@pytest.fixture
def old(place):
    """Where a copy of the sample is unpacked: hub/data, edge-1/spool, edge-2/spool."""
    subprocess.run(["tar", "-xzf", SAMPLES / "data-account-2.tar.gz", "-C", place], check=True)
    return place


def in_order(rows):
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def stored(hub):
    return hub.total("requests", ["instance^=old."])


def assert_answers_alike(hub):
    for asked in TOLD["answers"]:
        question = ["query", *asked["question"], "--where", "instance^=old.", "--json"]
        rows = json.loads(hub.cli(*question).stdout)["rows"]
        assert in_order(rows) == in_order(asked["rows"]), asked["question"]


def edges(hub):
    return {edge["id"]: edge for edge in json.loads(hub.cli("edge", "list", "--json").stdout)["rows"]}


def check_store(hub):
    done = hub.cli("check", "--store", "--json", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_answers_stay_and_edges_go_on(old, started):
    hub = started(Hub(old / "hub")).ready()
    wait_until(lambda: stored(hub) == TOLD["stored"], "the store and what of the journal it lacks")
    assert hub.server_key() == TOLD["server_key"]
    assert_answers_alike(hub)
    assert list((old / "hub/data/quarantine").iterdir()) == []
    before = edges(hub)
    assert {name: edge["records"] for name, edge in before.items()} == {"edge-1": 73, "edge-2": 7}
    first = started(Proxy(old / "edge-1", hub)).ready()
    wait_until(lambda: hub.total("requests", ["instance^=late."]) == TOLD["late"], "what the edge still had")
    second = started(Proxy(old / "edge-2", hub, {"api_key": EDGE_2_KEY})).ready()
    for proxy in (first, second):
        run_dry(fill(proxy, proxy.dir.name, limit=10))
    wait_until(lambda: hub.total("requests", ["instance^=edge-"]) == 40, "and what they hear now")
    after = edges(hub)
    assert {name: edge["gap_records"] for name, edge in after.items()} == {"edge-1": 0, "edge-2": 0}
    assert {name: edge["records"] for name, edge in after.items()} == {"edge-1": 73 + TOLD["late"] + 20, "edge-2": 27}
    assert all(row["requests"] == (3 if row["instance"] == "old.same" else 1)
               for row in hub.query("requests", by=["instance"], limit=1000))
    assert "damaged" not in check_store(hub)
    hub.stop()
    hub.start().ready()
    assert_answers_alike(hub)
    assert hub.total("requests") == TOLD["stored"] + TOLD["late"] + 40
    check_store(hub)
    to = old / "backup"
    hub.cli("backup", str(to))
    assert hub.cli("restore", str(to), "--check").stdout.startswith("whole: ")
