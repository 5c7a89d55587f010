/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * push.c - host to guest: mbufs are copied into the guest's buffers.
 *
 * Knows:   the ring's verbs, the packet header, mbufs.
 * Trusts:  nothing it has not copied; chains from ring_take() are proven. mbufs are only read.
 * Runs on: polling lcore inside the queue's gate.
 *
 * As in pull.c, push_run() handles the common shape in passes - one segment into one descriptor -
 * and push_one() any other; both make the same checks.
 */
#include "kernel.h"

#include "copy.h"
#include "hdr.h"
#include "marks_run.h"
#include "offload.h"
#include "pool.h"
#include "track.h"

/* What a burst is compiled for. */
struct push_kind {
	enum ring_kind ring;
	uint32_t hdr_len;
	bool csum;		/* GUEST_CSUM negotiated: headers may say that a checksum is good */
	bool keeps;		/* packets stay the caller's */
	bool logs;		/* what is written is marked */
};

/* Packets of one segment, and for each a buffer of the guest, proven large enough. */
struct push_items {
	const uint8_t *src[NET_RUN];
	uint8_t *dst[NET_RUN];
	uint32_t len[NET_RUN];		/* without the packet header */
	uint8_t flags[NET_RUN];		/* of the packet header */
	uint64_t used[NET_RUN];		/* to give them back */
	bool odd;	/* not all of them go back to one pool as they are */
};

/* ---- many packets of the common shape ------------------------------------------------------- */

/* 5.1.6.4.1: DATA_VALID needs GUEST_CSUM. */
static VHC_HOT uint8_t
push_flags(bool csum, uint64_t ol_flags)
{
	return csum && (ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD ?
		       VIRTIO_NET_HDR_F_DATA_VALID : 0;
}

/* data_off, refcnt, nb_segs and port of an mbuf, in one load. */
static VHC_HOT uint64_t
mbuf_rearm_word(const struct rte_mbuf *m)
{
	uint64_t word;

	memcpy(&word, (const char *)m + offsetof(struct rte_mbuf, rearm_data), sizeof(word));
	return word;
}

#define REARM_DATA_OFF(word)	((uint16_t)(word))
/* One reference and one segment. */
#define REARM_IS_ALONE(word)	((uint32_t)((word) >> 16) == 0x00010001)
#define REARM_NR_SEGS(word)	((uint16_t)((word) >> 32))

_Static_assert(offsetof(struct rte_mbuf, data_off) == offsetof(struct rte_mbuf, rearm_data) &&
	       offsetof(struct rte_mbuf, refcnt) == offsetof(struct rte_mbuf, rearm_data) + 2 &&
	       offsetof(struct rte_mbuf, nb_segs) == offsetof(struct rte_mbuf, rearm_data) + 4,
	       "REARM_IS_ALONE()");

/* Nobody else holds it, it goes back to its pool as it is, and asks for nothing. */
static VHC_HOT bool
push_is_simple(const struct rte_mbuf *m, uint64_t word, const struct rte_mempool *pool)
{
	return vhc_likely(REARM_IS_ALONE(word)) && vhc_likely(m->pool == pool) &&
	       vhc_likely(!(m->ol_flags & (OFFLOAD_TX_FLAGS | RTE_MBUF_F_INDIRECT |
					   RTE_MBUF_F_EXTERNAL)));
}

/* As pull_look(): packets of one segment, each into one writable descriptor with room for it. */
static VHC_HOT uint32_t
push_look(struct net_queue *nq, struct push_kind k, struct rte_mbuf **mbufs,
	  struct push_items *items, uint32_t n)
{
	const struct rte_mempool *pool = mbufs[0]->pool;
	struct ring *r = &nq->core.ring;
	struct ring_window w = ring_window(r, k.ring, n);
	struct map_near near = map_near(&r->hint);
	uint32_t i;

	items->odd = false;
	for (i = 0; i < w.nr; i++) {
		const struct rte_mbuf *m = mbufs[i];
		uint64_t word = mbuf_rearm_word(m);
		uint32_t len = m->data_len;
		struct ring_look look;
		uint8_t *dst;

		if (k.keeps) {
			if (vhc_unlikely(REARM_NR_SEGS(word) != 1) ||
			    vhc_unlikely(m->ol_flags & OFFLOAD_TX_FLAGS))
				break;
		} else if (vhc_unlikely(!push_is_simple(m, word, pool))) {
			if (m->nb_segs != 1 || (m->ol_flags & OFFLOAD_TX_FLAGS))
				break;
			items->odd = true;
		}
		if (vhc_unlikely(len < NET_FRAME_MIN) ||
		    vhc_unlikely(!ring_look(&w, k.ring, i, &look)) ||
		    vhc_unlikely(look.shape != RING_SHAPE_WRITE) ||
		    vhc_unlikely(look.len < k.hdr_len + len) ||
		    vhc_unlikely(!map_whole_near(r->map, &r->hint, &near, (gpa){ look.addr },
						 look.len, &dst)))
			break;
		/* First and last line: all of a small packet. */
		prefetch_write(dst);
		prefetch_write(dst + k.hdr_len + len - 1);
		items->src[i] = (const uint8_t *)m->buf_addr + REARM_DATA_OFF(word);
		items->dst[i] = dst;
		items->len[i] = len;
		if (k.csum)
			items->flags[i] = push_flags(nq->csum, m->ol_flags);
		items->used[i] = ring_used(&w, k.ring, look.id, k.hdr_len + len);
		prefetch_read(items->src[i]);
	}
	return i;
}

/* All lines but the first, which push_look() has asked for: one packet ahead of the copy. */
static VHC_HOT void
push_prefetch_rest(uint8_t *dst, uint32_t len)
{
	for (uint32_t at = VHC_CACHE_LINE; at < len; at += VHC_CACHE_LINE)
		prefetch_write(dst + at);
}

/* The guest's header is written blind, never read. */
static VHC_HOT void
push_copy(struct net_queue *nq, struct push_kind k, const struct push_items *items, uint16_t nr)
{
	struct stats_run run = { 0 };

	for (uint16_t i = 0; i < nr; i++) {
		uint32_t len = items->len[i];

		if (i + 1 < nr)
			push_prefetch_rest(items->dst[i + 1], items->len[i + 1]);
		hdr_put(items->dst[i], k.csum ? items->flags[i] : 0, k.hdr_len);
		copy_bytes(items->dst[i] + k.hdr_len, items->src[i], len);
		stats_run_frame(&run, &nq->stats, items->src[i], len);
	}
	stats_run_end(&run, &nq->stats);
}

/* Number of packets sent, and freed unless they are kept. */
static VHC_HOT uint16_t
push_run(struct net_queue *nq, struct push_kind k, struct rte_mbuf **mbufs, uint16_t n,
	 struct net_marks *marks)
{
	struct ring *r = &nq->core.ring;
	struct push_items items;
	uint16_t nr = (uint16_t)push_look(nq, k, mbufs, &items, n);

	if (nr == 0)
		return 0;
	push_copy(nq, k, &items, nr);
	if (k.logs)
		net_marks_run(nq, marks, items.dst, items.len, k.hdr_len, nr);
	if (!k.keeps && vhc_likely(!items.odd))
		pool_put(mbufs[0]->pool, mbufs, nr);
	else if (!k.keeps)
		rte_pktmbuf_free_bulk(mbufs, nr);
	ring_skip(r, k.ring, nr);
	net_marks_entries(marks, r, nr);
	ring_give_run(r, k.ring, items.used, nr);
	return nr;
}

/* ---- one packet of any shape ---------------------------------------------------------------- */

enum push_result {
	PUSH_DONE,
	PUSH_DROPPED,	/* consumed, never to arrive; counted */
	PUSH_FULL,	/* nothing was consumed */
};

/* Most buffers one mbuf may need. Tiny ones beyond that are the guest's own fault. */
#define PUSH_BUFFERS_MAX 1024

/* A chain with part of the packet in it, not given yet: the next ones may not suffice. */
struct push_filled {
	uint16_t id;
	uint16_t nr_slots;
	uint32_t len;
};

/* An mbuf being written: one packet or, in segments, several; each over one or more chains. */
struct push_writer {
	struct net_queue *nq;
	struct chain first;	/* kept: its header is completed last */
	struct chain more;
	struct chain *current;
	struct chain_pos pos;
	uint32_t in_current;	/* bytes written to the current chain */
	struct net_mark mark;	/* before the mbuf's first chain */
	struct net_marks *marks;
	uint16_t nr_buffers;	/* of the packet */
	uint16_t nr_filled;	/* buffers of all packets */
	struct push_filled filled[PUSH_BUFFERS_MAX];
};

/* 5.1.6.3.1: a receive buffer has room for the header, and it is all in the first chain. */
static enum ring_fault
push_check_chain(const struct push_writer *w, const struct chain *c)
{
	if (c->write_len == 0)
		return RING_FAULT_CHAIN_EMPTY;
	if (!w->nr_buffers && c->write_len < w->nq->hdr_len)
		return RING_FAULT_HDR_SHORT;
	return RING_FAULT_NONE;
}

static enum take
push_take(struct push_writer *w, struct chain *c)
{
	enum take taken = net_take(w->nq, c);
	enum ring_fault fault = taken == TAKE_OK ? push_check_chain(w, c) : RING_FAULT_NONE;

	if (fault == RING_FAULT_NONE)
		return taken;
	vhc_ring_fault(&w->nq->core.ring, fault);
	return TAKE_BAD;
}

static void
push_add_filled(struct push_writer *w, const struct chain *c, uint32_t len)
{
	w->filled[w->nr_filled++] = (struct push_filled){
		.id = c->id,
		.nr_slots = c->nr_slots,
		.len = len,
	};
}

/* `len` bytes were written to the start of a chain, the last just now. */
static void
push_mark_chain(struct push_writer *w, const struct chain *c, uint32_t len)
{
	struct chain_pos pos = chain_writable(c);
	struct net_marks *marks = w->marks;
	struct span piece;

	while (marks && len && (piece = chain_next(&pos, len)).len) {
		vhc_net_marks_add(w->nq, marks, piece.ptr, piece.len);
		len -= (uint32_t)piece.len;
	}
}

static void
push_finish_chain(struct push_writer *w)
{
	if (!w->current)
		return;
	push_mark_chain(w, w->current, w->in_current);
	push_add_filled(w, w->current, w->in_current);
	w->current = NULL;
}

/*
 * A bad chain between packets. Before the first it is given back for good, so that it cannot be met
 * again; later it waits its turn behind the buffers that are not given yet.
 */
static void
push_pass_over(struct push_writer *w, const struct chain *c)
{
	if (w->nr_filled) {
		push_add_filled(w, c, 0);
		return;
	}
	net_give(w->nq, w->marks, &w->mark, c->id, 0, c->nr_slots);
	w->mark = net_mark(w->nq);
}

/*
 * Go on in the next chain. A bad one in the middle of a packet counts as a buffer with nothing in
 * it, because the driver will count it too.
 */
static enum push_result
push_next_chain(struct push_writer *w)
{
	struct chain *c = w->nr_buffers ? &w->more : &w->first;
	enum take taken;

	push_finish_chain(w);
	if (w->nr_buffers && !w->nq->mergeable)
		return PUSH_DROPPED;
	for (;;) {
		if (w->nr_filled == PUSH_BUFFERS_MAX)
			return PUSH_DROPPED;
		taken = push_take(w, c);
		/* If the whole ring is not enough, it never will be. */
		if (taken == TAKE_EMPTY)
			return w->nr_buffers == w->nq->core.ring.size ? PUSH_DROPPED : PUSH_FULL;
		if (taken == TAKE_OK || w->nr_buffers)
			break;
		push_pass_over(w, c);
	}
	w->nr_buffers++;
	w->current = c;
	w->in_current = 0;
	w->pos = chain_writable(c);
	if (taken == TAKE_BAD)
		w->pos.span = w->pos.end;
	return PUSH_DONE;
}

/* 5.1.6.4.1: every buffer but the last is filled. */
static enum push_result
push_bytes(struct push_writer *w, const uint8_t *src, uint32_t len)
{
	while (len) {
		uint32_t done = w->current ? chain_copy_in(&w->pos, src, len) : 0;
		enum push_result result;

		w->in_current += done;
		src += done;
		len -= done;
		if (!len)
			break;
		result = push_next_chain(w);
		if (result != PUSH_DONE)
			return result;
	}
	return PUSH_DONE;
}

/* num_buffers is known only now. The header may lie in pieces, so it is found again. */
static void
push_end_packet(struct push_writer *w)
{
	push_finish_chain(w);
	if (w->nr_buffers > 1) {
		struct chain_pos pos = chain_writable(&w->first);
		le16 nr_buffers = le16_put(w->nr_buffers);
		uint8_t before[VIRTIO_NET_HDR_LEN_LEGACY];

		chain_copy_out(&pos, before, sizeof(before));
		chain_copy_in(&pos, &nr_buffers, sizeof(nr_buffers));
		push_mark_chain(w, &w->first, VIRTIO_NET_HDR_LEN);
	}
	w->nr_buffers = 0;
}

static enum push_result
push_packet(struct push_writer *w, const struct rte_mbuf *m, const struct offload_head *head)
{
	enum push_result result = push_bytes(w, (const uint8_t *)&head->hdr, w->nq->hdr_len);
	uint32_t skip = head->from, left = head->rest;

	if (result == PUSH_DONE)
		result = push_bytes(w, head->bytes, head->len);
	for (; m && left && result == PUSH_DONE; m = m->next) {
		uint32_t skipped = RTE_MIN(skip, (uint32_t)m->data_len);
		uint32_t part = RTE_MIN(left, m->data_len - skipped);

		skip -= skipped;
		left -= part;
		result = push_bytes(w, rte_pktmbuf_mtod_offset(m, const uint8_t *, skipped), part);
	}
	if (result == PUSH_DONE)
		push_end_packet(w);
	return result;
}

/*
 * All segments or none, so that a full ring can be waited for. But what may not fit even an empty
 * ring - drivers without indirect tables take two descriptors a buffer - is not waited for.
 */
static enum push_result
push_segments(struct push_writer *w, const struct rte_mbuf *m, const struct offload_head *whole)
{
	enum push_result result = PUSH_DONE;

	if (whole->nr_segments > w->nq->core.ring.size / 2)
		return PUSH_DROPPED;
	for (uint16_t i = 0; i < whole->nr_segments && result == PUSH_DONE; i++) {
		struct offload_head segment;

		vhc_net_gso_segment(w->nq, m, whole, i, &segment);
		result = push_packet(w, m, &segment);
	}
	return result;
}

static void
push_count(struct net_queue *nq, const struct rte_mbuf *m, const struct offload_head *head)
{
	uint32_t len = offload_frame_len(head);
	uint8_t dst[6];
	const uint8_t *frame = rte_pktmbuf_read(m, 0, sizeof(dst), dst);

	if (!head->nr_segments) {
		stats_one(&nq->stats, frame, len);
		stats_add(&nq->stats.gso, head->hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE);
		return;
	}
	stats_add(&nq->stats.sw_gso, 1);
	for (uint16_t i = 0; i < head->nr_segments; i++)
		stats_one(&nq->stats, frame, vhc_net_gso_segment_len(m, head, i));
}

/* Everything is in place: the buffers are the driver's. */
static void
push_complete(struct push_writer *w)
{
	for (uint16_t i = 0; i < w->nr_filled; i++)
		net_give(w->nq, w->marks, &w->mark, w->filled[i].id, w->filled[i].len,
			 w->filled[i].nr_slots);
}

/* Before any chain is touched: requests that make no sense, packets no guest takes. */
static bool
push_prepare(struct net_queue *nq, struct rte_mbuf *m, struct offload_head *head)
{
	uint32_t tag_len = m->ol_flags & RTE_MBUF_F_TX_VLAN ? RTE_VLAN_HLEN : 0;

	head->hdr = (struct virtio_net_hdr){
		.flags = push_flags(nq->csum, m->ol_flags),
		.num_buffers = le16_put(1),
	};
	head->len = head->from = 0;
	head->rest = m->pkt_len;
	head->nr_segments = 0;
	if (m->pkt_len < NET_FRAME_MIN) {
		stats_add(&nq->stats.too_short, 1);
		return false;
	}
	if (m->pkt_len > NET_FRAME_MAX - tag_len) {
		stats_add(&nq->stats.too_long, 1);
		return false;
	}
	if ((m->ol_flags & OFFLOAD_TX_FLAGS) && !vhc_net_offload_prepare(nq, m, head)) {
		stats_add(&nq->stats.bad_offload, 1);
		return false;
	}
	return true;
}

static VHC_COLD enum push_result
push_one(struct net_queue *nq, struct rte_mbuf *m, struct net_marks *marks)
{
	struct offload_head head;
	struct push_writer w;
	enum push_result result;

	if (!push_prepare(nq, m, &head))
		return PUSH_DROPPED;
	w.nq = nq;
	w.marks = marks;
	w.current = NULL;
	w.mark = net_mark(nq);
	w.nr_buffers = w.nr_filled = 0;
	if (head.nr_segments)
		result = push_segments(&w, m, &head);
	else
		result = push_packet(&w, m, &head);
	if (result == PUSH_DONE) {
		push_complete(&w);
		push_count(nq, m, &head);
		return PUSH_DONE;
	}
	net_untake(nq, w.mark);
	if (result == PUSH_DROPPED)
		stats_add(&nq->stats.too_long, 1);
	return result;
}

/* ---- the burst ------------------------------------------------------------------------------ */

static VHC_HOT uint16_t
push_burst(struct vhc_queue *q, struct rte_mbuf **mbufs, uint16_t n, struct push_kind k)
{
	struct net_queue *nq = net_queue_of(q);
	struct net_marks space, *marks = k.logs ? &space : NULL;
	bool more = ring_ready(&q->ring, k.ring);
	uint16_t nr_done = 0;

	if (k.logs)
		net_marks_begin(&space);

	while (nr_done < n && more) {
		uint16_t nr_wanted = RTE_MIN((uint16_t)(n - nr_done), NET_RUN);
		uint16_t nr_taken = push_run(nq, k, mbufs + nr_done, nr_wanted, marks);

		nr_done += nr_taken;
		if (vhc_likely(nr_taken))
			continue;
		more = ring_more(&q->ring, k.ring);
		if (!more || push_one(nq, mbufs[nr_done], marks) == PUSH_FULL)
			break;
		if (!k.keeps)
			rte_pktmbuf_free(mbufs[nr_done]);
		nr_done++;
	}
	net_publish(nq, k.ring, marks);
	if (vhc_unlikely(nr_done < n))
		stats_add(&nq->stats.ring_full, 1);
	return nr_done;
}

/* What is taken is noted: one packet after the other, whatever was negotiated. */
static uint16_t
push_tracked(struct vhc_queue *q, void **mbufs, uint16_t n)
{
	struct net_queue *nq = net_queue_of(q);
	struct net_marks space, *marks = net_marks_of(nq, &space);
	bool more = vhc_net_track_begin(nq);
	uint16_t nr_done = 0;

	for (; nr_done < n && more && net_has_more(nq); nr_done++) {
		if (push_one(nq, mbufs[nr_done], marks) == PUSH_FULL)
			break;
		if (!nq->keeps)
			rte_pktmbuf_free(mbufs[nr_done]);
	}
	vhc_net_track_end(nq, marks);
	if (nr_done < n)
		stats_add(&nq->stats.ring_full, 1);
	return nr_done;
}

#define PUSH_BURST_OF(name, ring, hdr_len, csum, keeps, logs) \
	static uint16_t name(struct vhc_queue *q, void **mbufs, uint16_t n) \
	{ \
		return push_burst(q, (struct rte_mbuf **)mbufs, n, \
				  (struct push_kind){ ring, hdr_len, csum, keeps, logs }); \
	}
#define PUSH_BURST(name, ring, hdr_len, csum) \
	PUSH_BURST_OF(name, ring, hdr_len, csum, false, false) \
	PUSH_BURST_OF(name##_keep, ring, hdr_len, csum, true, false)
/* While a guest is moved: for each layout and header, whatever was negotiated. */
#define PUSH_BURST_LOGGED(name, ring, hdr_len) \
	PUSH_BURST_OF(name, ring, hdr_len, true, false, true) \
	PUSH_BURST_OF(name##_keep, ring, hdr_len, true, true, true)

PUSH_BURST(push_split, RING_SPLIT, VIRTIO_NET_HDR_LEN, false)
PUSH_BURST(push_split_csum, RING_SPLIT, VIRTIO_NET_HDR_LEN, true)
PUSH_BURST(push_split_legacy, RING_SPLIT, VIRTIO_NET_HDR_LEN_LEGACY, true)
PUSH_BURST(push_packed, RING_PACKED, VIRTIO_NET_HDR_LEN, false)
PUSH_BURST(push_packed_csum, RING_PACKED, VIRTIO_NET_HDR_LEN, true)

PUSH_BURST_LOGGED(push_split_logged, RING_SPLIT, VIRTIO_NET_HDR_LEN)
PUSH_BURST_LOGGED(push_split_legacy_logged, RING_SPLIT, VIRTIO_NET_HDR_LEN_LEGACY)
PUSH_BURST_LOGGED(push_packed_logged, RING_PACKED, VIRTIO_NET_HDR_LEN)

/* Of the two with one name. */
#define PUSH_CHOICE(nq, name) ((nq)->keeps ? name##_keep : name)

static vhc_burst_t
push_logged(const struct net_queue *nq)
{
	if (nq->core.ring.kind == RING_PACKED)
		return PUSH_CHOICE(nq, push_packed_logged);
	if (nq->hdr_len == VIRTIO_NET_HDR_LEN_LEGACY)
		return PUSH_CHOICE(nq, push_split_legacy_logged);
	return PUSH_CHOICE(nq, push_split_logged);
}

vhc_burst_t NET_KERNEL_NAME(vhc_net_push_burst)(const struct net_queue *nq);

vhc_burst_t
NET_KERNEL_NAME(vhc_net_push_burst)(const struct net_queue *nq)
{
	if (nq->tracks)
		return push_tracked;
	if (nq->log)
		return push_logged(nq);
	if (nq->core.ring.kind == RING_PACKED)
		return nq->csum ? PUSH_CHOICE(nq, push_packed_csum) : PUSH_CHOICE(nq, push_packed);
	if (nq->hdr_len == VIRTIO_NET_HDR_LEN_LEGACY)
		return PUSH_CHOICE(nq, push_split_legacy);
	return nq->csum ? PUSH_CHOICE(nq, push_split_csum) : PUSH_CHOICE(nq, push_split);
}
