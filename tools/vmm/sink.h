/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host's end of a byte stream: nothing, standard input and output, a file, a socket
 *
 * Host thread only, except for creation and destruction, which happen while it
 * does not run.  Nothing here blocks.
 */
#ifndef VMM_SINK_H
#define VMM_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct event_base;
struct vmm_sink;
struct vmm_sink_config;

/**
 * struct vmm_sink_ops - what the sink tells its stream
 * @ready: writing, or reading, may be worth a try again
 * @quit:  the user typed the escape sequence (Ctrl-A x) on the terminal
 */
struct vmm_sink_ops {
	void (*ready)(void *opaque);
	void (*quit)(void *opaque);
};

/**
 * vmm_sink_create - open it
 *
 * Return: 0; -errno after a message that names the path.
 */
int vmm_sink_create(struct vmm_sink **sinkp, struct event_base *base,
		    const struct vmm_sink_config *config, const struct vmm_sink_ops *ops,
		    void *opaque);
void vmm_sink_destroy(struct vmm_sink *sink);

/* Bytes taken, 0: not now (@ready follows). What nobody listens to counts as taken. */
size_t vmm_sink_write(struct vmm_sink *sink, const void *data, size_t len);

/* Bytes there, 0: none now. */
size_t vmm_sink_read(struct vmm_sink *sink, void *data, size_t len);

/* Say ready() when there is something to read, or don't. */
void vmm_sink_listen(struct vmm_sink *sink, bool listen);

#endif
