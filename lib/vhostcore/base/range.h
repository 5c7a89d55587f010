/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * range.h - arithmetic on [start, start + len) that cannot overflow.
 *
 * Knows:   numbers.
 * Trusts:  nothing: made for values a peer chose.
 * Runs on: everywhere.
 */
#ifndef VHC_BASE_RANGE_H
#define VHC_BASE_RANGE_H

#include <stdbool.h>
#include <stdint.h>

/* The range does not run past the last 64-bit address. An empty range at the very end is fine. */
static inline bool
range_is_sane(uint64_t start, uint64_t len)
{
	return len <= UINT64_MAX - start;
}

/* [start, start + len) lies within [outer, outer + outer_len); the outer range is sane. */
static inline bool
range_contains(uint64_t outer, uint64_t outer_len, uint64_t start, uint64_t len)
{
	return start >= outer && start - outer <= outer_len && len <= outer_len - (start - outer);
}

/* Two sane ranges share at least one byte. */
static inline bool
range_overlaps(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a_len && b_len && (a >= b ? a - b < b_len : b - a < a_len);
}

static inline uint64_t
range_align_down(uint64_t x, uint64_t align)
{
	return x & ~(align - 1);
}

/* Round up to a power of two, or 0 when the result does not fit 64 bits. */
static inline uint64_t
range_align_up(uint64_t x, uint64_t align)
{
	return x > UINT64_MAX - (align - 1) ? 0 : range_align_down(x + align - 1, align);
}

#endif
