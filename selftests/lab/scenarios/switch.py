#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A planned switch: the guest goes on on the other host, with its client's session; nothing is lost, nothing
leaves twice. And one that can't be: the backup's host does not reach the arbiter, the guest stays, protected."""

import time

from labkit import judge, scenario
from labkit.pair import NAME, Pair


def refused(lab, pair):
    lab.link_cut(pair.b, "arb")
    lab.wait_for(lambda: "arbiter.unreachable" in pair.told(pair.b), 60, "the backup's daemon to miss the arbiter")
    done = pair.a.run(f"lockstepctl switch {NAME}", check=False, timeout=90)
    lab.ok(done.status == 1 and b"can its host reach the arbiter" in done.err,
           "not without an arbiter in the backup's reach: the operator is told", done.status, done.text)
    lab.ok(pair.state(pair.a) == "protected-primary" and pair.state(pair.b) == "protected-backup",
           "the guest stays where it is, protected")
    lab.ok("guest.switch-refused" in pair.told(pair.b), "its host says so", pair.told(pair.b)[-800:])
    begun = len(pair.told(pair.b))
    lab.link_restore(pair.b, "arb")
    lab.wait_for(lambda: "arbiter.reachable" in pair.told(pair.b)[begun:], 60, "the arbiter again")


def main(lab):
    pair = Pair(lab, "lockstep.run=seqd,mix:-t:3600:-p:100", counter=False).start()
    pair.wait_service()
    client = pair.client(time=3600, interval=20, silence=60)
    lab.wait_for(lambda: pair.replies() > 50, 60, "the first replies")
    refused(lab, pair)
    wrong = pair.b.run(f"lockstepctl switch {NAME}", check=False)
    lab.ok(wrong.status == 1 and b"other host" in wrong.err, "it is the primary's host that is asked", wrong.text)

    captures = judge.capture(lab, pair)
    before = pair.replies()
    lab.wait_for(lambda: pair.replies() > before + 50, 60, "replies")
    asked = time.monotonic_ns()
    done = pair.a.run(f"lockstepctl switch {NAME}", check=False, timeout=90)
    lab.ok(done.status == 0 and b"lives on b" in done.out, "lockstepctl switch", done.status, done.text)
    pair.wait_state(pair.b, "solo", 30)
    before = pair.replies()
    lab.wait_for(lambda: pair.replies() > before + 100, 120, "replies of the survivor")
    lab.wait_for(lambda: pair.state(pair.a) is None, 60, "the end of the old primary")
    lab.ok(pair.live() == ["b"], "one instance lives", pair.live())
    client.signal(2)
    lab.equal(client.wait(60), 0, "the session went on without a lost or reordered byte")
    lab.say(f"silence around the switch, which was asked for through a shell: {judge.silence_at(lab, 'client', asked)[0]:.0f} ms")
    frames = judge.frames(lab, pair, captures)
    frames.points(lab)
    lab.equal(frames.twice, 0, "no frame left twice")
    lab.equal(pair.told(pair.a).count("event guest.switch-failed"), 1, "it was no failure: the first one was")


scenario(main)
