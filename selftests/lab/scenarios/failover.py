#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The primary's host loses power at a random time while a client outside talks to the guest: its TCP
session goes on, nothing acknowledged is lost or reordered, every frame that left the old primary is in the
survivor's history. FAILOVER_RUNS (3; briefly: 2; long: 100), FAILOVER_SEED (random, printed; the same seed
repeats the times)."""

import os
import random

from labkit import BRIEF, LONG, OTHER_KERNEL, judge, scenario
from labkit.pair import Pair

RUNS = int(os.environ.get("FAILOVER_RUNS", "100" if LONG else "2" if BRIEF else "3"))
SEED = int(os.environ.get("FAILOVER_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


def run(lab, pair, number, delay):
    name = f"client-{number}"
    pair.again()
    captures = judge.capture(lab, pair)
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
    judge.frames(lab, pair, captures, f"history-{number}").points(lab, f"run {number}: ")
    lab.equal(pair.counters(pair.b)["divergences"], 0, f"run {number}: no divergence")


def main(lab):
    lab.say(f"FAILOVER_SEED={SEED}")
    rng = random.Random(SEED)
    # Boots with every tick forced take long; debian has a failover with them. A guest with 6.12 waits
    # for a tick in a loop without exits when it boots, so it has to have them.
    pair = Pair(lab, "lockstep.run=seqd,mix:-t:3600:-p:100", counter=LONG or OTHER_KERNEL)
    pair.start_arbiter()
    for number in range(1, RUNS + 1):
        run(lab, pair, number, rng.uniform(0.5, 10))


scenario(main)
