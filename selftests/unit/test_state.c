// SPDX-License-Identifier: GPL-2.0
/*
 * The state table (kmod/state.c): is docs/states.md true of it, and do the rules
 * hold that no table may break?
 *
 * Sources: kmod/state.c
 */
#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kmod/state.h"

#define STATES		__LOCKSTEP_STATE_LAST
#define EVENTS		__LOCKSTEP_EVENT_LAST
#define FIELDS		8
#define LINE		512
#define NOT_LISTED	(-ENOENT)

/* Sets of states and events are bit masks. */
#define BIT(n)		(1ULL << (n))
#define S(x)		BIT(LOCKSTEP_STATE_##x)
#define E(x)		BIT(LOCKSTEP_EVENT_##x)

static const unsigned long long twins = S(SYNC_DST) | S(PROTECTED_B) | S(SUSPECT_B) |
	S(CONTEST_B) | S(STOPPED_B) | S(ORPHAN_B) | S(DIVERGED);
static const unsigned long long contests = S(CONTEST_P) | S(CONTEST_B);

static const struct lockstep_state_rule *rule(int state)
{
	return lockstep_state_rule((unsigned int)state);
}

static const char *state_name(int state)
{
	return lockstep_state_name((unsigned int)state);
}

static const char *event_name(int event)
{
	return lockstep_event_name((unsigned int)event);
}

static int next(int state, int event)
{
	return lockstep_state_next((unsigned int)state, (unsigned int)event);
}

/* ---- reading docs/states.md ---- */

static FILE *doc_open(const char *name)
{
	static const char here[] = __FILE__;	/* compiled by its full path */
	const char *end = strstr(here, "/selftests/");
	char path[4096];
	FILE *file;

	assert_non_null(end);
	snprintf(path, sizeof(path), "%.*s/docs/%s", (int)(end - here), here, name);
	file = fopen(path, "r");
	if (!file)
		fail_msg("cannot open %s", path);
	return file;
}

static char *trimmed(char *text)
{
	char *end;

	while (isspace((unsigned char)*text) || *text == '`')
		text++;
	end = text + strlen(text);
	while (end > text && (isspace((unsigned char)end[-1]) || end[-1] == '`'))
		*--end = '\0';
	return text;
}

/* "| a | b |" to its fields; 0: not a row of a table. */
static int fields_of(char *line, char *fields[FIELDS])
{
	char *save = line + 1, *field;
	int n = 0;

	if (line[0] != '|' || line[1] == '\0')
		return 0;
	while (n < FIELDS && (field = strsep(&save, "|")) && save)
		fields[n++] = trimmed(field);
	return n;
}

/*
 * Calls row() for each row below the head row whose first field is @first and
 * second is @second. Returns how many.
 */
static int table_read(const char *first, const char *second,
		      void (*row)(char *fields[FIELDS], int n, void *arg), void *arg)
{
	FILE *file = doc_open("states.md");
	char line[LINE], *fields[FIELDS];
	bool inside = false;
	int rows = 0, n;

	while (fgets(line, sizeof(line), file)) {
		n = fields_of(line, fields);
		if (n < 2) {
			inside = false;
		} else if (!strcmp(fields[0], first) && !strcmp(fields[1], second)) {
			inside = true;
		} else if (inside && strncmp(fields[0], "---", 3)) {
			row(fields, n, arg);
			rows++;
		}
	}
	fclose(file);
	return rows;
}

static int state_of(const char *name)
{
	int i;

	for (i = 0; i < STATES; i++)
		if (!strcmp(state_name(i), name))
			return i;
	fail_msg("docs/states.md: no state '%s' in the code", name);
	return -1;
}

static int event_of(const char *name)
{
	int i;

	for (i = 0; i < EVENTS; i++)
		if (!strcmp(event_name(i), name))
			return i;
	fail_msg("docs/states.md: no event '%s' in the code", name);
	return -1;
}

static void transition_row(char *fields[FIELDS], int n, void *arg)
{
	int (*to)[EVENTS] = arg;
	int from, event;

	assert_int_equal(n, 4);
	from = state_of(fields[0]);
	event = event_of(fields[1]);
	if (to[from][event] != NOT_LISTED)
		fail_msg("docs/states.md lists (%s, %s) twice", fields[0], fields[1]);
	to[from][event] = state_of(fields[2]);
}

/* Every pair, listed or not. */
static void doc_lists_the_table(void **state)
{
	static int to[STATES][EVENTS];
	int s, e, wrong = 0, rows;

	(void)state;
	for (s = 0; s < STATES; s++)
		for (e = 0; e < EVENTS; e++)
			to[s][e] = NOT_LISTED;
	rows = table_read("state", "event", transition_row, to);
	assert_true(rows > 50);
	for (s = 0; s < STATES; s++) {
		for (e = 0; e < EVENTS; e++) {
			if (to[s][e] == next(s, e))
				continue;
			wrong++;
			print_message("# (%s, %s): docs/states.md says %s, the code %s\n",
				      state_name(s), event_name(e),
				      to[s][e] < 0 ? "nothing" : state_name(to[s][e]),
				      next(s, e) < 0 ? "nothing" : state_name(next(s, e)));
		}
	}
	assert_int_equal(wrong, 0);
}

static int word_of(const char *const *words, int n, const char *word)
{
	int i;

	for (i = 0; i < n; i++)
		if (!strcmp(words[i], word))
			return i;
	fail_msg("docs/states.md: no rule '%s'", word);
	return -1;
}

static void state_row(char *fields[FIELDS], int n, void *arg)
{
	static const char *const gates[] = { "drop", "latch", "acked", "open" };
	static const char *const vcpus[] = { "park", "run", "log", "replay" };
	unsigned long long *seen = arg;
	int s;

	assert_int_equal(n, 5);
	s = state_of(fields[0]);
	*seen |= BIT(s);
	if (word_of(gates, 4, fields[1]) != rule(s)->gate ||
	    word_of(vcpus, 4, fields[2]) != rule(s)->vcpu ||
	    !strcmp(fields[3], "logs") != rule(s)->logs ||
	    !strcmp(fields[3], "acks") != rule(s)->acks ||
	    !strcmp(fields[3], "over") != rule(s)->over)
		fail_msg("docs/states.md: '%s' has other rules in the code", fields[0]);
	assert_true(strlen(fields[4]) > 0);
}

static void doc_lists_the_states(void **state)
{
	unsigned long long seen = 0;

	(void)state;
	assert_int_equal(table_read("state", "gate", state_row, &seen), STATES);
	assert_true(seen == BIT(STATES) - 1);
}

/* ---- names ---- */

static void check_names(const char *(*name)(int), int n)
{
	const char *p;
	int i, j;

	for (i = 0; i < n; i++) {
		for (p = name(i); *p; p++)
			assert_true(islower((unsigned char)*p) || *p == '-');
		assert_true(p > name(i));
		for (j = 0; j < i; j++)
			assert_string_not_equal(name(i), name(j));
	}
	assert_string_equal(name(n), "?");
	assert_string_equal(name(-1), "?");
}

static const char *event_name_filled(int event)
{
	/* the numbers between the daemon's events and the module's are free */
	static const char *const fill[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j" };
	int first = LOCKSTEP_EVENT_RELEASE + 1;

	if (event >= first && event < LOCKSTEP_EVENT_DAEMON_LOST) {
		assert_string_equal(event_name(event), "?");
		return fill[event - first];
	}
	return event_name(event);
}

static void names_are_unique(void **state)
{
	(void)state;
	check_names(state_name, STATES);
	check_names(event_name_filled, EVENTS);
}

static void strangers_change_nothing(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		assert_int_equal(next(STATES + i, i % EVENTS), NOT_LISTED);
		assert_int_equal(next(i % STATES, EVENTS + i), NOT_LISTED);
	}
	assert_int_equal(next(-1, -1), NOT_LISTED);
	assert_int_equal(next(LOCKSTEP_STATE_FREE, LOCKSTEP_EVENT_NONE), NOT_LISTED);
	assert_ptr_equal(rule(STATES), rule(LOCKSTEP_STATE_FREE));
}

/* ---- rules of the states ---- */

static void rules_fit_each_other(void **state)
{
	const struct lockstep_state_rule *r;
	int s;

	(void)state;
	for (s = 0; s < STATES; s++) {
		r = rule(s);
		/* who runs alone has an open gate, who logs waits for acks, a twin lets out nothing */
		assert_true((r->vcpu == LOCKSTEP_VCPU_RUN) == (r->gate == LOCKSTEP_GATE_RULE_OPEN));
		if (r->vcpu == LOCKSTEP_VCPU_LOG)
			assert_int_equal(r->gate, LOCKSTEP_GATE_RULE_ACKED);
		if (BIT(s) & twins || r->over)
			assert_int_equal(r->gate, LOCKSTEP_GATE_RULE_DROP);
		/* acks are given by twins that may still go live */
		if (r->acks)
			assert_true(BIT(s) & twins & ~(S(CONTEST_B) | S(DIVERGED) | S(ORPHAN_B)));
		/* what was logged and not acknowledged is held, not lost, and does not leave */
		if (r->logs)
			assert_true(r->gate == LOCKSTEP_GATE_RULE_LATCH ||
				    r->gate == LOCKSTEP_GATE_RULE_ACKED);
		if (r->gate == LOCKSTEP_GATE_RULE_ACKED)
			assert_true(r->logs);
		if (r->over)
			assert_int_equal(r->vcpu, LOCKSTEP_VCPU_PARK);
		assert_true(r->logs + r->acks + r->over <= 1);
	}
	/* nothing leaves while the generation is in dispute, or nobody hears us */
	for (s = 0; s < STATES; s++)
		if (BIT(s) & (contests | S(SUSPECT_P) | S(ORPHAN_P) | S(ORPHAN_B) | S(DIVERGED)))
			assert_in_range(rule(s)->gate, LOCKSTEP_GATE_RULE_DROP,
					LOCKSTEP_GATE_RULE_LATCH);
}

/* ---- rules of the table ---- */

static bool changes(int s, int e, int *to)
{
	*to = next(s, e);
	return *to >= 0 && *to != s;
}

/* Every transition to another state, one after the other. */
#define for_each_change(s, e, to)						\
	for ((s) = 0; (s) < STATES; (s)++)					\
		for ((e) = 0; (e) < EVENTS; (e)++)				\
			if (changes(s, e, &(to)))

static void gate_opens_by_the_arbiter_only(void **state)
{
	int s, e, to, opened = 0;

	(void)state;
	for_each_change(s, e, to) {
		if (rule(to)->gate != LOCKSTEP_GATE_RULE_OPEN ||
		    rule(s)->gate == LOCKSTEP_GATE_RULE_OPEN)
			continue;
		opened++;
		assert_true(BIT(e) & (E(COLD_WON) | E(WON)));
	}
	assert_int_equal(opened, 3);	/* cold start, primary, backup */
}

static void contest_ends_by_the_arbiter_only(void **state)
{
	int s, e, to, ends = 0;

	(void)state;
	for_each_change(s, e, to) {
		if (!(BIT(s) & contests))
			continue;
		ends++;
		/* one that differs has not claimed yet: event_check() sees to it */
		if (s == LOCKSTEP_STATE_CONTEST_B && e == LOCKSTEP_EVENT_DIVERGED)
			assert_int_equal(to, LOCKSTEP_STATE_DIVERGED);
		else
			assert_true(BIT(e) & (E(WON) | E(LOST) | E(PEER_WON) | E(CLOSED)));
	}
	assert_in_range(ends, 2 * 3, 2 * 4 + 1);
	/* and the other way: who wins lives, who loses is over */
	for (s = 0; s < STATES; s++) {
		if (!(BIT(s) & contests))
			continue;
		assert_int_equal(rule(next(s, LOCKSTEP_EVENT_WON))->gate, LOCKSTEP_GATE_RULE_OPEN);
		assert_true(rule(next(s, LOCKSTEP_EVENT_LOST))->over);
		assert_true(rule(next(s, LOCKSTEP_EVENT_PEER_WON))->over);
		assert_true(rule(next(s, LOCKSTEP_EVENT_CLOSED))->over);
		assert_int_equal(next(s, LOCKSTEP_EVENT_REFUSED), s);
		assert_int_equal(next(s, LOCKSTEP_EVENT_HEARD), NOT_LISTED);
		assert_int_equal(next(s, LOCKSTEP_EVENT_DAEMON_LOST), NOT_LISTED);
	}
}

/* States that can be reached from @from, @from among them. */
static unsigned long long reach(int from)
{
	unsigned long long seen = BIT(from), before = 0;
	int s, e, to;

	while (seen != before) {
		before = seen;
		for_each_change(s, e, to)
			if (before & BIT(s))
				seen |= BIT(to);
	}
	return seen;
}

static void over_is_over(void **state)
{
	int s, e, over = 0;

	(void)state;
	for (s = 0; s < STATES; s++) {
		if (!rule(s)->over)
			continue;
		over++;
		for (e = 0; e < EVENTS; e++)
			assert_int_equal(next(s, e), NOT_LISTED);
	}
	assert_int_equal(over, 1);
}

static void everything_is_reached_and_ends(void **state)
{
	unsigned long long all = BIT(STATES) - 1;
	int s;

	(void)state;
	assert_true(reach(LOCKSTEP_STATE_FREE) == all);
	for (s = 0; s < STATES; s++)
		assert_true(reach(s) & S(HALTED));
}

static void twins_live_by_winning_only(void **state)
{
	unsigned long long may_follow = twins | S(FREE) | S(HALTED);
	int s, e, to;

	(void)state;
	for_each_change(s, e, to) {
		if (!(BIT(s) & twins))
			continue;
		if (e == LOCKSTEP_EVENT_WON)
			assert_int_equal(s, LOCKSTEP_STATE_CONTEST_B);
		else
			assert_true(may_follow & BIT(to));
	}
	/* and nobody who has lived becomes a twin again: another instance does */
	assert_false(reach(LOCKSTEP_STATE_SOLO) & twins);
	/* a twin that differs never comes near the arbiter */
	assert_false(reach(LOCKSTEP_STATE_DIVERGED) & (contests | S(LIVE) | S(SOLO)));
	/* one that was not activated neither */
	assert_int_equal(next(LOCKSTEP_STATE_SYNC_DST, LOCKSTEP_EVENT_TIMEOUT), NOT_LISTED);
	assert_int_equal(next(LOCKSTEP_STATE_SYNC_DST, LOCKSTEP_EVENT_PEER_FAILED), NOT_LISTED);
}

/* Sooner or later a lost peer, or a lost daemon, leads to the arbiter. */
static void silence_is_settled(void **state)
{
	int s;

	(void)state;
	for (s = 0; s < STATES; s++) {
		if (rule(s)->logs && !(BIT(s) & contests))
			assert_true(reach(s) & S(CONTEST_P));
		if (rule(s)->acks || s == LOCKSTEP_STATE_ORPHAN_B)
			assert_true(reach(s) & S(CONTEST_B));
	}
}

/* What a daemon may send is what the netlink policy lets through: 1 to 31. */
static void every_event_is_used(void **state)
{
	unsigned long long used = 0, names = 0;
	int s, e;

	(void)state;
	for (e = 0; e < EVENTS; e++) {
		if (strcmp(event_name(e), "?"))
			names |= BIT(e);
		for (s = 0; s < STATES; s++)
			if (next(s, e) >= 0)
				used |= BIT(e);
	}
	/* the end of the object is no transition */
	assert_true((names & ~used) == (E(NONE) | E(VMM_GONE)));
	assert_true(LOCKSTEP_EVENT_RELEASE < 32 && LOCKSTEP_EVENT_DAEMON_LOST >= 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doc_lists_the_table),
		cmocka_unit_test(doc_lists_the_states),
		cmocka_unit_test(names_are_unique),
		cmocka_unit_test(strangers_change_nothing),
		cmocka_unit_test(rules_fit_each_other),
		cmocka_unit_test(gate_opens_by_the_arbiter_only),
		cmocka_unit_test(contest_ends_by_the_arbiter_only),
		cmocka_unit_test(over_is_over),
		cmocka_unit_test(everything_is_reached_and_ends),
		cmocka_unit_test(twins_live_by_winning_only),
		cmocka_unit_test(silence_is_settled),
		cmocka_unit_test(every_event_is_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
