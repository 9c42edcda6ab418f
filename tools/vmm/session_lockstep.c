// SPDX-License-Identifier: GPL-2.0
/*
 * The session of a protected guest: /dev/lockstep
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "session.h"
#include "vmm.h"

#define DEVICE	"/dev/lockstep"

struct session {
	int fd;
	uint8_t instance[LOCKSTEP_UUID_LEN];
};

static int fd_of(const struct vmm *vmm)
{
	return ((struct session *)vmm->session_data)->fd;
}

/* Call the module, again after each signal that does not mean the end. */
static int call(struct vmm *vmm, unsigned long request, void *arg)
{
	for (;;) {
		if (!ioctl(fd_of(vmm), request, arg))
			return 0;
		if (errno != EINTR)
			return -errno;
		if (vmm->quit)
			return -ESHUTDOWN;
	}
}

static void explain_attach(struct vmm *vmm, int err)
{
	const char *remedy;

	switch (-err) {
	case EPERM:
		remedy = "CAP_SYS_ADMIN is needed: run it as root";
		break;
	case EEXIST:
		remedy = "a guest of this name is attached already: choose another --name";
		break;
	case ENODEV:
		remedy = "the module finds no network device of the name given with --tap";
		break;
	case EOPNOTSUPP:
		remedy = "this guest or host can't be served: the kernel log (dmesg) says why";
		break;
	case ENOTTY:
	case EINVAL:
		remedy = "the module does not understand: are module and lockstep-vmm of one version?";
		break;
	default:
		remedy = strerror(-err);
	}
	vmm_say(vmm, "cannot attach to the module: %s", remedy);
}

static int map_page(struct vmm *vmm)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd_of(vmm), 0);

	if (page == MAP_FAILED) {
		int err = -errno;

		vmm_say(vmm, "cannot map the module's page: %s", strerror(-err));
		return err;
	}
	vmm->page = page;
	if (vmm->page->version == LOCKSTEP_ABI_VERSION)
		return 0;
	vmm_say(vmm, "the module speaks version %u and this program %u: install one release of both",
		vmm->page->version, LOCKSTEP_ABI_VERSION);
	return -EPROTO;
}

static void lockstep_detach(struct vmm *vmm)
{
	struct session *session = vmm->session_data;

	if (!session)
		return;
	if (vmm->page)
		munmap(vmm->page, 4096);
	if (session->fd >= 0)
		close(session->fd);
	free(session);
	vmm->page = NULL;
	vmm->session_data = NULL;
}

static int lockstep_attach(struct vmm *vmm, int notify_fd)
{
	const struct vmm_config *config = &vmm->config;
	struct lockstep_attach attach = {
		.size = sizeof(attach),
		.flags = config->wait ? LOCKSTEP_ATTACH_WAIT : 0,
		.vm_fd = vmm->vm_fd,
		.vcpu_fd = vmm->vcpu_fd,
		.notify_fd = notify_fd,
		.role = config->role == VMM_ROLE_TWIN ? LOCKSTEP_ROLE_TWIN : LOCKSTEP_ROLE_PRIMARY,
		.log_size = config->log_size,
	};
	struct session *session = calloc(1, sizeof(*session));
	int err;

	if (!session)
		return -ENOMEM;
	vmm->session_data = session;
	session->fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (session->fd < 0) {
		err = -errno;
		vmm_say(vmm, "%s: %s (load the module: modprobe lockstep; or run with --role none)",
			DEVICE, strerror(-err));
		goto out;
	}
	memcpy(attach.name, config->name, sizeof(attach.name));
	memcpy(attach.output_dev, config->net.tap, sizeof(attach.output_dev));
	memcpy(attach.uuid, config->uuid, sizeof(attach.uuid));
	if (ioctl(session->fd, LOCKSTEP_ATTACH, &attach)) {
		err = -errno;
		explain_attach(vmm, err);
		goto out;
	}
	memcpy(session->instance, attach.instance, sizeof(session->instance));
	err = map_page(vmm);
	if (!err)
		return 0;
out:
	lockstep_detach(vmm);
	return err;
}

static int lockstep_next(struct vmm *vmm, uint32_t flags, struct vmm_next *next, void *data)
{
	struct lockstep_next ask = {
		.flags = flags,
		.len = LOCKSTEP_PAYLOAD_MAX,
		.data = (uintptr_t)data,
	};

	if (ioctl(fd_of(vmm), LOCKSTEP_NEXT, &ask))
		return -errno;
	if (ask.verdict == LOCKSTEP_VERDICT_APPLY && ask.len > LOCKSTEP_PAYLOAD_MAX)
		return -EPROTO;
	*next = (struct vmm_next){
		.verdict = ask.verdict,
		.unit = ask.unit,
		.kind = ask.kind,
		.len = ask.len,
		.clock = ask.clock,
	};
	return 0;
}

static int lockstep_input(struct vmm *vmm, uint16_t unit, uint16_t kind, const void *data,
			  uint32_t len)
{
	struct lockstep_input input = {
		.unit = unit,
		.kind = kind,
		.len = len,
		.data = (uintptr_t)data,
	};

	return call(vmm, LOCKSTEP_INPUT, &input);
}

static int lockstep_clock(struct vmm *vmm, uint32_t kind, uint32_t flags, uint64_t *ns)
{
	struct lockstep_clock clock = { .kind = kind, .flags = flags };
	int err = call(vmm, LOCKSTEP_CLOCK, &clock);

	if (!err)
		*ns = clock.ns;
	return err;
}

static int lockstep_output(struct vmm *vmm, uint32_t stream, uint64_t index, const void *data,
			   uint32_t len, uint64_t *lsn)
{
	struct lockstep_output output = {
		.stream = stream,
		.len = len,
		.index = index,
		.hash = XXH64(data, len, 0),
	};
	int err = call(vmm, LOCKSTEP_OUTPUT, &output);

	if (err)
		return err;
	*lsn = output.lsn;
	return (int)output.verdict;
}

static void lockstep_released(struct vmm *vmm, uint32_t stream, uint64_t index)
{
	struct lockstep_released released = { .stream = stream, .index = index };

	/* Nothing depends on it here: an instance that is over has no use for it. */
	(void)ioctl(fd_of(vmm), LOCKSTEP_RELEASED, &released);
}

static int lockstep_digest(struct vmm *vmm, const uint64_t *digest)
{
	struct lockstep_digest arg;

	memcpy(arg.digest, digest, sizeof(arg.digest));
	return call(vmm, LOCKSTEP_DIGEST, &arg);
}

static int lockstep_mismatch(struct vmm *vmm, const uint64_t *digest)
{
	struct lockstep_digest arg;

	memcpy(arg.digest, digest, sizeof(arg.digest));
	return call(vmm, LOCKSTEP_MISMATCH, &arg);
}

static int lockstep_poweroff(struct vmm *vmm)
{
	return call(vmm, LOCKSTEP_POWEROFF, NULL);
}

static void lockstep_kick(struct vmm *vmm)
{
	/* An instance that is over takes no more inputs. */
	(void)ioctl(fd_of(vmm), LOCKSTEP_KICK);
}

static void lockstep_arm(struct vmm *vmm, uint64_t deadline)
{
	__atomic_store_n(&vmm->page->deadline, deadline, __ATOMIC_RELAXED);
	/* Inputs that were left for the next stop: their kick is over. */
	if (__atomic_load_n(&vmm->page->kick, __ATOMIC_RELAXED) && vmm->live)
		lockstep_kick(vmm);
}

const struct vmm_session_ops vmm_session_lockstep = {
	.name = "lockstep",
	.stops_only = true,
	.virtual_tsc = true,
	.attach = lockstep_attach,
	.detach = lockstep_detach,
	.next = lockstep_next,
	.input = lockstep_input,
	.clock = lockstep_clock,
	.output = lockstep_output,
	.released = lockstep_released,
	.digest = lockstep_digest,
	.mismatch = lockstep_mismatch,
	.poweroff = lockstep_poweroff,
	.arm = lockstep_arm,
	.kick = lockstep_kick,
};
