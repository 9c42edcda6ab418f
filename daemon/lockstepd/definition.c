// SPDX-License-Identifier: GPL-2.0
/* Definitions of guests and command lines of VMMs, see definition.h. */
#include "lockstepd/definition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/uuid.h"

#define NAME_CHARS	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define KEY_CHARS	"abcdefghijklmnopqrstuvwxyz0123456789-"

/* What this daemon decides itself. */
static const char *const reserved[] = { "role", "name", "uuid", "wait", "control" };

struct reading {
	struct lockstepd_definition *def;
	bool serial;
};

void lockstepd_vmm_socket(const char *run, const char *name, char *out, size_t size)
{
	snprintf(out, size, "%s/%s.vmm", run, name);
}

static int arg_add(struct lockstepd_definition *def, const char *a, const char *b)
{
	char *text;

	if (def->nargs >= LOCKSTEPD_ARGS_MAX)
		return -E2BIG;
	if (asprintf(&text, "%s%s", a, b) < 0)
		return -ENOMEM;
	def->args[def->nargs++] = text;
	def->args[def->nargs] = NULL;
	return 0;
}

static int option_add(struct lockstepd_definition *def, const char *key, const char *value)
{
	int ret = arg_add(def, "--", key);

	return ret || !value ? ret : arg_add(def, value, "");
}

static int guest_take(const struct lockstep_config_item *item, struct lockstepd_definition *def,
		      char *err, size_t errlen)
{
	struct lockstep_uuid uuid;

	if (!strcmp(item->key, "uuid")) {
		if (lockstep_uuid_parse(item->value, &uuid) || lockstep_uuid_is_nil(&uuid)) {
			snprintf(err, errlen, "uuid: not a UUID; uuidgen makes one");
			return -EINVAL;
		}
		lockstep_uuid_format(&uuid, def->uuid);
		return 0;
	}
	if (!strcmp(item->key, "peer")) {
		if (!lockstep_node_name_valid(item->value)) {
			snprintf(err, errlen, "peer: the name of a node");
			return -EINVAL;
		}
		snprintf(def->peer, sizeof(def->peer), "%s", item->value);
		return 0;
	}
	if (!strcmp(item->key, "wait")) {
		if (!lockstep_config_bool(item->value, &def->wait))
			return 0;
		snprintf(err, errlen, "wait: yes or no");
		return -EINVAL;
	}
	snprintf(err, errlen, "no setting '%s' in [guest]: uuid, peer, wait", item->key);
	return -EINVAL;
}

static int vmm_take(const struct lockstep_config_item *item, struct reading *r, char *err,
		    size_t errlen)
{
	size_t i;
	int ret;

	for (i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (!strcmp(item->key, reserved[i])) {
			snprintf(err, errlen, "'%s' is not for [vmm]: lockstepd sets it",
				 item->key);
			return -EINVAL;
		}
	if (!item->key[0] || item->key[strspn(item->key, KEY_CHARS)]) {
		snprintf(err, errlen, "'%s' is no option of lockstep-vmm", item->key);
		return -EINVAL;
	}
	if (!strcmp(item->value, "no"))
		return 0;
	r->serial |= !strcmp(item->key, "serial");
	ret = option_add(r->def, item->key, strcmp(item->value, "yes") ? item->value : NULL);
	if (ret)
		snprintf(err, errlen, "too many options: %s", strerror(-ret));
	return ret;
}

static int item_take(const struct lockstep_config_item *item, void *arg, char *err, size_t errlen)
{
	struct reading *r = arg;

	if (!strcmp(item->section, "guest"))
		return guest_take(item, r->def, err, errlen);
	if (!strcmp(item->section, "vmm"))
		return vmm_take(item, r, err, errlen);
	snprintf(err, errlen, "no section '%s': [guest] and [vmm]", item->section);
	return -EINVAL;
}

static int own_options(const struct lockstepd_config *cfg, bool twin, bool serial,
		       struct lockstepd_definition *def)
{
	char path[LOCKSTEPD_PATH_MAX];
	int ret;

	ret = option_add(def, "role", twin ? "twin" : "primary");
	if (!ret)
		ret = option_add(def, "name", def->name);
	if (!ret)
		ret = option_add(def, "uuid", def->uuid);
	if (!ret && def->wait && !twin)
		ret = option_add(def, "wait", NULL);
	lockstepd_vmm_socket(cfg->run, def->name, path, sizeof(path));
	if (!ret)
		ret = option_add(def, "control", path);
	/* nobody sits at the daemon's standard input */
	snprintf(path, sizeof(path), "unix:%s/%s.serial", cfg->run, def->name);
	if (!ret && !serial)
		ret = option_add(def, "serial", path);
	return ret;
}

int lockstepd_definition_read(const struct lockstepd_config *cfg, const char *name, bool twin,
			      struct lockstepd_definition *def, char *err, size_t errlen)
{
	struct reading r = { .def = def };
	char path[LOCKSTEPD_PATH_MAX + LOCKSTEP_NAME_MAX + 8];
	int ret;

	memset(def, 0, sizeof(*def));
	def->wait = true;
	if (!*name || *name == '.' || strlen(name) >= sizeof(def->name) ||
	    name[strspn(name, NAME_CHARS)]) {
		snprintf(err, errlen,
			 "a guest's name is of letters, digits, dots, dashes and underscores, at most %d",
			 LOCKSTEP_NAME_MAX - 1);
		return -EINVAL;
	}
	snprintf(def->name, sizeof(def->name), "%s", name);
	snprintf(path, sizeof(path), "%s/%s.conf", cfg->definitions, name);
	ret = arg_add(def, cfg->vmm, "");
	if (!ret)
		ret = lockstep_config_read(path, item_take, &r, err, errlen);
	if (!ret && !def->uuid[0]) {
		snprintf(err, errlen, "%s: [guest] needs a uuid, the same on both hosts", path);
		ret = -EINVAL;
	}
	if (!ret) {
		ret = own_options(cfg, twin, r.serial, def);
		if (ret)
			snprintf(err, errlen, "%s: %s", path, strerror(-ret));
	}
	if (ret)
		lockstepd_definition_exit(def);
	return ret;
}

void lockstepd_definition_exit(struct lockstepd_definition *def)
{
	unsigned int i;

	for (i = 0; i < def->nargs; i++)
		free(def->args[i]);
	def->nargs = 0;
}
