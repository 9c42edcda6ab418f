#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A stock Debian guest, unprotected, uses all of lockstep-vmm's virtio devices: a shell on the console,
traffic through the tap both ways, an ext4 file system on the disk, entropy. What it wrote is checked
from outside after it has powered off."""

import gzip
import hashlib
import os
import socket
import subprocess
import tempfile
import threading

from labkit import scenario
from labkit.shell import Shell

IP = "10.77.1.50"
MIB = 1 << 20
DISK = 64 * MIB
FILE = 12 * MIB
TRAFFIC = 4 * MIB
VMM = ("lockstep-vmm --kernel /guest/vmlinuz --initrd /guest/initrd --memory 192 --serial file:/tmp/serial "
       "--console stdio --tap tap0 --rng --disk /tmp/disk.img --disk /tmp/second.img,ro "
       f"--append 'quiet lockstep.ip={IP}/24 lockstep.run=getty:-n:-l:/bin/sh:0:hvc0'")

# Sends (or receives) bytes and prints their digest; runs outside, on the guest's network.
PEER = """
import hashlib, socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 60)
h = hashlib.sha256()
if sys.argv[3] == "send":
    data = open("/dev/urandom", "rb").read(int(sys.argv[4]))
    h.update(data)
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    s.recv(1)
else:
    while True:
        data = s.recv(65536)
        if not data:
            break
        h.update(data)
print(h.hexdigest())
"""


def image(label):
    """An ext4 image, compressed."""
    with tempfile.NamedTemporaryFile() as f:
        f.truncate(DISK)
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", "-L", label, f.name], check=True)
        return gzip.compress(f.read(), 1)


def content(data, path):
    """Is the file system sound, and what does a file in it hold?"""
    with tempfile.NamedTemporaryFile() as f, tempfile.NamedTemporaryFile() as out:
        f.write(data)
        f.flush()
        check = subprocess.run(["/sbin/e2fsck", "-fn", f.name], capture_output=True, text=True)
        subprocess.run(["/sbin/debugfs", "-R", f"dump {path} {out.name}", f.name], check=True,
                       stderr=subprocess.DEVNULL)
        return check, out.read()


def network(lab, host, shell):
    ping = host.run(f"ping -c 20 -i 0.2 -w 60 {IP}")
    lab.ok(" 0% packet loss" in ping.text, "20 pings are answered", ping.text)
    lab.say(ping.text.strip().splitlines()[-1])
    shell.run("nc -l -p 5001 >/tmp/in & while ! netstat -ltn | grep -q :5001; do :; done")
    p = lab.outside(["/usr/bin/python3", "-c", PEER, IP, "5001", "send", str(TRAFFIC)], "send")
    lab.equal(p.wait(240), 0, f"{TRAFFIC // MIB} MiB go into the guest")
    lab.equal(shell.run("wait; sha256sum </tmp/in").split()[0], p.text.split()[-1], "unharmed")
    shell.run(f"dd if=/dev/urandom of=/tmp/out bs=64k count={TRAFFIC >> 16} 2>/dev/null;"
              "nc -l -p 5002 </tmp/out & while ! netstat -ltn | grep -q :5002; do :; done")
    p = lab.outside(["/usr/bin/python3", "-c", PEER, IP, "5002", "receive"], "receive")
    lab.equal(p.wait(240), 0, f"{TRAFFIC // MIB} MiB come out of the guest")
    lab.equal(shell.run("sha256sum </tmp/out").split()[0], p.text.split()[-1], "unharmed")
    lab.say(shell.run("cat /proc/net/dev | grep eth0"))


def disk(lab, shell):
    lab.equal(shell.run("cat /sys/block/vda/serial; echo; cat /sys/block/vdb/ro; cat /sys/block/vda/queue/write_cache"),
              "lockstep-disk0\n1\nwrite back", "the disks are what they are said to be")
    shell.run("grep -q /mnt /proc/mounts || { modprobe ext4; mount -t ext4 /dev/vda /mnt; }")
    lab.ok("/dev/vda /mnt ext4" in shell.run("cat /proc/mounts"), "ext4 is mounted from the disk")
    wrote = shell.run(f"dd if=/dev/urandom of=/mnt/file bs=1M count={FILE // MIB} conv=fsync 2>/dev/null;"
                      "sha256sum </mnt/file").split()[0]
    read = shell.run("sync; echo 3 >/proc/sys/vm/drop_caches; sha256sum </mnt/file").split()[0]
    lab.equal(read, wrote, f"{FILE // MIB} MiB read back from the disk as written")
    lab.ok("fail" in shell.run("dd if=/dev/zero of=/dev/vdb bs=512 count=1 oflag=direct 2>/dev/null || echo fail"),
           "a read-only disk is")
    return wrote


def main(lab):
    a = lab.host("a", lockstep=["lockstep-vmm"]).start()
    a.run("ip tuntap add tap0 mode tap; ip link set tap0 master br-eth0; ip link set tap0 up")
    for name in ("disk", "second"):
        a.put(image(name), f"/tmp/{name}.img.gz")
        a.run(f"gunzip /tmp/{name}.img.gz")
    second = a.run("sha256sum /tmp/second.img").text
    vmm = a.spawn(VMM, log="vmm.log")
    lab.wait_for(lambda: "# " in vmm.text or not vmm.running, 240, "a shell on the console")
    lab.need(vmm.running, "the guest is up and has a shell on its console", vmm.text)
    shell = Shell(lab, vmm)
    lab.say(shell.run("cat /proc/interrupts"))
    lab.equal(shell.run("cat /sys/class/misc/hw_random/rng_current"), "virtio_rng.0", "there is an entropy device")
    lots = shell.run("for i in 1 2; do dd if=/dev/hwrng bs=256 count=4 2>/dev/null | sha256sum; done").split()
    lab.ok(len(lots) == 4 and lots[0] != lots[2], "it gives bytes, and others each time", lots)
    network(lab, a, shell)
    wrote = disk(lab, shell)
    shared = a.run("lockstep-vmm --kernel /guest/vmlinuz --disk /tmp/disk.img 2>&1 </dev/null", check=False)
    lab.ok(shared.status == 1 and "shared disk is refused" in shared.text, "a second VMM can't have the same disk",
           shared.status, shared.text)
    lab.say(shell.run("cat /proc/interrupts | grep virtio"))
    # Input in bulk, of lines that a terminal takes.
    text = "".join(f"line {i} of some that are typed\n" for i in range(200))
    vmm.write(b"stty -echo; cat >/tmp/typed <<'EOT'\n" + text.encode() + b"EOT\n")
    lab.equal(shell.run("sha256sum </tmp/typed").split()[0], hashlib.sha256(text.encode()).hexdigest(),
              f"{len(text)} bytes typed arrive in order")
    many = shell.run("seq 1 2000")
    lab.equal(many.split(), [str(i) for i in range(1, 2001)], "2,000 lines of output arrive in order")
    vmm.write(b"umount /mnt; poweroff -f\n")
    lab.equal(vmm.wait(120), 0, "the guest powers off")
    check, data = content(gzip.decompress(bytes(a.run("gzip -1 -c /tmp/disk.img").out)), "file")
    lab.equal(check.returncode, 0, "the file system on the disk is sound")
    lab.equal(hashlib.sha256(data).hexdigest(), wrote, "and holds what the guest wrote")
    lab.equal(a.run("sha256sum /tmp/second.img").text, second, "the read-only disk is as it was")


scenario(main)
