# SPDX-License-Identifier: Apache-2.0
"""The units are hardened; both packages install into a bare Debian, and the programs in them work there."""
import os
import pathlib
import re
import shutil
import subprocess

import harness
import pytest
from test_transport import READY, edge_by_ssh, let_in, sshd  # noqa: F401

ROOT = pathlib.Path(__file__).resolve().parent.parent
UNITS = ["policy-proxy.service", "mail-analytics.service"]


@pytest.mark.parametrize("unit", UNITS)
def test_exposure_of_the_unit_is_low(unit):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", f"packaging/systemd/{unit}"],
                          cwd=ROOT, capture_output=True, text=True, check=False)
    exposure = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert exposure, done.stdout + done.stderr
    assert float(exposure[1]) <= 2.0, done.stdout


@pytest.mark.parametrize("unit", UNITS)
def test_a_kill_leaves_the_rings(unit):
    """RemoveIPC=yes takes a dead service's files out of /dev/shm, and with them what was answered and not written."""
    assert "RemoveIPC=no" in (ROOT / "packaging/systemd" / unit).read_text().splitlines()


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_has_a_directory_that_outlives_a_kill(unit):
    """For the pid file, which must lie on no disk that may hang, and for rings."""
    lines = (ROOT / "packaging/systemd" / unit).read_text().splitlines()
    for line in (f"RuntimeDirectory={unit.removesuffix('.service')}", "RuntimeDirectoryMode=0700", "RuntimeDirectoryPreserve=yes"):
        assert line in lines


@pytest.mark.parametrize("unit", UNITS + ["policy-proxy.socket"])
def test_systemd_understands_the_unit(unit, tmp_path):
    """Only the programs are replaced: they aren't installed here."""
    for file in (ROOT / "packaging/systemd").iterdir():
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", file.read_text(), flags=re.M)
        (tmp_path / file.name).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", tmp_path / unit], capture_output=True, text=True,
                          env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"}, check=False)
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line or unit in line]
    assert not complaints, done.stderr


@pytest.fixture(scope="module")
def packages():
    """Fresh ones, as an operator would build them."""
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    done = subprocess.run([ROOT / "tools/deb"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted((ROOT / "dist").glob("*.deb"))


@pytest.fixture(scope="module")
def bare_debian():
    """A debootstrapped root that has never seen this project, kept below build/ for the next run."""
    root = ROOT / "build/bare-debian"
    if not (root / "done").exists():
        shutil.rmtree(root, ignore_errors=True)
        mirrors = re.findall(r"^(?:URIs:|deb) (\S+)", "\n".join(
            file.read_text() for file in sorted(pathlib.Path("/etc/apt").glob("sources.list*/*.sources"))), re.M)
        done = subprocess.run(["debootstrap", "--variant=minbase", "bookworm", root, *mirrors[:1]],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        for source in pathlib.Path("/etc/apt/sources.list.d").glob("*.sources"):
            shutil.copy(source, root / "etc/apt/sources.list.d")
        (root / "done").touch()
    return root


def contents(package):
    return subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True).stdout


def test_packages_hold_what_they_should(packages):
    hub, proxy = packages
    assert hub.name.startswith("mail-analytics_") and proxy.name.startswith("policy-proxy_")
    for path in ("./usr/bin/mail-analytics", "./usr/lib/mail-analytics/libduckdb.so",
                 "./usr/lib/systemd/system/mail-analytics.service", "./usr/share/man/man8/mail-analytics.8.gz"):
        assert path in contents(hub)
    for path in ("./usr/sbin/policy-proxy", "./usr/lib/systemd/system/policy-proxy.socket",
                 "./usr/lib/systemd/system/policy-proxy.service", "./usr/share/man/man8/policy-proxy.8.gz"):
        assert path in contents(proxy)
    assert "./usr/share/doc/mail-analytics/event.md" in contents(hub)  # which the command line names
    assert "./usr/share/doc/policy-proxy/postfix.md" in contents(proxy)
    assert "duckdb" not in contents(proxy)
    assert proxy.stat().st_size < 2 * 1024 * 1024
    depends = subprocess.run(["dpkg-deb", "--field", proxy, "Depends"], capture_output=True, text=True, check=True).stdout
    assert "libuv1" in depends and "libzmq5" in depends and "libsqlite3" not in depends


def test_make_install_goes_below_its_prefix_and_keeps_settings(tmp_path):
    def install():
        done = subprocess.run([ROOT / "tools/build", "release", "--install"], capture_output=True, text=True, check=False,
                              env=os.environ | {"DESTDIR": str(tmp_path), "PREFIX": "/opt/mail"})
        assert done.returncode == 0, done.stdout + done.stderr

    install()
    assert {path.name for path in tmp_path.iterdir()} == {"opt", "etc"}
    headers = subprocess.run(["readelf", "-d", tmp_path / "opt/mail/bin/mail-analytics"], capture_output=True, text=True, check=True)
    assert "[/opt/mail/lib/mail-analytics]" in headers.stdout
    for unit in UNITS:
        started = re.search(r"^ExecStart=/(\S+)", (tmp_path / "opt/mail/lib/systemd/system" / unit).read_text(), re.M)[1]
        assert os.access(tmp_path / started, os.X_OK), started
    settings = tmp_path / "etc/mail-analytics/policy-proxy.conf"
    assert settings.stat().st_mode & 0o777 == 0o640
    settings.write_text("# edited\n")
    install()
    assert settings.read_text() == "# edited\n"


def test_packages_install_and_work_in_a_bare_debian(packages, bare_debian, tmp_path):
    """In name spaces of its own: the usual ports there are free, and what runs there ends with it."""
    root = tmp_path / "root"
    subprocess.run(["cp", "-a", "--reflink=auto", bare_debian, root], check=True)
    try:
        install = ROOT / "tests/packaging/install"
        done = subprocess.run([*harness.unshare("--mount"), install, root, *packages], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        alone = harness.unshare("--mount", "--net", "--pid", "--fork", "--kill-child")
        done = subprocess.run([*alone, "python3", ROOT / "tests/packaging/use.py", root], capture_output=True, text=True,
                              check=False, timeout=300)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def installed(monkeypatch):
    """What packages bring; sanitizers make system calls of their own."""
    monkeypatch.setenv("BUILD_DIR", str(ROOT / "build/release"))


def confined(program, unit):
    """With its unit's filter of system calls."""
    confine = str(ROOT / "tests/packaging/confine.py")
    program.args = ["/usr/bin/python3", confine, str(ROOT / "packaging/systemd" / unit), *program.args]
    return program


def test_the_programs_live_with_their_filter_of_system_calls(place, started, installed):
    hub = started(confined(harness.Hub(place / "hub"), "mail-analytics.service")).ready()
    hub.load(harness.FIXTURE)
    proxy = started(confined(harness.Proxy(place / "edge", hub), "policy-proxy.service")).ready()
    with harness.PolicyClient(proxy.port) as client:
        client.ask(harness.request(instance="confined.1"))
    harness.wait_until(lambda: hub.total("requests") == 1, "the event in the store")
    tasks = pathlib.Path(f"/proc/{hub.pid}/task").glob("*/stat")
    assert any(int(stat.read_text().rsplit(")", 1)[1].split()[16]) >= 10 for stat in tasks), "questions give way"
    assert proxy.stop() == 0 and hub.stop() == 0


def test_ssh_lives_with_it_too(place, started, installed, monkeypatch, sshd):  # noqa: F811
    monkeypatch.delenv("HOME", raising=False)  # a user of the system has none
    hub = started(harness.Hub(place / "hub")).ready()
    hub.load(harness.FIXTURE)
    proxy = edge_by_ssh(place, hub, sshd)
    let_in(proxy, sshd)
    started(confined(proxy, "policy-proxy.service")).ready()
    harness.wait_until(lambda: proxy.metrics()[READY] == 1, "it is welcome")
    with harness.PolicyClient(proxy.port) as client:
        client.ask(harness.request(instance="confined.2"))
    harness.wait_until(lambda: hub.total("requests") == 1, "the event in the store")
    assert proxy.stop() == 0
