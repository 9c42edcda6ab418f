#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A lab host boots, has KVM with nested paging, runs commands, moves files, and gives a good verdict."""

import os

from labkit import scenario

ECHO = """
import socket, sys
s = socket.create_connection((sys.argv[1], 7), 20)
s.sendall(b"there and back")
s.shutdown(socket.SHUT_WR)
sys.exit(s.makefile("rb").read() != b"there and back")
"""


def main(lab):
    a = lab.host("a")
    a.start()
    lab.equal(a.run("uname -r").text.strip(), a.kernel["KVER"], "the host runs Debian's kernel")
    lab.equal(a.run("cat /sys/module/kvm_amd/parameters/npt").text.strip(), "Y", "kvm-amd has nested paging")
    lab.equal(a.run("exit 7", check=False).status, 7, "an exit status comes back")
    lab.equal(a.run("kill -9 $$", check=False).status, 137, "so does a signal")
    data = os.urandom(3000000)
    a.put(data, "/tmp/blob")
    lab.equal(a.get("/tmp/blob"), data, "a binary file goes there and back")
    many = [a.spawn(f"cat >/dev/null; echo {i}") for i in range(8)]
    for c in many:
        c.close_stdin()
    lab.equal([int(c.text) for c in many if c.wait(60) == 0], list(range(8)), "commands run side by side")
    for net in lab.net.names:
        echo = a.spawn("nc -l -p 7 -e cat")
        lab.wait_for(lambda: a.run("ss -Hltn sport = 7").text, 20, "the echo service")
        p = lab.outside(["/usr/bin/python3", "-c", ECHO, a.address(net)], f"echo-{net}")
        lab.equal(p.wait(30), 0, f"the outside reaches the host on network {net}")
        echo.wait(30)


scenario(main)
