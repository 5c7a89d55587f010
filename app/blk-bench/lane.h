/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lane.h - where things are in the guest's memory.
 */
#ifndef VHOSTX_BLK_BENCH_LANE_H
#define VHOSTX_BLK_BENCH_LANE_H

#include "blk_bench.h"

/* Guest address of the first byte. */
#define LANE_AT		GUEST_LOW_AT

/* Bytes from there: the ring, headers and answers, data. */
#define LANE_PARTS	UINT64_C(0x10000)
#define LANE_DATA	UINT64_C(0x20000)
#define LANE_END	(LANE_DATA + (uint64_t)MOST_BIG * BIG_SIZE)

static_assert(MOST_DEPTH * BLOCK_SIZE <= MOST_BIG * BIG_SIZE, "room for all small requests");

#endif
