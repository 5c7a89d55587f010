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

/* One frame. */
static inline void
stats_one(struct vhc_net_stats *s, const uint8_t *frame, uint32_t len)
{
	stats_add(&s->packets, 1);
	stats_add(&s->bytes, len);
	stats_add(&s->sizes[stats_size_class(len)], 1);
	if (frame[0] & 1)
		stats_group(s, frame);
}

/*
 * Counts of a run, kept in registers: neighbours mostly have one size, so a size is added up until
 * another one comes.
 */
struct stats_run {
	uint64_t bytes;
	uint32_t len;		/* size being counted */
	uint32_t nr_same;	/* frames of it, not in the counters yet */
	uint32_t nr;
};

static VHC_HOT void
stats_run_flush(struct stats_run *run, struct vhc_net_stats *s)
{
	stats_add(&s->sizes[stats_size_class(run->len)], run->nr_same);
	run->nr += run->nr_same;
	run->bytes += (uint64_t)run->nr_same * run->len;
	run->nr_same = 0;
}

static VHC_HOT void
stats_run_frame(struct stats_run *run, struct vhc_net_stats *s, const uint8_t *frame, uint32_t len)
{
	if (vhc_unlikely(len != run->len)) {
		stats_run_flush(run, s);
		run->len = len;
	}
	run->nr_same++;
	if (vhc_unlikely(frame[0] & 1))
		stats_group(s, frame);
}

static VHC_HOT void
stats_run_end(struct stats_run *run, struct vhc_net_stats *s)
{
	stats_run_flush(run, s);
	stats_add(&s->packets, run->nr);
	stats_add(&s->bytes, run->bytes);
}

#endif
