// SPDX-License-Identifier: GPL-2.0
/* The module's netlink family, see netlink.h. */
#include "lockstepd/netlink.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <linux/genetlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include "common/clock.h"
#include "common/log.h"

#define BUF_SIZE	(64 * 1024)
#define DATA_RCVBUF	(32 * 1024 * 1024)
#define EVENTS_RCVBUF	(1024 * 1024)
#define CALL_MS		300	/* patience with one attempt at a command */
#define CALL_TRIES	5

/* A message that came while a command waited for its reply. */
struct kept {
	STAILQ_ENTRY(kept) entry;
	size_t len;
	struct nlmsghdr nlh[];
};

struct lockstep_netlink {
	const struct lockstep_netlink_ops *ops;
	void *user;
	struct nl_sock *data;
	struct nl_sock *query;
	struct nl_sock *events;
	int family;
	uint32_t seq;
	STAILQ_HEAD(, kept) kept;
	/* received into while commands wait; another one for read() below */
	uint8_t *buf;
	uint8_t *read_buf;
};

/**
 * struct call - a command under way
 * @sk: socket it went out on
 * @seq: its sequence number
 * @reply: gets each reply's attributes, may be NULL
 * @arg: passed through
 * @result: 0 or -errno once @over
 * @over: the last reply was seen
 */
struct call {
	struct nl_sock *sk;
	uint32_t seq;
	void (*reply)(const void *attrs, size_t len, void *arg);
	void *arg;
	int result;
	bool over;
};

/* libnl's error codes tell less than errno; these are the ones that occur. */
static int nl_errno(int err)
{
	switch (-err) {
	case NLE_PERM:
		return -EPERM;
	case NLE_OBJ_NOTFOUND:
		return -ENOENT;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_AGAIN:
		return -EAGAIN;
	default:
		return -EIO;
	}
}

static int sock_open(struct nl_sock **out, int rcvbuf)
{
	struct nl_sock *sk = nl_socket_alloc();
	int one = 1, err, fd;

	if (!sk)
		return -ENOMEM;
	nl_socket_disable_auto_ack(sk);
	nl_socket_disable_seq_check(sk);
	err = genl_connect(sk);
	if (err < 0) {
		nl_socket_free(sk);
		return nl_errno(err);
	}
	fd = nl_socket_get_fd(sk);
	/* the privileged one first: net.core.rmem_max is small by default */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf, sizeof(rcvbuf)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
	/* an error reply must not carry a whole batch back */
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	*out = sk;
	return 0;
}

static int family_find(struct lockstep_netlink *nl)
{
	int ret, group;

	ret = genl_ctrl_resolve(nl->query, LOCKSTEP_GENL_NAME);
	if (ret < 0)
		return nl_errno(ret);
	nl->family = ret;
	group = genl_ctrl_resolve_grp(nl->query, LOCKSTEP_GENL_NAME, LOCKSTEP_GENL_EVENTS);
	if (group < 0)
		return nl_errno(group);
	ret = nl_socket_add_membership(nl->events, group);
	return ret < 0 ? nl_errno(ret) : 0;
}

int lockstep_netlink_create(const struct lockstep_netlink_ops *ops, void *user,
			    struct lockstep_netlink **out)
{
	struct lockstep_netlink *nl = calloc(1, sizeof(*nl));
	int ret = -ENOMEM;

	if (!nl)
		return -ENOMEM;
	nl->ops = ops;
	nl->user = user;
	nl->seq = (uint32_t)lockstep_clock_ns();
	STAILQ_INIT(&nl->kept);
	nl->buf = malloc(BUF_SIZE);
	nl->read_buf = malloc(BUF_SIZE);
	if (!nl->buf || !nl->read_buf)
		goto err;
	ret = sock_open(&nl->data, DATA_RCVBUF);
	if (ret)
		goto err;
	ret = sock_open(&nl->query, EVENTS_RCVBUF);
	if (ret)
		goto err;
	ret = sock_open(&nl->events, EVENTS_RCVBUF);
	if (ret)
		goto err;
	ret = family_find(nl);
	if (ret)
		goto err;
	*out = nl;
	return 0;
err:
	lockstep_netlink_destroy(nl);
	return ret;
}

void lockstep_netlink_destroy(struct lockstep_netlink *nl)
{
	struct kept *k;

	if (!nl)
		return;
	while ((k = STAILQ_FIRST(&nl->kept))) {
		STAILQ_REMOVE_HEAD(&nl->kept, entry);
		free(k);
	}
	if (nl->data)
		nl_socket_free(nl->data);
	if (nl->query)
		nl_socket_free(nl->query);
	if (nl->events)
		nl_socket_free(nl->events);
	free(nl->buf);
	free(nl->read_buf);
	free(nl);
}

int lockstep_netlink_data_fd(const struct lockstep_netlink *nl)
{
	return nl_socket_get_fd(nl->data);
}

int lockstep_netlink_events_fd(const struct lockstep_netlink *nl)
{
	return nl_socket_get_fd(nl->events);
}

bool lockstep_netlink_pending(const struct lockstep_netlink *nl)
{
	return !STAILQ_EMPTY(&nl->kept);
}

/*
 * One datagram into buf. Returns its length, 0 for one to skip (not from the
 * kernel), -EAGAIN when there is none.
 */
static ssize_t datagram_get(struct nl_sock *sk, void *buf)
{
	struct sockaddr_nl from = { 0 };
	struct iovec iov = { .iov_base = buf, .iov_len = BUF_SIZE };
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from),
		.msg_iov = &iov, .msg_iovlen = 1,
	};
	ssize_t n;

	do {
		n = recvmsg(nl_socket_get_fd(sk), &msg, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (msg.msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	return from.nl_pid ? 0 : n;
}

/* Attributes of a generic netlink message of our family, or NULL. */
static const void *attrs_of(const struct lockstep_netlink *nl, const struct nlmsghdr *nlh,
			    uint8_t *cmd, size_t *len)
{
	const struct genlmsghdr *g = nlmsg_data(nlh);

	if (nlh->nlmsg_type != nl->family || nlmsg_datalen(nlh) < (int)GENL_HDRLEN)
		return NULL;
	*cmd = g->cmd;
	*len = (size_t)nlmsg_datalen(nlh) - GENL_HDRLEN;
	return (const uint8_t *)g + GENL_HDRLEN;
}

static bool is_notification(const struct lockstep_netlink *nl, const struct nlmsghdr *nlh)
{
	uint8_t cmd;
	size_t len;

	return attrs_of(nl, nlh, &cmd, &len) &&
	       (cmd == LOCKSTEP_CMD_LOG || cmd == LOCKSTEP_CMD_ACK);
}

static int keep(struct lockstep_netlink *nl, const struct nlmsghdr *nlh)
{
	struct kept *k = malloc(sizeof(*k) + nlh->nlmsg_len);

	if (!k)
		return -ENOMEM;
	k->len = nlh->nlmsg_len;
	memcpy(k->nlh, nlh, nlh->nlmsg_len);
	STAILQ_INSERT_TAIL(&nl->kept, k, entry);
	return 0;
}

static void reply_take(struct lockstep_netlink *nl, const struct nlmsghdr *nlh, struct call *call)
{
	const struct nlmsgerr *e = nlmsg_data(nlh);
	const void *attrs;
	uint8_t cmd;
	size_t len;

	if (nlh->nlmsg_type == NLMSG_ERROR) {
		call->over = true;
		call->result = nlmsg_datalen(nlh) >= (int)sizeof(e->error) ? e->error : -EBADMSG;
		return;
	}
	if (nlh->nlmsg_type == NLMSG_DONE) {
		call->over = true;
		/* a dump ends with its error */
		if (nlmsg_datalen(nlh) >= (int)sizeof(int))
			call->result = *(const int *)nlmsg_data(nlh);
		return;
	}
	attrs = attrs_of(nl, nlh, &cmd, &len);
	if (attrs && call->reply)
		call->reply(attrs, len, call->arg);
}

/* Sort one datagram: replies to the call, the rest is kept for read(). */
static int datagram_sort(struct lockstep_netlink *nl, ssize_t n, struct call *call)
{
	struct nlmsghdr *nlh = (struct nlmsghdr *)nl->buf;
	int left = (int)n, ret;

	for (; nlmsg_ok(nlh, left); nlh = nlmsg_next(nlh, &left)) {
		if (is_notification(nl, nlh)) {
			ret = keep(nl, nlh);
			if (ret)
				return ret;
		} else if (call && nlh->nlmsg_seq == call->seq) {
			reply_take(nl, nlh, call);
		}
	}
	return 0;
}

/* Empty the socket, so that there is room for the reply to come. */
static int socket_drain(struct lockstep_netlink *nl, struct nl_sock *sk, struct call *call)
{
	ssize_t n;
	int ret;

	while (!call || !call->over) {
		n = datagram_get(sk, nl->buf);
		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		ret = datagram_sort(nl, n, call);
		if (ret)
			return ret;
	}
	return 0;
}

static int reply_wait(struct lockstep_netlink *nl, struct call *call)
{
	struct pollfd pfd = { .fd = nl_socket_get_fd(call->sk), .events = POLLIN };
	uint64_t end = lockstep_clock_ns() + CALL_MS * LOCKSTEP_NSEC_PER_MSEC;
	int ret;

	for (;;) {
		ret = socket_drain(nl, call->sk, call);
		if (ret || call->over)
			return ret;
		if (lockstep_clock_ns() >= end)
			return -ETIMEDOUT;
		poll(&pfd, 1, CALL_MS / 4);
	}
}

/*
 * Send a command and see its end. Consumes msg. The kernel does not wait with a
 * reply for room in a full socket; commands can be said twice, so that is done.
 */
static int call_run(struct lockstep_netlink *nl, struct nl_msg *msg, struct call *call)
{
	struct nlmsghdr *nlh = nlmsg_hdr(msg);
	int tries, ret = -ETIMEDOUT;

	call->over = false;
	call->result = 0;
	call->seq = ++nl->seq ? nl->seq : ++nl->seq;
	nlh->nlmsg_seq = call->seq;
	nl_complete_msg(call->sk, msg);
	for (tries = 0; tries < CALL_TRIES && ret == -ETIMEDOUT; tries++) {
		ret = socket_drain(nl, call->sk, NULL);
		if (ret)
			break;
		if (send(nl_socket_get_fd(call->sk), nlh, nlh->nlmsg_len, 0) < 0) {
			ret = -errno;
			break;
		}
		ret = reply_wait(nl, call);
	}
	nlmsg_free(msg);
	if (ret == -ETIMEDOUT)
		lockstep_err("the module does not answer netlink commands");
	return ret ? ret : call->result;
}

static struct nl_msg *command(struct lockstep_netlink *nl, uint8_t cmd, uint32_t id, int flags,
			      size_t room)
{
	struct nl_msg *msg = nlmsg_alloc_size(NLMSG_HDRLEN + GENL_HDRLEN + 256 + room);

	if (!msg)
		return NULL;
	if (!genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, nl->family, 0, flags, cmd,
			 LOCKSTEP_GENL_VERSION) ||
	    (id && nla_put_u32(msg, LOCKSTEP_A_ID, id))) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static int put_uuid(struct nl_msg *msg, int attr, const struct lockstep_uuid *u)
{
	return nla_put(msg, attr, sizeof(u->b), u->b);
}

/* A command on the data socket that is complete but for nothing. */
static int simple(struct lockstep_netlink *nl, struct nl_msg *msg)
{
	struct call call = { .sk = nl->data };

	return call_run(nl, msg, &call);
}

int lockstep_netlink_bind(struct lockstep_netlink *nl, uint32_t id)
{
	struct nl_msg *msg = command(nl, LOCKSTEP_CMD_BIND, id, NLM_F_ACK, 0);

	return msg ? simple(nl, msg) : -ENOMEM;
}

int lockstep_netlink_alive(struct lockstep_netlink *nl, uint32_t id)
{
	struct nl_msg *msg = command(nl, LOCKSTEP_CMD_ALIVE, id, NLM_F_ACK, 0);

	return msg ? simple(nl, msg) : -ENOMEM;
}

static void take_state(const void *attrs, size_t len, void *arg)
{
	struct nlattr *a = nla_find((struct nlattr *)attrs, (int)len, LOCKSTEP_A_STATE);

	if (a && nla_len(a) == sizeof(uint32_t))
		*(uint32_t *)arg = nla_get_u32(a);
}

int lockstep_netlink_event(struct lockstep_netlink *nl, uint32_t id, unsigned int event,
			   uint64_t generation, const struct lockstep_uuid *peer,
			   uint32_t *state)
{
	uint32_t now = LOCKSTEP_STATE_FREE;
	struct call call = { .sk = nl->data, .reply = take_state, .arg = &now };
	struct nl_msg *msg = command(nl, LOCKSTEP_CMD_EVENT, id, NLM_F_ACK, 0);
	int ret;

	if (!msg)
		return -ENOMEM;
	if (nla_put_u32(msg, LOCKSTEP_A_EVENT, event) ||
	    (generation && nla_put_u64(msg, LOCKSTEP_A_GENERATION, generation)) ||
	    (peer && put_uuid(msg, LOCKSTEP_A_PEER, peer))) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	ret = call_run(nl, msg, &call);
	if (!ret && state)
		*state = now;
	return ret;
}

int lockstep_netlink_feed(struct lockstep_netlink *nl, uint32_t id, uint64_t generation,
			  const struct lockstep_uuid *peer, const void *batch, size_t len)
{
	struct nl_msg *msg = command(nl, LOCKSTEP_CMD_FEED, id, NLM_F_ACK, len);

	if (!msg)
		return -ENOMEM;
	if (nla_put_u64(msg, LOCKSTEP_A_GENERATION, generation) ||
	    put_uuid(msg, LOCKSTEP_A_PEER, peer) ||
	    nla_put(msg, LOCKSTEP_A_BATCH, (int)len, batch)) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	return simple(nl, msg);
}

int lockstep_netlink_acked(struct lockstep_netlink *nl, uint32_t id, uint64_t generation,
			   const struct lockstep_uuid *peer, const struct lockstep_ack *ack)
{
	struct nl_msg *msg = command(nl, LOCKSTEP_CMD_ACKED, id, NLM_F_ACK, 0);

	if (!msg)
		return -ENOMEM;
	if (nla_put_u64(msg, LOCKSTEP_A_GENERATION, generation) ||
	    put_uuid(msg, LOCKSTEP_A_PEER, peer) ||
	    nla_put(msg, LOCKSTEP_A_ACK, sizeof(*ack), ack)) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	return simple(nl, msg);
}

int lockstep_netlink_rewind(struct lockstep_netlink *nl, uint32_t id, uint64_t lsn)
{
	struct nl_msg *msg = command(nl, LOCKSTEP_CMD_REWIND, id, NLM_F_ACK, 0);

	if (!msg)
		return -ENOMEM;
	if (nla_put_u64(msg, LOCKSTEP_A_LSN, lsn)) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	return simple(nl, msg);
}

int lockstep_netlink_set(struct lockstep_netlink *nl, uint32_t id, unsigned int attr,
			 uint32_t value)
{
	struct nl_msg *msg = command(nl, LOCKSTEP_CMD_SET, id, NLM_F_ACK, 0);

	if (!msg)
		return -ENOMEM;
	if (nla_put_u32(msg, (int)attr, value)) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	return simple(nl, msg);
}

struct dump {
	void (*fn)(const struct lockstep_guest_info *info, void *arg);
	void *arg;
	int result;
};

static void take_info(const void *attrs, size_t len, void *arg)
{
	struct lockstep_guest_info info;
	struct dump *d = arg;
	int ret;

	ret = lockstep_guest_info_parse(attrs, len, &info);
	if (ret)
		d->result = ret;
	else
		d->fn(&info, d->arg);
}

int lockstep_netlink_dump_raw(struct lockstep_netlink *nl,
			      void (*fn)(const void *attrs, size_t len, void *arg), void *arg)
{
	struct call call = { .sk = nl->query, .reply = fn, .arg = arg };
	struct nl_msg *msg = command(nl, LOCKSTEP_CMD_GUEST_GET, 0, NLM_F_DUMP, 0);

	return msg ? call_run(nl, msg, &call) : -ENOMEM;
}

int lockstep_netlink_dump(struct lockstep_netlink *nl,
			  void (*fn)(const struct lockstep_guest_info *info, void *arg), void *arg)
{
	struct dump d = { .fn = fn, .arg = arg };
	int ret = lockstep_netlink_dump_raw(nl, take_info, &d);

	return ret ? ret : d.result;
}

static void copy_info(const struct lockstep_guest_info *info, void *arg)
{
	*(struct lockstep_guest_info *)arg = *info;
}

int lockstep_netlink_get(struct lockstep_netlink *nl, uint32_t id, const char *name,
			 struct lockstep_guest_info *info)
{
	struct dump d = { .fn = copy_info, .arg = info };
	struct call call = { .sk = nl->query, .reply = take_info, .arg = &d };
	struct nl_msg *msg = command(nl, LOCKSTEP_CMD_GUEST_GET, id, NLM_F_ACK, 0);
	int ret;

	if (!msg)
		return -ENOMEM;
	if (!id && nla_put_string(msg, LOCKSTEP_A_NAME, name)) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	info->id = 0;
	ret = call_run(nl, msg, &call);
	if (ret || d.result)
		return ret ? ret : d.result;
	return info->id ? 0 : -EBADMSG;
}

/* Hand one notification out; what is malformed is not the module's: drop it. */
static void notify(struct lockstep_netlink *nl, const struct nlmsghdr *nlh)
{
	static struct nla_policy policy[LOCKSTEP_A_MAX + 1] = {
		[LOCKSTEP_A_ID] = { .type = NLA_U32 },
		[LOCKSTEP_A_GENERATION] = { .type = NLA_U64 },
		[LOCKSTEP_A_INSTANCE] = { .minlen = LOCKSTEP_UUID_LEN,
					  .maxlen = LOCKSTEP_UUID_LEN },
		[LOCKSTEP_A_BATCH] = { .minlen = sizeof(struct lockstep_batch) },
		[LOCKSTEP_A_ACK] = { .minlen = sizeof(struct lockstep_ack) },
	};
	struct nlattr *tb[LOCKSTEP_A_MAX + 1];
	struct lockstep_uuid instance;
	struct lockstep_ack ack;
	const void *attrs;
	uint8_t cmd;
	size_t len;

	attrs = attrs_of(nl, nlh, &cmd, &len);
	if (!attrs || !nl->ops ||
	    nla_parse(tb, LOCKSTEP_A_MAX, (struct nlattr *)attrs, (int)len, policy) < 0 ||
	    !tb[LOCKSTEP_A_ID] || !tb[LOCKSTEP_A_GENERATION] || !tb[LOCKSTEP_A_INSTANCE])
		return;
	memcpy(instance.b, nla_data(tb[LOCKSTEP_A_INSTANCE]), sizeof(instance.b));
	if (cmd == LOCKSTEP_CMD_LOG && tb[LOCKSTEP_A_BATCH] && nl->ops->log) {
		nl->ops->log(nl->user, nla_get_u32(tb[LOCKSTEP_A_ID]),
			     nla_get_u64(tb[LOCKSTEP_A_GENERATION]), &instance,
			     nla_data(tb[LOCKSTEP_A_BATCH]),
			     (size_t)nla_len(tb[LOCKSTEP_A_BATCH]));
	} else if (cmd == LOCKSTEP_CMD_ACK && tb[LOCKSTEP_A_ACK] && nl->ops->ack) {
		memcpy(&ack, nla_data(tb[LOCKSTEP_A_ACK]), sizeof(ack));
		nl->ops->ack(nl->user, nla_get_u32(tb[LOCKSTEP_A_ID]),
			     nla_get_u64(tb[LOCKSTEP_A_GENERATION]), &instance, &ack);
	}
}

int lockstep_netlink_read(struct lockstep_netlink *nl, unsigned int budget)
{
	unsigned int done = 0;
	struct nlmsghdr *nlh;
	struct kept *k;
	ssize_t n;
	int left;

	while (done < budget && (k = STAILQ_FIRST(&nl->kept))) {
		STAILQ_REMOVE_HEAD(&nl->kept, entry);
		notify(nl, k->nlh);
		free(k);
		done++;
	}
	/* an upcall may run a command, which keeps what it meets: that comes first */
	while (done < budget && !lockstep_netlink_pending(nl)) {
		n = datagram_get(nl->data, nl->read_buf);
		if (n == -EAGAIN)
			break;
		if (n < 0)
			return (int)n;
		nlh = (struct nlmsghdr *)nl->read_buf;
		for (left = (int)n; nlmsg_ok(nlh, left); nlh = nlmsg_next(nlh, &left))
			notify(nl, nlh);
		done++;
	}
	return (int)done;
}

int lockstep_netlink_read_events(struct lockstep_netlink *nl)
{
	struct lockstep_guest_info info;
	struct nlmsghdr *nlh;
	const void *attrs;
	uint8_t cmd;
	size_t len;
	int left, done = 0;
	ssize_t n;

	while ((n = datagram_get(nl->events, nl->read_buf)) >= 0) {
		nlh = (struct nlmsghdr *)nl->read_buf;
		for (left = (int)n; nlmsg_ok(nlh, left); nlh = nlmsg_next(nlh, &left)) {
			attrs = attrs_of(nl, nlh, &cmd, &len);
			if (!attrs || cmd != LOCKSTEP_CMD_STATE ||
			    lockstep_guest_info_parse(attrs, len, &info))
				continue;
			if (nl->ops && nl->ops->state)
				nl->ops->state(nl->user, &info);
			done++;
		}
	}
	return n == -EAGAIN ? done : (int)n;
}
