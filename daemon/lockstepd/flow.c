// SPDX-License-Identifier: GPL-2.0
/* Log and acks of one guest on their way between module and peer, see core.h. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "kmod/state.h"
#include "lockstepd/core.h"

/* A batch on its way, compressed or not any more; belongs to the loop's thread. */
static uint64_t packed[(LOCKSTEPD_BATCH_MAX + 7) / 8];

#define HOLE_NS		(100 * LOCKSTEP_NSEC_PER_MSEC)	/* between requests to send again */

void lockstep_flow_begin(struct lockstep_guest *g, uint64_t lsn)
{
	lockstep_flow_end(g);
	g->flow.synced = true;
	g->flow.next = lsn;
	g->flow.end = lsn;
	g->flow.acked = lsn;
	g->flow.executed = lsn;
}

static void queue_pop(struct lockstep_guest *g)
{
	struct lockstep_feed *feed = STAILQ_FIRST(&g->flow.queue);
	struct lockstep_node *node = feed->node;

	STAILQ_REMOVE_HEAD(&g->flow.queue, entry);
	g->flow.queued -= feed->len;
	node->feed_bytes -= feed->len;
	if (node->paused && node->feed_bytes < LOCKSTEP_FEED_MAX / 2) {
		node->paused = false;
		g->core->ops->receive_pause(g->core->user, node, false);
	}
	free(feed);
}

void lockstep_flow_end(struct lockstep_guest *g)
{
	while (!STAILQ_EMPTY(&g->flow.queue))
		queue_pop(g);
	memset(&g->flow, 0, sizeof(g->flow));
	STAILQ_INIT(&g->flow.queue);
}

int lockstep_flow_resume(struct lockstep_guest *g, uint64_t lsn)
{
	int ret = g->core->ops->rewind(g->core->user, g->info.id, lsn);

	if (ret) {
		lockstep_warn("%s: the log can't be sent again from %llu: %s", g->info.name,
			      (unsigned long long)lsn, strerror(-ret));
		return ret;
	}
	g->flow.synced = true;
	g->flow.next = lsn;
	if (g->flow.end < lsn)
		g->flow.end = lsn;
	if (g->flow.acked < g->info.stats[LOCKSTEP_S_ACKED])
		g->flow.acked = g->info.stats[LOCKSTEP_S_ACKED];
	if (g->flow.executed < g->info.stats[LOCKSTEP_S_EXECUTED])
		g->flow.executed = g->info.stats[LOCKSTEP_S_EXECUTED];
	return 0;
}

/* --- primary -------------------------------------------------------------- */

void lockstep_flow_log(struct lockstep_guest *g, const void *batch, size_t len)
{
	struct lockstep_message m = lockstep_guest_message(g, LOCKSTEP_MESSAGE_LOG,
							   g->info.generation);
	uint64_t lsn, end;
	int ret;

	if (lockstep_batch_extent(batch, len, &lsn, &end)) {
		lockstep_err("%s: the module gave a batch that is none", g->info.name);
		return;
	}
	if (!lockstep_state_rule(g->state)->logs)
		return;
	if (end > g->flow.end) {
		if (g->flow.end <= g->flow.acked)
			g->progress_ns = lockstep_guest_now(g);
		if (g->flow.end <= g->flow.executed)
			g->executed_ns = lockstep_guest_now(g);
		g->flow.end = end;
	}
	/* behind a rewind, what was under way is out of order: it comes again */
	if (!g->flow.synced || lsn > g->flow.next || !g->node)
		return;
	m.log.data = batch;
	m.log.len = len;
	if (g->core->cfg.compress && g->node->lz4)
		lockstep_log_pack(&m, packed);
	ret = g->core->ops->send(g->core->user, g->node, &m);
	if (ret < 0) {
		g->flow.synced = false;
		if (ret != -ENOTCONN)
			lockstep_warn("%s: log not sent: %s", g->info.name, strerror(-ret));
		return;
	}
	if (end > g->flow.next)
		g->flow.next = end;
}

static void acked_got(struct lockstep_guest *g, const struct lockstep_message *m)
{
	uint64_t lsn = le64toh(m->ack.lsn), executed = le64toh(m->ack.executed);
	int ret;

	if (!lockstep_state_rule(g->state)->logs || m->generation != g->info.generation)
		return;
	ret = g->core->ops->acked(g->core->user, g->info.id, m->generation, &m->from, &m->ack);
	if (ret == -ESTALE)
		return;
	if (ret) {
		lockstep_warn("%s: ack of %llu refused: %s", g->info.name,
			      (unsigned long long)lsn, strerror(-ret));
		return;
	}
	g->progress_ns = lockstep_guest_now(g);
	if (lsn > g->flow.acked)
		g->flow.acked = lsn;
	if (executed > g->flow.executed) {
		g->flow.executed = executed;
		g->executed_ns = g->progress_ns;
	}
	/* the module sends nothing again that is acknowledged, whatever a rewind asked for */
	if (lsn > g->flow.next)
		g->flow.next = lsn;
}

static void rewind_got(struct lockstep_guest *g, const struct lockstep_message *m)
{
	if (!lockstep_state_rule(g->state)->logs || m->generation != g->info.generation)
		return;
	/* asked before what was acknowledged since: it has it by now */
	if (m->lsn < g->flow.acked)
		return;
	if (lockstep_flow_resume(g, m->lsn) == -ERANGE)
		lockstep_failover_lost(g, LOCKSTEP_EVENT_PEER_FAILED,
				       "the backup lacks log that is not held any more");
}

/* --- backup --------------------------------------------------------------- */

static void ask_again(struct lockstep_guest *g)
{
	struct lockstep_message m = lockstep_guest_message(g, LOCKSTEP_MESSAGE_REWIND,
							   g->info.generation);
	uint64_t now = lockstep_guest_now(g);

	if (g->flow.hole_ns && now - g->flow.hole_ns < HOLE_NS)
		return;
	g->flow.hole_ns = now;
	if (lockstep_guest_refresh(g) || !g->node)
		return;
	m.lsn = g->info.stats[LOCKSTEP_S_LSN];
	lockstep_notice("%s: log missing behind %llu: asking again", g->info.name,
			(unsigned long long)m.lsn);
	g->core->ops->send(g->core->user, g->node, &m);
}

/* Give one batch to the module. -EAGAIN: it has no room. Others are dealt with. */
static int feed_one(struct lockstep_guest *g, uint64_t generation, const void *batch, size_t len)
{
	int ret = g->core->ops->feed(g->core->user, g->info.id, generation, &g->info.peer,
				     batch, len);

	switch (ret) {
	case 0:
		g->flow.hole_ns = 0;
		break;
	case -EAGAIN:
		break;
	case -ERANGE:
		ask_again(g);
		break;
	case -ESTALE:
		lockstep_guest_refresh(g);	/* it moved: settled at the next turn */
		break;
	default:
		lockstep_err("%s: the module refuses a batch: %s", g->info.name, strerror(-ret));
		ask_again(g);
		break;
	}
	return ret;
}

static void enqueue(struct lockstep_guest *g, const struct lockstep_message *m)
{
	struct lockstep_node *node = g->node;
	struct lockstep_feed *feed;

	/* aligned for the batch's head; what can't be kept is a hole, and asked for again */
	feed = malloc(sizeof(*feed) + m->log.len);
	if (!feed)
		return;
	feed->node = node;
	feed->generation = m->generation;
	feed->len = m->log.len;
	memcpy(feed->batch, m->log.data, m->log.len);
	STAILQ_INSERT_TAIL(&g->flow.queue, feed, entry);
	g->flow.queued += feed->len;
	node->feed_bytes += feed->len;
	if (!node->paused && node->feed_bytes > LOCKSTEP_FEED_MAX) {
		node->paused = true;
		g->core->ops->receive_pause(g->core->user, node, true);
	}
}

void lockstep_flow_feed(struct lockstep_guest *g)
{
	struct lockstep_feed *feed;

	while ((feed = STAILQ_FIRST(&g->flow.queue))) {
		if (feed_one(g, feed->generation, feed->batch, feed->len) == -EAGAIN)
			return;
		queue_pop(g);
	}
}

static void log_got(struct lockstep_guest *g, const struct lockstep_message *m)
{
	if (!lockstep_state_rule(g->state)->acks || m->generation != g->info.generation)
		return;
	lockstep_flow_feed(g);
	if (!STAILQ_EMPTY(&g->flow.queue) ||
	    feed_one(g, m->generation, m->log.data, m->log.len) == -EAGAIN)
		enqueue(g, m);
}

void lockstep_flow_ack(struct lockstep_guest *g, const struct lockstep_ack *ack)
{
	if (!lockstep_state_rule(g->state)->acks)
		return;
	g->flow.ack = *ack;
	g->flow.ack_due = true;
}

void lockstep_flow_ack_flush(struct lockstep_guest *g)
{
	struct lockstep_message m;

	if (!g->flow.ack_due || g->gone || !g->node)
		return;
	g->flow.ack_due = false;
	/* acks are cumulative: one that is lost is made up for by HELLO or the next */
	m = lockstep_guest_message(g, LOCKSTEP_MESSAGE_ACK, g->info.generation);
	m.ack = g->flow.ack;
	g->core->ops->send(g->core->user, g->node, &m);
}

static void log_lz4_got(struct lockstep_guest *g, const struct lockstep_message *m)
{
	struct lockstep_message log = *m;

	if (!lockstep_state_rule(g->state)->acks || m->generation != g->info.generation)
		return;
	if (!lockstep_log_unpack(&log, packed)) {
		log_got(g, &log);
		return;
	}
	lockstep_err("%s: %s sends log that can't be decompressed", g->info.name,
		     g->node ? g->node->name : "its primary");
	ask_again(g);
}

void lockstep_flow_message(struct lockstep_guest *g, const struct lockstep_message *m)
{
	switch (m->type) {
	case LOCKSTEP_MESSAGE_LOG_LZ4:
		log_lz4_got(g, m);
		break;
	case LOCKSTEP_MESSAGE_LOG:
		log_got(g, m);
		break;
	case LOCKSTEP_MESSAGE_ACK:
		acked_got(g, m);
		break;
	case LOCKSTEP_MESSAGE_REWIND:
		rewind_got(g, m);
		break;
	default:
		break;
	}
}
