/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cell_set.c - see cell_set.h.
 *
 * Knows:   block devices, also plain files.
 * Trusts:  the file with the set.
 * Runs on: one thread.
 */
#include "cell_set.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "mix.h"

#define STRIDE_MIN	((128u << 10) / CELL_SECTOR)	/* sectors from one cell to the next */

static int
measure(int disk, uint64_t *nr_sectors, uint32_t *block_sectors)
{
	int block_size = CELL_SECTOR;
	uint64_t nr_bytes;
	struct stat stat;

	if (fstat(disk, &stat) < 0)
		return -1;
	nr_bytes = (uint64_t)stat.st_size;
	if (S_ISBLK(stat.st_mode) && (ioctl(disk, BLKGETSIZE64, &nr_bytes) < 0 ||
				      ioctl(disk, BLKSSZGET, &block_size) < 0))
		return -1;
	*nr_sectors = nr_bytes / CELL_SECTOR;
	*block_sectors = (uint32_t)block_size / CELL_SECTOR;
	errno = ENOSPC;
	return *nr_sectors < STRIDE_MIN || *block_sectors == 0 ? -1 : 0;
}

int
cell_set_place(struct cell_set *set, int disk, uint64_t seed)
{
	uint64_t nr_sectors, nr_cells;
	uint32_t block_sectors;
	struct timespec now;

	if (measure(disk, &nr_sectors, &block_sectors) < 0)
		return -1;
	nr_cells = nr_sectors / STRIDE_MIN;
	clock_gettime(CLOCK_REALTIME, &now);
	*set = (struct cell_set){
		.owner = {
			.seed = seed,
			.run = mix((uint64_t)now.tv_sec,
				   (uint64_t)now.tv_nsec ^ (uint64_t)getpid()),
		},
		.nr_cells = (uint32_t)(nr_cells < CELL_SET_MAX ? nr_cells : CELL_SET_MAX),
	};
	for (uint32_t i = 0; i < set->nr_cells; i++)
		cell_place(&set->cells[i], seed, i, set->nr_cells, nr_sectors, block_sectors);
	return 0;
}

int
cell_set_load(struct cell_set *set, const char *path)
{
	FILE *file = fopen(path, "rb");
	size_t nr_read;

	if (file == NULL)
		return errno == ENOENT ? 0 : -1;
	nr_read = fread(set, sizeof(*set), 1, file);
	fclose(file);
	errno = EBADMSG;
	return nr_read == 1 && set->nr_cells > 0 && set->nr_cells <= CELL_SET_MAX ? 1 : -1;
}

int
cell_set_save(const struct cell_set *set, const char *path)
{
	FILE *file = fopen(path, "wb");
	size_t nr_written;

	if (file == NULL)
		return -1;
	nr_written = fwrite(set, sizeof(*set), 1, file);
	return fclose(file) == 0 && nr_written == 1 ? 0 : -1;
}
