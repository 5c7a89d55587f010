/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * latency.h - how long requests took, counted in classes 1/64 apart.
 *
 * Knows:   nanoseconds.
 * Trusts:  nothing to trust.
 * Runs on: any thread.
 */
#ifndef VHOSTX_BLK_BENCH_LATENCY_H
#define VHOSTX_BLK_BENCH_LATENCY_H

#include <stdint.h>

#define LATENCY_STEP_BITS	6	/* classes between a power of two and the next: 64 */
#define LATENCY_CLASSES		(40u << LATENCY_STEP_BITS)	/* more than an hour is the last */

struct latency {
	uint64_t total;
	uint32_t nr[LATENCY_CLASSES];
};

void latency_clear(struct latency *l);

/* Below 64 a class is one nanosecond; from there on the highest seven bits name it. */
static inline void
latency_note(struct latency *l, uint64_t ns)
{
	unsigned int shift = 0, class;

	if (ns >> LATENCY_STEP_BITS)
		shift = 63 - (unsigned int)__builtin_clzll(ns) - LATENCY_STEP_BITS;
	class = (shift << LATENCY_STEP_BITS) + (unsigned int)(ns >> shift);
	l->nr[class < LATENCY_CLASSES ? class : LATENCY_CLASSES - 1]++;
	l->total++;
}

/* Microseconds that `share` (0 to 1) of all did not exceed, to 1.6%. 0: there are none. */
double latency_quantile(const struct latency *l, double share);

#endif
