/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Outputs, as the session sees them
 */
#ifndef VMM_OUTPUT_H
#define VMM_OUTPUT_H

#include <stdint.h>

struct vmm;

/* As vmm_output() of device.h, and the LSN that has to be acknowledged before the output may leave. */
int vmm_output_log(struct vmm *vmm, uint32_t stream, uint64_t index, const void *data,
		   uint32_t len, uint64_t *lsn);

#endif
