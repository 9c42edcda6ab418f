#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The kernel's own selftests of KVM end beside the module, with a guest of ours recorded meanwhile, as they do
without it. Not those that measure or fill the host: minutes each, here."""

import os
import re
import subprocess

from labkit import parts, scenario

LEFT_OUT = re.compile(r"perf_test$|^max_guest_memory|^kvm_create_max|^memslot_mod|^hardware_dis|^rseq|^set_memory")
ARGUMENTS = {"demand_paging_test": "-b 192M"}
LIMIT = 300     # seconds for one
TRIES = 3       # some hold clocks against each other, and fail now and then on an emulated host
RESULTS = {0: "passes", 4: "is skipped"}
GUEST = ("lockstep-vmm --name g --uuid 7d0e0c5e-6a4b-4f0e-9d35-6f0c53a8c007 --kernel /guest/vmlinuz "
         "--initrd /guest/initrd --memory 128 --rng --serial file:/tmp/serial --append 'quiet "
         "lockstep.run=mix:-t:3600' --role primary --wait")


def programs():
    """Their paths, by name."""
    done = subprocess.run([os.path.join(parts.LAB, "kvm-selftests")], check=True, stdout=subprocess.PIPE, text=True)
    folder = done.stdout.strip()
    return {name: os.path.join(folder, name) for name in sorted(os.listdir(folder)) if not LEFT_OUT.search(name)}


def run(lab, host, name):
    """Exit status and last words of one."""
    lab.say(name)
    command = host.run(f"timeout -s KILL {LIMIT} /kvm/{name} {ARGUMENTS.get(name, '')} >/tmp/said 2>&1; status=$?; "
                       "tail -n 12 /tmp/said; exit $status", check=False, timeout=2 * LIMIT)
    return command.status, command.text


def clock_reads(host):
    """Of our guest; 0: there is none yet."""
    return int(host.run("cat /sys/kernel/lockstep/g/counters/clock_reads 2>/dev/null || echo 0").text)


def main(lab):
    tests = programs()
    host = lab.host("h", smp=2, icount=None, mem=3072, lockstep=("lockstep-vmm", "lockstep-log"),
                    programs=[(f"kvm/{name}", path) for name, path in tests.items()]).start()
    alone = {name: run(lab, host, name) for name in tests}
    host.run("insmod /lab/lockstep.ko")
    host.spawn("lockstep-log record --guest g --timeout 3600 /tmp/log", log="record.log")
    vmm = host.spawn(GUEST, log="vmm.log")
    lab.wait_for(lambda: clock_reads(host) > 1000, 120, "the guest")
    before = clock_reads(host)
    for name, (status, said) in alone.items():
        for _ in range(TRIES):
            beside = run(lab, host, name)
            if beside[0] == status:
                break
        lab.ok(beside[0] == status, f"{name} {RESULTS.get(status, 'fails')}, alone and beside it", status, said, *beside)
    lab.ok(clock_reads(host) > before, "our guest got on meanwhile")
    vmm.signal(15)
    vmm.wait(60)
    host.run("rmmod lockstep")


scenario(main)
