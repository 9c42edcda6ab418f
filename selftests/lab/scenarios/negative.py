#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Proof that the lab can fail: hosts with something wrong must not be called good. With the debug kernel: whose
module makes mistakes of which that kernel tells."""

from labkit import HostError, ksft, parts, scenario

# A mistake of lockstep_mistake.ko, and what the kernel says of it. The later ones end lockdep's watch; a leak shows
# at the end.
MISTAKES = (("rcu", "suspicious RCU usage"), ("sleep", "sleeping function called from invalid context"),
            ("shift", "UBSAN: shift-out-of-bounds"), ("order", "possible circular locking dependency"),
            ("freed", "KASAN: use-after-free"), ("leak", "kmemleak: unreferenced object"))


def splat(lab, name, text):
    """A host whose kernel log says text."""
    h = lab.host(name).start()
    h.run(f"echo '<4>{text}' >/dev/kmsg")
    good, reason = h.finish()
    h.results.clear()
    lab.ok(not good and text in reason, f"a host is failed by '{text}'", (good, reason))


def mistakes(lab):
    """What only the debug kernel finds, in a module that does it."""
    h = lab.host("mistaken", files=ksft.modules("lockstep_mistake")).start()
    for kind, says in MISTAKES:
        h.run(f"insmod /lab/lockstep_mistake.ko kind={kind}", check=False)
        if kind == "leak":
            h.finish()
        else:
            lab.wait_for(lambda: says in h._log_text("verdict"), 30, says)
        lab.ok(says in h._log_text("verdict"), f"a host is failed by a module's mistake: {kind}")
    lab.ok(not h.verdict[0], "and is not called good")
    h.results.clear()


def main(lab):
    if parts.DEBUG_KERNEL:
        mistakes(lab)
        return
    splat(lab, "w", "WARNING: CPU: 0 PID: 1 at kernel/none.c:1 nothing+0x0/0x1")

    h = lab.host("forgiven", allow=["BUG: known one"]).start()
    try:
        h.run("exit 3")
        lab.ok(False, "a command that fails ends the scenario")
    except HostError as e:
        lab.ok("status 3" in str(e), "a command that fails ends the scenario", e)
    h.run("echo '<4>BUG: known one' >/dev/kmsg")
    lab.ok(h.finish()[0], "a line that the scenario forgives is forgiven")
    h.results.clear()

    h = lab.host("killed").start()
    h.run("echo '<4>BUG: sleeping function called from invalid context' >/dev/kmsg")
    lab.wait_for(lambda: "LAB-FAIL" in h._log_text("verdict"), 30, "the failure on the verdict port")
    h.kill()
    h.results.clear()
    lab.ok(not h.verdict[0], "a host that splats and is killed later is failed all the same", h.verdict)

    h = lab.host("panic").start()
    h.spawn("echo c >/proc/sysrq-trigger")
    h.process.wait(60)
    good, reason = h.finish()
    h.results.clear()
    lab.ok(not good, "a host that panics is failed", reason)

    h = lab.host("silent").start()
    h.spawn("reboot -f")
    h.process.wait(60)
    good, reason = h.finish()
    h.results.clear()
    lab.ok(not good and "no verdict" in reason, "a host that ends without a verdict is failed", reason)

    h = lab.host("stuck").start()
    h.pause()
    good, reason = h.finish(timeout=5)
    h.results.clear()
    lab.ok(not good and "no verdict" in reason, "a host that never answers is failed", reason)


scenario(main)
