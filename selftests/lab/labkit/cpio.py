# SPDX-License-Identifier: GPL-2.0
"""Initramfs archives (newc cpio) that depend on nothing but their contents.

Sorted names, no times, root owns all, inode numbers by order: the same files
give the same bytes. Needs neither root nor a staging tree.
"""

import os
import stat


class Archive:
    """Files to be, keyed by their path in the archive (no leading slash)."""

    def __init__(self):
        self._entries = {}

    def __contains__(self, path):
        return path.strip("/") in self._entries

    def _add(self, path, mode, data=b"", dev=(0, 0)):
        path = path.strip("/")
        parent = os.path.dirname(path)
        if parent and parent not in self._entries:
            self.dir(parent)
        self._entries[path] = (mode, data, dev)

    def dir(self, path, mode=0o755):
        self._add(path, stat.S_IFDIR | mode)

    def link(self, path, target):
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def node(self, path, kind, major, minor, mode=0o600):
        """A device: kind 'c' or 'b'."""
        fmt = stat.S_IFCHR if kind == "c" else stat.S_IFBLK
        self._add(path, fmt | mode, dev=(major, minor))

    def text(self, path, text, mode=0o644):
        self._add(path, stat.S_IFREG | mode, text.encode())

    def file(self, path, source, mode=None):
        """Contents of the local file source, read when the archive is written."""
        if mode is None:
            mode = 0o755 if os.access(source, os.X_OK) else 0o644
        self._add(path, stat.S_IFREG | mode, os.fspath(source))

    def tree(self, path, source):
        """All of a local directory."""
        for top, dirs, files in os.walk(source):
            rel = os.path.relpath(top, source)
            base = path if rel == "." else os.path.join(path, rel)
            self.dir(base)
            for name in files + [d for d in dirs if os.path.islink(os.path.join(top, d))]:
                local = os.path.join(top, name)
                if os.path.islink(local):
                    self.link(os.path.join(base, name), os.readlink(local))
                else:
                    self.file(os.path.join(base, name), local)

    def write(self, out):
        """Write to the binary file object out."""
        for ino, path in enumerate(sorted(self._entries), 1):
            mode, data, dev = self._entries[path]
            if isinstance(data, str):
                with open(data, "rb") as f:
                    data = f.read()
            _member(out, ino, path, mode, data, dev)
        _member(out, 0, "TRAILER!!!", 0, b"", (0, 0))

    def save(self, path):
        with open(path, "wb") as out:
            self.write(out)


def _member(out, ino, path, mode, data, dev):
    name = path.encode() + b"\0"
    fields = (ino, mode, 0, 0, 1, 0, len(data), 0, 0, dev[0], dev[1], len(name), 0)
    head = b"070701" + b"".join(b"%08x" % f for f in fields) + name
    out.write(head + b"\0" * (-len(head) % 4))
    out.write(data + b"\0" * (-len(data) % 4))
