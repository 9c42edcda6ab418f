// SPDX-License-Identifier: GPL-2.0
/*
 * The VM and its vCPU, as KVM has them
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpuid.h"
#include "event.h"
#include "msr.h"
#include "pic.h"
#include "state.h"
#include "vcpu.h"
#include "vmm.h"

/* KVM's own pages on a CPU without unrestricted guests: behind all RAM, below the BIOS. */
#define TSS_ADDRESS	0xfffbd000UL

static int fail(struct vmm *vmm, const char *what)
{
	int err = errno ? -errno : -EIO;

	vmm_say(vmm, "%s: %s", what, strerror(-err));
	return err;
}

static int enable(struct vmm *vmm, uint32_t which, uint64_t arg)
{
	struct kvm_enable_cap cap = { .cap = which, .args = { arg } };

	return ioctl(vmm->vm_fd, KVM_ENABLE_CAP, &cap);
}

static int has(struct vmm *vmm, uint32_t which)
{
	return ioctl(vmm->vm_fd, KVM_CHECK_EXTENSION, (unsigned long)which);
}

int vmm_vm_create(struct vmm *vmm)
{
	vmm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vmm->kvm_fd < 0)
		return fail(vmm, "/dev/kvm (is kvm-amd loaded, virtualisation on in the BIOS?)");
	if (ioctl(vmm->kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return fail(vmm, "KVM of another version");
	vmm->vm_fd = ioctl(vmm->kvm_fd, KVM_CREATE_VM, 0);
	if (vmm->vm_fd < 0)
		return fail(vmm, "KVM makes no VM");
	if (ioctl(vmm->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDRESS))
		return fail(vmm, "KVM_SET_TSS_ADDR");
	/* An intercepted PAUSE retires nothing, a native one counts: positions want one of them always. */
	if (!(has(vmm, KVM_CAP_X86_DISABLE_EXITS) & KVM_X86_DISABLE_EXITS_PAUSE) ||
	    enable(vmm, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_PAUSE))
		return fail(vmm, "KVM can't leave PAUSE to the guest");
	/* AMD guests have four counters whatever CPUID says. Nothing to disable: there are none. */
	if (has(vmm, KVM_CAP_PMU_CAPABILITY) & KVM_PMU_CAP_DISABLE &&
	    enable(vmm, KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE))
		return fail(vmm, "KVM can't take the performance counters from the guest");
	return vmm_msr_filter(vmm);
}

int vmm_vcpu_create(struct vmm *vmm)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { 1 },
	};
	int size, err;

	vmm->vcpu_fd = ioctl(vmm->vm_fd, KVM_CREATE_VCPU, 0);
	if (vmm->vcpu_fd < 0)
		return fail(vmm, "KVM makes no vCPU");
	size = ioctl(vmm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(*vmm->run))
		return fail(vmm, "KVM_GET_VCPU_MMAP_SIZE");
	vmm->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vmm->vcpu_fd, 0);
	if (vmm->run == MAP_FAILED) {
		vmm->run = NULL;
		return fail(vmm, "cannot map the vCPU");
	}
	vmm->run_size = (size_t)size;
	if (ioctl(vmm->vcpu_fd, KVM_ENABLE_CAP, &cap))
		return fail(vmm, "KVM can't hide its paravirtual features");
	err = vmm_cpuid_set(vmm);
	return err ? err : vmm_msr_init(vmm);
}

void vmm_vm_destroy(struct vmm *vmm)
{
	if (vmm->run)
		munmap(vmm->run, vmm->run_size);
	if (vmm->vcpu_fd >= 0)
		close(vmm->vcpu_fd);
	if (vmm->vm_fd >= 0)
		close(vmm->vm_fd);
	if (vmm->kvm_fd >= 0)
		close(vmm->kvm_fd);
	vmm->run = NULL;
	vmm->vcpu_fd = -1;
	vmm->vm_fd = -1;
	vmm->kvm_fd = -1;
}

uint32_t vmm_vcpu_tsc_khz(const struct vmm *vmm)
{
	int khz = ioctl(vmm->vcpu_fd, KVM_GET_TSC_KHZ, 0);

	return khz > 0 ? (uint32_t)khz : 0;
}

int vmm_vcpu_run(struct vmm *vmm)
{
	if (!ioctl(vmm->vcpu_fd, KVM_RUN, 0))
		return 0;
	if (errno == EINTR)
		return -EINTR;
	return fail(vmm, "KVM_RUN");
}

int vmm_vcpu_complete(struct vmm *vmm)
{
	struct kvm_run *run = vmm->run;
	int err;

	run->immediate_exit = 1;
	err = vmm_vcpu_run(vmm);
	run->immediate_exit = 0;
	/* A kick before this line has lost its flag: its signal came before it, too, or sets it anew. */
	if (vmm->quit || vmm_events_first(vmm))
		run->immediate_exit = 1;
	return err;
}

void vmm_vcpu_inject(struct vmm *vmm)
{
	struct kvm_interrupt interrupt;
	struct kvm_run *run = vmm->run;

	run->request_interrupt_window = 0;
	if (!vmm_pic_pending(vmm))
		return;
	/* Ready also means that no interrupt is queued, which a second one would replace. */
	if (run->ready_for_interrupt_injection) {
		interrupt.irq = vmm_pic_ack(vmm);
		if (ioctl(vmm->vcpu_fd, KVM_INTERRUPT, &interrupt)) {
			fail(vmm, "KVM_INTERRUPT");
			vmm_end(vmm, VMM_END_ERROR);
			return;
		}
		vmm->counters.injections++;
	}
	run->request_interrupt_window = vmm_pic_pending(vmm);
}

bool vmm_vcpu_clean(const struct vmm *vmm)
{
	return vmm->run->exit_reason != KVM_EXIT_IO && vmm->run->exit_reason != KVM_EXIT_MMIO &&
	       vmm->run->exit_reason != KVM_EXIT_X86_RDMSR &&
	       vmm->run->exit_reason != KVM_EXIT_X86_WRMSR;
}

int vmm_vcpu_save_regs(struct vmm *vmm, struct vmm_state *state)
{
	struct kvm_regs regs;

	if (ioctl(vmm->vcpu_fd, KVM_GET_REGS, &regs))
		return -errno;
	vmm_state_put(state, &regs, sizeof(regs));
	return vmm_state_error(state);
}

static void put_segment(struct vmm_state *state, const struct kvm_segment *seg)
{
	vmm_state_put_u64(state, seg->base);
	vmm_state_put_u32(state, seg->limit);
	vmm_state_put_u16(state, seg->selector);
	vmm_state_put_u8(state, seg->type);
	vmm_state_put_u8(state, seg->present);
	vmm_state_put_u8(state, seg->dpl);
	vmm_state_put_u8(state, seg->db);
	vmm_state_put_u8(state, seg->s);
	vmm_state_put_u8(state, seg->l);
	vmm_state_put_u8(state, seg->g);
	vmm_state_put_u8(state, seg->avl);
	vmm_state_put_u8(state, seg->unusable);
}

/* Field by field: padding is whatever KVM left there. */
int vmm_vcpu_save_sregs(struct vmm *vmm, struct vmm_state *state)
{
	struct kvm_sregs sregs;

	if (ioctl(vmm->vcpu_fd, KVM_GET_SREGS, &sregs))
		return -errno;
	put_segment(state, &sregs.cs);
	put_segment(state, &sregs.ds);
	put_segment(state, &sregs.es);
	put_segment(state, &sregs.fs);
	put_segment(state, &sregs.gs);
	put_segment(state, &sregs.ss);
	put_segment(state, &sregs.tr);
	put_segment(state, &sregs.ldt);
	vmm_state_put_u64(state, sregs.gdt.base);
	vmm_state_put_u16(state, sregs.gdt.limit);
	vmm_state_put_u64(state, sregs.idt.base);
	vmm_state_put_u16(state, sregs.idt.limit);
	vmm_state_put_u64(state, sregs.cr0);
	vmm_state_put_u64(state, sregs.cr2);
	vmm_state_put_u64(state, sregs.cr3);
	vmm_state_put_u64(state, sregs.cr4);
	vmm_state_put_u64(state, sregs.cr8);
	vmm_state_put_u64(state, sregs.efer);
	vmm_state_put_u64(state, sregs.apic_base);
	for (unsigned int i = 0; i < sizeof(sregs.interrupt_bitmap) / 8; i++)
		vmm_state_put_u64(state, sregs.interrupt_bitmap[i]);
	return vmm_state_error(state);
}

int vmm_vcpu_save_fpu(struct vmm *vmm, struct vmm_state *state)
{
	struct kvm_fpu fpu;

	if (ioctl(vmm->vcpu_fd, KVM_GET_FPU, &fpu))
		return -errno;
	vmm_state_put_u16(state, fpu.fcw);
	vmm_state_put_u16(state, fpu.fsw);
	vmm_state_put_u8(state, fpu.ftwx);
	vmm_state_put_u16(state, fpu.last_opcode);
	vmm_state_put_u64(state, fpu.last_ip);
	vmm_state_put_u64(state, fpu.last_dp);
	vmm_state_put_u32(state, fpu.mxcsr);
	vmm_state_put(state, fpu.fpr, sizeof(fpu.fpr));
	vmm_state_put(state, fpu.xmm, sizeof(fpu.xmm));
	return vmm_state_error(state);
}

int vmm_vcpu_save_debug(struct vmm *vmm, struct vmm_state *state)
{
	struct kvm_debugregs debug;

	if (ioctl(vmm->vcpu_fd, KVM_GET_DEBUGREGS, &debug))
		return -errno;
	for (unsigned int i = 0; i < 4; i++)
		vmm_state_put_u64(state, debug.db[i]);
	vmm_state_put_u64(state, debug.dr6);
	vmm_state_put_u64(state, debug.dr7);
	return vmm_state_error(state);
}

/*
 * KVM leaves the number of the last event behind when there is none any more,
 * and which one was last (say, a page fault whose delivery was interrupted) is
 * not the guest's business.
 */
int vmm_vcpu_save_events(struct vmm *vmm, struct vmm_state *state)
{
	struct kvm_vcpu_events events;
	bool exception, interrupt;

	if (ioctl(vmm->vcpu_fd, KVM_GET_VCPU_EVENTS, &events))
		return -errno;
	exception = events.exception.injected || events.exception.pending;
	interrupt = events.interrupt.injected;
	vmm_state_put_u8(state, events.exception.injected);
	vmm_state_put_u8(state, events.exception.pending);
	vmm_state_put_u8(state, exception ? events.exception.nr : 0);
	vmm_state_put_u8(state, exception ? events.exception.has_error_code : 0);
	vmm_state_put_u32(state, exception && events.exception.has_error_code ?
				 events.exception.error_code : 0);
	vmm_state_put_u8(state, interrupt);
	vmm_state_put_u8(state, interrupt ? events.interrupt.nr : 0);
	vmm_state_put_u8(state, interrupt ? events.interrupt.soft : 0);
	vmm_state_put_u8(state, events.interrupt.shadow);
	vmm_state_put_u8(state, events.nmi.injected);
	vmm_state_put_u8(state, events.nmi.pending);
	vmm_state_put_u8(state, events.nmi.masked);
	return vmm_state_error(state);
}
