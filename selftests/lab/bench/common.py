# SPDX-License-Identifier: GPL-2.0
"""Where the figures of each part go."""

import json
import os

from labkit import parts

FOLDER = os.path.join(parts.BUILD, "bench-ft")


def path(name):
    return os.path.join(FOLDER, name + ".json")


def keep(name, seen):
    os.makedirs(FOLDER, exist_ok=True)
    with open(path(name), "w") as f:
        json.dump(seen, f, indent="\t")


def read(name):
    """None: that part gave none."""
    try:
        with open(path(name)) as f:
            return json.load(f)
    except FileNotFoundError:
        return None
