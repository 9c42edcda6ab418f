#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Power-off of a protected guest is not a failure: both sides end in order, the generation is closed, and
the guest starts protected again from there."""

from labkit import scenario
from labkit.pair import Pair


def main(lab):
    pair = Pair(lab, "lockstep.run=seqd,mix:-n:30:-p:300 lockstep.then=poweroff", counter=False).start()
    begun = {h.name: 0 for h in pair.hosts}
    for round_ in (1, 2):
        pair.wait_service()
        for host in pair.hosts:
            lab.wait_for(lambda: pair.state(host) is None, 240, f"the guest's end on {host.name}")
        lab.ok(b"GUEST-DONE 0" in pair.serial(pair.a), f"run {round_}: the guest did its work and powered off")
        lab.ok(not any(pair.live()), f"run {round_}: no instance is left")
        logs = [pair.told(h)[begun[h.name]:] for h in pair.hosts]
        lab.ok(all("guest.closed" in text for text in logs), f"run {round_}: on both sides it was a power-off",
               *[t[-800:] for t in logs])
        lab.ok(not any("contest" in text for text in logs), f"run {round_}: nobody took it for a failure",
               *[t[-800:] for t in logs])
        if round_ == 1:
            begun = {h.name: len(pair.told(h)) for h in pair.hosts}
            pair.start_guest()


scenario(main)
