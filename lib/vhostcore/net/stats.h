/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stats.h - count packets in the pass that touches them anyway.
 *
 * Knows:   struct vhc_net_stats.
 * Trusts:  lengths already judged.
 * Runs on: polling lcore, the only writer; readers see each counter whole.
 */
#ifndef VHC_NET_STATS_H
#define VHC_NET_STATS_H

#include <string.h>

#include "../base/order.h"
#include "../vhostcore_net.h"

static VHC_HOT void
stats_add(uint64_t *counter, uint64_t n)
{
	st_relaxed(counter, *counter + n);
}

/* 65...2047 fall into place by their number of bits; the rest is put right around that. */
static VHC_HOT unsigned int
stats_size_class(uint32_t len)
{
	unsigned int by_bits = 32u - (unsigned int)__builtin_clz(len | 1) - 5;

	if (len <= 64)
		return len == 64 ? VHC_NET_SIZE_64 : VHC_NET_SIZE_UNDERSIZE;
	return len > 1518 ? (unsigned int)VHC_NET_SIZE_1519_MAX : by_bits;
}

/* A group address; `frame` has at least a destination. */
static inline void
stats_group(struct vhc_net_stats *s, const uint8_t *frame)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	stats_add(memcmp(frame, broadcast, sizeof(broadcast)) ? &s->multicast : &s->broadcast, 1);
}

/* All but packets and bytes, which are added once a run. */
static VHC_HOT void
stats_frame(struct vhc_net_stats *s, const uint8_t *frame, uint32_t len)
{
	stats_add(&s->sizes[stats_size_class(len)], 1);
	if (vhc_unlikely(frame[0] & 1))
		stats_group(s, frame);
}

static VHC_HOT void
stats_run(struct vhc_net_stats *s, uint64_t packets, uint64_t bytes)
{
	stats_add(&s->packets, packets);
	stats_add(&s->bytes, bytes);
}

#endif
