// SPDX-License-Identifier: GPL-2.0
/*
 * lockstep-vmm: a small VMM for Linux guests, alone or protected by lockstep
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "control.h"
#include "devices.h"
#include "event.h"
#include "host.h"
#include "memory.h"
#include "pcap.h"
#include "run.h"
#include "session.h"
#include "start.h"
#include "stream.h"
#include "vcpu.h"
#include "vmm.h"

#define FINISH_MS	2000	/* for a reader to take the last output */

/* The signal that interrupts KVM_RUN finds the vCPU of its thread here. */
static _Thread_local struct kvm_run *kicked;

static void on_kick(int signal)
{
	(void)signal;
	if (kicked)
		kicked->immediate_exit = 1;
}

void vmm_say(const struct vmm *vmm, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* One call, so that lines of several threads stay whole; \r for a raw terminal. */
	fprintf(stderr, "lockstep-vmm[%s]: %s\r\n", vmm->config.name, text);
}

void vmm_end(struct vmm *vmm, enum vmm_ending ending)
{
	if (!vmm->ending)
		vmm->ending = ending;
}

void vmm_fail(struct vmm *vmm)
{
	vmm_end(vmm, VMM_END_ERROR);
}

void vmm_kick(struct vmm *vmm)
{
	if (vmm->run)
		vmm->run->immediate_exit = 1;
	pthread_kill(vmm->vcpu_thread, VMM_SIGNAL_KICK);
}

void vmm_quit(struct vmm *vmm)
{
	vmm->quit = true;
	vmm_wake(vmm);
	vmm_kick(vmm);
}

static int record_frames(struct vmm *vmm)
{
	const char *path = vmm->config.net.pcap;
	int err;

	if (!path)
		return 0;
	vmm->pcap = pcap_create(path);
	if (vmm->pcap)
		return 0;
	err = -errno;
	vmm_say(vmm, "--net-pcap %s: %s", path, strerror(-err));
	return err;
}

static int create(struct vmm *vmm)
{
	struct sigaction action = { .sa_handler = on_kick };
	int err;

	vmm->vcpu_thread = pthread_self();
	sigaction(VMM_SIGNAL_KICK, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	err = vmm_vm_create(vmm);
	if (!err)
		err = vmm_memory_create(vmm);
	if (!err)
		err = vmm_vcpu_create(vmm);
	if (!err)
		err = vmm_events_create(vmm);
	if (!err)
		err = vmm_host_create(vmm);
	if (!err)
		err = vmm_control_create(vmm);
	if (!err)
		err = vmm_devices_create(vmm);
	if (!err)
		err = record_frames(vmm);
	if (!err)
		err = vmm->session->attach(vmm, vmm_host_notify_fd(vmm));
	kicked = vmm->run;
	return err ? err : vmm_host_start(vmm);
}

static void destroy(struct vmm *vmm)
{
	vmm_host_stop(vmm);
	vmm_events_close(vmm);
	if (vmm->session_data) {
		vmm_streams_finish(vmm, vmm->ending == VMM_END_HALTED ? 0 : FINISH_MS);
		vmm->session->detach(vmm);
	}
	vmm_devices_destroy(vmm);
	if (vmm->pcap)
		fclose(vmm->pcap);
	vmm_streams_destroy(vmm);
	vmm_control_destroy(vmm);
	vmm_host_destroy(vmm);
	vmm_events_destroy(vmm);
	kicked = NULL;
	vmm_vm_destroy(vmm);
	vmm_memory_destroy(vmm);
}

static int exit_code(const struct vmm *vmm)
{
	switch (vmm->ending) {
	case VMM_END_POWEROFF:
		return VMM_EXIT_OK;
	case VMM_END_RESET:
		return vmm->config.reset_ok ? VMM_EXIT_OK : VMM_EXIT_RESET;
	case VMM_END_CRASH:
		return VMM_EXIT_RESET;
	case VMM_END_HALTED:
		return VMM_EXIT_HALTED;
	case VMM_END_DIVERGED:
		return VMM_EXIT_DIVERGED;
	case VMM_END_QUIT:
		return VMM_EXIT_QUIT;
	default:
		return VMM_EXIT_ERROR;
	}
}

int main(int argc, char **argv)
{
	struct vmm *vmm = calloc(1, sizeof(*vmm));
	int err, code;

	if (!vmm) {
		fputs("lockstep-vmm: no memory\n", stderr);
		return VMM_EXIT_ERROR;
	}
	vmm->kvm_fd = -1;
	vmm->vm_fd = -1;
	vmm->vcpu_fd = -1;
	err = vmm_config_parse(&vmm->config, argc, argv);
	if (err) {
		free(vmm);
		return err > 0 ? VMM_EXIT_OK : VMM_EXIT_USAGE;
	}
	if (vmm->config.ask) {
		err = vmm_ask(vmm->config.control, vmm->config.ask);
		free(vmm);
		return err ? VMM_EXIT_ERROR : VMM_EXIT_OK;
	}
	vmm->session = vmm->config.role == VMM_ROLE_NONE ? &vmm_session_none :
							   &vmm_session_lockstep;
	err = create(vmm);
	if (!err)
		err = vmm_start_read(vmm);
	if (!err)
		vmm_run(vmm);
	code = err ? VMM_EXIT_ERROR : exit_code(vmm);
	destroy(vmm);
	free(vmm);
	return code;
}
