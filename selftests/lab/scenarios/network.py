#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The lab's networks and faults do what they say: cuts, one-way links, delay, captures, power loss, pauses."""

import struct

from labkit import scenario


def reaches(host, address):
    """Does an echo request come back within two seconds?"""
    return host.run(f"ping -c 1 -W 2 -q {address}", check=False).status == 0


def frames(path):
    """Number of frames in a pcap file."""
    with open(path, "rb") as f:
        data = f.read()
    at, count = 24, 0
    while at + 16 <= len(data):
        at += 16 + struct.unpack_from("<I", data, at + 8)[0]
        count += 1
    return count


def cuts(lab, a, b):
    for net in ("log", "arb"):
        lab.ok(reaches(a, b.address(net)), f"a reaches b on {net}")
    lab.link_cut(a, "log")
    lab.ok(not reaches(a, b.address("log")), "not any more when its cable to log is cut")
    lab.ok(not reaches(a, lab.net.address("log")), "nor the outside there")
    lab.ok(reaches(a, b.address("arb")), "but still on arb")
    lab.link_restore(a, "log")
    lab.ok(reaches(a, b.address("log")), "and again when it is restored")


def one_way(lab, a, b):
    path = lab.capture_start(b, "log")
    lab.netem(a, "log", "loss 100%")
    lab.ok(not reaches(b, a.address("log")), "a one-way link answers nothing")
    lab.ok(lab.capture_stop(b, "log") > 0, "though b sends on it")
    lab.ok(frames(path) > 0, "as the capture shows")
    lab.netem(a, "log", "delay 300ms")
    c = a.run(f"ping -c 3 -q {b.address('log')}")
    least = float(c.text.rsplit("=", 1)[1].split("/")[0])
    lab.ok(least >= 300, "a delay is a delay", f"{least} ms")
    lab.netem(a, "log", "")


def faults(lab, a, b):
    b.pause()
    lab.ok(not reaches(a, b.address("log")), "a paused host answers nothing")
    b.resume()
    lab.wait_for(lambda: reaches(a, b.address("log")), 30, "b's answer")
    lab.ok(True, "and answers again when it is resumed")
    b.run("echo here >/tmp/file")
    b.kill()
    lab.ok(not reaches(a, b.address("log")), "a killed host is gone")
    b.start()
    lab.ok(b.run("cat /tmp/file", check=False).status != 0, "and comes back empty")
    lab.ok(reaches(a, b.address("log")), "in its old place")


def client(lab, a):
    """The sequence service in a host, the client outside, a cut in between."""
    a.spawn("seqd")
    c = lab.outside([lab.built("seqclient"), "--wait", "20", "--time", "12", a.address("guest")])
    lab.wait_for(lambda: "connected" in c.text, 30, "the session")
    lab.link_cut(a, "guest")
    lab.ok(not reaches(a, lab.net.address("guest")), "the client's way is cut")
    lab.link_restore(a, "guest")
    lab.equal(c.wait(60), 0, "its session survives that")
    lab.say(c.text)


def main(lab):
    a = lab.host("a", programs=[lab.built("seqd")]).start(wait=False)
    b = lab.host("b").start(wait=False)
    a.wait_ready()
    b.wait_ready()
    cuts(lab, a, b)
    one_way(lab, a, b)
    faults(lab, a, b)
    client(lab, a)


scenario(main)
