# SPDX-License-Identifier: GPL-2.0
"""A host that is busy, and drops pages of its guest all the time: interrupts and nested page faults that the other
side does not have. Such a host needs files()."""

import re

from . import parts

BUSY = "exec nice -n 10 sh -c 'while :; do :; done'"


def files():
    return {"lab/droppages.so": parts.built("droppages.so")}


class Vmm:
    """A VMM that is disturbed so: .wait() as a command's; pages from one guest address to another, each us."""

    def __init__(self, host, line, us, pages, log=None):
        drop = f"DROP_PAGES={us},{pages[0]:x},{pages[1]:x}"
        self.busy = host.spawn(BUSY)
        self.command = host.spawn(f"exec env LD_PRELOAD=/lab/droppages.so {drop} {line}", log=log)
        self.drops = self.faults = 0

    def __getattr__(self, name):
        return getattr(self.command, name)

    def wait(self, timeout):
        status = self.command.wait(timeout)
        self.busy.signal(15)
        told = re.search(r"droppages: (\d+) drops, (\d+) faults", (self.err or b"").decode(errors="replace"))
        if told:
            self.drops, self.faults = map(int, told.groups())
        return status
