/* SPDX-License-Identifier: GPL-2.0 */
/* Short forms over json-c. Values added are copied; a NULL string adds null. */
#ifndef LOCKSTEP_COMMON_JSON_H
#define LOCKSTEP_COMMON_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>

#include "uuid.h"

void lockstep_json_add_str(struct json_object *o, const char *key, const char *value);
void lockstep_json_add_u64(struct json_object *o, const char *key, uint64_t value);
void lockstep_json_add_bool(struct json_object *o, const char *key, bool value);
void lockstep_json_add_uuid(struct json_object *o, const char *key,
			    const struct lockstep_uuid *value);

/**
 * lockstep_json_print() - write an object to standard output, newline at its end
 * @o: object, still the caller's
 */
void lockstep_json_print(struct json_object *o);

#endif
