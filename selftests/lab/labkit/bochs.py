# SPDX-License-Identifier: GPL-2.0
"""A host in Bochs, which emulates VMX as QEMU's TCG does not.

Bochs runs 30 to 40 million instructions a second and has no performance counters. It starts from a
CD with Debian's kernel and an initramfs; what is run there is a shell script that is given
beforehand, and all there is to hear of it are two serial ports, which are files.

Bochs 2.7 has a fault: a guest that is entered with IF clear is not interrupted (the CPU's mask of
events is computed anew only when IF changes at the entry). What runs in such a guest for long must
have IF set.
"""

import os
import re
import shutil
import subprocess

from . import parts
from .cpio import Archive
from .host import HostError
from .net import start

BOOT_MODULES = ["tun", "bridge", "veth"]
MORE_MODULES = ["kvm-intel", "dummy", "nlmon", "sch_ingress", "sch_netem", "xxhash_generic"]
IPS = 50000000      # so many instructions are a second of the host's time; its TSC counts them
CONFIG = """\
config_interface: textconfig
display_library: rfb, options="timeout=0"
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model=corei7_skylake_x, count=1, ips={ips}, reset_on_triple_fault=0, msrs=msrs
memory: guest=1024, host=1024
ata0-master: type=cdrom, path=cd.iso, status=inserted
boot: cdrom
clock: sync=none, time0=1700000000
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
com1: enabled=1, mode=file, dev=script.log
com2: enabled=1, mode=file, dev=console.log
log: bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
"""
# IA32_MISC_ENABLE with fast strings: without, Linux takes ERMS away.
MSRS = "0x1a0 0 0 1 0 0 0 0\n"
BOOT = """\
DEFAULT lab
PROMPT 0
LABEL lab
 KERNEL /vmlinuz
 INITRD /initramfs
 APPEND console=ttyS1 quiet panic=-1 mitigations=off nokaslr tsc=reliable tsc_early_khz={khz} {append}
"""


class BochsHost:
    """One start of such a host. files, programs: as for Lab.host(); script: what it runs."""

    def __init__(self, lab, name, script, files=None, programs=(), append=""):
        self.lab = lab
        self.dir = os.path.join(lab.dir, name)
        self.kernel = parts.kernel()
        os.makedirs(os.path.join(self.dir, "cd/isolinux"))
        self._initramfs(script, files or {}, programs)
        self._cd(append)
        self.process = None

    def _initramfs(self, script, files, programs):
        a = Archive()
        a.node("dev/console", "c", 5, 1)
        parts.add_busybox(a)
        a.link("sbin", "bin")       # the kernel calls /sbin/modprobe
        for directory in ("proc", "sys", "run", "tmp", "etc", "lab"):
            a.dir(directory)
        a.file("init", os.path.join(parts.LAB, "host/bochs-init"), 0o755)
        a.text("lab/script", script)
        a.text("lab/modules", "".join(name + "\n" for name in BOOT_MODULES))
        parts.Modules(self.kernel["MODDIR"], self.kernel["KVER"], BOOT_MODULES + MORE_MODULES).add_to(a)
        for dest, source in programs:
            parts.add_program(a, dest, source)
        for dest, source in files.items():
            a.file(dest, source)
        a.save(os.path.join(self.dir, "cd/initramfs"))

    def _cd(self, append):
        cd = os.path.join(self.dir, "cd")
        shutil.copy(self.kernel["VMLINUZ"], os.path.join(cd, "vmlinuz"))
        for source in ("/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios/ldlinux.c32"):
            shutil.copy(source, os.path.join(cd, "isolinux"))
        with open(os.path.join(cd, "isolinux/isolinux.cfg"), "w") as f:
            f.write(BOOT.format(khz=IPS // 1000, append=append))
        subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", os.path.join(self.dir, "cd.iso"),
                        "-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot",
                        "-boot-load-size", "4", "-boot-info-table", cd],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(os.path.join(self.dir, "bochsrc"), "w") as f:
            f.write(CONFIG.format(ips=IPS))
        with open(os.path.join(self.dir, "msrs"), "w") as f:
            f.write(MSRS)
        with open(os.path.join(self.dir, "commands"), "w") as f:
            f.write("c\n")      # Debian's Bochs begins in its debugger

    def _text(self, name):
        try:
            with open(os.path.join(self.dir, name), errors="replace") as f:
                return f.read().replace("\r", "")
        except FileNotFoundError:
            return ""

    @property
    def text(self):
        """What the script has printed."""
        return self._text("script.log")

    def run(self, timeout):
        """From power on to the script's end: its exit status. TimeoutError, HostError."""
        with open(os.path.join(self.dir, "out"), "wb") as out:
            self.process = start(["bochs", "-q", "-f", "bochsrc", "-rc", "commands"], cwd=self.dir,
                                 stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            return int(self.lab.wait_for(self._end, timeout, "the script's end in Bochs"))
        finally:
            self.process.kill()
            self.process.wait()

    def _end(self):
        ended = re.search(r"^BOCHS-DONE (\d+) \.$", self.text, re.M)
        if ended:
            return ended[1]
        if self.process.poll() is not None:
            raise HostError(f"Bochs ended with {self.process.returncode}: {self._text('bochs.log')[-800:]}")
        return None

    def kernel_log(self):
        """Lines of the kernel's log, and those of them that it must not have."""
        lines = self._text("console.log").splitlines()
        with open(os.path.join(parts.LAB, "host/patterns.bad")) as f:
            bad = re.compile("|".join(line.strip() for line in f if line.strip() and line[0] != "#"))
        return lines, [line for line in lines if bad.search(line)]
