// SPDX-License-Identifier: GPL-2.0
/* See pair.h. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "pair.h"

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000L + ts.tv_nsec / 1000000;
}

/* Nothing in it is open. */
void pair_init(struct pair *pair)
{
	memset(pair, 0, sizeof(*pair));
	pair->nl_p.fd = pair->nl_t.fd = pair->primary.fd = pair->twin.fd = -1;
	pair->primary.tap = pair->twin.tap = -1;
	pair->primary.vm = pair->twin.vm = VM_NONE;
}

/* The same, but for the VMs: after pair_close(), before another pair_open(). */
void pair_init_sides(struct pair *pair)
{
	struct vm primary = pair->primary.vm, twin = pair->twin.vm;

	pair_init(pair);
	pair->primary.vm = primary;
	pair->twin.vm = twin;
}

/* The daemons' sockets only: pair_open() opens them itself if they are not. */
int pair_open_netlink(struct pair *pair)
{
	int ret = nl_open(&pair->nl_p);

	return ret ?: nl_open(&pair->nl_t);
}

/* Both VMs exist and have their code. Attach them; 0 or -errno. */
int pair_open(struct pair *pair, const char *output_dev_p, const char *output_dev_t)
{
	int ret = 0;

	if (pair->nl_p.fd < 0)
		ret = pair_open_netlink(pair);
	if (!ret)
		ret = machine_open(&pair->primary, "test-p", LOCKSTEP_ROLE_PRIMARY,
				   LOCKSTEP_ATTACH_WAIT, output_dev_p);
	if (!ret)
		ret = machine_open(&pair->twin, "test-t", LOCKSTEP_ROLE_TWIN, 0, output_dev_t);
	if (!ret)
		ret = nl_bind(&pair->nl_p, pair->primary.attach.id);
	if (!ret)
		ret = nl_bind(&pair->nl_t, pair->twin.attach.id);
	/* A test that looks at something else meanwhile is no dead daemon. */
	if (!ret)
		ret = nl_set(&pair->nl_p, pair->primary.attach.id, LOCKSTEP_A_SILENCE_MS, 60000);
	if (!ret)
		ret = nl_set(&pair->nl_t, pair->twin.attach.id, LOCKSTEP_A_SILENCE_MS, 60000);
	if (ret)
		pair_close(pair);
	return ret;
}

/* The oldest batch that waits for the twin is gone. */
void pair_lose(struct pair *pair)
{
	struct nl_msg *msg = pair->waiting;

	pair->waiting = msg->next;
	if (!pair->waiting)
		pair->waiting_last = NULL;
	free(msg);
}

void pair_close(struct pair *pair)
{
	machine_close(&pair->primary);
	machine_close(&pair->twin);
	nl_close(&pair->nl_p);
	nl_close(&pair->nl_t);
	while (pair->waiting)
		pair_lose(pair);
}

/* From FREE to PROTECTED on both sides; 0 or -errno. */
int pair_protect(struct pair *pair)
{
	uint32_t p = pair->primary.attach.id, t = pair->twin.attach.id;
	const uint8_t *p_is = pair->primary.attach.instance, *t_is = pair->twin.attach.instance;
	int ret;

	ret = nl_event(&pair->nl_p, p, LOCKSTEP_EVENT_COLD_WON, 1, NULL);
	if (!ret)
		ret = nl_event(&pair->nl_p, p, LOCKSTEP_EVENT_BACKUP_FOUND, 0, t_is);
	if (!ret)
		ret = nl_event(&pair->nl_t, t, LOCKSTEP_EVENT_OFFERED, 0, p_is);
	if (!ret)
		ret = nl_event(&pair->nl_t, t, LOCKSTEP_EVENT_VERIFIED, 0, NULL);
	if (!ret)
		ret = nl_event(&pair->nl_t, t, LOCKSTEP_EVENT_ACTIVATE, PAIR_GENERATION, p_is);
	if (!ret)
		ret = nl_event(&pair->nl_p, p, LOCKSTEP_EVENT_READY, PAIR_GENERATION, t_is);
	return ret;
}

int pair_start(struct pair *pair)
{
	int ret = machine_start(&pair->primary);

	return ret ?: machine_start(&pair->twin);
}

/* Set @check of a batch of @len bytes, head and records. */
void pair_batch_seal(struct lockstep_batch *batch, size_t len)
{
	batch->check = 0;
	batch->check = XXH64(batch + 1, len - sizeof(*batch), XXH64(batch, sizeof(*batch), 0));
}

/* The twin's module: 1 taken, 0 no room now, or -errno. */
static int feed(struct pair *pair, struct nl_msg *msg)
{
	size_t len;
	struct lockstep_batch *batch = (void *)nl_get(msg, LOCKSTEP_A_BATCH, &len);
	int ret;

	if (!batch)
		return -EPROTO;
	if (pair->tamper) {
		pair->tamper(batch, len);
		len = sizeof(*batch) + batch->len;
		pair_batch_seal(batch, len);
	}
	ret = nl_feed(&pair->nl_t, pair->twin.attach.id, PAIR_GENERATION,
		      pair->primary.attach.instance, batch, len);
	if (ret == -EAGAIN)
		return 0;
	if (ret && !pair->feed_error)
		pair->feed_error = ret;
	pair->batches += !ret;
	return ret ?: 1;
}

static void feed_waiting(struct pair *pair, int most_ms)
{
	long end = now_ms() + most_ms;

	while (!pair->cut_log && pair->waiting && now_ms() <= end && feed(pair, pair->waiting))
		pair_lose(pair);
}

static void take_log(struct pair *pair, struct nl_msg *msg)
{
	msg->next = NULL;
	if (pair->waiting_last)
		pair->waiting_last->next = msg;
	else
		pair->waiting = msg;
	pair->waiting_last = msg;
}

static void give_ack(struct pair *pair)
{
	if (!pair->have_ack || pair->cut_acks)
		return;
	pair->have_ack = false;
	if (!nl_acked(&pair->nl_p, pair->primary.attach.id, PAIR_GENERATION,
		      pair->twin.attach.instance, &pair->ack))
		pair->acks++;
}

static void take_ack(struct pair *pair, const struct nl_msg *msg)
{
	size_t len;
	const void *ack = nl_get(msg, LOCKSTEP_A_ACK, &len);

	if (!ack || len != sizeof(pair->ack))
		return;
	memcpy(&pair->ack, ack, len);
	pair->have_ack = true;
	give_ack(pair);
}

/*
 * Carry what there is, wait at most so long for more; messages carried. A primary that
 * writes its log faster than it is carried must not keep us here: the rest is for later.
 */
int pair_step(struct pair *pair, int timeout_ms)
{
	struct pollfd fds[] = {
		{ .fd = pair->nl_p.fd, .events = POLLIN },
		{ .fd = pair->nl_t.fd, .events = POLLIN },
	};
	struct nl_msg *msg;
	int n = 0;
	long end;

	if (!pair->nl_p.first && !pair->nl_t.first)
		poll(fds, 2, timeout_ms);
	end = now_ms() + timeout_ms;
	while (now_ms() <= end && (msg = nl_next(&pair->nl_p, 0))) {
		n++;
		if (nl_cmd(msg) == LOCKSTEP_CMD_LOG)
			take_log(pair, msg);
		else
			free(msg);
	}
	feed_waiting(pair, timeout_ms);
	while ((msg = nl_next(&pair->nl_t, 0))) {
		n++;
		if (nl_cmd(msg) == LOCKSTEP_CMD_ACK)
			take_ack(pair, msg);
		free(msg);
	}
	give_ack(pair);
	return n;
}

/* Carry until @done says so; false: not within the time. */
bool pair_until(struct pair *pair, bool (*done)(struct pair *pair), int timeout_ms)
{
	long end = now_ms() + timeout_ms;

	while (!done(pair)) {
		if (now_ms() > end)
			return false;
		pair_step(pair, 20);
	}
	return true;
}

bool pair_both_ended(struct pair *pair)
{
	return pair->primary.end != MACHINE_RUNNING && pair->twin.end != MACHINE_RUNNING;
}

bool pair_twin_diverged(struct pair *pair)
{
	return nl_state(&pair->nl_t, pair->twin.attach.id) == LOCKSTEP_STATE_DIVERGED;
}

static bool is_drained(struct nl *nl, const struct machine *machine)
{
	struct nl_msg *reply = malloc(sizeof(*reply));
	bool drained = reply && !nl_guest_get(nl, machine->attach.id, reply) &&
		       nl_get_u32(reply, LOCKSTEP_A_FLAGS) & LOCKSTEP_FLAG_DRAINED;

	free(reply);
	return drained;
}

/* The twin contests and has consumed all it was given: only now it can win. */
bool pair_twin_drained(struct pair *pair)
{
	return is_drained(&pair->nl_t, &pair->twin);
}

/* The primary switches, and all it has put out is out, executed and known to be. */
bool pair_primary_drained(struct pair *pair)
{
	return is_drained(&pair->nl_p, &pair->primary);
}
