# SPDX-License-Identifier: GPL-2.0
"""Clients of the Debian guest's servers, and the program each of them is, outside.

    /usr/bin/python3 labkit/clients.py http|redis|ssh ADDRESS --history FILE [--keys DIR]

One connection each, never made again. It works until SIGINT, then asks for all it was ever told was
done, and prints one line of JSON. A line of its history is number, ns sent, ns answered (CLOCK_MONOTONIC).
Exit status: 0 all is there and as it was written, 1 not so, 2 wrong usage."""

import argparse
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time

DOWNLOAD = 256 << 10    # bytes of /data
PATIENCE = 120          # seconds without an answer are a failure
KINDS = ("ssh", "http", "redis")


class Wrong(Exception):
    """An answer that is not what it has to be."""


def content(name, size):
    """Bytes that both ends can make and that differ from name to name."""
    blocks = (hashlib.sha256(f"{name} {i}".encode()).digest() for i in range((size + 31) // 32))
    return b"".join(blocks)[:size]


def need(good, what, got):
    if not good:
        raise Wrong(f"{what}: {str(got)[:200]}")


class Http:
    """Uploads files of many sizes and downloads them again, over one kept-alive connection."""

    interval = 0.1

    def __init__(self, args):
        self.c = http.client.HTTPConnection(args.address, timeout=PATIENCE)
        self.c.connect()
        self.c.auto_open = 0

    @staticmethod
    def upload(n):
        return content(f"upload {n}", 1000 + n * 7919 % 48000)

    def ask(self, method, path, body, status):
        self.c.request(method, path, body)
        answer = self.c.getresponse()
        data = answer.read()
        need(answer.status == status, f"{method} {path} has status {answer.status}", data)
        return data

    def download(self, path, wanted):
        data = self.ask("GET", path, None, 200)
        need(data == wanted, f"{path} holds {len(data)} bytes, {len(wanted)} wanted, or other ones", data[:50])

    def step(self, n):
        data = self.upload(n)
        self.ask("PUT", f"/up/{n}", data, 201)
        self.download(f"/up/{n}", data)
        if n % 10 == 0:
            self.download("/data", content("data", DOWNLOAD))

    def verify(self, count):
        for n in range(count):
            self.download(f"/up/{n}", self.upload(n))


class Redis:
    """Appends rows to a list whose length it is told each time."""

    interval = 0.05

    def __init__(self, args):
        self.s = socket.create_connection((args.address, 6379), PATIENCE)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.f = self.s.makefile("rb")

    def ask(self, *words):
        words = [w.encode() for w in words]
        self.s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self.answer()

    def answer(self):
        line = self.f.readline()
        need(line.endswith(b"\r\n") and line[:1] in b"+:$*", "redis answers", line or "end of the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self.f.read(int(rest) + 2)[:-2].decode()
        return [self.answer() for _ in range(int(rest))]

    @staticmethod
    def row(n):
        return f"{n} {hashlib.sha256(b'row %d' % n).hexdigest()}"

    def step(self, n):
        got = self.ask("RPUSH", "rows", self.row(n))
        need(got == n + 1, f"the length after row {n}", got)

    def verify(self, count):
        rows = self.ask("LRANGE", "rows", "0", "-1")
        need(rows == [self.row(n) for n in range(count)], f"rows, {count} wanted", f"{len(rows)} or others")
        info = self.ask("INFO", "persistence")
        need("aof_enabled:1" in info and "aof_last_write_status:ok" in info, "the append-only file", info)


class Ssh:
    """A shell, kept open, that numbers lines in a file and on the screen."""

    interval = 0.05

    def __init__(self, args):
        options = {"BatchMode": "yes", "IdentitiesOnly": "yes", "HostKeyAlias": "guest", "ConnectTimeout": "60",
                   "UserKnownHostsFile": os.path.join(args.keys, "known_hosts"), "LogLevel": "ERROR"}
        argv = ["ssh", "-F", "none", "-T", "-i", os.path.join(args.keys, "disk-key")]
        argv += [f"-o{k}={v}" for k, v in options.items()]
        self.p = subprocess.Popen([*argv, f"root@{args.address}", "exec /bin/sh"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, start_new_session=True)
        need(self.run("cat /proc/1/comm") == ["systemd"], "the guest's PID 1 is systemd", "it is not")
        self.run("while [ $(systemctl is-system-running) = starting ]; do sleep 1; done")
        self.about = dict(zip(("kernel", "system", "state"), self.run(
            "uname -r; sed -n 's/^PRETTY_NAME=//p' /etc/os-release; systemctl is-system-running")))

    def run(self, line):
        """Lines a command writes."""
        self.p.stdin.write(f"{line}\necho .\n".encode())
        self.p.stdin.flush()
        lines = []
        while True:
            got = self.p.stdout.readline().decode()
            need(got.endswith("\n"), "the shell answers", got or "end of the session")
            if got == ".\n":
                return lines
            lines.append(got[:-1])

    def step(self, n):
        got = self.run(f"echo {n} >>/root/lines && echo {n}")
        need(got == [str(n)], f"line {n}", got)

    def verify(self, count):
        """From the disk, not from the guest's memory."""
        got = self.run("sync; echo 3 >/proc/sys/vm/drop_caches; cat /root/lines")
        need(got == [str(n) for n in range(count)], f"lines, {count} wanted", f"{len(got)} or others")
        got = self.run("systemctl is-active ssh nginx redis-server")
        need(got == ["active"] * 3, "the servers are active", got)
        got = self.run("journalctl -q -k -p err")
        need(not got, "the guest's kernel has no complaint", "\n".join(got))


def work(client, history):
    stop = []
    signal.signal(signal.SIGINT, lambda number, frame: stop.append(number))
    count, longest, took = 0, 0, []
    while not stop:
        sent = time.monotonic_ns()
        client.step(count)
        answered = time.monotonic_ns()
        print(count, sent, answered, file=history, flush=True)
        took.append(answered - sent)
        count += 1
        time.sleep(max(0, client.interval - (answered - sent) / 1e9))
    client.verify(count)
    took.sort()
    longest = took[-1] if took else 0
    return {"good": True, "count": count, "longest_ms": round(longest / 1e6, 1),
            "p50_ms": round(took[len(took) // 2] / 1e6, 1) if took else None, **getattr(client, "about", {})}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", choices=KINDS)
    parser.add_argument("address", nargs="?")
    parser.add_argument("--history")
    parser.add_argument("--keys", help="folder of disk-key and known_hosts")
    parser.add_argument("--data", action="store_true", help="write the bytes of /data and end")
    args = parser.parse_args()
    if args.data:
        sys.stdout.buffer.write(content("data", DOWNLOAD))
        return 0
    if not args.kind or not args.address or not args.history:
        parser.error("kind, address and --history are needed")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with open(args.history, "w") as history:
            result = work({"ssh": Ssh, "http": Http, "redis": Redis}[args.kind](args), history)
    except (Wrong, OSError, http.client.HTTPException, ValueError) as e:
        result = {"good": False, "why": f"{type(e).__name__}: {e}"}
    print(json.dumps(result), flush=True)
    return 0 if result["good"] else 1


if __name__ == "__main__":
    sys.exit(main())
