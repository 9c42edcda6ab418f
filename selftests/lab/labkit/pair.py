# SPDX-License-Identifier: GPL-2.0
"""A protected guest on two lab hosts, with an arbiter and a client outside.

    a ---- eth0 guest network ---- b		clients: the run's namespace, 10.77.1.1
    a ---- eth1 log network ------ b		heartbeats, log
    a ---- eth2 arb network ------ b		the arbiter: the run's namespace, 10.77.3.1
"""

import json
import os
import re
import subprocess
import uuid

from . import parts

GUEST_IP = "10.77.1.50"
GUEST_PORT = 7001
ARBITER_PORT = 7470
ARBITER_NODE = "arbiter"
DAEMON_PORT = 7471
NAME = "web"
MAC = "52:54:00:77:01:50"

# How long silence lasts in the lab: hosts' clocks drift against each other (README.md).
DETECT = {"heartbeat": "100ms", "silence": "1500ms", "confirm": "750ms", "resume": "8s"}


# MiB of a host, and of its guest.
MEMORY = {"small": (1024, 128), "debian": (1280, 256)}
# A kernel that moves its stack at random reads the TSC at each system call, which is an exit and a record;
# the others save instructions that are dear here.
DEBIAN_APPEND = "randomize_kstack_offset=off init_on_alloc=0 psi=0 audit=0 "


class Pair:
    """Two hosts, their daemons, an arbiter; one guest, given by its kernel arguments and VMM options.

    guest: "small", or "debian": a Debian userland on a disk of its own, which each host has as /dev/vda and
    forgets when it loses power.
    counter: positions may be forced. Every tick of a guest that computes then is, which makes its boot longer:
    for scenarios that are not about what the guest does, False.
    host: more options of both hosts.
    """

    def __init__(self, lab, append, vmm=(), disks=(), detect=None, memory=None, guest="small",
                 counter=True, host=None):
        self.lab = lab
        self.uuid = str(uuid.uuid4())
        # the lab's counter is exact; and as its processors are slow, an input may wait longer
        self.module = "margin=10 hold_us=2000" if counter else "counter=none"
        self.detect = {**DETECT, **(detect or {})}
        self.disks = list(disks)        # local files, copied to both hosts
        self.options = [("memory", memory or MEMORY[guest][1]), ("tap", "tap0"), ("mac", MAC), ("rng", "yes"),
                        ("append", "quiet %slockstep.ip=%s/24 %s" % (DEBIAN_APPEND if guest == "debian" else "",
                                                                  GUEST_IP, append)),
                        ("serial", "file:/var/log/lockstep/serial"), *vmm]
        machine = self._debian() if guest == "debian" else {}
        self.options += [("disk", f"/var/disk{i}.img") for i in range(len(self.disks))]
        self.keys = os.path.join(lab.dir, "keys")
        self._keys()
        self.hosts = [lab.host(name, lockstep=True, files={**machine.get("files", {}), **self._files(name, other)},
                               **{"mem": MEMORY[guest][0], "icount": "shift=3",
                                  "drives": machine.get("drives", ()), **(host or {})})
                      for name, other in (("a", "b"), ("b", "a"))]
        self.a, self.b = self.hosts
        self.daemons = {}
        self.arbiter = None

    # -- configuration ------------------------------------------------------

    def _debian(self):
        """Options of the hosts of a Debian guest."""
        images = parts.images("debian")
        self.debian_keys = os.path.dirname(images["GUEST_DISK"])
        self.options += [("disk", "/dev/vda")]
        return {"files": {"guest/initrd": images["GUEST_DISK_INITRD"]},
                "drives": [f"file={images['GUEST_DISK']},format=raw,snapshot=on,cache=unsafe"]}

    def _keys(self):
        subprocess.run([parts.built("lockstepctl"), "keys", "make", self.keys, "lab", "a", "b", ARBITER_NODE],
                       check=True, stdout=subprocess.DEVNULL)

    def _write(self, name, text):
        path = os.path.join(self.lab.dir, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def _definition(self, other):
        text = f"[guest]\nuuid = {self.uuid}\npeer = {other}\nwait = yes\n[vmm]\n"
        text += "kernel = /guest/vmlinuz\ninitrd = /guest/initrd\nnet-pcap = /var/log/lockstep/net.pcap\n"
        return text + "".join(f"{k} = {v}\n" for k, v in self.options)

    def _files(self, node, other):
        net = self.lab.net
        number = {"a": 1, "b": 2}
        daemon = f"""[node]
keys = /etc/lockstep/keys
listen = {net.address('log', number[node])}:{DAEMON_PORT}
verbose = yes
[peer {other}]
address = {net.address('log', number[other])}:{DAEMON_PORT}
[arbiter {ARBITER_NODE}]
address = {net.address('arb')}:{ARBITER_PORT}
timeout = 3s
[detect]
""" + "".join(f"{k} = {v}\n" for k, v in self.detect.items())
        guest = self._definition(other)
        return {"etc/lockstep/keys": os.path.join(self.keys, node),
                "etc/lockstep/lockstepd.conf": self._write(f"lockstepd.{node}.conf", daemon),
                f"etc/lockstep/guests/{NAME}.conf": self._write(f"guest.{node}.conf", guest)}

    # -- life ---------------------------------------------------------------

    def start_arbiter(self, name="arbiter", port=ARBITER_PORT):
        """The arbiter, or another one; its store is the folder of that name."""
        arbiter = self.lab.outside(
            [parts.built("lockstep-arbiter"), "--listen", f"{self.lab.net.address('arb')}:{port}",
             "--store", os.path.join(self.lab.dir, name), "--keys", os.path.join(self.keys, ARBITER_NODE)], name)
        if port == ARBITER_PORT:
            self.arbiter = arbiter
        return arbiter

    def start_host(self, host):
        """Boot one host to where its daemon runs."""
        host.start()
        host.run(f"chmod 600 /etc/lockstep/keys/node.key && insmod /lab/lockstep.ko {self.module} && "
                 "mkdir -p /run/lockstep /var/log/lockstep /var/lib/lockstep && "
                 "ip tuntap add tap0 mode tap && ip link set tap0 master br-eth0 up")
        for i, disk in enumerate(self.disks):
            host.put(disk, f"/var/disk{i}.img")
        self._define(host)
        self.start_daemon(host)

    def _define(self, host):
        """The guest of now: what a host boots with has that of the beginning."""
        other = "b" if host is self.a else "a"
        host.put(self._definition(other).encode(), f"/etc/lockstep/guests/{NAME}.conf")

    def start_daemon(self, host):
        """Until it can be asked."""
        self.daemons[host.name] = host.spawn("exec lockstepd", log="lockstepd.log")
        host.run("n=0; until lockstepctl peers >/dev/null 2>&1 || [ $((n += 1)) -gt 100 ]; do sleep 0.1; done")

    def restart_daemon(self, host, change):
        """With a configuration that a sed expression changes."""
        host.run(f"sed -i '{change}' /etc/lockstep/lockstepd.conf")
        self.daemons[host.name].signal(15)
        self.daemons[host.name].wait(30)
        self.start_daemon(host)
        self.lab.wait_for(lambda: "event peer.up" in self.told(host), 30, f"the new daemon on {host.name}")

    def kill_daemon(self, host):
        """SIGKILL; its guest loses its daemon."""
        self.daemons[host.name].signal(9)
        self.daemons[host.name].wait(30)
        self.lab.say(f"{host.name}: lockstepd killed")

    def start(self):
        """Everything up to a protected, running guest."""
        self.start_arbiter()
        for host in self.hosts:
            self.start_host(host)
        self.start_guest()
        return self

    def again(self, start=True):
        """A new guest on the same hosts; one that was killed is booted, daemons that are gone are started."""
        self.uuid = str(uuid.uuid4())
        for host in self.hosts:
            if not host.running:
                self.start_host(host)
            pid = self.sysfs(host, "vmm_pid")
            if pid:
                host.run(f"kill -9 {pid}")
                self.lab.wait_for(lambda: self.state(host) is None, 60, "the old VMM's end")
            if not self.daemons[host.name].running:
                self.start_daemon(host)
            host.run("rm -f /var/log/lockstep/serial")
            self._define(host)
        if start:
            self.start_guest()
            self.wait_service()

    def protected(self):
        """Is it a pair, with the guest on a and its twin on b?"""
        return all(h.running for h in self.hosts) and \
            (self.state(self.a), self.state(self.b)) == ("protected-primary", "protected-backup")

    def live(self):
        """Names of the hosts whose instance may let outputs out by itself."""
        return [h.name for h in self.hosts if h.running and self.state(h) in ("solo", "live", "sync-source")]

    def start_guest(self):
        self.a.run(f"lockstepctl start {NAME}", timeout=120)
        self.wait_state(self.a, "protected-primary", 120)
        self.wait_state(self.b, "protected-backup", 120)
        self.lab.say("the guest is protected")

    def wait_service(self, timeout=300):
        """Until the guest's service accepts connections."""
        probe = ["/usr/bin/python3", "-c",
                 f"import socket; socket.create_connection(('{GUEST_IP}', {GUEST_PORT}), 2)"]

        def up():
            return self.lab.outside(probe, "probe").wait(10) == 0

        try:
            self.lab.wait_for(up, timeout, "the guest's service", interval=1)
        except TimeoutError:
            for host in self.hosts:
                self.lab.say(f"{host.name}: {self.state(host)} {self.counters(host)} {self.ask(host, 'status')}")
            self.lab.say(self.serial(self.a)[-800:].decode(errors="replace"))
            raise

    def client(self, name="client", **options):
        """A session of seqclient; options become --option value."""
        argv = [parts.built("seqclient"), "--json", "--history", os.path.join(self.lab.dir, name + ".history")]
        for k, v in options.items():
            argv += ["--" + k.replace("_", "-"), str(v)]
        return self.lab.outside([*argv, "--port", str(GUEST_PORT), GUEST_IP], name)

    def debian_client(self, kind):
        """A client of one of the Debian guest's servers (labkit/clients.py), which is also its name."""
        return self.lab.outside(
            ["/usr/bin/python3", os.path.join(parts.LAB, "labkit/clients.py"), kind, GUEST_IP, "--keys", self.debian_keys,
             "--history", os.path.join(self.lab.dir, kind + ".history")], kind)

    def replies(self, name="client"):
        """How many replies a session has had so far."""
        try:
            with open(os.path.join(self.lab.dir, name + ".history")) as f:
                return sum(1 for _ in f)
        except FileNotFoundError:
            return 0

    # -- what is seen -------------------------------------------------------

    def sysfs(self, host, path):
        c = host.run(f"cat /sys/kernel/lockstep/{NAME}/{path}", check=False)
        return c.text.strip() if c.status == 0 else None

    def told(self, host):
        """What a host's daemon has written."""
        c = self.daemons[host.name]
        return (c.out + c.err).decode(errors="replace")

    def state(self, host):
        return self.sysfs(host, "state")

    def counters(self, host):
        text = host.run(f"cd /sys/kernel/lockstep/{NAME}/counters && grep . *").text
        return {k: int(v) for k, v in (line.split(":") for line in text.split())}

    def wait_state(self, host, state, timeout):
        wanted = [state] if isinstance(state, str) else state
        try:
            self.lab.wait_for(lambda: self.state(host) in wanted, timeout,
                              f"state {state} on host {host.name}", interval=0.5)
        except TimeoutError:
            self.lab.say(f"{host.name} is {self.state(host)}; its daemon said:")
            self.lab.say(self.told(host)[-1500:])
            raise

    def status(self, host):
        return json.loads(host.run("lockstepctl status --json").text)

    def serial(self, host):
        return host.get("/var/log/lockstep/serial")

    def ask(self, host, command, timeout=300):
        """A command for the VMM's control socket; its answer."""
        c = host.run(f"lockstep-vmm --control /run/lockstep/{NAME}.vmm --ask '{command}'", timeout=timeout,
                     check=False)
        return json.loads(c.text) if c.text.strip() else {"ok": False, "error": f"status {c.status}"}

    @staticmethod
    def result(client):
        """What seqclient printed."""
        found = re.findall(r"^\{.*\}$", client.text, re.M)
        return json.loads(found[-1]) if found else {}
