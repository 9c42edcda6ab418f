// SPDX-License-Identifier: GPL-2.0
/*
 * Random netlink requests and ioctls at guests in all states: nothing of it may
 * hurt the kernel (whoever runs this looks at its log), nothing may stay behind, and
 * afterwards the module works.
 *
 * The seed is printed; LOCKSTEP_FUZZ_SEED sets it, LOCKSTEP_FUZZ_ROUNDS how long.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <linux/genetlink.h>

#include "kselftest_harness.h"
#include "pair.h"
#include "test.h"

#define ROUNDS	20000

static struct pair pair;
static uint64_t random_state;

static uint32_t rnd(uint32_t below)
{
	/* splitmix64 */
	uint64_t z = random_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return (uint32_t)((z ^ (z >> 31)) >> 32) % below;
}

static unsigned int setting(const char *name, unsigned int otherwise)
{
	const char *value = getenv(name);

	return value ? strtoul(value, NULL, 0) : otherwise;
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

static void bytes(void *data, size_t len)
{
	uint8_t *byte = data;

	while (len--)
		*byte++ = rnd(256);
}

/* A batch that passes for one up to a point. */
static size_t batch_make(uint8_t *buf)
{
	struct lockstep_batch *batch = (struct lockstep_batch *)buf;
	size_t len = rnd(300);

	memset(batch, 0, sizeof(*batch));
	bytes(buf + sizeof(*batch), len);
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
		bytes(buf, 16);
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

FIXTURE(fuzz)
{
};

FIXTURE_SETUP(fuzz)
{
	unsigned int seed = 0;

	NEED_MODULE();
	pair_init(&pair);
	ASSERT_EQ(0, vm_create(&pair.primary.vm, 0));
	ASSERT_EQ(0, vm_create(&pair.twin.vm, 0));
	VM_LOAD(&pair.primary.vm, devices);
	VM_LOAD(&pair.twin.vm, devices);
	vm_set_esi(&pair.primary.vm, 1000000);
	vm_set_esi(&pair.twin.vm, 1000000);
	if (getrandom(&seed, sizeof(seed), 0) < 0)
		seed = getpid();
	seed = setting("LOCKSTEP_FUZZ_SEED", seed);
	random_state = seed;
	printf("# LOCKSTEP_FUZZ_SEED=%u\n", seed);
	fflush(stdout);
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
	struct kvm_regs regs;
	int i;

	pair_close(&pair);
	for (i = 0; i < 2; i++) {
		struct vm *vm = i ? &pair.twin.vm : &pair.primary.vm;

		vm_destroy(vm);
		ASSERT_EQ(0, vm_create(vm, 0));
		VM_LOAD(vm, devices);
		vm_set_esi(vm, 1000000);
		ASSERT_EQ(0, ioctl(vm->vcpu, KVM_GET_REGS, &regs));
	}
	pair_init_sides(&pair);
	ASSERT_EQ(0, pair_open(&pair, "", ""));
	ASSERT_EQ(0, pair_protect(&pair));
	ASSERT_EQ(0, pair_start(&pair));
	EXPECT_TRUE(pair_until(&pair, twin_runs, 20000));
}

TEST_F_TIMEOUT(fuzz, netlink, 240)
{
	unsigned int rounds = setting("LOCKSTEP_FUZZ_ROUNDS", ROUNDS), i;

	ASSERT_EQ(0, pair_open(&pair, "", ""));
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

TEST_F_TIMEOUT(fuzz, ioctls, 240)
{
	static const unsigned long calls[] = {
		LOCKSTEP_NEXT, LOCKSTEP_INPUT, LOCKSTEP_CLOCK, LOCKSTEP_OUTPUT, LOCKSTEP_RELEASED,
		LOCKSTEP_DIGEST, LOCKSTEP_MISMATCH, LOCKSTEP_ATTACH,
	};
	unsigned int rounds = setting("LOCKSTEP_FUZZ_ROUNDS", ROUNDS), i, j;
	uint64_t arg[32];
	struct machine *machine;

	ASSERT_EQ(0, pair_open(&pair, "", ""));
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

TEST_HARNESS_MAIN
