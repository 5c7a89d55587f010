/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * figure.c - what many rounds say together, and one driver beside another.
 *
 * Knows:   which quotients mean anything.
 * Trusts:  its caller for at least one round.
 * Runs on: the main thread, between measurements.
 */
#include "bench.h"
#include "common/median.h"

/* Quotients are taken round by round: what disturbs a round disturbs both of its halves. */
static double
median_quotient(const struct bench_sample (*samples)[BENCH_WHO], unsigned int nr, unsigned int kind,
		enum bench_who above, enum bench_who below, double *spread)
{
	double quotients[BENCH_MAX_ROUNDS];

	for (unsigned int i = 0; i < nr; i++)
		quotients[i] = samples[i][above].value[kind] / samples[i][below].value[kind];
	return median_of(quotients, nr, spread);
}

struct bench_figure
bench_figure_of(const struct bench_sample (*samples)[BENCH_WHO], unsigned int nr, unsigned int kind,
		const struct bench_mode *mode)
{
	enum bench_who above = mode->more_is_better ? BENCH_OURS : BENCH_PEER;
	enum bench_who below = mode->more_is_better ? BENCH_PEER : BENCH_OURS;
	double values[BENCH_MAX_ROUNDS], ignored;
	struct bench_figure f = { 0 };

	for (unsigned int who = 0; who < BENCH_WHO; who++) {
		if (samples[0][who].value[kind] <= 0)
			continue;
		for (unsigned int i = 0; i < nr; i++)
			values[i] = samples[i][who].value[kind];
		f.median[who] = median_of(values, nr, &f.spread[who]);
	}
	if (f.median[BENCH_PEER] > 0)
		f.ratio = median_quotient(samples, nr, kind, above, below, &f.ratio_spread);
	if (f.median[BENCH_FLOOR] > 0)
		f.distance = median_quotient(samples, nr, kind, BENCH_FLOOR, BENCH_OURS, &ignored);
	return f;
}
