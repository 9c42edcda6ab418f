# SPDX-License-Identifier: GPL-2.0
"""The kselftests of the module in a lab host: what they need there, and what they have said."""

import os
import re
import subprocess

from . import parts

TESTS = os.path.join(parts.TOP, "selftests/kselftests")
BUILT = os.path.join(parts.BUILD, "selftests/kselftests")
PROGRAMS = ["attach", "faults", "foreign", "fuzz", "gate", "module", "netlink", "replay", "sysfs"]
SMP_PROGRAMS = PROGRAMS + ["storm"]    # where there are several CPUs
POINT = re.compile(r"^(not ok|ok) \d+ (?:- )?(.*)$", re.M)


def modules(*names):
    """Modules that tests need beside lockstep.ko, built (without names: all): a host's files."""
    built = subprocess.run([os.path.join(TESTS, "build-modules")], check=True, stdout=subprocess.PIPE, text=True)
    files = {f"lab/{os.path.basename(path)}": path for path in built.stdout.split()}
    return {f"lab/{name}.ko": files[f"lab/{name}.ko"] for name in names} if names else files


def build():
    """Build them and the modules they need: the host's (files, programs), lockstep.ko among them."""
    subprocess.run(["make", "-s", "-C", TESTS], check=True, stdout=subprocess.DEVNULL)
    files = {**modules(), "lab/lockstep.ko": parts.module()}
    return files, [(f"lab/ks/{name}", os.path.join(BUILT, name)) for name in SMP_PROGRAMS]


def points(lab, what, program, text, status):
    """The test points that a program has printed become the scenario's."""
    found = POINT.findall(text)
    for result, name in found:
        if "SKIP" in name:
            why = name.split("SKIP", 1)[1].strip()
            lab.skip(f"{what}: {program}: {why}", why)  # the harness names no skipped test
        else:
            lab.ok(result == "ok", f"{what}: {name}", text if result != "ok" else "")
    lab.ok(found and status == 0, f"{what}: {program} ran to its end", text)
