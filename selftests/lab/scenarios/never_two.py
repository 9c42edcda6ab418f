#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Never two: links cut, arbiter away, hosts stopped and back, backup rebooted, daemons killed, power-off.
At the end of each case at most one instance lives, the loser is halted, and captures at both hosts show
that nobody sent what the other did not know. The short form has six of the ten. NEVER_TWO_CASES selects some
(comma separated)."""

from labkit import scenario
from labkit.case import OVER, chosen, run
from labkit.pair import Pair


def log_link_cut(case, a, b, lab):
    """Both reach the arbiter: the primary asks first, but either may win."""
    lab.link_cut(a, "log")
    case.ends(*case.winner())
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
    for h in (a, b):
        lab.link_restore(h, "arb")
    case.ends(*case.winner())
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


CASES = [log_link_cut, arbiter_from_b, arbiter_from_none, primary_stopped, primary_daemon_killed, backup_rebooted]
MORE = [arbiter_from_a, backup_stopped, backup_daemon_killed, primary_vmm_killed]


def main(lab):
    pair = Pair(lab, "lockstep.run=seqd", counter=False)
    pair.start_arbiter()
    run(lab, pair, chosen(CASES, MORE, "NEVER_TWO_CASES"))


scenario(main)
