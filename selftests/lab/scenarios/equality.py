#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""After 60 s of guest life with mixed work (processes, files on disk, network, timers, a buffer scribbled
while it is written), primary and twin are stopped at the same position: registers, FXSAVE area, MSRs,
events, device state, every byte of memory and both disks are equal. EQUALITY_SECONDS (60; long: 600)."""

import os
import subprocess

from labkit import LONG, scenario
from labkit.pair import Pair

SECONDS = int(os.environ.get("EQUALITY_SECONDS", "600" if LONG else "60"))
DISK_MIB = 24


def disk(lab, name, ext4):
    path = os.path.join(lab.dir, name)
    with open(path, "wb") as f:
        f.truncate(DISK_MIB << 20)
    if ext4:
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-F", path], check=True)
    return path


def main(lab):
    work = "seqd,mix:-t:3600:-p:150,scribble:-n:40:/dev/vdb"
    pair = Pair(lab, f"lockstep.run={work}",
                disks=[disk(lab, "work.img", True), disk(lab, "scribble.img", False)]).start()
    pair.wait_service()
    client = pair.client(time=3600, interval=100, silence=120)

    def lived():
        return pair.counters(pair.a)["clock_ns"] >= SECONDS * 10 ** 9

    lab.wait_for(lived, SECONDS * 12, f"{SECONDS} s of guest life", interval=2)
    answer = pair.ask(pair.a, "dump state")
    lab.need(answer.get("ok"), "the primary stops at a position and describes its state", answer)
    lab.wait_for(lambda: pair.b.run("test -s /var/lib/lockstep/state", check=False).status == 0, 120,
                 "the twin's dump at that position")
    lab.wait_for(lambda: pair.counters(pair.b)["lag_bytes"] < 4096, 60, "the twin to go on")
    lab.equal(pair.state(pair.b), "protected-backup", "the twin found its state equal, and goes on")
    hashing = [h.spawn("md5sum /var/lib/lockstep/state") for h in pair.hosts]
    for c in hashing:
        c.wait(300)
    sums = [c.text.split()[0] for c in hashing]
    sizes = [int(h.run("stat -c %s /var/lib/lockstep/state").text) for h in pair.hosts]
    lab.equal(sums[1], sums[0], "both dumps (registers to the last byte of memory) are equal")
    lab.ok(sizes[0] >= 128 << 20, f"the dump holds all of memory: {sizes[0]} bytes")
    client.signal(15)
    client.wait(60)

    answer = pair.ask(pair.a, "status")
    lab.say(answer)
    counters = [pair.counters(h) for h in pair.hosts]
    lab.equal([c["divergences"] for c in counters], [0, 0], "no divergence")
    lab.say({k: counters[0][k] for k in ("clock_ns", "log_bytes", "inputs", "outputs", "clock_reads", "lag_max_ns")})
    disks = [h.run("md5sum /var/disk0.img /var/disk1.img").text.split()[0::2] for h in pair.hosts]
    final = pair.ask(pair.a, "verify")
    lab.ok(final.get("ok"), "state and disks compare equal again at a later position", final)
    lab.say(disks)


scenario(main)
