# SPDX-License-Identifier: GPL-2.0
"""Somebody on the network who has no right to be there, as a program.

    /usr/bin/python3 labkit/strangers.py KIND ADDRESS PORT [--keys DIR] [--pcap FILE]

Exit status: 0 it was turned away without a word that only a peer may hear, 1 it was let in or nobody was there,
2 wrong usage.

garbage   bytes that mean nothing, on TCP
mute      connections that say nothing, more than are borne
nobody    TLS without a certificate
other     TLS with a certificate (--keys) that proves nothing here, or a node that is no peer
again     what a peer had sent on TCP, from a capture (--pcap)
datagrams garbage on UDP, then what a peer had sent as heartbeats, from a capture (--pcap), whole and altered"""

import argparse
import os
import random
import socket
import ssl
import struct
import sys

import wire

PATIENCE = 40           # seconds in which a stranger has to be turned away
TURNED_AWAY = (ConnectionError, ssl.SSLError, BrokenPipeError)
FRAME = 32              # bytes of a frame's head: what any answer to a HELLO has at least


def listen(s):
    """What the other side says until it hangs up; TimeoutError: it does not."""
    said = b""
    while True:
        try:
            more = s.recv(4096)
        except TURNED_AWAY:
            return said
        if not more:
            return said
        said += more


def dial(args):
    try:
        return socket.create_connection((args.address, args.port), PATIENCE)
    except OSError as e:
        raise SystemExit(f"nobody is there: {e}") from None


def garbage(args):
    s = dial(args)
    s.sendall(random.randbytes(3000))
    listen(s)
    return True


def mute(args):
    """All are hung up on; a peer's own connection is none of these."""
    return not any([listen(s) for s in [dial(args) for _ in range(160)]])


def tls(args, keys):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if keys:
        context.load_cert_chain(os.path.join(keys, "node.crt"), os.path.join(keys, "node.key"))
    try:
        s = context.wrap_socket(dial(args))
        s.sendall(random.randbytes(FRAME))
    except TURNED_AWAY:
        return True
    return not listen(s)


def payloads(path, protocol, port):
    """(source port, bytes) of what passed in a capture to a port, over TCP (6) or UDP (17)."""
    for f in wire.frames(path):
        if f[12:14] != b"\x08\x00" or f[23] != protocol:
            continue
        segment = f[14 + (f[14] & 15) * 4:14 + struct.unpack(">H", f[16:18])[0]]
        source, to = struct.unpack(">HH", segment[:4])
        if to == port:
            yield source, segment[8:] if protocol == 17 else segment[(segment[12] >> 4) * 4:]


def again(args):
    passed = list(payloads(args.pcap, 6, args.port))
    begun = [source for source, data in passed if data.startswith(b"\x16\x03\x01")]
    if not begun:
        raise SystemExit("no beginning of a session was captured")
    said = b"".join(data for source, data in passed if source == begun[0])
    s = dial(args)
    s.sendall(said[:1 << 20])
    listen(s)
    return True


def datagrams(args):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((args.address, args.port))
    s.settimeout(1)
    heard = [data for _, data in payloads(args.pcap, 17, args.port)]
    if not heard:
        raise SystemExit("no heartbeat was captured")
    for n in (0, 1, 17, 100, 400, 1400):
        s.send(random.randbytes(n))
    for beat in heard:
        at = random.randrange(8, len(beat))
        s.send(beat)
        s.send(beat[:at])
        s.send(beat[:at] + bytes([beat[at] ^ 1 << random.randrange(8)]) + beat[at + 1:])
    try:
        return not s.recv(4096)
    except TimeoutError:
        return True


def main():
    kinds = {"garbage": garbage, "mute": mute, "again": again, "datagrams": datagrams,
             "nobody": lambda args: tls(args, None), "other": lambda args: tls(args, args.keys)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--keys")
    parser.add_argument("--pcap")
    args = parser.parse_args()
    try:
        good = kinds[args.kind](args)
    except TURNED_AWAY as e:
        good = True
        print(f"turned away: {e}")
    except TimeoutError:
        good = False
        print("not turned away")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
