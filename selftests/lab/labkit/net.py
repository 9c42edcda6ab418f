# SPDX-License-Identifier: GPL-2.0
"""Networks of one lab run, in a network namespace of its own.

    network namespace lab-PID-N
      +- bridge guest 10.77.1.1 --- tap a-guest (eth0 of host a), tap b-guest ...
      +- bridge log   10.77.2.1 --- tap a-log   (eth1 of host a), tap b-log ...
      +- bridge arb   10.77.3.1 --- tap a-arb   (eth2 of host a), tap b-arb ...

Host number n has address .10+n on each. Programs outside the lab hosts
(arbiter, client) run in the namespace; more places hang on by veth.
"""

import concurrent.futures
import os
import re
import signal
import subprocess

_serial = 0


# A child dies with the thread that started it (PR_SET_PDEATHSIG), so one thread that lives as long as
# this process starts them all.
_starter = concurrent.futures.ThreadPoolExecutor(max_workers=1)


def start(argv, **popen):
    """subprocess.Popen of something that must not outlive this process, however it ends."""
    argv = ["setpriv", "--pdeathsig", "KILL"] + argv
    return _starter.submit(subprocess.Popen, argv, start_new_session=True, **popen).result()


class NetError(Exception):
    pass


def _ip(*args, ns=None):
    cmd = ["ip"] + (["-n", ns] if ns else []) + list(args)
    p = subprocess.run(cmd, capture_output=True, text=True)
    if p.returncode:
        raise NetError(f"{' '.join(cmd)}: {p.stderr.strip()}")
    return p.stdout


def sweep():
    """Remove namespaces of runs that were killed before they could clean up."""
    try:
        names = os.listdir("/run/netns")
    except FileNotFoundError:
        return
    for name in names:
        m = re.fullmatch(r"lab-(\d+)-\d+", name)
        if m and not os.path.exists(f"/proc/{m[1]}"):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


class Net:
    """The namespace and what is in it."""

    def __init__(self, names):
        global _serial
        _serial += 1
        self.names = list(names)
        self.ns = f"lab-{os.getpid()}-{_serial}"
        self._captures = {}
        sweep()
        try:
            _ip("netns", "add", self.ns)
        except (NetError, FileNotFoundError) as e:
            raise NetError(f"cannot make a network namespace, which needs root "
                           f"(CAP_SYS_ADMIN and CAP_NET_ADMIN): {e}") from e
        try:
            _ip("link", "set", "lo", "up", ns=self.ns)
            for name in self.names:
                _ip("link", "add", name, "type", "bridge", "forward_delay", "0",
                    "mcast_snooping", "0", ns=self.ns)
                _ip("addr", "add", f"{self.address(name)}/24", "dev", name, ns=self.ns)
                _ip("link", "set", name, "up", ns=self.ns)
        except NetError:
            self.close()
            raise

    def address(self, net, number=None):
        """Address on a network: of the outside (the bridge), or of host number."""
        return f"10.77.{self.names.index(net) + 1}.{1 if number is None else 10 + number}"

    def tap(self, host, net):
        """The tap of a host on a network, made when it is not there; its name."""
        name = f"{host}-{net}"
        if len(name) > 15:
            raise NetError(f"interface name {name} is too long: choose a shorter host name")
        if name not in _ip("-o", "link", "show", ns=self.ns):
            _ip("tuntap", "add", name, "mode", "tap", ns=self.ns)
            _ip("link", "set", name, "master", net, "up", ns=self.ns)
        return name

    def cut(self, host, net):
        """No frame passes in either direction; the host's device does not notice, as behind a dead switch."""
        _ip("link", "set", f"{host}-{net}", "down", ns=self.ns)

    def restore(self, host, net):
        _ip("link", "set", f"{host}-{net}", "up", ns=self.ns)

    def place(self, name, net, address):
        """A further namespace (a client elsewhere), on a network by veth; its name."""
        ns = f"{self.ns}-{name}"
        _ip("netns", "add", ns)
        _ip("link", "set", "lo", "up", ns=ns)
        _ip("link", "add", f"p-{name}", "type", "veth", "peer", "name", "eth0", "netns", ns, ns=self.ns)
        _ip("link", "set", f"p-{name}", "master", net, "up", ns=self.ns)
        _ip("addr", "add", f"{address}/24", "dev", "eth0", ns=ns)
        _ip("link", "set", "eth0", "up", ns=ns)
        return ns

    def command(self, argv, ns=None):
        """argv as it has to be written to run in the namespace."""
        return ["ip", "netns", "exec", ns or self.ns] + list(argv)

    def capture_start(self, dev, path):
        """Capture what comes out of device dev (a tap: what its host sends) to a pcap; returns when it listens."""
        p = start(self.command(["tcpdump", "-i", dev, "-Q", "in", "-U", "-n", "-s", "0", "-B", "16384",
                                "--immediate-mode", "-Z", "root", "-w", path]),
                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        line = p.stderr.readline()
        if "listening on" not in line:
            p.kill()
            raise NetError(f"tcpdump on {dev}: {line.strip() or p.stderr.read().strip()}")
        self._captures[dev] = p

    def capture_stop(self, dev):
        """End a capture; returns tcpdump's own count of frames captured and dropped by the kernel."""
        p = self._captures.pop(dev)
        p.send_signal(signal.SIGINT)
        text = p.stderr.read()
        p.wait()
        numbers = {k: int(n) for n, k in re.findall(r"(\d+) packets? (captured|dropped by kernel)", text)}
        return numbers.get("captured", 0), numbers.get("dropped by kernel", 0)

    def close(self):
        for dev in list(self._captures):
            self.capture_stop(dev)
        try:
            names = [n for n in os.listdir("/run/netns") if n == self.ns or n.startswith(self.ns + "-")]
        except FileNotFoundError:
            names = []
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
