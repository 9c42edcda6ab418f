// SPDX-License-Identifier: GPL-2.0
#include "coordinator/text.h"

#include <stdint.h>

/* Bytes of the character at @p; 0: it is none. */
static unsigned int utf8_len(const uint8_t *p)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned int n = *p < 0x80 ? 1 : *p >> 5 == 6 ? 2 : *p >> 4 == 14 ? 3 : *p >> 3 == 30 ? 4 : 0;
	uint32_t c = n == 1 ? *p : *p & (0x7f >> n);
	unsigned int i;

	for (i = 1; i < n; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (n > 1 && (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)))
		return 0;
	return n;
}

char *mr_text_clean(char *text)
{
	uint8_t *p = (uint8_t *)text;
	unsigned int n;

	while (*p) {
		n = utf8_len(p);
		if (!n || (*p < ' ' && *p != '\n' && *p != '\t') || *p == 0x7f) {
			*p++ = '?';
			continue;
		}
		p += n;
	}
	return text;
}
