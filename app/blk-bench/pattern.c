/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pattern.c - what can be measured.
 */
#include "blk_bench.h"

const struct pattern patterns[] = {
	{ "randread-4k-1", false, true, BLOCK_SIZE, 1 },
	{ "randread-4k-32", false, true, BLOCK_SIZE, 32 },
	{ "randwrite-4k-1", true, true, BLOCK_SIZE, 1 },
	{ "randwrite-4k-32", true, true, BLOCK_SIZE, 32 },
	{ "read-1m-4", false, false, BIG_SIZE, MOST_BIG },
	{ "write-1m-4", true, false, BIG_SIZE, MOST_BIG },
};

const unsigned int nr_patterns = sizeof(patterns) / sizeof(patterns[0]);

const struct pattern fill_pattern = { "fill", true, false, BIG_SIZE, MOST_BIG };
const struct pattern sweep_pattern = { "sweep", false, false, BIG_SIZE, MOST_BIG };
