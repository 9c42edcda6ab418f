#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""After 60 s of guest life with mixed work (processes, files on disk, network, timers, a buffer scribbled
while it is written), primary and twin are stopped at the same position: registers, FXSAVE area, MSRs,
events, device state, every byte of memory and all disks are equal, and up to every stop and clock read both
have counted the same. The long form: a Debian userland for 600 s, which also computes, forks, sends signals and
has timers without end. EQUALITY_GUEST (small, debian) and EQUALITY_SECONDS choose."""

import os
import subprocess

from labkit import LONG, scenario
from labkit.pair import Pair

GUEST = os.environ.get("EQUALITY_GUEST", "debian" if LONG else "small")
SECONDS = int(os.environ.get("EQUALITY_SECONDS", "600" if LONG else "60"))
STORMS = ("compute", "forks", "signals", "timers")
DISK_MIB = 24


def disk(lab, name, ext4):
    path = os.path.join(lab.dir, name)
    with open(path, "wb") as f:
        f.truncate(DISK_MIB << 20)
    if ext4:
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-F", path], check=True)
    return path


def main(lab):
    work = "seqd,mix:-t:36000:-p:150,scribble:-n:40:/dev/vdb"
    disks = [disk(lab, "work.img", True), disk(lab, "scribble.img", False)]
    if GUEST == "debian":
        work += ",storm:-t:36000"
        disks.pop(0)            # it works on the disk that it has
    pair = Pair(lab, f"lockstep.run={work}", disks=disks, guest=GUEST)
    pair.module += " compare_counts=1"
    pair.start()
    pair.wait_service(600)
    client = pair.client(time=36000, interval=100, silence=240)

    def lived():
        return pair.counters(pair.a)["clock_ns"] >= SECONDS * 10 ** 9

    lab.wait_for(lived, SECONDS * 12 + 600, f"{SECONDS} s of guest life", interval=2)
    answer = pair.ask(pair.a, "dump state")
    lab.need(answer.get("ok"), "the primary stops at a position and describes its state", answer)
    lab.wait_for(lambda: pair.b.run("test -s /var/lib/lockstep/state", check=False).status == 0, 120,
                 "the twin's dump at that position")
    lab.wait_for(lambda: pair.counters(pair.b)["lag_bytes"] < 4096, 300, "the twin to go on")
    lab.equal(pair.state(pair.b), "protected-backup", "the twin found its state equal, and goes on")
    hashing = [h.spawn("md5sum /var/lib/lockstep/state") for h in pair.hosts]
    for c in hashing:
        c.wait(900)
    sums = [c.text.split()[0] for c in hashing]
    sizes = [int(h.run("stat -c %s /var/lib/lockstep/state").text) for h in pair.hosts]
    lab.equal(sums[1], sums[0], "both dumps (registers to the last byte of memory) are equal")
    lab.ok(sizes[0] >= 128 << 20, f"the dump holds all of memory: {sizes[0]} bytes")
    if GUEST == "debian":
        serial = pair.serial(pair.a).decode(errors="replace")
        lab.ok(all(f"storm: {kind}:" in serial for kind in STORMS) and "FAILED" not in serial,
               "the guest's storms went on, and got what they should", serial[-2000:])
    client.signal(15)
    client.wait(240)        # it may wait for an answer of a guest with much to do

    answer = pair.ask(pair.a, "status")
    lab.say(answer)
    counters = [pair.counters(h) for h in pair.hosts]
    lab.equal([c["divergences"] for c in counters], [0, 0], "no divergence")
    shown = ("clock_ns", "log_bytes", "inputs", "outputs", "clock_reads", "stops", "forced", "lag_max_ns")
    lab.say({k: counters[0][k] for k in shown})
    lab.say(f"entries with a breakpoint for a forced position: median {counters[1]['steps_median']}")
    disks = [h.run("md5sum /var/disk*.img").text.split()[0::2] for h in pair.hosts]
    final = pair.ask(pair.a, "verify")
    lab.ok(final.get("ok"), "state and disks compare equal again at a later position", final)
    lab.say(disks)


scenario(main)
