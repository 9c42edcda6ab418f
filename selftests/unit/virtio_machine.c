// SPDX-License-Identifier: GPL-2.0
/*
 * A machine without a CPU, for tests of virtio devices
 */
#include <errno.h>
#include <limits.h>
#include <linux/lockstep.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "fuzz.h"
#include "virtio_machine.h"
#include "vmm/file.h"
#include "vmm/state.h"

#define DEVICES_MAX	16
#define RANGES_MAX	8
#define WAITING_MAX	4096
#define WAIT_SECONDS	10

struct input {
	uint64_t step;
	uint16_t unit;
	uint16_t kind;
	uint32_t len;
	uint8_t *data;
};

struct inputs {
	struct input *items;
	size_t count;
	size_t room;
};

struct output {
	uint8_t *data;
	size_t len;
};

struct outputs {
	struct output *items;
	size_t count;
	size_t room;
};

struct range {
	uint32_t base, len;
	const struct vmm_pio_ops *ops;
	void *opaque;
};

struct vmm {
	uint8_t *memory;
	struct pci_bus *bus;
	struct vmm_device *devices[DEVICES_MAX];
	unsigned int device_count;
	struct range ranges[RANGES_MAX];
	unsigned int range_count;
	uint16_t lines;
	bool live;
	bool failed;
	unsigned int said;
	uint64_t step;
	struct vmm *primary;
	size_t replayed;
	struct inputs log;
	struct outputs outputs[LOCKSTEP_STREAMS];
	uint64_t index[LOCKSTEP_STREAMS];
	uint64_t released[LOCKSTEP_STREAMS];
	uint32_t room[LOCKSTEP_STREAMS];

	pthread_mutex_t lock;
	pthread_cond_t arrived;
	struct inputs waiting;
};

/* ---- lists ---- */

static void *grow(void *items, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return items;
	*room = *room ? 2 * *room : 16;
	items = realloc(items, *room * size);
	if (!items)
		abort();
	return items;
}

static void *copy_of(const void *data, size_t len)
{
	void *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	if (len)
		memcpy(copy, data, len);
	return copy;
}

static void inputs_add(struct inputs *list, uint64_t step, uint16_t unit, uint16_t kind,
		       const void *data, uint32_t len)
{
	list->items = grow(list->items, list->count, &list->room, sizeof(*list->items));
	list->items[list->count++] = (struct input){
		.step = step, .unit = unit, .kind = kind, .len = len, .data = copy_of(data, len),
	};
}

static void inputs_exit(struct inputs *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].data);
	free(list->items);
	memset(list, 0, sizeof(*list));
}

/* ---- what device.h asks for ---- */

int vmm_device_add(struct vmm *vmm, struct vmm_device *dev)
{
	if (vmm->device_count == DEVICES_MAX)
		return -ENOSPC;
	vmm->devices[vmm->device_count++] = dev;
	return 0;
}

int vmm_pio_add(struct vmm *vmm, uint16_t base, uint16_t len, const struct vmm_pio_ops *ops,
		void *opaque)
{
	if (vmm->range_count == RANGES_MAX)
		return -ENOSPC;
	vmm->ranges[vmm->range_count++] = (struct range){ base, len, ops, opaque };
	return 0;
}

void vmm_irq_set(struct vmm *vmm, unsigned int irq, bool level)
{
	uint16_t bit = (uint16_t)(1u << irq);

	vmm->lines = level ? vmm->lines | bit : vmm->lines & (uint16_t)~bit;
}

int vmm_event_post(struct vmm *vmm, enum vmm_unit unit, uint16_t kind, const void *data,
		   uint32_t len)
{
	int err = 0;

	if (len > LOCKSTEP_PAYLOAD_MAX)
		return -EMSGSIZE;
	pthread_mutex_lock(&vmm->lock);
	if (vmm->live && vmm->waiting.count == WAITING_MAX) {
		err = -ENOBUFS;
	} else if (vmm->live) {
		inputs_add(&vmm->waiting, 0, (uint16_t)unit, kind, data, len);
		pthread_cond_signal(&vmm->arrived);
	}
	pthread_mutex_unlock(&vmm->lock);
	return err;
}

static void output_add(struct vmm *vmm, uint32_t stream, const void *data, size_t len)
{
	struct outputs *list = &vmm->outputs[stream];

	if (vmm->primary) {
		const struct outputs *expected = &vmm->primary->outputs[stream];

		assert_true(list->count < expected->count);
		assert_int_equal(expected->items[list->count].len, len);
		assert_memory_equal(expected->items[list->count].data, data, len);
	}
	list->items = grow(list->items, list->count, &list->room, sizeof(*list->items));
	list->items[list->count++] = (struct output){ .data = copy_of(data, len), .len = len };
}

int vmm_output(struct vmm *vmm, uint32_t stream, uint64_t index, const void *data, uint32_t len)
{
	/* In order from 1, or from where a loaded state goes on. */
	if (vmm->outputs[stream].count)
		assert_int_equal(index, vmm->index[stream] + 1);
	vmm->index[stream] = index;
	output_add(vmm, stream, data, len);
	return vmm->live;
}

uint64_t vmm_output_released(struct vmm *vmm, uint32_t stream)
{
	return vmm->released[stream];
}

int vmm_output_bytes(struct vmm *vmm, uint32_t stream, const void *data, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		output_add(vmm, stream, (const uint8_t *)data + i, 1);
	return vmm->live;
}

int vmm_stream_open(struct vmm *vmm, uint32_t stream, const struct vmm_sink_config *sink,
		    enum vmm_unit unit)
{
	(void)vmm;
	(void)sink;
	(void)unit;
	return stream < LOCKSTEP_STREAMS ? 0 : -EINVAL;
}

void vmm_stream_room(struct vmm *vmm, uint32_t stream, uint32_t room, uint32_t taken)
{
	(void)taken;
	vmm->room[stream] = room;
}

void *vmm_memory(struct vmm *vmm, uint64_t gpa, uint64_t len)
{
	if (gpa >= MACHINE_MEMORY || len > MACHINE_MEMORY - gpa)
		return NULL;
	return vmm->memory + gpa;
}

void vmm_memory_written(struct vmm *vmm, uint64_t gpa, uint64_t len)
{
	assert_non_null(vmm_memory(vmm, gpa, len));
}

void vmm_say(const struct vmm *vmm, const char *format, ...)
{
	/* Only counted: tests provoke most of what is said. */
	__atomic_add_fetch((unsigned int *)&vmm->said, 1, __ATOMIC_RELAXED);
	if (getenv("LOCKSTEP_SAY")) {
		va_list args;

		va_start(args, format);
		vfprintf(stderr, format, args);
		va_end(args);
		fputc('\n', stderr);
	}
}

void vmm_fail(struct vmm *vmm)
{
	vmm->failed = true;
}

bool vmm_is_live(const struct vmm *vmm)
{
	return vmm->live;
}

/* ---- file.h, with failures on demand ---- */

static struct {
	pthread_mutex_t lock;
	dev_t dev;
	ino_t ino;
	enum machine_io io;
	unsigned int count;
	int error;
} failing = { .lock = PTHREAD_MUTEX_INITIALIZER };

void machine_io_fail(const char *path, enum machine_io io, unsigned int count, int error)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	pthread_mutex_lock(&failing.lock);
	failing.dev = st.st_dev;
	failing.ino = st.st_ino;
	failing.io = io;
	failing.count = count;
	failing.error = error;
	pthread_mutex_unlock(&failing.lock);
}

static int io_error(int fd, enum machine_io io)
{
	struct stat st;
	int err = 0;

	if (fstat(fd, &st))
		return -errno;
	pthread_mutex_lock(&failing.lock);
	if (failing.count && failing.io == io && st.st_ino == failing.ino &&
	    st.st_dev == failing.dev) {
		failing.count--;
		err = failing.error;
	}
	pthread_mutex_unlock(&failing.lock);
	return err;
}

int vmm_file_read(int fd, void *data, size_t len, off_t at)
{
	int err = io_error(fd, MACHINE_READ);

	if (err)
		return err;
	return pread(fd, data, len, at) == (ssize_t)len ? 0 : -EIO;
}

int vmm_file_write(int fd, const void *data, size_t len, off_t at)
{
	int err = io_error(fd, MACHINE_WRITE);

	if (err)
		return err;
	return pwrite(fd, data, len, at) == (ssize_t)len ? 0 : -EIO;
}

int vmm_file_digest(int fd, uint64_t size, const char *name, uint64_t *digest)
{
	uint8_t block[512];

	(void)name;
	*digest = 14695981039346656037u;
	for (uint64_t at = 0; at < size; at += sizeof(block)) {
		if (pread(fd, block, sizeof(block), (off_t)at) != sizeof(block))
			return -EIO;
		for (size_t i = 0; i < sizeof(block); i++)
			*digest = (*digest ^ block[i]) * 1099511628211u;
	}
	return 0;
}

/* ---- the machine ---- */

struct vmm *machine_new(void)
{
	struct vmm *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->memory = calloc(1, MACHINE_MEMORY);
	assert_non_null(m->memory);
	m->live = true;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->arrived, NULL);
	assert_int_equal(pci_bus_create(m, &m->bus), 0);
	return m;
}

struct vmm *machine_new_twin(struct vmm *primary)
{
	struct vmm *m = machine_new();

	m->live = false;
	m->primary = primary;
	return m;
}

void machine_exit(struct vmm *m)
{
	while (m->device_count) {
		struct vmm_device *dev = m->devices[--m->device_count];

		dev->ops->destroy(dev);
	}
	for (unsigned int i = 0; i < LOCKSTEP_STREAMS; i++) {
		for (size_t k = 0; k < m->outputs[i].count; k++)
			free(m->outputs[i].items[k].data);
		free(m->outputs[i].items);
	}
	inputs_exit(&m->log);
	inputs_exit(&m->waiting);
	pthread_cond_destroy(&m->arrived);
	pthread_mutex_destroy(&m->lock);
	free(m->memory);
	free(m);
}

struct pci_bus *machine_bus(struct vmm *m)
{
	return m->bus;
}

uint8_t *machine_memory(struct vmm *m)
{
	return m->memory;
}

struct vmm_device *machine_device(struct vmm *m, enum vmm_unit unit)
{
	for (unsigned int i = 0; i < m->device_count; i++)
		if (m->devices[i]->unit == unit)
			return m->devices[i];
	return NULL;
}

static struct range *range_find(struct vmm *m, uint16_t port)
{
	for (unsigned int i = 0; i < m->range_count; i++)
		if (port >= m->ranges[i].base && port < m->ranges[i].base + m->ranges[i].len)
			return &m->ranges[i];
	return NULL;
}

uint32_t machine_in(struct vmm *m, uint16_t port, uint8_t size)
{
	struct range *range = range_find(m, port);

	return range ? range->ops->in(range->opaque, port, size) : UINT32_MAX >> (32 - 8 * size);
}

void machine_out(struct vmm *m, uint16_t port, uint8_t size, uint32_t value)
{
	struct range *range = range_find(m, port);

	if (range)
		range->ops->out(range->opaque, port, size, value);
}

static uint16_t config_select(struct vmm *m, unsigned int slot, unsigned int reg)
{
	machine_out(m, 0xcf8, 4, 0x80000000u | slot << 11 | (reg & 0xfc));
	return (uint16_t)(0xcfc + (reg & 3));
}

uint32_t machine_config_in(struct vmm *m, unsigned int slot, unsigned int reg, uint8_t size)
{
	return machine_in(m, config_select(m, slot, reg), size);
}

void machine_config_out(struct vmm *m, unsigned int slot, unsigned int reg, uint8_t size,
			uint32_t value)
{
	machine_out(m, config_select(m, slot, reg), size, value);
}

uint16_t machine_lines(const struct vmm *m)
{
	return m->lines;
}

int machine_apply(struct vmm *m, enum vmm_unit unit, uint16_t kind, const void *data, uint32_t len)
{
	struct vmm_device *dev = machine_device(m, unit);
	/* On the heap and no longer than it is, so that a read behind it is seen. */
	void *copy = copy_of(data, len);
	int err;

	assert_non_null(dev);
	err = dev->ops->apply(dev, kind, copy, len);
	free(copy);
	return err;
}

static int step_live(struct vmm *m)
{
	struct inputs taken;
	int err = 0;

	pthread_mutex_lock(&m->lock);
	taken = m->waiting;
	memset(&m->waiting, 0, sizeof(m->waiting));
	pthread_mutex_unlock(&m->lock);
	for (size_t i = 0; i < taken.count; i++) {
		const struct input *input = &taken.items[i];

		inputs_add(&m->log, m->step, input->unit, input->kind, input->data, input->len);
		err = machine_apply(m, input->unit, input->kind, input->data, input->len);
		if (err)
			break;
	}
	inputs_exit(&taken);
	return err;
}

int machine_step(struct vmm *m)
{
	int err = 0;

	m->step++;
	if (m->live)
		return step_live(m);
	while (!err && m->replayed < m->primary->log.count &&
	       m->primary->log.items[m->replayed].step == m->step) {
		const struct input *input = &m->primary->log.items[m->replayed++];

		err = machine_apply(m, input->unit, input->kind, input->data, input->len);
	}
	return err;
}

int machine_step_input(struct vmm *m)
{
	struct timespec until;
	int err = 0;

	if (m->live) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += WAIT_SECONDS;
		pthread_mutex_lock(&m->lock);
		while (!m->waiting.count && !err)
			err = pthread_cond_timedwait(&m->arrived, &m->lock, &until);
		pthread_mutex_unlock(&m->lock);
		if (err)
			fail_msg("no input came in %d s", WAIT_SECONDS);
	}
	return machine_step(m);
}

size_t machine_waiting(struct vmm *m)
{
	size_t count;

	pthread_mutex_lock(&m->lock);
	count = m->waiting.count;
	pthread_mutex_unlock(&m->lock);
	return count;
}

void machine_release(struct vmm *m, uint32_t stream, uint64_t index)
{
	m->released[stream] = index;
}

void machine_go_live(struct vmm *m)
{
	pthread_mutex_lock(&m->lock);
	m->live = true;
	pthread_mutex_unlock(&m->lock);
	/* From here on it makes its own log, behind its primary's. */
	m->primary = NULL;
	for (unsigned int i = 0; i < m->device_count; i++)
		if (m->devices[i]->ops->go_live)
			m->devices[i]->ops->go_live(m->devices[i]);
}

size_t machine_outputs(const struct vmm *m, uint32_t stream)
{
	return m->outputs[stream].count;
}

const uint8_t *machine_output(const struct vmm *m, uint32_t stream, size_t number, size_t *len)
{
	assert_true(number < m->outputs[stream].count);
	if (len)
		*len = m->outputs[stream].items[number].len;
	return m->outputs[stream].items[number].data;
}

size_t machine_inputs(const struct vmm *m)
{
	return m->log.count;
}

size_t machine_inputs_of(const struct vmm *m, enum vmm_unit unit)
{
	size_t count = 0;

	for (size_t i = 0; i < m->log.count; i++)
		count += m->log.items[i].unit == unit;
	return count;
}

uint32_t machine_room(const struct vmm *m, uint32_t stream)
{
	return m->room[stream];
}

bool machine_failed(const struct vmm *m)
{
	return m->failed;
}

unsigned int machine_said(const struct vmm *m)
{
	return __atomic_load_n(&m->said, __ATOMIC_RELAXED);
}

static void save_all(struct vmm *m, struct vmm_state *state)
{
	vmm_state_init(state);
	for (unsigned int i = 0; i < m->device_count; i++)
		assert_int_equal(m->devices[i]->ops->save(m->devices[i], state), 0);
}

void machine_assert_equal(struct vmm *a, struct vmm *b)
{
	struct vmm_state state_a, state_b;

	save_all(a, &state_a);
	save_all(b, &state_b);
	assert_int_equal(state_a.len, state_b.len);
	assert_memory_equal(state_a.data, state_b.data, state_a.len);
	assert_int_equal(a->lines, b->lines);
	/* All of it: assert_memory_equal() would print a difference byte by byte. */
	assert_int_equal(memcmp(a->memory, b->memory, MACHINE_MEMORY), 0);
	vmm_state_exit(&state_a);
	vmm_state_exit(&state_b);
}

uint8_t *machine_state(struct vmm *m, size_t *len)
{
	struct vmm_state saved;
	uint8_t *bytes;

	save_all(m, &saved);
	*len = saved.len;
	bytes = copy_of(saved.data, saved.len);
	vmm_state_exit(&saved);
	return bytes;
}

int machine_load_state(struct vmm *m, const uint8_t *bytes, size_t len)
{
	struct vmm_state state;
	int err = 0;

	vmm_state_init_read(&state, bytes, len);
	for (unsigned int i = 0; !err && i < m->device_count; i++)
		err = m->devices[i]->ops->load(m->devices[i], &state);
	return err ? err : vmm_state_end(&state);
}

int machine_load(struct vmm *to, struct vmm *from)
{
	size_t len;
	uint8_t *bytes = machine_state(from, &len);
	int err;

	memcpy(to->memory, from->memory, MACHINE_MEMORY);
	to->lines = from->lines;
	err = machine_load_state(to, bytes, len);
	free(bytes);
	return err;
}

/* ---- the guest's driver ---- */

static void put(struct driver *d, uint64_t gpa, uint64_t value, size_t len)
{
	memcpy(machine_memory(d->m) + gpa, &value, len);
}

static uint64_t get(struct driver *d, uint64_t gpa, size_t len)
{
	uint64_t value = 0;

	memcpy(&value, machine_memory(d->m) + gpa, len);
	return value;
}

static void status_out(struct driver *d, uint8_t status)
{
	machine_out(d->m, d->io + VIRTIO_PCI_STATUS, 1, status);
}

void driver_init(struct driver *d, struct vmm *m, unsigned int slot, uint32_t features,
		 uint64_t gpa)
{
	memset(d, 0, sizeof(*d));
	d->m = m;
	d->io = (uint16_t)(machine_config_in(m, slot, 0x10, 4) & 0xfffc);
	status_out(d, 0);
	status_out(d, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	machine_out(m, d->io + VIRTIO_PCI_GUEST_FEATURES, 4, features);
	for (unsigned int i = 0; i < DRIVER_QUEUES; i++) {
		struct driver_queue *q = &d->queues[i];

		machine_out(m, d->io + VIRTIO_PCI_QUEUE_SEL, 2, i);
		q->size = (uint16_t)machine_in(m, d->io + VIRTIO_PCI_QUEUE_NUM, 2);
		if (!q->size)
			break;
		q->table = gpa + i * 0x4000;
		q->avail = q->table + 16 * q->size;
		q->used = (q->avail + 6 + 2 * q->size + 4095) & ~UINT64_C(4095);
		memset(machine_memory(m) + q->table, 0, 0x4000);
		machine_out(m, d->io + VIRTIO_PCI_QUEUE_PFN, 4, (uint32_t)(q->table >> 12));
	}
	status_out(d, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
		   VIRTIO_CONFIG_S_DRIVER_OK);
}

uint16_t driver_add(struct driver *d, unsigned int queue, const struct driver_segment *segments,
		    unsigned int count)
{
	struct driver_queue *q = &d->queues[queue];
	uint16_t head = q->next;

	for (unsigned int i = 0; i < count; i++) {
		uint64_t desc = q->table + 16 * q->next;

		q->next = (uint16_t)((q->next + 1) % q->size);
		put(d, desc, segments[i].gpa, 8);
		put(d, desc + 8, segments[i].len, 4);
		put(d, desc + 12, (segments[i].in ? VRING_DESC_F_WRITE : 0) |
		    (i + 1 < count ? VRING_DESC_F_NEXT : 0), 2);
		put(d, desc + 14, q->next, 2);
	}
	put(d, q->avail + 4 + 2 * (q->avail_index % q->size), head, 2);
	q->avail_index++;
	put(d, q->avail + 2, q->avail_index, 2);
	return head;
}

void driver_kick(struct driver *d, unsigned int queue)
{
	machine_out(d->m, d->io + VIRTIO_PCI_QUEUE_NOTIFY, 2, queue);
}

bool driver_used(struct driver *d, unsigned int queue, uint16_t *head, uint32_t *len)
{
	struct driver_queue *q = &d->queues[queue];
	uint64_t entry = q->used + 4 + 8 * (q->seen % q->size);

	if (q->seen == (uint16_t)get(d, q->used + 2, 2))
		return false;
	q->seen++;
	if (head)
		*head = (uint16_t)get(d, entry, 4);
	if (len)
		*len = (uint32_t)get(d, entry + 4, 4);
	return true;
}

uint8_t driver_status(struct driver *d)
{
	return (uint8_t)machine_in(d->m, d->io + VIRTIO_PCI_STATUS, 1);
}

uint8_t driver_isr(struct driver *d)
{
	return (uint8_t)machine_in(d->m, d->io + VIRTIO_PCI_ISR, 1);
}

/* ---- numbers ---- */

void random_init(struct random *r)
{
	fuzz_seed();
	r->state = fuzz_random();
}

/* splitmix64 */
uint64_t random_next(struct random *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint32_t random_below(struct random *r, uint32_t limit)
{
	return (uint32_t)(random_next(r) % limit);
}

void random_fill(struct random *r, void *data, size_t len)
{
	uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)random_next(r);
}

void machine_disk(char *path, size_t size, uint8_t pattern)
{
	uint8_t *bytes = malloc(size);
	int fd;

	assert_non_null(bytes);
	memset(bytes, pattern, size);
	strcpy(path, "/tmp/lockstep-test-disk-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
	free(bytes);
}
