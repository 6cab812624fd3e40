# SPDX-License-Identifier: Apache-2.0
"""confine.py UNIT COMMAND...: runs COMMAND under the system call filter of this unit, which systemd would install."""
import errno
import os
import re
import subprocess
import sys

import seccomp


def group(name):
    """The system calls of @name."""
    listing = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", name], capture_output=True, text=True,
                             check=True).stdout.splitlines()[1:]
    return calls(line.strip() for line in listing if line.strip() and not line.strip().startswith("#"))


def calls(names):
    found = set()
    for name in names:
        found |= group(name) if name.startswith("@") else {name}
    return found


def allowed(unit):
    """What is behind ~ is taken away from what was allowed so far."""
    result = set()
    for value in re.findall(r"^SystemCallFilter=(.+)$", open(unit).read(), re.M):
        if value.startswith("~"):
            result -= calls(value[1:].split())
        else:
            result |= calls(value.split())
    return result


rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
# Only root gives files to the data directory's owner; the unit has a user of its own.
for name in sorted(allowed(sys.argv[1]) | ({"fchown"} if os.geteuid() == 0 else set())):
    try:
        rules.add_rule(seccomp.ALLOW, name)
    except (RuntimeError, ValueError, OSError):
        pass  # a call of another architecture
rules.load()
os.execv(sys.argv[2], sys.argv[2:])
