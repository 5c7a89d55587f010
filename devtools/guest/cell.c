/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cell.c - see cell.h.
 *
 * Knows:   what a sector says of itself.
 * Trusts:  nothing that was read.
 * Runs on: any thread; one at a time for each cell.
 */
#include "cell.h"

#include <stddef.h>
#include <string.h>

#include "mix.h"

#define MAGIC		0x6c6c65632d786876u
#define NR_FILL_WORDS	(CELL_SECTOR / 8 - 6)

struct sector {
	uint64_t magic;
	uint64_t seed;
	uint64_t run;
	uint64_t number;
	uint64_t sequence;
	uint64_t fill[NR_FILL_WORDS];
	uint64_t sum;		/* of all before */
};

_Static_assert(sizeof(struct sector) == CELL_SECTOR, "a sector is one sector");

enum sector_kind {
	SECTOR_OURS,
	SECTOR_ELSEWHERES,	/* whole and ours, but it belongs to another place */
	SECTOR_BROKEN,		/* begins like a sector of somebody's, and is not whole */
	SECTOR_STRANGE,		/* what was there before us */
	NR_SECTOR_KINDS,
};

/* Most are small, as most requests are; some are larger than one request may be. */
static const uint32_t cell_bytes[] = {
	512, 4096, 4096, 4096, 8192, 12288, 16384, 32768, 65536, 131072, CELL_BYTES_MAX,
};

static uint64_t
sum_of(const struct sector *sector)
{
	const unsigned char *bytes = (const unsigned char *)sector;
	uint64_t sum = 0xcbf29ce484222325u, word;

	for (size_t at = 0; at < offsetof(struct sector, sum); at += sizeof(word)) {
		memcpy(&word, bytes + at, sizeof(word));
		sum = (sum ^ word) * 0x100000001b3u;
		sum ^= sum >> 32;
	}
	return sum;
}

static uint32_t
at_most(uint64_t value, uint64_t limit)
{
	return (uint32_t)(value < limit ? value : limit);
}

void
cell_place(struct cell *cell, uint64_t seed, uint32_t number, uint32_t nr_cells,
	   uint64_t disk_sectors, uint32_t block_sectors)
{
	uint64_t stride = disk_sectors / nr_cells / block_sectors * block_sectors, room;
	uint64_t random = mix(seed, number);
	uint32_t bytes = cell_bytes[random % (sizeof(cell_bytes) / sizeof(cell_bytes[0]))];
	uint32_t nr_sectors = at_most(bytes / CELL_SECTOR, stride);

	if (nr_sectors % block_sectors > 0)
		nr_sectors += block_sectors - nr_sectors % block_sectors;
	*cell = (struct cell){ .nr_sectors = nr_sectors };
	room = (stride - nr_sectors) / block_sectors;
	cell->sector = number * stride + (random >> 8) % (room + 1) * block_sectors;
	if (number == 0)
		cell->sector = 0;
	else if (number == nr_cells - 1)	/* the disk's last sector is in use too */
		cell->sector = disk_sectors / block_sectors * block_sectors - nr_sectors;
}

void
cell_fill(const struct cell *cell, const struct cell_owner *owner, uint32_t sequence, void *buffer)
{
	struct sector made = {
		.magic = MAGIC, .seed = owner->seed, .run = owner->run, .sequence = sequence,
	};

	for (uint32_t i = 0; i < cell->nr_sectors; i++) {
		uint64_t word = mix(owner->run + sequence, cell->sector + i);

		made.number = cell->sector + i;
		for (size_t w = 0; w < NR_FILL_WORDS; w++)
			made.fill[w] = word += 0x9e3779b97f4a7c15u;
		made.sum = sum_of(&made);
		memcpy((char *)buffer + (size_t)i * CELL_SECTOR, &made, sizeof(made));
	}
}

static enum sector_kind
look_at(const struct sector *sector, const struct cell_owner *owner, uint64_t number)
{
	if (sector->magic != MAGIC)
		return SECTOR_STRANGE;
	if (sector->sum != sum_of(sector))
		return SECTOR_BROKEN;
	if (sector->seed != owner->seed || sector->run != owner->run)
		return SECTOR_STRANGE;
	return sector->number == number ? SECTOR_OURS : SECTOR_ELSEWHERES;
}

static enum cell_verdict
judge_sequence(struct cell *cell, uint64_t sequence)
{
	if (sequence > cell->tried)
		return CELL_TORN;	/* a checksum that fits by chance */
	if (sequence < cell->seen)
		return CELL_STALE;
	cell->seen = (uint32_t)sequence;
	if (sequence < cell->acked)
		return CELL_LOST;
	cell->acked = (uint32_t)sequence;
	return CELL_GOOD;
}

enum cell_verdict
cell_judge(struct cell *cell, const struct cell_owner *owner, const void *buffer, uint32_t *found)
{
	uint32_t nr_of[NR_SECTOR_KINDS] = { 0 };
	uint64_t sequence = 0, is_mixed = 0;
	struct sector sector;

	*found = 0;
	for (uint32_t i = 0; i < cell->nr_sectors; i++) {
		enum sector_kind kind;

		memcpy(&sector, (const char *)buffer + (size_t)i * CELL_SECTOR, sizeof(sector));
		kind = look_at(&sector, owner, cell->sector + i);
		if (kind == SECTOR_OURS && nr_of[SECTOR_OURS]++ == 0)
			sequence = sector.sequence;
		else if (kind != SECTOR_OURS)
			nr_of[kind]++;
		else if (sector.sequence != sequence)
			is_mixed = 1;
	}
	if (nr_of[SECTOR_ELSEWHERES] > 0)
		return CELL_MISPLACED;
	if (nr_of[SECTOR_STRANGE] == cell->nr_sectors)
		return judge_sequence(cell, 0);
	if (nr_of[SECTOR_OURS] < cell->nr_sectors || is_mixed)
		return CELL_TORN;
	*found = (uint32_t)sequence;
	return judge_sequence(cell, sequence);
}

const char *
cell_verdict_name(enum cell_verdict verdict)
{
	static const char *const names[NR_CELL_VERDICTS] = {
		[CELL_GOOD] = "good",
		[CELL_LOST] = "lost",
		[CELL_STALE] = "stale",
		[CELL_TORN] = "torn",
		[CELL_MISPLACED] = "misplaced",
	};

	return names[verdict];
}
