// SPDX-License-Identifier: GPL-2.0
/*
 * Outputs, as the session sees them
 */
#include <errno.h>
#include <string.h>

#include "output.h"
#include "pcap.h"
#include "session.h"
#include "vmm.h"

bool vmm_is_live(const struct vmm *vmm)
{
	return vmm->live;
}

int vmm_output_log(struct vmm *vmm, uint32_t stream, uint64_t index, const void *data,
		   uint32_t len, uint64_t *lsn)
{
	int verdict = vmm->session->output(vmm, stream, index, data, len, lsn);

	switch (verdict) {
	case LOCKSTEP_VERDICT_SEND:
		/*
		 * A twin that has won hears of it at its next stop, and then sends
		 * what it has kept: this output has to stay behind that.
		 */
		return vmm->live ? 1 : 0;
	case LOCKSTEP_VERDICT_KEEP:
		return 0;
	case -ESHUTDOWN:
		break;
	case -EILSEQ:
		vmm_end(vmm, VMM_END_DIVERGED);
		break;
	default:
		vmm_say(vmm, "an output could not be logged: %s",
			verdict < 0 ? strerror(-verdict) : "no such verdict");
		vmm_end(vmm, VMM_END_ERROR);
		return verdict < 0 ? verdict : -EPROTO;
	}
	return verdict;
}

int vmm_output(struct vmm *vmm, uint32_t stream, uint64_t index, const void *data, uint32_t len)
{
	uint64_t lsn;
	int live = vmm_output_log(vmm, stream, index, data, len, &lsn);

	if (live >= 0 && pcap_frame(vmm->pcap, data, len)) {
		vmm_say(vmm, "the record of frames ends: %s", strerror(EIO));
		fclose(vmm->pcap);
		vmm->pcap = NULL;
	}
	return live;
}

uint64_t vmm_output_released(struct vmm *vmm, uint32_t stream)
{
	if (stream >= LOCKSTEP_STREAMS)
		return 0;
	return __atomic_load_n(&vmm->page->released[stream], __ATOMIC_ACQUIRE);
}
