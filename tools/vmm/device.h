/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a device of lockstep-vmm is, in both roles
 *
 * Device state is a function of guest accesses, inputs and the virtual clock,
 * and of nothing else; it is touched on the vCPU's thread only.  Whatever comes
 * from outside (a packet, a disk completion, a timer tick, a key) is an input:
 * the host side of a device posts it from any thread, the vCPU's thread takes it
 * at a stop, has it logged, and applies it.  On a twin the inputs come from the
 * log and the same apply function runs; what the twin's own host side posts is
 * dropped until it goes live.
 */
#ifndef VMM_DEVICE_H
#define VMM_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vmm;
struct vmm_device;
struct vmm_state;	/* a growing or shrinking buffer of device state, state.h */

/* Units in the log: never renumber. */
enum vmm_unit {
	VMM_UNIT_BOOT = 0,	/* start parameters and digests */
	VMM_UNIT_PIT = 1,
	VMM_UNIT_SERIAL = 2,
	VMM_UNIT_NET = 3,
	VMM_UNIT_DISK0 = 4,	/* up to four disks: 4..7 */
	VMM_UNIT_CONSOLE = 8,
	VMM_UNIT_RNG = 9,
	VMM_UNIT_CONTROL = 10,	/* verify, dump, power button */
	VMM_UNIT_RTC = 11,
	VMM_UNITS,
	VMM_UNIT_NONE = VMM_UNITS,	/* a device without inputs and timers: only saved and loaded */
};

/**
 * struct vmm_device_ops - a kind of device
 * @name:  for messages
 * @apply: apply one input (vCPU thread). @data is host memory of @len bytes; it comes from the
 *	   log on a twin and is checked like any foreign data. 0 or -errno (a twin: divergence)
 * @save:  append all guest-visible state to @state, little-endian, fixed order
 * @load:  take it back (same order); -EINVAL when it does not fit
 * @go_live: this twin is live now (vCPU thread): send kept outputs, post the completions that
 *	   wait; may be NULL
 * @digest: xxh64 of what lies behind the device and outlives the guest (a disk's content), after
 *	   the I/O that was begun has ended; NULL when there is nothing (vCPU thread, may take long).
 *	   vmm_file_digest() of file.h does the work
 * @destroy: free the device and stop its host side
 */
struct vmm_device_ops {
	const char *name;
	int (*apply)(struct vmm_device *dev, uint16_t kind, const void *data, uint32_t len);
	int (*save)(struct vmm_device *dev, struct vmm_state *state);
	int (*load)(struct vmm_device *dev, struct vmm_state *state);
	void (*go_live)(struct vmm_device *dev);
	int (*digest)(struct vmm_device *dev, uint64_t *digest);
	void (*destroy)(struct vmm_device *dev);
};

struct vmm_device {
	const struct vmm_device_ops *ops;
	struct vmm *vmm;
	enum vmm_unit unit;
};

/* Registered by the one visible table in devices.c; vCPU thread. Takes the device over: its
 * destroy is called at the end, in the reverse order. States are saved in the order of the calls.
 */
int vmm_device_add(struct vmm *vmm, struct vmm_device *dev);

/* Claim I/O ports [base, base + len). Accesses of size 1, 2, 4; absent ports read as ones. An access
 * wider than @width (0: 4), or that leaves the range, comes as single bytes, lowest port first.
 */
struct vmm_pio_ops {
	uint8_t width;
	uint32_t (*in)(void *opaque, uint16_t port, uint8_t size);
	void (*out)(void *opaque, uint16_t port, uint8_t size, uint32_t value);
};
int vmm_pio_add(struct vmm *vmm, uint16_t base, uint16_t len, const struct vmm_pio_ops *ops,
		void *opaque);

/* Interrupt line of the PIC pair (0..15): level as the device drives it. vCPU thread. */
void vmm_irq_set(struct vmm *vmm, unsigned int irq, bool level);

/* One logged clock value (ns of virtual time; wall: ns of CLOCK_REALTIME) for a guest-visible
 * read. vCPU thread, at a stop. Ends the process in order (through vmm->ending) on divergence.
 */
uint64_t vmm_clock_virtual(struct vmm *vmm);
uint64_t vmm_clock_wall(struct vmm *vmm);

/* Ask for an input {unit, kind, @ns} (payload: le64 ns) when virtual time reaches @ns; ~0 disarms.
 * One timer per unit; part of the device's state on both sides, fires only where live.
 */
void vmm_timer_set(struct vmm *vmm, enum vmm_unit unit, uint16_t kind, uint64_t ns);

/**
 * vmm_event_post - host side, any thread: an input that waits
 *
 * Copies the payload, wakes the vCPU's thread (or has it stop at the next opportunity). Dropped
 * on a twin. -ENOBUFS when 4096 wait (a packet: drop it), -EMSGSIZE above LOCKSTEP_PAYLOAD_MAX.
 */
int vmm_event_post(struct vmm *vmm, enum vmm_unit unit, uint16_t kind, const void *data,
		   uint32_t len);

/**
 * vmm_output - the guest made an output (vCPU thread, at the stop that made it)
 *
 * Logs (or, on a twin, compares) it. Returns 1: live, send it now (frames: write to the tap; the gate
 * holds them; byte streams are handled inside vmm_output_bytes()), 0: twin, keep it until
 * vmm_output_released() passes @index, negative: this instance is over, drop it.
 */
int vmm_output(struct vmm *vmm, uint32_t stream, uint64_t index, const void *data, uint32_t len);
uint64_t vmm_output_released(struct vmm *vmm, uint32_t stream);

/* Byte streams (serial, console): queued, handed to the sink (a file descriptor) when released,
 * kept on a twin, de-duplicated by offset. vCPU thread; never blocks on the sink.
 */
int vmm_output_bytes(struct vmm *vmm, uint32_t stream, const void *data, uint32_t len);

/* The other direction: what comes in at the sink is posted as an input {unit, VMM_KIND_RECEIVE,
 * bytes}, at most as much as the device has room for. The device calls vmm_stream_room() on the
 * vCPU's thread at creation and after every change of its room: @room bytes are free in it now,
 * @taken of them have just been applied by an input (0 when the guest has read some).
 */
#define VMM_KIND_RECEIVE	1
struct vmm_sink_config;
int vmm_stream_open(struct vmm *vmm, uint32_t stream, const struct vmm_sink_config *sink,
		    enum vmm_unit unit);
void vmm_stream_room(struct vmm *vmm, uint32_t stream, uint32_t room, uint32_t taken);

/* Guest memory [gpa, gpa + len), or NULL when any of it is not RAM. Every use is bounds-checked here. */
void *vmm_memory(struct vmm *vmm, uint64_t gpa, uint64_t len);
/* Where VMM-written pages are noted for the memory digest; call after each write to guest memory. */
void vmm_memory_written(struct vmm *vmm, uint64_t gpa, uint64_t len);

/* A message on stderr, with the guest's name in front; printf-like, no newline. Any thread. */
void vmm_say(const struct vmm *vmm, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The device can't go on (and vmm_say() has said why): this instance ends after this stop with
 * VMM_END_ERROR; on a twin its primary goes on alone. vCPU thread.
 */
void vmm_fail(struct vmm *vmm);

/* vCPU thread: is this side live (its outputs and inputs are real)? */
bool vmm_is_live(const struct vmm *vmm);

#endif
