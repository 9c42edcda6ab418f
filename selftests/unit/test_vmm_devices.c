// SPDX-License-Identifier: GPL-2.0
/*
 * State of the ISA devices: saved, loaded, replayed, and harmed
 *
 * A guest made of random port accesses runs on a primary; a twin that is given
 * the same accesses, inputs and clock values has to end in the same state with
 * the same output, also when it starts half-way from the primary's saved state.
 *
 * Sources: selftests/unit/vmm_rig.c tools/vmm/pic.c tools/vmm/pit.c tools/vmm/rtc.c
 * Sources: tools/vmm/serial.c tools/vmm/i8042.c tools/vmm/pio.c tools/vmm/clock.c
 * Sources: tools/vmm/state.c selftests/unit/fuzz.c
 *
 * LOCKSTEP_SEED repeats a run.
 */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fuzz.h"
#include "vmm_rig.h"
#include "vmm/i8042.h"
#include "vmm/pic.h"
#include "vmm/pio.h"
#include "vmm/pit.h"
#include "vmm/rtc.h"
#include "vmm/serial.h"

#define STEPS	6000

static struct rig *machine(struct rig *primary)
{
	struct rig *rig = rig_new(primary);

	assert_int_equal(vmm_pit_create(rig->vmm), 0);
	assert_int_equal(vmm_rtc_create(rig->vmm), 0);
	assert_int_equal(vmm_serial_create(rig->vmm), 0);
	assert_int_equal(vmm_i8042_create(rig->vmm), 0);
	return rig;
}

static const uint16_t ports[] = {
	0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x70, 0x71, 0x60, 0x64,
	0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff, 0x80, 0x1f0,
};

/**
 * struct history - what happened to the primary
 * @hash: of all the guest read
 */
struct history {
	struct {
		uint32_t random;
		bool tick;
		enum vmm_unit unit;
		uint64_t ns;
	} steps[STEPS];
	uint64_t hash;
};

static void access_port(struct rig *rig, uint32_t random, uint64_t *hash)
{
	uint16_t port = ports[random % (sizeof(ports) / sizeof(ports[0]))];
	uint8_t size = (uint8_t)(1 << (random >> 8 & 3) % 3);
	uint32_t value = random >> 12;

	if (random >> 10 & 1)
		*hash = *hash * 31 + vmm_pio_in(rig->vmm, port, size);
	else
		vmm_pio_out(rig->vmm, port, size, value);
	if (vmm_pic_pending(rig->vmm))
		*hash = *hash * 31 + vmm_pic_ack(rig->vmm);
}

/* A random input; the same one wherever the random number is the same. */
static void type(struct rig *rig, uint32_t random)
{
	uint8_t data[16];

	if (random & 0xf0000000)
		return;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(random >> i);
	assert_int_equal(rig_apply(rig, VMM_UNIT_SERIAL, VMM_KIND_RECEIVE, data,
				   1 + random % sizeof(data)), 0);
}

static void run_primary(struct rig *rig, struct history *history, unsigned int from,
			unsigned int to)
{
	for (unsigned int i = from; i < to; i++) {
		uint64_t payload;

		history->steps[i].random = (uint32_t)fuzz_random();
		rig->now += history->steps[i].random % 2000000;
		rig->wall += history->steps[i].random % 2000000;
		history->steps[i].tick = false;
		for (unsigned int unit = 0; unit < VMM_UNITS; unit++) {
			struct vmm_timer *timer = &rig->vmm->timers[unit];

			if (timer->ns > rig->now || history->steps[i].tick)
				continue;
			history->steps[i].tick = true;
			history->steps[i].unit = unit;
			history->steps[i].ns = rig->now;
			payload = htole64(rig->now);
			assert_int_equal(rig_apply(rig, unit, timer->kind, &payload, 8), 0);
		}
		type(rig, history->steps[i].random);
		access_port(rig, history->steps[i].random, &history->hash);
	}
}

static void run_twin(struct rig *rig, const struct history *history, unsigned int from,
		     unsigned int to, uint64_t *hash)
{
	for (unsigned int i = from; i < to; i++) {
		uint64_t payload = htole64(history->steps[i].ns);

		if (history->steps[i].tick)
			assert_int_equal(rig_apply(rig, history->steps[i].unit, 1, &payload, 8), 0);
		type(rig, history->steps[i].random);
		access_port(rig, history->steps[i].random, hash);
	}
}

static void assert_same(struct rig *a, struct rig *b)
{
	size_t len_a, len_b;
	uint8_t *state_a = rig_save(a, &len_a), *state_b = rig_save(b, &len_b);

	assert_int_equal(len_a, len_b);
	assert_memory_equal(state_a, state_b, len_a);
	for (unsigned int unit = 0; unit < VMM_UNITS; unit++) {
		/* of one that is not armed, the kind means nothing */
		assert_int_equal(a->vmm->timers[unit].ns, b->vmm->timers[unit].ns);
		if (a->vmm->timers[unit].ns != VMM_NEVER)
			assert_int_equal(a->vmm->timers[unit].kind, b->vmm->timers[unit].kind);
	}
	free(state_a);
	free(state_b);
}

static void test_twin_follows(void **state)
{
	struct history *history = calloc(1, sizeof(*history));
	struct rig *primary = machine(NULL), *twin = machine(primary);
	uint64_t hash = 0;

	(void)state;
	run_primary(primary, history, 0, STEPS);
	run_twin(twin, history, 0, STEPS, &hash);
	assert_same(primary, twin);
	assert_int_equal(hash, history->hash);
	assert_int_equal(twin->n_clocks, primary->n_clocks);
	assert_int_equal(twin->n_out, primary->n_out);
	assert_memory_equal(twin->out, primary->out, primary->n_out);
	assert_true(primary->n_clocks > 100 && primary->n_out > 10);
	assert_int_equal(twin->vmm->ending, primary->vmm->ending);
	rig_exit(twin);
	rig_exit(primary);
	free(history);
}

/*
 * The control: with a clock that goes wrong the twin does not read the same. Its
 * error has to grow: the devices count from a clock value they read before, so
 * one that is always off by the same is hardly seen.
 */
static void test_wrong_clock_shows(void **state)
{
	struct history *history = calloc(1, sizeof(*history));
	struct rig *primary = machine(NULL), *twin;
	uint64_t hash = 0;

	(void)state;
	run_primary(primary, history, 0, STEPS);
	for (size_t i = 0; i < primary->n_clocks; i++)
		primary->clocks[i] += (i + 1) * 1000003;
	twin = machine(primary);
	run_twin(twin, history, 0, STEPS, &hash);
	assert_int_not_equal(hash, history->hash);
	rig_exit(twin);
	rig_exit(primary);
	free(history);
}

static void test_load_half_way(void **state)
{
	struct history *history = calloc(1, sizeof(*history));
	struct rig *primary = machine(NULL), *twin = machine(primary);
	uint8_t *saved;
	uint64_t hash;
	size_t len;

	(void)state;
	run_primary(primary, history, 0, STEPS / 2);
	saved = rig_save(primary, &len);
	assert_int_equal(rig_load(twin, saved, len), 0);
	assert_same(primary, twin);
	twin->n_clocks = primary->n_clocks;
	hash = history->hash;
	run_primary(primary, history, STEPS / 2, STEPS);
	run_twin(twin, history, STEPS / 2, STEPS, &hash);
	assert_same(primary, twin);
	assert_int_equal(hash, history->hash);
	free(saved);
	rig_exit(twin);
	rig_exit(primary);
	free(history);
}

static void test_short_states_are_refused(void **state)
{
	struct rig *rig = machine(NULL);
	size_t len;
	uint8_t *saved = rig_save(rig, &len);

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		/* A copy of its own, so that a byte too far is found. */
		uint8_t *part = malloc(cut ? cut : 1);

		memcpy(part, saved, cut);
		assert_true(rig_load(rig, part, cut) < 0);
		free(part);
	}
	assert_int_equal(rig_load(rig, saved, len), 0);
	free(saved);
	rig_exit(rig);
}

/* Whatever is loaded, the devices stay within themselves. */
static void test_harmed_states(void **state)
{
	struct history *history = calloc(1, sizeof(*history));
	unsigned int refused = 0;

	(void)state;
	for (unsigned int round = 0; round < 300; round++) {
		struct rig *rig = machine(NULL);
		uint8_t *saved;
		size_t len;

		run_primary(rig, history, 0, 50);
		saved = rig_save(rig, &len);
		for (unsigned int i = 0; i < 3; i++)
			saved[fuzz_below(len)] = (uint8_t)fuzz_random();
		if (rig_load(rig, saved, len))
			refused++;
		else
			run_primary(rig, history, 50, 200);
		free(saved);
		rig_exit(rig);
	}
	assert_in_range(refused, 1, 299);
	free(history);
}

/* Every byte at its ends: what a few random ones seldom meet, such as dates far away. */
static void test_extreme_states(void **state)
{
	static const uint8_t ends[] = { 0x00, 0x7f, 0x80, 0xff };
	struct history *history = calloc(1, sizeof(*history));
	struct rig *rig = machine(NULL);
	size_t len;
	uint8_t *saved = rig_save(rig, &len);

	(void)state;
	rig_exit(rig);
	for (size_t i = 0; i < len * sizeof(ends); i++) {
		size_t at = i / sizeof(ends);
		uint8_t old = saved[at];

		rig = machine(NULL);
		saved[at] = ends[i % sizeof(ends)];
		if (!rig_load(rig, saved, len)) {
			for (uint8_t reg = 0; reg < 0x40; reg++) {
				vmm_pio_out(rig->vmm, 0x70, 1, reg);
				vmm_pio_in(rig->vmm, 0x71, 1);
			}
			run_primary(rig, history, 0, 50);
		}
		saved[at] = old;
		rig_exit(rig);
	}
	free(saved);
	free(history);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_twin_follows),
		cmocka_unit_test(test_wrong_clock_shows),
		cmocka_unit_test(test_load_half_way),
		cmocka_unit_test(test_short_states_are_refused),
		cmocka_unit_test(test_harmed_states),
		cmocka_unit_test(test_extreme_states),
	};

	fuzz_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
