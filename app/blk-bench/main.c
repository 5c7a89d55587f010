/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - vhostx-blk-bench: what a disk's request takes, back-ends side by side.
 *
 * Knows:   the order of things.
 * Trusts:  whoever runs it.
 * Runs on: the main thread.
 *
 * Rounds of the back-ends alternate within one process and the medians are compared: this way a
 * noisy machine disturbs all alike. A back-end whose turn it is not has nothing to do and sleeps.
 */
#include "blk_bench.h"

static struct options options;
static struct sample samples[MOST_BACKENDS][MOST_ROUNDS];

/* A disk must have shown that it keeps what it is given before any figure of it is taken. */
static int
attach_all(struct options *o, const struct style *style)
{
	for (unsigned int i = 0; i < o->nr_backends; i++) {
		struct backend *b = &o->backends[i];

		if (backend_attach(b, style, o->span_mib) || run_fill(b) || run_sweep(b, true))
			return -1;
	}
	return 0;
}

/* Who goes first moves on; the first round of a pattern, not counted, warms it up. */
static int
measure_pattern(struct options *o, const struct pattern *p)
{
	for (unsigned int round = 0; round <= o->nr_rounds; round++) {
		for (unsigned int turn = 0; turn < o->nr_backends; turn++) {
			unsigned int i = (round + turn) % o->nr_backends;

			if (run_round(&o->backends[i], p, o->millis, round,
				      &samples[i][round ? round - 1 : 0]))
				return -1;
		}
	}
	report_pattern(o, p, samples);
	return 0;
}

static int
measure_all(struct options *o)
{
	for (unsigned int i = 0; i < o->nr_patterns; i++)
		if (measure_pattern(o, o->patterns[i]))
			return -1;
	for (unsigned int i = 0; i < o->nr_backends; i++)
		if (run_sweep(&o->backends[i], false))
			return -1;
	return 0;
}

static int
measure_style(struct options *o, const struct style *style)
{
	int rc = attach_all(o, style);

	if (rc == 0)
		rc = measure_all(o);
	for (unsigned int i = 0; i < o->nr_backends; i++)
		backend_detach(&o->backends[i], rc == 0);
	return rc;
}

static int
measure(struct options *o)
{
	for (unsigned int packed = !o->split; packed <= o->packed; packed++) {
		for (unsigned int sleeps = !o->polls; sleeps <= o->sleeps; sleeps++) {
			const struct style style = {
				.packed = packed,
				.sleeps = sleeps,
				.indirect = o->indirect || (sleeps && !o->direct),
				.event_idx = !o->no_event_idx,
			};

			if (measure_style(o, &style))
				return -1;
		}
	}
	return 0;
}

int
main(int argc, char **argv)
{
	int rc;

	if (options_parse(argc, argv, &options)) {
		fprintf(stderr, "vhostx-blk-bench --help tells more\n");
		return 2;
	}
	if (report_open(&options, argc, argv))
		return 1;
	rc = measure(&options);
	return report_close(&options) || rc ? 1 : 0;
}
