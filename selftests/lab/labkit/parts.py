# SPDX-License-Identifier: GPL-2.0
"""What a lab host is put together from: kernels, QEMU, programs and modules."""

import functools
import os
import re
import subprocess

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOP = os.path.dirname(os.path.dirname(LAB))
BUILD = os.path.join(TOP, "build")

# Loaded in every lab host, in this order, before anything else.
BOOT_MODULES = ["virtio_pci", "virtio_console", "virtio_net", "virtio_blk",
                "kvm-amd", "tun", "bridge", "veth"]
# There for modprobe, by name or because the kernel asks.
MORE_MODULES = ["sch_netem", "sch_tbf", "sch_ingress", "act_gact", "cls_matchall", "cls_u32", "nf_tables",
                "nfnetlink", "xxhash_generic", "ext4", "crc32c_generic", "loop", "dummy",
                "virtio_rng", "kvm-intel", "binfmt_misc", "nlmon", "netconsole"]
# Ours, in hosts that are asked for with lockstep=True.
LOCKSTEP_PROGRAMS = ["lockstep-vmm", "lockstepd", "lockstepctl"]
# A kernel that checks itself takes many times as long for the same: see patience().
DEBUG_KERNEL = os.environ.get("LAB_KERNEL") == "debug"
# Programs every lab host has beside busybox.
HOST_PROGRAMS = ["/sbin/ip", "/sbin/tc", "/sbin/bridge", "/usr/bin/ss", "/usr/bin/tcpdump"]


def _output(*argv):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def patience(seconds):
    """The limit for what has this one with Debian's kernels."""
    return seconds * (5 if DEBUG_KERNEL else 1)


@functools.cache
def kernel(series=None):
    """Paths of a kernel series, as selftests/lab/kernel prints them."""
    out = _output(os.path.join(LAB, "kernel"), *([series] if series else []))
    return dict(line.split("=", 1) for line in out.splitlines())


@functools.cache
def qemu():
    """The patched QEMU; LAB_QEMU names another."""
    return os.environ.get("LAB_QEMU") or _output(os.path.join(LAB, "qemu", "build")).strip()


@functools.cache
def module(series=None):
    """lockstep.ko for a kernel series, built first where it is not up to date."""
    return _output(os.path.join(LAB, "module"), *([series] if series else [])).strip()


@functools.cache
def images(kind="small"):
    """Paths of guest images, as selftests/lab/images prints them."""
    out = _output(os.path.join(LAB, "images"), kind)
    return dict(line.split("=", 1) for line in out.splitlines())


def built(name):
    """A program of this project, wherever under build/ its folder's Makefile puts it."""
    for top, dirs, files in os.walk(BUILD):
        dirs[:] = sorted(d for d in dirs if not d.endswith("san") and not d.startswith("module-"))
        path = os.path.join(top, name)
        if name in files and os.access(path, os.X_OK):
            return path
    raise RuntimeError(f"{name} is not built; run make")


@functools.cache
def libraries(program):
    """Shared libraries of a program, with its interpreter, as paths on this machine; none of a static one."""
    p = subprocess.run(["ldd", program], capture_output=True, text=True)
    if "not found" in p.stdout:
        raise RuntimeError(f"{program}: {p.stdout}")
    return re.findall(r"(?:=> )?(/\S+) \(0x", p.stdout)


class Modules:
    """Some modules of a kernel and all they depend on, as a small /lib/modules."""

    def __init__(self, moddir, release, names):
        self.release = release
        self.base = os.path.join(moddir, "lib/modules", release)
        self._deps = {}
        self._path = {}
        for line in self._lines("modules.dep"):
            path, deps = line.split(":")
            name = self._name(path)
            self._path[name] = path
            self._deps[name] = [self._name(d) for d in deps.split()]
        builtin = {self._name(line) for line in self._lines("modules.builtin")}
        self.names = []
        for name in names:
            name = name.replace("-", "_")
            if name in builtin:
                continue
            if name not in self._path:
                raise RuntimeError(f"kernel {release} has no module {name}")
            for n in [name] + self._deps[name]:
                if n not in self.names:
                    self.names.append(n)

    @staticmethod
    def _name(path):
        return re.sub(r"\.ko$", "", os.path.basename(path.strip())).replace("-", "_")

    def _lines(self, name):
        with open(os.path.join(self.base, name)) as f:
            return f.read().splitlines()

    def add_to(self, archive):
        """Put the modules and what modprobe reads into an initramfs."""
        root = os.path.join("lib/modules", self.release)
        deps = []
        for n in sorted(self.names):
            path = self._path[n]
            archive.file(os.path.join(root, path), os.path.join(self.base, path), 0o644)
            deps.append(path + ": " + " ".join(self._path[d] for d in self._deps[n]))
        alias = [line for line in self._lines("modules.alias") if line.split()[-1].replace("-", "_") in self.names]
        archive.text(os.path.join(root, "modules.dep"), "\n".join(deps) + "\n")
        archive.text(os.path.join(root, "modules.alias"), "\n".join(alias) + "\n")
        archive.text(os.path.join(root, "modules.symbols"), "")
        archive.file(os.path.join(root, "modules.builtin"), os.path.join(self.base, "modules.builtin"))


@functools.cache
def _applets():
    return _output("/bin/busybox", "--list").split()


def add_busybox(archive):
    """Busybox with a link for each of its applets that is not there yet."""
    archive.file("bin/busybox", "/bin/busybox")
    for applet in _applets():
        if f"bin/{applet}" not in archive and applet != "busybox":
            archive.link(f"bin/{applet}", "busybox")


def add_program(archive, path, source):
    """A program at path in an initramfs, with its libraries where the loader finds them."""
    archive.file(path, source, 0o755)
    for lib in libraries(source):
        if lib.lstrip("/") not in archive:
            archive.file(lib, os.path.realpath(lib), 0o755)
