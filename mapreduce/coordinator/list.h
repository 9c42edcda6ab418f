/* SPDX-License-Identifier: GPL-2.0 */
/* Doubly linked lists through the elements of an array, by index. */
#ifndef LOCKSTEP_MR_LIST_H
#define LOCKSTEP_MR_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "coordinator/sched.h"

struct link {
	uint32_t prev;
	uint32_t next;
};

struct list {
	uint32_t head;
	uint32_t tail;
	uint32_t count;
};

static inline void list_init(struct list *l)
{
	*l = (struct list) { MR_NONE, MR_NONE, 0 };
}

/* @links: the link in the array's first element; @stride: size of an element. */
static inline struct link *link_at(void *links, size_t stride, uint32_t i)
{
	return (struct link *)((char *)links + stride * i);
}

static inline void list_add(struct list *l, void *links, size_t stride, uint32_t i)
{
	struct link *link = link_at(links, stride, i);

	link->prev = l->tail;
	link->next = MR_NONE;
	if (l->tail == MR_NONE)
		l->head = i;
	else
		link_at(links, stride, l->tail)->next = i;
	l->tail = i;
	l->count++;
}

static inline void list_del(struct list *l, void *links, size_t stride, uint32_t i)
{
	struct link *link = link_at(links, stride, i);

	if (link->prev == MR_NONE)
		l->head = link->next;
	else
		link_at(links, stride, link->prev)->next = link->next;
	if (link->next == MR_NONE)
		l->tail = link->prev;
	else
		link_at(links, stride, link->next)->prev = link->prev;
	l->count--;
}

#endif
