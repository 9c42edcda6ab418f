#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Inputs land on the twin at the exact instruction: a guest that computes and never exits gets its timer
ticks at forced positions. Recorded, then replayed from the file: at every position the same registers, at
the end the same sums over all interrupted places. By what is counted, and by how late the alarm is; ten times as
many positions in the long form."""

import json

from labkit import LONG, parts, scenario

UUID = "7d0e0c5e-6a4b-4f0e-9d35-6f0c53a8c004"
VMM = ("exec lockstep-vmm --name g --uuid " + UUID + " --kernel /guest/exact --memory 32 --append %d "
       "--serial file:/tmp/serial.%s")
CLASSES = "LRSFBICEPUTDW"

# counter, skid of the emulated CPU, the module's margin, ns of an instruction as a power of two (a slow guest
# is forced more often next to a stop of its own), ticks in a class
KINDS = (("branches", 0, 50, 0, 200), ("instructions", 0, 100, 3, 200), ("branches", 200, 130, 3, 200),
         ("instructions", 200, 210, 0, 200), ("branches", 5000, 6000, 0, 20))


# The counters go with the guest: what was seen last.
WATCH = ("until cd /sys/kernel/lockstep/g/counters; do sleep 0.1; done 2>/dev/null; "
         "while r=$(cat forced steps 2>/dev/null); do last=$r; sleep 0.2; done; echo $last")


def record(lab, host, what, ticks):
    log = host.spawn("lockstep-log record --guest g --timeout 300 /tmp/exact.log", log="record.log")
    vmm = host.spawn(VMM % (ticks, "primary") + " --role primary --wait", log="primary.log")
    lab.ok(vmm.wait(600) == 0, f"{what}: a guest that never exits gets its ticks", vmm.err)
    lab.equal(log.wait(60), 0, f"{what}: its log is whole")
    told = host.get("/tmp/serial.primary").decode()
    lab.ok([line[0] for line in told.split("\n") if line] == list(CLASSES), f"{what}: in every class", told)
    lab.say(host.run("lockstep-log stats /tmp/exact.log").text)


def replay(lab, host, what, ticks):
    log = host.spawn("lockstep-log replay --guest g --json --timeout 120 /tmp/exact.log")
    watch = host.spawn(WATCH)
    vmm = host.spawn(VMM % (ticks, "twin") + " --role twin", log="twin.log")
    status = log.wait(600)
    result = json.loads(log.out) if log.out else (log.err or b"").decode(errors="replace")
    lab.ok(status == 0, f"{what}: a replay is identical at every position", result, vmm.err,
           host.run("dmesg | tail -3").text)
    if status:
        vmm.signal(15)
    vmm.wait(60)
    watch.wait(30)
    lab.say(f"{result}")
    forced, steps = map(int, watch.text.split())
    # the others fell on a stop of the guest's own: it is slow, and prints, and debugs itself
    lab.need(forced > ticks * len(CLASSES) / 4, f"{what}: many positions were forced", forced)
    lab.say(f"{forced} positions, {steps / forced:.1f} entries with a breakpoint each")


def calibrated(lab, host, what, counter, skid, margin):
    """What the module found out about the counter, and what it makes of it."""
    values = {n: host.run(f"cat /sys/kernel/lockstep/{n}").text.strip()
              for n in ("counter", "counter_skid", "counter_margin")}
    seen = int(values["counter_skid"])
    # skid is given in instructions, the loop has two a branch; what is around it may count as late (125 on 6.12)
    lab.ok(values["counter"] == counter and skid // 4 <= seen <= skid + 150 and int(values["counter_margin"]) == margin,
           f"{what}: the counter was tried at load", values)


def main(lab):
    for number, (counter, skid, margin, shift, ticks) in enumerate(KINDS):
        ticks *= 10 if LONG else 1
        what = f"{counter}, skid {skid}, {1 << shift} ns"
        host = lab.host(f"h{number}", nets=[], lockstep=["lockstep-vmm", "lockstep-log"], icount=f"shift={shift}",
                        cpu=f"max,x-pmu-skid={skid}" if skid else "max",
                        files={"guest/exact": parts.built("exact")}).start()
        host.run(f"insmod /lab/lockstep.ko counter={counter} margin={margin}")
        calibrated(lab, host, what, counter, skid, margin)
        record(lab, host, what, ticks)
        replay(lab, host, what, ticks)


scenario(main, nets=())
