/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chain.h - one descriptor chain, copied, checked and translated.
 *
 * Knows:   spans; no descriptor outlives the walk that makes a chain.
 * Trusts:  made by walk.h only, so everything in it is proven.
 * Runs on: polling lcore.
 */
#ifndef VHC_RING_CHAIN_H
#define VHC_RING_CHAIN_H

#include <string.h>

#include "../mem/addr.h"

#define CHAIN_SPANS_MAX 1024

struct chain {
	uint16_t id;		/* what giving it back needs */
	uint16_t nr_slots;	/* ... and for a packed ring, the slots it took */
	uint16_t nr_spans;
	uint16_t nr_readable;	/* spans[0...nr_readable) are readable, the rest writable */
	uint32_t read_len;
	uint32_t write_len;
	struct span spans[CHAIN_SPANS_MAX];
};

/* A place in one direction of a chain. */
struct chain_pos {
	const struct span *span;
	const struct span *end;
	uint64_t offset;	/* bytes of *span already passed */
};

static inline struct chain_pos
chain_readable(const struct chain *c)
{
	return (struct chain_pos){ c->spans, c->spans + c->nr_readable, 0 };
}

static inline struct chain_pos
chain_writable(const struct chain *c)
{
	return (struct chain_pos){ c->spans + c->nr_readable, c->spans + c->nr_spans, 0 };
}

/* The next contiguous bytes, at most `want` of them; moves on. Length 0 at the end. */
static inline struct span
chain_next(struct chain_pos *pos, uint64_t want)
{
	struct span piece = { NULL, 0 };

	while (pos->span < pos->end && pos->offset == pos->span->len) {
		pos->span++;
		pos->offset = 0;
	}
	if (pos->span == pos->end)
		return piece;
	piece.ptr = pos->span->ptr + pos->offset;
	piece.len = pos->span->len - pos->offset;
	if (piece.len > want)
		piece.len = want;
	pos->offset += piece.len;
	return piece;
}

/* Copy out of a chain; returns the bytes copied, fewer than `len` only at its end. */
static inline uint32_t
chain_copy_out(struct chain_pos *pos, void *dst, uint32_t len)
{
	uint32_t done = 0;

	while (done < len) {
		struct span piece = chain_next(pos, len - done);

		if (!piece.len)
			break;
		memcpy((uint8_t *)dst + done, piece.ptr, piece.len);
		done += (uint32_t)piece.len;
	}
	return done;
}

/* Copy into a chain; as above. */
static inline uint32_t
chain_copy_in(struct chain_pos *pos, const void *src, uint32_t len)
{
	uint32_t done = 0;

	while (done < len) {
		struct span piece = chain_next(pos, len - done);

		if (!piece.len)
			break;
		memcpy(piece.ptr, (const uint8_t *)src + done, piece.len);
		done += (uint32_t)piece.len;
	}
	return done;
}

#endif
