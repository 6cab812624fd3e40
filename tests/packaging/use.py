# SPDX-License-Identifier: Apache-2.0
"""use.py ROOT: an operator's first minutes with the installed packages, in network and process name spaces of their own:
hub up, tenant, key, proxy configured and checked, a question of Postfix answered, stored and asked for, packages purged."""
import json
import pathlib
import re
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import DUNNO, request, wait_until  # noqa: E402

root = pathlib.Path(sys.argv[1])
children = []


def inside(*words, user="root", **options):
    command = ["chroot", f"--userspec={user}", root, *words] if user != "root" else ["chroot", root, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def start(name, *words):
    """As the unit would: as its own user."""
    log = open(root / f"tmp/{name}.log", "wb")
    child = subprocess.Popen(["chroot", f"--userspec={name}:{name}", root, *words], stdout=log, stderr=log,
                             stdin=subprocess.DEVNULL)
    children.append((name, child))
    return child


def answer():
    with socket.create_connection(("127.0.0.1", 9998), timeout=10) as client:
        client.sendall(request(recipient="u@example.com"))
        return client.recv(100) == DUNNO


def configure(key, server_key):
    path = root / "etc/mail-analytics/policy-proxy.conf"
    text = path.read_text()
    text = text.replace("#server_key =", f"server_key = {server_key}").replace("#api_key =", f"api_key = {key}", 1)
    path.write_text(text)
    assert path.stat().st_mode & 0o777 == 0o640


def enabled():
    """Units that start with the machine, and those that a removal has masked."""
    links = [path for path in (root / "etc/systemd/system").rglob("*") if path.is_symlink()]
    ours = [path for path in links if path.name.startswith(("mail-analytics", "policy-proxy"))]
    return ({path.name for path in ours if path.parent.name.endswith(".wants")},
            {path.name for path in ours if path.readlink() == pathlib.Path("/dev/null")})


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "dev/shm"], check=True)

    assert enabled() == ({"mail-analytics.service"}, set())  # the proxy waits for its keys
    start("mail-analytics", "/usr/bin/mail-analytics", "serve")
    wait_until(lambda: (root / "var/lib/mail-analytics/control.sock").exists(), "the hub's control socket")
    inside("mail-analytics", "tenant", "add", "acme")
    inside("mail-analytics", "domain", "add", "--tenant", "acme", "example.com")
    key = re.search(r"ma_[\w-]{43}", inside("mail-analytics", "apikey", "add", "--tenant", "acme", "--scope", "ingest",
                                             "edge-1"))[0]
    configure(key, re.search(r"\S{40}", inside("mail-analytics", "key"))[0])
    inside("policy-proxy", "check", user="policy-proxy:policy-proxy")
    start("policy-proxy", "/usr/sbin/policy-proxy")
    wait_until(answer, "an answer of the proxy")

    rows = []

    def stored():
        rows[:] = json.loads(inside("mail-analytics", "query", "--measure", "requests", "--by", "direction", "--since", "1h",
                                 "--json"))["rows"]
        return rows and rows[0]["direction"] == "in" and rows[0]["requests"] >= 1

    try:
        wait_until(stored, "the event in the store", pause_s=0.2)
    except AssertionError:
        print(f"what is stored: {rows}, status: {inside('mail-analytics', 'status')}")
        raise
    for name, child in reversed(children):
        child.terminate()
        assert child.wait(60) == 0, f"{name} ended with {child.returncode}"
    inside("dpkg", "--remove", "policy-proxy", "mail-analytics")
    assert enabled()[1] == {"mail-analytics.service", "policy-proxy.service", "policy-proxy.socket"}
    inside("dpkg", "--purge", "policy-proxy", "mail-analytics")
    assert enabled() == (set(), set())
    assert not (root / "var/lib/mail-analytics").exists()
    assert not (root / "etc/mail-analytics/policy-proxy.conf").exists()


try:
    began = time.monotonic()
    main()
    print(f"worked in {time.monotonic() - began:.1f} s")
except BaseException:
    for name, child in children:
        child.kill()
        print(f"{name}:\n{(root / f'tmp/{name}.log').read_text(errors='replace')[-1500:]}")
    raise
