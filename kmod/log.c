// SPDX-License-Identifier: GPL-2.0
/* The log's memory, see log.h. */
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "log.h"

static void pages_free(struct page **pages, unsigned int n)
{
	while (n--)
		__free_page(pages[n]);
	kvfree(pages);
}

/**
 * lockstep_log_init - allocate an empty log
 * @log:  to fill
 * @size: bytes, a power of two in LOCKSTEP_LOG_SIZE_MIN..MAX
 *
 * Returns 0, -EINVAL or -ENOMEM.
 */
int lockstep_log_init(struct lockstep_log *log, u32 size)
{
	unsigned int n = size >> PAGE_SHIFT, i;
	struct page **pages;

	if (!is_power_of_2(size) || size < LOCKSTEP_LOG_SIZE_MIN || size > LOCKSTEP_LOG_SIZE_MAX)
		return -EINVAL;
	pages = kvcalloc(2 * n, sizeof(*pages), GFP_KERNEL_ACCOUNT);
	if (!pages)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		pages[i] = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!pages[i])
			goto err_pages;
		pages[n + i] = pages[i];
	}
	log->data = vmap(pages, 2 * n, VM_MAP, PAGE_KERNEL);
	if (!log->data)
		goto err_pages;
	log->pages = pages;
	log->size = size;
	log->head = 0;
	log->tail = 0;
	log->sent = 0;
	return 0;

err_pages:
	pages_free(pages, i);
	return -ENOMEM;
}

/**
 * lockstep_log_exit - free it
 * @log: initialised, no producer or consumer left
 */
void lockstep_log_exit(struct lockstep_log *log)
{
	vunmap(log->data);
	pages_free(log->pages, log->size >> PAGE_SHIFT);
	log->data = NULL;
}
