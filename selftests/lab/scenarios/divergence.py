#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A guest that takes a random number from the CPU, unseen by the log, makes its twin diverge: that is
found, reported with position, expected and found; the twin never goes live, and the primary goes on."""

from labkit import scenario
from labkit.pair import Pair


def main(lab):
    pair = Pair(lab, "lockstep.run=seqd,rdrand:20").start()
    pair.wait_service()
    client = pair.client(time=3600, interval=100, silence=120)
    lab.wait_for(lambda: pair.replies() > 5, 60, "the first replies")
    pair.wait_state(pair.a, "solo", 180)
    lab.wait_for(lambda: pair.state(pair.b) in (None, "diverged", "halted"), 30, "the twin's end")
    lab.ok(True, "the primary lives, the twin that diverged does not")
    log = pair.b.run("dmesg").text
    told = [line for line in log.splitlines() if "diverged" in line]
    lab.ok(told and "expected" in told[0] and "found" in told[0] and "count" in told[0],
           "position, expected and found are reported", log[-500:])
    lab.say(told[0] if told else "")
    events = pair.told(pair.b)
    lab.ok("diverge" in events, "the daemon reports it as an event", events[-800:])
    before = pair.replies()
    lab.wait_for(lambda: pair.replies() > before + 20, 90, "replies of the primary")
    client.signal(2)
    lab.equal(client.wait(60), 0, "the client's session went on")
    lab.ok("b" not in pair.live(), "the twin never went live", pair.live())
    lab.ok(b"rdrand:" in pair.serial(pair.a), "the guest did what was not allowed")


scenario(main)
