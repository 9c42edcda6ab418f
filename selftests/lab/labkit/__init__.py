# SPDX-License-Identifier: GPL-2.0
"""The lab: hosts in QEMU, networks between them, scenarios that print TAP.

README.md in the folder above describes it. A scenario is a Python file:

    from labkit import scenario

    def main(lab):
        a = lab.host("a").start()
        lab.ok(a.run("uname -r").text.startswith("6.1."), "the host's kernel is Debian's")

    scenario(main)
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from . import parts                                     # noqa: F401
from .agent import Gone                                 # noqa: F401
from .host import Host, HostError                       # noqa: F401
from .net import Net, NetError, start                   # noqa: F401

# Three lengths of a scenario: LONG in make check-long; on other kernels than the usual one BRIEF, in
# make check-long neither. The debug kernel is slow: BRIEF.
OTHER_KERNEL = os.environ.get("LAB_KERNEL", "6.1") != "6.1"
LONG = bool(os.environ.get("LOCKSTEP_LONG")) and not OTHER_KERNEL
BRIEF = OTHER_KERNEL and (parts.DEBUG_KERNEL or not os.environ.get("LOCKSTEP_LONG"))


class Stop(Exception):
    """Ends the scenario; its reason is a failed test."""


class Outside:
    """A program outside the lab hosts, in the run's network namespace."""

    def __init__(self, lab, argv, name, ns=None):
        self.path = os.path.join(lab.dir, name + ".log")
        self.name = name
        with open(self.path, "ab") as out:
            self.process = start(lab.net.command(argv, ns), stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    @property
    def running(self):
        return self.process.poll() is None

    @property
    def text(self):
        with open(self.path, errors="replace") as f:
            return f.read()

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout):
        """Its exit status (negative: a signal); TimeoutError."""
        timeout = parts.patience(timeout)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"no end of {self.name} after {timeout} s") from None

    def stop(self, timeout=10):
        """SIGTERM, then SIGKILL; its exit status."""
        if self.running:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


class Lab:
    """One run: its directory, its networks, its hosts, its test points."""

    def __init__(self, name, nets=("guest", "log", "arb"), keep=False):
        self.name = name
        self.began = time.monotonic()
        self.hosts = {}
        self.count = 0
        self.failed = 0
        self._lock = threading.Lock()   # of the two, and of what is printed: hosts may be worked with in parallel
        self._keep = keep
        self._outside = []
        self.dir = tempfile.mkdtemp(prefix=f"lockstep-lab-{name}-")
        try:
            self.net = Net(nets)
        except NetError:
            os.rmdir(self.dir)
            raise

    # -- test points --------------------------------------------------------

    def say(self, text):
        """A line of progress."""
        with self._lock:
            for line in str(text).splitlines() or [""]:
                print(f"# [{time.monotonic() - self.began:7.1f}] {line}", flush=True)

    def ok(self, good, name, *why):
        """A test point; why is told when it is not good. Returns good as a bool."""
        with self._lock:
            self.count += 1
            if not good:
                self.failed += 1
            print(f"{'ok' if good else 'not ok'} {self.count} - {name}", flush=True)
            for text in why if not good else ():
                for line in str(text).splitlines():
                    print(f"#   {line}", flush=True)
        return bool(good)

    def equal(self, got, wanted, name):
        return self.ok(got == wanted, name, f"wanted {wanted!r}", f"got    {got!r}")

    def skip(self, name, why):
        with self._lock:
            self.count += 1
            print(f"ok {self.count} - {name} # SKIP {why}", flush=True)

    def need(self, good, name, *why):
        """A test point without which the rest makes no sense."""
        if not self.ok(good, name, *why):
            raise Stop

    def wait_for(self, condition, timeout, what, interval=0.2):
        """Wait until condition() is true and return its value; TimeoutError says what did not come."""
        timeout = parts.patience(timeout)
        deadline = time.monotonic() + timeout
        told = time.monotonic()
        while True:
            value = condition()
            if value:
                return value
            now = time.monotonic()
            if now > deadline:
                raise TimeoutError(f"{timeout} s without: {what}")
            if now - told > 15:
                self.say(f"waiting for {what}")
                told = now
            time.sleep(interval)

    def settle(self, look, seconds):
        """Watch what look() returns for that long; True if it stayed the same. For what must not happen."""
        first, end = look(), time.monotonic() + seconds
        while time.monotonic() < end:
            if look() != first:
                return False
            time.sleep(0.2)
        return True

    def elapse(self, seconds):
        """Let time pass, where the moment itself is what a test chooses (a fault at a random time)."""
        time.sleep(seconds)

    # -- hosts --------------------------------------------------------------

    def host(self, name, **options):
        """Describe a lab host; start() powers it on.

        mem MiB (1024); icount 'shift=0', other QEMU options, or None (no
        counters); cpu 'max'; smp 1; nets: the lab's networks it is on, in the
        order eth0, eth1... (all); bridge: those whose device is a port of a
        bridge br-ethN in the host ('guest'); files: {path in the host: local
        file or folder}; programs: local programs that go to /usr/sbin with
        their libraries, or (path, local program); modules: loaded at start
        ('name parameter=...'); drives: QEMU -drive options without if= and
        id=; allow: regular expressions of kernel log lines to forgive; kernel:
        series; append: more kernel arguments; qemu: more QEMU arguments.
        lockstep: put lockstep-vmm, lockstepd, lockstepctl, /lab/lockstep.ko,
        /guest/vmlinuz and /guest/initrd there.
        """
        host = self.hosts[name] = Host(self, name, len(self.hosts) + 1, **options)
        return host

    built = staticmethod(parts.built)

    # -- networks -----------------------------------------------------------

    def link_cut(self, host, net):
        self.net.cut(host.name, net)
        self.say(f"{host.name}: link {net} cut")

    def link_restore(self, host, net):
        self.net.restore(host.name, net)
        self.say(f"{host.name}: link {net} restored")

    def _qdisc(self, host, net, spec):
        dev = f"eth{host.nets.index(net)}"
        host.run(f"tc qdisc {'replace' if spec else 'del'} dev {dev} root {spec}")
        self.say(f"{host.name}: {net}: {spec or 'as fast as it is'}")

    def netem(self, host, net, spec):
        """Delay, loss and the like on what a host sends ('delay 10ms', 'loss 100%', '' for none)."""
        self._qdisc(host, net, spec and "netem " + spec)

    def deaf(self, host, net, deaf=True):
        """Nothing that others send arrives at a host; what it sends does: the other way of a one-way link."""
        dev = f"eth{host.nets.index(net)}"
        if deaf:
            host.run(f"tc qdisc add dev {dev} ingress && tc filter add dev {dev} parent ffff: matchall action drop")
        else:
            host.run(f"tc qdisc del dev {dev} ingress")
        self.say(f"{host.name}: {'deaf on' if deaf else 'hears again on'} {net}")

    def capture_start(self, host, net):
        """Capture what passes a host's tap; the path of the pcap file."""
        dev = self.net.tap(host.name, net)
        path = os.path.join(self.dir, dev + ".pcap")
        self.net.capture_start(dev, path)
        return path

    def capture_stop(self, host, net):
        """Returns the frames captured; frames lost by the capture itself end the scenario."""
        captured, dropped = self.net.capture_stop(f"{host.name}-{net}")
        if dropped:
            raise HostError(f"capture at {host.name}-{net} lost {dropped} frames")
        return captured

    def outside(self, argv, name=None, ns=None):
        """Start a program in the run's namespace; an Outside."""
        o = Outside(self, argv, name or os.path.basename(argv[0]), ns)
        self._outside.append(o)
        return o

    # -- end ----------------------------------------------------------------

    def verdicts(self):
        """A test point for each host: every one of its starts has to end well."""
        for host in self.hosts.values():
            if host.process:
                host.finish()
            bad = [f"start {i}: {reason}" for i, (good, reason) in enumerate(host.results, 1) if not good]
            if host.results:
                self.ok(not bad, f"verdict of host {host.name}", *bad, *self._tail(host))

    def _tail(self, host):
        text = (host._log_text("qemu") + host._log_text("console")).splitlines()[-15:]
        return ["console of host " + host.name + ":"] + text if text else []

    def close(self):
        for o in self._outside:
            if o.running:
                o.process.kill()
                o.process.wait()
        for host in self.hosts.values():
            host.close()
        self.net.close()
        if self.failed or self._keep:
            self.say(f"logs kept in {self.dir}")
        else:
            shutil.rmtree(self.dir)


def _terminate(number, frame):
    raise SystemExit(128 + number)


def scenario(main, nets=("guest", "log", "arb"), **lab_options):
    """Run main(lab) as a program that prints TAP; ends the process.

    Exit status: 0 all good, 1 something failed, 2 it could not start.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the logs of a good run too")
    args = parser.parse_args()
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    try:
        lab = Lab(name, nets, keep=args.keep or bool(os.environ.get("LAB_KEEP")), **lab_options)
    except NetError as e:
        print(f"{name}: {e}", file=sys.stderr)
        sys.exit(2)
    try:
        main(lab)
        lab.verdicts()
    except Stop:
        pass
    except (Exception, KeyboardInterrupt) as e:
        trace = traceback.format_exc() if not isinstance(e, (HostError, TimeoutError, Gone)) else ""
        lab.ok(False, f"{name} ran to its end", f"{type(e).__name__}: {e}", trace)
        for host in lab.hosts.values():
            if host.process:
                lab.say("\n".join(lab._tail(host)))
    except SystemExit:
        lab.ok(False, f"{name} ran to its end", "it was terminated")
    finally:
        lab.close()
    print(f"1..{lab.count}", flush=True)
    sys.exit(1 if lab.failed or not lab.count else 0)
