// SPDX-License-Identifier: GPL-2.0
/*
 * A pair that something happens to: a twin that differs, a log that was changed or
 * lost, daemons and VMMs that go, who wins and who never may.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kselftest_harness.h"
#include "ko.h"
#include "pair.h"
#include "test.h"

#define MANY		1000000		/* rounds: more than any test waits for */

static struct pair pair;
static struct nl_msg reply;

FIXTURE(faults)
{
};

FIXTURE_SETUP(faults)
{
	NEED_MODULE();
	pair_init(&pair);
	ASSERT_EQ(0, vm_create(&pair.primary.vm, 0));
	ASSERT_EQ(0, vm_create(&pair.twin.vm, 0));
	VM_LOAD(&pair.primary.vm, devices);
	VM_LOAD(&pair.twin.vm, devices);
	vm_set_esi(&pair.primary.vm, MANY);
	vm_set_esi(&pair.twin.vm, MANY);
	ASSERT_EQ(0, pair_open(&pair, "", ""));
	ASSERT_EQ(0, pair_protect(&pair));
}

FIXTURE_TEARDOWN(faults)
{
	pair_close(&pair);
	vm_destroy(&pair.primary.vm);
	vm_destroy(&pair.twin.vm);
}

static int state_p(void)
{
	return nl_state(&pair.nl_p, pair.primary.attach.id);
}

static int state_t(void)
{
	return nl_state(&pair.nl_t, pair.twin.attach.id);
}

static int event_p(unsigned int event)
{
	return nl_event(&pair.nl_p, pair.primary.attach.id, event, 0, NULL);
}

static int event_t(unsigned int event)
{
	return nl_event(&pair.nl_t, pair.twin.attach.id, event, 0, NULL);
}

/* Rounds of the guest's loop. */
static uint32_t rounds(const struct machine *machine)
{
	return vm_data32(&machine->vm, 1);
}

static bool some_rounds(struct pair *p)
{
	return rounds(&p->twin) >= 20;
}

static uint32_t more_than;

static bool more_rounds(struct pair *p)
{
	return rounds(&p->twin) > more_than;
}

static void run_some(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, pair_start(&pair));
	ASSERT_TRUE(pair_until(&pair, some_rounds, PAIR_END_MS));
	ASSERT_EQ(LOCKSTEP_STATE_PROTECTED_P, state_p());
	ASSERT_EQ(LOCKSTEP_STATE_PROTECTED_B, state_t());
}

/* Part of what GUEST_GET says of the twin's divergence. */
static uint64_t divergence(unsigned int attr)
{
	struct nl_msg nest;
	const void *data;
	size_t len = 0;
	uint64_t value = 0;

	if (nl_guest_get(&pair.nl_t, pair.twin.attach.id, &reply))
		return 0;
	data = nl_get(&reply, LOCKSTEP_A_DIVERGENCE, &len);
	if (!data)
		return 0;
	nl_begin(&nest, &pair.nl_t, 0, 0);
	memcpy(nest.buf + nest.len, data, len);
	nest.len += len;
	data = nl_get(&nest, attr, &len);
	if (data)
		memcpy(&value, data, len < sizeof(value) ? len : sizeof(value));
	return value;
}

static void steps(unsigned int n)
{
	while (n--)
		pair_step(&pair, 10);
}

/* It says what is wrong, keeps still, and no event makes it live. */
static void never_lives(struct __test_metadata *_metadata, unsigned int reason)
{
	static const unsigned int tries[] = {
		LOCKSTEP_EVENT_PEER_FAILED, LOCKSTEP_EVENT_SILENCE, LOCKSTEP_EVENT_TIMEOUT,
		LOCKSTEP_EVENT_WON, LOCKSTEP_EVENT_RESUME, LOCKSTEP_EVENT_CONTEST,
		LOCKSTEP_EVENT_HEARD, LOCKSTEP_EVENT_ACTIVATE, LOCKSTEP_EVENT_COLD_WON,
	};
	uint32_t before;
	unsigned int i;

	EXPECT_EQ(reason, divergence(LOCKSTEP_D_REASON));
	EXPECT_NE(divergence(LOCKSTEP_D_EXPECTED), divergence(LOCKSTEP_D_FOUND));
	EXPECT_NE(0, divergence(LOCKSTEP_D_RIP));
	before = rounds(&pair.twin);
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		nl_event(&pair.nl_t, pair.twin.attach.id, tries[i], 9, pair.primary.attach.instance);
		event_t(tries[i]);
		EXPECT_EQ(LOCKSTEP_STATE_DIVERGED, state_t());
	}
	pair.cut_acks = false;
	steps(20);
	EXPECT_EQ(before, rounds(&pair.twin));
	EXPECT_EQ(MACHINE_RUNNING, pair.twin.end);
	EXPECT_EQ(0, pair.twin.resent);
	ASSERT_EQ(0, nl_guest_get(&pair.nl_t, pair.twin.attach.id, &reply));
	EXPECT_EQ(1, nl_stat(&reply, LOCKSTEP_S_DIVERGENCES));
}

TEST_F(faults, output_differs)
{
	pair.twin.spoil = 50;
	ASSERT_EQ(0, pair_start(&pair));
	ASSERT_TRUE(pair_until(&pair, pair_twin_diverged, PAIR_END_MS));
	never_lives(_metadata, LOCKSTEP_DIVERGENCE_OUTPUT);
	/* the twin's peer goes on: alone, once the arbiter says so */
	EXPECT_EQ(0, event_p(LOCKSTEP_EVENT_PEER_FAILED));
	EXPECT_EQ(LOCKSTEP_STATE_CONTEST_P, state_p());
	EXPECT_EQ(0, event_p(LOCKSTEP_EVENT_WON));
	EXPECT_EQ(LOCKSTEP_STATE_SOLO, state_p());
}

static bool tampered;

/* The first clock read of a batch, as its record, or NULL. */
static uint8_t *clock_read_find(struct lockstep_batch *batch, size_t len)
{
	uint8_t *record = (uint8_t *)(batch + 1), *end = (uint8_t *)batch + len;
	struct lockstep_record head;

	while (record < end) {
		if (*record == LOCKSTEP_RECORD_TSC || *record == LOCKSTEP_RECORD_TSC_STOP)
			return record;
		if (*record < __LOCKSTEP_RECORD_SHORT_LAST) {
			while (*++record & 0x80)
				;
			record++;
		} else {
			memcpy(&head, record, sizeof(head));
			record += sizeof(head) + head.len;
		}
	}
	return NULL;
}

static void tamper_clock(struct lockstep_batch *batch, size_t len)
{
	uint8_t *record = tampered ? NULL : clock_read_find(batch, len);

	if (record) {
		record[1] ^= 1;
		tampered = true;
	}
}

/* One clock value that is off by one nanosecond is seen in the registers. */
TEST_F(faults, clock_differs)
{
	pair.tamper = tamper_clock;
	ASSERT_EQ(0, pair_start(&pair));
	ASSERT_TRUE(pair_until(&pair, pair_twin_diverged, PAIR_END_MS));
	EXPECT_TRUE(tampered);
	never_lives(_metadata, LOCKSTEP_DIVERGENCE_REGISTERS);
}

/* Of 100 ns, how many the primary slept for its twin's sake, in some time from now. */
static uint64_t throttled(struct __test_metadata *_metadata)
{
	uint64_t slept, clock;

	EXPECT_EQ(0, nl_guest_get(&pair.nl_p, pair.primary.attach.id, &reply));
	slept = nl_stat(&reply, LOCKSTEP_S_THROTTLE_NS);
	clock = nl_stat(&reply, LOCKSTEP_S_CLOCK);
	steps(100);
	EXPECT_EQ(0, nl_guest_get(&pair.nl_p, pair.primary.attach.id, &reply));
	slept = nl_stat(&reply, LOCKSTEP_S_THROTTLE_NS) - slept;
	clock = nl_stat(&reply, LOCKSTEP_S_CLOCK) - clock;
	return clock ? slept * 100 / clock : 100;
}

/* Its primary is slowed down, but serves: a quarter of its speed is left to it. */
TEST_F(faults, twin_held_up)
{
	uint64_t slept;

	run_some(_metadata);
	ASSERT_EQ(0, nl_set(&pair.nl_p, pair.primary.attach.id, LOCKSTEP_A_LAG_LIMIT_MS, 20));
	machine_stop(&pair.twin);
	steps(50);
	slept = throttled(_metadata);
	EXPECT_LE(20, slept);
	EXPECT_GE(85, slept);
	ASSERT_EQ(0, nl_set(&pair.nl_p, pair.primary.attach.id, LOCKSTEP_A_LAG_LIMIT_MS, 0));
	steps(5);
	EXPECT_EQ(0, throttled(_metadata));
	EXPECT_EQ(LOCKSTEP_STATE_PROTECTED_P, state_p());
}

/* A loop without exits where the primary had none: no record is there to be compared. */
TEST_F(faults, twin_loops)
{
	size_t len = guest_devices_end - guest_devices;
	uint8_t *code = (uint8_t *)pair.twin.vm.mem + VM_CODE;

	ASSERT_EQ(0, ko_parameter_set("stall_ms", "500"));
	run_some(_metadata);
	/* from wherever it is it comes to: jmp . */
	memset(code, 0x90, len);
	memcpy(code + len - 2, "\xeb\xfe", 2);
	EXPECT_TRUE(pair_until(&pair, pair_twin_diverged, PAIR_END_MS));
	EXPECT_EQ(0, ko_parameter_set("stall_ms", "30000"));
	never_lives(_metadata, LOCKSTEP_DIVERGENCE_STALL);
}

static void tamper_type(struct lockstep_batch *batch, size_t len)
{
	uint8_t *record = tampered ? NULL : clock_read_find(batch, len);

	if (record) {
		*record = LOCKSTEP_RECORD_CLOCK;
		tampered = true;
	}
}

TEST_F(faults, record_of_another_kind)
{
	pair.tamper = tamper_type;
	ASSERT_EQ(0, pair_start(&pair));
	ASSERT_TRUE(pair_until(&pair, pair_twin_diverged, PAIR_END_MS));
	never_lives(_metadata, LOCKSTEP_DIVERGENCE_TYPE);
}

static void tamper_garbage(struct lockstep_batch *batch, size_t len)
{
	if (!tampered && len > sizeof(*batch)) {
		*(uint8_t *)(batch + 1) = 0xee;
		tampered = true;
	}
}

/* A sealed batch with something in it that is no record is refused as a whole. */
TEST_F(faults, garbage)
{
	pair.tamper = tamper_garbage;
	ASSERT_EQ(0, pair_start(&pair));
	while (!tampered)
		pair_step(&pair, 10);
	pair_step(&pair, 100);
	EXPECT_EQ(-EBADMSG, pair.feed_error);
	EXPECT_EQ(LOCKSTEP_STATE_PROTECTED_B, state_t());
	EXPECT_EQ(0, rounds(&pair.twin));
}

/*
 * A batch with records waits, and is the first: one before it that only carries a
 * horizon comes when the sender looks while the vCPU is on its way to its first stop.
 */
static bool records_wait(struct pair *p)
{
	const struct lockstep_batch *batch;

	while (p->waiting) {
		batch = nl_get(p->waiting, LOCKSTEP_A_BATCH, NULL);
		if (batch && batch->len)
			return true;
		pair_lose(p);
	}
	return false;
}

static bool two_wait(struct pair *p)
{
	return p->waiting && p->waiting->next;
}

/* The first batch with records, which the twin does not get. */
static const struct lockstep_batch *batch_get(size_t *len)
{
	pair.cut_log = true;
	if (machine_start(&pair.primary) || !pair_until(&pair, records_wait, PAIR_END_MS))
		return NULL;
	return nl_get(pair.waiting, LOCKSTEP_A_BATCH, len);
}

/* A batch by hand: what is refused leaves the twin as it was. */
TEST_F(faults, feed_refused)
{
	uint32_t id = pair.twin.attach.id;
	const uint8_t *peer = pair.primary.attach.instance;
	const struct lockstep_batch *batch;
	static uint8_t copy[sizeof(struct lockstep_batch) + LOCKSTEP_BATCH_MAX + 8];
	uint8_t other[LOCKSTEP_UUID_LEN];
	size_t len, i;

	batch = batch_get(&len);
	ASSERT_NE(NULL, batch);
	memcpy(copy, batch, len);
	memcpy(other, peer, sizeof(other));
	other[3] ^= 1;
	EXPECT_EQ(-ESTALE, nl_feed(&pair.nl_t, id, PAIR_GENERATION, other, copy, len));
	EXPECT_EQ(-ESTALE, nl_feed(&pair.nl_t, id, PAIR_GENERATION + 1, peer, copy, len));
	EXPECT_EQ(-ESTALE, nl_feed(&pair.nl_t, id, PAIR_GENERATION - 1, peer, copy, len));
	/* a daemon that is not the guest's; the primary is no twin */
	EXPECT_EQ(-EPERM, nl_feed(&pair.nl_p, id, PAIR_GENERATION, peer, copy, len));
	EXPECT_EQ(-ESTALE, nl_feed(&pair.nl_p, pair.primary.attach.id, PAIR_GENERATION,
				   pair.twin.attach.instance, copy, len));
	/* every byte counts */
	for (i = 0; i < len; i += 7) {
		copy[i] ^= 0x10;
		EXPECT_GT(0, nl_feed(&pair.nl_t, id, PAIR_GENERATION, peer, copy, len)) {
			TH_LOG("byte %zu", i);
		}
		copy[i] ^= 0x10;
	}
	EXPECT_GT(0, nl_feed(&pair.nl_t, id, PAIR_GENERATION, peer, copy, len - 1));
	EXPECT_GT(0, nl_feed(&pair.nl_t, id, PAIR_GENERATION, peer, copy, len + 1));
	EXPECT_GT(0, nl_feed(&pair.nl_t, id, PAIR_GENERATION, peer, copy, sizeof(*batch) - 1));
	ASSERT_EQ(0, nl_guest_get(&pair.nl_t, id, &reply));
	EXPECT_EQ(0, nl_stat(&reply, LOCKSTEP_S_LSN));
	EXPECT_EQ(LOCKSTEP_STATE_PROTECTED_B, state_t());
	/* and as it was made it is taken, once or twice */
	EXPECT_EQ(0, nl_feed(&pair.nl_t, id, PAIR_GENERATION, peer, copy, len));
	EXPECT_EQ(0, nl_feed(&pair.nl_t, id, PAIR_GENERATION, peer, copy, len));
	ASSERT_EQ(0, nl_guest_get(&pair.nl_t, id, &reply));
	EXPECT_EQ(((const struct lockstep_batch *)copy)->len, nl_stat(&reply, LOCKSTEP_S_LSN));
}

/* A batch is lost: the hole is refused, and filled by sending again. */
TEST_F(faults, hole)
{
	struct nl_msg msg;
	size_t len;

	ASSERT_NE(NULL, batch_get(&len));
	ASSERT_TRUE(pair_until(&pair, two_wait, PAIR_END_MS));
	pair_lose(&pair);
	pair.cut_log = false;
	pair_step(&pair, 20);
	EXPECT_EQ(-ERANGE, pair.feed_error);
	nl_begin(&msg, &pair.nl_p, LOCKSTEP_CMD_REWIND, NLM_F_ACK);
	nl_put_u32(&msg, LOCKSTEP_A_ID, pair.primary.attach.id);
	nl_put_u64(&msg, LOCKSTEP_A_LSN, 1ULL << 40);
	EXPECT_EQ(-ERANGE, nl_talk(&pair.nl_p, &msg, NULL));
	nl_begin(&msg, &pair.nl_p, LOCKSTEP_CMD_REWIND, NLM_F_ACK);
	nl_put_u32(&msg, LOCKSTEP_A_ID, pair.primary.attach.id);
	nl_put_u64(&msg, LOCKSTEP_A_LSN, 0);
	EXPECT_EQ(0, nl_talk(&pair.nl_p, &msg, NULL));
	ASSERT_EQ(0, machine_start(&pair.twin));
	EXPECT_TRUE(pair_until(&pair, some_rounds, PAIR_END_MS));
}

TEST_F(faults, ack_refused)
{
	uint32_t id = pair.primary.attach.id;
	const uint8_t *peer = pair.twin.attach.instance;
	uint8_t other[LOCKSTEP_UUID_LEN];
	struct lockstep_ack ack;

	pair.cut_acks = true;
	run_some(_metadata);
	ASSERT_TRUE(pair.have_ack);
	ack = pair.ack;
	memcpy(other, peer, sizeof(other));
	other[0]++;
	EXPECT_EQ(-ESTALE, nl_acked(&pair.nl_p, id, PAIR_GENERATION, other, &ack));
	EXPECT_EQ(-ESTALE, nl_acked(&pair.nl_p, id, PAIR_GENERATION + 1, peer, &ack));
	EXPECT_EQ(-EPERM, nl_acked(&pair.nl_t, id, PAIR_GENERATION, peer, &ack));
	ack.lsn = 1ULL << 50;
	EXPECT_EQ(-ERANGE, nl_acked(&pair.nl_p, id, PAIR_GENERATION, peer, &ack));
	ack = pair.ack;
	ack.executed = ack.lsn + 1;
	EXPECT_EQ(-ERANGE, nl_acked(&pair.nl_p, id, PAIR_GENERATION, peer, &ack));
	ack = pair.ack;
	ack.released[LOCKSTEP_STREAM_NET] = 1ULL << 50;
	EXPECT_EQ(-ERANGE, nl_acked(&pair.nl_p, id, PAIR_GENERATION, peer, &ack));
	ASSERT_EQ(0, nl_guest_get(&pair.nl_p, id, &reply));
	EXPECT_EQ(0, nl_stat(&reply, LOCKSTEP_S_ACKED));
	EXPECT_EQ(0, nl_acked(&pair.nl_p, id, PAIR_GENERATION, peer, &pair.ack));
	ASSERT_EQ(0, nl_guest_get(&pair.nl_p, id, &reply));
	EXPECT_EQ(pair.ack.lsn, nl_stat(&reply, LOCKSTEP_S_ACKED));
}

/* Stands still, parked or waiting: it gets there, and then there is no more of it. */
static bool stands_still(const struct machine *machine)
{
	uint32_t last;
	int i;

	for (i = 0; i < PAIR_END_MS / 10 && !machine_sleeps(machine); i++)
		usleep(10000);
	last = rounds(machine);
	usleep(100000);
	return machine_sleeps(machine) && last == rounds(machine);
}

static bool twin_solo(struct pair *p)
{
	return state_t() == LOCKSTEP_STATE_SOLO;
}

/* The primary's VMM is gone: the twin drains, wins, lives on. */
TEST_F(faults, failover)
{
	uint32_t before;
	int i;

	run_some(_metadata);
	machine_close(&pair.primary);
	pair_step(&pair, 50);
	EXPECT_EQ(0, event_t(LOCKSTEP_EVENT_PEER_FAILED));
	EXPECT_EQ(LOCKSTEP_STATE_CONTEST_B, state_t());
	ASSERT_TRUE(pair_until(&pair, pair_twin_drained, PAIR_END_MS));
	ASSERT_EQ(0, nl_guest_get(&pair.nl_t, pair.twin.attach.id, &reply));
	EXPECT_TRUE(nl_get_u32(&reply, LOCKSTEP_A_FLAGS) & LOCKSTEP_FLAG_CLAIMED);
	/* before the arbiter's word it does nothing but reach its next stop */
	EXPECT_TRUE(stands_still(&pair.twin));
	before = rounds(&pair.twin);
	EXPECT_EQ(0, event_t(LOCKSTEP_EVENT_WON));
	EXPECT_TRUE(pair_until(&pair, twin_solo, PAIR_END_MS));
	EXPECT_LT(0, pair.twin.resent);		/* all it made: nothing was released */
	for (i = 0; i < 500 && rounds(&pair.twin) < before + 100; i++)
		usleep(10000);
	EXPECT_LE(before + 100, rounds(&pair.twin));
	EXPECT_EQ(MACHINE_RUNNING, pair.twin.end);
}

/* Both contest; who lost ends, who won goes on: never both. */
TEST_F(faults, contest)
{
	int i;

	run_some(_metadata);
	EXPECT_EQ(0, event_p(LOCKSTEP_EVENT_SILENCE));
	EXPECT_EQ(LOCKSTEP_STATE_SUSPECT_P, state_p());
	EXPECT_EQ(0, event_t(LOCKSTEP_EVENT_SILENCE));
	EXPECT_EQ(0, event_p(LOCKSTEP_EVENT_TIMEOUT));
	EXPECT_EQ(0, event_t(LOCKSTEP_EVENT_TIMEOUT));
	EXPECT_EQ(LOCKSTEP_STATE_CONTEST_P, state_p());
	EXPECT_EQ(LOCKSTEP_STATE_CONTEST_B, state_t());
	/* too late for second thoughts */
	EXPECT_EQ(-ENOENT, event_p(LOCKSTEP_EVENT_HEARD));
	EXPECT_EQ(-ENOENT, event_t(LOCKSTEP_EVENT_HEARD));
	EXPECT_EQ(0, event_t(LOCKSTEP_EVENT_LOST));
	EXPECT_EQ(LOCKSTEP_STATE_HALTED, state_t());
	EXPECT_EQ(0, event_p(LOCKSTEP_EVENT_WON));
	EXPECT_EQ(LOCKSTEP_STATE_SOLO, state_p());
	for (i = 0; i < 500 && pair.twin.end == MACHINE_RUNNING; i++)
		usleep(10000);
	EXPECT_EQ(LOCKSTEP_VERDICT_HALT, pair.twin.end);
	EXPECT_EQ(MACHINE_RUNNING, pair.primary.end);
}

/* The primary's daemon goes (and its socket with it) and comes back. */
TEST_F(faults, daemon_lost)
{
	uint32_t before;
	int i;

	run_some(_metadata);
	nl_close(&pair.nl_p);
	ASSERT_EQ(0, nl_open(&pair.nl_p));
	EXPECT_EQ(LOCKSTEP_STATE_ORPHAN_P, state_p());
	EXPECT_TRUE(stands_still(&pair.primary));
	EXPECT_EQ(-EPERM, event_p(LOCKSTEP_EVENT_RESUME));
	ASSERT_EQ(0, nl_bind(&pair.nl_p, pair.primary.attach.id));
	before = rounds(&pair.primary);
	EXPECT_EQ(0, event_p(LOCKSTEP_EVENT_RESUME));
	EXPECT_EQ(LOCKSTEP_STATE_PROTECTED_P, state_p());
	for (i = 0; i < 500 && rounds(&pair.primary) < before + 20; i++)
		pair_step(&pair, 10);
	EXPECT_LE(before + 20, rounds(&pair.primary));
}

/* A daemon that says nothing is as good as gone. */
TEST_F(faults, daemon_silent)
{
	int i;

	run_some(_metadata);
	ASSERT_EQ(0, nl_set(&pair.nl_p, pair.primary.attach.id, LOCKSTEP_A_SILENCE_MS, 200));
	ASSERT_EQ(0, nl_set(&pair.nl_t, pair.twin.attach.id, LOCKSTEP_A_SILENCE_MS, 200));
	for (i = 0; i < 100 && state_p() != LOCKSTEP_STATE_ORPHAN_P; i++)
		usleep(20000);
	EXPECT_EQ(LOCKSTEP_STATE_ORPHAN_P, state_p());
	for (i = 0; i < 100 && state_t() != LOCKSTEP_STATE_ORPHAN_B; i++)
		usleep(20000);
	EXPECT_EQ(LOCKSTEP_STATE_ORPHAN_B, state_t());
	EXPECT_TRUE(stands_still(&pair.primary));
	EXPECT_TRUE(stands_still(&pair.twin));
	/* an orphan acknowledges nothing */
	EXPECT_EQ(0, event_p(LOCKSTEP_EVENT_CONTEST));
	EXPECT_EQ(LOCKSTEP_STATE_CONTEST_P, state_p());
}

/* A shorter silence holds from now on, not from when the last one is over. */
TEST_F(faults, silence_shortened)
{
	int i;

	run_some(_metadata);
	ASSERT_EQ(0, nl_set(&pair.nl_p, pair.primary.attach.id, LOCKSTEP_A_SILENCE_MS, 60000));
	ASSERT_EQ(0, nl_bind(&pair.nl_p, pair.primary.attach.id));
	ASSERT_EQ(0, nl_set(&pair.nl_p, pair.primary.attach.id, LOCKSTEP_A_SILENCE_MS, 50));
	for (i = 0; i < 500 && state_p() != LOCKSTEP_STATE_ORPHAN_P; i++)
		usleep(10000);
	EXPECT_EQ(LOCKSTEP_STATE_ORPHAN_P, state_p());
}

/* The module's thread that sends for the primary; 0: it is not there. */
static int sender_find(void)
{
	char path[64], comm[32];
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	int pid = 0;
	FILE *file;

	while (proc && !pid && (entry = readdir(proc))) {
		snprintf(path, sizeof(path), "/proc/%.20s/comm", entry->d_name);
		file = fopen(path, "r");
		if (!file)
			continue;
		if (fgets(comm, sizeof(comm), file) && !strcmp(comm, "lockstep/test-p\n"))
			pid = atoi(entry->d_name);
		fclose(file);
	}
	if (proc)
		closedir(proc);
	return pid;
}

/* How often a thread has gone to sleep by itself. */
static unsigned long sleeps(int pid)
{
	static const char name[] = "voluntary_ctxt_switches:";
	char path[64], line[128];
	unsigned long n = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, sizeof(name) - 1))
			n = strtoul(line + sizeof(name) - 1, NULL, 10);
	if (file)
		fclose(file);
	return n;
}

static int sender;
static unsigned long slept;

static bool sender_sleeps(struct pair *p)
{
	return sleeps(sender) > slept + 20;
}

/* A signal that somebody sends to the sender (kill -1) is not what ends it. */
TEST_F(faults, sender_signalled)
{
	run_some(_metadata);
	sender = sender_find();
	ASSERT_LT(0, sender);
	ASSERT_EQ(0, kill(sender, SIGTERM));
	slept = sleeps(sender);
	EXPECT_TRUE(pair_until(&pair, sender_sleeps, PAIR_END_MS));
	more_than = rounds(&pair.twin) + 20;
	EXPECT_TRUE(pair_until(&pair, more_rounds, PAIR_END_MS));
}

static bool log_full(struct pair *p)
{
	return !nl_guest_get(&p->nl_p, p->primary.attach.id, &reply) &&
	       nl_get_u32(&reply, LOCKSTEP_A_FLAGS) & LOCKSTEP_FLAG_LOG_FULL;
}

/* The twin has consumed more than fits into the log. */
static bool long_log(struct pair *p)
{
	return !nl_guest_get(&p->nl_t, p->twin.attach.id, &reply) &&
	       nl_stat(&reply, LOCKSTEP_S_EXECUTED) > 2 * (64 << 10);
}

/* Nothing acknowledges: the log fills, the guest stands, nothing is lost. */
TEST_F(faults, log_full)
{
	machine_close(&pair.primary);
	machine_close(&pair.twin);
	nl_close(&pair.nl_p);
	nl_close(&pair.nl_t);
	pair.primary.log_size = pair.twin.log_size = 64 << 10;
	ASSERT_EQ(0, pair_open(&pair, "", ""));
	ASSERT_EQ(0, pair_protect(&pair));
	pair.cut_acks = true;
	ASSERT_EQ(0, pair_start(&pair));
	ASSERT_TRUE(pair_until(&pair, log_full, PAIR_END_MS));
	EXPECT_TRUE(stands_still(&pair.primary));
	EXPECT_GE(64 << 10, nl_stat(&reply, LOCKSTEP_S_LSN));
	pair.cut_acks = false;
	EXPECT_TRUE(pair_until(&pair, long_log, PAIR_END_MS));
	EXPECT_EQ(LOCKSTEP_STATE_PROTECTED_B, state_t());
}

/* A twin can't be made to live by events that are not its state's. */
TEST_F(faults, events_out_of_turn)
{
	static const unsigned int p[] = {
		LOCKSTEP_EVENT_COLD_WON, LOCKSTEP_EVENT_OFFERED, LOCKSTEP_EVENT_WON,
		LOCKSTEP_EVENT_LOST, LOCKSTEP_EVENT_READY, LOCKSTEP_EVENT_ACTIVATE,
		LOCKSTEP_EVENT_RESUME, LOCKSTEP_EVENT_HEARD, LOCKSTEP_EVENT_TIMEOUT,
		LOCKSTEP_EVENT_RELEASE, LOCKSTEP_EVENT_CLOSED,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		EXPECT_EQ(-ENOENT, event_p(p[i])) {
			TH_LOG("event %u", p[i]);
		}
		EXPECT_EQ(-ENOENT, event_t(p[i])) {
			TH_LOG("event %u", p[i]);
		}
	}
	EXPECT_EQ(LOCKSTEP_STATE_PROTECTED_P, state_p());
	EXPECT_EQ(LOCKSTEP_STATE_PROTECTED_B, state_t());
	ASSERT_EQ(0, nl_guest_get(&pair.nl_p, pair.primary.attach.id, &reply));
	EXPECT_EQ(ARRAY_SIZE(p), nl_stat(&reply, LOCKSTEP_S_IGNORED_EVENTS));
	/* of another generation or peer */
	EXPECT_EQ(-ESTALE, nl_event(&pair.nl_p, pair.primary.attach.id, LOCKSTEP_EVENT_SILENCE,
				    PAIR_GENERATION + 1, NULL));
	EXPECT_EQ(-ESTALE, nl_event(&pair.nl_p, pair.primary.attach.id, LOCKSTEP_EVENT_PEER_FAILED,
				    0, pair.primary.attach.instance));
	EXPECT_EQ(LOCKSTEP_STATE_PROTECTED_P, state_p());
}

/* What the daemon may not say: the module's own events. */
TEST_F(faults, events_of_the_module)
{
	unsigned int event;

	for (event = LOCKSTEP_EVENT_DAEMON_LOST; event <= LOCKSTEP_EVENT_MAX + 1; event++)
		EXPECT_GT(0, event_p(event));
	EXPECT_GT(0, event_p(0));
	EXPECT_EQ(LOCKSTEP_STATE_PROTECTED_P, state_p());
}

TEST_HARNESS_MAIN
