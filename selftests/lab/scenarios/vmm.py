#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""lockstep-vmm alone: the stock Debian kernels boot (the cloud kernel VMM_BOOTS times, 3; the full one once),
type and are typed to on the serial line, and end in every way there is, each with its exit status."""

import json
import os

from labkit import parts, scenario

BOOTS = int(os.environ.get("VMM_BOOTS", "3"))
GUEST = "exec lockstep-vmm --kernel /guest/{kernel} --initrd /guest/initrd --memory {memory} --control /tmp/control"


class Guest:
    def __init__(self, lab, host, name, append, options="", kernel="vmlinuz", memory=96):
        self.lab, self.host, self.name = lab, host, name
        line = GUEST.format(kernel=kernel, memory=memory)
        self.vmm = host.spawn(f"{line} --state-dir /tmp/dumps {options} --append '{append}'", log=name + ".log")

    def up(self, text="GUEST-UP"):
        self.lab.wait_for(lambda: text in self.vmm.text or not self.vmm.running, 240, f"{self.name}: {text}")
        return self

    def ask(self, command):
        c = self.host.run(f"lockstep-vmm --control /tmp/control --ask '{command}'", check=False)
        return json.loads(c.text or '{"ok":false}')

    def end(self, status, name):
        """A test point: it ends with this exit status."""
        got = self.vmm.wait(240)
        text = (self.vmm.text + self.vmm.err.decode(errors="replace"))[-1500:]
        return self.lab.ok(got == status, name, f"exit status {got}, wanted {status}", text)


def boots(lab, host):
    good = 0
    for i in range(BOOTS):
        guest = Guest(lab, host, f"boot{i}", "quiet lockstep.run=mix:-n:4 lockstep.then=poweroff", "--rng")
        status = guest.vmm.wait(240)
        good += status == 0 and "GUEST-DONE 0" in guest.vmm.text
        said = guest.vmm.err.decode(errors="replace")
        if said or status:
            lab.say(f"boot {i}: {status}: {said} {guest.vmm.text[-800:]}")
        elif i % 5 == 4:
            lab.say(f"{i + 1} boots")
    lab.equal(good, BOOTS, f"the cloud kernel boots, works and powers off {BOOTS} times of {BOOTS}")


def shell(lab, host):
    """One guest with a shell on its serial line."""
    guest = Guest(lab, host, "shell", "quiet", "--power-keys 'poweroff -f\\n'").up()
    guest.vmm.write(b"cat /sys/devices/system/clocksource/clocksource0/current_clocksource\n")
    guest.up("tsc")
    lab.ok("\ntsc" in guest.vmm.text, "the guest takes what is typed, and its clock is the TSC")
    guest.vmm.write(b"hwclock -u && date -u +TIME=%s; hwclock -w -u; sleep 1; echo SL''EPT\n")
    guest.up("SLEPT")
    now = int(host.run("date -u +%s").text)
    seen = [int(line.strip()[5:]) for line in guest.vmm.text.splitlines() if line.startswith("TIME=")]
    lab.ok(seen and abs(seen[0] - now) < 60, "its clock shows the host's time", seen, now)
    status = guest.ask("status")
    lab.equal((status.get("role"), status.get("live"), status.get("unknown_msrs")), ("none", True, 0),
              "it is live, and touches no MSR that is not in the table")
    first, full = guest.ask("verify"), guest.ask("verify full")
    lab.ok(first.get("ok") and full.get("ok"), "its state can be digested", first, full)
    lab.ok(guest.ask("dump d1").get("ok") and not guest.ask("dump ../d1").get("ok") and
           int(host.run("stat -c %s /tmp/dumps/d1").text) > 96 << 20, "and dumped, to the state directory only")
    lab.equal(guest.ask("nonsense").get("ok"), False, "a command that is none is refused")
    host.run("rm -rf /tmp/dumps")
    lab.ok(guest.ask("poweroff").get("ok"), "the power button types its text")
    guest.end(0, "power-off ends with 0")


def main(lab):
    small = parts.images()
    a = lab.host("a", nets=[], programs=[parts.built("lockstep-vmm")],
                 files={"guest/vmlinuz": small["GUEST_VMLINUZ"], "guest/initrd": small["GUEST_INITRD"],
                        "guest/full": parts.kernel()["VMLINUZ"]}).start()
    boots(lab, a)
    shell(lab, a)
    Guest(lab, a, "reset", "quiet lockstep.then=reboot").end(5, "a reset ends with 5")
    Guest(lab, a, "reset-ok", "quiet lockstep.then=reboot", "--reset-ok").end(0, "and with 0 when that is wanted")
    Guest(lab, a, "triple", "quiet reboot=t lockstep.then=reboot").end(5, "a triple fault ends with 5")
    Guest(lab, a, "panic", "quiet panic=1 init=/nonsense rdinit=/nonsense root=/dev/none").end(
        5, "a panic resets the guest")
    guest = Guest(lab, a, "quit", "quiet").up()
    guest.ask("quit")
    guest.end(6, "quit ends with 6")
    guest = Guest(lab, a, "term", "quiet").up()
    guest.vmm.signal(15)
    guest.end(6, "so does SIGTERM")
    Guest(lab, a, "full", "quiet lockstep.run=mix:-n:2 lockstep.then=poweroff", kernel="full", memory=192).end(
        0, "the full Debian kernel boots, works and powers off")


scenario(main, nets=())
