#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""After a failover and a power-off the old primary's disk has missed writes: a start there is refused, with what
to do about it. With the survivor's disk copied, the pair starts on the survivor."""

import os
import subprocess

from labkit import scenario
from labkit.pair import NAME, Pair

DISK = 16 << 20


def image(lab):
    """An empty ext4 disk: what the old primary has again when it comes back."""
    path = os.path.join(lab.dir, "disk.img")
    with open(path, "wb") as f:
        f.truncate(DISK)
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", path], check=True)
    return path


def main(lab):
    pair = Pair(lab, "lockstep.run=seqd,mix:-t:15:-p:200 lockstep.then=poweroff", disks=[image(lab)], counter=False).start()
    pair.wait_service()
    pair.a.kill()
    pair.wait_state(pair.b, "solo", 90)
    lab.wait_for(lambda: pair.state(pair.b) is None, 240, "the guest's power-off on b")
    lab.ok(b"GUEST-DONE 0" in pair.serial(pair.b), "the survivor's guest did its work and powered off")

    pair.start_host(pair.a)
    lab.wait_for(lambda: "event peer.up" in pair.told(pair.a), 60, "the daemons' meeting")
    began = pair.a.run(f"lockstepctl start {NAME} 2>&1", timeout=120, check=False)
    lab.say(began.text)
    lab.wait_for(lambda: "disks here are behind" in pair.told(pair.a), 60, "a refusal of the start on a")
    lab.ok("Copy them from b" in pair.told(pair.a), "the old primary may not start: it is told whose disks are right")
    note = [g for g in pair.status(pair.a)["guests"] if g["name"] == NAME]
    lab.ok("disks here are behind" in str(note), "status says so", note)
    lab.equal(pair.state(pair.a), "free", "it waits")
    lab.ok(not any(pair.live()), "nothing runs")
    for host in pair.hosts:
        host.run(f"lockstepctl stop {NAME}", check=False)
        lab.wait_for(lambda: pair.state(host) is None, 60, f"the end of what waits on {host.name}")

    pair.a.put(pair.b.get("/var/disk0.img"), "/var/disk0.img")
    pair.b.run(f"lockstepctl start {NAME}", timeout=120)
    pair.wait_state(pair.b, "protected-primary", 120)
    pair.wait_state(pair.a, "protected-backup", 120)
    pair.wait_service()
    lab.ok(True, "with the survivor's disk copied, the pair starts on the survivor")


scenario(main)
