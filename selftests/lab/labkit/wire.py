# SPDX-License-Identifier: GPL-2.0
"""Captures: what left a host, against what the guest has made."""

import struct

HEADS = {0xa1b2c3d4: "<", 0xa1b23c4d: "<", 0xd4c3b2a1: ">", 0x4d3cb2a1: ">"}


def frames(path):
    """The frames of a pcap file, as bytes; one that was cut short ends before its last frame."""
    with open(path, "rb") as f:
        data = f.read()
    order = HEADS[struct.unpack("<I", data[:4])[0]]
    at, found = 24, []
    while at + 16 <= len(data):
        captured, length = struct.unpack(order + "8xII", data[at:at + 16])
        if captured != length:
            raise ValueError(f"{path}: a frame was captured in part")
        if at + 16 + captured > len(data):
            break
        found.append(data[at + 16:at + 16 + captured])
        at += 16 + captured
    return found


def sent_by(frames_, mac):
    """Those a MAC sent, without the RARPs of a VMM that went live."""
    source = bytes.fromhex(mac.replace(":", ""))
    return [f for f in frames_ if f[6:12] == source and f[12:14] != b"\x80\x35"]


def place(part, whole):
    """Where the frames of part stand in whole, one behind the other; None: not there as they are."""
    if not part:
        return 0
    for at in range(len(whole) - len(part), -1, -1):
        if whole[at] == part[0] and whole[at:at + len(part)] == part:
            return at
    return None
