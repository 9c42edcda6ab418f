// SPDX-License-Identifier: GPL-2.0
/* The netlink family: who may do what, who is whose daemon, what is answered and told. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "machine.h"
#include "nl.h"
#include "test.h"

static struct machine machine;
static struct nl_msg reply;

FIXTURE(netlink)
{
	struct nl nl, other;
	uint32_t id;
};

FIXTURE_SETUP(netlink)
{
	NEED_MODULE();
	ASSERT_EQ(0, nl_open(&self->nl));
	ASSERT_EQ(0, nl_open(&self->other));
	machine.fd = -1;
	ASSERT_EQ(0, vm_create(&machine.vm, 0));
	ASSERT_EQ(0, machine_open(&machine, "netlink", LOCKSTEP_ROLE_PRIMARY, 0, ""));
	self->id = machine.attach.id;
}

FIXTURE_TEARDOWN(netlink)
{
	machine_close(&machine);
	vm_destroy(&machine.vm);
	nl_close(&self->nl);
	nl_close(&self->other);
}

TEST_F(netlink, guest_get)
{
	struct nl_msg msg;
	const char *name;
	size_t len;

	ASSERT_EQ(0, nl_guest_get(&self->nl, self->id, &reply));
	EXPECT_EQ(self->id, nl_get_u32(&reply, LOCKSTEP_A_ID));
	EXPECT_EQ(LOCKSTEP_STATE_FREE, nl_get_u32(&reply, LOCKSTEP_A_STATE));
	EXPECT_EQ(getpid(), nl_get_u32(&reply, LOCKSTEP_A_VMM_PID));
	EXPECT_EQ(0, nl_get_u32(&reply, LOCKSTEP_A_BOUND));
	name = nl_get(&reply, LOCKSTEP_A_NAME, &len);
	ASSERT_NE(NULL, name);
	EXPECT_STREQ("netlink", name);
	EXPECT_EQ(0, memcmp(machine.attach.instance, nl_get(&reply, LOCKSTEP_A_INSTANCE, &len),
			    LOCKSTEP_UUID_LEN));
	EXPECT_EQ(0, memcmp(machine.attach.uuid, nl_get(&reply, LOCKSTEP_A_UUID, &len),
			    LOCKSTEP_UUID_LEN));
	EXPECT_NE(NULL, nl_get(&reply, LOCKSTEP_A_STATS, &len));
	EXPECT_EQ(NULL, nl_get(&reply, LOCKSTEP_A_DIVERGENCE, &len));

	nl_begin(&msg, &self->nl, LOCKSTEP_CMD_GUEST_GET, NLM_F_ACK);
	nl_put(&msg, LOCKSTEP_A_NAME, "netlink", 8);
	EXPECT_EQ(0, nl_talk(&self->nl, &msg, &reply));
	EXPECT_EQ(self->id, nl_get_u32(&reply, LOCKSTEP_A_ID));
	nl_begin(&msg, &self->nl, LOCKSTEP_CMD_GUEST_GET, NLM_F_ACK);
	nl_put(&msg, LOCKSTEP_A_NAME, "nobody", 7);
	EXPECT_EQ(-ENODEV, nl_talk(&self->nl, &msg, NULL));
	EXPECT_EQ(-ENODEV, nl_guest_get(&self->nl, self->id + 1000, NULL));
	nl_begin(&msg, &self->nl, LOCKSTEP_CMD_GUEST_GET, NLM_F_ACK);
	EXPECT_EQ(-EINVAL, nl_talk(&self->nl, &msg, NULL));
	/* dump */
	nl_begin(&msg, &self->nl, LOCKSTEP_CMD_GUEST_GET, NLM_F_DUMP);
	EXPECT_EQ(0, nl_talk(&self->nl, &msg, &reply));
	EXPECT_LT(0, reply.len);
}

TEST_F(netlink, unknown_guest)
{
	uint8_t peer[LOCKSTEP_UUID_LEN] = { 0 };
	struct lockstep_ack ack = { 0 };
	struct lockstep_batch batch = { 0 };

	EXPECT_EQ(-ENODEV, nl_bind(&self->nl, 99999));
	EXPECT_EQ(-ENODEV, nl_alive(&self->nl, 99999));
	EXPECT_EQ(-ENODEV, nl_event(&self->nl, 99999, LOCKSTEP_EVENT_WON, 0, NULL));
	EXPECT_EQ(-ENODEV, nl_acked(&self->nl, 99999, 1, peer, &ack));
	EXPECT_EQ(-ENODEV, nl_feed(&self->nl, 99999, 1, peer, &batch, sizeof(batch)));
	EXPECT_EQ(-ENODEV, nl_set(&self->nl, 99999, LOCKSTEP_A_SILENCE_MS, 1000));
}

TEST_F(netlink, one_daemon)
{
	EXPECT_EQ(-EPERM, nl_alive(&self->nl, self->id));
	EXPECT_EQ(-EPERM, nl_event(&self->nl, self->id, LOCKSTEP_EVENT_COLD_WON, 1, NULL));
	EXPECT_EQ(0, nl_bind(&self->nl, self->id));
	EXPECT_EQ(0, nl_bind(&self->nl, self->id));
	EXPECT_EQ(-EBUSY, nl_bind(&self->other, self->id));
	EXPECT_EQ(-EPERM, nl_alive(&self->other, self->id));
	EXPECT_EQ(-EPERM, nl_event(&self->other, self->id, LOCKSTEP_EVENT_COLD_WON, 1, NULL));
	EXPECT_EQ(0, nl_alive(&self->nl, self->id));
	/* everybody may look */
	EXPECT_EQ(0, nl_guest_get(&self->other, self->id, &reply));
	EXPECT_EQ(1, nl_get_u32(&reply, LOCKSTEP_A_BOUND));
	/* closing the socket unbinds */
	nl_close(&self->nl);
	EXPECT_EQ(0, nl_bind(&self->other, self->id));
}

TEST_F(netlink, bounds)
{
	EXPECT_EQ(-ERANGE, nl_set(&self->nl, self->id, LOCKSTEP_A_SILENCE_MS, 0));
	EXPECT_EQ(-ERANGE, nl_set(&self->nl, self->id, LOCKSTEP_A_SILENCE_MS, 49));
	EXPECT_EQ(-ERANGE, nl_set(&self->nl, self->id, LOCKSTEP_A_SILENCE_MS, 60001));
	EXPECT_EQ(0, nl_set(&self->nl, self->id, LOCKSTEP_A_SILENCE_MS, 50));
	EXPECT_EQ(0, nl_set(&self->nl, self->id, LOCKSTEP_A_SILENCE_MS, 60000));
	ASSERT_EQ(0, nl_guest_get(&self->nl, self->id, &reply));
	EXPECT_EQ(60000, nl_get_u32(&reply, LOCKSTEP_A_SILENCE_MS));
}

/* A change of state is told to all who listen, with what made it. */
TEST_F(netlink, told)
{
	struct nl_msg *msg;
	bool seen = false;

	ASSERT_EQ(0, nl_join_events(&self->other));
	ASSERT_EQ(0, nl_bind(&self->nl, self->id));
	ASSERT_EQ(0, nl_event(&self->nl, self->id, LOCKSTEP_EVENT_COLD_WON, 7, NULL));
	while (!seen && (msg = nl_next(&self->other, 1000))) {
		seen = nl_cmd(msg) == LOCKSTEP_CMD_STATE &&
		       nl_get_u32(msg, LOCKSTEP_A_EVENT) == LOCKSTEP_EVENT_COLD_WON;
		if (seen) {
			EXPECT_EQ(self->id, nl_get_u32(msg, LOCKSTEP_A_ID));
			EXPECT_EQ(LOCKSTEP_STATE_FREE, nl_get_u32(msg, LOCKSTEP_A_OLD_STATE));
			EXPECT_EQ(LOCKSTEP_STATE_SOLO, nl_get_u32(msg, LOCKSTEP_A_STATE));
			EXPECT_EQ(7, nl_get_u64(msg, LOCKSTEP_A_GENERATION));
		}
		free(msg);
	}
	EXPECT_TRUE(seen);
	/* coming and going, too */
	machine_close(&machine);
	seen = false;
	while (!seen && (msg = nl_next(&self->other, 1000))) {
		seen = nl_get_u32(msg, LOCKSTEP_A_FLAGS) & LOCKSTEP_FLAG_GONE;
		free(msg);
	}
	EXPECT_TRUE(seen);
	EXPECT_EQ(-ENODEV, nl_guest_get(&self->nl, self->id, NULL));
}

/* Every command, by a process without CAP_NET_ADMIN; the number that was not refused. */
static int try_all(struct nl *nl, uint32_t id, int wanted)
{
	static struct nl_msg msg;
	uint8_t uuid[LOCKSTEP_UUID_LEN] = { 0 };
	struct lockstep_batch batch = { 0 };
	struct lockstep_ack ack = { 0 };
	int cmd, bad = 0;

	for (cmd = LOCKSTEP_CMD_GUEST_GET; cmd <= LOCKSTEP_CMD_MAX; cmd++) {
		if (cmd >= LOCKSTEP_CMD_LOG && cmd <= LOCKSTEP_CMD_STATE)
			continue;	/* never a request */
		nl_begin(&msg, nl, cmd, NLM_F_ACK);
		nl_put_u32(&msg, LOCKSTEP_A_ID, id);
		nl_put_u32(&msg, LOCKSTEP_A_EVENT, LOCKSTEP_EVENT_COLD_WON);
		nl_put_u64(&msg, LOCKSTEP_A_GENERATION, 1);
		nl_put_u64(&msg, LOCKSTEP_A_LSN, 0);
		nl_put(&msg, LOCKSTEP_A_PEER, uuid, sizeof(uuid));
		nl_put(&msg, LOCKSTEP_A_BATCH, &batch, sizeof(batch));
		nl_put(&msg, LOCKSTEP_A_ACK, &ack, sizeof(ack));
		bad += nl_talk(nl, &msg, NULL) != wanted;
	}
	nl_begin(&msg, nl, LOCKSTEP_CMD_GUEST_GET, NLM_F_DUMP);
	bad += nl_talk(nl, &msg, NULL) != wanted;
	return bad;
}

TEST_F(netlink, without_privilege)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct nl nl;

		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534) ||
		    nl_open(&nl))
			_exit(99);
		/* a socket that root opened helps as little */
		_exit(try_all(&nl, self->id, -EPERM) + try_all(&self->other, self->id, -EPERM));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(LOCKSTEP_STATE_FREE, nl_state(&self->nl, self->id));
}

/* Root of a user namespace of its own is nobody here. */
TEST_F(netlink, in_a_user_namespace)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct nl nl;

		if (unshare(CLONE_NEWUSER))
			_exit(4);
		if (nl_open(&nl))
			_exit(99);
		_exit(try_all(&nl, self->id, -EPERM));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 4)
		SKIP(return, "no user namespaces here");
	EXPECT_EQ(0, status);
}

TEST_F(netlink, in_a_network_namespace)
{
	struct nl nl;

	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	EXPECT_EQ(-ENOENT, nl_open(&nl));
}

/* The guest goes while its daemon waits for messages, and the other way round. */
TEST_F(netlink, close_in_any_order)
{
	int i;

	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, nl_bind(&self->nl, machine.attach.id));
		ASSERT_EQ(0, nl_event(&self->nl, machine.attach.id, LOCKSTEP_EVENT_COLD_WON, 1,
				      NULL));
		if (i & 1)
			nl_close(&self->nl);
		machine_close(&machine);
		if (i & 1)
			ASSERT_EQ(0, nl_open(&self->nl));
		ASSERT_EQ(0, machine_open(&machine, "netlink", LOCKSTEP_ROLE_PRIMARY, 0, ""));
	}
}

TEST_HARNESS_MAIN
