# SPDX-License-Identifier: Apache-2.0
"""Completion for bash, as bash runs it; what it offers comes from the program's own tables (tools/generate --check)."""
import os
import pathlib
import re
import shlex
import subprocess

import pytest

from harness import FIXTURE, LIMIT_S, ROOT, TENANT, program

DIRECTORY = ROOT / "packaging/completion"


def complete(name, *words, env=None):
    """What bash offers for the last of the words."""
    script = f"""
        source {shlex.quote(str(DIRECTORY / name))}
        COMP_WORDS=({' '.join(map(shlex.quote, [name, *words]))}); COMP_CWORD={len(words)}
        _{name.replace('-', '_')}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=LIMIT_S, env={**os.environ, **(env or {})})
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("name,words,offered", [
    ("mail-analytics", [""], {"serve", "query", "apikey", "user", "help", "--data", "--config"}),
    ("mail-analytics", ["qu"], {"query"}),
    ("mail-analytics", ["user", ""], {"list", "add", "reset", "remove", "--json"}),
    ("mail-analytics", ["user", "re"], {"reset", "remove"}),
    ("mail-analytics", ["query", "--mea"], {"--measure"}),
    ("mail-analytics", ["--log-level", ""], {"error", "warning", "info", "debug"}),
    ("mail-analytics", ["help", "tena"], {"tenant"}),
    ("mail-analytics", ["domain", "add", "x", "--rel"], {"--relayed"}),
    ("policy-proxy", [""], {"check", "--listen", "-H", "--spool"}),
    ("policy-proxy", ["--sync", "a"], {"always"}),
    ("policy-proxy", ["-c", "st"], {"start", "stop"}),
    ("policy-proxy", ["", "--edge"], {"--edge-id"}),
])
def test_words(name, words, offered):
    found = complete(name, *words)
    assert offered <= found
    assert all(word.startswith(words[-1]) for word in found)


def test_files(tmp_path):
    (tmp_path / "names.txt").write_text("")
    for words in (["tenant", "import", f"{tmp_path}/na"], ["--data", f"{tmp_path}/na"], ["load", f"{tmp_path}/na"]):
        assert complete("mail-analytics", *words) == {f"{tmp_path}/names.txt"}


def test_names_are_asked_of_the_hub(hub):
    place = pathlib.Path(program("mail-analytics")).parent
    env = {**hub.env, "PATH": f"{place}:{os.environ['PATH']}"}
    assert complete("mail-analytics", "domain", "list", "--tenant", "", env=env) == {TENANT}
    domains = set(FIXTURE["tenants"][0]["domains"] + FIXTURE["tenants"][0]["relayed"])
    assert complete("mail-analytics", "domain", "remove", "", env=env) == domains
    assert complete("mail-analytics", "user", "reset", "", env=env) == {"admin"}


def test_every_verb_and_flag_is_there():
    listed = subprocess.run([program("mail-analytics"), "--help"], capture_output=True, text=True, timeout=LIMIT_S).stdout
    offered = complete("mail-analytics", "")
    assert set(re.findall(r"^  (\w+) ", listed, re.M)) <= offered
    assert set(re.findall(r"(--[a-z][a-z-]+)", listed.split("flags:")[1])) - {"--json"} <= offered
    listed = subprocess.run([program("policy-proxy"), "--help"], capture_output=True, text=True, timeout=LIMIT_S).stdout
    flags = re.findall(r"^ +(?:-\w, )?(--[a-z][a-z-]+)", listed.split("Flags:")[1].split("Examples:")[0], re.M)
    assert len(flags) > 10 and set(flags) <= complete("policy-proxy", "")
