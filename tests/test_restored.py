# SPDX-License-Identifier: Apache-2.0
"""A restored hub is the same hub: to edges by its key, to clients by its certificate, to people by their sessions, to
Postfix servers that ask it directly. What lies in a data directory is in a backup, or is known not to be needed."""
import hashlib
import json
import re
import socket
import ssl

from harness import FIXTURE, LIMIT_S, PolicyClient, Proxy, free_port, request, wait_until
from test_backup import answers, fill, run_dry
from test_https import SecureHub, make_certificate
from test_login import logged_in
from webapi import Browser, call

NOT_NEEDED = re.compile(
    r"account\.db-(wal|shm)|(.*/)?lock|store/rollups\.duckdb.*"  # in account.db by then; nothing; made of the parts
    r"|policy/[^/]+/spool/.*"  # on its way
    r"|backups/.*"
)


class Whole(SecureHub):
    """A hub with a certificate in a directory of its own below its data, and policy_listen."""

    def __init__(self, directory):
        tls = directory / "data/tls/site"
        super().__init__(directory, {"tls_certificate": str(tls / "current.chain"),
                                     "tls_key": str(tls / "current.private"),
                                     "policy_listen": f"127.0.0.1:{free_port()}"})
        self.policy_port = int(self.settings["policy_listen"].split(":")[1])

    def files(self, below="data"):
        at = self.dir / below
        return {str(path.relative_to(at)) for path in at.rglob("*") if path.is_file()}


def prepared(place):
    """With what an operator may have put there: a certificate behind links, keys in directories, backups."""
    data = place / "hub/data"
    site = data / "tls/site"
    for directory in (site, data / "tunnel keys/old", data / "backups"):
        directory.mkdir(parents=True)
    certificate, key = make_certificate(site, "2026-11")
    (site / "current.chain").symlink_to(certificate.name)
    (site / "current.private").symlink_to(key.name)
    (data / "tunnel keys/old/panel.key").write_text("of somebody")
    return Whole(place / "hub")


def fingerprint(hub):
    """Of the certificate that whoever connects is shown."""
    context = ssl.create_default_context(cafile=str(hub.certificate))
    with socket.create_connection(("127.0.0.1", hub.https_port), timeout=LIMIT_S) as raw:
        with context.wrap_socket(raw, server_hostname="localhost") as secure:
            return hashlib.sha256(secure.getpeercert(binary_form=True)).hexdigest()


def minutes(browser):
    return browser.call("GET", "/api/v1/edges/edge-1/history?tenant=acme").json()["rows"]


def heard(browser):
    return sum(minute["records"] for minute in minutes(browser))


def ask_directly(hub, instance):
    with PolicyClient(hub.policy_port) as client:
        client.ask(request(instance=instance))


def test_all_that_a_hub_is_known_by_is_restored(place, started):
    hub = started(prepared(place)).ready()
    tenant = FIXTURE["tenants"][0]
    direct = {"name": "postfix", "scopes": ["ingest"], "addresses": ["127.0.0.1"]}
    hub.load({"tenants": [tenant | {"apikeys": [*tenant["apikeys"], direct]}]})
    browser = logged_in(hub)
    proxy = started(Proxy(place / "edge-1", hub)).ready()
    run_dry(fill(proxy, "before", limit=50))
    wait_until(lambda: hub.metrics()["mail_analytics_direct_inlets"] == 1, "the direct host is known")
    ask_directly(hub, "direct.1")
    wait_until(lambda: hub.total("requests") == 101, "stored")
    wait_until(lambda: heard(browser) == 100, "the minutes of the edge")
    proxy.stop()
    hub.cli("backup", str(hub.dir / "data/backups/first"))
    to = hub.dir / "data/backups/second"
    done = json.loads(hub.cli("backup", str(to), "--json").stdout)
    saved = hub.files("data/backups/second")
    assert done["result"]["files"] == len(saved) - 1, "all but the manifest"
    left_out = {name for name in hub.files() - saved if not NOT_NEEDED.fullmatch(name)}
    assert not left_out and not any("backups" in name for name in saved), (left_out, saved)
    told, shown, keys = answers(hub), fingerprint(hub), {name for name in saved if name.endswith(".key")}
    hub.stop()

    other = Whole(place / "hub-2")
    other.cli("restore", str(to))
    for name in keys | {"tls/site/current.chain", "tls/site/current.private"}:
        assert (other.dir / "data" / name).read_bytes() == (hub.dir / "data" / name).read_bytes(), name
    assert len(keys) == 5, keys  # the wire's, the site's, the tunnel's; and two of the direct host
    started(other).ready()
    assert other.server_key() == hub.server_key() and fingerprint(other) == shown
    assert answers(other) == told
    same = Browser(other)
    same.cookie, same.csrf = browser.cookie, browser.csrf
    assert same.call("GET", "/api/v1/session").status == 200, "who was logged in still is"
    assert call(other, "GET", "/api/v1/edges").status == 200, "and API keys hold"
    assert heard(same) == 100
    proxy.settings["server"] = other.wire_addr
    proxy.write()
    started(proxy).ready()
    run_dry(fill(proxy, "after", limit=20))
    wait_until(lambda: other.total("requests", ["instance^=after."]) == 40, "the edge goes on, by its pinned key")
    ask_directly(other, "direct.2")
    wait_until(lambda: other.total("requests", ["instance^=direct."]) == 2, "and so does the direct host")
    assert all(row["requests"] == 1 for row in other.query("requests", by=["instance"], limit=100000))
