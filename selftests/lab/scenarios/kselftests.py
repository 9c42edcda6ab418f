#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The kselftests of the module, on a host with counters and on one with two CPUs; and where the module
refuses to be loaded: without KVM, beside a foreign hook, on a CPU without NRIPS, for another KVM's layout.
Briefly (other kernels in the short form): some of them, on the first host. With two CPUs there is a storm, too.
LOCKSTEP_SEED, LOCKSTEP_FUZZ and LOCKSTEP_STORM_SECONDS reach them."""

import os
import re
import shutil
import subprocess

from labkit import BRIEF, LONG, ksft, parts, scenario

PROGRAMS = [name for name in ksft.PROGRAMS if not (BRIEF and name in ("faults", "fuzz"))]
FIGURE = re.compile(r"^# (a .*instructions.*|in \d+ s: .*|\d+ logs changed: .*|\S+ again: .*)$", re.M)


def misfit(module):
    """The module as it would be had it been built for a KVM with another struct vcpu_svm."""
    source = os.path.dirname(os.path.dirname(module))
    copy = os.path.join(parts.BUILD, "selftests/kselftests-misfit-" + parts.kernel()["KVER"])
    shutil.copytree(source, copy, dirs_exist_ok=True)
    header = os.path.join(copy, "kmod/kvm_offsets.h")
    with open(header) as f:
        text = f.read()
    wrong = re.sub(r"(#define LOCKSTEP_VCPU_SVM_TSC_AUX\s+)(\d+)", lambda m: m[1] + str(int(m[2]) + 8), text)
    if wrong == text:
        raise RuntimeError("kvm_offsets.h has no offset of tsc_aux")
    with open(header, "w") as f:
        f.write(wrong)
    subprocess.run(["make", "-s", "-C", parts.kernel()["KDIR"], f"M={copy}/kmod",
                    "CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(copy, "kmod/lockstep.ko")


def run(lab, host, what, programs, settings=""):
    """All these programs; their test points are ours."""
    # which records there are is tested: none that depend on the host's timing
    host.run("insmod /lab/lockstep.ko counter=none && insmod /lab/lockstep_gate_test.ko")
    settings += " LOCKSTEP_LONG=1" if LONG else ""
    for name in ("LOCKSTEP_SEED", "LOCKSTEP_FUZZ", "LOCKSTEP_STORM_SECONDS"):
        settings += f" {name}={os.environ[name]}" if os.environ.get(name) else ""
    for program in programs:
        done = host.run(f"LOCKSTEP_KO=/lab/lockstep.ko {settings} /lab/ks/{program} 2>&1", check=False,
                        timeout=7200 if LONG else 300)
        ksft.points(lab, what, program, done.text, done.status)
        for figure in FIGURE.findall(done.text):
            lab.say(figure)


def refused(lab, host, file, word, what):
    """insmod fails, and says why in the kernel's log."""
    host.run("dmesg -c >/dev/null")
    done = host.run(f"insmod {file}", check=False)
    said = host.run("dmesg").text
    lab.ok(done.status != 0 and word in said, f"refused: {what}", f"status {done.status}", said)


def refusals(lab, counted, files):
    """Where the module must not be."""
    counted.run("insmod /lab/lockstep_foreign_hook.ko")
    refused(lab, counted, "/lab/lockstep.ko", "has already hooked", "beside a foreign hook")
    counted.run("rmmod lockstep_foreign_hook")
    refused(lab, counted, "/lab/misfit.ko", "built for another KVM", "built for another KVM")
    counted.run("modprobe -r kvm_amd && modprobe kvm")
    refused(lab, counted, "/lab/lockstep.ko", "no KVM for this CPU is loaded", "with kvm.ko alone")
    counted.run("modprobe -r kvm")
    refused(lab, counted, "/lab/lockstep.ko", "KVM is not loaded", "without KVM")
    counted.run("modprobe kvm-amd && insmod /lab/lockstep.ko && rmmod lockstep")
    lab.ok(True, "and loads again once KVM is there")
    counted.finish()

    plain = lab.host("plain", files=files, cpu="max,nrip-save=off").start()
    refused(lab, plain, "/lab/lockstep.ko", "NRIPS", "on a CPU without NRIPS")
    plain.finish()


def two_cpus(lab, files, programs):
    """A host without a counter, and with races."""
    smp = lab.host("smp", files=files, programs=programs, icount=None, smp=2).start()
    smp.run("insmod /lab/lockstep.ko")
    lab.ok(smp.run("cat /sys/kernel/lockstep/counter").text == "none\n" and
           "no performance counter" in smp.run("dmesg").text, "no counter: loads all the same, and says so",
           smp.run("dmesg | tail -n 5").text)
    smp.run("rmmod lockstep")
    run(lab, smp, "2 cpus", ksft.SMP_PROGRAMS)


def main(lab):
    files, programs = ksft.build()
    if not BRIEF:
        files["lab/misfit.ko"] = misfit(parts.module())
    counted = lab.host("counted", files=files, programs=programs).start()
    # what others pay is measured where nothing is checked at each step
    run(lab, counted, "1 cpu", PROGRAMS, "" if parts.DEBUG_KERNEL else "LOCKSTEP_ICOUNT=1")
    counted.run("rmmod lockstep")
    if not BRIEF:
        refusals(lab, counted, files)
        two_cpus(lab, files, programs)


scenario(main)
