#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A guest whose exits are reads of an MSR that is not there keeps its timer: a tick that falls due at such an
exit is raised behind the #GP and not lost before it. Unprotected, recorded, and replayed from the file."""

from labkit import parts, scenario

VMM = ("exec lockstep-vmm --name g --uuid 7d0e0c5e-6a4b-4f0e-9d35-6f0c53a8c003 --kernel /guest/ticks "
       "--memory 32 --serial file:/tmp/serial.%s")


def main(lab):
    a = lab.host("a", nets=[], lockstep=["lockstep-vmm", "lockstep-log"],
                 files={"guest/ticks": parts.built("ticks")}).start()
    a.run("insmod /lab/lockstep.ko margin=10")

    def ticks(role, arguments, name):
        vmm = a.spawn(VMM % role + arguments, log=role + ".log")
        status = vmm.wait(240)
        told = a.get("/tmp/serial." + role)
        lab.ok(status == 0 and told == b"TICKS\n", name, f"exit status {status}", told, vmm.err)

    ticks("alone", "", "unprotected, all ticks come")
    log = a.spawn("lockstep-log record --guest g --timeout 300 /tmp/ticks.log", log="record.log")
    ticks("primary", " --role primary --wait", "recorded, all ticks come")
    lab.equal(log.wait(60), 0, "its log is whole")
    log = a.spawn("lockstep-log replay --guest g --timeout 120 /tmp/ticks.log")
    twin = a.spawn(VMM % "twin" + " --role twin", log="twin.log")
    lab.ok(log.wait(240) == 0, "a replay of it is identical", log.text, log.err)
    lab.equal(twin.wait(60), 0, "to its end")


scenario(main, nets=())
