#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Failpoints in the real modules, at edges that random kills hardly hit: a host stands still for good, or its
daemon is killed, between ack and release, release and RELEASED, claim and reply, READY and ACTIVATE, won and live,
and inside a planned switch. Every edge of the table is broken in virtual time, by
selftests/unit/test_lockstepd_edges.c. EDGES_CASES selects some (comma separated)."""

import os
import re

from labkit import ksft, parts, scenario
from labkit.case import chosen, run
from labkit.pair import NAME, Pair

HEADER = os.path.join(parts.TOP, "include/uapi/linux/lockstep.h")


def numbers():
    """Numbers of states and events, by their names in the header."""
    with open(HEADER) as f:
        return {m[1]: int(m[2]) for m in re.finditer(r"LOCKSTEP_((?:STATE|EVENT)_\w+) = (\d+),", f.read())}


class Point:
    """A failpoint in the module of a host."""

    def __init__(self, case, host, action="stop", **where):
        self.case, self.host, self.action = case, host, action
        self.hits = self._hits()
        args = " ".join(f"{k}={v}" for k, v in where.items())
        host.run(f"rmmod lockstep_failpoint 2>/dev/null; insmod /lab/lockstep_failpoint.ko action={action} {args}")

    @classmethod
    def before(cls, case, host, state, event, action="stop"):
        """The daemon, or the module, knows; the state is still the old one."""
        n = numbers()
        return cls(case, host, action, symbol="lockstep_state_next", arg0=n["STATE_" + state], arg1=n["EVENT_" + event])

    @classmethod
    def after(cls, case, host, state, event, action="stop"):
        """The state is the new one; nobody was told."""
        n = numbers()
        return cls(case, host, action, symbol="lockstep_netlink_state_send", arg1=n["STATE_" + state],
                   arg2=n["EVENT_" + event])

    def _hits(self):
        with open(self.host.log("console"), errors="replace") as f:
            return f.read().count("failpoint: hit")

    def wait(self, timeout=90):
        """Until it is hit. A host that stands still loses power then."""
        self.case.lab.wait_for(lambda: self._hits() > self.hits, timeout, f"the failpoint on {self.host.name}")
        if self.action == "stop":
            self.host.kill()
            return
        daemon = self.case.pair.daemons[self.host.name]
        daemon.wait(30)
        self.case.pair.start_daemon(self.host)


def _survives(case, old, new):
    case.ends(new, old, halted=False)
    case.known(old, new)


def ack_not_released(case, a, b, lab):
    """The primary has an ack in its hands, and has released nothing by it."""
    Point(case, a, symbol="lockstep_guest_ack", nth=400).wait()
    _survives(case, a, b)


def released_not_told(case, a, b, lab):
    """Outputs have left, and the backup does not know."""
    Point(case, a, symbol="lockstep_sender_released_look", nth=400).wait()
    _survives(case, a, b)


def claim_not_answered(case, a, b, lab):
    """The claim is won, and who made it dies before it can say so to its module."""
    point = Point.before(case, b, "CONTEST_B", "WON", action="lockstepd")
    a.kill()
    point.wait()
    _survives(case, a, b)


def won_not_live(case, a, b, lab):
    """The module knows that it has won, and its daemon does not live to be told."""
    point = Point.after(case, b, "CONTEST_B", "WON", action="lockstepd")
    a.kill()
    point.wait()
    _survives(case, a, b)


def _start(case):
    case.pair.a.spawn(f"lockstepctl start {NAME}")


def ready_not_activated(case, a, b, lab):
    """The gate has closed for a pair, and ACTIVATE is not sent: the backup never was one."""
    point = Point.after(case, a, "SYNC_SRC", "READY")
    _start(case)
    point.wait()
    lab.wait_for(lambda: case.pair.state(b) in ("free", "sync-target"), 60, "the twin to give up")
    lab.settle(lambda: case.pair.state(b), 4)
    case.ok(case.pair.state(b) in ("free", "sync-target") and not case.pair.live(),
            "a twin that was not activated does not live", case.pair.state(b))


ready_not_activated.start = False


def switch_primary_dies(case, a, b, lab):
    """It stands still for the switch, and dies before it says so."""
    point = Point.after(case, a, "PROTECTED_P", "SWITCH")
    a.spawn(f"lockstepctl switch {NAME}")
    point.wait()
    _survives(case, a, b)


def switch_backup_dies(case, a, b, lab):
    """It was asked to go live, and dies: the guest goes on where it was."""
    point = Point.before(case, b, "PROTECTED_B", "SWITCH")
    a.spawn(f"lockstepctl switch {NAME}")
    point.wait()
    case.ends(a, b, halted=False)


def switch_daemon_dies(case, a, b, lab):
    """The daemon that asked for it dies, once its module drains."""
    point = Point.after(case, a, "PROTECTED_P", "SWITCH", action="lockstepd")
    a.spawn(f"lockstepctl switch {NAME}")
    point.wait()
    lab.wait_for(lambda: case.pair.protected() or case.pair.live(), 90, "a pair again, or a survivor")
    case.goes_on()
    case.ok(len(case.pair.live()) <= 1, "at most one lives alone", case.pair.live())


CASES = [released_not_told, claim_not_answered, ready_not_activated]
MORE = [ack_not_released, won_not_live, switch_primary_dies, switch_backup_dies, switch_daemon_dies]


def main(lab):
    pair = Pair(lab, "lockstep.run=seqd", counter=False)
    for host in pair.hosts:
        host.files.update(ksft.modules("lockstep_failpoint"))
    pair.start_arbiter()
    run(lab, pair, chosen(CASES, MORE, "EDGES_CASES"))


scenario(main)
