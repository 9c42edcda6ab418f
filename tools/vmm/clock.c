// SPDX-License-Identifier: GPL-2.0
/*
 * Clock values and timers of the devices
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "session.h"
#include "vmm.h"

static uint64_t clock_value(struct vmm *vmm, uint32_t kind)
{
	uint64_t ns = 0;
	int err = vmm->session->clock(vmm, kind, 0, &ns);

	/*
	 * Over: the value reaches nobody.  -ESHUTDOWN is no reason to end here,
	 * the next verdict says what becomes of this instance.
	 */
	if (err == -EILSEQ) {
		vmm_end(vmm, VMM_END_DIVERGED);
	} else if (err && err != -ESHUTDOWN) {
		vmm_say(vmm, "no clock value from the module: %s", strerror(-err));
		vmm_end(vmm, VMM_END_ERROR);
	}
	return ns;
}

uint64_t vmm_clock_virtual(struct vmm *vmm)
{
	return clock_value(vmm, LOCKSTEP_CLOCK_VIRTUAL);
}

uint64_t vmm_clock_wall(struct vmm *vmm)
{
	return clock_value(vmm, LOCKSTEP_CLOCK_WALL);
}

uint64_t vmm_clock_tsc(struct vmm *vmm)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} get = {
		.head = { .nmsrs = 1 },
		.entry = { .index = 0x10 },
	};

	if (vmm->session->virtual_tsc)
		return vmm_clock_virtual(vmm) * (LOCKSTEP_TSC_KHZ / 1000) / 1000;
	if (ioctl(vmm->vcpu_fd, KVM_GET_MSRS, &get) != 1)
		return 0;
	return get.entry.data;
}

void vmm_timer_set(struct vmm *vmm, enum vmm_unit unit, uint16_t kind, uint64_t ns)
{
	if (unit < VMM_UNITS)
		vmm->timers[unit] = (struct vmm_timer){ .ns = ns, .kind = kind };
}

uint64_t vmm_timers_next(const struct vmm *vmm)
{
	uint64_t first = VMM_NEVER;

	for (unsigned int i = 0; i < VMM_UNITS; i++)
		if (vmm->timers[i].ns < first)
			first = vmm->timers[i].ns;
	return first;
}
