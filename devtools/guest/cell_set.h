/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cell_set.h - cells all over a disk, and what is known of them kept in a file from one run to the
 * next.
 *
 * Knows:   block devices, also plain files.
 * Trusts:  the file with the set.
 * Runs on: one thread.
 */
#ifndef GUEST_CELL_SET_H
#define GUEST_CELL_SET_H

#include <stdint.h>

#include "cell.h"

#define CELL_SET_MAX	1024
#define CELL_SET_SUMS	16

struct cell_set {
	struct cell_owner owner;
	uint64_t sums[CELL_SET_SUMS];	/* whatever the user adds up over the runs */
	uint32_t nr_cells;
	struct cell cells[CELL_SET_MAX];
};

/* Lay new ones out over the disk, never written so far. -1 and errno. */
int cell_set_place(struct cell_set *set, int disk, uint64_t seed);

/* @return 1, 0 where there is no such file, -1 where that is no set. */
int cell_set_load(struct cell_set *set, const char *path);

/* -1 and errno. */
int cell_set_save(const struct cell_set *set, const char *path);

#endif
