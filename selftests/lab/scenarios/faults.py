#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Faults that never_two and failover have not: an arbiter's answer lost, another or an old arbiter, the old host
back, a quick reboot, stalled daemons, one-way and lossy links, clocks set, strangers. docs/faults.md has all.
The short form has those that are cheap. FAULTS_CASES selects some (comma separated)."""

import os
import shutil
import subprocess
import time

from labkit import parts, scenario
from labkit.case import OVER, PROTECTED, chosen, run
from labkit.pair import ARBITER_NODE, ARBITER_PORT, DAEMON_PORT, NAME, Pair

OTHER_PORT = 7475       # a second arbiter's
NOBODY = "su nobody -c"


# -- what a pair does not mind --------------------------------------------------

def clocks_set(case, a, b, lab):
    """The wall clock decides nothing, neither of a pair nor of a connection that is made anew."""
    for host, year in ((a, 2031), (b, 2001), (a, 2001), (b, 2037)):
        host.run(f"date -s '{year}-06-01 12:00:00'")
    case.stays(4, "both halves stay what they are")
    case.pair.kill_daemon(b)
    case.pair.start_daemon(b)
    case.back()
    case.goes_on()
    case.known(a, b)


def stopped_shortly(case, a, b, lab):
    """SIGSTOP of a host, and of a daemon, for less than the time-out: at most an interruption."""
    for h in (a, b):
        h.pause()
        lab.elapse(0.5)
        h.resume()
        case.back()
    for h in (a, b):
        h.run("p=$(pidof lockstepd); kill -STOP $p; sleep 0.9; kill -CONT $p")
        case.event(h, "daemon.gap", "did not run")
        case.back()
    case.goes_on()
    case.known(a, b)


def _stranger(lab, kind, address, port, *options):
    argv = ["/usr/bin/python3", os.path.join(parts.LAB, "labkit/strangers.py"), kind, address, str(port), *options]
    return lab.outside(argv, "stranger-" + kind)


def _foreign_keys(lab):
    """Keys of the same names, made by somebody else."""
    path = os.path.join(lab.dir, "foreign")
    subprocess.run([parts.built("lockstepctl"), "keys", "make", path, "lab", "a", "b", ARBITER_NODE], check=True,
                   stdout=subprocess.DEVNULL)
    return os.path.join(path, "a")


def strangers(case, a, b, lab):
    """Nobody without the cluster's keys is let in, nobody disturbs the pair, and each is told of."""
    pair, pcap = case.pair, lab.capture_start(a, "log")
    # a session from its beginning, to be sent again
    pair.kill_daemon(a)
    pair.start_daemon(a)
    case.back()
    lab.elapse(1)
    lab.capture_stop(a, "log")
    case.mark()
    foreign = _foreign_keys(lab)
    kinds = [("garbage",), ("nobody",), ("other", "--keys", foreign),
             ("other", "--keys", os.path.join(pair.keys, ARBITER_NODE)),
             ("again", "--pcap", pcap), ("datagrams", "--pcap", pcap), ("mute",)]
    for kind, *options in kinds:
        o = _stranger(lab, kind, b.address("log"), DAEMON_PORT, *options)
        case.ok(o.wait(60) == 0, f"not let in: {kind}{' ' + os.path.basename(options[1]) if options else ''}", o.text)
    for kind, *options in kinds[:3]:
        o = _stranger(lab, kind, lab.net.address("arb"), ARBITER_PORT, *options)
        case.ok(o.wait(60) == 0, f"not let in by the arbiter: {kind}", o.text)
    case.event(b, "connection.refused", "remedy", "TLS")
    case.event(b, "connection.refused", "certificate not accepted")
    case.event(b, "connection.refused", "no heartbeat of a peer")
    case.ok("event connection.refused" in pair.arbiter.text, "the arbiter tells of them too", pair.arbiter.text[-800:])
    case.stays(3)
    case.ok(not case.events(a, "guest.state", "suspect") and not case.events(b, "peer.down"),
            "neither half noticed any of it", case.told(a)[-1000:], case.told(b)[-1000:])
    case.known(a, b)


def users(case, a, b, lab):
    """A user of the host who is nobody can neither see nor stop anything."""
    a.run("grep -q nobody /etc/passwd || echo nobody:x:65534:65534::/:/bin/sh >>/etc/passwd")
    for line, what in ((f"lockstepctl stop --force {NAME}", "stop the guest"),
                       (f"lockstepctl start {NAME}", "start one"),
                       ("cat /etc/lockstep/keys/node.key", "read the host's key"),
                       ("cat </dev/lockstep", "open the module's device"),
                       (f"echo 50 >/sys/kernel/lockstep/{NAME}/silence_ms", "change the daemon's time-out"),
                       (f"lockstep-vmm --control /run/lockstep/{NAME}.vmm --ask quit", "speak to the VMM"),
                       ("kill -9 $(pidof lockstepd)", "kill the daemon")):
        c = a.run(f"{NOBODY} '{line}' 2>&1", check=False)
        case.ok(c.status != 0 and c.text.strip(), f"may not {what}: {c.text.strip().splitlines()[-1:]}", c.text)
    case.stays(1)


# -- links ----------------------------------------------------------------------

def claim_reply_lost(case, a, b, lab):
    """The arbiter has decided, but the answer does not arrive: unknown, so nobody proceeds until it is read back."""
    a.kill()
    case.pair.wait_state(b, "suspect-backup", 30)
    lab.deaf(b, "arb")
    lab.wait_for(lambda: _claims(case, b), 60, "the claim at the arbiter")
    case.pair.wait_state(b, "contest-backup", 60)
    case.stands_still(4)
    case.event(b, "arbiter.unreachable", "the way to it")
    lab.deaf(b, "arb", False)
    case.pair.wait_state(b, "solo", 60)
    case.goes_on()
    case.known(a, b)


def _claims(case, host):
    """What the arbiter has told of a host's claims of this guest."""
    return [line for line in case.pair.arbiter.text.splitlines()
            if "event arbiter.claim" in line and f'"node":"{host.name}"' in line and case.pair.uuid in line]


def backup_does_not_hear(case, a, b, lab):
    """Nothing from a reaches b: no log, no heartbeat. a hears b all the time."""
    lab.netem(a, "log", "loss 100%")
    winner, loser = case.winner()
    case.ends(winner, loser)
    case.event(a, "peer.deaf", "in this direction only")
    if winner is b:
        case.known(a, b)
    lab.netem(a, "log", "")


def primary_does_not_hear(case, a, b, lab):
    """Nothing from b reaches a: no acks, so no output leaves. b hears a all the time."""
    lab.deaf(a, "log")
    winner, loser = case.winner()
    case.ends(winner, loser)
    case.event(b, "peer.deaf", "in this direction only")
    if winner is b:
        case.known(a, b)
    lab.deaf(a, "log", False)


def _rate(case, seconds=15):
    """Replies, and bytes of log, a second."""
    began, replies, lsn = time.monotonic(), case.replies(), case.pair.counters(case.pair.a)["log_bytes"]
    case.lab.elapse(seconds)
    took = time.monotonic() - began
    return (case.replies() - replies) / took, (case.pair.counters(case.pair.a)["log_bytes"] - lsn) / took


def _say_rate(case, what, rate):
    case.lab.say(f"{case.name}: {what}: {rate[0]:.1f} replies/s, log {rate[1] / 1e3:.1f} kB/s")


def lossy_link(case, a, b, lab):
    """5 % lost, 20 ms +- 10: slower, but no failover; and when power is lost in it, nothing left too early."""
    _say_rate(case, "before", _rate(case))
    for h in (a, b):
        lab.netem(h, "log", "delay 20ms 10ms loss 5%")
    case.stays(20, "no failover on a lossy link")
    rate = _rate(case)
    _say_rate(case, "5 % loss, 20 ms each way", rate)
    case.ok(rate[0] > 0.5, "the guest works at a rate", rate)
    a.kill()
    case.pair.wait_state(b, "solo", 90)
    case.goes_on()
    case.known(a, b)
    lab.netem(b, "log", "")


# -- daemons --------------------------------------------------------------------

def primary_daemon_stalled(case, a, b, lab):
    """SIGSTOP of the primary's daemon: the module closes the gate by itself, the backup takes over."""
    a.run("kill -STOP $(pidof lockstepd)")
    case.pair.wait_state(a, "orphan-primary", 30)
    case.pair.wait_state(b, "solo", 90)
    case.ok(case.pair.live() == ["b"], "one instance lives", case.pair.live())
    case.goes_on()
    a.run("kill -CONT $(pidof lockstepd)")
    case.event(a, "daemon.gap", "did not run")
    case.ends(b, a)
    case.event(a, "guest.halted", "the other half goes on")
    case.event(b, "guest.unprotected", "silence", "remedy")
    case.known(a, b)


def backup_daemon_stalled(case, a, b, lab):
    """SIGSTOP of the backup's daemon: no acks. The primary goes on alone, and the twin never does."""
    b.run("kill -STOP $(pidof lockstepd)")
    case.pair.wait_state(a, "solo", 90)
    case.goes_on()
    b.run("kill -CONT $(pidof lockstepd)")
    case.ends(a, b)
    case.event(b, "guest.halted", "the other half goes on")
    case.event(a, "guest.unprotected", "remedy")


def backup_daemon_killed_then_primary(case, a, b, lab):
    """Nobody acts until the daemon is back; then the twin has all that ever left."""
    case.pair.kill_daemon(b)
    a.kill()
    case.pair.wait_state(b, "orphan-backup", 30)
    case.stands_still(4)
    case.pair.start_daemon(b)
    case.pair.wait_state(b, "solo", 90)
    case.goes_on()
    case.event(b, "guest.unprotected", "reason", "remedy")
    case.known(a, b)


def backup_vmm_killed(case, a, b, lab):
    """FAILED is said; the primary does not wait for silence."""
    b.run(f"kill -9 $(cat /sys/kernel/lockstep/{NAME}/vmm_pid)")
    case.ends(a, b)
    case.event(a, "guest.unprotected", "VMM is gone", "remedy")
    case.event(b, "guest.gone", '"failed":true')


def backup_vmm_stopped(case, a, b, lab):
    """SIGSTOP of the backup's VMM alone: its log is acknowledged, and none executed. It is given up, and ended."""
    pair = case.pair
    pair.restart_daemon(a, "s/^silence/stuck = 10s\\nsilence/")
    case.back()
    b.run(f"kill -STOP $(cat /sys/kernel/lockstep/{NAME}/vmm_pid)")
    pair.wait_state(a, "solo", 90)
    case.event(a, "guest.unprotected", "VMM does not get on", "remedy")
    case.goes_on()
    case.ends(a, b)
    pair.restart_daemon(a, "/^stuck/d")


# -- hosts ----------------------------------------------------------------------

def old_host_back(case, a, b, lab):
    """The old primary boots and starts its guest by itself, as its boot scripts would."""
    a.kill()
    case.pair.wait_state(b, "solo", 90)
    case.pair.start_host(a)
    a.spawn(f"lockstepctl start {NAME}")
    case.event(a, "guest.refused", "another instance, with newer data, may live", f"start --force {NAME}")
    lab.settle(lambda: case.pair.live(), 5)
    case.ends(b, a, halted=False)
    case.ok(case.pair.state(a) == "free", "the one that came back waits", case.pair.state(a))
    case.known(a, b)


def backup_reboots_quickly(case, a, b, lab):
    """It is back long before the primary would miss it, as another instance: what it had acknowledged is gone."""
    pair = case.pair
    pair.restart_daemon(a, "s/^silence.*/silence = 300s/")
    pair.start_guest()
    pair.wait_service()
    case.begin()
    b.kill()
    pair.start_host(b)
    pair.wait_state(a, "solo", 60)
    case.goes_on()
    case.ok(pair.live() == ["a"], "one instance lives", pair.live())
    case.event(a, "guest.unprotected", "the other half is gone", "remedy")
    pair.restart_daemon(a, f"s/^silence.*/silence = {pair.detect['silence']}/")


backup_reboots_quickly.start = False


# -- arbiters -------------------------------------------------------------------

def two_arbiters(case, a, b, lab):
    """One half asks another arbiter: no pair comes of it, and it is told; with the same one it forms."""
    pair = case.pair
    other = pair.start_arbiter("arbiter-2", OTHER_PORT)
    pair.restart_daemon(b, f"s/:{ARBITER_PORT}/:{OTHER_PORT}/")
    a.spawn(f"lockstepctl start {NAME}")
    case.event(b, "arbiter.other", "do both hosts use the same one?")
    lab.settle(lambda: pair.state(a), 20)
    case.ok((pair.state(a), pair.state(b)) != PROTECTED and not sum(len(case.frames(h)) for h in (a, b)),
            "no pair, and nothing ran", (pair.state(a), pair.state(b)))
    pair.restart_daemon(b, f"s/:{OTHER_PORT}/:{ARBITER_PORT}/")
    pair.wait_state(a, "protected-primary", 120)
    pair.wait_state(b, "protected-backup", 120)
    other.stop()
    pair.wait_service()
    case.begin()
    case.goes_on()
    case.known(a, b)


two_arbiters.start = False


def arbiter_restored(case, a, b, lab):
    """From a copy that lacks this generation, and said so: the pair runs on, but nobody can win it any more."""
    pair, store, copy = case.pair, os.path.join(lab.dir, "arbiter"), os.path.join(lab.dir, "arbiter.copy")
    pair.arbiter.stop()
    shutil.rmtree(store)
    shutil.copytree(copy, store)
    subprocess.run([parts.built("lockstep-arbiter"), "restore", "--store", store], check=True,
                   stdout=subprocess.DEVNULL)
    pair.start_arbiter()
    for h in (a, b):
        case.event(h, "arbiter.other-store", "claims of generations opened before are refused")
    case.stays(3)
    lab.link_cut(a, "log")
    for h in (a, b):
        case.event(h, "guest.refused", "nobody goes on without an operator", "stop --force")
    case.stands_still()
    lab.link_restore(a, "log")
    # what the alarm says to do
    for h in (a, b):
        h.run(f"lockstepctl stop --force {NAME}")
        lab.wait_for(lambda: pair.state(h) in OVER, 60, "its end")
    a.run(f"lockstepctl start --force {NAME}", timeout=120)
    pair.wait_state(a, "protected-primary", 120)
    pair.wait_service()
    case.ok(True, "an operator starts it again")
    case.client.stop()      # its session was with the guest that nobody could win
    case.client = None


CASES = [stopped_shortly, claim_reply_lost]
MORE = [clocks_set, users, strangers, primary_daemon_stalled, arbiter_restored, two_arbiters, lossy_link,
        backup_reboots_quickly, primary_does_not_hear, backup_does_not_hear, old_host_back,
        backup_daemon_killed_then_primary, backup_daemon_stalled, backup_vmm_killed,
        backup_vmm_stopped]


def main(lab):
    pair = Pair(lab, "lockstep.run=seqd,mix:-t:3600:-p:100", counter=False)
    pair.start_arbiter()
    pair.lab.wait_for(lambda: "serving" in pair.arbiter.text, 30, "the arbiter")
    shutil.copytree(os.path.join(lab.dir, "arbiter"), os.path.join(lab.dir, "arbiter.copy"))
    run(lab, pair, chosen(CASES, MORE, "FAULTS_CASES"), fresh=False)


scenario(main)
