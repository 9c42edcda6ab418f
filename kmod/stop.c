// SPDX-License-Identifier: GPL-2.0
/*
 * What the VMM may ask at a stop, see stop.h and the uapi header
 *
 * Each call has two halves: a side that lives takes the value from the host and
 * logs it; a twin takes it from the log.  A twin that goes live in the middle of a
 * call finishes it as a living side.
 */
#include <linux/uaccess.h>
#include "forced.h"
#include "replay.h"
#include "sender.h"
#include "stop.h"
#include "vcpu.h"

/* Sleep until this side lives, for calls that only a living side makes. */
static int wait_living(struct lockstep_guest *guest)
{
	int mode = lockstep_vcpu_wait_unparked(guest);

	if (mode < 0)
		return mode;
	return lockstep_mode_lives(mode) ? mode : -ESHUTDOWN;
}

/* Append a long record at this position, unless nothing is logged now. */
static int live_append(struct lockstep_guest *guest, struct lockstep_rec *rec)
{
	u32 size = sizeof(struct lockstep_record) + rec->len;
	int ret;

	for (;;) {
		ret = wait_living(guest);
		if (ret < 0)
			return ret;
		if (ret == LOCKSTEP_VCPU_RUN)
			return 0;
		if (lockstep_log_has_room(&guest->log, size))
			break;
		ret = lockstep_vcpu_room_wait(guest, size);
		if (ret)
			return ret;
	}
	lockstep_replay_here(guest, rec);
	lockstep_record_long_put(lockstep_log_end(&guest->log), rec);
	lockstep_log_push(&guest->log, size);
	guest->stats.records++;
	return 0;
}

/* ---- next ---- */

/* A guest that makes outputs faster than the gate lets them go waits here. */
static int gate_wait(struct lockstep_guest *guest)
{
	return wait_event_interruptible(guest->wq, !lockstep_gate_is_full(&guest->gate) ||
					READ_ONCE(guest->mode) != LOCKSTEP_VCPU_LOG ||
					lockstep_guest_is_over(guest));
}

/*
 * Before its first instruction a primary waits for the twin to have built the same
 * start and found it the same: a pair that does not fit has done nothing yet.
 */
static int start_wait(struct lockstep_guest *guest)
{
	return wait_event_interruptible(guest->wq, READ_ONCE(guest->executed) == guest->log.head ||
					READ_ONCE(guest->mode) != LOCKSTEP_VCPU_LOG ||
					lockstep_guest_is_over(guest));
}

/* The first step: under the lock, as a backup may be given only before it. */
static bool start(struct lockstep_guest *guest)
{
	mutex_lock(&guest->lock);
	if (lockstep_mode_lives(guest->mode))
		guest->started = true;
	mutex_unlock(&guest->lock);
	return guest->started;
}

/* Returns a verdict, -errno, or -EAGAIN: look at the state again. */
static int next_living(struct lockstep_guest *guest)
{
	if (READ_ONCE(guest->state) == LOCKSTEP_STATE_LIVE) {
		lockstep_clock_start(&guest->clock);
		if (!guest->told_live) {
			guest->told_live = true;
			return LOCKSTEP_VERDICT_GO_LIVE;
		}
		lockstep_guest_event(guest, LOCKSTEP_EVENT_WENT_LIVE, NULL);
		return -EAGAIN;
	}
	if (guest->flags & LOCKSTEP_FLAG_POWEROFF) {
		lockstep_guest_event(guest, LOCKSTEP_EVENT_POWEROFF, NULL);
		return -EAGAIN;
	}
	if (unlikely(!guest->started) && !start(guest))
		return -EAGAIN;
	lockstep_vcpu_throttle(guest);
	if (unlikely(!guest->count) && READ_ONCE(guest->mode) == LOCKSTEP_VCPU_LOG &&
	    start_wait(guest))
		return -EINTR;
	lockstep_clock_start(&guest->clock);
	if (unlikely(lockstep_gate_is_full(&guest->gate)) && gate_wait(guest))
		return -EINTR;
	return guest->at_stop ? LOCKSTEP_VERDICT_LIVE : LOCKSTEP_VERDICT_ENTER;
}

static int next_apply(struct lockstep_guest *guest, const struct lockstep_rec *rec,
		      struct lockstep_next *next)
{
	u32 room = next->len;
	int ret = lockstep_replay_match(guest, rec);

	if (ret)
		return -EAGAIN;		/* diverged: parked from here on */
	next->len = rec->len;
	if (room < rec->len)
		return -ENOSPC;
	if (copy_to_user(u64_to_user_ptr(next->data), rec->payload, rec->len))
		return -EFAULT;
	next->unit = rec->unit;
	next->kind = rec->kind;
	lockstep_replay_pop(guest, rec);
	guest->stats.inputs++;
	return LOCKSTEP_VERDICT_APPLY;
}

/*
 * A twin that has executed the power-off goes no further: it waits for CLOSED, or
 * to be live and power off itself. RESUME may have brought it back from ORPHAN.
 */
static int next_powered_off(struct lockstep_guest *guest)
{
	if (READ_ONCE(guest->state) != LOCKSTEP_STATE_CONTEST_B)
		lockstep_guest_event(guest, LOCKSTEP_EVENT_POWEROFF, NULL);
	if (wait_event_interruptible(guest->wq, lockstep_guest_is_over(guest) ||
				     READ_ONCE(guest->mode) != LOCKSTEP_VCPU_REPLAY))
		return -EINTR;
	return -EAGAIN;
}

/* Nothing (more) is taken at this stop; what comes before the next one is known. */
static int next_enter(struct lockstep_guest *guest, const struct lockstep_rec *rec)
{
	return lockstep_forced_look(guest, rec) ? -EAGAIN : LOCKSTEP_VERDICT_ENTER;
}

static int next_replay(struct lockstep_guest *guest, struct lockstep_next *next)
{
	struct lockstep_rec rec;
	int ret;

	if (guest->flags & LOCKSTEP_FLAG_POWEROFF)
		return next_powered_off(guest);
	if (!guest->at_stop)
		return LOCKSTEP_VERDICT_ENTER;
	ret = lockstep_replay_wait(guest, &rec, true);
	switch (ret) {
	case LOCKSTEP_REPLAY_RECORD:
		break;
	case LOCKSTEP_REPLAY_AHEAD:
		return next_enter(guest, NULL);
	case LOCKSTEP_REPLAY_LIVE:
		return -EAGAIN;
	default:
		return ret == -ESHUTDOWN || ret == -EILSEQ ? -EAGAIN : ret;
	}
	if (lockstep_record_is_short(rec.type) || rec.pos.count > guest->count)
		return next_enter(guest, &rec);
	if (rec.pos.count < guest->count) {
		lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_POSITION, rec.pos.count, guest->count);
		return -EAGAIN;
	}
	/* the other kinds are made on the way to the next stop, by the exit itself */
	return rec.type == LOCKSTEP_RECORD_INPUT ? next_apply(guest, &rec, next) :
						   next_enter(guest, &rec);
}

/* Nobody is there who could confirm a power-off, or needs to. */
static bool poweroff_alone(struct lockstep_guest *guest)
{
	return READ_ONCE(guest->state) == LOCKSTEP_STATE_STOPPING && !READ_ONCE(guest->portid) &&
	       guest->acked == guest->log.head;
}

static int next_parked(struct lockstep_guest *guest)
{
	if (poweroff_alone(guest))
		return LOCKSTEP_VERDICT_POWEROFF;
	/* the daemon may go while we wait: look again now and then */
	return lockstep_vcpu_park(guest) ?: -EAGAIN;
}

/**
 * lockstep_stop_next - LOCKSTEP_NEXT
 * @guest: vCPU's thread
 * @next:  in and out
 *
 * Errors as declared at struct lockstep_next.
 */
int lockstep_stop_next(struct lockstep_guest *guest, struct lockstep_next *next)
{
	int ret;

	if (next->flags & ~(LOCKSTEP_NEXT_STOP | LOCKSTEP_NEXT_IDLE))
		return -EINVAL;
	if (next->flags & LOCKSTEP_NEXT_STOP) {
		WRITE_ONCE(guest->at_stop, true);	/* see horizon_now() */
		smp_store_release(&guest->count, guest->count + 1);	/* after at_stop */
		lockstep_forced_at_stop(guest);
	}
	if (next->flags & LOCKSTEP_NEXT_IDLE && READ_ONCE(guest->mode) == LOCKSTEP_VCPU_LOG)
		lockstep_sender_flush(guest);
	do {
		if (lockstep_guest_is_over(guest))
			ret = guest->flags & LOCKSTEP_FLAG_POWEROFF ? LOCKSTEP_VERDICT_POWEROFF :
								      LOCKSTEP_VERDICT_HALT;
		else if (READ_ONCE(guest->mode) == LOCKSTEP_VCPU_PARK)
			ret = next_parked(guest);
		else if (READ_ONCE(guest->mode) == LOCKSTEP_VCPU_REPLAY)
			ret = next_replay(guest, next);
		else
			ret = next_living(guest);
	} while (ret == -EAGAIN);
	if (ret < 0)
		return ret;
	next->verdict = ret;
	/* for its timers: spares a living side one call at each stop */
	if (ret == LOCKSTEP_VERDICT_LIVE)
		next->clock = lockstep_clock_peek(&guest->clock);
	return 0;
}

/* ---- inputs and clocks ---- */

/**
 * lockstep_stop_input - LOCKSTEP_INPUT
 * @guest: vCPU's thread
 * @input: what to log
 *
 * Errors as declared at struct lockstep_input.
 */
int lockstep_stop_input(struct lockstep_guest *guest, const struct lockstep_input *input)
{
	struct lockstep_rec rec = {
		.type = LOCKSTEP_RECORD_INPUT,
		.unit = input->unit,
		.kind = input->kind,
		.len = input->len,
		.payload = guest->scratch,
	};
	int ret;

	if (input->unit >= LOCKSTEP_UNITS || input->len > LOCKSTEP_PAYLOAD_MAX || !guest->at_stop)
		return -EINVAL;
	if (copy_from_user(guest->scratch, u64_to_user_ptr(input->data), input->len))
		return -EFAULT;
	ret = live_append(guest, &rec);
	if (!ret)
		guest->stats.inputs++;
	return ret;
}

static int clock_virtual(struct lockstep_guest *guest, u64 *ns)
{
	struct lockstep_rec rec;
	bool stop;
	int ret;

	for (;;) {
		ret = lockstep_vcpu_wait_unparked(guest);
		if (ret < 0)
			return ret;
		if (lockstep_mode_lives(ret)) {
			if (!lockstep_vcpu_clock_log(guest, LOCKSTEP_RECORD_CLOCK, ns, &stop))
				return 0;
			ret = lockstep_vcpu_room_wait(guest, LOCKSTEP_SHORT_MAX);
		} else {
			ret = lockstep_replay_wait(guest, &rec, false);
			if (ret == LOCKSTEP_REPLAY_RECORD)
				break;
		}
		if (ret < 0)
			return ret;
	}
	if (rec.type != LOCKSTEP_RECORD_CLOCK)
		return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_TYPE, rec.type,
					LOCKSTEP_RECORD_CLOCK);
	WRITE_ONCE(guest->clock.last, guest->clock.last + rec.delta);
	*ns = guest->clock.last;
	lockstep_replay_pop(guest, &rec);
	return 0;
}

static int clock_wall(struct lockstep_guest *guest, u64 *ns)
{
	struct lockstep_rec rec;
	__le64 value;
	int ret;

	ret = lockstep_vcpu_wait_unparked(guest);
	if (ret == LOCKSTEP_VCPU_REPLAY)
		ret = lockstep_replay_expect(guest, LOCKSTEP_RECORD_WALL, &rec);
	else if (ret >= 0)
		ret = LOCKSTEP_REPLAY_LIVE;
	if (ret < 0)
		return ret;
	if (ret == LOCKSTEP_REPLAY_RECORD) {
		memcpy(&value, rec.payload, sizeof(value));
		*ns = le64_to_cpu(value);
		lockstep_replay_pop(guest, &rec);
		return 0;
	}
	*ns = ktime_get_real_ns();
	value = cpu_to_le64(*ns);
	rec = (struct lockstep_rec){
		.type = LOCKSTEP_RECORD_WALL,
		.len = sizeof(value),
		.payload = (const u8 *)&value,
	};
	return live_append(guest, &rec);
}

/**
 * lockstep_stop_clock - LOCKSTEP_CLOCK
 * @guest: vCPU's thread
 * @clock: in and out
 *
 * Errors as declared at struct lockstep_clock.
 */
int lockstep_stop_clock(struct lockstep_guest *guest, struct lockstep_clock *clock)
{
	if (clock->kind > LOCKSTEP_CLOCK_WALL || clock->flags & ~LOCKSTEP_CLOCK_PEEK)
		return -EINVAL;
	if (clock->flags & LOCKSTEP_CLOCK_PEEK) {
		if (clock->kind != LOCKSTEP_CLOCK_VIRTUAL)
			return -EINVAL;
		clock->ns = lockstep_clock_peek(&guest->clock);
		return 0;
	}
	return clock->kind == LOCKSTEP_CLOCK_WALL ? clock_wall(guest, &clock->ns) :
						    clock_virtual(guest, &clock->ns);
}

/* ---- outputs ---- */

static int output_match(struct lockstep_guest *guest, const struct lockstep_output *output,
			const struct lockstep_rec *rec)
{
	struct lockstep_output_rec want;

	memcpy(&want, rec->payload, sizeof(want));
	if (rec->unit != output->stream)
		return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_OUTPUT, rec->unit,
					output->stream);
	if (le64_to_cpu(want.index) != output->index)
		return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_OUTPUT,
					le64_to_cpu(want.index), output->index);
	if (le32_to_cpu(want.len) != output->len)
		return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_OUTPUT,
					le32_to_cpu(want.len), output->len);
	if (le64_to_cpu(want.hash) != output->hash)
		return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_OUTPUT,
					le64_to_cpu(want.hash), output->hash);
	return 0;
}

/* The gate stamps the frame that follows with this. */
static void output_stamp(struct lockstep_guest *guest, const struct lockstep_output *output,
			 u64 lsn)
{
	WRITE_ONCE(guest->made[output->stream], output->index);
	if (output->stream != LOCKSTEP_STREAM_NET)
		return;
	WRITE_ONCE(guest->stamp_index, output->index);
	WRITE_ONCE(guest->stamp_lsn, lsn);
}

static int output_live(struct lockstep_guest *guest, struct lockstep_output *output)
{
	struct lockstep_output_rec body = {
		.index = cpu_to_le64(output->index),
		.hash = cpu_to_le64(output->hash),
		.len = cpu_to_le32(output->len),
	};
	struct lockstep_rec rec = {
		.type = LOCKSTEP_RECORD_OUTPUT,
		.unit = output->stream,
		.len = sizeof(body),
		.payload = (const u8 *)&body,
	};
	int ret = live_append(guest, &rec);

	if (ret)
		return ret;
	output->lsn = guest->log.head;
	output_stamp(guest, output, output->lsn);
	/* what a twin kept goes first: this one joins it until GO_LIVE */
	output->verdict = READ_ONCE(guest->state) == LOCKSTEP_STATE_LIVE ?
			  LOCKSTEP_VERDICT_KEEP : LOCKSTEP_VERDICT_SEND;
	guest->stats.outputs++;
	lockstep_sender_flush(guest);
	return 0;
}

/**
 * lockstep_stop_output - LOCKSTEP_OUTPUT
 * @guest:  vCPU's thread
 * @output: in and out
 *
 * Errors as declared at struct lockstep_output.
 */
int lockstep_stop_output(struct lockstep_guest *guest, struct lockstep_output *output)
{
	struct lockstep_rec rec;
	int ret;

	if (output->stream >= LOCKSTEP_STREAMS || output->reserved)
		return -EINVAL;
	ret = lockstep_vcpu_wait_unparked(guest);
	if (ret < 0)
		return ret;
	if (ret == LOCKSTEP_VCPU_REPLAY)
		ret = lockstep_replay_expect(guest, LOCKSTEP_RECORD_OUTPUT, &rec);
	else
		ret = LOCKSTEP_REPLAY_LIVE;
	if (ret < 0)
		return ret;
	if (ret == LOCKSTEP_REPLAY_LIVE)
		return output_live(guest, output);
	ret = output_match(guest, output, &rec);
	if (ret)
		return ret;
	lockstep_replay_pop(guest, &rec);
	output->lsn = guest->log.tail;
	output_stamp(guest, output, output->lsn);
	output->verdict = LOCKSTEP_VERDICT_KEEP;
	guest->stats.outputs++;
	return 0;
}

/* ---- whole state, end ---- */

static int digest_match(struct lockstep_guest *guest, const struct lockstep_digest *digest,
			const struct lockstep_rec *rec)
{
	__le64 want[LOCKSTEP_DIGESTS];
	unsigned int i;

	memcpy(want, rec->payload, sizeof(want));
	for (i = 0; i < LOCKSTEP_DIGESTS; i++)
		if (le64_to_cpu(want[i]) != digest->digest[i])
			return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_STATE,
						le64_to_cpu(want[i]), digest->digest[i]);
	return 0;
}

/**
 * lockstep_stop_digest - LOCKSTEP_DIGEST
 * @guest:  vCPU's thread
 * @digest: of the whole state
 *
 * Returns 0, -EINTR, -ESHUTDOWN, or -EILSEQ (a twin: it differs).
 */
int lockstep_stop_digest(struct lockstep_guest *guest, const struct lockstep_digest *digest)
{
	__le64 value[LOCKSTEP_DIGESTS];
	struct lockstep_rec rec = {
		.type = LOCKSTEP_RECORD_DIGEST,
		.len = sizeof(value),
		.payload = (const u8 *)value,
	};
	unsigned int i;
	int ret;

	ret = lockstep_vcpu_wait_unparked(guest);
	if (ret < 0)
		return ret;
	if (ret == LOCKSTEP_VCPU_REPLAY) {
		ret = lockstep_replay_expect(guest, LOCKSTEP_RECORD_DIGEST, &rec);
		if (ret == LOCKSTEP_REPLAY_RECORD)
			ret = digest_match(guest, digest, &rec);
		if (!ret)
			lockstep_replay_pop(guest, &rec);
		return ret == LOCKSTEP_REPLAY_LIVE ? 0 : ret;
	}
	for (i = 0; i < LOCKSTEP_DIGESTS; i++)
		value[i] = cpu_to_le64(digest->digest[i]);
	return live_append(guest, &rec);
}

/**
 * lockstep_stop_mismatch - LOCKSTEP_MISMATCH
 * @guest:  vCPU's thread of a twin
 * @digest: wanted and found
 *
 * Returns -EILSEQ, or -EINVAL on a side that lives.
 */
int lockstep_stop_mismatch(struct lockstep_guest *guest, const struct lockstep_digest *digest)
{
	if (READ_ONCE(guest->mode) != LOCKSTEP_VCPU_REPLAY)
		return -EINVAL;
	return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_VMM, digest->digest[0],
				digest->digest[1]);
}

/**
 * lockstep_stop_poweroff - LOCKSTEP_POWEROFF
 * @guest: vCPU's thread
 *
 * Logged, or found in the log; LOCKSTEP_NEXT then waits until it is confirmed.
 * Returns 0, -EINTR, -ESHUTDOWN or -EILSEQ.
 */
int lockstep_stop_poweroff(struct lockstep_guest *guest)
{
	struct lockstep_rec rec = {
		.type = LOCKSTEP_RECORD_CONTROL,
		.kind = LOCKSTEP_CONTROL_POWEROFF,
	};
	int ret;

	ret = lockstep_vcpu_wait_unparked(guest);
	if (ret < 0)
		return ret;
	if (ret == LOCKSTEP_VCPU_REPLAY) {
		ret = lockstep_replay_expect(guest, LOCKSTEP_RECORD_CONTROL, &rec);
		if (ret < 0)
			return ret;
		if (ret == LOCKSTEP_REPLAY_RECORD) {
			if (rec.kind != LOCKSTEP_CONTROL_POWEROFF)
				return lockstep_diverge(guest, LOCKSTEP_DIVERGENCE_TYPE, rec.kind,
							LOCKSTEP_CONTROL_POWEROFF);
			lockstep_replay_pop(guest, &rec);
		}
	} else {
		ret = live_append(guest, &rec);
		if (ret)
			return ret;
		lockstep_sender_flush(guest);
	}
	/* a twin that went live meanwhile powers off from SOLO, see next_living() */
	mutex_lock(&guest->lock);
	guest->flags |= LOCKSTEP_FLAG_POWEROFF;
	mutex_unlock(&guest->lock);
	lockstep_guest_event(guest, LOCKSTEP_EVENT_POWEROFF, NULL);
	return 0;
}
