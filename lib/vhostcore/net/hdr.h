/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hdr.h - the packet header as the two words it is on the fast paths.
 *
 * Knows:   virtio 1.2 5.1.6.
 * Trusts:  nothing of a header it reads: it must be a private copy.
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

/* Does the header ask for anything? flags and gso_type, in one load. */
static VHC_HOT bool
hdr_asks(const struct virtio_net_hdr *hdr)
{
	uint16_t both;

	memcpy(&both, hdr, sizeof(both));
	return both != 0;
}

_Static_assert(offsetof(struct virtio_net_hdr, gso_type) == 1, "hdr_asks()");

#endif
