# SPDX-License-Identifier: GPL-2.0
"""A guest's shell on its virtio console, which is the VMM's standard input and output."""

import re


class Shell:
    """vmm: the VMM, a Command with --console stdio."""

    def __init__(self, lab, vmm):
        self.lab = lab
        self.vmm = vmm
        self.count = 0

    def run(self, line, timeout=240):
        """What a command line prints on the guest's console."""
        self.count += 1
        begin, end = f"BEGIN{self.count}=", f"END{self.count}="
        self.vmm.write(f"echo BEGIN{self.count}'=';{line};echo END{self.count}'='$?\n".encode())
        self.lab.wait_for(lambda: re.search(end + r"\d+", self.vmm.text), timeout, line)
        text = self.vmm.text.replace("\r", "")
        return text[text.index(begin) + len(begin):text.rindex(end)].strip("\n")
