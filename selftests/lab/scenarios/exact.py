#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Inputs land on the twin at the exact instruction: a guest that computes and never exits gets its timer
ticks at forced positions. Recorded, then replayed from the file: at every position the same registers, at
the end the same sums over all interrupted places, and up to every stop the counter counted the same. On one of the
two sides the host is busy, and the pages that the CPU reads and writes by itself (interrupt table, stacks, page
tables) are dropped all the time. By what is counted, and by how late the alarm is: 10,000 positions at skid 0 and
at 200, 200 at 5000, by branches and by instructions each; ten times as many in the long form."""

import concurrent.futures
import json
from collections import namedtuple

from labkit import LONG, disturb, parts, scenario

UUID = "7d0e0c5e-6a4b-4f0e-9d35-6f0c53a8c004"
VMM = ("lockstep-vmm --name g --uuid " + UUID + " --kernel /guest/exact --memory 32 --append %d "
       "--serial file:/tmp/serial.%s")
CLASSES = "LRSFBICEPUTDW"
PAGES = (0x100000, 0x200000)    # of the guest: all but what it fills and copies
TIMES = 10 if LONG else 1
PATIENCE = 900 * TIMES

# What is counted; skid of the emulated CPU, instructions; the module's margin (up to five of nine instructions of the
# guest are branches that are taken), and that of its guide in instructions; ns of an instruction as a power of two (a
# slow guest is forced more often, and next to a stop of its own); ticks in a class; which side's host is busy and
# drops pages; the least positions; the most that the median of entries with a breakpoint for one may be (in a loop
# each turn has one). The longest first: two run at a time.
Kind = namedtuple("Kind", "counter skid margin guide shift ticks disturbed least median")
KINDS = (Kind("branches", 200, 130, 210, 3, 920, "primary", 10000, 49),
         Kind("instructions", 200, 210, 0, 3, 920, "twin", 10000, 49),
         Kind("branches", 0, 10, 10, 3, 920, "twin", 10000, 10),
         Kind("instructions", 0, 10, 0, 3, 920, "primary", 10000, 10),
         Kind("branches", 5000, 3000, 5100, 0, 18, "twin", 200, 255),
         Kind("instructions", 5000, 5100, 0, 0, 18, "primary", 200, 255))


def start_vmm(lab, host, kind, side, more):
    """The VMM of a side, disturbed if it is the one."""
    command = VMM % (kind.ticks, side) + more
    if side != kind.disturbed:
        return host.spawn("exec " + command, log=f"{side}.log")
    return disturb.Vmm(host, command, 1000 << kind.shift, PAGES, log=f"{side}.log")


def end_vmm(lab, vmm, what):
    """Its exit status; pages have to have been dropped where that was asked for."""
    status = vmm.wait(PATIENCE)
    if isinstance(vmm, disturb.Vmm):
        lab.ok(vmm.drops > 200 and vmm.faults > vmm.drops,
               f"{what}: pages were dropped {vmm.drops} times, and {vmm.faults} faulted in", vmm.err)
    return status


def record(lab, host, kind, what):
    log = host.spawn("lockstep-log record --guest g --timeout 300 /tmp/exact.log", log="record.log")
    vmm = start_vmm(lab, host, kind, "primary", " --role primary --wait")
    status = end_vmm(lab, vmm, what)
    lab.ok(status == 0, f"{what}: a guest that never exits gets its ticks", vmm.err)
    lab.equal(log.wait(60), 0, f"{what}: its log is whole")
    told = host.get("/tmp/serial.primary").decode()
    lab.ok([line[0] for line in told.split("\n") if line] == list(CLASSES), f"{what}: in every class", told)
    lab.say(host.run("lockstep-log stats /tmp/exact.log").text)


def replay(lab, host, kind, what):
    log = host.spawn("lockstep-log replay --guest g --json --timeout 120 /tmp/exact.log")
    vmm = start_vmm(lab, host, kind, "twin", " --role twin")
    status = log.wait(PATIENCE)
    result = json.loads(log.out) if log.out else (log.err or b"").decode(errors="replace")
    lab.ok(status == 0, f"{what}: a replay is identical at every position", result, vmm.err,
           host.run("dmesg | tail -3").text)
    if status:
        vmm.signal(15)
    end_vmm(lab, vmm, what)
    lab.say(f"{result}")
    if status:
        return
    lab.ok(result["forced"] >= kind.least, f"{what}: {result['forced']} positions, at least {kind.least}")
    lab.ok(result["steps_median"] <= kind.median,
           f"{what}: median of {result['steps_median']} entries with a breakpoint for each")


def calibrated(lab, host, kind, what):
    """What the module found out about the counter, and what it makes of it."""
    values = {n: host.run(f"cat /sys/kernel/lockstep/{n}").text.strip()
              for n in ("counter", "counter_skid", "counter_margin")}
    seen = int(values["counter_skid"])
    # skid is given in instructions, the loop has two a branch; what is around it may count as late (125 on 6.12)
    lab.ok(values["counter"] == kind.counter and kind.skid // 4 <= seen <= kind.skid + 150 and
           int(values["counter_margin"]) == kind.margin, f"{what}: the counter was tried at load", values)
    lab.say(f"{values}")


def one(lab, host, kind):
    what = f"{kind.counter}, skid {kind.skid}, {1 << kind.shift} ns"
    host.start()
    host.run(f"insmod /lab/lockstep.ko counter={kind.counter} margin={kind.margin} "
             f"margin_instructions={kind.guide} hold_us=20 compare_counts=1")
    calibrated(lab, host, kind, what)
    record(lab, host, kind, what)
    replay(lab, host, kind, what)
    host.finish()


def main(lab):
    kinds = [kind._replace(ticks=kind.ticks * TIMES, least=kind.least * TIMES) for kind in KINDS]
    hosts = [lab.host(f"h{number}", nets=[], lockstep=["lockstep-vmm", "lockstep-log"],
                      icount=f"shift={kind.shift}",
                      cpu=f"max,x-pmu-skid={kind.skid}" if kind.skid else "max",
                      files={"guest/exact": parts.built("exact"), **disturb.files()})
             for number, kind in enumerate(kinds)]
    pool = concurrent.futures.ThreadPoolExecutor(2)
    try:
        for result in [pool.submit(one, lab, *each) for each in zip(hosts, kinds)]:
            result.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


scenario(main, nets=())
