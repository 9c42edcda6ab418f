/* SPDX-License-Identifier: GPL-2.0 */
/* A folder, an input and attempts, for tests of the engine. */
#ifndef SELFTESTS_MR_FIXTURE_H
#define SELFTESTS_MR_FIXTURE_H

#include <stddef.h>

#include "engine/attempt.h"

extern char mr_fx_dir[64];	/* where attempts work and write */
extern char mr_fx_path[96];	/* the input */

/* Setup and teardown of a cmocka test; a file that an attempt has left fails the test. */
int mr_fx_setup(void **state);
int mr_fx_teardown(void **state);

/* Write the input anew. */
void mr_fx_input(const void *data, size_t len);

/* A map of all of the input, or a reduce, with the least memory. */
struct mr_attempt mr_fx_attempt(const struct mr_app *app, bool map, uint32_t number, uint32_t reduces);

/* A file's content, zero-terminated, for the caller to free. */
char *mr_fx_read(const char *path, size_t *len);

#endif
