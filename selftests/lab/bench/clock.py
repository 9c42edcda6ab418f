#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What one read of the clock costs a protected guest: a guest without a kernel that reads the TSC in a loop,
less the same loop without."""

import json

import common
from labkit import parts, scenario

READS = 200000  # as in guest/clock.S
UUID = "7d0e0c5e-6a4b-4f0e-9d35-6f0c53a8c006"
VMM = ("threadcount lockstep-vmm --name g --uuid " + UUID + " --kernel /guest/clock --memory 32 --append %s "
       "--serial file:/tmp/serial --role primary --wait")


def count(lab, host, what):
    """Instructions of one guest's whole life, and what its log is made of."""
    log = host.spawn(f"lockstep-log record --guest g --timeout 300 /tmp/{what}.log", log="record.log")
    vmm = host.spawn(VMM % what, log="vmm.log")
    lab.need(vmm.wait(300) == 0, f"clock: the guest of '{what}' runs to its end", vmm.err)
    lab.equal(log.wait(60), 0, f"clock: its log is whole ({what})")
    stats = json.loads(host.run(f"lockstep-log stats --json /tmp/{what}.log").text)
    return int(vmm.text.split()[1]), stats["records"].get("tsc", {"count": 0, "bytes": 0})


def main(lab):
    host = lab.host("a", nets=[], lockstep=["lockstep-vmm", "lockstep-log"],
                    files={"guest/clock": parts.built("clock")},
                    programs=[("usr/sbin/threadcount", parts.built("threadcount"))]).start()
    host.run("insmod /lab/lockstep.ko margin=50")
    reads, tsc = count(lab, host, "reads")
    empty, none = count(lab, host, "empty")
    lab.need(tsc["count"] == READS and not none["count"], "clock: every read is in the log", tsc, none)
    common.keep("clock", {"instructions": (reads - empty) / READS, "bytes": tsc["bytes"] / READS, "reads": READS})


scenario(main, nets=())
