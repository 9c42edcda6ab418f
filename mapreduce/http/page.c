// SPDX-License-Identifier: GPL-2.0
#include "page.h"

__asm__(".section .rodata\n"
	".global mr_page, mr_page_end\n"
	"mr_page:\n"
	".incbin \"page.html\"\n"
	"mr_page_end:\n"
	".byte 0\n"
	".previous\n");
