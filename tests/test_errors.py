# SPDX-License-Identifier: Apache-2.0
"""What an operator gets wrong costs one clear line that says what to do, and the exit status of sysexits.h."""
import os
import pathlib
import socket
import subprocess

import pytest

from harness import LIMIT_S, free_port, mounted, program, write_settings

USAGE, DATAERR, NOINPUT, UNAVAILABLE, CANTCREAT, IOERR, TEMPFAIL, NOPERM, CONFIG = 64, 65, 66, 69, 73, 74, 75, 77, 78


class Case:
    """Both programs with settings that work; a test breaks one of them."""

    def __init__(self, place):
        self.place = place
        self.sections = {
            "policy-proxy": {
                "listen": f"127.0.0.1:{free_port()}", "metrics": f"127.0.0.1:{free_port()}",
                "spool": place / "spool", "server": f"tcp://127.0.0.1:{free_port()}", "server_key": "0" * 40,
                "api_key": "ma_" + "x" * 43, "edge_id": "edge",
            },
            "mail-analytics": {
                "server_address": f"tcp://127.0.0.1:{free_port()}", "server_local_address": "",
                "metrics": f"127.0.0.1:{free_port()}", "data": place / "data",
            },
        }

    def run(self, name, *args, config=None, env=None):
        path = config or self.place / f"{name}.conf"
        if config is None:
            write_settings(path, name, self.sections[name])
        verb = ["serve"] if name == "mail-analytics" else []
        return subprocess.run(
            [program(name), *verb, "--config", str(path), *args], capture_output=True, text=True, timeout=LIMIT_S,
            env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
        )


@pytest.fixture
def case(place):
    return Case(place)


def assert_one_line(done, status, *words):
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == status, (done.returncode, done.stderr, done.stdout)
    assert len(lines) == 1, done.stderr
    assert len(lines[0]) < 500
    for word in words:
        assert str(word) in lines[0], (word, lines[0])


BOTH = pytest.mark.parametrize("name", ["policy-proxy", "mail-analytics"])


@BOTH
def test_unknown_flag(case, name):
    assert_one_line(case.run(name, "--no-such-flag"), USAGE, "--no-such-flag")


@BOTH
def test_unknown_setting(case, name):
    case.sections[name]["no_such_setting"] = "1"
    config = case.place / f"{name}.conf"
    done = case.run(name)
    line = config.read_text().splitlines().index("no_such_setting = 1") + 1
    assert_one_line(done, CONFIG, f"{config}:{line}", "no_such_setting")


@BOTH
@pytest.mark.parametrize(
    "key, value", [("metrics", "127.0.0.1:notaport"), ("log_level", "loud")], ids=["address", "choice"]
)
def test_bad_value(case, name, key, value):
    case.sections[name][key] = value
    assert_one_line(case.run(name), CONFIG, key)


def test_bad_value_in_the_environment(case):
    done = case.run("policy-proxy", env={"POLICY_PROXY_SPOOL_MAX": "much"})
    assert_one_line(done, CONFIG, "POLICY_PROXY_SPOOL_MAX", "much")


@BOTH
def test_missing_configuration_file(case, name):
    missing = case.place / "missing.conf"
    done = case.run(name, config=missing)
    assert done.returncode in (CONFIG, NOINPUT)
    assert_one_line(done, done.returncode, missing)


def test_proxy_port_is_busy(case):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        case.sections["policy-proxy"]["listen"] = f"127.0.0.1:{busy.getsockname()[1]}"
        assert_one_line(case.run("policy-proxy"), TEMPFAIL, busy.getsockname()[1])


@pytest.mark.parametrize("key", ["server_address", "metrics"])
def test_hub_port_is_busy(case, key):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        case.sections["mail-analytics"][key] = f"tcp://127.0.0.1:{port}" if key == "server_address" else f"127.0.0.1:{port}"
        assert_one_line(case.run("mail-analytics"), TEMPFAIL, port)


@pytest.mark.parametrize("key", ["too short", "x" * 41, ""], ids=["short", "long", "missing"])
def test_malformed_server_key(case, key):
    case.sections["policy-proxy"]["server_key"] = key
    assert_one_line(case.run("policy-proxy"), CONFIG, "server_key")


@BOTH
def test_configuration_that_is_no_text(case, name):
    case.sections[name]["log_output"] = "\x01" * 40
    assert_one_line(case.run(name), CONFIG, case.place / f"{name}.conf", "text")


def test_missing_api_key_file(case):
    del case.sections["policy-proxy"]["api_key"]
    case.sections["policy-proxy"]["api_key_file"] = case.place / "no-such-key"
    done = case.run("policy-proxy")
    assert done.returncode in (CONFIG, NOINPUT)
    assert_one_line(done, done.returncode, case.place / "no-such-key")


def test_listening_beyond_loopback_needs_a_list(case):
    case.sections["policy-proxy"]["listen"] = f"0.0.0.0:{free_port()}"
    assert_one_line(case.run("policy-proxy"), CONFIG, "allow")


@pytest.mark.parametrize("name, key", [("policy-proxy", "spool"), ("mail-analytics", "data")])
def test_directory_that_cannot_be_made(case, name, key):
    (case.place / "file").write_text("in the way")
    case.sections[name][key] = case.place / "file" / "below"
    done = case.run(name)
    assert done.returncode in (CANTCREAT, NOINPUT, IOERR, NOPERM, CONFIG), done
    assert_one_line(done, done.returncode, case.place / "file")


@pytest.mark.parametrize("name, key", [("policy-proxy", "spool"), ("mail-analytics", "data")])
def test_directory_in_use(case, name, key, started):
    """Two processes never share one directory."""
    from harness import Hub, Proxy

    first = started((Proxy if name == "policy-proxy" else Hub)(case.place / "first")).ready()
    case.sections[name][key] = first.settings[key]
    done = case.run(name)
    assert_one_line(done, TEMPFAIL, first.settings[key])
    assert first.alive()


def test_full_disk_at_the_hubs_start(case):
    with mounted("tmpfs", case.place / "data", "-o", "size=64k", "tmpfs") as data:
        (data / "filler").write_bytes(bytes(64 * 1024))
        assert_one_line(case.run("mail-analytics"), CANTCREAT, data, "space")


def test_mongo_uri_is_known_but_not_in_this_build(case):
    done = case.run("mail-analytics", "-U", "mongodb://127.0.0.1/mail")
    assert_one_line(done, UNAVAILABLE, "mongo")


def test_cli_without_a_hub(case):
    write_settings(case.place / "cli.conf", "mail-analytics", case.sections["mail-analytics"])
    (case.place / "data").mkdir()
    done = subprocess.run(
        [program("mail-analytics"), "query", "--measure", "requests", "--config", str(case.place / "cli.conf")],
        capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL,
    )
    assert_one_line(done, UNAVAILABLE, "hub")


@pytest.mark.parametrize(
    "args, word",
    [(["--measure", "love"], "love"), (["--measure", "requests", "--by", "colour"], "colour"),
     (["--measure", "requests", "--where", "direction=sideways"], "sideways"),
     (["--measure", "requests", "--since", "yesterday"], "yesterday"), (["--measure", "requests", "--limit", "0"], "limit")],
    ids=["measure", "column", "value", "time", "limit"],
)
def test_questions_that_make_no_sense(hub, args, word):
    done = hub.cli("query", *args, check=False)
    assert done.returncode in (USAGE, DATAERR), done
    assert_one_line(done, done.returncode, word)


def test_print_config_hides_secrets(case):
    done = case.run("policy-proxy", "--print-config")
    assert done.returncode == 0
    assert "ma_" not in done.stdout and "(hidden)" in done.stdout
    assert str(case.place / "policy-proxy.conf") in done.stdout
