# SPDX-License-Identifier: GPL-2.0
"""What a failover has to have kept, from captures at both hosts, the survivor's history and clients' own.

    captures = judge.capture(lab, pair)
    ...
    frames = judge.frames(lab, pair, captures)
    frames.points(lab, "run 1: ")
"""

import json
import os
import re

from . import wire
from .pair import MAC

DUPLICATES = 256        # frames that may leave twice: what was released and not known to be by the backup


class Frames:
    """Where what left each host stands in what the guest has made. None where something is not there."""

    def __init__(self, made, left, later):
        self.left, self.later = len(left), len(later)
        self.at, self.start = wire.place(left, made), wire.place(later, made)
        self.known = self.at is not None and self.start is not None
        self.lost = max(0, self.start - self.at - self.left) if self.known else None
        self.twice = max(0, self.at + self.left - self.start) if self.known else None

    @property
    def good(self):
        return self.known and not self.lost and self.twice <= DUPLICATES and self.left > 0 and self.later > 0

    def points(self, lab, prefix=""):
        """Test points."""
        lab.ok(self.left > 0 and self.at is not None,
               f"{prefix}all {self.left} frames that left the old primary are known, in order")
        lab.ok(self.later > 0 and self.start is not None,
               f"{prefix}so are the {self.later} that left the survivor")
        if self.known:
            lab.equal(self.lost, 0, f"{prefix}no output is lost between the two")
            lab.ok(self.twice <= DUPLICATES, f"{prefix}{self.twice} duplicates, at most {DUPLICATES}")


def capture(lab, pair):
    """Begin to capture what leaves each host: the taps are the ground truth."""
    return {h.name: lab.capture_start(h, "guest") for h in pair.hosts}


def frames(lab, pair, captures, name="history"):
    """End the captures; what left each host against all the survivor's guest has made, as its VMM recorded it."""
    for h in pair.hosts:
        lab.capture_stop(h, "guest")
    path = os.path.join(lab.dir, name + ".pcap")
    with open(path, "wb") as f:
        f.write(pair.b.get("/var/log/lockstep/net.pcap"))
    made = wire.sent_by(wire.frames(path), MAC)
    return Frames(made, *(wire.sent_by(wire.frames(captures[h.name]), MAC) for h in pair.hosts))


def replies(lab, name):
    """[(sent, answered)] in ns of CLOCK_MONOTONIC, from the history of a client; none before it has one."""
    try:
        with open(os.path.join(lab.dir, name + ".history")) as f:
            lines = [line.split() for line in f if line.endswith("\n")]
    except FileNotFoundError:
        return []
    return [(int(words[1]), int(words[2])) for words in lines]


def silence_at(lab, name, moment):
    """(ms without a reply around the power loss or None, replies before, after), from a client's history."""
    answered = [a for _, a in replies(lab, name)]
    before = [a for a in answered if a <= moment]
    after = answered[len(before):]
    return (after[0] - before[-1]) / 1e6 if before and after else None, len(before), len(after)


def result(client):
    """The line of JSON a client printed, or what else it said."""
    found = re.findall(r"^\{.*\}$", client.text, re.M)
    return json.loads(found[-1]) if found else {"good": False, "why": client.text[-300:]}
