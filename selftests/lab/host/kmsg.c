// SPDX-License-Identifier: GPL-2.0
/* Watch on the kernel log: every line is copied out, bad ones are failures. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "labhost.h"

struct pattern_list {
	regex_t *re;
	size_t count;
};

static struct pattern_list bad, allowed;
static int log_fd = -1;
static int copy_fd = -1;

/* One extended regular expression a line; empty lines and those that start with # are left out. */
static int patterns_load(struct pattern_list *list, const char *path)
{
	char line[256];
	FILE *f = fopen(path, "r");
	int ret = 0;

	if (!f)
		return -errno;
	while (!ret && fgets(line, sizeof(line), f)) {
		regex_t *more;

		line[strcspn(line, "\n")] = '\0';
		if (!*line || *line == '#')
			continue;
		more = realloc(list->re, (list->count + 1) * sizeof(*more));
		if (!more) {
			ret = -ENOMEM;
			break;
		}
		list->re = more;
		if (regcomp(&list->re[list->count], line, REG_EXTENDED | REG_NOSUB))
			ret = -EINVAL;
		else
			list->count++;
	}
	fclose(f);
	return ret;
}

static bool patterns_match(const struct pattern_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (!regexec(&list->re[i], text, 0, NULL, 0))
			return true;
	return false;
}

int kmsg_init(const char *patterns, const char *allow)
{
	int ret = patterns_load(&bad, patterns);

	if (!ret)
		ret = patterns_load(&allowed, allow);
	if (!ret && !bad.count)
		ret = -ENODATA;
	if (ret)
		return ret;
	log_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return log_fd < 0 ? -errno : 0;
}

int kmsg_fd(void)
{
	return log_fd;
}

void kmsg_copy_to(int fd)
{
	copy_fd = fd;
}

/* A record is "priority,number,microseconds,flags;text\n" and then lines " KEY=value". */
static void record(char *rec)
{
	char *text = strchr(rec, ';');
	unsigned long long usec = 0;
	char line[1200];
	int n;

	if (!text)
		return;
	*text++ = '\0';
	text[strcspn(text, "\n")] = '\0';
	sscanf(rec, "%*u,%*u,%llu", &usec);
	n = snprintf(line, sizeof(line), "[%5llu.%06llu] %s\n", usec / 1000000, usec % 1000000, text);
	if (n >= (int)sizeof(line))
		n = sizeof(line) - 1;
	if (copy_fd >= 0)
		write_all(copy_fd, line, n);
	if (patterns_match(&bad, text) && !patterns_match(&allowed, text))
		verdict_fail("kernel log: %s", text);
}

/* Reads all there is. Lines that were overwritten before we came are lines nobody judged: a failure. */
void kmsg_drain(void)
{
	char rec[8192];

	for (;;) {
		ssize_t n = read(log_fd, rec, sizeof(rec) - 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE) {
			verdict_fail("kernel log overran its buffer");
			continue;
		}
		if (n <= 0)
			return;
		rec[n] = '\0';
		record(rec);
	}
}
