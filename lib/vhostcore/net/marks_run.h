/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * marks_run.h - marks of a run of packets, several at a time.
 *
 * Knows:   marks.h; vectors as the compiler spells them, for any CPU.
 * Trusts:  as marks.h.
 * Runs on: polling lcore inside the queue's gate.
 *
 * A push of a short packet is some sixty instructions. To find out one by one which page each lies
 * in, and whether it is marked, took a quarter more; this takes a few for each.
 */
#ifndef VHC_NET_MARKS_RUN_H
#define VHC_NET_MARKS_RUN_H

#include "marks.h"

/* What a register of AVX2 holds. */
#define NET_LANES 4

typedef uint64_t net_lanes_t __attribute__((vector_size(NET_LANES * sizeof(uint64_t))));
typedef uint32_t net_lane_lens_t __attribute__((vector_size(NET_LANES * sizeof(uint32_t))));

/* By pointer: such vectors are no arguments where the CPU has none so wide. */
static VHC_HOT uint64_t
net_lanes_or(const net_lanes_t *v)
{
	return ((*v)[0] | (*v)[1]) | ((*v)[2] | (*v)[3]);
}

/* The last word, in registers. */
struct net_near {
	const uint8_t *host;
	uint64_t len;		/* a power of two, or 0 */
};

/* The pages of the last word that NET_LANES packets wrote. False: not all of them lie there. */
static VHC_HOT bool
net_near_lanes(struct net_near near, uint8_t *const *hosts, const uint32_t *lens, uint32_t more,
	       net_lanes_t *pages)
{
	const net_lanes_t one = { 1, 1, 1, 1 };
	net_lanes_t first, last, all;
	net_lane_lens_t len;

	memcpy(&first, hosts, sizeof(first));
	memcpy(&len, lens, sizeof(len));
	first -= (uint64_t)(uintptr_t)near.host;
	last = first + __builtin_convertvector(len, net_lanes_t) + (more - 1);
	all = first | last;
	if (vhc_unlikely(net_lanes_or(&all) >= near.len))
		return false;
	*pages |= (2 * one << (last >> DIRTY_LOG_PAGE_BITS)) -
		  (one << (first >> DIRTY_LOG_PAGE_BITS));
	return true;
}

/*
 * As far as packets lie in the last word, starting with number `from`; what is looked at last may
 * have been before. Returns the number of the first that was not.
 */
static VHC_HOT uint32_t
net_marks_near(struct net_marks *marks, uint8_t *const *hosts, const uint32_t *lens, uint32_t more,
	       uint32_t from, uint32_t nr)
{
	const struct net_near near = { marks->near, marks->near_len };
	net_lanes_t pages = { 0 };
	uint32_t at = from;

	while (at < nr && nr >= NET_LANES) {
		uint32_t lane = at + NET_LANES <= nr ? at : nr - NET_LANES;

		if (!net_near_lanes(near, &hosts[lane], &lens[lane], more, &pages))
			break;
		at = lane + NET_LANES;
	}
	if (at != from)
		marks->words[marks->nr - 1].pages |= net_lanes_or(&pages);
	return at;
}

/* `nr` packets were written, each `more` bytes longer than `lens` says. */
static VHC_HOT void
net_marks_run(struct net_queue *nq, struct net_marks *marks, uint8_t *const *hosts,
	      const uint32_t *lens, uint32_t more, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		i = net_marks_near(marks, hosts, lens, more, i, nr);
		if (i < nr)
			vhc_net_marks_add(nq, marks, hosts[i], lens[i] + more);
	}
}

#endif
