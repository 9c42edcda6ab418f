// SPDX-License-Identifier: GPL-2.0
/* See nl.h. Errors come back as -errno. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/genetlink.h>

#include "nl.h"

#define RECEIVE_BUFFER	(4 << 20)
#define REPLY_TIMEOUT	10000	/* ms */

static struct nlmsghdr *head_of(struct nl_msg *msg)
{
	return (struct nlmsghdr *)msg->buf;
}

static const struct nlattr *attrs_of(const struct nl_msg *msg, size_t *left)
{
	size_t skip = NLMSG_HDRLEN + GENL_HDRLEN;

	*left = msg->len > skip ? msg->len - skip : 0;
	return (const struct nlattr *)(msg->buf + skip);
}

static const struct nlattr *attr_find(const struct nlattr *attr, size_t left, uint16_t type)
{
	while (left >= NLA_HDRLEN && attr->nla_len >= NLA_HDRLEN && attr->nla_len <= left) {
		size_t step = NLA_ALIGN(attr->nla_len);

		if ((attr->nla_type & NLA_TYPE_MASK) == type)
			return attr;
		if (step >= left)
			break;
		left -= step;
		attr = (const struct nlattr *)((const uint8_t *)attr + step);
	}
	return NULL;
}

void nl_begin(struct nl_msg *msg, struct nl *nl, uint8_t cmd, uint16_t flags)
{
	struct genlmsghdr *genl;

	memset(msg->buf, 0, NLMSG_HDRLEN + GENL_HDRLEN);
	msg->len = NLMSG_HDRLEN + GENL_HDRLEN;
	*head_of(msg) = (struct nlmsghdr){
		.nlmsg_type = nl->family, .nlmsg_flags = NLM_F_REQUEST | flags,
		.nlmsg_seq = ++nl->seq,
	};
	genl = NLMSG_DATA(head_of(msg));
	genl->cmd = cmd;
	genl->version = LOCKSTEP_GENL_VERSION;
}

void nl_put(struct nl_msg *msg, uint16_t type, const void *data, size_t len)
{
	struct nlattr *attr = (struct nlattr *)(msg->buf + msg->len);

	if (msg->len + NLA_HDRLEN + NLA_ALIGN(len) > sizeof(msg->buf))
		abort();	/* a test that is wrong itself */
	attr->nla_len = NLA_HDRLEN + len;
	attr->nla_type = type;
	if (len)
		memcpy(attr + 1, data, len);
	memset((uint8_t *)(attr + 1) + len, 0, NLA_ALIGN(len) - len);
	msg->len += NLA_HDRLEN + NLA_ALIGN(len);
}

void nl_put_u32(struct nl_msg *msg, uint16_t type, uint32_t value)
{
	nl_put(msg, type, &value, sizeof(value));
}

void nl_put_u64(struct nl_msg *msg, uint16_t type, uint64_t value)
{
	nl_put(msg, type, &value, sizeof(value));
}

int nl_send(struct nl *nl, const struct nl_msg *msg)
{
	((struct nlmsghdr *)msg->buf)->nlmsg_len = msg->len;
	return send(nl->fd, msg->buf, msg->len, 0) < 0 ? -errno : 0;
}

/* One datagram, as the messages in it; only the first is looked at but for dumps. */
static struct nl_msg *receive(struct nl *nl, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = nl->fd, .events = POLLIN };
	struct nl_msg *msg;
	ssize_t len;

	if (poll(&poll_fd, 1, timeout_ms) <= 0)
		return NULL;
	msg = malloc(sizeof(*msg));
	if (!msg)
		return NULL;
	len = recv(nl->fd, msg->buf, sizeof(msg->buf), MSG_DONTWAIT);
	if (len < (ssize_t)NLMSG_HDRLEN) {
		free(msg);
		return NULL;
	}
	msg->len = len;
	msg->next = NULL;
	return msg;
}

static void enqueue(struct nl *nl, struct nl_msg *msg)
{
	if (nl->last)
		nl->last->next = msg;
	else
		nl->first = msg;
	nl->last = msg;
}

/* The oldest message nobody asked for, or NULL after the time-out; to be freed. */
struct nl_msg *nl_next(struct nl *nl, int timeout_ms)
{
	struct nl_msg *msg = nl->first;

	if (!msg)
		return receive(nl, timeout_ms);
	nl->first = msg->next;
	if (!nl->first)
		nl->last = NULL;
	return msg;
}

/*
 * Send a request and wait for its end; what else comes in is queued. @reply, if
 * not NULL, gets the (last) message that came before the end; len 0: none.
 */
int nl_talk(struct nl *nl, struct nl_msg *msg, struct nl_msg *reply)
{
	uint32_t seq = head_of(msg)->nlmsg_seq;
	struct nl_msg *in;
	int ret;

	if (reply)
		reply->len = 0;
	ret = nl_send(nl, msg);
	if (ret)
		return ret;
	while ((in = receive(nl, REPLY_TIMEOUT))) {
		struct nlmsghdr *head = head_of(in);

		if (head->nlmsg_seq != seq) {
			enqueue(nl, in);
			continue;
		}
		if (head->nlmsg_type == NLMSG_ERROR || head->nlmsg_type == NLMSG_DONE) {
			ret = *(int *)NLMSG_DATA(head);
			free(in);
			return ret;
		}
		if (reply) {
			memcpy(reply->buf, in->buf, in->len);
			reply->len = in->len;
		}
		free(in);
	}
	return -ETIMEDOUT;
}

uint8_t nl_cmd(const struct nl_msg *msg)
{
	return msg->buf[NLMSG_HDRLEN];
}

const void *nl_get(const struct nl_msg *msg, uint16_t type, size_t *len)
{
	size_t left;
	const struct nlattr *attr = attrs_of(msg, &left);

	attr = attr_find(attr, left, type);
	if (!attr)
		return NULL;
	if (len)
		*len = attr->nla_len - NLA_HDRLEN;
	return attr + 1;
}

uint32_t nl_get_u32(const struct nl_msg *msg, uint16_t type)
{
	const void *data = nl_get(msg, type, NULL);
	uint32_t value = 0;

	if (data)
		memcpy(&value, data, sizeof(value));
	return value;
}

uint64_t nl_get_u64(const struct nl_msg *msg, uint16_t type)
{
	const void *data = nl_get(msg, type, NULL);
	uint64_t value = 0;

	if (data)
		memcpy(&value, data, sizeof(value));
	return value;
}

/* A counter (enum lockstep_stat) of a reply to GUEST_GET. */
uint64_t nl_stat(const struct nl_msg *msg, uint16_t stat)
{
	const struct nlattr *attr;
	uint64_t value = 0;
	size_t len;
	const void *nest = nl_get(msg, LOCKSTEP_A_STATS, &len);

	attr = nest ? attr_find(nest, len, stat) : NULL;
	if (attr)
		memcpy(&value, attr + 1, sizeof(value));
	return value;
}

/* The only multicast group of the family, from nlctrl's description of it. */
static uint32_t group_of(const struct nl_msg *msg)
{
	size_t len;
	const struct nlattr *group = nl_get(msg, CTRL_ATTR_MCAST_GROUPS, &len);
	uint32_t id = 0;

	if (group && len > NLA_HDRLEN)
		group = attr_find(group + 1, group->nla_len - NLA_HDRLEN, CTRL_ATTR_MCAST_GRP_ID);
	if (group)
		memcpy(&id, group + 1, sizeof(id));
	return id;
}

/* 0, -ENOENT: no such family (the module is not loaded), or -errno. */
int nl_open(struct nl *nl)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	struct nl_msg *msg = malloc(sizeof(*msg)), *reply = malloc(sizeof(*reply));
	int size = RECEIVE_BUFFER, one = 1, ret = -ENOMEM;

	*nl = (struct nl){ .fd = -1, .family = GENL_ID_CTRL };
	if (!msg || !reply)
		goto out;
	nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (nl->fd < 0 || bind(nl->fd, (struct sockaddr *)&address, sizeof(address))) {
		ret = -errno;
		goto out;
	}
	if (setsockopt(nl->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(nl->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(nl->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	nl_begin(msg, nl, CTRL_CMD_GETFAMILY, NLM_F_ACK);
	nl_put(msg, CTRL_ATTR_FAMILY_NAME, LOCKSTEP_GENL_NAME, sizeof(LOCKSTEP_GENL_NAME));
	ret = nl_talk(nl, msg, reply);
	if (!ret) {
		uint16_t id = 0;
		const void *data = nl_get(reply, CTRL_ATTR_FAMILY_ID, NULL);

		if (data)
			memcpy(&id, data, sizeof(id));
		nl->family = id;
		nl->events = group_of(reply);
		ret = id ? 0 : -ENOENT;
	}
out:
	free(msg);
	free(reply);
	if (ret)
		nl_close(nl);
	return ret;
}

void nl_close(struct nl *nl)
{
	struct nl_msg *msg;

	while (nl->first && (msg = nl_next(nl, 0)))
		free(msg);
	if (nl->fd >= 0)
		close(nl->fd);
	nl->fd = -1;
}

int nl_join_events(struct nl *nl)
{
	return setsockopt(nl->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &nl->events,
			  sizeof(nl->events)) ? -errno : 0;
}

static int request(struct nl *nl, struct nl_msg *msg, struct nl_msg *reply)
{
	int ret = nl_talk(nl, msg, reply);

	free(msg);
	return ret;
}

static struct nl_msg *request_new(struct nl *nl, uint8_t cmd, uint32_t id)
{
	struct nl_msg *msg = malloc(sizeof(*msg));

	if (!msg)
		abort();
	nl_begin(msg, nl, cmd, NLM_F_ACK);
	nl_put_u32(msg, LOCKSTEP_A_ID, id);
	return msg;
}

int nl_guest_get(struct nl *nl, uint32_t id, struct nl_msg *reply)
{
	return request(nl, request_new(nl, LOCKSTEP_CMD_GUEST_GET, id), reply);
}

int nl_bind(struct nl *nl, uint32_t id)
{
	return request(nl, request_new(nl, LOCKSTEP_CMD_BIND, id), NULL);
}

int nl_alive(struct nl *nl, uint32_t id)
{
	return request(nl, request_new(nl, LOCKSTEP_CMD_ALIVE, id), NULL);
}

/* @generation 0 and @peer NULL are left out. */
int nl_event(struct nl *nl, uint32_t id, uint32_t event, uint64_t generation, const uint8_t *peer)
{
	struct nl_msg *msg = request_new(nl, LOCKSTEP_CMD_EVENT, id);

	nl_put_u32(msg, LOCKSTEP_A_EVENT, event);
	if (generation)
		nl_put_u64(msg, LOCKSTEP_A_GENERATION, generation);
	if (peer)
		nl_put(msg, LOCKSTEP_A_PEER, peer, LOCKSTEP_UUID_LEN);
	return request(nl, msg, NULL);
}

int nl_feed(struct nl *nl, uint32_t id, uint64_t generation, const uint8_t *peer,
	    const void *batch, size_t len)
{
	struct nl_msg *msg = request_new(nl, LOCKSTEP_CMD_FEED, id);

	nl_put_u64(msg, LOCKSTEP_A_GENERATION, generation);
	nl_put(msg, LOCKSTEP_A_PEER, peer, LOCKSTEP_UUID_LEN);
	nl_put(msg, LOCKSTEP_A_BATCH, batch, len);
	return request(nl, msg, NULL);
}

int nl_acked(struct nl *nl, uint32_t id, uint64_t generation, const uint8_t *peer,
	     const struct lockstep_ack *ack)
{
	struct nl_msg *msg = request_new(nl, LOCKSTEP_CMD_ACKED, id);

	nl_put_u64(msg, LOCKSTEP_A_GENERATION, generation);
	nl_put(msg, LOCKSTEP_A_PEER, peer, LOCKSTEP_UUID_LEN);
	nl_put(msg, LOCKSTEP_A_ACK, ack, sizeof(*ack));
	return request(nl, msg, NULL);
}

int nl_set(struct nl *nl, uint32_t id, uint16_t attr, uint32_t value)
{
	struct nl_msg *msg = request_new(nl, LOCKSTEP_CMD_SET, id);

	nl_put_u32(msg, attr, value);
	return request(nl, msg, NULL);
}

/* The guest's enum lockstep_state, or -errno. */
int nl_state(struct nl *nl, uint32_t id)
{
	struct nl_msg *reply = malloc(sizeof(*reply));
	int ret;

	if (!reply)
		return -ENOMEM;
	ret = nl_guest_get(nl, id, reply);
	if (!ret)
		ret = nl_get_u32(reply, LOCKSTEP_A_STATE);
	free(reply);
	return ret;
}
