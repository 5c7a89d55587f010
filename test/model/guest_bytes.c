/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest_bytes.c - reach a guest's memory, wherever it was mapped; patterns and numbers.
 */
#include "guest.h"

#include "unit/check.h"

static const struct guest_part *
part_of(const struct guest *g, uint64_t at)
{
	for (unsigned int i = 0; i < GUEST_NR_PARTS; i++)
		if (at - g->parts[i].at < g->parts[i].len)
			return &g->parts[i];
	fprintf(stderr, "the model has no memory at 0x%llx\n", (unsigned long long)at);
	exit(1);
}

void *
guest_ptr(const struct guest *g, uint64_t at, uint64_t len)
{
	const struct guest_part *part = part_of(g, at);

	CHECK(len <= part->len - (at - part->at));
	return part->mine + (at - part->at);
}

/* As much of [at, at + len) as one part holds. */
static uint64_t
piece_len(const struct guest *g, uint64_t at, uint64_t len)
{
	const struct guest_part *part = part_of(g, at);
	uint64_t room = part->len - (at - part->at);

	return len < room ? len : room;
}

void
guest_write(const struct guest *g, uint64_t at, const void *src, uint64_t len)
{
	for (uint64_t done = 0, part; done < len; done += part) {
		part = piece_len(g, at + done, len - done);
		memcpy(guest_ptr(g, at + done, part), (const uint8_t *)src + done, part);
	}
}

void
guest_read(const struct guest *g, uint64_t at, void *dst, uint64_t len)
{
	for (uint64_t done = 0, part; done < len; done += part) {
		part = piece_len(g, at + done, len - done);
		memcpy((uint8_t *)dst + done, guest_ptr(g, at + done, part), part);
	}
}

void
guest_fill(const struct guest *g, uint64_t at, uint8_t byte, uint64_t len)
{
	for (uint64_t done = 0, part; done < len; done += part) {
		part = piece_len(g, at + done, len - done);
		memset(guest_ptr(g, at + done, part), byte, part);
	}
}

uint64_t
guest_alloc(struct guest *g, uint64_t len)
{
	uint64_t at = g->next;

	CHECK(len <= GUEST_END_AT - GUEST_BUFFERS_AT);
	if (len > GUEST_END_AT - at)
		at = GUEST_BUFFERS_AT;
	/* An odd step, so that buffers begin at every alignment. */
	g->next = at + len + 1 <= GUEST_END_AT ? at + len + 1 : GUEST_BUFFERS_AT;
	return at;
}

uint8_t
pattern_byte(uint32_t seed, uint32_t i)
{
	return (uint8_t)((seed * 2654435761u + i * 40503u) >> 7 ^ i);
}

void
pattern_fill(uint8_t *dst, uint32_t seed, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		dst[i] = pattern_byte(seed, i);
}

static uint32_t random_state = 2463534242u;

/* Seeds that are neighbours shall not begin alike, and no state may be 0. */
void
random_begin(uint32_t seed)
{
	random_state = (seed * 2654435761u) ^ 2463534242u;
	if (!random_state)
		random_state = 1;
	for (unsigned int i = 0; i < 8; i++)
		random_next();
}

uint32_t
random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

uint32_t
random_below(uint32_t limit)
{
	return random_next() % limit;
}

void
random_seeds(uint32_t nr, void (*run)(void))
{
	const char *only = getenv("VHOSTX_SEED");
	uint32_t first = only ? (uint32_t)strtoul(only, NULL, 0) : 1;

	for (uint32_t seed = first; seed < first + (only ? 1 : nr); seed++) {
		printf("VHOSTX_SEED=%u\n", seed);
		fflush(stdout);
		random_begin(seed);
		run();
	}
}
