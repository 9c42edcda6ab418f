#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""How long a guest is not heard when its primary's host loses power, and what of it is detection. On hosts with
two processors and without instruction counting, whose time is that of the wall."""

import json
import os
import re

import common
from labkit import parts, scenario
from labkit.pair import GUEST_IP, Pair

RUNS = 2
INTERVAL = 20   # ms between two questions of the probe
# times of the product's defaults, but for its silence: the lab's hosts stand still now and then
DETECT = {"heartbeat": "50ms", "silence": "1s", "confirm": "500ms"}
PROBE = os.path.join(parts.LAB, "bench/probe.py")


def events(pair, host):
    """When a daemon told what, in ms of its host's time: the last of each; state changes by the new state."""
    found = {}
    for line in re.findall(r"event \S+ (\{.*\})", pair.told(host)):
        event = json.loads(line)
        name = event["state"] if event["event"] == "guest.state" else event["event"]
        found[name] = event["boottime_ns"] / 1e6 - event.get("silent_ms", 0)
    return found


def one(lab, pair, number):
    probe = lab.outside(["/usr/bin/python3", PROBE, GUEST_IP, str(INTERVAL)], f"probe-{number}")
    client = pair.client(name=f"client-{number}", time=600, interval=10, silence=120)
    lab.wait_for(lambda: pair.replies(f"client-{number}") > 50, 240, "replies")
    before = pair.counters(pair.a)
    pair.a.kill()
    pair.wait_state(pair.b, "solo", 60)
    had = pair.replies(f"client-{number}")
    lab.wait_for(lambda: pair.replies(f"client-{number}") > had + 20, 240, "replies of the survivor")
    for program in (probe, client):
        program.signal(2)
        program.wait(60)
    told = events(pair, pair.b)
    seen = {"silence_ms": json.loads(probe.text.splitlines()[-1])["silence_ms"],
            "tcp_silence_ms": pair.result(client)["silence_ms"],
            # from when it was last heard
            "detection_ms": told["contest-backup"] - told["peer.silent"],
            "arbiter_ms": told["live"] - told["contest-backup"], "live_ms": told["solo"] - told["live"],
            "lag_ms": before["lag_ns"] / 1e6, "lag_max_ms": before["lag_max_ns"] / 1e6}
    seen["failover_ms"] = seen["silence_ms"] - seen["detection_ms"]
    lab.say(f"failover {number}: {seen}")
    return seen


def main(lab):
    pair = Pair(lab, "lockstep.run=seqd", detect=DETECT, counter=False, host={"icount": None, "smp": 2})
    pair.start_arbiter()
    runs = []
    for number in range(1, RUNS + 1):
        pair.again()
        runs.append(one(lab, pair, number))
    common.keep("failover", {"runs": runs, "detect": DETECT})


scenario(main)
