// SPDX-License-Identifier: GPL-2.0
/* Other nodes: what they announce, what they fetch, when they are lost. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "node/node.h"
#include "node/spec.h"
#include "node/store.h"
#include "shuffle/fetch.h"

/**
 * enum mr_node_message - kinds on MR_NODE_CHANNEL; never renumber
 * @MR_NODE_JOBS: {jobs: [share, ...]}: all jobs of the sender that run
 */
enum mr_node_message {
	MR_NODE_JOBS	= 1,
};

struct mr_peer *mr_peer_find(struct mr_node *node, const char *name)
{
	struct mr_peer *p;

	TAILQ_FOREACH(p, &node->peers, entry)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

/* --- announcements -------------------------------------------------------------- */

static void announce(struct mr_node *node)
{
	struct lockstep_msg msg = { .channel = MR_NODE_CHANNEL, .kind = MR_NODE_JOBS };
	struct json_object *o = json_object_new_object(), *jobs = mr_homes_announce(node);
	struct mr_peer *p;
	struct iovec iov;

	if (!o || !jobs)
		goto out_put;
	mr_shares_sync(node, TAILQ_FIRST(&node->peers), jobs);
	json_object_object_add(o, "jobs", json_object_get(jobs));
	iov.iov_base = (void *)json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	iov.iov_len = strlen(iov.iov_base);
	/* one that gets none now gets the next */
	TAILQ_FOREACH(p, &node->peers, entry)
		if (p->up)
			lockstep_peer_send(p->peer, &msg, &iov, 1);
out_put:
	json_object_put(jobs);
	json_object_put(o);
}

static void jobs_got(struct mr_peer *p, const void *data, size_t len)
{
	struct json_tokener *tok = json_tokener_new();
	struct json_object *o = NULL, *jobs;

	if (tok)
		o = json_tokener_parse_ex(tok, data, (int)len);
	if (json_object_object_get_ex(o, "jobs", &jobs) &&
	    json_object_is_type(jobs, json_type_array))
		mr_shares_sync(p->node, p, jobs);
	else
		lockstep_peer_reset(p->peer, "announcement not understood");
	json_object_put(o);
	if (tok)
		json_tokener_free(tok);
}

/* --- upcalls of the transport --------------------------------------------------- */

static void on_peer_state(struct lockstep_peer *peer, enum lockstep_plane plane, bool up,
			  const struct lockstep_link_info *info)
{
	struct mr_peer *p = lockstep_peer_user(peer);

	if (plane == LOCKSTEP_PLANE_BULK) {
		if (up)
			mr_fetcher_up(p->fetcher);
		return;
	}
	lockstep_info("%s: %s%s%s", p->name, up ? "connected" : "connection lost",
		      up ? "" : ": ", up ? "" : info->reason);
	p->up = up;
	p->down_ns = lockstep_clock_ns();
	if (!up)
		return;
	p->lost = false;
	p->node->announce_ns = 0;
	/* another process there: its workers, and what they had made, are gone */
	if (!lockstep_uuid_is_nil(&p->incarnation) &&
	    !lockstep_uuid_equal(&p->incarnation, &info->incarnation))
		mr_homes_node_lost(p->node, p->name);
	p->incarnation = info->incarnation;
}

static void on_peer_message(struct lockstep_peer *peer, const struct lockstep_msg *msg,
			    const void *data, size_t len)
{
	if (msg->channel == MR_NODE_CHANNEL && msg->kind == MR_NODE_JOBS)
		jobs_got(lockstep_peer_user(peer), data, len);
}

static void on_stream_open(struct lockstep_peer *peer, struct lockstep_stream *stream,
			   uint32_t kind, const void *data, size_t len)
{
	struct mr_node *node = ((struct mr_peer *)lockstep_peer_user(peer))->node;
	struct mr_region_request request;
	uint8_t content[MR_CONTENT_SIZE];
	char path[PATH_MAX];
	int ret;

	if (kind == MR_STREAM_REGION && !mr_region_request_decode(data, len, &request)) {
		ret = mr_share_run_find(node, &request, path);
		if (ret)
			lockstep_stream_reset(stream, -ret);
		else
			mr_serve_region(&node->serve, stream, path, &request);
	} else if (kind == MR_STREAM_FILE && !mr_file_request_decode(data, len, content)) {
		mr_store_path(node, content, path);
		mr_serve_file(&node->serve, stream, path);
	} else {
		lockstep_stream_reset(stream, EINVAL);
	}
}

static void lost(struct mr_peer *p)
{
	if (p->lost)
		return;
	p->lost = true;
	lockstep_warn("%s: not heard for %" PRIu64 " ms: what it held is made again elsewhere",
		      p->name, p->node->cfg.mr.silence_ms);
	mr_relays_break(p->node, p->name);
	mr_homes_node_lost(p->node, p->name);
}

static void on_silence(struct lockstep_peer *peer, uint64_t silent_ns, unsigned int count)
{
	(void)silent_ns;
	if (count != 1)
		return;
	lost(lockstep_peer_user(peer));
	/* TCP may believe in a dead connection for much longer */
	lockstep_peer_reset(peer, "not heard");
}

static void on_refused(struct lockstep_transport *t, const char *address, const char *name,
		       int error, const char *reason)
{
	struct mr_node *node = lockstep_transport_user(t);

	(void)error;
	lockstep_refusal_tell(&node->refusals, address, name, reason);
}

const struct lockstep_transport_ops mr_node_transport_ops = {
	.peer_state = on_peer_state,
	.peer_message = on_peer_message,
	.stream_open = on_stream_open,
	.silence = on_silence,
	.refused = on_refused,
};

void mr_peers_tick(struct mr_node *node, uint64_t now)
{
	struct mr_peer *p;

	TAILQ_FOREACH(p, &node->peers, entry)
		if (p->peer && !p->up &&
		    now - p->down_ns > node->cfg.mr.silence_ms * LOCKSTEP_NSEC_PER_MSEC)
			lost(p);
	if (node->announce_ns && now - node->announce_ns < MR_NODE_ANNOUNCE_NS)
		return;
	/* before, as it may itself ask for another one */
	node->announce_ns = now;
	announce(node);
}

/* --- set-up --------------------------------------------------------------------- */

static struct mr_peer *peer_new(struct mr_node *node, const char *name)
{
	struct mr_peer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->node = node;
	p->down_ns = lockstep_clock_ns();
	snprintf(p->name, sizeof(p->name), "%s", name);
	TAILQ_INSERT_TAIL(&node->peers, p, entry);
	return p;
}

static int peer_add(struct mr_node *node, const struct lockstepd_peer_config *cfg)
{
	struct lockstep_peer_config pc = {
		.node = cfg->node,
		.log_address = cfg->mr_address[0] ? cfg->mr_address : NULL,
	};
	struct mr_peer *p = peer_new(node, cfg->node);
	int ret;

	if (!p)
		return -ENOMEM;
	snprintf(p->address, sizeof(p->address), "%s", cfg->mr_address);
	ret = lockstep_peer_add(node->transport, &pc, p, &p->peer);
	if (!ret)
		ret = mr_fetcher_create(p->peer, (unsigned int)node->cfg.mr.silence_ms, &p->fetcher);
	return ret;
}

int mr_peers_create(struct mr_node *node, char *err, size_t errlen)
{
	struct mr_peer *self = peer_new(node, node->name);
	unsigned int i;
	int ret;

	if (!self)
		return -ENOMEM;
	ret = snprintf(self->address, sizeof(self->address), "unix:%s/" MR_NODE_SOCKET,
		       node->cfg.mr.run);
	if (ret >= (int)sizeof(self->address))
		return -ENAMETOOLONG;
	for (i = 0; i < node->cfg.npeers; i++) {
		ret = peer_add(node, &node->cfg.peers[i]);
		if (ret) {
			snprintf(err, errlen, "peer %s: %s%s", node->cfg.peers[i].node,
				 strerror(-ret),
				 ret == -EINVAL ? ": give its mapreduce-address or address, and not this node's own name" : "");
			return ret;
		}
	}
	return 0;
}

void mr_peers_destroy(struct mr_node *node)
{
	struct mr_peer *p;

	while ((p = TAILQ_FIRST(&node->peers))) {
		TAILQ_REMOVE(&node->peers, p, entry);
		mr_fetcher_destroy(p->fetcher);
		free(p);
	}
}
