# SPDX-License-Identifier: Apache-2.0
"""Files for browsers: what is found and what isn't, how it is kept and asked for again, by HTTP/1.1 and HTTP/2."""
import gzip
import os
import socket
import threading

import pytest

from harness import Hub, wait_until
from test_http import KEYS
from test_h2 import Client
from test_https import SecureHub, resident_bytes
from webapi import Raw, call

LARGE = os.urandom(3 * 1024 * 1024)
PAGE = b"<!DOCTYPE html><title>x</title>\n"
SCRIPT = b"export const x = 1;\n" * 100


@pytest.fixture
def site(place):
    """What a build makes, and what must not be found."""
    top = place / "ui"
    (top / "assets").mkdir(parents=True)
    (top / ".git").mkdir()
    (place / "secret.txt").write_text("secret")
    files = {"index.html": PAGE, "app.js": SCRIPT, "app.js.gz": gzip.compress(SCRIPT), "app.js.br": b"as brotli",
             "assets/app.3f9c21ab.js": SCRIPT, "assets/app.3f9c21ab.js.gz": gzip.compress(SCRIPT), "assets/large.bin": LARGE,
             "assets/empty.css": b"", ".git/config": b"secret", ".hidden.txt": b"secret", "assets/icon.svg": b"<svg/>",
             "assets/index.html": PAGE}
    for name, content in files.items():
        (top / name).write_bytes(content)
    (top / "link.txt").symlink_to(place / "secret.txt")
    (top / "out").symlink_to(place)
    os.mkfifo(top / "fifo")
    return top


@pytest.fixture
def hub(place, started, site):
    hub = started(SecureHub(place / "hub", {"ui": site})).ready()
    hub.load(KEYS)
    return hub


def get(hub, path, method="GET", **fields):
    return call(hub, method, path, key=None, fields={name.replace("_", "-"): value for name, value in fields.items()})


def test_types_and_policies(hub):
    page = get(hub, "/")
    assert (page.status, page.body) == (200, PAGE)
    assert page.fields["content-type"] == "text/html; charset=utf-8"
    assert page.fields["cache-control"] == "no-cache" and page.fields["vary"] == "Accept-Encoding"
    policy = page.fields["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert page.fields["x-content-type-options"] == "nosniff"
    assert get(hub, "/index.html").body == get(hub, "/assets/").body == PAGE
    script = get(hub, "/assets/app.3f9c21ab.js")
    assert script.body == SCRIPT and script.fields["content-type"] == "text/javascript; charset=utf-8"
    assert script.fields["cache-control"] == "public, max-age=31536000, immutable"
    assert "content-security-policy" in get(hub, "/assets/icon.svg").fields  # it can hold scripts
    empty = get(hub, "/assets/empty.css")
    assert (empty.status, empty.fields["content-length"], empty.body) == (200, "0", b"")
    head = get(hub, "/assets/large.bin", "HEAD")
    assert (head.status, head.fields["content-length"], head.body) == (200, str(len(LARGE)), b"")


def test_compressed_variants(hub):
    tags = set()
    for accepts, coding, body in (("", None, SCRIPT), ("gzip", "gzip", None), ("gzip, br", "br", b"as brotli"),
                                  ("br;q=0.1, gzip;q=0.2", "gzip", None), ("*;q=0", None, SCRIPT), ("nonsense;;", None, SCRIPT)):
        reply = get(hub, "/app.js", Accept_Encoding=accepts)
        assert reply.fields.get("content-encoding") == coding, accepts
        assert (reply.body if coding != "gzip" else gzip.decompress(reply.body)) == (body or SCRIPT)
        assert reply.fields["content-type"].startswith("text/javascript") and reply.fields["vary"] == "Accept-Encoding"
        tags.add(reply.fields["etag"])
    assert len(tags) == 3
    assert get(hub, "/index.html", Accept_Encoding="br, gzip").body == PAGE  # there is none


def test_asked_for_again(hub, site):
    tag = get(hub, "/app.js").fields["etag"]
    assert tag.startswith('"') and tag.endswith('"')
    for given in (tag, "W/" + tag, f'"other", {tag}', "*"):
        reply = get(hub, "/app.js", If_None_Match=given)
        assert (reply.status, reply.body, reply.fields["etag"]) == (304, b"", tag), given
        assert reply.fields["vary"] and reply.fields["cache-control"] == "no-cache"
    assert get(hub, "/app.js", If_None_Match=tag, Accept_Encoding="gzip").status == 200  # another representation
    assert get(hub, "/app.js", If_None_Match=tag.strip('"')).status == 200
    fresh = site / "app.new"
    fresh.write_bytes(SCRIPT + b"// more")
    os.replace(fresh, site / "app.js")
    assert get(hub, "/app.js", If_None_Match=tag).body.endswith(b"// more")


@pytest.mark.parametrize("path", [
    "/nowhere", "/assets", "/assets/nowhere", "/app.js/", "/.hidden.txt", "/.git/config", "/assets/../.hidden.txt",
    "/../secret.txt", "/assets/../../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/link.txt", "/out/secret.txt",
    "//etc/passwd", "/assets//app.3f9c21ab.js", "/app.js%00", "/fifo", "/a" * 200, "/" + "a" * 300, "/api/v1/nowhere"])
def test_not_found(hub, path):
    assert get(hub, path).problem(404)


def test_other_methods_and_bodies(hub):
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        call(hub, method, "/app.js", key=None).problem(404)
    get(hub, "/app.js", Content_Length="5").problem(413)


def test_large_files_by_each_protocol(hub):
    """Whole, and without being in memory."""
    assert get(hub, "/assets/large.bin").body == LARGE
    with Raw(hub, b"GET /assets/large.bin HTTP/1.1\r\nHost: a\r\n\r\n" * 3 + b"GET /assets/large.bin HTTP/1.0\r\n\r\n") as raw:
        assert all(raw.reply().body == LARGE for _ in range(4)) and raw.ended()
    with Client(hub) as client:
        streams = [client.ask("GET", "/assets/large.bin", key=None) for _ in range(3)]
        assert all(client.reply(stream).body == LARGE for stream in streams)
    before = resident_bytes(hub)
    raws = [Raw(hub, b"GET /assets/large.bin HTTP/1.1\r\nHost: a\r\n\r\n" * 10) for _ in range(50)]  # nobody reads
    assert get(hub, "/app.js").status == 200
    assert resident_bytes(hub) < before + 32 * 1024 * 1024
    threads = [threading.Thread(target=raw.fd.close) for raw in raws]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert get(hub, "/app.js").status == 200


def kernel_bytes(hub, port):
    """What the kernel holds of replies from the hub to that port of ours, sent or not (proc(5), /proc/net/tcp)."""
    for line in open("/proc/net/tcp"):
        fields = line.split()
        if fields[1].endswith(f":{hub.http_port:04X}") and fields[2].endswith(f":{port:04X}"):
            return int(fields[4].split(":")[0], 16)
    return 0


def test_the_kernel_holds_little_for_who_reads_slowly(hub):
    with Raw(hub) as raw:
        raw.fd.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.send(b"GET /assets/large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        seen = []

        def settled():
            seen.append(kernel_bytes(hub, raw.fd.getsockname()[1]))
            return len(seen) >= 20 and seen[-1] > 0 and len(set(seen[-20:])) == 1

        wait_until(settled, "the hub waits for the client")
        assert seen[-1] < 512 * 1024


def test_a_file_that_becomes_shorter_is_seen(hub, site):
    os.truncate(site / "assets" / "large.bin", 256 * 1024 * 1024)  # more than the sockets between them hold
    with Raw(hub, b"GET /assets/large.bin HTTP/1.1\r\nHost: a\r\n\r\n") as raw:
        while b"\r\n\r\n" not in raw.rest:
            raw._more()
        os.truncate(site / "assets" / "large.bin", 1000)
        with pytest.raises((EOFError, ConnectionError)):
            while True:
                raw._more()
    assert get(hub, "/app.js").status == 200


def test_the_api_is_untouched(hub):
    assert get(hub, "/healthz").json() == {"status": "ok"}
    assert call(hub, "GET", "/api/v1/domains").status == 200
    get(hub, "/api/v1/domains").problem(401)


def test_without_files_a_page_tells_where_the_api_is(place, started):
    hub = started(Hub(place / "hub")).ready()
    page = get(hub, "/")
    assert page.status == 200 and b"/api/v1/" in page.body and "content-security-policy" in page.fields
    get(hub, "/index.html").problem(404)


def test_a_directory_that_is_not_there_ends_the_start(place, started):
    hub = started(Hub(place / "hub", {"ui": place / "nowhere"}))
    wait_until(lambda: not hub.alive(), "it doesn't start")
    assert "nowhere" in hub.log()
