/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A record of all frames the guest has made, whether they left or not
 *
 * On a twin it is the history of outputs that it would have gone on from: what a
 * capture at the primary's tap saw has to be in there.
 */
#ifndef VMM_PCAP_H
#define VMM_PCAP_H

#include <stdint.h>
#include <stdio.h>

/**
 * pcap_create() - start a capture file
 * @path: file, replaced
 *
 * Return: the file (fclose() ends it), or NULL with errno.
 */
FILE *pcap_create(const char *path);

/**
 * pcap_frame() - add one frame; it is with the kernel when this returns
 * @file: from pcap_create(), or NULL: nothing is done
 * @frame: Ethernet frame
 * @len: its bytes
 *
 * Return: 0 or -EIO.
 */
int pcap_frame(FILE *file, const void *frame, uint32_t len);

#endif
