/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hdr.h - the packet header as the two words it is on the fast paths.
 *
 * Knows:   virtio 1.2 5.1.6.
 * Trusts:  nothing of a header it loads.
 * Runs on: polling lcore.
 */
#ifndef VHC_NET_HDR_H
#define VHC_NET_HDR_H

#include <string.h>

#include "../base/compiler.h"
#include "../spec/virtio_net.h"

/*
 * A header that says no more than `flags`, written blind. num_buffers is 1 whether or not buffers
 * may merge (5.1.6.4.1).
 */
static VHC_HOT void
hdr_put(uint8_t *dst, uint8_t flags, uint32_t hdr_len)
{
	uint64_t first = htole64(flags);
	uint32_t last = htole32(1u << 16);

	memcpy(dst, &first, sizeof(first));
	memcpy(dst + sizeof(first), &last, hdr_len - sizeof(first));
}

/* The first eight bytes of a header in guest memory: all that says whether it asks for anything. */
static VHC_HOT uint64_t
hdr_load(const uint8_t *src)
{
	struct word {
		uint64_t v;
	} __attribute__((packed, may_alias));

	/* volatile: one access, whatever the alignment */
	return ((const volatile struct word *)(const void *)src)->v;
}

/* Does it? flags and gso_type. */
static VHC_HOT bool
hdr_asks(uint64_t raw_word)
{
	return le64toh(raw_word) & 0xffff;
}

/* A private copy of the header whose first word was loaded. */
static inline struct virtio_net_hdr
hdr_load_rest(uint64_t raw_word, const uint8_t *src)
{
	struct virtio_net_hdr raw = { 0 };

	memcpy(&raw, &raw_word, sizeof(raw_word));
	memcpy(&raw.csum_offset, src + sizeof(raw_word), sizeof(raw.csum_offset));
	return raw;
}

_Static_assert(offsetof(struct virtio_net_hdr, gso_type) == 1 &&
	       offsetof(struct virtio_net_hdr, csum_offset) == 8, "hdr_load()");

#endif
