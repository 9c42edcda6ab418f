/* SPDX-License-Identifier: GPL-2.0 */
/* An arbiter's folder in a temporary one, for tests. */
#ifndef SELFTESTS_FOLDER_FIXTURE_H
#define SELFTESTS_FOLDER_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "arbiter/folder.h"

extern char ffx_top[64], ffx_dir[96];	/* all of the test's; that of this test point */
extern struct lockstep_verdict ffx_verdict;

/* Of the group, and of each test: a folder that is a store. */
int ffx_init(void);
void ffx_exit(void);
void ffx_next(void);

/* A shell command that has to succeed. */
void ffx_run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

struct lockstep_folder *ffx_folder(const char *node);
void ffx_mint(bool restore);

/* File of a guest's change number @seq. */
char *ffx_entry(const struct lockstep_uuid *vm, unsigned int seq);

/* As lockstep_folder_request(), verdict in ffx_verdict. */
int ffx_put(struct lockstep_folder *f, enum lockstep_rules_op op, const char *node,
	    const struct lockstep_arbiter_key *key, const void *value, int len, uint64_t below);
int ffx_claim(struct lockstep_folder *f, const struct lockstep_uuid *vm, uint64_t g,
	      const char *node, uint8_t instance);

/* Generation 1, of a's instance 1 and b's instance 2. */
int ffx_form(struct lockstep_folder *f, const struct lockstep_uuid *vm);

#endif
