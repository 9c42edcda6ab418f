// SPDX-License-Identifier: GPL-2.0
/*
 * Text of workers becomes UTF-8 without control characters.
 *
 * Sources: mapreduce/coordinator/text.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/text.h"

static void test_clean(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} cases[] = {
		{ "", "" },
		{ "plain\n\ttext", "plain\n\ttext" },
		{ "\033[31mred\177", "?[31mred?" },
		{ "gr\303\274n \342\202\254 \360\237\230\200", "gr\303\274n \342\202\254 \360\237\230\200" },
		{ "cut \342\202", "cut ??" },
		{ "\200\277", "??" },
		{ "\300\257 overlong", "?? overlong" },
		{ "\355\240\200 surrogate", "??? surrogate" },
		{ "\364\220\200\200 beyond", "???? beyond" },
		{ "\377\376", "??" },
	};
	char text[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		strcpy(text, cases[i].in);
		assert_string_equal(mr_text_clean(text), cases[i].out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
