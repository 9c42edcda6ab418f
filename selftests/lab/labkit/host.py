# SPDX-License-Identifier: GPL-2.0
"""One lab host: a QEMU process, the agent in it, its verdict."""

import os
import re
import signal
import socket
import subprocess
import time

from . import parts
from .agent import Agent, Gone
from .cpio import Archive
from .net import start as start_process

BOOT_TIMEOUT = 180
RUN_TIMEOUT = 300
FINISH_TIMEOUT = 120


class HostError(Exception):
    pass


class Host:
    """A lab host. Made by Lab.host(), whose options are described there."""

    def __init__(self, lab, name, number, *, mem=1024, icount="shift=0", cpu="max", smp=1, nets=None,
                 bridge=("guest",), files=None, programs=(), modules=None, drives=(), allow=(),
                 kernel=None, append="", qemu=(), lockstep=False):
        self.lab = lab
        self.name = name
        self.number = number
        self.dir = os.path.join(lab.dir, name)
        self.kernel = parts.kernel(kernel)
        self.nets = list(lab.net.names if nets is None else nets)
        self.bridge = bridge
        self.mem, self.icount, self.cpu, self.smp = mem, icount, cpu, smp
        self.files = dict(files or {})
        self.programs = list(programs)
        self.modules = parts.BOOT_MODULES if modules is None else modules
        self.drives = list(drives)
        self.allow = list(allow)
        self.append = append
        self.extra = list(qemu)
        if lockstep:
            guest = parts.images()
            names = parts.LOCKSTEP_PROGRAMS if lockstep is True else lockstep
            self.programs += [parts.built(name) for name in names]
            self.files.setdefault("lab/lockstep.ko", parts.module(kernel))
            self.files.setdefault("guest/vmlinuz", guest["GUEST_VMLINUZ"])
            self.files.setdefault("guest/initrd", guest["GUEST_INITRD"])
        self.starts = 0
        self.killed = False
        self.verdict = None     # of the last start: (good, reason), None while it runs
        self.results = []       # of all starts
        self.process = None
        self.agent = None
        os.makedirs(self.dir, exist_ok=True)

    # -- where things are ---------------------------------------------------

    def address(self, net):
        return self.lab.net.address(net, self.number)

    def log(self, name):
        """Path of a log of the present start: console, verdict, kmsg, qemu."""
        return os.path.join(self.dir, f"{name}.{self.starts}.log")

    def _log_text(self, name):
        try:
            with open(self.log(name), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    # -- life ---------------------------------------------------------------

    def _initramfs(self):
        """What the host starts from; a file of this start."""
        a = Archive()
        names = [m.split()[0] for m in self.modules] + parts.MORE_MODULES
        a.node("dev/console", "c", 5, 1)
        parts.add_busybox(a)
        a.link("sbin", "bin")       # the kernel calls /sbin/modprobe
        parts.add_program(a, "bin/sh", "/bin/dash")     # busybox's would prefer its own ip, tc...
        for directory in ("proc", "sys", "run", "tmp", "root", "etc", "var/log", "lab"):
            a.dir(directory)
        a.file("init", os.path.join(parts.BUILD, "selftests/lab/labinit"))
        for name in ("rc", "patterns.bad"):
            a.file(f"lab/{name}", os.path.join(parts.LAB, "host", name))
        with open(os.path.join(parts.LAB, "host/patterns.allowed")) as f:
            a.text("lab/patterns.allowed", f.read() + "\n".join(self.allow) + "\n")
        a.text("lab/name", self.name + "\n")
        a.text("lab/modules", "\n".join(self.modules) + "\n")
        lines = [f"eth{i} {'bridge ' if n in self.bridge else ''}{self.address(n)}/24"
                 for i, n in enumerate(self.nets)]
        a.text("lab/net", "".join(line + "\n" for line in lines))
        a.text("etc/hosts", "127.0.0.1 localhost\n")
        a.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        a.text("etc/group", "root:x:0:\n")
        parts.Modules(self.kernel["MODDIR"], self.kernel["KVER"], names).add_to(a)
        for source in parts.HOST_PROGRAMS:
            parts.add_program(a, os.path.join("usr/sbin", os.path.basename(source)), source)
        for program in self.programs:
            dest, source = program if isinstance(program, tuple) else (
                os.path.join("usr/sbin", os.path.basename(program)), program)
            parts.add_program(a, dest, source)
        for dest, source in self.files.items():
            if os.path.isdir(source):
                a.tree(dest, source)
            else:
                a.file(dest, source)
        path = os.path.join(self.dir, "initramfs")
        a.save(path)
        return path

    def _argv(self, agent_fd):
        argv = [parts.qemu(), "-name", f"lab-{self.name}", "-nodefaults", "-no-user-config",
                "-L", "/usr/share/seabios", "-L", "/usr/share/qemu", "-display", "none", "-no-reboot",
                "-machine", self.kernel.get("MACHINE", "pc"), "-accel", "tcg", "-cpu", self.cpu,
                "-smp", str(self.smp), "-m", str(self.mem),
                "-kernel", self.kernel["VMLINUX"], "-initrd", self._initramfs(),
                "-append", "console=ttyS0 quiet panic=-1 nmi_watchdog=0 log_buf_len=4M net.ifnames=0 "
                           "tsc=reliable " + self.append,
                "-serial", "file:" + self.log("console"), "-serial", "file:" + self.log("verdict"),
                "-device", "virtio-serial-pci",
                "-chardev", f"socket,id=agent,fd={agent_fd}",
                "-device", "virtserialport,chardev=agent,name=lab.agent",
                "-chardev", f"file,id=kmsg,path={self.log('kmsg')}",
                "-device", "virtserialport,chardev=kmsg,name=lab.kmsg"]
        if self.icount:
            argv += ["-icount", self.icount]
        for i, net in enumerate(self.nets):
            tap = self.lab.net.tap(self.name, net)
            argv += ["-netdev", f"tap,id=net{i},ifname={tap},script=no,downscript=no",
                     "-device", f"virtio-net-pci,netdev=net{i},romfile=,mac=52:54:00:00:{self.number:02x}:{i:02x}"]
        for i, drive in enumerate(self.drives):
            argv += ["-drive", f"if=none,id=drive{i},{drive}", "-device", f"virtio-blk-pci,drive=drive{i}"]
        return argv + self.extra

    def start(self, wait=True):
        """Power on; with wait, returns when commands can be run."""
        if self.process:
            raise HostError(f"host {self.name} runs already")
        self.starts += 1
        ours, theirs = socket.socketpair()
        with theirs, open(self.log("qemu"), "wb") as out:
            self.process = start_process(
                self.lab.net.command(self._argv(theirs.fileno())), stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, pass_fds=[theirs.fileno()])
        self.agent = Agent(ours)
        self.killed = False
        self.verdict = None
        self.lab.say(f"{self.name}: power on, pid {self.process.pid}")
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=BOOT_TIMEOUT):
        timeout = parts.patience(timeout)
        deadline = time.monotonic() + timeout
        while not self.agent.ready.wait(1):
            if self.process.poll() is not None:
                raise HostError(f"host {self.name}: QEMU ended with {self.process.returncode}: "
                                f"{self._log_text('qemu').strip()[-500:]} {self._log_text('console')[-500:]}")
            if time.monotonic() > deadline:
                raise HostError(f"host {self.name} is not up after {timeout} s; console: "
                                f"{self._log_text('console')[-500:]}")
        self.lab.say(f"{self.name}: up")

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """Power loss. Such a host owes no verdict, but what it said before counts."""
        self.process.kill()
        self.process.wait()
        self.killed = True
        self.lab.say(f"{self.name}: killed")
        self._judge()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        self.lab.say(f"{self.name}: paused")

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
        self.lab.say(f"{self.name}: resumed")

    # -- commands -----------------------------------------------------------

    def spawn(self, line, log=None):
        """Start a command line; log: name of a file of this run that also gets what it writes."""
        path = os.path.join(self.dir, log) if log else None
        return self.agent.start(line, path)

    def run(self, line, timeout=RUN_TIMEOUT, check=True, stdin=None):
        """Run a command line to its end; the Command with .status, .text, .out and .err.

        A status other than 0 raises HostError, unless check is false.
        """
        c = self.spawn(line)
        if stdin is not None:
            c.write(stdin)
        c.close_stdin()
        try:
            c.wait(timeout)
        except TimeoutError:
            c.signal(signal.SIGKILL)
            raise
        if check and c.status:
            raise HostError(f"host {self.name}: status {c.status} from: {line}\n"
                            f"{(c.out + c.err).decode(errors='replace')[-2000:]}")
        return c

    def put(self, data, path, mode=0o644):
        """Write bytes, or the contents of a local file named by a str, to path in the host."""
        if isinstance(data, str):
            with open(data, "rb") as f:
                data = f.read()
        self.run(f"cat >'{path}' && chmod {mode:o} '{path}'", stdin=data)

    def get(self, path, to=None):
        """Bytes of a file in the host; also kept as the file to in this run's directory."""
        data = bytes(self.run(f"cat '{path}'").out)
        if to:
            with open(os.path.join(self.dir, to), "wb") as f:
                f.write(data)
        return data

    # -- verdict ------------------------------------------------------------

    def _judge(self):
        """Read the verdict port after the end; remembers and returns (good, reason)."""
        text = self._log_text("verdict").replace("\r", "")
        said = re.findall(r"^LAB-VERDICT (ok|fail ?.*)$", text, re.M)
        failed = re.findall(r"^LAB-FAIL (.*)$", text, re.M)
        if failed:
            self.verdict = (False, failed[0])
        elif self.killed:
            self.verdict = (True, "killed, clean until then")
        elif said == ["ok"]:
            self.verdict = (True, "ok")
        else:
            self.verdict = (False, said[0] if said else "no verdict")
        self.results.append(self.verdict)
        self.process = None
        return self.verdict

    def finish(self, timeout=FINISH_TIMEOUT):
        """Ask for the verdict and the end; (good, reason). A host that gives none is killed: not good."""
        if not self.process:
            return self.verdict
        try:
            self.agent.finish()
            self.process.wait(parts.patience(timeout))
        except (Gone, subprocess.TimeoutExpired):
            pass
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        return self._judge()

    def close(self):
        """End it, whatever state it is in."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
