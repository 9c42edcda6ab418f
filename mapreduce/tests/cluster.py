# SPDX-License-Identifier: GPL-2.0
"""A cluster on one machine, for tests: each node has a network namespace, keys, state and a lockstepd.

    namespace lab-PID-N, bridge "nodes" 10.77.1.1
      +- lab-PID-N-a   10.77.1.10   lockstepd -> mrnode -> mrworker ...
      +- lab-PID-N-b   10.77.1.11   ...

They share the file system, so a node's outputs and state lie in folders of its own. No node has
the module: it does MapReduce only.
"""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "selftests", "lab"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from labkit import net  # noqa: E402
from mrjob import Failure, until  # noqa: E402

BUILD = os.environ.get("MR_BUILD", os.path.join(ROOT, "build", "mapreduce"))
DAEMON = os.path.join(ROOT, "build", "daemon")    # it locks its memory, which no sanitizer survives
MRCTL = os.environ.get("MRCTL", os.path.join(ROOT, "build", "tools", "mrctl"))
CTL = os.path.join(ROOT, "build", "tools", "lockstepctl")
USER = "nobody"


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(p) for p in f.read().split()]
    except FileNotFoundError:
        return []


def program(pid):
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except FileNotFoundError:
        return ""


class Node:
    def __init__(self, cluster, name, address, ns):
        self.cluster, self.name, self.address, self.ns = cluster, name, address, ns
        self.dir = os.path.join(cluster.dir, name)
        self.socket = os.path.join(self.dir, "run", "node.sock")
        self.daemon = None

    def configure(self, names, slots, silence):
        peers = "".join(f"[peer {p}]\naddress = {self.cluster.address(p)}:7471\n\n" for p in names if p != self.name)
        with open(os.path.join(self.dir, "lockstepd.conf"), "w") as f:
            f.write(f"""[node]
keys = {self.cluster.dir}/keys/{self.name}
socket = {self.dir}/lockstepd.sock
listen = {self.address}:7471

{peers}[guests]
run = {self.dir}
logs = {self.dir}

[mapreduce]
listen = {self.address}:7472
http = {self.address}:8080
slots = {slots}
memory = 32M
silence = {silence}
user = {USER}
run = {self.dir}/run
state = {self.dir}/state
programs = {BUILD}
""")

    def start(self):
        log = open(os.path.join(self.dir, "log"), "ab")
        self.daemon = net.start(self.cluster.net.command(
            [os.path.join(DAEMON, "lockstepd"), "--config", os.path.join(self.dir, "lockstepd.conf")], self.ns),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()

    def stop(self, sig=signal.SIGKILL):
        if self.daemon:
            self.daemon.send_signal(sig)
            self.daemon.wait()
            self.daemon = None

    def mrnode(self):
        """The process that carries MapReduce, or None."""
        for pid in children(self.daemon.pid) if self.daemon else []:
            if program(pid) == "mrnode":
                return pid
        return None

    def workers(self):
        pid = self.mrnode()
        return [p for p in children(pid) if program(p) == "mrworker"] if pid else []

    def cut(self):
        net._ip("link", "set", f"p-{self.name}", "down", ns=self.cluster.net.ns)

    def heal(self):
        net._ip("link", "set", f"p-{self.name}", "up", ns=self.cluster.net.ns)

    def log(self):
        try:
            with open(os.path.join(self.dir, "log"), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def mrctl(self, *args, check=True, timeout=120):
        p = subprocess.run([MRCTL] + list(args), capture_output=True, text=True, timeout=timeout,
                           env=dict(os.environ, MRCTL_SOCKET=self.socket))
        if check and p.returncode:
            raise Failure(f"mrctl {' '.join(args)} on {self.name}: exit status {p.returncode}: {p.stderr.strip()}")
        return p

    def http(self, path):
        """What the status page's server answers, asked from the node itself."""
        code = "import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1]).read().decode())"
        p = subprocess.run(self.cluster.net.command([sys.executable, "-c", code, f"http://{self.address}:8080{path}"],
                                                    self.ns), capture_output=True, text=True)
        if p.returncode:
            raise Failure(f"{path} on {self.name}: {p.stderr.strip().splitlines()[-1]}")
        return p.stdout

    def status(self, job):
        return json.loads(self.mrctl("status", "--json", job).stdout)


class Cluster:
    def __init__(self, names="abc", slots=2, silence="2s"):
        self.dir = tempfile.mkdtemp(prefix="mr-cluster-")
        os.chmod(self.dir, 0o755)
        self.net = net.Net(["nodes"])
        self.names = list(names)
        self.nodes = {}
        try:
            subprocess.run([CTL, "keys", "make", os.path.join(self.dir, "keys"), "test"] + self.names,
                           check=True, capture_output=True)
            for name in self.names:
                ns = self.net.place(name, "nodes", self.address(name))
                node = Node(self, name, self.address(name), ns)
                os.mkdir(node.dir, 0o755)
                node.configure(self.names, slots, silence)
                self.nodes[name] = node
            for node in self.nodes.values():
                node.start()
            self.wait_up()
        except BaseException:
            sys.stderr.write(self.logs())
            self.close()
            raise

    def address(self, name):
        return self.net.address("nodes", self.names.index(name))

    def __getitem__(self, name):
        return self.nodes[name]

    def wait_up(self):
        """Every node's process is there and sees all others."""
        def up(node):
            if not os.path.exists(node.socket):
                return False
            p = node.mrctl("nodes", "--json", check=False)
            return p.returncode == 0 and all(n["up"] for n in json.loads(p.stdout))
        for node in self.nodes.values():
            until(lambda n=node: up(n), f"{node.name} sees all nodes")

    def folder(self, name):
        """A folder that jobs may write to."""
        path = os.path.join(self.dir, name)
        os.makedirs(path, exist_ok=True)
        pw = pwd.getpwnam(USER)
        os.chown(path, pw.pw_uid, pw.pw_gid)
        return path

    def logs(self):
        return "".join(f"--- {n.name}\n{n.log()}" for n in self.nodes.values())

    def close(self):
        for node in self.nodes.values():
            node.stop()
        self.net.close()
        # what was a child of a killed process may still be writing for a moment
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(self.dir, ignore_errors=True)
