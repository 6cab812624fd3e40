# SPDX-License-Identifier: Apache-2.0
"""slowhttptest in its modes, plain and by TLS: whoever behaves is answered all the while. No timing is asserted (bench/run has it)."""
import os
import subprocess

import pytest

from harness import metrics, wait_until
from test_http import KEYS, QUESTION
from test_https import SecureHub, secure_call
from webapi import call

MODES = {"head": ["-H", "-x", "8"], "body": ["-B", "-s", "8192"], "range": ["-R", "-a", "10", "-b", "3000"],
         "read": ["-X", "-k", "3", "-w", "512", "-y", "1024", "-n", "1", "-z", "32"]}
CONNECTIONS = 150


@pytest.fixture
def hub(place, started):
    site = place / "ui"
    site.mkdir()
    (site / "large.bin").write_bytes(os.urandom(2 * 1024 * 1024))
    hub = started(SecureHub(place / "hub", {"ui": site, "http_head_timeout": "3s", "http_body_timeout": "3s"})).ready()
    hub.load(KEYS)
    return hub


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("mode", MODES)
def test_others_are_answered(hub, mode, scheme):
    port = hub.http_port if scheme == "http" else hub.https_port
    url = f"{scheme}://127.0.0.1:{port}/large.bin"
    attack = subprocess.Popen(["slowhttptest", *MODES[mode], "-c", str(CONNECTIONS), "-r", "150", "-i", "1", "-l", "8", "-u", url],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        seen, answered = 0, 0
        while attack.poll() is None:
            seen = max(seen, metrics(hub.metrics_port)["mail_analytics_http_connections"])
            assert call(hub, "POST", "/api/v1/query", body=QUESTION).status == 200
            assert secure_call(hub, "GET", "/healthz").status == 200
            answered += 1
    finally:
        attack.kill()
        attack.wait()
    assert answered > 3 and seen > (1 if mode in ("body", "range") else CONNECTIONS // 2)  # those are refused at once
    wait_until(lambda: metrics(hub.metrics_port)["mail_analytics_http_connections"] == 0, "all are gone")
    assert call(hub, "POST", "/api/v1/query", body=QUESTION).status == 200
