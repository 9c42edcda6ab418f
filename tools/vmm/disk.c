// SPDX-License-Identifier: GPL-2.0
/*
 * The host side of a disk: one file, one thread that executes requests in order
 *
 * One list holds all requests from submission to retirement.  @run and @post are
 * cursors on it: the first request that was not executed, and the first that was
 * not posted.  The thread moves both; on a twin nothing is posted, and @post
 * moves when a request is retired.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/lockstep.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"
#include "file.h"
#include "suspects.h"

#define POST_RETRY_MS	5
#define SHIP_BYTES	(LOCKSTEP_PAYLOAD_MAX / DISK_SECTOR * DISK_SECTOR - DISK_SECTOR)

STAILQ_HEAD(disk_requests, disk_request);

/**
 * struct disk - the host side
 * @lock:     everything below it
 * @work:     something to execute or post, or @stop
 * @executed: a request was executed
 * @live:     post results
 * @suspects: ranges whose last write failed (the thread's own)
 */
struct disk {
	struct vmm *vmm;
	enum vmm_unit unit;
	const char *path;
	int fd;
	uint64_t size;
	bool readonly;
	pthread_t thread;
	struct suspects suspects;

	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_cond_t executed;
	struct disk_requests requests;
	struct disk_request *run;
	struct disk_request *post;
	bool live;
	bool stop;
};

static int execute_once(const struct disk *disk, const struct disk_request *request)
{
	int err = 0;

	switch (request->operation) {
	case DISK_READ:
		return vmm_file_read(disk->fd, request->data, request->len,
				     (off_t)request->offset);
	case DISK_WRITE:
		err = vmm_file_write(disk->fd, request->data, request->len,
				     (off_t)request->offset);
		if (err || !request->through)
			return err;
		break;
	case DISK_FLUSH:
	default:
		break;
	}
	if (!disk->readonly && fdatasync(disk->fd))
		err = -errno;
	return err;
}

/* With the lock held; sleeps at most @ms, less when there is work or an end. */
static void sleep_for(struct disk *disk, unsigned int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&disk->work, &disk->lock, &until);
}

static void execute(struct disk *disk, struct disk_request *request)
{
	uint64_t end = request->offset + request->len;
	unsigned int tries = 0;
	int err;

	for (;;) {
		pthread_mutex_unlock(&disk->lock);
		err = execute_once(disk, request);
		pthread_mutex_lock(&disk->lock);
		/*
		 * A live disk tells the guest at once.  A twin must do what the primary did,
		 * so it tries again, here where nothing can overtake the request.
		 */
		if (!err || disk->live || disk->stop || tries++ == DISK_RETRIES)
			break;
		vmm_say(disk->vmm, "%s: request %llu failed (%s), try %u of %u follows",
			disk->path, (unsigned long long)request->number, strerror(-err), tries,
			DISK_RETRIES);
		sleep_for(disk, DISK_RETRY_MS);
	}
	if (request->operation == DISK_WRITE && err)
		suspects_add(&disk->suspects, request->offset, end);
	else if (request->operation == DISK_WRITE)
		suspects_remove(&disk->suspects, request->offset, end);
	else if (request->operation == DISK_READ && !err)
		request->ship = suspects_overlap(&disk->suspects, request->offset, end);
	request->result = err;
	request->executed = true;
	pthread_cond_broadcast(&disk->executed);
}

static int ship(struct disk *disk, struct disk_request *request)
{
	uint8_t payload[DISK_DATA_HEAD + SHIP_BYTES];
	uint64_t number = htole64(request->number);

	while (request->shipped < request->len) {
		uint32_t offset = htole32(request->shipped);
		uint32_t len = request->len - request->shipped;
		int err;

		if (len > SHIP_BYTES)
			len = SHIP_BYTES;
		memcpy(payload, &number, sizeof(number));
		memcpy(payload + 8, &offset, sizeof(offset));
		memcpy(payload + DISK_DATA_HEAD, request->data + request->shipped, len);
		err = vmm_event_post(disk->vmm, disk->unit, DISK_KIND_DATA, payload,
				     DISK_DATA_HEAD + len);
		if (err)
			return err;
		request->shipped += len;
	}
	return 0;
}

/* Post what is next: true when it was, false when there is nothing or no room yet. */
static bool post(struct disk *disk)
{
	struct disk_request *request = disk->post;
	uint8_t payload[DISK_DONE_BYTES];
	uint64_t number;
	uint32_t status, len;
	int err = 0;

	if (request->ship)
		err = ship(disk, request);
	if (!err) {
		number = htole64(request->number);
		status = htole32(request->result ? DISK_STATUS_ERROR : DISK_STATUS_OK);
		len = htole32(request->operation == DISK_READ && !request->result ?
			      request->len : 0);
		memcpy(payload, &number, sizeof(number));
		memcpy(payload + 8, &status, sizeof(status));
		memcpy(payload + 12, &len, sizeof(len));
		err = vmm_event_post(disk->vmm, disk->unit, DISK_KIND_DONE, payload,
				     sizeof(payload));
	}
	if (err)
		return false;
	disk->post = STAILQ_NEXT(request, link);
	return true;
}

static void *disk_thread(void *arg)
{
	struct disk *disk = arg;

	pthread_mutex_lock(&disk->lock);
	/* An end is no loss of power: the other side's disk has the same requests. */
	while (!disk->stop || disk->run) {
		if (!disk->stop && disk->live && disk->post && disk->post->executed) {
			/* No room: the vCPU's thread has much to do.  A completion is never lost. */
			if (!post(disk))
				sleep_for(disk, POST_RETRY_MS);
		} else if (disk->run) {
			struct disk_request *request = disk->run;

			execute(disk, request);
			disk->run = STAILQ_NEXT(request, link);
		} else {
			pthread_cond_wait(&disk->work, &disk->lock);
		}
	}
	pthread_mutex_unlock(&disk->lock);
	return NULL;
}

static int open_file(struct disk *disk)
{
	struct stat st;
	off_t size;
	int err;

	disk->fd = open(disk->path, (disk->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (disk->fd < 0) {
		err = -errno;
		vmm_say(disk->vmm, "can't open disk %s: %s", disk->path, strerror(-err));
		return err;
	}
	if (fstat(disk->fd, &st) || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))) {
		vmm_say(disk->vmm, "disk %s is neither a file nor a block device", disk->path);
		err = -EINVAL;
		goto close;
	}
	if (flock(disk->fd, (disk->readonly ? LOCK_SH : LOCK_EX) | LOCK_NB)) {
		err = errno == EWOULDBLOCK ? -EBUSY : -errno;
		vmm_say(disk->vmm, "can't lock disk %s: %s. A shared disk is refused: end the other user, or give each guest a copy of its own",
			disk->path, err == -EBUSY ? "another guest has it" : strerror(-err));
		goto close;
	}
	size = lseek(disk->fd, 0, SEEK_END);
	if (size <= 0 || size % DISK_SECTOR) {
		vmm_say(disk->vmm, "disk %s has %lld bytes, which is no multiple of %d above 0: is it a raw image? \"truncate -s %%%d\" pads one",
			disk->path, (long long)size, DISK_SECTOR, DISK_SECTOR);
		err = -EINVAL;
		goto close;
	}
	disk->size = (uint64_t)size;
	return 0;

close:
	close(disk->fd);
	return err;
}

/* Waits end by CLOCK_MONOTONIC, which nobody sets. */
static int conditions_init(struct disk *disk)
{
	pthread_condattr_t attr;
	int err;

	err = pthread_condattr_init(&attr);
	if (err)
		return -err;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	err = pthread_cond_init(&disk->work, &attr);
	pthread_condattr_destroy(&attr);
	if (err)
		return -err;
	err = pthread_cond_init(&disk->executed, NULL);
	if (err)
		pthread_cond_destroy(&disk->work);
	return -err;
}

/* Signals are for the other threads. */
static int thread_start(struct disk *disk)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&disk->thread, NULL, disk_thread, disk);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

int disk_open(const char *path, bool readonly, struct vmm *vmm, enum vmm_unit unit,
	      struct disk **diskp)
{
	struct disk *disk;
	int err;

	disk = calloc(1, sizeof(*disk));
	if (!disk)
		return -ENOMEM;
	disk->vmm = vmm;
	disk->unit = unit;
	disk->path = path;
	disk->readonly = readonly;
	STAILQ_INIT(&disk->requests);

	err = open_file(disk);
	if (err)
		goto free;
	err = conditions_init(disk);
	if (err)
		goto close;
	err = -pthread_mutex_init(&disk->lock, NULL);
	if (err)
		goto conditions;
	err = thread_start(disk);
	if (err)
		goto mutex;
	*diskp = disk;
	return 0;

mutex:
	pthread_mutex_destroy(&disk->lock);
conditions:
	pthread_cond_destroy(&disk->executed);
	pthread_cond_destroy(&disk->work);
close:
	close(disk->fd);
free:
	free(disk);
	return err;
}

void disk_stop(struct disk *disk)
{
	pthread_mutex_lock(&disk->lock);
	disk->stop = true;
	pthread_cond_signal(&disk->work);
	pthread_mutex_unlock(&disk->lock);
	pthread_join(disk->thread, NULL);
}

void disk_close(struct disk *disk)
{
	pthread_mutex_destroy(&disk->lock);
	pthread_cond_destroy(&disk->executed);
	pthread_cond_destroy(&disk->work);
	close(disk->fd);
	free(disk);
}

uint64_t disk_size(const struct disk *disk)
{
	return disk->size;
}

bool disk_is_readonly(const struct disk *disk)
{
	return disk->readonly;
}

void disk_submit(struct disk *disk, struct disk_request *request, bool live)
{
	request->executed = false;
	request->result = 0;
	request->ship = false;
	request->shipped = 0;

	pthread_mutex_lock(&disk->lock);
	STAILQ_INSERT_TAIL(&disk->requests, request, link);
	if (!disk->run)
		disk->run = request;
	if (!disk->post)
		disk->post = request;
	disk->live = live;
	pthread_cond_signal(&disk->work);
	pthread_mutex_unlock(&disk->lock);
}

struct disk_request *disk_oldest(struct disk *disk)
{
	struct disk_request *request;

	pthread_mutex_lock(&disk->lock);
	request = STAILQ_FIRST(&disk->requests);
	pthread_mutex_unlock(&disk->lock);
	return request;
}

int disk_wait(struct disk *disk, struct disk_request *request)
{
	pthread_mutex_lock(&disk->lock);
	while (!request->executed)
		pthread_cond_wait(&disk->executed, &disk->lock);
	pthread_mutex_unlock(&disk->lock);
	return request->result;
}

void disk_retire(struct disk *disk, struct disk_request *request)
{
	pthread_mutex_lock(&disk->lock);
	STAILQ_REMOVE_HEAD(&disk->requests, link);
	if (disk->post == request)
		disk->post = STAILQ_FIRST(&disk->requests);
	pthread_mutex_unlock(&disk->lock);
}

void disk_go_live(struct disk *disk)
{
	pthread_mutex_lock(&disk->lock);
	disk->live = true;
	pthread_cond_signal(&disk->work);
	pthread_mutex_unlock(&disk->lock);
}

int disk_digest(struct disk *disk, uint64_t *digest)
{
	pthread_mutex_lock(&disk->lock);
	while (disk->run)
		pthread_cond_wait(&disk->executed, &disk->lock);
	pthread_mutex_unlock(&disk->lock);
	return vmm_file_digest(disk->fd, disk->size, disk->path, digest);
}
