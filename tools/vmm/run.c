// SPDX-License-Identifier: GPL-2.0
/*
 * The vCPU's thread: run the guest until it ends
 *
 * Each turn of the loop is a stop: what the guest did is served (serve()), the
 * session says what is next here (at_stop()), an interrupt is raised, the guest
 * is entered.  What happens at a stop depends on the guest, the log and nothing
 * else, so a twin's turns are the primary's.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices.h"
#include "event.h"
#include "host.h"
#include "msr.h"
#include "pic.h"
#include "pio.h"
#include "run.h"
#include "session.h"
#include "start.h"
#include "stream.h"
#include "vcpu.h"
#include "vmm.h"

/* Inputs taken at one stop: more wait for the next one, so that the guest gets to run. */
#define INPUTS_MAX	64

/* ---- what the guest did ---- */

static void serve_io(struct vmm *vmm)
{
	struct kvm_run *run = vmm->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	/* A string instruction brings several at once. */
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		uint32_t value = 0;

		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&value, data, run->io.size);
			vmm_pio_out(vmm, run->io.port, run->io.size, le32toh(value));
		} else {
			value = htole32(vmm_pio_in(vmm, run->io.port, run->io.size));
			memcpy(data, &value, run->io.size);
		}
	}
}

/* Nothing is mapped: a bus without a device reads as ones. */
static void serve_mmio(struct vmm *vmm)
{
	vmm->counters.mmio++;
	if (!vmm->run->mmio.is_write)
		memset(vmm->run->mmio.data, 0xff, sizeof(vmm->run->mmio.data));
}

static void serve_halt(struct vmm *vmm)
{
	vmm->counters.halts++;
	/* Nothing can wake it but an NMI, and there are none: this is how a kernel without ACPI stops. */
	if (!vmm->run->if_flag)
		vmm_end(vmm, VMM_END_POWEROFF);
	vmm->halted = true;
}

static void serve(struct vmm *vmm)
{
	const struct kvm_run *run = vmm->run;

	vmm->counters.stops++;
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		serve_io(vmm);
		break;
	case KVM_EXIT_MMIO:
		serve_mmio(vmm);
		break;
	case KVM_EXIT_X86_RDMSR:
		vmm_msr_exit(vmm, false);
		break;
	case KVM_EXIT_X86_WRMSR:
		vmm_msr_exit(vmm, true);
		break;
	case KVM_EXIT_HLT:
		serve_halt(vmm);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:		/* CR8 was lowered: there is no APIC that it could matter to */
		break;
	case KVM_EXIT_SHUTDOWN:
		vmm_say(vmm, "the guest has crashed: triple fault");
		vmm_end(vmm, VMM_END_CRASH);
		break;
	default:
		vmm_say(vmm, "KVM stops with reason %u (suberror %u), which this machine can't serve",
			run->exit_reason,
			run->exit_reason == KVM_EXIT_INTERNAL_ERROR ? run->internal.suberror : 0);
		vmm_end(vmm, VMM_END_ERROR);
	}
}

/* ---- what comes from outside ---- */

/* The session's answer when this instance may not go on, or a host error. */
static void note_error(struct vmm *vmm, int err, const char *what)
{
	if (!err || err == -ESHUTDOWN)
		return;		/* the next verdict tells */
	if (err == -EILSEQ) {
		vmm_end(vmm, VMM_END_DIVERGED);
		return;
	}
	vmm_say(vmm, "%s: %s", what, strerror(-err));
	vmm_end(vmm, VMM_END_ERROR);
}

static int apply(struct vmm *vmm, uint16_t unit, uint16_t kind, const void *data, uint32_t len)
{
	int err;

	vmm->counters.inputs++;
	err = vmm_devices_apply(vmm, unit, kind, data, len);
	vmm_streams_flush(vmm);
	return err;
}

/* Live: log an input, then apply it. */
static int take(struct vmm *vmm, uint16_t unit, uint16_t kind, const void *data, uint32_t len)
{
	int err = vmm->session->input(vmm, unit, kind, data, len);

	if (err)
		return err;
	err = apply(vmm, unit, kind, data, len);
	if (err && err != -EILSEQ)
		vmm_say(vmm, "input %u of unit %u: %s", kind, unit, strerror(-err));
	return err;
}

/* Fire the timers that are due. Returns 0 or an error of the session. */
static int take_timers(struct vmm *vmm, uint64_t now)
{
	uint64_t payload = htole64(now);
	int err = 0;

	for (unsigned int i = 0; i < VMM_UNITS && !err; i++)
		if (vmm->timers[i].ns <= now)
			err = take(vmm, (uint16_t)i, vmm->timers[i].kind, &payload,
				   sizeof(payload));
	return err;
}

/* May this input be taken at this stop? State is looked at between instructions only. */
static bool fits_here(const struct vmm *vmm, const struct vmm_event *event)
{
	return event->unit != VMM_UNIT_CONTROL || vmm_vcpu_clean(vmm);
}

/* Live: take the inputs that wait; @now: virtual time. Returns 0 or an error of the session. */
static int take_inputs(struct vmm *vmm, uint64_t now)
{
	const struct vmm_event *event;
	int err;

	err = take_timers(vmm, now);
	for (unsigned int n = 0; n < INPUTS_MAX && !err && !vmm->ending; n++) {
		event = vmm_events_first(vmm);
		if (!event || !fits_here(vmm, event))
			break;
		err = take(vmm, event->unit, event->kind, event->data, event->len);
		/* What was not logged waits for a verdict. */
		if (err != -ESHUTDOWN)
			vmm_events_drop(vmm);
	}
	return err;
}

static bool is_idle(const struct vmm *vmm)
{
	return vmm->halted && !vmm_pic_pending(vmm);
}

/* Live and halted: sleep until an input is due. */
static void sleep_idle(struct vmm *vmm)
{
	uint64_t due = vmm_timers_next(vmm), now;
	int err;

	if (due != VMM_NEVER) {
		err = vmm->session->clock(vmm, LOCKSTEP_CLOCK_VIRTUAL, LOCKSTEP_CLOCK_PEEK, &now);
		if (err) {
			note_error(vmm, err, "clock");
			return;
		}
		if (due <= now)
			return;
		due -= now;
	}
	vmm_events_sleep(vmm, due);
}

/* ---- what is next here ---- */

static void go_live(struct vmm *vmm)
{
	vmm->live = true;
	vmm_say(vmm, "live: this host runs the guest now");
	vmm_streams_go_live(vmm);
	vmm_devices_go_live(vmm);
}

static void start_live(struct vmm *vmm)
{
	int err = vmm_start_live(vmm);

	/* Errors but the session's have been told; after that one, the next verdict tells. */
	if (err && err != -ESHUTDOWN)
		vmm_end(vmm, VMM_END_ERROR);
}

/* A twin that can't follow: the session hears of it, unless it was the one to say so. */
static void diverge(struct vmm *vmm, const char *what)
{
	static const uint64_t none[LOCKSTEP_DIGESTS];

	vmm_say(vmm, "diverged: %s", what);
	vmm->session->mismatch(vmm, none);
	vmm_end(vmm, VMM_END_DIVERGED);
}

/* A twin: one input of the log. */
static void apply_next(struct vmm *vmm, const struct vmm_next *next, const void *data)
{
	int err;

	if (next->unit == VMM_UNIT_BOOT)
		err = vmm_start_apply(vmm, next->kind, data, next->len);
	else if (!vmm->started)
		err = -EINVAL;
	else
		err = apply(vmm, next->unit, next->kind, data, next->len);
	if (err == -EILSEQ)
		vmm_end(vmm, VMM_END_DIVERGED);
	else if (err && err != -ESHUTDOWN)
		diverge(vmm, strerror(-err));
}

/*
 * Do what the verdict asks for.  Returns true when the guest is to be entered.
 * @stop: false: KVM_RUN was interrupted where nothing may happen
 */
static bool obey(struct vmm *vmm, const struct vmm_next *next, const void *data, bool stop)
{
	switch (next->verdict) {
	case LOCKSTEP_VERDICT_LIVE:
		if (!vmm->started)
			start_live(vmm);
		if (!vmm->started)
			return false;
		if (!vmm->live) {
			vmm->live = true;
			vmm_host_nudge(vmm);	/* what was typed so far may come in */
		}
		if (!stop)
			return true;
		note_error(vmm, take_inputs(vmm, next->clock), "an input could not be taken");
		if (!is_idle(vmm))
			return true;
		if (!vmm->ending)
			sleep_idle(vmm);
		return false;
	case LOCKSTEP_VERDICT_ENTER:
		if (vmm->started && (!stop || !is_idle(vmm)))
			return true;
		diverge(vmm, "the primary has gone on from a halt, or a start, where this twin waits");
		return false;
	case LOCKSTEP_VERDICT_APPLY:
		apply_next(vmm, next, data);
		return false;
	case LOCKSTEP_VERDICT_GO_LIVE:
		go_live(vmm);
		return false;
	case LOCKSTEP_VERDICT_HALT:
		vmm_say(vmm, "halted: the other host has the guest, or nobody may have it");
		vmm_end(vmm, VMM_END_HALTED);
		return false;
	case LOCKSTEP_VERDICT_POWEROFF:
		vmm_end(vmm, VMM_END_POWEROFF);
		vmm->settled = true;
		return false;
	default:
		vmm_say(vmm, "the module says %u, which means nothing", next->verdict);
		vmm_end(vmm, VMM_END_ERROR);
		return false;
	}
}

/* Ask and obey until the guest is to be entered or ends. */
static void at_stop(struct vmm *vmm, uint32_t flags, bool stop, void *data)
{
	struct vmm_next next;
	bool enter = false;
	int err;

	while (!enter && !vmm->ending) {
		if (vmm->quit) {
			vmm_end(vmm, VMM_END_QUIT);
			return;
		}
		if (is_idle(vmm))
			flags |= LOCKSTEP_NEXT_IDLE;
		err = vmm->session->next(vmm, flags, &next, data);
		flags = 0;
		if (err == -EINTR)
			continue;
		if (err) {
			note_error(vmm, err, "the module gives no verdict");
			if (err == -ESHUTDOWN)
				vmm_end(vmm, VMM_END_HALTED);
			return;
		}
		enter = obey(vmm, &next, data, stop);
	}
}

/* ---- the end ---- */

/* What the session says of the end. Returns true when that was the last word. */
static bool obey_at_the_end(struct vmm *vmm, uint32_t verdict)
{
	switch (verdict) {
	case LOCKSTEP_VERDICT_POWEROFF:
		return true;
	case LOCKSTEP_VERDICT_GO_LIVE:
		go_live(vmm);
		return false;
	case LOCKSTEP_VERDICT_LIVE:
		return false;
	case LOCKSTEP_VERDICT_HALT:
		vmm->ending = VMM_END_HALTED;
		return true;
	default:
		vmm->ending = VMM_END_DIVERGED;
		return true;
	}
}

/*
 * The guest ended itself, on both hosts at the same place.  The session is told,
 * and says when that is on record: a side that left before would have failed.  A
 * twin may hear that the primary is gone and the last outputs are its to send.
 */
static void finish(struct vmm *vmm, void *data)
{
	struct vmm_next next;
	int err;

	vmm_streams_flush(vmm);
	do {
		err = vmm->session->poweroff(vmm);
		if (err && err != -ESHUTDOWN) {
			vmm->ending = VMM_END_NONE;
			note_error(vmm, err, "the end of the guest could not be logged");
			return;
		}
		do {
			if (vmm->quit)
				return;
			err = vmm->session->next(vmm, 0, &next, data);
		} while (err == -EINTR);
		if (err) {
			vmm->ending = VMM_END_NONE;
			note_error(vmm, err, "the end of the guest is not confirmed");
			if (err == -ESHUTDOWN)
				vmm_end(vmm, VMM_END_HALTED);
			return;
		}
	} while (!obey_at_the_end(vmm, next.verdict));
}

/*
 * Into the guest, with the interrupt that waits.  An interrupted entry is made
 * again as it was.  Returns 0 at a stop, -EINTR, or another -errno.
 */
static int enter_guest(struct vmm *vmm, bool stop)
{
	int err;

	if (stop && vmm_pic_pending(vmm) && !vmm_vcpu_clean(vmm)) {
		err = vmm_vcpu_complete(vmm);
		if (err != -EINTR)
			return err;	/* the rest of the instruction is a stop of its own */
	}
	if (stop)
		vmm_vcpu_inject(vmm);
	vmm->halted = false;
	vmm->session->arm(vmm, vmm_timers_next(vmm));
	err = vmm_vcpu_run(vmm);
	vmm->run->immediate_exit = 0;
	return err;
}

void vmm_run(struct vmm *vmm)
{
	void *data = malloc(LOCKSTEP_PAYLOAD_MAX);
	uint32_t flags = 0;
	bool stop = true;
	int err;

	if (!data) {
		vmm_end(vmm, VMM_END_ERROR);
		return;
	}
	for (;;) {
		at_stop(vmm, flags, stop, data);
		if (vmm->ending)
			break;
		err = enter_guest(vmm, stop);
		if (err == -EINTR) {
			vmm->counters.interrupted++;
			flags = 0;
			stop = !vmm->session->stops_only;
			continue;
		}
		if (err) {
			vmm_end(vmm, VMM_END_ERROR);
			break;
		}
		serve(vmm);
		if (vmm->ending)
			break;
		if (vmm->halted)
			vmm_streams_flush(vmm);
		flags = LOCKSTEP_NEXT_STOP;
		stop = true;
	}
	if (!vmm->settled && (vmm->ending == VMM_END_POWEROFF || vmm->ending == VMM_END_RESET ||
			      vmm->ending == VMM_END_CRASH))
		finish(vmm, data);
	free(data);
}
