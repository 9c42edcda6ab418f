# SPDX-License-Identifier: GPL-2.0
"""Jobs of mrmaster and mrworkers in a folder of their own, and their oracle."""

import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

BUILD = os.environ.get("MR_BUILD") or os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                                  "../../build/mapreduce")
LONG = bool(os.environ.get("LOCKSTEP_LONG"))
SEED = int(os.environ.get("LOCKSTEP_SEED") or random.SystemRandom().randrange(1 << 32))
CHAOS = os.path.join(BUILD, "tests/apps/chaos.so")
LIMIT = 60  # seconds that a job may take

rng = random.Random(SEED)


class Failure(Exception):
    pass


def want(condition, text):
    if not condition:
        raise Failure(text)


def until(condition, text, seconds=LIMIT):
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        want(time.monotonic() < end, "after %d s still not: %s" % (seconds, text))
        time.sleep(0.01)


class Job:
    """A folder with inputs; processes that are ended with it."""

    def __init__(self, files=4, lines=400, base=None):
        self.dir = tempfile.mkdtemp(prefix="mr-test-", dir=base)
        self.socket = os.path.join(self.dir, "socket")
        self.inputs = []
        self.processes = []
        self.expected = collections.Counter()
        for i in range(files):
            self.input("in-%d" % i, lines)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for p in self.processes:
            if p.poll() is None:
                p.kill()
            p.wait()
            p.err.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def input(self, name, lines):
        words = ["w%d" % rng.randrange(1000) for _ in range(lines * 8)]
        with open(self.path(name), "w") as f:
            for i in range(lines):
                f.write(" ".join(words[i * 8:i * 8 + 8]) + "\n")
        self.expected.update(words)
        self.inputs.append(name)

    def start(self, program, *args, failpoint=None, cwd=None):
        env = dict(os.environ)
        env.pop("MR_FAILPOINT", None)
        if failpoint:
            env["MR_FAILPOINT"] = failpoint
        err = open(self.path("%s-%d.err" % (program, len(self.processes))), "w+")
        p = subprocess.Popen([os.path.join(BUILD, program), "--socket", self.socket, *map(str, args)],
                             cwd=cwd or self.dir, env=env, stderr=err, stdout=err)
        p.err = err
        self.processes.append(p)
        return p

    def master(self, *args, inputs=True, failpoint=None):
        return self.start("mrmaster", "-q", *args, *(self.inputs if inputs else []), failpoint=failpoint)

    def worker(self, app=CHAOS, failpoint=None, cwd=None, options=()):
        return self.start("mrworker", *options, app, failpoint=failpoint, cwd=cwd)

    def text(self, p):
        p.err.flush()
        with open(p.err.name) as f:
            return f.read()

    def done(self, p, status=0, seconds=LIMIT):
        """A process has to end, so."""
        try:
            p.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure("%s did not end within %d s; %s" % (p.args[0], seconds, self.text(p))) from None
        want(p.returncode == status, "%s ended with %d, not %d: %s" %
             (os.path.basename(p.args[0]), p.returncode, status, self.text(p)))

    def output(self, cwd=None):
        text = ""
        for name in sorted(os.listdir(cwd or self.dir)):
            if name.startswith("mr-out-"):
                with open(os.path.join(cwd or self.dir, name)) as f:
                    text += f.read()
        return "".join(sorted(text.splitlines(True)))

    def oracle(self):
        return "".join(sorted("%s %d\n" % item for item in self.expected.items()))

    def check(self, reduces=10):
        got = self.output()
        want(got == self.oracle(), "the output differs from the oracle's: %d lines, not %d" %
             (got.count("\n"), len(self.expected)))
        outs = sorted(n for n in os.listdir(self.dir) if n.startswith("mr-out-"))
        want(outs == sorted("mr-out-%d" % i for i in range(reduces)), "outputs are %s" % outs)

    def leftovers(self):
        return [n for n in os.listdir(self.dir) if n.startswith(".mr-")]

    def clean(self):
        want(not self.leftovers(), "left behind: %s" % self.leftovers())


class Tap:
    """Runs test functions; prints TAP."""

    def __init__(self):
        self.count = 0
        self.failed = 0
        print("# LOCKSTEP_SEED=%d" % SEED, flush=True)

    def test(self, name, function, *args):
        self.count += 1
        try:
            function(*args)
            print("ok %d - %s" % (self.count, name), flush=True)
        except Exception as e:
            self.failed += 1
            print("not ok %d - %s" % (self.count, name))
            text = str(e) if isinstance(e, Failure) else traceback.format_exc()
            for line in text.splitlines():
                print("#   " + line)
            sys.stdout.flush()

    def end(self):
        print("1..%d" % self.count)
        sys.exit(1 if self.failed else 0)
