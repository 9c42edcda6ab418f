# SPDX-License-Identifier: GPL-2.0
"""The outside end of the agent in a lab host (host/agent.c has the frames)."""

import struct
import threading

from .parts import patience

EXEC, STDIN, SIGNAL, FINISH = 1, 2, 3, 4
READY, STDOUT, STDERR, EXIT = 16, 17, 18, 19

HEAD = struct.Struct("<III")
CHUNK = 65536


class Gone(Exception):
    """The host is not there any more (killed, crashed or powered off)."""


class Command:
    """A command in a lab host. out and err grow while it runs."""

    def __init__(self, agent, number, line, log=None):
        self.line = line
        self.out = bytearray()
        self.err = bytearray()
        self.status = None      # exit status, 128 + signal, or None while it runs
        self.gone = False
        self._agent = agent
        self._number = number
        self._log = open(log, "ab", buffering=0) if log else None
        self._ended = threading.Event()

    @property
    def text(self):
        return bytes(self.out).decode(errors="replace")

    @property
    def running(self):
        return not self._ended.is_set()

    def write(self, data):
        """Bytes for its standard input."""
        for at in range(0, len(data), CHUNK):
            self._agent.send(self._number, STDIN, data[at:at + CHUNK])

    def close_stdin(self):
        self._agent.send(self._number, STDIN)

    def signal(self, number):
        """A signal to the command and all of its session."""
        self._agent.send(self._number, SIGNAL, bytes([number]))

    def wait(self, timeout):
        """Its status; TimeoutError after timeout seconds, Gone when the host went away."""
        timeout = patience(timeout)
        if not self._ended.wait(timeout):
            raise TimeoutError(f"no end after {timeout} s: {self.line}")
        if self.gone:
            raise Gone(f"host went away during: {self.line}")
        return self.status

    def _frame(self, kind, data):
        if kind in (STDOUT, STDERR):
            (self.out if kind == STDOUT else self.err).extend(data)
            if self._log:
                self._log.write(data)
        elif kind == EXIT:
            self.status = data[0] if not data[1] else 128 + data[1]
            self._end()

    def _end(self):
        if self._log:
            self._log.close()
            self._log = None
        self._ended.set()


class Agent:
    """Commands over one connected socket, from any number of threads."""

    def __init__(self, sock):
        self._sock = sock
        self._lock = threading.Lock()
        self._commands = {}
        self._next = 1
        self._closed = False
        self.ready = threading.Event()
        threading.Thread(target=self._reader, daemon=True).start()

    def start(self, line, log=None):
        """Start a shell command line; returns its Command at once."""
        with self._lock:
            number = self._next
            self._next += 1
            command = Command(self, number, line, log)
            if self._closed:
                raise Gone(f"no host to run: {line}")
            self._commands[number] = command
        data = line.encode()
        if len(data) > CHUNK:
            raise ValueError("command line is too long; put a script there first")
        self.send(number, EXEC, data)
        return command

    def finish(self):
        """Ask for the last checks, the verdict and the end."""
        self.send(0, FINISH)

    def send(self, number, kind, data=b""):
        try:
            with self._lock:
                self._sock.sendall(HEAD.pack(number, kind, len(data)) + data)
        except OSError as e:
            raise Gone(f"agent port: {e}") from e

    def _read(self, count):
        data = bytearray()
        while len(data) < count:
            more = self._sock.recv(min(count - len(data), 1 << 20))
            if not more:
                raise EOFError
            data += more
        return bytes(data)

    def _reader(self):
        try:
            while True:
                number, kind, size = HEAD.unpack(self._read(HEAD.size))
                data = self._read(size)
                if kind == READY:
                    self.ready.set()
                    continue
                command = self._commands.get(number)
                if command:
                    command._frame(kind, data)
                    if kind == EXIT:
                        del self._commands[number]
        except (OSError, EOFError):
            pass
        with self._lock:
            self._closed = True
        for command in list(self._commands.values()):
            command.gone = True
            command._end()
