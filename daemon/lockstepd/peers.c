// SPDX-License-Identifier: GPL-2.0
/* Peers: the core's nodes on the transport, and starting guests there. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/json.h"
#include "common/log.h"
#include "lockstepd/daemon.h"
#include "lockstepd/launch.h"

/**
 * struct request - a START that a peer has not answered
 * @id: in START and RESULT
 * @guest: its name
 * @sent: false: the peer was not there; sent when it is
 * @again: it was sent on a connection that broke, and is sent once more: a START of
 *	what runs already is answered as done
 */
struct request {
	LIST_ENTRY(request) entry;
	uint32_t id;
	char guest[LOCKSTEP_NAME_MAX];
	bool sent;
	bool again;
	void (*done)(int error, const char *text, void *arg);
	void *arg;
};

/**
 * struct peer - what is kept of a peer besides the core's node
 * @peer: the transport's
 * @requests: sent to it
 * @congested: its queue is above its mark
 * @deaf: we hear it, but it does not hear us: told once
 * @connect_error: why the last attempt failed: told once
 * @next_id: of requests
 */
struct peer {
	struct lockstepd *d;
	struct lockstep_node *node;
	struct lockstep_peer *peer;
	LIST_HEAD(, request) requests;
	bool congested;
	bool deaf;
	int connect_error;
	uint32_t next_id;
};

/* A START of a peer's that is being carried out here. */
struct service {
	struct lockstepd *d;
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	uint32_t id;
};

static void congested_set(struct peer *p, bool congested)
{
	if (p->congested == congested)
		return;
	p->congested = congested;
	p->d->congested += congested ? 1 : -1U;
	lockstepd_module_throttle(p->d);
}

int lockstepd_peer_send(void *user, struct lockstep_node *node, const struct lockstep_message *m)
{
	struct peer *p = node->user;
	uint8_t buf[LOCKSTEPD_MESSAGE_MAX];
	struct lockstep_msg msg = { .channel = LOCKSTEPD_CHANNEL, .kind = m->type };
	struct iovec iov[2];
	int n, ret, parts = 1;

	(void)user;
	n = lockstep_message_encode(m, buf, sizeof(buf));
	if (n < 0)
		return n;
	iov[0].iov_base = buf;
	iov[0].iov_len = (size_t)n;
	if (lockstep_message_carries_log(m->type)) {
		iov[1].iov_base = (void *)m->log.data;
		iov[1].iov_len = m->log.len;
		parts = 2;
	}
	ret = lockstep_peer_send(p->peer, &msg, iov, parts);
	if (ret == 1 || ret == -ENOBUFS)
		congested_set(p, true);
	return ret > 0 ? 0 : ret;
}

void lockstepd_peer_receive_pause(void *user, struct lockstep_node *node, bool pause)
{
	struct peer *p = node->user;

	(void)user;
	lockstep_peer_receive_pause(p->peer, pause);
}

/* --- START and RESULT ----------------------------------------------------- */

static void request_end(struct request *r, int error, const char *text)
{
	LIST_REMOVE(r, entry);
	if (r->done)
		r->done(error, text, r->arg);
	free(r);
}

/* The connection broke: what was sent on it goes on the next one, but not for ever. */
static void requests_break(struct peer *p, const char *text)
{
	struct request *r, *next;

	for (r = LIST_FIRST(&p->requests); r; r = next) {
		next = LIST_NEXT(r, entry);
		if (!r->sent)
			continue;
		if (r->again) {
			request_end(r, -ENOTCONN, text);
			continue;
		}
		r->again = true;
		r->sent = false;
	}
}

static int request_send(struct peer *p, struct request *r)
{
	struct lockstep_message m = { .type = LOCKSTEP_MESSAGE_START, .request = r->id };
	int ret;

	snprintf(m.text, sizeof(m.text), "%s", r->guest);
	ret = lockstepd_peer_send(p->d, p->node, &m);
	r->sent = !ret;
	return ret;
}

/* The peer is there: ask what waited for it. */
static void requests_send(struct peer *p)
{
	struct request *r;

	LIST_FOREACH(r, &p->requests, entry)
		if (!r->sent)
			request_send(p, r);
}

int lockstepd_peer_start(struct lockstepd *d, const char *node, const char *name,
			 void (*done)(int error, const char *text, void *arg), void *arg)
{
	struct lockstep_node *n;
	struct request *r;
	struct peer *p;
	int ret;

	TAILQ_FOREACH(n, &d->core.nodes, entry)
		if (!strcmp(n->name, node))
			break;
	if (!n)
		return -ENOENT;
	p = n->user;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->id = ++p->next_id;
	snprintf(r->guest, sizeof(r->guest), "%s", name);
	ret = request_send(p, r);
	if (ret && ret != -ENOTCONN) {
		free(r);
		return ret;
	}
	if (!ret) {
		r->done = done;
		r->arg = arg;
	}
	LIST_INSERT_HEAD(&p->requests, r, entry);
	return ret;
}

static void result_send(struct lockstepd *d, const char *node, uint32_t id, int error,
			const char *text)
{
	struct lockstep_message m = { .type = LOCKSTEP_MESSAGE_RESULT };
	struct lockstep_node *n;

	TAILQ_FOREACH(n, &d->core.nodes, entry)
		if (!strcmp(n->name, node))
			break;
	if (!n)
		return;
	m.request = id;
	m.error = (uint32_t)-error;
	snprintf(m.text, sizeof(m.text), "%s", text);
	lockstepd_peer_send(d, n, &m);
}

static void service_done(int error, const char *text, void *arg)
{
	struct service *s = arg;

	result_send(s->d, s->node, s->id, error, text);
	free(s);
}

static void start_got(struct peer *p, const struct lockstep_message *m)
{
	struct service *s;
	char err[512];
	int ret;

	if (lockstep_core_guest_find(&p->d->core, m->text)) {
		result_send(p->d, p->node->name, m->request, 0, "runs already");
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return;
	s->d = p->d;
	s->id = m->request;
	snprintf(s->node, sizeof(s->node), "%s", p->node->name);
	ret = lockstepd_launch(p->d->launcher, m->text, true, NULL, service_done, s, err,
			       sizeof(err));
	if (ret) {
		lockstep_warn("%s: asked for by %s: %s", m->text, p->node->name, err);
		service_done(ret, err, s);
	}
}

static void result_got(struct peer *p, const struct lockstep_message *m)
{
	struct request *r;

	LIST_FOREACH(r, &p->requests, entry)
		if (r->id == m->request)
			break;
	if (r)
		request_end(r, m->error ? -EREMOTEIO : 0, m->text);
}

/* --- upcalls of the transport --------------------------------------------- */

static void link_tell(const char *name, struct lockstep_peer *peer,
		      const struct lockstep_link_info *info)
{
	struct json_object *o = json_object_new_object();

	if (o) {
		lockstep_json_add_str(o, "peer", lockstep_peer_name(peer));
		lockstep_json_add_str(o, "address", info->address);
		if (info->error)
			lockstep_json_add_str(o, "reason", info->reason);
	}
	lockstep_event_emit(name, o);
}

static void on_peer_state(struct lockstep_peer *peer, enum lockstep_plane plane, bool up,
			  const struct lockstep_link_info *info)
{
	struct peer *p = lockstep_peer_user(peer);

	if (plane != LOCKSTEP_PLANE_LOG)
		return;
	congested_set(p, false);
	p->connect_error = 0;
	if (up) {
		link_tell("peer.up", peer, info);
		lockstep_core_node_up(&p->d->core, p->node, &info->boot_id);
		requests_send(p);
	} else {
		link_tell("peer.down", peer, info);
		requests_break(p, "the connection to the peer broke");
		lockstep_core_node_down(&p->d->core, p->node);
	}
	lockstepd_module_kick(p->d);
}

static void on_peer_message(struct lockstep_peer *peer, const struct lockstep_msg *msg,
			    const void *data, size_t len)
{
	struct peer *p = lockstep_peer_user(peer);
	struct lockstep_message m;
	int ret;

	if (msg->channel != LOCKSTEPD_CHANNEL)
		return;		/* a later version's, or a job's */
	ret = lockstep_message_decode(data, len, &m);
	if (ret || m.type != msg->kind) {
		lockstep_err("peer %s sends what can't be understood (%s): is it of the same version?",
			     p->node->name, ret ? strerror(-ret) : "kind");
		lockstep_peer_reset(peer, "message not understood");
		return;
	}
	switch (m.type) {
	case LOCKSTEP_MESSAGE_START:
		start_got(p, &m);
		break;
	case LOCKSTEP_MESSAGE_RESULT:
		result_got(p, &m);
		break;
	case LOCKSTEP_MESSAGE_BYE:
		lockstep_notice("peer %s ends in order", p->node->name);
		break;
	default:
		lockstep_core_message(&p->d->core, p->node, &m);
		break;
	}
	lockstepd_module_kick(p->d);
}

static void on_peer_writable(struct lockstep_peer *peer)
{
	struct peer *p = lockstep_peer_user(peer);

	congested_set(p, false);
	lockstep_core_writable(&p->d->core, p->node);
	lockstepd_module_kick(p->d);
}

static size_t on_heartbeat_fill(struct lockstep_peer *peer, void *buf, size_t size)
{
	struct peer *p = lockstep_peer_user(peer);
	struct lockstep_fact facts[LOCKSTEP_FACTS_MAX];
	size_t n = lockstep_core_facts(&p->d->core, p->node, facts, LOCKSTEP_FACTS_MAX);
	int len = lockstep_facts_encode(facts, n, buf, size);

	return len > 0 ? (size_t)len : 0;
}

static void silence_tell(const char *name, struct lockstep_peer *peer, uint64_t ns,
			 const char *remedy)
{
	struct json_object *o = json_object_new_object();

	if (o) {
		lockstep_json_add_str(o, "peer", lockstep_peer_name(peer));
		lockstep_json_add_u64(o, "silent_ms", ns / LOCKSTEP_NSEC_PER_MSEC);
		if (remedy)
			lockstep_json_add_str(o, "remedy", remedy);
	}
	lockstep_event_emit(name, o);
}

/* Heartbeats of a peer tell when it last heard ours. */
static void deaf_look(struct peer *p, const struct lockstep_heartbeat_info *info)
{
	bool deaf = info->peer_heard && info->peer_heard_ns >= p->d->core.cfg.silence_ns;

	if (deaf && !p->deaf)
		silence_tell("peer.deaf", p->peer, info->peer_heard_ns,
			     "it is heard, but hears nothing from here: the link fails in this direction only");
	p->deaf = deaf;
}

static void on_heartbeat(struct lockstep_peer *peer, const struct lockstep_heartbeat_info *info)
{
	struct peer *p = lockstep_peer_user(peer);
	struct lockstep_fact facts[LOCKSTEP_FACTS_MAX];
	int n = lockstep_facts_decode(info->payload, info->len, facts);

	deaf_look(p, info);
	if (n < 0)
		return;
	lockstep_core_heartbeat(&p->d->core, p->node, facts, (size_t)n);
	lockstepd_module_kick(p->d);
}

static void on_silence(struct lockstep_peer *peer, uint64_t silent_ns, unsigned int count)
{
	/* guests are judged one by one in the core; this is for people */
	if (count == 1)
		silence_tell("peer.silent", peer, silent_ns,
			     "see whether its host and its lockstepd run, and the log network in both directions");
}

static void on_heard(struct lockstep_peer *peer, uint64_t silent_ns)
{
	silence_tell("peer.heard", peer, silent_ns, NULL);
}

static void on_loop_gap(struct lockstep_transport *t, uint64_t gap_ns)
{
	struct lockstepd *d = lockstep_transport_user(t);

	lockstep_core_gap(&d->core, gap_ns);
	lockstepd_module_kick(d);
}

static void on_connect_failed(struct lockstep_peer *peer, enum lockstep_plane plane,
			      const struct lockstep_link_info *info)
{
	struct peer *p = lockstep_peer_user(peer);

	(void)plane;
	if (p->connect_error == info->error)
		return;
	p->connect_error = info->error;
	lockstep_info("peer %s at %s: %s (trying on)", lockstep_peer_name(peer), info->address,
		      info->reason);
}

static void on_refused(struct lockstep_transport *t, const char *address, const char *node,
		       int error, const char *reason)
{
	struct lockstepd *d = lockstep_transport_user(t);

	(void)error;
	lockstep_refusal_tell(&d->refusals, address, node, reason);
}

const struct lockstep_transport_ops lockstepd_transport_ops = {
	.peer_state = on_peer_state,
	.peer_message = on_peer_message,
	.peer_writable = on_peer_writable,
	.heartbeat_fill = on_heartbeat_fill,
	.heartbeat = on_heartbeat,
	.silence = on_silence,
	.heard = on_heard,
	.loop_gap = on_loop_gap,
	.connect_failed = on_connect_failed,
	.refused = on_refused,
};

/* --- set-up --------------------------------------------------------------- */

static int peer_add(struct lockstepd *d, const struct lockstepd_peer_config *cfg)
{
	struct lockstep_peer_config pc = {
		.node = cfg->node,
		.log_address = cfg->address[0] ? cfg->address : NULL,
		.bulk_address = cfg->bulk_address[0] ? cfg->bulk_address : NULL,
	};
	struct peer *p = calloc(1, sizeof(*p));
	int ret;

	if (!p)
		return -ENOMEM;
	p->d = d;
	LIST_INIT(&p->requests);
	p->node = lockstep_core_node_add(&d->core, cfg->node, p);
	if (!p->node) {
		free(p);
		return -ENOMEM;
	}
	ret = lockstep_peer_add(d->transport, &pc, p, &p->peer);
	return ret;
}

int lockstepd_peers_add(struct lockstepd *d, char *err, size_t errlen)
{
	unsigned int i;
	int ret;

	for (i = 0; i < d->cfg.npeers; i++) {
		ret = peer_add(d, &d->cfg.peers[i]);
		if (ret) {
			snprintf(err, errlen, "peer %s: %s%s", d->cfg.peers[i].node, strerror(-ret),
				 ret == -EINVAL ?
				 ": give its address, and not this node's own name" : "");
			return ret;
		}
	}
	return 0;
}

void lockstepd_peers_free(struct lockstepd *d)
{
	struct lockstep_node *n;
	struct request *r;
	struct peer *p;

	TAILQ_FOREACH(n, &d->core.nodes, entry) {
		p = n->user;
		while ((r = LIST_FIRST(&p->requests))) {
			LIST_REMOVE(r, entry);
			free(r);
		}
		free(p);
		n->user = NULL;
	}
}

void lockstepd_peers_bye(struct lockstepd *d)
{
	struct lockstep_message m = { .type = LOCKSTEP_MESSAGE_BYE };
	struct lockstep_node *n;

	TAILQ_FOREACH(n, &d->core.nodes, entry) {
		struct peer *p = n->user;

		if (n->up && !lockstepd_peer_send(d, n, &m))
			lockstep_peer_flush(p->peer);
	}
}
