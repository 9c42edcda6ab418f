#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A Debian userland (systemd, sshd, nginx, redis, as packaged) runs protected while clients outside work with
its servers; the primary's host loses power. Every session goes on without a reconnect, all that was
acknowledged is there, and every frame that left the old primary is in the survivor's history."""

import time

from labkit import judge, scenario
from labkit.clients import KINDS
from labkit.pair import Pair

BEFORE, AFTER = 40, 40      # answers each client has to have seen of the primary, and of the survivor
BOOT = 400


def start(lab, pair):
    """The clients, all at work."""
    clients = {kind: pair.debian_client(kind) for kind in KINDS}

    def working(wanted):
        ended = [kind for kind, c in clients.items() if not c.running]
        if ended:
            raise TimeoutError(f"{ended[0]} has ended: {clients[ended[0]].text[-500:]}")
        return all(len(judge.replies(lab, kind)) >= wanted[kind] for kind in KINDS)

    lab.wait_for(lambda: working(dict.fromkeys(KINDS, BEFORE)), 180, "the first answers to all clients")
    return clients, working


def main(lab):
    pair = Pair(lab, "lockstep.run=seqd", guest="debian").start()
    pair.wait_service(BOOT)
    lab.say("the guest's servers are up")
    captures = judge.capture(lab, pair)
    clients, working = start(lab, pair)
    moment = time.monotonic_ns()
    pair.a.kill()
    pair.wait_state(pair.b, "solo", 90)
    seen = {kind: len(judge.replies(lab, kind)) for kind in KINDS}
    lab.wait_for(lambda: working({kind: n + AFTER for kind, n in seen.items()}), 180, "answers of the survivor")
    for kind, client in clients.items():
        client.signal(2)
        client.wait(180)
        got = judge.result(client)
        silence, before, after = judge.silence_at(lab, kind, moment)
        lab.ok(got["good"], f"{kind}: {got.get('count')} writes acknowledged in one session are all there", got)
        lab.ok(before >= BEFORE and after >= AFTER, f"{kind}: {before} before the power loss, {after} after it")
        lab.say(f"{kind}: {got}; {silence:.0f} ms without an answer around the power loss")
    about = judge.result(clients["ssh"])
    lab.ok("cloud-amd64" in about.get("kernel", ""), "the guest's kernel is Debian's", about)
    lab.ok("Debian GNU/Linux 12" in about.get("system", ""), "and so is its userland", about)
    lab.equal(about.get("state"), "running", "of which systemd started all")
    judge.frames(lab, pair, captures).points(lab)
    lab.equal(pair.counters(pair.b)["divergences"], 0, "no divergence")


scenario(main)
