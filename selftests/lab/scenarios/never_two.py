#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Never two: links cut, arbiter away, hosts stopped and back, backup rebooted, daemons killed, power-off.
At the end of each case at most one instance lives, the loser is halted, and captures at both hosts show
that nobody sent what the other did not know. NEVER_TWO_CASES selects some (comma separated)."""

import os

from labkit import scenario
from labkit import wire
from labkit.pair import MAC, Pair

OVER = (None, "halted")
DUPLICATES = 256


class Case:
    """One guest, one client, captures at both hosts; then something breaks."""

    def __init__(self, lab, pair, name):
        self.lab, self.pair, self.name = lab, pair, name
        self.captures = {}

    def __enter__(self):
        self.lab.say(f"--- {self.name}")
        self.pair.again()
        for h in self.pair.hosts:
            self.captures[h.name] = self.lab.capture_start(h, "guest")
        self.client = self.pair.client(name="client-" + self.name.replace(" ", "-"), time=3600, interval=100,
                                       silence=300)
        self.lab.wait_for(lambda: self.replies() > 10, 120, "ten replies")
        return self

    def __exit__(self, *error):
        if error[0] is None:
            self.client.signal(2)
            self.client.wait(60)
        for h in self.pair.hosts:
            self.lab.capture_stop(h, "guest")

    def ok(self, good, what, *why):
        return self.lab.ok(good, f"{self.name}: {what}", *why)

    def replies(self):
        return self.pair.replies("client-" + self.name.replace(" ", "-"))

    def goes_on(self, timeout=120):
        """The client's session lives: new replies come."""
        before = self.replies()
        try:
            self.lab.wait_for(lambda: self.replies() > before + 10, timeout, "more replies")
        except TimeoutError as e:
            return self.ok(False, "the client's session goes on", e, self.client.text[-500:])
        return self.ok(True, "the client's session goes on")

    def stands_still(self, seconds=6):
        """Nothing comes out: no reply, and no frame at either host."""
        def frames():
            return [len(wire.sent_by(wire.frames(p), MAC)) for p in self.captures.values()]
        self.lab.settle(frames, 3)
        before = frames()
        self.lab.settle(frames, seconds)
        self.ok(frames() == before, "no output leaves while nobody may live", before, frames())

    def ends(self, winner, loser, halted=True):
        pair = self.pair
        pair.wait_state(winner, "solo", 90)
        if halted:
            self.lab.wait_for(lambda: pair.state(loser) in OVER, 90, "the loser's end")
            self.ok(True, f"{winner.name} lives, {loser.name} is halted")
        self.goes_on()
        self.ok(pair.live() == [winner.name], "one instance lives", pair.live())

    def known(self, old, new):
        """Every frame that left the old primary is in the new one's history; duplicates are bounded."""
        sent = wire.sent_by(wire.frames(self.captures[old.name]), MAC)
        path = os.path.join(self.lab.dir, f"history-{self.name.replace(' ', '-')}.pcap")
        with open(path, "wb") as f:
            f.write(new.get("/var/log/lockstep/net.pcap"))
        history = wire.sent_by(wire.frames(path), MAC)
        at = wire.place(sent, history)
        self.ok(at is not None, f"all {len(sent)} frames that left {old.name} are in {new.name}'s history")
        if at is None:
            return
        later = wire.sent_by(wire.frames(self.captures[new.name]), MAC)
        twice = 0
        while twice < len(later) and at + len(sent) - 1 - twice >= 0 and \
                wire.place(later[:twice + 1], history[:at + len(sent)]) is not None:
            twice += 1
        self.ok(twice <= DUPLICATES, f"{twice} duplicates, at most {DUPLICATES}")


def log_link_cut(case, a, b, lab):
    """Both reach the arbiter: the primary asks first, but either may win."""
    lab.link_cut(a, "log")
    case.lab.wait_for(lambda: case.pair.live(), 90, "a winner")
    winner, loser = (a, b) if case.pair.live() == ["a"] else (b, a)
    case.ends(winner, loser)
    lab.link_restore(a, "log")


def arbiter_from_a(case, a, b, lab):
    lab.link_cut(b, "arb")
    lab.link_cut(a, "log")
    case.ends(a, b, halted=False)
    case.ok(case.pair.state(b) == "contest-backup", "the other one waits for the arbiter", case.pair.state(b))
    lab.link_restore(b, "arb")
    lab.wait_for(lambda: case.pair.state(b) in OVER, 90, "its end, once it can ask")
    lab.link_restore(a, "log")


def arbiter_from_b(case, a, b, lab):
    lab.link_cut(a, "arb")
    lab.link_cut(a, "log")
    case.ends(b, a, halted=False)
    case.known(a, b)
    lab.link_restore(a, "arb")
    lab.wait_for(lambda: case.pair.state(a) in OVER, 90, "the old primary's end, once it can ask")
    case.goes_on()
    lab.link_restore(a, "log")


def arbiter_from_none(case, a, b, lab):
    for h in (a, b):
        lab.link_cut(h, "arb")
    lab.link_cut(a, "log")
    case.pair.wait_state(a, "contest-primary", 60)
    case.stands_still()
    case.ok(not case.pair.live(), "nobody proceeds", case.pair.live())
    for h in (a, b):
        lab.link_restore(h, "arb")
    case.lab.wait_for(lambda: case.pair.live(), 90, "a winner, once the arbiter is there")
    winner, loser = (a, b) if case.pair.live() == ["a"] else (b, a)
    case.ends(winner, loser)
    lab.link_restore(a, "log")


def primary_stopped(case, a, b, lab):
    """SIGSTOP for longer than the time-out, then back."""
    a.pause()
    case.pair.wait_state(b, "solo", 90)
    case.goes_on()
    a.resume()
    case.ends(b, a)
    case.known(a, b)


def backup_stopped(case, a, b, lab):
    b.pause()
    case.pair.wait_state(a, "solo", 90)
    case.goes_on()
    b.resume()
    case.ends(a, b)


def backup_rebooted(case, a, b, lab):
    """Another instance answers where the backup was, or nobody does: the primary wins either way."""
    b.kill()
    case.pair.start_host(b)
    case.pair.wait_state(a, "solo", 120)
    case.goes_on()
    case.ok(case.pair.live() == ["a"], "one instance lives", case.pair.live())


def backup_daemon_killed(case, a, b, lab):
    case.pair.kill_daemon(b)
    case.pair.start_daemon(b)
    lab.wait_for(lambda: (case.pair.state(a), case.pair.state(b)) == ("protected-primary", "protected-backup") or
                 case.pair.state(a) == "solo", 90, "the pair again, or a survivor")
    case.goes_on()
    case.ok(len(case.pair.live()) <= 1, "at most one instance lives alone", case.pair.live())


def primary_daemon_killed(case, a, b, lab):
    case.pair.kill_daemon(a)
    case.pair.start_daemon(a)
    lab.wait_for(lambda: (case.pair.state(a), case.pair.state(b)) == ("protected-primary", "protected-backup") or
                 "solo" in (case.pair.state(a), case.pair.state(b)), 90, "the pair again, or a survivor")
    case.goes_on()
    case.ok(len(case.pair.live()) <= 1, "at most one instance lives alone", case.pair.live())


def primary_vmm_killed(case, a, b, lab):
    """The VMM alone dies: FAILED is said, nobody waits for silence."""
    a.run("kill -9 $(cat /sys/kernel/lockstep/web/vmm_pid)")
    case.pair.wait_state(b, "solo", 60)
    case.goes_on()
    case.known(a, b)


CASES = {f.__name__: f for f in (log_link_cut, arbiter_from_a, arbiter_from_b, arbiter_from_none, primary_stopped,
                                 backup_stopped, backup_daemon_killed, primary_daemon_killed,
                                 primary_vmm_killed, backup_rebooted)}


def main(lab):
    pair = Pair(lab, "lockstep.run=seqd", counter=False)
    pair.start_arbiter()
    wanted = os.environ.get("NEVER_TWO_CASES")
    for name in wanted.split(",") if wanted else CASES:
        with Case(lab, pair, name.replace("_", " ")) as case:
            CASES[name](case, pair.a, pair.b, lab)


scenario(main)
