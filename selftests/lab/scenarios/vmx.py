#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""VMX: the module's kselftests (VMX_PROGRAMS, all) on kvm-intel; a guest with timer ticks and a boot of the stock
Debian kernel, recorded and replayed from the file. In Bochs, which is slow: in the long form only, or by name."""

import os
import re

from labkit import ksft, parts, scenario
from labkit.bochs import BochsHost

PROGRAMS = os.environ.get("VMX_PROGRAMS", " ".join(ksft.PROGRAMS)).split()
TIMEOUT = 2 * 3600
SCRIPT = """
try()	# name, command: what it prints, then its status
{
	echo "== $1"
	shift
	"$@"
	echo "== $?"
}

vmm()	# role, options; prints what its guest did
{
	serial=/tmp/serial.$1
	shift
	lockstep-vmm --name g --uuid 7d0e0c5e-6a4b-4f0e-9d35-6f0c53a8c005 --serial "file:$serial" "$@" && cat "$serial"
}

record()
{
	rm -f /tmp/log
	lockstep-log record --guest g --timeout 600 /tmp/log &
	vmm primary --role primary --wait "$@" && wait $!
}

replay()
{
	lockstep-log replay --guest g --timeout 600 /tmp/log &
	vmm twin --role twin "$@" && wait $!
}

ticks()
{
	"$@" --kernel /guest/ticks --memory 32
}

linux()
{
	"$@" --kernel /guest/vmlinuz --initrd /guest/initrd --memory 128 --rng \
		--append 'quiet lockstep.run=mix:-n:1 lockstep.then=poweroff'
}

modprobe kvm-intel unrestricted_guest=0
try refused insmod /lab/lockstep.ko
modprobe -r kvm-intel && modprobe kvm-intel && insmod /lab/lockstep.ko || exit
try arch cat /sys/kernel/lockstep/arch
try tickalone ticks vmm alone
try tickrecorded ticks record
try tickreplayed ticks replay
try linuxrecorded linux record
try linuxreplayed linux replay
insmod /lab/lockstep_gate_test.ko || exit
export LOCKSTEP_KO=/lab/lockstep.ko
for name in PROGRAMS; do
	try $name /lab/ks/$name
done
rmmod lockstep_gate_test lockstep
"""

# name in the script, what it shows, what is printed
GUESTS = (("tickalone", "a guest gets its timer ticks", "TICKS\n"),
          ("tickrecorded", "and recorded", "TICKS\n"),
          ("tickreplayed", "a replay of it is identical", ": identical: "),
          ("linuxrecorded", "the stock kernel boots, works and powers off, recorded", "GUEST-DONE 0"),
          ("linuxreplayed", "a replay of it is identical, too", ": identical: "))


def judge(lab, host, status):
    """What the script has printed, by name: (text, status)."""
    done = {name: (text, int(end)) for name, text, end in
            re.findall(r"^== ([a-z]+)\n(.*?)^== (\d+)$", host.text, re.M | re.S)}
    lines, bad = host.kernel_log()
    lab.ok(done["refused"][1] and any("without EPT or unrestricted guests" in line for line in lines),
           "refused: without unrestricted guests", *lines)
    lab.equal(done.get("arch"), ("VMX\n", 0), "the module runs on VMX")
    for name, what, word in GUESTS:
        text, end = done.get(name, ("it was not run", 1))
        lab.ok(end == 0 and word in text, what, text)
    for name in PROGRAMS:
        ksft.points(lab, "kvm-intel", name, *done.get(name, ("it was not run", 1)))
    lab.ok(lines and not bad, "the kernel's log is clean", *bad)
    lab.equal(status, 0, "the module leaves")


def main(lab):
    files, programs = ksft.build()
    images = parts.images()
    files.update({"guest/ticks": parts.built("ticks"), "guest/vmlinuz": images["GUEST_VMLINUZ"],
                  "guest/initrd": images["GUEST_INITRD"]})
    programs += [(f"usr/sbin/{name}", parts.built(name)) for name in ("lockstep-vmm", "lockstep-log")]
    # small pages: the guest's decompressor has IF clear, and interrupts come only at its EPT faults
    host = BochsHost(lab, "bochs", SCRIPT.replace("PROGRAMS", " ".join(PROGRAMS)), files, programs,
                     append="transparent_hugepage=never")
    judge(lab, host, host.run(TIMEOUT))


scenario(main, nets=())
