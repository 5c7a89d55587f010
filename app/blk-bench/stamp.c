/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stamp.c - what a block of the disk holds, so that a read shows whether writes were done.
 *
 * A block's first word says which block it is and in which generation it was written; a generation
 * is one round. What a back-end forgets, mixes up or makes up is noticed by the next read of it,
 * which costs a look at a line of each block. The warm-up fills blocks to the last byte.
 */
#include "blk_bench.h"

#include <string.h>

#define WORDS (BLOCK_SIZE / sizeof(uint64_t))

static uint64_t
stamp_of(const struct backend *b, uint64_t block)
{
	return ((block + 1) * UINT64_C(0x9e3779b97f4a7c15)) ^
	       (b->generations[block] * UINT64_C(0xc2b2ae3d27d4eb4f)) ^ b->seed;
}

void
stamp_write(struct backend *b, uint8_t *data, uint64_t block, bool whole)
{
	uint64_t stamp;

	b->generations[block] = b->generation;
	stamp = stamp_of(b, block);
	for (unsigned int i = 0; i < (whole ? WORDS : 1); i++) {
		uint64_t word = stamp + i;

		memcpy(data + i * sizeof(word), &word, sizeof(word));
	}
}

bool
stamp_is_right(const struct backend *b, const uint8_t *data, uint64_t block, bool whole)
{
	uint64_t stamp = stamp_of(b, block), word;

	for (unsigned int i = 0; i < (whole ? WORDS : 1); i++) {
		memcpy(&word, data + i * sizeof(word), sizeof(word));
		if (word != stamp + i)
			return false;
	}
	return true;
}
