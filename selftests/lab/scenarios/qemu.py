#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The lab's own ground: counters, SVM and breakpoints of the patched QEMU are as on silicon."""

import os
import re
import subprocess

from labkit import parts, scenario

QEMU = os.path.join(parts.LAB, "qemu")
BUILT = os.path.join(parts.BUILD, "selftests/lab/qemu")
PROGRAMS = ["pmu", "inject", "once", "kernel", "step", "det", "debug", "branch"]


def relay(lab, test, text, status):
    """Test points of a program of ours under its name; its plan has to fit."""
    seen = 0
    for line in text.splitlines():
        point = re.match(r"(not )?ok \d+ - (.*)", line)
        if point:
            seen += 1
            lab.ok(not point[1], f"{test}: {point[2]}")
        elif line.startswith("#"):
            lab.say(line[2:])
    plan = re.search(r"^1\.\.(\d+)$", text, re.M)
    lab.ok(plan and int(plan[1]) == seen, f"{test} ran to its end", f"status {status}, {seen} points", text[-500:])


def svm(lab, host, name):
    """ksvm.ko tests while it is loaded and then refuses to stay (so insmod loads it twice)."""
    c = host.run("dmesg -c >/dev/null; insmod /t/ksvm.ko; dmesg | sed -n 's/.*ksvm: //p' | sed '/^1[.][.]/q'",
                 check=False)
    relay(lab, name, c.text, c.status)


def main(lab):
    subprocess.run(["make", "-s", "-C", QEMU], check=True, stdout=subprocess.DEVNULL)
    files = {f"t/{p}": os.path.join(BUILT, p) for p in PROGRAMS}
    files.update({f"t/{m}.ko": os.path.join(BUILT, "mod", m + ".ko") for m in ("kpmu", "ksvm")})
    host = lab.host("pmu", nets=[], files=files).start()
    host.run("insmod /t/kpmu.ko")
    for p in PROGRAMS:
        c = host.run(f"/t/{p}", check=False)
        relay(lab, p, c.text, c.status)
    svm(lab, host, "svm")
    host.finish()

    files["t/poke"] = os.path.join(BUILT, "poke")
    host = lab.host("smp", nets=[], icount=None, smp=2, files=files).start()
    svm(lab, host, "svm, two CPUs")
    c = host.run("/t/poke", check=False, timeout=600)
    relay(lab, "poke", c.text, c.status)
    host.finish()


scenario(main)
