/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * extbuf.c - one buffer for a packet that no mbuf of the pool has room for.
 *
 * Knows:   external buffers of mbufs, DPDK's heap.
 * Trusts:  the length, which was judged.
 * Runs on: polling lcore, off the fast path: the heap has locks. The buffer is freed on whatever
 *          thread frees the mbuf.
 */
#include "net.h"

#include <rte_malloc.h>

struct extbuf {
	struct rte_mbuf_ext_shared_info shared;	/* in here, so that it lives as long */
	uint8_t bytes[];
};

static void
extbuf_free(void *bytes, void *extbuf)
{
	(void)bytes;
	rte_free(extbuf);
}

/* An mbuf counts its buffer's bytes in 16 bits: the longest frames get less headroom, or none. */
bool
vhc_net_extbuf_attach(struct rte_mbuf *m, uint32_t len)
{
	uint32_t headroom = RTE_PKTMBUF_HEADROOM;
	struct extbuf *buf;

	if (len > UINT16_MAX)
		return false;
	headroom = RTE_MIN(headroom, UINT16_MAX - len);
	buf = rte_malloc(NULL, sizeof(*buf) + headroom + len, RTE_CACHE_LINE_SIZE);
	if (!buf)
		return false;
	buf->shared.free_cb = extbuf_free;
	buf->shared.fcb_opaque = buf;
	rte_mbuf_ext_refcnt_set(&buf->shared, 1);
	rte_pktmbuf_attach_extbuf(m, buf->bytes,
				  rte_malloc_virt2iova(buf) + offsetof(struct extbuf, bytes),
				  (uint16_t)(headroom + len), &buf->shared);
	m->data_off = (uint16_t)headroom;
	m->data_len = (uint16_t)len;
	return true;
}
