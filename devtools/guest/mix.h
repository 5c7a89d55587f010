/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mix.h - pseudo-random numbers without a period: what the guest's programs fill with.
 *
 * Knows:   splitmix64.
 * Trusts:  nothing.
 * Runs on: wherever.
 */
#ifndef GUEST_MIX_H
#define GUEST_MIX_H

#include <stdint.h>

static inline uint64_t
next_word(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* The same number for the same two, and another for any others. */
static inline uint64_t
mix(uint64_t seed, uint64_t number)
{
	uint64_t state = seed ^ (number * 0xd6e8feb86659fd93u);

	return next_word(&state);
}

#endif
