# SPDX-License-Identifier: Apache-2.0
"""What the documents and the programs tell Postfix users to write into main.cf is the same everywhere, and is what the
tests with a real Postfix write there."""
import importlib.machinery
import importlib.util
import re
import subprocess
import sys

import pytest
from harness import LIMIT_S, ROOT, program
from postfix import PLACES, POLICY

LINE = re.compile(r"(smtpd_\w+_restrictions) = warn_if_reject,\s+check_policy_service\s+\{ ([^{}]*) \}")
DOCUMENTS = ["README.md", "docs/man/policy-proxy.8"]


def advice(text):
    """[(list of restrictions, the service's words)] of each line for main.cf that the text recommends."""
    lines = [(place, " ".join(words.split())) for place, words in LINE.findall(text)]
    assert len(lines) == len(re.findall(r"smtpd_\w+_restrictions =", text)), "a line for main.cf that this test can't read"
    return lines


def recommended():
    return advice((ROOT / "docs/manual/postfix.md").read_text())


def banner():
    """What `make run` and `make demo` print once hub and proxy are up."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        loader = importlib.machinery.SourceFileLoader("tools_run", str(ROOT / "tools/run"))
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader("tools_run", loader))
        loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module.HELP.format(data="DATA", etc="ETC", cli="CLI", **module.PORTS)


def help_of_proxy():
    return subprocess.run([program("policy-proxy"), "--help"], capture_output=True, text=True, timeout=LIMIT_S).stdout


def test_the_manual_recommends_what_is_tested():
    places = [place for place, _ in recommended()]
    assert sorted(places) == sorted(PLACES["manual"])
    words = POLICY.format(port=9998, place="").split("{ ")[1].split(", policy_context")[0]
    assert {said for _, said in recommended()} == {words}


@pytest.mark.parametrize("path", DOCUMENTS)
def test_documents_recommend_what_the_manual_does(path):
    assert advice((ROOT / path).read_text()) == recommended()


@pytest.mark.parametrize("printed", [banner, help_of_proxy])
def test_programs_recommend_what_the_manual_does(printed):
    assert advice(printed()) == recommended()
