#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What protection costs a guest's vCPU thread: instructions of the same work on the same VMM, plain and
protected, exits and all that the kernel and the VMM do on that thread included."""

import json

import common
from labkit import parts, scenario
from labkit.shell import Shell

IP = "10.77.1.50"
UUID = "7d0e0c5e-6a4b-4f0e-9d35-6f0c53a8c005"
ROUNDS = 3
IDLE = 10       # seconds
VMM = ("exec lockstep-vmm --name g --uuid " + UUID + " --kernel /guest/vmlinuz --initrd /guest/initrd --memory 160 "
       "--rng --tap tap0 --serial file:/tmp/serial --console stdio --disk /tmp/disk.img %s --append 'quiet "
       f"randomize_kstack_offset=off lockstep.ip={IP}/24 lockstep.run=getty:-n:-l:/bin/sh:0:hvc0'")
COUNTERS = ("log_bytes", "records", "clock_reads", "inputs", "outputs", "forced", "clock_ns", "batches", "stops")
BATCH_HEAD = 80

# What is measured, and the command; HOST is the host's address in the guest's network. The most that
# protected may be of plain, where that was set as a goal.
WORKS = (
    ("compute", "i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done", 1.05),
    ("fork, exec, files", "mix -n 3", 1.05),
    ("disk", "dd if=/dev/zero of=/dev/vda bs=4k count=1000 conv=fsync 2>/dev/null", None),
    ("request-response", "ping -q -c 40 -i 0.02 HOST", None),
    ("bulk network", "dd if=/dev/zero bs=64k count=48 2>/dev/null | nc HOST 5003", None),
)


class Guest:
    """One guest with a shell; protect: its log goes to a file, and is acknowledged at once."""

    def __init__(self, lab, host, protect):
        self.lab, self.host, self.protect = lab, host, protect
        host.run("rm -f /tmp/disk.img; truncate -s 16M /tmp/disk.img")
        if protect:
            self.log = host.spawn("lockstep-log record --guest g --timeout 600 /tmp/bench.log", log="record.log")
        self.vmm = host.spawn(VMM % ("--role primary --wait" if protect else ""), log="vmm.log")
        lab.wait_for(lambda: "# " in self.vmm.text or not self.vmm.running, 240, "a shell on the console")
        self.shell = Shell(lab, self.vmm)
        self.pid = host.run("pidof lockstep-vmm").text.strip()

    def counters(self):
        if not self.protect:
            return {}
        text = self.host.run("cd /sys/kernel/lockstep/g/counters && cat " + " ".join(COUNTERS)).text
        return dict(zip(COUNTERS, map(int, text.split())))

    def during(self, work):
        """What the counters went up by."""
        before = self.counters()
        work()
        after = self.counters()
        return {n: after[n] - before[n] for n in before}

    def measure(self, command):
        """Instructions (all, the guest's own) and what the counters went up by."""
        sink = self.host.spawn("nc -l -p 5003 >/dev/null") if "5003" in command else None
        count = self.host.spawn(f"threadcount {self.pid}")
        self.lab.wait_for(lambda: "ready" in count.text or not count.running, 60, "the counters")
        more = self.during(lambda: self.shell.run(command.replace("HOST", self.lab.net.address("guest", self.host.number))))
        count.close_stdin()
        self.lab.need(count.wait(60) == 0, "instructions are counted", count.err)
        if sink:
            sink.wait(60)
        every, own = map(int, count.text.split()[1:])
        return {"instructions": every, "guest": own, **more}

    def close(self):
        self.vmm.write(b"poweroff -f\n")
        self.lab.equal(self.vmm.wait(240), 0, "the guest powers off")
        if self.protect:
            self.lab.equal(self.log.wait(60), 0, "its log is whole")


def best(rounds):
    """The round with the fewest instructions: what the host did beside is not the guest's."""
    return min(rounds, key=lambda r: r["instructions"])


def works(lab, guest):
    seen = {}
    for name, command, _ in WORKS:
        rounds = [guest.measure(command) for _ in range(ROUNDS)]
        seen[name] = best(rounds)
        lab.say(f"{name}, {'protected' if guest.protect else 'plain'}: {[r['instructions'] for r in rounds]}")
    return seen


def idle(lab, guest):
    """Rate of the log of a guest that does nothing, in Mb/s, without and with the heads of batches."""
    more = guest.during(lambda: lab.elapse(IDLE))
    records = more["log_bytes"] * 8e3 / more["clock_ns"]
    return {**more, "mbps": records, "mbps_batches": records + more["batches"] * BATCH_HEAD * 8e3 / more["clock_ns"]}


def main(lab):
    host = lab.host("a", lockstep=["lockstep-vmm", "lockstep-log"], mem=1536,
                    programs=[("usr/sbin/threadcount", parts.built("threadcount"))]).start()
    host.run("insmod /lab/lockstep.ko margin=50")
    host.run("ip tuntap add tap0 mode tap; ip link set tap0 master br-eth0; ip link set tap0 up")
    guest = Guest(lab, host, False)
    plain = works(lab, guest)
    guest.close()
    guest = Guest(lab, host, True)
    protected = works(lab, guest)
    quiet = idle(lab, guest)
    guest.close()
    stats = json.loads(host.run("lockstep-log stats --json /tmp/bench.log").text)
    common.keep("cost", {
        "works": {n: {"ratio": protected[n]["instructions"] / plain[n]["instructions"], "goal": goal,
                      "plain": plain[n], "protected": protected[n]} for n, _, goal in WORKS},
        "idle": quiet, "log": stats})


scenario(main)
