/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fault.h - every way a guest can break the rules, by name.
 *
 * Knows:   the names. One name is a counter, an xstat, a telemetry key and a test.
 * Trusts:  nothing to trust.
 * Runs on: counting on the polling lcore; reading anywhere.
 *
 * X(NAME, name, sentence). Order is free; names are for ever.
 */
#ifndef VHC_RING_FAULT_H
#define VHC_RING_FAULT_H

#include "../base/compiler.h"

/* These leave no buffer to give back: the ring stops until the driver sets it up again. */
#define RING_FAULTS_BREAKING(X) \
	X(AVAIL_IDX,	avail_idx,	"more entries were made available than the ring holds") \
	X(HEAD_RANGE,	head_range,	"an available entry names a descriptor outside the ring") \
	X(CHAIN_ENDLESS, chain_endless,	"a chain is longer than the packed ring it is in")

/* These cost the guest one chain: it is given back unused. */
#define RING_FAULTS_CHAIN(X) \
	X(NEXT_RANGE,	next_range,	"a descriptor's next lies outside its table") \
	X(CHAIN_LOOP,	chain_loop,	"a chain has more descriptors than its table") \
	X(CHAIN_SPANS,	chain_spans,	"a chain has more pieces than we take (1024)") \
	X(CHAIN_EMPTY,	chain_empty,	"a chain has no byte in the direction of the queue") \
	X(CHAIN_ORDER,	chain_order,	"a readable descriptor follows a writable one") \
	X(CHAIN_BYTES,	chain_bytes,	"a chain's lengths add up to 4 GiB or more") \
	X(DESC_WRAP,	desc_wrap,	"a descriptor's address plus length overflows") \
	X(DESC_UNMAPPED, desc_unmapped,	"a descriptor points outside the guest's memory") \
	X(INDIRECT_OFF,	indirect_off,	"an indirect descriptor, which was not negotiated") \
	X(INDIRECT_NESTED, indirect_nested, "an indirect descriptor inside an indirect table") \
	X(INDIRECT_NEXT, indirect_next,	"an indirect descriptor that also has a next") \
	X(INDIRECT_LEN,	indirect_len,	"an indirect table of bad length") \
	X(INDIRECT_UNMAPPED, indirect_unmapped, "an indirect table outside the guest's memory") \
	X(IOVA_REFUSED,	iova_refused,	"an address that the guest's IOMMU does not know") \
	X(IOVA_DENIED,	iova_denied,	"an address that the guest's IOMMU permits, but not so") \
	X(HDR_SHORT,	hdr_short,	"a chain is shorter than the packet header") \
	X(FRAME_SHORT,	frame_short,	"a packet is shorter than an Ethernet header") \
	X(FRAME_LONG,	frame_long,	"a packet is longer than 64 KiB") \
	X(CSUM_RANGE,	csum_range,	"a checksum request points outside its packet") \
	X(GSO_OFF,	gso_off,	"a segmentation request that was not negotiated") \
	X(GSO_BAD,	gso_bad,	"a segmentation request that its packet contradicts")

/* So do these, on a ring that carries commands. */
#define RING_FAULTS_COMMAND(X) \
	X(CTRL_BAD,	ctrl_bad,	"a control command whose length or values make no sense") \
	X(CTRL_NO_ACK,	ctrl_no_ack,	"a control command with no byte for the answer")

/* The front-end's fault, and it stops the ring like the first. */
#define RING_FAULTS_REGION(X) \
	X(INFLIGHT_BAD,	inflight_bad,	"the in-flight region contradicts itself or the ring")

#define RING_FAULTS(X) RING_FAULTS_BREAKING(X) RING_FAULTS_CHAIN(X) RING_FAULTS_COMMAND(X) \
	RING_FAULTS_REGION(X)

enum ring_fault {
#define X(NAME, name, sentence) RING_FAULT_##NAME,
	RING_FAULTS(X)
#undef X
	RING_NR_FAULTS
};

#define RING_FAULT_NONE RING_NR_FAULTS

/* No fault either: the chain waits for the front-end to translate an address (miss.h). */
#define RING_FAULT_MISS (RING_NR_FAULTS + 1)

struct ring;

/* Count the fault. Cold, out of line: the polling path carries only the call. */
void vhc_ring_fault(struct ring *r, enum ring_fault fault) VHC_COLD;

/* Count it and stop the ring: from here on it is empty until it is set up anew. */
void vhc_ring_break(struct ring *r, enum ring_fault fault) VHC_COLD;

#endif
