// SPDX-License-Identifier: GPL-2.0
/* Short forms over json-c. */
#include "common/json.h"

#include <stdio.h>

void lockstep_json_add_str(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, value ? json_object_new_string(value) : NULL);
}

void lockstep_json_add_u64(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

void lockstep_json_add_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

void lockstep_json_add_uuid(struct json_object *o, const char *key,
			    const struct lockstep_uuid *value)
{
	char text[LOCKSTEP_UUID_STRLEN + 1];

	lockstep_json_add_str(o, key, lockstep_uuid_format(value, text));
}

void lockstep_json_print(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_SPACED |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
}
