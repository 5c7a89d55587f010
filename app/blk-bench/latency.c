/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * latency.c - see latency.h.
 */
#include "latency.h"

#include <string.h>

#define STEPS (1u << LATENCY_STEP_BITS)

void
latency_clear(struct latency *l)
{
	memset(l, 0, sizeof(*l));
}

/* The middle of a class: those from 64 ns on begin at (64 + step) << shift. */
static double
class_ns(unsigned int class)
{
	unsigned int shift = class / STEPS ? class / STEPS - 1 : 0;
	uint64_t first = (uint64_t)(class - shift * STEPS) << shift;

	return (double)first + (double)((UINT64_C(1) << shift) - 1) / 2;
}

double
latency_quantile(const struct latency *l, double share)
{
	uint64_t rank = (uint64_t)(share * (double)l->total), seen = 0;

	for (unsigned int class = 0; class < LATENCY_CLASSES; class++) {
		seen += l->nr[class];
		if (seen > rank || (seen && seen == l->total))
			return class_ns(class) / 1000;
	}
	return 0;
}
