/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * run.c - which rows there are, and whose round is next.
 *
 * Knows:   the modes' needs.
 * Trusts:  options that bench_parse accepted.
 * Runs on: the main thread.
 *
 * Rounds of the two drivers alternate within one process and the medians are compared: this way a
 * noisy machine disturbs both alike. Only ratios mean anything.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#define WARM_BURSTS 200U	/* every mbuf has been used by then */
#define BLOCKS 4	/* openings of each driver, where both do not fit at once */

static struct bench_side sides[2];
static struct bench_sample samples[BENCH_MAX_ROUNDS][BENCH_WHO];

static int
take(enum bench_who who, const struct bench_row *row, const struct bench_shot *shot,
     struct bench_sample *sample)
{
	if (row->mode->on_library)
		return bench_library_round(who, shot, sample);
	if (who != BENCH_FLOOR)	/* a driver that is alone has no peer */
		return sides[who].nr_pairs ? row->mode->round(&sides[who], shot, sample) : 0;
	return row->mode->has_floor ? bench_floor_round(shot, sample) : 0;
}

static int
warm_up(enum bench_who who, const struct bench_row *row, const struct bench_shot *shot)
{
	struct bench_shot warm = *shot;
	struct bench_sample ignored;

	warm.nr_bursts = RTE_MAX(shot->nr_bursts, WARM_BURSTS);
	return take(who, row, &warm, &ignored);
}

/* Rounds in turn; who goes first moves on too. */
static int
take_alternating(const struct bench_options *o, const struct bench_row *row,
		 const struct bench_shot *shot)
{
	for (unsigned int who = 0; who < BENCH_WHO; who++)
		if (warm_up(who, row, shot))
			return -1;
	for (unsigned int i = 0; i < o->nr_rounds; i++) {
		bench_report_progress(row, i, o->nr_rounds);
		for (unsigned int turn = 0; turn < BENCH_WHO; turn++) {
			unsigned int who = (i + turn) % BENCH_WHO;

			if (take(who, row, shot, &samples[i][who]))
				return -1;
		}
	}
	return 0;
}

static int
take_block(const struct bench_options *o, const struct bench_row *row,
	   const struct bench_shot *shot, enum bench_who who, unsigned int block)
{
	unsigned int end = o->nr_rounds * (block + 1) / BLOCKS;
	int rc;

	if (!o->drivers[who])
		return 0;
	rc = bench_side_open(&sides[who], o->drivers[who], row);
	if (rc == 0)
		rc = warm_up(who, row, shot);
	for (unsigned int i = o->nr_rounds * block / BLOCKS; i < end && rc == 0; i++) {
		bench_report_progress(row, i, o->nr_rounds);
		rc = take(who, row, shot, &samples[i][who]);
	}
	if (rc == 0)
		bench_side_close(&sides[who]);
	return rc;
}

static int
take_in_blocks(const struct bench_options *o, const struct bench_row *row,
	       const struct bench_shot *shot)
{
	for (unsigned int block = 0; block < BLOCKS; block++)
		for (unsigned int turn = 0; turn < 2; turn++)
			if (take_block(o, row, shot, (block + turn) % 2, block))
				return -1;
	return 0;
}

static int
run_row(const struct bench_options *o, const struct bench_row *row)
{
	struct bench_shot shot = {
		.size = row->size,
		.nr_bursts = o->nr_bursts,
		.millis = o->millis,
	};

	memset(samples, 0, sizeof(samples));
	if (row->mode->in_blocks ? take_in_blocks(o, row, &shot) : take_alternating(o, row, &shot))
		return -1;
	for (unsigned int kind = 0; kind < BENCH_KINDS && row->mode->kinds[kind].name; kind++) {
		struct bench_figure f = bench_figure_of(
			(const struct bench_sample(*)[BENCH_WHO])samples, o->nr_rounds, kind,
			row->mode);

		bench_report_row(row, &row->mode->kinds[kind], &f);
	}
	bench_report_measured();
	return 0;
}

static int
open_sides(const struct bench_options *o, const struct bench_row *row)
{
	if (row->mode->on_library)
		return bench_library_open(row);
	for (unsigned int d = 0; d < 2 && !row->mode->in_blocks; d++)
		if (o->drivers[d] && bench_side_open(&sides[d], o->drivers[d], row))
			return -1;
	return 0;
}

static void
close_sides(const struct bench_row *row)
{
	if (row->mode->on_library)
		bench_library_close();
	else
		for (unsigned int d = 0; d < 2; d++)
			bench_side_close(&sides[d]);
}

/* The rows that differ in size only share their ports. */
static int
run_sizes(const struct bench_options *o, struct bench_row row)
{
	int rc = open_sides(o, &row);

	for (unsigned int s = 0; s < (row.mode->has_sizes ? o->nr_sizes : 1) && rc == 0; s++) {
		row.size = row.mode->has_sizes ? o->sizes[s] : 0;
		rc = run_row(o, &row);
	}
	if (rc == 0)
		close_sides(&row);
	return rc;
}

static int
run_path(const struct bench_options *o, struct bench_row row)
{
	for (unsigned int q = 0; q < o->nr_queues; q++) {
		row.nr_queues = o->queues[q];
		for (unsigned int p = 0; p < o->nr_ports; p++) {
			row.nr_ports = o->ports[p];
			if (run_sizes(o, row))
				return -1;
		}
	}
	return 0;
}

int
bench_run(const struct bench_options *o)
{
	unsigned int nr_sizes = o->mode->has_sizes ? o->nr_sizes : 1;
	int rc = 0;

	bench_report_plan(o->nr_paths * o->nr_queues * o->nr_ports * nr_sizes);
	if (o->mode->has_floor && bench_floor_open())
		return -1;
	for (unsigned int i = 0; i < o->nr_paths && rc == 0; i++)
		rc = run_path(o, (struct bench_row){ .mode = o->mode, .path = o->paths[i] });
	if (o->mode->has_floor)
		bench_floor_close();
	return rc;
}
