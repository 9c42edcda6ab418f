// SPDX-License-Identifier: GPL-2.0
#include "kept.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "common/config.h"
#include "common/file.h"

#define FILE_MAX	(256u << 20)	/* bytes of a JSON file */

static char *folder(char *out)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int n;

	if (state && *state == '/')
		n = snprintf(out, MRCTL_PATH_MAX, "%s/lockstep/jobs", state);
	else if (home && *home == '/')
		n = snprintf(out, MRCTL_PATH_MAX, "%s/.local/state/lockstep/jobs", home);
	else
		return NULL;
	return n < MRCTL_PATH_MAX ? out : NULL;
}

char *mrctl_kept_path(unsigned int number, const char *file, char *out)
{
	char dir[MRCTL_PATH_MAX];

	if (!folder(dir))
		return NULL;
	return snprintf(out, MRCTL_PATH_MAX, "%s/%u%s%s", dir, number, *file ? "/" : "", file) < MRCTL_PATH_MAX ?
	       out : NULL;
}

static int by_number(const void *a, const void *b)
{
	unsigned int x = *(const unsigned int *)a, y = *(const unsigned int *)b;

	return (x > y) - (x < y);
}

int mrctl_kept_list(unsigned int **numbers)
{
	char dir[MRCTL_PATH_MAX];
	struct dirent *entry;
	unsigned int *list = NULL, *more;
	uint64_t number;
	int n = 0;
	DIR *d;

	*numbers = NULL;
	d = folder(dir) ? opendir(dir) : NULL;
	if (!d)
		return 0;
	while ((entry = readdir(d))) {
		if (lockstep_config_u64(entry->d_name, 1, UINT32_MAX, &number))
			continue;
		more = reallocarray(list, n + 1, sizeof(*list));
		if (!more) {
			free(list);
			closedir(d);
			return -ENOMEM;
		}
		list = more;
		list[n++] = number;
	}
	closedir(d);
	if (n)
		qsort(list, n, sizeof(*list), by_number);
	*numbers = list;
	return n;
}

void mrctl_kept_remove(unsigned int number)
{
	static const char *const files[] = { "job.json", "journal", "status.json", "" };
	char path[MRCTL_PATH_MAX];
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (mrctl_kept_path(number, files[i], path) && remove(path) && errno != ENOENT)
			return;
}

int mrctl_kept_create(unsigned int *number)
{
	char path[MRCTL_PATH_MAX];
	unsigned int *all;
	int n, ret, i;

	if (!folder(path))
		return -ENOENT;
	ret = lockstep_file_mkdir(path, 0700);
	if (ret)
		return ret;
	n = mrctl_kept_list(&all);
	if (n < 0)
		return n;
	for (i = 0; i + MRCTL_KEPT_MAX <= n; i++)
		mrctl_kept_remove(all[i]);
	*number = n ? all[n - 1] : 0;
	free(all);
	do {
		(*number)++;
		if (!mrctl_kept_path(*number, "", path))
			return -ENAMETOOLONG;
		ret = mkdir(path, 0700) ? -errno : 0;
	} while (ret == -EEXIST);
	return ret;
}

struct json_object *mrctl_kept_read(unsigned int number, const char *file)
{
	char path[MRCTL_PATH_MAX], *text;
	struct json_object *o;
	size_t len;

	if (!mrctl_kept_path(number, file, path) || lockstep_file_read(path, FILE_MAX, &text, &len))
		return NULL;
	o = json_tokener_parse(text);
	free(text);
	return o;
}

int mrctl_kept_write(unsigned int number, const char *file, struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY);
	char path[MRCTL_PATH_MAX];

	if (!text || !mrctl_kept_path(number, file, path))
		return -ENOMEM;
	return lockstep_file_replace(path, text, strlen(text), 0600);
}

void mrctl_kept_done(unsigned int number)
{
	char path[MRCTL_PATH_MAX];

	if (mrctl_kept_path(number, "journal", path))
		unlink(path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	remove(path);
	return 0;
}

void mrctl_tree_remove(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
