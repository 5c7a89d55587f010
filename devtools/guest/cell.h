/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cell.h - a place on a disk that is written again and again, as a whole: what is in it tells which
 * write put it there.
 *
 * Every sector of it says whose it is: (run, seed, sector, sequence), with a checksum. So whatever
 * is read back can be judged without a copy of what was written.
 *
 * Knows:   sectors. Not how they get to the disk.
 * Trusts:  nothing that was read.
 * Runs on: any thread; one at a time for each cell.
 */
#ifndef GUEST_CELL_H
#define GUEST_CELL_H

#include <stdint.h>

#define CELL_SECTOR	512u
#define CELL_BYTES_MAX	(256u << 10)

struct cell {
	uint64_t sector;	/* the first one */
	uint32_t nr_sectors;
	uint32_t tried;		/* sequence of the last write that was started; 0: none */
	uint32_t acked;		/* of the last one that the disk said it had done */
	uint32_t seen;		/* the highest one that was read back */
	uint32_t is_bad;	/* judged so once: it is left alone */
};

/* Whose cells: seed is the user's word, run differs from one set of cells to the next. */
struct cell_owner {
	uint64_t seed;
	uint64_t run;
};

enum cell_verdict {
	CELL_GOOD,
	CELL_LOST,	/* the last acknowledged write is not there, and was never seen to be */
	CELL_STALE,	/* something older than what was read there before */
	CELL_TORN,	/* parts of different writes, or a sector that nobody wrote */
	CELL_MISPLACED,	/* a write for another place */
	NR_CELL_VERDICTS,
};

/* Where cell `number` of `nr_cells` is, on a disk of so many sectors with so large blocks. */
void cell_place(struct cell *cell, uint64_t seed, uint32_t number, uint32_t nr_cells,
		uint64_t disk_sectors, uint32_t block_sectors);

/* What a write with this sequence puts there. */
void cell_fill(const struct cell *cell, const struct cell_owner *owner, uint32_t sequence,
	       void *buffer);

/*
 * Compare what was read with what was acknowledged. A write that failed may have happened or not:
 * whichever is found counts as acknowledged from now on. *found: the sequence there, 0 if no single
 * one.
 */
enum cell_verdict cell_judge(struct cell *cell, const struct cell_owner *owner, const void *buffer,
			     uint32_t *found);

const char *cell_verdict_name(enum cell_verdict verdict);

#endif
