/* SPDX-License-Identifier: GPL-2.0 */
/* Text that workers send ends up in JSON and on terminals: it has to be fit for them. */
#ifndef LOCKSTEP_MR_TEXT_H
#define LOCKSTEP_MR_TEXT_H

/* Put '?' in place of what is no UTF-8, or a control character other than newline and tab. Returns @text. */
char *mr_text_clean(char *text);

#endif
