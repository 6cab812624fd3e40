# SPDX-License-Identifier: Apache-2.0
"""policy_listen: Postfix asks the hub itself; the tenant comes from an ingest key with fixed addresses."""
import json
import socket

import pytest

import detector
from harness import Hub, PolicyClient, free_port, request, wait_until

KEYS = {"tenants": [
    {"name": "acme", "domains": ["example.com"], "apikeys": [
        {"name": "postfix", "scopes": ["ingest"], "addresses": ["127.0.0.1"]},
        {"name": "others", "scopes": ["ingest"], "addresses": ["127.0.1.0/24"]}]},
    {"name": "other", "domains": ["example.net"], "apikeys": [
        {"name": "postfix", "scopes": ["ingest"], "addresses": ["127.0.0.3"]}]}]}


CANARY = "canary-4417@sender.example"


class From(PolicyClient):
    """A client with a chosen loopback address."""

    def __init__(self, port, address):
        self.fd = socket.socket()
        self.fd.settimeout(60)
        self.fd.bind((address, 0))
        self.fd.connect(("127.0.0.1", port))


def ask(port, address, first, count, **attributes):
    with From(port, address) as client:
        for i in range(first, first + count):
            client.ask(request(instance=f"{address}.{i}", recipient="u@example.com", **attributes))


def requests(hub, *args):
    done = hub.cli("query", "--measure", "requests", "--since", "1d", "--json", *args)
    return json.loads(done.stdout)["rows"][0]["requests"]


@pytest.fixture
def direct(place, started):
    hub = started(Hub(place / "hub", {"policy_listen": f"127.0.0.1:{free_port()}"})).ready()
    hub.load(KEYS)
    hub.policy_port = int(hub.settings["policy_listen"].split(":")[1])
    wait_until(lambda: hub.metrics()["mail_analytics_direct_inlets"] == 2, "both hosts are known")
    return hub


def test_each_address_is_an_edge_of_its_tenant(direct):
    ask(direct.policy_port, "127.0.0.1", 0, 30)
    ask(direct.policy_port, "127.0.1.9", 0, 7)  # named by its network: made ready at its first connection
    ask(direct.policy_port, "127.0.0.3", 0, 5)
    wait_until(lambda: requests(direct) == 42, "all of it in the store")
    assert requests(direct, "--tenant", "acme") == 37
    assert requests(direct, "--tenant", "other") == 5
    assert requests(direct, "--tenant", "acme", "--where", "direction=in") == 37
    edges = json.loads(direct.cli("edge", "list", "--json").stdout)["rows"]
    assert sorted(edge["tenant"] for edge in edges) == ["acme", "acme", "other"]


def test_strangers_are_refused_and_counted(direct):
    with From(direct.policy_port, "127.0.0.2") as client:
        with pytest.raises(OSError):
            client.ask(request())
    wait_until(lambda: direct.metrics()["mail_analytics_direct_refused_total"] == 1, "counted")
    assert direct.metrics()["mail_analytics_direct_requests_total"] == 0


def test_a_removed_key_shuts_its_address(direct):
    ask(direct.policy_port, "127.0.0.3", 0, 1)
    direct.cli("apikey", "remove", "postfix", "--tenant", "other")

    def refused():
        try:
            with From(direct.policy_port, "127.0.0.3") as client:
                client.ask(request(instance="late"))
        except OSError:
            return True
        return False

    wait_until(refused, "refused without its key")
    ask(direct.policy_port, "127.0.0.1", 0, 1)  # the others go on


def test_kill_loses_and_doubles_nothing(direct):
    for turn in range(3):
        ask(direct.policy_port, "127.0.0.1", turn * 50, 50)
        direct.kill()
        direct.start()
        direct.ready()
    wait_until(lambda: requests(direct) == 150, "every answered request in the store")
    messages = json.loads(direct.cli("query", "--measure", "messages", "--since", "1d", "--json").stdout)
    assert messages["rows"] == [{"messages": 150}]


def test_a_hung_disk_holds_nobody(place, started, disk):
    """An address that comes for the first time has its spool made, on a disk that hangs just then: it is answered,
    and so are the others; what all of them asked is kept."""
    at, freeze = disk
    settings = {"policy_listen": f"127.0.0.1:{free_port()}", "data": str(at / "data"), "journal_max": "8M"}
    hub = started(Hub(place / "hub", settings)).ready()
    hub.load(KEYS)
    port = int(settings["policy_listen"].split(":")[1])
    wait_until(lambda: hub.metrics()["mail_analytics_direct_inlets"] == 2, "both hosts are known")
    ask(port, "127.0.0.1", 0, 10)
    wait_until(lambda: requests(hub) == 10, "its spool is open")
    freeze(True)
    seconds = []
    with From(port, "127.0.1.9") as new, From(port, "127.0.0.1") as known:
        for i in range(20):
            seconds.append(new.ask(request(instance=f"new.{i}", recipient="u@example.com")))
            seconds.append(known.ask(request(instance=f"known.{i}", recipient="u@example.com")))
    freeze(False)
    # The machine of the test may be late for a moment; a disk that holds answers is late until it is unfrozen.
    assert sorted(seconds)[35] < 0.055, seconds
    wait_until(lambda: requests(hub) == 50, "all of it in the store")
    assert hub.metrics()["mail_analytics_direct_lost_total"] == 0


def test_an_erasure_reaches_the_spools(direct):
    """What the hub has acknowledged stays in a quiet server's spool until its segment is full, and for ever in that of
    one which no key names any more."""
    ask(direct.policy_port, "127.0.0.1", 0, 5, sender=CANARY)
    ask(direct.policy_port, "127.0.1.9", 0, 3, sender=CANARY)
    wait_until(lambda: requests(direct) == 8, "all of it in the store")
    direct.cli("apikey", "remove", "others", "--tenant", "acme")
    direct.stop()
    direct.start()
    direct.ready()
    wait_until(lambda: direct.metrics()["mail_analytics_direct_inlets"] == 2, "both hosts are known")
    ask(direct.policy_port, "127.0.0.1", 5, 5, sender=CANARY)
    ask(direct.policy_port, "127.0.0.3", 0, 5)
    wait_until(lambda: requests(direct) == 18, "all of it in the store")
    spools = direct.dir / "data/policy"
    found = {path.split("/")[0] for path in detector.where(spools, CANARY)}
    assert found == {"1-127.0.0.1", "1-127.0.1.9"}, "the detector finds nothing where there is something"
    done = json.loads(direct.cli("erase", "--tenant", "acme", "--address", CANARY, "--json").stdout)
    assert done["state"] == "done", done
    assert detector.where(spools, CANARY) == []
    assert done["result"]["spools_waiting"] == 0, done
    ask(direct.policy_port, "127.0.0.1", 10, 7)  # they go on as they were
    ask(direct.policy_port, "127.0.0.3", 5, 7)
    wait_until(lambda: requests(direct) == 5 + 14, "what came later")
    assert direct.metrics()["mail_analytics_receive_gap_records_total"] == 0
