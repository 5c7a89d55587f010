/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pull.c - guest to host: chains become mbufs.
 *
 * Knows:   the ring's verbs, the packet header, mbufs.
 * Trusts:  nothing it has not copied; chains from ring_take() are proven.
 * Runs on: polling lcore inside the queue's gate.
 *
 * A burst alternates between two ways. pull_run() takes packets in one descriptor each, in passes,
 * so that the misses of many packets overlap; it stops before the first packet of another shape.
 * pull_one() takes one packet of any shape. Both make the same checks.
 */
#include "kernel.h"

#include "copy.h"
#include "hdr.h"
#include "marks.h"
#include "offload.h"
#include "pool.h"
#include "track.h"

/* What a burst is compiled for. */
struct pull_kind {
	enum ring_kind ring;
	uint32_t hdr_len;
	bool csum;		/* CSUM negotiated: headers mean something */
	bool logs;		/* what is written - used entries - is marked */
};

/* Packets in one descriptor each, proven; still in guest memory. */
struct pull_items {
	const uint8_t *src[NET_RUN];
	uint32_t len[NET_RUN];		/* with the packet header */
	uint64_t used[NET_RUN];		/* to give them back */
};

/* ---- many packets of the common shape ------------------------------------------------------- */

/*
 * Up to `n` packets from the ring's head, as far as each is one readable descriptor that fits one
 * mbuf. What comes after is left for pull_one(), which also finds the words for what may be wrong
 * with it. What does not change is kept in registers: the compiler cannot know that it does not.
 */
static VHC_HOT uint32_t
pull_look(struct net_queue *nq, struct pull_kind k, struct pull_items *items, uint32_t n)
{
	struct ring *r = &nq->core.ring;
	const uint32_t shortest = k.hdr_len + NET_FRAME_MIN, span = nq->room - NET_FRAME_MIN;
	struct ring_window w = ring_window(r, k.ring, n);
	struct map_near near = map_near(&r->hint);
	uint32_t i;

	for (i = 0; i < w.nr; i++) {
		struct ring_look look;
		uint8_t *src;

		if (vhc_unlikely(!ring_look(&w, k.ring, i, &look)) ||
		    vhc_unlikely(look.shape != RING_SHAPE_READ) ||
		    vhc_unlikely(look.len - shortest > span) ||
		    vhc_unlikely(!map_whole_near(r->map, &r->hint, &near, (gpa){ look.addr },
						 look.len, &src)))
			break;
		/* First and last line: all of a small packet. */
		prefetch_read(src);
		prefetch_read(src + look.len - 1);
		items->src[i] = src;
		items->len[i] = look.len;
		items->used[i] = ring_used(&w, k.ring, look.id, 0);
	}
	return i;
}

/* All fields a receiver may read, in two stores; `next` is NULL in every mbuf of a pool. */
static VHC_HOT void
pull_fill(struct rte_mbuf *m, uint64_t rearm_bits, uint32_t len)
{
	typedef uint64_t halves_t __attribute__((vector_size(16)));
	typedef uint32_t quarters_t __attribute__((vector_size(16)));
	const halves_t rearm_and_flags = { rearm_bits, 0 };
	const quarters_t fields = { 0, len, len, 0 };	/* no type, no VLAN, no hash */

	__builtin_memcpy((char *)m + offsetof(struct rte_mbuf, rearm_data), &rearm_and_flags, 16);
	__builtin_memcpy((char *)m + offsetof(struct rte_mbuf, rx_descriptor_fields1), &fields, 16);
}

_Static_assert(offsetof(struct rte_mbuf, ol_flags) ==
	       offsetof(struct rte_mbuf, rearm_data) + 8, "pull_fill()");
_Static_assert(offsetof(struct rte_mbuf, pkt_len) ==
	       offsetof(struct rte_mbuf, rx_descriptor_fields1) + 4, "pull_fill()");
_Static_assert(offsetof(struct rte_mbuf, data_len) ==
	       offsetof(struct rte_mbuf, rx_descriptor_fields1) + 8, "pull_fill()");

/* A header that asks for something. False: it must not be delivered. */
static VHC_COLD bool
pull_obey(struct net_queue *nq, const struct virtio_net_hdr *hdr, struct rte_mbuf *m)
{
	enum ring_fault fault = vhc_net_offload_pulled(nq, hdr, m);

	if (fault == RING_FAULT_NONE)
		return true;
	vhc_ring_fault(&nq->core.ring, fault);
	return false;
}

/* The same for one whose first word was loaded. */
static VHC_COLD bool
pull_obey_word(struct net_queue *nq, uint64_t raw_word, const uint8_t *src, struct rte_mbuf *m)
{
	struct virtio_net_hdr hdr;

	/* There is one burst for all legacy rings, and one for all that log. */
	if (!nq->csum)
		return true;
	hdr = hdr_load_rest(raw_word, src);
	return pull_obey(nq, &hdr, m);
}

/* Refused packets go back to the pool, the others close ranks. Returns how many those are. */
static VHC_COLD uint16_t
pull_weed(struct net_queue *nq, struct rte_mbuf **mbufs, uint16_t nr, uint32_t refused)
{
	uint16_t nr_kept = 0;

	for (uint16_t i = 0; i < nr; i++) {
		if (refused >> i & 1)
			rte_mempool_put(nq->pool, mbufs[i]);
		else
			mbufs[nr_kept++] = mbufs[i];
	}
	return nr_kept;
}

/*
 * Of the header the word that asks for something is loaded once, of the frame there is one copy:
 * what is judged is what was loaded. Returns a bit for each packet that is refused.
 */
static VHC_HOT uint32_t
pull_copy(struct net_queue *nq, struct pull_kind k, const struct pull_items *items,
	  struct rte_mbuf **mbufs, uint32_t nr)
{
	struct stats_run run = { 0 };
	uint64_t rearm = nq->rearm;
	uint32_t refused = 0;

	for (uint32_t i = 0; i < nr; i++) {
		struct rte_mbuf *m = mbufs[i];
		uint32_t len = items->len[i] - k.hdr_len;
		const uint8_t *src = items->src[i];
		uint8_t *frame = (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM;
		uint64_t raw_word = k.csum ? hdr_load(src) : 0;

		copy_bytes(frame, src + k.hdr_len, len);
		pull_fill(m, rearm, len);
		if (k.csum && vhc_unlikely(hdr_asks(raw_word)) &&
		    !pull_obey_word(nq, raw_word, src, m))
			refused |= 1u << i;
		else
			stats_run_frame(&run, &nq->stats, frame, len);
	}
	stats_run_end(&run, &nq->stats);
	return refused;
}

_Static_assert(NET_RUN <= 32, "a bit for each packet of a run");

/* Number of packets stored; *nr_taken chains were consumed for them. */
static VHC_HOT uint16_t
pull_run(struct net_queue *nq, struct pull_kind k, struct rte_mbuf **mbufs, uint16_t n,
	 uint16_t *nr_taken, struct net_marks *marks)
{
	struct ring *r = &nq->core.ring;
	struct pull_items items;
	uint16_t nr = (uint16_t)pull_look(nq, k, &items, n);
	uint32_t refused;

	*nr_taken = 0;
	if (nr == 0)
		return 0;
	if (vhc_unlikely(!pool_get(nq->pool, mbufs, nr)))
		return 0;	/* pull_one() tries for a single mbuf, and counts */
	refused = pull_copy(nq, k, &items, mbufs, nr);
	ring_skip(r, k.ring, nr);
	net_marks_entries(marks, r, r->in_order ? 1 : nr);
	if (r->in_order)
		ring_give_batch(r, k.ring, ring_used_id(k.ring, items.used[nr - 1]), nr);
	else
		ring_give_run(r, k.ring, items.used, nr);
	*nr_taken = nr;
	return vhc_likely(!refused) ? nr : pull_weed(nq, mbufs, nr, refused);
}

/* ---- one packet of any shape ---------------------------------------------------------------- */

enum pull_result {
	PULL_DONE,
	PULL_REFUSED,	/* consumed, nothing to deliver; counted */
	PULL_NO_MBUF,	/* nothing was consumed */
};

static enum ring_fault
pull_check_lengths(const struct net_queue *nq, const struct chain *c)
{
	if (c->read_len == 0)
		return RING_FAULT_CHAIN_EMPTY;
	if (c->read_len < nq->hdr_len)
		return RING_FAULT_HDR_SHORT;
	if (c->read_len - nq->hdr_len < NET_FRAME_MIN)
		return RING_FAULT_FRAME_SHORT;
	if (c->read_len - nq->hdr_len > NET_FRAME_MAX)
		return RING_FAULT_FRAME_LONG;
	return RING_FAULT_NONE;
}

/* As many mbufs as the frame needs. NULL: the pool has not so many. */
static struct rte_mbuf *
pull_gather(struct net_queue *nq, struct chain_pos *pos, uint32_t len)
{
	struct rte_mbuf *first = NULL, **link = &first;
	uint32_t left = len;
	uint16_t nr_segs = 0;

	while (left) {
		uint32_t part = RTE_MIN(left, nq->room);
		struct rte_mbuf *m;

		if (rte_mempool_get(nq->pool, (void **)&m) != 0) {
			rte_pktmbuf_free(first);
			return NULL;
		}
		pull_fill(m, nq->rearm, part);
		chain_copy_out(pos, rte_pktmbuf_mtod(m, void *), part);
		*link = m;
		link = &m->next;
		nr_segs++;
		left -= part;
	}
	first->pkt_len = len;
	first->nb_segs = nr_segs;
	return first;
}

/* A frame that one mbuf has no room for: in a buffer of its own, in many mbufs, or not at all. */
static enum pull_result
pull_long(struct net_queue *nq, struct chain_pos *pos, uint32_t len, struct rte_mbuf **mbuf)
{
	struct rte_mbuf *m;

	if (rte_mempool_get(nq->pool, (void **)&m) != 0)
		return PULL_NO_MBUF;
	pull_fill(m, nq->rearm, len);
	if (nq->ext_buffers && vhc_net_extbuf_attach(m, len)) {
		chain_copy_out(pos, rte_pktmbuf_mtod(m, void *), len);
		*mbuf = m;
		return PULL_DONE;
	}
	rte_mempool_put(nq->pool, m);
	if (nq->linear) {
		stats_add(&nq->stats.too_long, 1);
		return PULL_REFUSED;
	}
	*mbuf = pull_gather(nq, pos, len);
	return *mbuf ? PULL_DONE : PULL_NO_MBUF;
}

static enum pull_result
pull_frame(struct net_queue *nq, struct chain_pos *pos, uint32_t len, struct rte_mbuf **mbuf)
{
	if (len > nq->room && (nq->linear || nq->ext_buffers))
		return pull_long(nq, pos, len, mbuf);
	*mbuf = pull_gather(nq, pos, len);
	return *mbuf ? PULL_DONE : PULL_NO_MBUF;
}

/* A proven chain to an mbuf. */
static enum pull_result
pull_chain(struct net_queue *nq, const struct chain *c, struct rte_mbuf **mbuf)
{
	struct virtio_net_hdr hdr = { 0 };
	struct chain_pos pos = chain_readable(c);
	enum ring_fault fault = pull_check_lengths(nq, c);
	enum pull_result result;

	if (fault != RING_FAULT_NONE) {
		vhc_ring_fault(&nq->core.ring, fault);
		return PULL_REFUSED;
	}
	chain_copy_out(&pos, &hdr, nq->hdr_len);
	result = pull_frame(nq, &pos, c->read_len - nq->hdr_len, mbuf);
	if (result != PULL_DONE || !nq->csum || !(hdr.flags | hdr.gso_type) ||
	    pull_obey(nq, &hdr, *mbuf))
		return result;
	rte_pktmbuf_free(*mbuf);
	*mbuf = NULL;
	return PULL_REFUSED;
}

/* Consume one chain. False: stop the burst, nothing was consumed. */
static VHC_COLD bool
pull_one(struct net_queue *nq, struct rte_mbuf **mbuf, struct net_marks *marks)
{
	struct net_mark mark = net_mark(nq);
	struct chain c;

	*mbuf = NULL;
	switch (net_take(nq, &c)) {
	case TAKE_EMPTY:
		return false;
	case TAKE_BAD:
		break;
	case TAKE_OK:
		if (pull_chain(nq, &c, mbuf) != PULL_NO_MBUF)
			break;
		net_untake(nq, mark);
		stats_add(&nq->stats.no_mbuf, 1);
		return false;
	}
	net_give(nq, marks, &mark, c.id, 0, c.nr_slots);
	if (*mbuf) {
		/* A frame is at least an Ethernet header, but its first segment need not be. */
		uint8_t dst[6];

		stats_one(&nq->stats, rte_pktmbuf_read(*mbuf, 0, sizeof(dst), dst),
			  (*mbuf)->pkt_len);
	}
	return true;
}

/* ---- the burst ------------------------------------------------------------------------------ */

/*
 * At most `n` chains are consumed, also when they bring no packet: a guest that makes bad ones as
 * fast as we refuse them does not keep us here.
 */
static VHC_HOT uint16_t
pull_burst(struct vhc_queue *q, struct rte_mbuf **mbufs, uint16_t n, struct pull_kind k)
{
	struct net_queue *nq = net_queue_of(q);
	struct net_marks space, *marks = k.logs ? &space : NULL;
	uint16_t nr_stored = 0, nr_left = n;

	if (!ring_ready(&q->ring, k.ring))
		return 0;
	if (k.logs)
		net_marks_begin(&space);
	while (nr_left) {
		uint16_t nr_wanted = RTE_MIN(nr_left, NET_RUN), nr_taken;

		nr_stored += pull_run(nq, k, mbufs + nr_stored, nr_wanted, &nr_taken,
				      marks);
		nr_left -= nr_taken;
		if (vhc_likely(nr_taken))
			continue;
		if (!ring_more(&q->ring, k.ring) || !pull_one(nq, &mbufs[nr_stored], marks))
			break;
		nr_stored += mbufs[nr_stored] != NULL;
		nr_left--;
	}
	net_publish(nq, k.ring, marks);
	return nr_stored;
}

/* What is taken is noted: one packet after the other, whatever was negotiated. */
static uint16_t
pull_tracked(struct vhc_queue *q, void **mbufs, uint16_t n)
{
	struct net_queue *nq = net_queue_of(q);
	uint16_t nr_stored = 0, nr_left = vhc_net_track_begin(nq) ? n : 0;
	struct net_marks space, *marks = net_marks_of(nq, &space);
	struct rte_mbuf *m;

	for (; nr_left && net_has_more(nq) && pull_one(nq, &m, marks); nr_left--)
		if (m)
			mbufs[nr_stored++] = m;
	vhc_net_track_end(nq, marks);
	return nr_stored;
}

#define PULL_BURST_OF(name, ring, hdr_len, csum, logs) \
	static uint16_t name(struct vhc_queue *q, void **mbufs, uint16_t n) \
	{ \
		return pull_burst(q, (struct rte_mbuf **)mbufs, n, \
				  (struct pull_kind){ ring, hdr_len, csum, logs }); \
	}
#define PULL_BURST(name, ring, hdr_len, csum) PULL_BURST_OF(name, ring, hdr_len, csum, false)
/* While a guest is moved: one for each layout and header, whatever was negotiated. */
#define PULL_BURST_LOGGED(name, ring, hdr_len) PULL_BURST_OF(name, ring, hdr_len, true, true)

PULL_BURST(pull_split, RING_SPLIT, VIRTIO_NET_HDR_LEN, false)
PULL_BURST(pull_split_csum, RING_SPLIT, VIRTIO_NET_HDR_LEN, true)
PULL_BURST(pull_split_legacy, RING_SPLIT, VIRTIO_NET_HDR_LEN_LEGACY, true)
PULL_BURST(pull_packed, RING_PACKED, VIRTIO_NET_HDR_LEN, false)
PULL_BURST(pull_packed_csum, RING_PACKED, VIRTIO_NET_HDR_LEN, true)
PULL_BURST_LOGGED(pull_split_logged, RING_SPLIT, VIRTIO_NET_HDR_LEN)
PULL_BURST_LOGGED(pull_split_legacy_logged, RING_SPLIT, VIRTIO_NET_HDR_LEN_LEGACY)
PULL_BURST_LOGGED(pull_packed_logged, RING_PACKED, VIRTIO_NET_HDR_LEN)

static uint16_t
pull_nowhere(struct vhc_queue *q, void **mbufs, uint16_t n)
{
	(void)q;
	(void)mbufs;
	(void)n;
	return 0;
}

static vhc_burst_t
pull_logged(const struct net_queue *nq)
{
	if (nq->core.ring.kind == RING_PACKED)
		return pull_packed_logged;
	return nq->hdr_len == VIRTIO_NET_HDR_LEN ? pull_split_logged : pull_split_legacy_logged;
}

vhc_burst_t NET_KERNEL_NAME(vhc_net_pull_burst)(const struct net_queue *nq);

vhc_burst_t
NET_KERNEL_NAME(vhc_net_pull_burst)(const struct net_queue *nq)
{
	if (!nq->pool)
		return pull_nowhere;
	if (nq->tracks)
		return pull_tracked;
	if (nq->log)
		return pull_logged(nq);
	if (nq->core.ring.kind == RING_PACKED)
		return nq->csum ? pull_packed_csum : pull_packed;
	if (nq->hdr_len == VIRTIO_NET_HDR_LEN_LEGACY)
		return pull_split_legacy;
	return nq->csum ? pull_split_csum : pull_split;
}
