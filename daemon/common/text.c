// SPDX-License-Identifier: GPL-2.0
/* Values as people read them. */
#include "common/text.h"

#include <stdio.h>

char *lockstep_text_bytes(uint64_t n, char *out, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)n;
	size_t i = 0;

	while (v >= 1024 && i + 1 < sizeof(units) / sizeof(units[0])) {
		v /= 1024;
		i++;
	}
	snprintf(out, size, i ? "%.1f %s" : "%.0f %s", v, units[i]);
	return out;
}
