// SPDX-License-Identifier: GPL-2.0
/*
 * Random netlink requests and ioctls at guests in all states: nothing of it may
 * hurt the kernel (whoever runs this looks at its log), nothing may stay behind, and
 * afterwards the module works. And a log that was changed on its way to a twin: it is
 * refused, or found not to be what the twin does; the twin never goes on with it.
 *
 * What repeats a run is printed; LOCKSTEP_FUZZ sets how many rounds it has.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/genetlink.h>

#include "kselftest_harness.h"
#include "chance.h"
#include "pair.h"
#include "test.h"

#define ROUNDS		20000	/* of requests */
#define CHANGES		60	/* of logs */
#define RECORDS_MAX	256	/* of a batch that are changed */
#define LONGER		20	/* times as many in a campaign */

static struct pair pair;
static struct chance chance;

static uint32_t rnd(uint32_t below)
{
	return chance_below(&chance, below);
}

/* A number that is interesting more often than not. */
static uint64_t number(void)
{
	static const uint64_t edges[] = {
		0, 1, 2, 79, 80, 255, 256, 4096, 16384, 32768, 65535, 65536, 0x7fffffff,
		0x80000000, 0xffffffff, 1ULL << 32, 1ULL << 62, ~0ULL >> 1, ~0ULL - 1, ~0ULL,
	};

	switch (rnd(4)) {
	case 0:
		return rnd(40);
	case 1:
		return edges[rnd(ARRAY_SIZE(edges))];
	case 2:
		return (uint64_t)rnd(~0U) << 32 | rnd(~0U);
	default:
		return 2;
	}
}

/* A batch that passes for one up to a point. */
static size_t batch_make(uint8_t *buf)
{
	struct lockstep_batch *batch = (struct lockstep_batch *)buf;
	size_t len = rnd(300);

	memset(batch, 0, sizeof(*batch));
	chance_fill(&chance, buf + sizeof(*batch), len);
	batch->magic = LOCKSTEP_BATCH_MAGIC;
	batch->version = LOCKSTEP_ABI_VERSION;
	batch->len = rnd(4) ? len : number();
	batch->lsn = rnd(2) ? 0 : number();
	batch->horizon = number();
	batch->released[0] = number();
	if (rnd(2) && len)
		buf[sizeof(*batch)] = 1 + rnd(3);
	if (rnd(3))
		pair_batch_seal(batch, sizeof(*batch) + len);
	return sizeof(*batch) + len;
}

static void attribute(struct nl_msg *msg)
{
	static uint8_t buf[1024];
	uint16_t type = rnd(8) ? 1 + rnd(LOCKSTEP_A_MAX) : rnd(65536);
	uint64_t value = number();
	uint32_t ids[] = { pair.primary.attach.id, pair.twin.attach.id };

	if (msg->len > NL_BUF / 2)
		return;
	switch (rnd(8)) {
	case 0:
		nl_put(msg, type, buf, rnd(64));
		break;
	case 1:
		nl_put_u32(msg, type, value);
		break;
	case 2:
		nl_put_u64(msg, type, value);
		break;
	case 3:
		nl_put_u32(msg, LOCKSTEP_A_EVENT, 1 + rnd(LOCKSTEP_EVENT_MAX + 2));
		break;
	case 4:
		nl_put(msg, LOCKSTEP_A_BATCH, buf, batch_make(buf));
		break;
	case 5:
		chance_fill(&chance, buf, 16);
		nl_put(msg, LOCKSTEP_A_PEER, rnd(2) ? pair.primary.attach.instance :
		       rnd(2) ? pair.twin.attach.instance : buf, LOCKSTEP_UUID_LEN);
		break;
	case 6:
		nl_put_u64(msg, LOCKSTEP_A_GENERATION, rnd(2) ? PAIR_GENERATION : value);
		break;
	default:
		nl_put_u32(msg, LOCKSTEP_A_ID, ids[rnd(2)]);
		break;
	}
}

static void request_random(struct nl *nl)
{
	static struct nl_msg msg;
	unsigned int n = rnd(7), i;
	struct nl_msg *answer;

	nl_begin(&msg, nl, rnd(8) ? 1 + rnd(LOCKSTEP_CMD_MAX) : rnd(256),
		 rnd(16) ? NLM_F_ACK : rnd(65536));
	nl_put_u32(&msg, LOCKSTEP_A_ID, rnd(2) ? pair.primary.attach.id : pair.twin.attach.id);
	for (i = 0; i < n; i++)
		attribute(&msg);
	/* broken from the outside: lengths that lie, bits that flip */
	if (!rnd(4)) {
		size_t at = NLMSG_HDRLEN + GENL_HDRLEN + rnd(msg.len - NLMSG_HDRLEN);

		if (at < msg.len)
			msg.buf[at] ^= 1 << rnd(8);
	}
	if (!rnd(8))
		msg.len -= rnd(msg.len - NLMSG_HDRLEN - GENL_HDRLEN);
	nl_send(nl, &msg);
	while ((answer = nl_next(nl, 0)))
		free(answer);
}

/* Both sides and their VMs from the start, attached. */
static void anew(struct __test_metadata *_metadata)
{
	struct vm *vms[] = { &pair.primary.vm, &pair.twin.vm };
	int i;

	pair_close(&pair);
	for (i = 0; i < 2; i++) {
		vm_destroy(vms[i]);
		ASSERT_EQ(0, vm_create(vms[i], 0));
		VM_LOAD(vms[i], devices);
		vm_set_esi(vms[i], 1000000);
	}
	pair_init_sides(&pair);
	ASSERT_EQ(0, pair_open(&pair, "", ""));
}

FIXTURE(fuzz)
{
};

FIXTURE_SETUP(fuzz)
{
	NEED_MODULE();
	pair_init(&pair);
	anew(_metadata);
}

FIXTURE_TEARDOWN(fuzz)
{
	pair_close(&pair);
	vm_destroy(&pair.primary.vm);
	vm_destroy(&pair.twin.vm);
}

/* After all that a new pair does what a pair does. */
static bool twin_runs(struct pair *p)
{
	return vm_data32(&p->twin.vm, 1) > 5;
}

static void still_works(struct __test_metadata *_metadata)
{
	anew(_metadata);
	ASSERT_EQ(0, pair_protect(&pair));
	ASSERT_EQ(0, pair_start(&pair));
	EXPECT_TRUE(pair_until(&pair, twin_runs, PAIR_END_MS));
}

static unsigned int rounds_of(const char *test, unsigned int usual)
{
	chance_init(&chance, test);
	return chance_setting("LOCKSTEP_FUZZ", usual, LONGER * usual);
}

TEST_F_TIMEOUT(fuzz, netlink, 240 * LONGER)
{
	unsigned int rounds = rounds_of("fuzz.netlink", ROUNDS), i;

	for (i = 0; i < rounds; i++) {
		request_random(rnd(2) ? &pair.nl_p : &pair.nl_t);
		/* from all states: help it into the protected ones now and then */
		if (i % (rounds / 4 + 1) == rounds / 8) {
			pair_close(&pair);
			pair_init_sides(&pair);
			ASSERT_EQ(0, pair_open(&pair, "", ""));
			ASSERT_EQ(0, pair_protect(&pair));
			if (rnd(2))
				ASSERT_EQ(0, pair_start(&pair));
		}
	}
	still_works(_metadata);
}

/* The same by nobody, over a socket of his own and one that he was given: no effect. */
TEST_F_TIMEOUT(fuzz, unprivileged, 240 * LONGER)
{
	unsigned int rounds = rounds_of("fuzz.unprivileged", ROUNDS / 4), i;
	static struct nl nl;
	int status;
	pid_t pid;

	ASSERT_EQ(0, pair_protect(&pair));
	pid = fork();
	if (!pid) {
		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534) ||
		    nl_open(&nl))
			_exit(1);
		for (i = 0; i < rounds; i++)
			request_random(rnd(2) ? &nl : &pair.nl_p);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(LOCKSTEP_STATE_PROTECTED_P, nl_state(&pair.nl_p, pair.primary.attach.id));
	EXPECT_EQ(LOCKSTEP_STATE_PROTECTED_B, nl_state(&pair.nl_t, pair.twin.attach.id));
	still_works(_metadata);
}

TEST_F_TIMEOUT(fuzz, ioctls, 240 * LONGER)
{
	static const unsigned long calls[] = {
		LOCKSTEP_NEXT, LOCKSTEP_INPUT, LOCKSTEP_CLOCK, LOCKSTEP_OUTPUT, LOCKSTEP_RELEASED,
		LOCKSTEP_DIGEST, LOCKSTEP_MISMATCH, LOCKSTEP_ATTACH,
	};
	unsigned int rounds = rounds_of("fuzz.ioctls", ROUNDS), i, j;
	uint64_t arg[32];
	struct machine *machine;

	/* states in which no call sleeps for ever: alone, and over */
	ASSERT_EQ(0, nl_event(&pair.nl_p, pair.primary.attach.id, LOCKSTEP_EVENT_COLD_WON, 1,
			      NULL));
	pair.primary.page->deadline = 0;
	ASSERT_EQ(0, nl_event(&pair.nl_t, pair.twin.attach.id, LOCKSTEP_EVENT_RELEASE, 0, NULL));
	for (i = 0; i < rounds; i++) {
		machine = rnd(4) ? &pair.twin : &pair.primary;
		for (j = 0; j < 32; j++)
			arg[j] = rnd(3) ? number() : 0;
		if (rnd(2))
			arg[2] = (uintptr_t)arg;
		/* the primary waits for a peer before its first instruction */
		if (machine == &pair.primary)
			ioctl(machine->fd, LOCKSTEP_RELEASED, arg);
		else
			ioctl(machine->fd, calls[rnd(8)], rnd(16) ? arg : (void *)number());
		for (j = 0; j < 64; j++)
			__atomic_store_n((uint8_t *)machine->page + rnd(4096), rnd(256),
					 __ATOMIC_RELAXED);
	}
	still_works(_metadata);
}

/* What is done to a batch, once it is the turn of one. */
static unsigned int changes_after;	/* so many with records go by before */
static char changed[80];		/* how; empty: not yet */
static uint64_t changed_end;		/* LSN behind it */

/* Where its records start, and the last of them ends; how many there are. */
static unsigned int records_find(const struct lockstep_batch *batch, uint32_t *at)
{
	const uint8_t *bytes = (const uint8_t *)(batch + 1);
	struct lockstep_record head;
	unsigned int n = 0;
	uint32_t i = 0;

	while (i < batch->len && n < RECORDS_MAX) {
		at[n++] = i;
		if (bytes[i] < __LOCKSTEP_RECORD_SHORT_LAST) {
			while (bytes[++i] & 0x80)
				;
			i++;
		} else {
			memcpy(&head, bytes + i, sizeof(head));
			i += sizeof(head) + head.len;
		}
	}
	at[n] = i;
	return n;
}

static void change_byte(uint8_t *bytes, const uint32_t *at, unsigned int n, uint8_t mask)
{
	uint32_t i = rnd(at[n]);

	while (at[n] > i)
		n--;
	snprintf(changed, sizeof(changed), "byte %u of record type %u: ^ %#x", i - at[n],
		 bytes[at[n]], mask);
	bytes[i] ^= mask;
}

static void change(struct lockstep_batch *batch)
{
	uint8_t *bytes = (uint8_t *)(batch + 1);
	uint32_t at[RECORDS_MAX + 1], len;
	unsigned int n = records_find(batch, at), i = rnd(n), j = rnd(n);

	len = at[i + 1] - at[i];
	switch (rnd(6)) {
	case 0:
		batch->len = rnd(batch->len);
		strcpy(changed, "cut anywhere");
		return;
	case 1:
		batch->len = at[i];
		strcpy(changed, "cut between records");
		return;
	case 2:
		memmove(bytes + at[i], bytes + at[i + 1], batch->len - at[i + 1]);
		batch->len -= len;
		strcpy(changed, "a record taken out");
		return;
	case 3:
		if (at[j + 1] - at[j] != len || !memcmp(bytes + at[j], bytes + at[i], len))
			break;
		memcpy(bytes + at[j], bytes + at[i], len);
		strcpy(changed, "a record in place of another");
		return;
	case 4:
		change_byte(bytes, at, n, 1 + rnd(255));
		return;
	}
	change_byte(bytes, at, n, 1 << rnd(8));
}

static void change_one(struct lockstep_batch *batch, size_t len)
{
	if (changed[0] || !batch->len || changes_after--)
		return;
	changed_end = batch->lsn + batch->len;
	change(batch);
}

/* The twin has consumed more than what was changed. */
static bool goes_on(void)
{
	static struct nl_msg reply;

	return !nl_guest_get(&pair.nl_t, pair.twin.attach.id, &reply) &&
	       nl_stat(&reply, LOCKSTEP_S_EXECUTED) > changed_end + 4096;
}

static bool noticed(struct pair *p)
{
	return changed[0] && (p->feed_error || pair_twin_diverged(p) ||
			   p->twin.end != MACHINE_RUNNING || goes_on());
}

/* Whatever is changed: refused, or a divergence. */
TEST_F_TIMEOUT(fuzz, log, 240 * LONGER)
{
	unsigned int rounds = rounds_of("fuzz.log", CHANGES), i, refused = 0, diverged = 0;

	for (i = 0; i < rounds; i++) {
		anew(_metadata);
		ASSERT_EQ(0, pair_protect(&pair));
		changed[0] = 0;
		changes_after = rnd(20);
		pair.tamper = change_one;
		ASSERT_EQ(0, pair_start(&pair));
		EXPECT_TRUE(pair_until(&pair, noticed, PAIR_END_MS)) {
			TH_LOG("round %u (%s): it hangs", i, changed[0] ? changed : "nothing changed");
		}
		EXPECT_FALSE(goes_on()) {
			TH_LOG("round %u (%s): the twin goes on", i, changed);
		}
		/* what comes after a divergence is refused, too */
		if (pair_twin_diverged(&pair))
			diverged++;
		else
			refused += !!pair.feed_error;
	}
	printf("# %u logs changed: %u refused, %u divergences\n", rounds, refused, diverged);
	fflush(stdout);
	EXPECT_LT(0, refused);
	EXPECT_LT(0, diverged);
	pair.tamper = NULL;
	still_works(_metadata);
}

TEST_HARNESS_MAIN
