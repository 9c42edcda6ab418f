# SPDX-License-Identifier: GPL-2.0
"""One fault of a protected guest: a client outside, captures at both hosts, and what has to hold afterwards.

    with Case(lab, pair, "the log is cut") as case:
        lab.link_cut(pair.a, "log")
        case.ends(*case.winner())
"""

import os
import re

from . import LONG, judge, wire
from .agent import Gone
from .host import HostError
from .pair import MAC

OVER = (None, "halted")
PROTECTED = ("protected-primary", "protected-backup")


class Case:
    """One guest, one client, captures at both hosts; then something breaks.

    fresh: begin with a new guest; else one that is still protected goes on. start: False leaves the guest and
    its client to begin().
    """

    def __init__(self, lab, pair, name, fresh=True, start=True):
        self.lab, self.pair, self.name = lab, pair, name
        self.fresh, self.start = fresh, start
        self.client_name = "client-" + name.replace(" ", "-")
        self.client = None
        self.captures = {}
        self._told = {}

    def __enter__(self):
        self.lab.say(f"--- {self.name}")
        self.mark()
        if self.fresh or not self.start or not self.pair.protected():
            self.pair.again(start=self.start)
        self.captures = judge.capture(self.lab, self.pair)
        try:
            if self.start:
                self.begin()
        except TimeoutError:
            self.__exit__(TimeoutError)
            raise
        return self

    def mark(self):
        """What daemons have written until now is forgotten."""
        self._told = {n: (d, len(d.out), len(d.err)) for n, d in self.pair.daemons.items()}

    def begin(self):
        """The client's session."""
        self.client = self.pair.client(name=self.client_name, time=3600, interval=100, silence=300)
        self.lab.wait_for(lambda: self.replies() > 10, 120, "ten replies")

    def __exit__(self, *error):
        if error[0] and self.client:
            self.client.stop()
        elif self.client:
            self.client.signal(2)
            self.ok(self.client.wait(60) == 0, "the client's session lost no byte, and none came out of order",
                    self.client.text[-500:])
        for h in self.pair.hosts:
            self.lab.capture_stop(h, "guest")

    def ok(self, good, what, *why):
        return self.lab.ok(good, f"{self.name}: {what}", *why)

    def replies(self):
        return self.pair.replies(self.client_name)

    def frames(self, host):
        """What the guest has sent through a host so far, in order."""
        return wire.sent_by(wire.frames(self.captures[host.name]), MAC)

    def told(self, host):
        """What the host's daemon has written since this case began, or mark()."""
        daemon = self.pair.daemons.get(host.name)
        if not daemon:
            return ""
        old, out, err = self._told.get(host.name, (None, 0, 0))
        at = (out, err) if old is daemon else (0, 0)
        return (daemon.out[at[0]:] + daemon.err[at[1]:]).decode(errors="replace")

    def events(self, host, name, *words):
        """Lines of its events of a name that have these words."""
        lines = re.findall(rf"^.*event {re.escape(name)} .*$", self.told(host), re.M)
        return [line for line in lines if all(w in line for w in words)]

    def event(self, host, name, *words, timeout=60):
        """It says what happened, and why or what to do."""
        try:
            self.lab.wait_for(lambda: self.events(host, name, *words), timeout, f"event {name} on {host.name}")
        except TimeoutError as e:
            return self.ok(False, f"{host.name} tells {name}", e, words, self.told(host)[-2000:])
        return self.ok(True, f"{host.name} tells {name}: {', '.join(words)}")

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
            return [len(self.frames(h)) for h in self.pair.hosts]
        self.lab.settle(frames, 3)
        before = frames()
        self.lab.settle(frames, seconds)
        self.ok(frames() == before, "no output leaves while nobody may live", before, frames())
        self.ok(not self.pair.live(), "nobody proceeds", self.pair.live())

    def stays(self, seconds, what="the pair goes on as it is"):
        """Both halves stay what they are, and outputs leave, for that long."""
        pair = self.pair
        self.lab.settle(lambda: [pair.state(h) for h in pair.hosts], seconds)
        states = tuple(pair.state(h) for h in pair.hosts)
        self.ok(states == PROTECTED, what, states, *(self.told(h)[-1500:] for h in pair.hosts))
        self.goes_on()

    def back(self, timeout=60):
        """The pair is protected as before, without a failover."""
        try:
            self.lab.wait_for(self.pair.protected, timeout, "the pair, protected again")
        except TimeoutError as e:
            return self.ok(False, "the pair is protected again", e, *(self.told(h)[-1500:] for h in self.pair.hosts))
        return self.ok(True, "the pair is protected again, without a failover")

    def winner(self, timeout=90):
        """(winner, loser), once there is one."""
        self.lab.wait_for(self.pair.live, timeout, "a winner")
        a, b = self.pair.hosts
        return (a, b) if self.pair.live() == [a.name] else (b, a)

    def ends(self, winner, loser, halted=True):
        pair = self.pair
        pair.wait_state(winner, "solo", 90)
        if halted:
            self.lab.wait_for(lambda: pair.state(loser) in OVER, 90, "the loser's end")
            self.ok(True, f"{winner.name} lives, {loser.name} is halted")
        self.goes_on()
        self.ok(pair.live() == [winner.name], "one instance lives", pair.live())

    def _made(self, host):
        """All that its guest has sent, as its VMM recorded it."""
        path = os.path.join(self.lab.dir, f"history-{self.name.replace(' ', '-')}.pcap")
        with open(path, "wb") as f:
            f.write(host.get("/var/log/lockstep/net.pcap"))
        return wire.sent_by(wire.frames(path), MAC)

    def known(self, old, new):
        """Every frame that left the old primary is in the new one's history; duplicates are bounded.

        A backup may still be behind with making them, but must have them in the end.
        """
        sent = self.frames(old)
        if new.name not in self.pair.live():
            self.lab.wait_for(lambda: wire.place(sent, self._made(new)) is not None, 60,
                              f"what left {old.name} in {new.name}'s history", interval=1)
        history = self._made(new)
        at = wire.place(sent, history)
        self.ok(at is not None and sent, f"all {len(sent)} frames that left {old.name} are in {new.name}'s history")
        if at is None:
            return
        later = self.frames(new)
        twice = 0
        while twice < len(later) and at + len(sent) - 1 - twice >= 0 and \
                wire.place(later[:twice + 1], history[:at + len(sent)]) is not None:
            twice += 1
        self.ok(twice <= judge.DUPLICATES, f"{twice} duplicates, at most {judge.DUPLICATES}")


def _clean(lab, pair):
    """Whatever a case that broke off has left behind."""
    for host in pair.hosts:
        if host.running:
            host.kill()
        for net in lab.net.names:
            lab.link_restore(host, net)


def run(lab, pair, cases, fresh=True):
    """Functions f(case, a, b, lab), each a case; its name is the case's, f.start whether a guest is started.

    One that breaks off does not keep the others from being tried.
    """
    for f in cases:
        case = Case(lab, pair, f.__name__.replace("_", " "), fresh=fresh, start=getattr(f, "start", True))
        try:
            with case:
                f(case, pair.a, pair.b, lab)
        except (HostError, TimeoutError, Gone) as e:
            case.ok(False, "ran to its end", f"{type(e).__name__}: {e}", *(case.told(h)[-1500:] for h in pair.hosts))
            _clean(lab, pair)


def chosen(short, more, variable):
    """Those that an environment variable names (comma separated), in the order they are in; or the short form's, or,
    in the long form, all."""
    cases = short + more
    names = os.environ.get(variable, "").split(",")
    unknown = [n for n in names if n and n not in [f.__name__ for f in cases]]
    if unknown:
        raise HostError(f"{variable}: no case {unknown[0]}")
    if names != [""]:
        return [f for f in cases if f.__name__ in names]
    return cases if LONG else short
