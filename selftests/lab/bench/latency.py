#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What protection adds to the latency of an output: how long the gate holds it, beside the round trip of the log's
link, with the twin's lag and the log link's bytes, for some loads; without and with compression of the log."""

import json

import common
from labkit import parts, scenario
from labkit.pair import NAME, Pair

SECONDS = 20
WAYS = ("none", "lz4")    # to compress the log
# Name, and the client's options.
LOADS = (
    ("requests", {"interval": 20}),
    ("uploads", {"interval": 20, "size": 8192}),
)
COUNTERS = ("log_bytes", "inputs", "outputs", "batches", "released", "clock_ns", "forced")


def percentile(slots, part):
    """Upper bound, in ms, of the slot that a part of all frames is below."""
    total, seen = sum(slots.values()), 0
    for bound in sorted(slots):
        seen += slots[bound]
        if seen >= part * total:
            return bound / 1e6
    return 0


def slots(pair):
    guest, = [g for g in pair.status(pair.a)["guests"] if g["name"] == NAME]
    return {s["below_ns"]: s["frames"] for s in guest["hold"]}


def rtt_ms(pair):
    peer, = json.loads(pair.a.run("lockstepctl peers --json").text)
    return peer["rtt_ns"] / 1e6


def link_bytes(pair):
    return int(pair.a.run("cat /sys/class/net/eth1/statistics/tx_bytes").text)


def measure(lab, pair, name, options):
    client = pair.client(name=name, **options)
    lab.wait_for(lambda: pair.replies(name) > 20, 240, "replies")
    counts = {h.name: h.spawn("threadcount $(pidof lockstepd)") for h in pair.hosts}
    lab.wait_for(lambda: all("ready" in c.text for c in counts.values()), 60, "the counters")
    held, before, sent = slots(pair), pair.counters(pair.a), link_bytes(pair)
    lags, rtts, end = [], [], before["clock_ns"] + SECONDS * 10**9
    while True:
        now = pair.counters(pair.a)
        lags.append(now["lag_ns"] / 1e6)
        rtts.append(rtt_ms(pair))
        lab.elapse(.5)
        if now["clock_ns"] > end:
            break
    after, sent = {b: n - held.get(b, 0) for b, n in slots(pair).items()}, link_bytes(pair) - sent
    for c in counts.values():
        c.close_stdin()
        lab.need(c.wait(60) == 0, "the daemons' instructions are counted", c.err)
    client.signal(2)
    lab.equal(client.wait(60), 0, f"latency: {name}: the session went on")
    more = {n: now[n] - before[n] for n in COUNTERS}
    seconds = more["clock_ns"] / 1e9
    return {"hold_ms": {p: percentile(after, q) for p, q in (("p50", .5), ("p90", .9), ("p99", .99), ("max", 1))},
            "slots": {b: n for b, n in after.items() if n}, "rtt_ms": sorted(rtts)[len(rtts) // 2], "inputs_per_s": more["inputs"] / seconds,
            "lag_ms": {"mean": sum(lags) / len(lags), "max": max(lags)}, "seconds": seconds, "link_bytes": sent,
            "client_ms": pair.result(client).get("latency_ms"),
            "daemon": {n: int(c.text.split()[1]) for n, c in counts.items()}, **more}


def compress_set(pair, how):
    """Have both daemons begin again with another setting, and a new guest."""
    for host in pair.hosts:
        pair.kill_daemon(host)
        host.run("sed -i '/^\\[log\\]/,$d' /etc/lockstep/lockstepd.conf; "
                 f"printf '[log]\\ncompress = {how}\\n' >>/etc/lockstep/lockstepd.conf")


def main(lab):
    pair = Pair(lab, "lockstep.run=seqd",
                host={"programs": [("usr/sbin/threadcount", parts.built("threadcount"))]}).start()
    pair.wait_service()
    seen = {}
    for number, how in enumerate(WAYS):
        if number:
            compress_set(pair, how)
            pair.again()
        for name, options in LOADS:
            seen[f"{name}, {how}"] = measure(lab, pair, f"{name}-{how}", options)
    common.keep("latency", seen)


scenario(main)
