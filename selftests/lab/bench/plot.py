# SPDX-License-Identifier: GPL-2.0
"""The figures as a picture: ratios as bars, and how long outputs are held as distributions."""

import math

WIDTH, LEFT, RIGHT = 760, 170, 30
LINE = 24
COLOURS = ("#4878a8", "#d08030", "#609050", "#a05070")
HELD = (0.01, 1000)     # ms: ends of the axis
CURVES = 260            # height of the distributions


def text(x, y, words, anchor="start"):
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def line(x1, y1, x2, y2, style):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'


def ratios(works, top):
    """Bars of protected by plain, with the goals; and where they end."""
    most = max(w["ratio"] for w in works.values())
    scale = (WIDTH - LEFT - RIGHT - 60) / most
    out = [text(LEFT, top, "instructions of the vCPU thread: protected / plain (line: goal)")]
    for number, (name, w) in enumerate(works.items()):
        y = top + 12 + number * LINE
        out += [text(LEFT - 8, y + 14, name, "end"),
                f'<rect x="{LEFT}" y="{y}" width="{w["ratio"] * scale:.1f}" height="16" fill="{COLOURS[0]}"/>',
                text(LEFT + w["ratio"] * scale + 6, y + 14, f"{w['ratio']:.3f}")]
        if w["goal"]:
            x = LEFT + w["goal"] * scale
            out.append(line(x, y - 3, x, y + 19, 'stroke="#c00"'))
    return out, top + 12 + len(works) * LINE


def held_x(ms):
    first, last = map(math.log10, HELD)
    part = (math.log10(min(max(ms, HELD[0]), HELD[1])) - first) / (last - first)
    return LEFT + part * (WIDTH - LEFT - RIGHT)


def curve(slots):
    """Points of a cumulative distribution: (ms, part of all)."""
    total, seen = sum(slots.values()), 0
    for bound, frames in sorted((int(b), n) for b, n in slots.items()):
        seen += frames
        yield bound / 1e6, seen / total


def held(loads, top):
    out = [text(LEFT, top, "part of the outputs held for less than ... ms (dashed: round trip of the log's link)")]
    top += 12
    base = top + CURVES
    ms = HELD[0]
    while ms <= HELD[1]:
        x = held_x(ms)
        out += [line(x, top, x, base, 'stroke="#ddd"'), text(x, base + 16, f"{ms:g}", "middle")]
        ms *= 10
    for part in (0, .5, .9, 1):
        y = base - part * CURVES
        out += [line(LEFT, y, WIDTH - RIGHT, y, 'stroke="#ddd"'), text(LEFT - 8, y + 4, f"{part:g}", "end")]
    for number, (name, w) in enumerate(loads.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{held_x(ms):.1f},{base - part * CURVES:.1f}" for ms, part in curve(w["slots"]))
        x = held_x(w["rtt_ms"])
        out += [f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
                line(x, top, x, base, f'stroke="{colour}" stroke-dasharray="4 3"'),
                f'<g fill="{colour}">{text(LEFT + 8, top + 18 + number * 16, name)}</g>']
    return out, base + 16


def draw(seen, path):
    """seen: figures by part, as ft has them; those that are missing are left out."""
    out, top = [], 24
    if seen.get("cost"):
        more, top = ratios(seen["cost"]["works"], top)
        out, top = out + more, top + 40
    if seen.get("latency"):
        more, top = held(seen["latency"], top)
        out += more
    if not out:
        return False
    with open(path, "w") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top + 20}" '
                'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="#fff"/>\n'
                + "\n".join(out) + "\n</svg>\n")
    return True
