#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The primary's host loses power at a random time while a client outside talks to the guest: its TCP
session goes on, nothing acknowledged is lost or reordered, every frame that left the old primary is in the
survivor's history. FAILOVER_RUNS (5), FAILOVER_SEED (random, printed; the same seed repeats the times)."""

import os
import random

from labkit import scenario, wire
from labkit.pair import MAC, Pair

RUNS = int(os.environ.get("FAILOVER_RUNS", "5"))
SEED = int(os.environ.get("FAILOVER_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
DUPLICATES = 256


def history(lab, pair, number):
    """All frames the survivor's guest has made, as its VMM recorded them."""
    path = os.path.join(lab.dir, f"history-{number}.pcap")
    with open(path, "wb") as f:
        f.write(pair.b.get("/var/log/lockstep/net.pcap"))
    return wire.sent_by(wire.frames(path), MAC)


def judge(lab, pair, number, captures):
    """Taps are the ground truth: what left each host against what the survivor's guest has made."""
    made = history(lab, pair, number)
    left, later = (wire.sent_by(wire.frames(captures[h.name]), MAC) for h in pair.hosts)
    at = wire.place(left, made)
    lab.ok(at is not None, f"run {number}: all {len(left)} frames that left the old primary are known, in order")
    start = wire.place(later, made)
    lab.ok(start is not None, f"run {number}: so are the {len(later)} that left the survivor")
    if at is not None and start is not None:
        twice = max(0, at + len(left) - start)
        lab.ok(start <= at + len(left), f"run {number}: no output is lost between the two",
               f"old primary up to {at + len(left)}, survivor from {start}")
        lab.ok(twice <= DUPLICATES, f"run {number}: {twice} duplicates, at most {DUPLICATES}")


def run(lab, pair, number, delay):
    name = f"client-{number}"
    pair.again()
    captures = {h.name: lab.capture_start(h, "guest") for h in pair.hosts}
    client = pair.client(name=name, time=3600, interval=50, silence=120)
    lab.wait_for(lambda: pair.replies(name) > 5, 60, "the first replies")
    lab.elapse(delay)
    pair.a.kill()
    pair.wait_state(pair.b, "solo", 90)
    before = pair.replies(name)
    lab.wait_for(lambda: pair.replies(name) > before + 100, 120, "replies of the survivor")
    client.signal(2)
    lab.equal(client.wait(60), 0, f"run {number}: the session went on without a lost or reordered byte")
    lab.say(pair.result(client))
    for h in pair.hosts:
        lab.capture_stop(h, "guest")
    judge(lab, pair, number, captures)
    lab.equal(pair.counters(pair.b)["divergences"], 0, f"run {number}: no divergence")


def main(lab):
    lab.say(f"FAILOVER_SEED={SEED}")
    rng = random.Random(SEED)
    pair = Pair(lab, "lockstep.run=seqd,mix:-t:3600:-p:100")
    pair.start_arbiter()
    for number in range(1, RUNS + 1):
        run(lab, pair, number, rng.uniform(0.5, 10))


scenario(main)
