// SPDX-License-Identifier: GPL-2.0
/*
 * The label of a disk
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk_label.h"

#define LABEL_BYTES_MAX	1024
#define UUID_TEXT	37

static int label_path(char *path, size_t room, const char *disk, const char *suffix)
{
	int len = snprintf(path, room, "%s%s", disk, suffix);

	return len < 0 || (size_t)len >= room ? -ENAMETOOLONG : 0;
}

static void uuid_format(char *text, const uint8_t *uuid)
{
	for (unsigned int i = 0; i < DISK_LABEL_UUID; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*text++ = '-';
		sprintf(text, "%02x", uuid[i]);
		text += 2;
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool uuid_parse(uint8_t *uuid, const char *text)
{
	for (unsigned int i = 0; i < DISK_LABEL_UUID; i++) {
		int high, low;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
			return false;
		high = hex_digit(text[0]);
		low = high < 0 ? -1 : hex_digit(text[1]);
		if (low < 0)
			return false;
		uuid[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	return !*text;
}

/* The member of this name and type, or NULL. */
static struct json_object *member(struct json_object *object, const char *name, json_type type)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, name, &value) || !json_object_is_type(value, type))
		return NULL;
	return value;
}

static int label_parse(struct disk_label *label, const char *text)
{
	struct json_object *version, *generation, *instance, *stale, *root;
	int err = -EBADMSG;

	root = json_tokener_parse(text);
	version = member(root, "version", json_type_int);
	generation = member(root, "generation", json_type_int);
	instance = member(root, "instance", json_type_string);
	stale = member(root, "stale", json_type_boolean);
	if (!version || !generation || !instance || !stale ||
	    json_object_get_int64(version) != DISK_LABEL_VERSION ||
	    json_object_get_int64(generation) < 0 ||
	    !uuid_parse(label->instance, json_object_get_string(instance)))
		goto put;
	label->generation = json_object_get_uint64(generation);
	label->stale = json_object_get_boolean(stale);
	err = 0;
put:
	json_object_put(root);
	return err;
}

int disk_label_read(const char *disk, struct disk_label *label)
{
	char path[PATH_MAX], text[LABEL_BYTES_MAX + 1];
	ssize_t len;
	int fd, err;

	err = label_path(path, sizeof(path), disk, DISK_LABEL_SUFFIX);
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	do {
		len = read(fd, text, sizeof(text));
	} while (len < 0 && errno == EINTR);
	err = len < 0 ? -errno : 0;
	close(fd);
	if (err)
		return err;
	if (len > LABEL_BYTES_MAX)
		return -EBADMSG;
	text[len] = '\0';
	return label_parse(label, text);
}

static int write_synced(const char *path, const char *text, size_t len)
{
	ssize_t done;
	int fd, err = 0;

	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	done = write(fd, text, len);
	if (done < 0)
		err = -errno;
	else if ((size_t)done != len)
		err = -ENOSPC;
	if (!err && fsync(fd))
		err = -errno;
	if (close(fd) && !err)
		err = -errno;
	return err;
}

/* The directory entry, too, has to survive a loss of power. */
static int sync_parent(const char *path)
{
	char copy[PATH_MAX];
	int fd, err = 0;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd))
		err = -errno;
	close(fd);
	return err;
}

int disk_label_write(const char *disk, const struct disk_label *label)
{
	char path[PATH_MAX], temporary[PATH_MAX], uuid[UUID_TEXT], text[LABEL_BYTES_MAX];
	int len, err;

	err = label_path(path, sizeof(path), disk, DISK_LABEL_SUFFIX);
	if (!err)
		err = label_path(temporary, sizeof(temporary), disk, DISK_LABEL_SUFFIX ".new");
	if (err)
		return err;
	uuid_format(uuid, label->instance);
	len = snprintf(text, sizeof(text),
		       "{\"version\":%d,\"generation\":%llu,\"instance\":\"%s\",\"stale\":%s}\n",
		       DISK_LABEL_VERSION, (unsigned long long)label->generation, uuid,
		       label->stale ? "true" : "false");
	err = write_synced(temporary, text, (size_t)len);
	if (!err && rename(temporary, path))
		err = -errno;
	if (err) {
		unlink(temporary);
		return err;
	}
	return sync_parent(path);
}

int disk_label_mark_stale(const char *disk)
{
	struct disk_label label = { 0 };
	int err;

	err = disk_label_read(disk, &label);
	if (err == -ENOENT || err == -EBADMSG)
		memset(&label, 0, sizeof(label));
	else if (err)
		return err;
	label.stale = true;
	return disk_label_write(disk, &label);
}
