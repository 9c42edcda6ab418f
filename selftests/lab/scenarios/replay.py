#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A boot of the stock Debian kernel is recorded to a file and replayed 10 times (briefly: 2; long: 20): every
input at the same position with the same registers, every output the same, and at every exit on the way the same
count of branches. Half of the replays on a host that only got the file; there one is disturbed: the host is busy and
drops the guest's pages. Then a log that was tampered with must be found out."""

import json
import os
import subprocess
import tempfile
import threading

from labkit import BRIEF, LONG, disturb, scenario

REPLAYS = 20 if LONG else 2 if BRIEF else 10
DROP_US = 100000
UUID = "7d0e0c5e-6a4b-4f0e-9d35-6f0c53a8c001"
MEMORY = 128
VMM = ("lockstep-vmm --name g --uuid " + UUID + " --kernel /guest/vmlinuz --initrd /guest/initrd "
       f"--memory {MEMORY} --rng --serial file:/tmp/serial "
       "--append 'quiet lockstep.run=mix:-n:4 lockstep.then=poweroff'")


def record(lab, host):
    log = host.spawn("lockstep-log record --guest g --timeout 300 /tmp/boot.log", log="record.log")
    vmm = host.spawn(VMM + " --role primary --wait", log="vmm-record.log")
    lab.equal(vmm.wait(600), 0, "the recorded guest boots, works and powers off")
    lab.equal(log.wait(60), 0, "its log is whole")
    serial = host.get("/tmp/serial")
    lab.ok(b"GUEST-DONE 0" in serial, "its work was done", serial[-400:].decode(errors="replace"))
    lab.say(host.run("lockstep-log stats /tmp/boot.log").text)
    return serial


def replay(host, path, disturbed=False):
    """One replay: (status of lockstep-log, its result, status of the VMM)."""
    host.run("rm -f /tmp/serial")
    log = host.spawn(f"lockstep-log replay --guest g --json --timeout 120 {path}")
    line = VMM + " --role twin"
    if disturbed:
        vmm = disturb.Vmm(host, line, DROP_US, (0, MEMORY << 20), log="vmm-disturbed.log")
    else:
        vmm = host.spawn(line, log="vmm-replay.log")
    status = log.wait(600)
    result = json.loads(log.out) if log.out else {"result": (log.err or b"").decode(errors="replace")}
    if status:
        print(status, result, vmm.text, host.run('dmesg | tail -3').text)
    if status == 4:
        vmm.signal(15)
    for figure in ("steps", "steps_median"):    # they differ: where an alarm comes is chance
        result.pop(figure, None)
    return status, result, vmm.wait(60), vmm.drops if disturbed else 0


def tamper(data):
    """The same log with one byte of a key record changed and its batch sealed anew: only replay can tell."""
    tool = os.path.join(os.path.dirname(__file__), "../../../build/selftests/lab/logtamper")
    with tempfile.NamedTemporaryFile() as source, tempfile.NamedTemporaryFile() as out:
        source.write(data)
        source.flush()
        subprocess.run([tool, source.name, out.name], check=True)
        return out.read()


def main(lab):
    a, b = (lab.host(name, lockstep=["lockstep-vmm", "lockstep-log"], icount="shift=3", files=disturb.files())
            for name in "ab")
    for host in (a, b):
        host.start(wait=False)
    for host in (a, b):
        host.wait_ready()
        host.run("insmod /lab/lockstep.ko margin=10 compare_counts=1")
    serial = record(lab, a)
    data = a.get("/tmp/boot.log")
    b.put(data, "/tmp/boot.log")

    results = {h.name: [] for h in (a, b)}

    def loop(host):
        for i in range(REPLAYS // 2):
            results[host.name].append(replay(host, "/tmp/boot.log", host is b and i == 0))
            lab.say(f"{host.name}: replay {i + 1}: {results[host.name][-1][1].get('result')}")

    threads = [threading.Thread(target=loop, args=(h,)) for h in (a, b)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    every = results["a"] + results["b"]
    same = [r for r in every if r[0] == 0 and r[1]["result"] == "identical" and r[2] == 0]
    lab.ok(len(same) == REPLAYS, f"{REPLAYS} of {REPLAYS} replays are identical at every input and output",
           *[r for r in every if r not in same])
    lab.equal(len({json.dumps(r[1], sort_keys=True) for r in every}), 1, "all of them count the same events")
    lab.ok(every[0][1]["inputs"] > 100, "there were inputs to compare", every[0][1])
    lab.ok(every[0][1]["stops"] > 1000, f"the counter was compared at {every[0][1]['stops']} exits", every[0][1])
    lab.ok(results["b"][0][3] > 10, f"one on a busy host that dropped all pages {results['b'][0][3]} times")

    b.put(tamper(data), "/tmp/bad.log")
    status, result, *_ = replay(b, "/tmp/bad.log")
    lab.ok(status == 4, "a log with one clock value changed diverges", status, result)


scenario(main)
