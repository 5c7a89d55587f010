/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * floor.h - what a floor moves bytes with.
 *
 * Knows:   mbufs, ways of copying.
 * Trusts:  everything; that is the point.
 * Runs on: the main thread.
 */
#ifndef VHOSTX_BENCH_FLOOR_H
#define VHOSTX_BENCH_FLOOR_H

#include <string.h>

#include <rte_mbuf.h>
#include <rte_memcpy.h>

#define SHORT_COPY 256

/* The C library knows the CPU's best way for many bytes, inline code is ahead for few. */
static inline void
floor_copy(void *to, const void *from, uint32_t size)
{
	if (size <= SHORT_COPY)
		rte_memcpy(to, from, size);
	else
		memcpy(to, from, size);
}

/* All of a buffer, while the one before it is copied. */
static inline void
floor_fetch(const void *bytes, uint32_t size)
{
	for (uint32_t at = 0; at < size; at += RTE_CACHE_LINE_SIZE)
		__builtin_prefetch((const char *)bytes + at, 1);
}

/* Where the frame of an mbuf begins, without a look at it. */
static inline char *
floor_frame(struct rte_mbuf *m)
{
	return (char *)(m + 1) + RTE_PKTMBUF_HEADROOM;
}

/* A fresh mbuf, and where its frame goes, are wanted soon. */
static inline void
floor_fetch_mbuf(struct rte_mbuf *m, uint32_t size)
{
	__builtin_prefetch(m, 1);
	__builtin_prefetch(floor_frame(m), 1);
	__builtin_prefetch(floor_frame(m) + size - 1, 1);
}

static inline void
floor_fill_mbuf(struct rte_mbuf *m, const void *from, uint32_t size)
{
	rte_pktmbuf_reset(m);
	m->data_len = (uint16_t)size;
	m->pkt_len = size;
	floor_copy(floor_frame(m), from, size);
}

#endif
