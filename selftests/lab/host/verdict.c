// SPDX-License-Identifier: GPL-2.0
/*
 * The verdict of a lab host, on a serial port of its own. Each failure is told
 * at once (a host that is killed later has still said it); the verdict itself
 * comes last, and a host that never gives one has failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "labhost.h"

static int verdict_fd = -1;
static unsigned int failures;
static char first_reason[200];

int verdict_init(const char *tty)
{
	struct termios tio;

	verdict_fd = open(tty, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (verdict_fd < 0)
		return -errno;
	if (!tcgetattr(verdict_fd, &tio)) {
		cfmakeraw(&tio);
		tcsetattr(verdict_fd, TCSANOW, &tio);
	}
	return 0;
}

static void say(const char *word, const char *text)
{
	char line[300];
	int n = snprintf(line, sizeof(line), "%s%s%s\n", word, *text ? " " : "", text);

	write_all(verdict_fd, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

void verdict_fail(const char *fmt, ...)
{
	char reason[sizeof(first_reason)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	reason[strcspn(reason, "\n")] = '\0';
	if (!failures++)
		strcpy(first_reason, reason);
	if (failures <= 50)
		say("LAB-FAIL", reason);
}

void verdict_give(void)
{
	if (failures)
		say("LAB-VERDICT fail", first_reason);
	else
		say("LAB-VERDICT ok", "");
	tcdrain(verdict_fd);
}
