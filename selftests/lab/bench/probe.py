#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Ask a guest for an echo again and again, until SIGINT; print how long it was ever silent.

    probe.py ADDRESS MILLISECONDS

A client that does not back off, as TCP does: its longest silence is that of the guest."""

import json
import os
import select
import signal
import socket
import struct
import sys
import time

ECHO, ECHO_REPLY = 8, 0
HEAD = struct.Struct("!BBHHH")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def request(ident, number):
    bare = HEAD.pack(ECHO, 0, 0, ident, number & 0xffff)
    return HEAD.pack(ECHO, 0, checksum(bare), ident, number & 0xffff)


def replies(sock, ident):
    """Whether any of ours is there."""
    found = False
    while select.select([sock], [], [], 0)[0]:
        packet = sock.recv(2048)
        kind, _, _, their, _ = HEAD.unpack_from(packet, (packet[0] & 15) * 4)
        found |= kind == ECHO_REPLY and their == ident
    return found


def main(address, interval):
    ident, over = os.getpid() & 0xffff, []
    signal.signal(signal.SIGINT, lambda *_: over.append(True))
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    number, last, silence, answered = 0, None, 0, 0
    due = time.monotonic()
    while not over:
        now = time.monotonic()
        if now >= due:
            sock.sendto(request(ident, number), (address, 0))
            number, due = number + 1, now + interval
        select.select([sock], [], [], max(0, due - time.monotonic()))
        if replies(sock, ident):
            now, answered = time.monotonic(), answered + 1
            silence = max(silence, now - last) if last else 0
            last = now
    print(json.dumps({"sent": number, "answered": answered, "silence_ms": silence * 1e3}), flush=True)


main(sys.argv[1], float(sys.argv[2]) / 1e3)
