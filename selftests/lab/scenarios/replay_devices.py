#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A guest with traffic, disks and a console is recorded and replayed: frames, console bytes and entropy are
the same, and so are both disks afterwards, also where a buffer was scribbled on while it was written."""

import gzip
import json
import os
import subprocess
import tempfile

from labkit import parts, scenario

REPLAYS = 3
IP = "10.77.1.50"
UUID = "7d0e0c5e-6a4b-4f0e-9d35-6f0c53a8c002"
DISKS = {"ext4": 64 << 20, "raw": 8 << 20}
RUN = "seqd,mix:-n:3,scribble:-n:150:/dev/vdb,getty:-n:-l:/bin/sh:0:hvc0"
TYPED = "n=0; while [ $n -lt 20 ]; do echo line $n; n=$((n+1)); done; ls -l /mnt; sync\n"


def vmm(role):
    return ("lockstep-vmm --name g --uuid " + UUID + " --kernel /guest/vmlinuz --initrd /guest/initrd "
            "--memory 160 --rng --tap tap0 --serial file:/tmp/serial --console "
            f"{'stdio' if role == 'primary' else 'null'} --disk /tmp/{role}-ext4.img --disk /tmp/{role}-raw.img "
            f"--role {role} --append 'quiet lockstep.ip={IP}/24 lockstep.run={RUN} lockstep.then=poweroff'")


def image(name):
    with tempfile.NamedTemporaryFile() as f:
        f.truncate(DISKS[name])
        if name == "ext4":
            subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", f.name], check=True)
        return gzip.compress(f.read(), 1)


def disks(host, role):
    """Fresh copies for a role."""
    for name in DISKS:
        host.run(f"gunzip -c /tmp/{name}.gz >/tmp/{role}-{name}.img")


def record(lab, host):
    disks(host, "primary")
    log = host.spawn("lockstep-log record --guest g --timeout 300 /tmp/devices.log", log="record.log")
    guest = host.spawn(vmm("primary") + " --wait", log="vmm-record.log")
    client = lab.outside([os.path.join(parts.BUILD, "selftests/lab/seqclient"), "--json", "-W", "200", "-t", "10",
                          "-s", "700", "-r", "700", "-w", "4", IP], "seqclient")
    lab.wait_for(lambda: "# " in guest.text or not guest.running, 240, "a shell on the console")
    guest.write(TYPED.encode())
    lab.wait_for(lambda: "line 19" in guest.text or not guest.running, 240, "what the shell answers")
    lab.equal(client.wait(300), 0, "a client's session with the recorded guest goes well")
    lab.say(client.text.strip())
    guest.write(b"exit\n")
    lab.equal(guest.wait(600), 0, "the recorded guest works and powers off")
    lab.equal(log.wait(60), 0, "its log is whole")
    serial = host.get("/tmp/serial")
    lab.ok(b"GUEST-DONE 0" in serial, "its work was done", serial[-400:].decode(errors="replace"))
    lab.say(host.run("lockstep-log stats /tmp/devices.log").text)


def replay(lab, host, number):
    disks(host, "twin")
    log = host.spawn("lockstep-log replay --guest g --json --timeout 120 /tmp/devices.log")
    twin = host.spawn(vmm("twin"), log=f"vmm-replay-{number}.log")
    status = log.wait(600)
    result = json.loads(log.out) if log.out else {"result": (log.err or b"").decode(errors="replace")}
    lab.ok(status == 0 and result["result"] == "identical", f"replay {number} is identical", status, result, twin.text)
    if status:
        twin.signal(15)
    lab.equal(twin.wait(60), 0, f"and powers off")
    for name in DISKS:
        same = host.run(f"cmp /tmp/primary-{name}.img /tmp/twin-{name}.img", check=False)
        lab.ok(same.status == 0, f"the {name} disks are the same, byte by byte", same.text)


def main(lab):
    a = lab.host("a", lockstep=["lockstep-vmm", "lockstep-log"], mem=1536).start()
    a.run("insmod /lab/lockstep.ko margin=10")
    a.run("ip tuntap add tap0 mode tap; ip link set tap0 master br-eth0; ip link set tap0 up")
    for name in DISKS:
        a.put(image(name), f"/tmp/{name}.gz")
    record(lab, a)
    fresh = a.run("gunzip -c /tmp/raw.gz | cmp - /tmp/primary-raw.img", check=False)
    lab.equal(fresh.status, 1, "the guest has written to its disk")
    for number in range(1, REPLAYS + 1):
        replay(lab, a, number)


scenario(main)
