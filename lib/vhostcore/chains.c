/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chains.c - requests as buffers, for who makes a device of his own: take, give, publish.
 *
 * Knows:   queues, rings, in-flight notes, the dirty log.
 * Trusts:  nothing from the ring; the application as chains.h says.
 * Runs on: polling thread; catch_up and free on the control thread.
 */
#include "chains.h"

#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "ring/inflight.h"
#include "ring/verbs.h"

_Static_assert(sizeof(struct span) == sizeof(struct iovec) &&
	       offsetof(struct span, ptr) == offsetof(struct iovec, iov_base) &&
	       offsetof(struct span, len) == offsetof(struct iovec, iov_len), "copied as they are");

/* ---- chains that are free ------------------------------------------------------------------- */

static VHC_COLD struct chain_item *
item_make(struct chain_queue *cq)
{
	struct chain_item *item = calloc(1, sizeof(*item));

	if (!item)
		return NULL;
	item->pieces = item->few;
	item->nr_room = CHAIN_FEW;
	item->next_made = cq->made;
	cq->made = item;
	return item;
}

static struct chain_item *
item_get(struct chain_queue *cq)
{
	struct chain_item *item;

	if (vhc_unlikely(!cq->free) && ld_relaxed(&cq->recycled))
		cq->free = exchange(&cq->recycled, NULL);
	item = cq->free;
	if (vhc_unlikely(!item))
		return item_make(cq);
	cq->free = item->next;
	return item;
}

static void
item_put(struct chain_queue *cq, struct chain_item *item)
{
	item->next = cq->free;
	cq->free = item;
}

/* Room for `nr` pieces: it stays with the chain, so that soon no chain needs more. */
static VHC_COLD bool
item_grow(struct chain_item *item, uint32_t nr)
{
	struct iovec *pieces;
	uint32_t room = item->nr_room;

	while (room < nr)
		room *= 2;
	pieces = malloc(room * sizeof(*pieces));
	if (!pieces)
		return false;
	if (item->pieces != item->few)
		free(item->pieces);
	item->pieces = pieces;
	item->nr_room = room;
	return true;
}

/* What a chain counted on it counts on no more. The order of the last two is for who waits. */
static void
item_is_back(struct chain_queue *cq, struct chain_item *item)
{
	st_release(&item->memory->nr_back, item->memory->nr_back + 1);
	item_put(cq, item);
	st_release(&cq->nr_back, cq->nr_back + 1);
}

void
vhc_chains_free(struct chain_queue *cq)
{
	while (cq->made) {
		struct chain_item *item = cq->made;

		cq->made = item->next_made;
		if (item->pieces != item->few)
			free(item->pieces);
		free(item);
	}
}

/* ---- take ----------------------------------------------------------------------------------- */

static bool
item_fill(struct chain_item *item, const struct chain *c)
{
	if (vhc_unlikely(c->nr_spans > item->nr_room) && !item_grow(item, c->nr_spans))
		return false;
	memcpy(item->pieces, c->spans, c->nr_spans * sizeof(c->spans[0]));
	item->chain = (struct vhc_chain){
		.readable = item->pieces,
		.writable = item->pieces + c->nr_readable,
		.nr_readable = c->nr_readable,
		.nr_writable = c->nr_spans - c->nr_readable,
		.readable_len = c->read_len,
		.writable_len = c->write_len,
		.id = c->id,
	};
	return true;
}

/* It has no pieces: nobody is going to look at them. */
static void
item_fill_bad(struct chain_item *item, const struct chain *c)
{
	item->chain = (struct vhc_chain){ .id = c->id };
}

/* From now on it is out. */
static VHC_HOT void
item_is_taken(struct chain_queue *cq, struct chain_item *item, uint16_t entry)
{
	item->nr_slots = cq->scratch.nr_slots;
	item->entry = entry;
	item->is_given = false;
	item->memory = cq->memory;
	st_release(&cq->memory->nr_taken, cq->memory->nr_taken + 1);
	st_release(&cq->nr_taken, cq->nr_taken + 1);
	cq->in_order = cq->core.ring.in_order;
	if (cq->in_order)
		chain_list_put(&cq->order, item);
}

/*
 * A driver that makes available what it has not got back yet could have us hold any number of
 * chains. A packed ring has no room for that.
 */
static VHC_HOT bool
is_beyond_ring(struct chain_queue *cq)
{
	struct ring *r = &cq->core.ring;

	if (vhc_likely(chain_nr_held(cq) < r->size))
		return false;
	if (!r->broken)
		vhc_ring_break(r, RING_FAULT_AVAIL_IDX);
	return true;
}

static VHC_HOT enum take
take_one(struct chain_queue *cq, struct chain_item *item, enum ring_kind kind)
{
	struct ring *r = &cq->core.ring;
	struct ring_mark mark = ring_mark(r);
	uint16_t entry = 0;
	enum take taken;

	if (!ring_more(r, kind) || is_beyond_ring(cq))
		return TAKE_EMPTY;
	taken = ring_take(r, kind, &cq->scratch);
	if (taken == TAKE_EMPTY)
		return TAKE_EMPTY;
	if (vhc_unlikely(taken == TAKE_BAD)) {
		item_fill_bad(item, &cq->scratch);
	} else if (vhc_unlikely(!item_fill(item, &cq->scratch))) {
		ring_untake(r, mark);
		return TAKE_EMPTY;
	}
	if (cq->core.inflight)
		entry = vhc_inflight_take(cq->core.inflight, r, mark.idx, cq->scratch.id,
					  cq->scratch.nr_slots);
	item_is_taken(cq, item, entry);
	return taken;
}

/* As take_one(), of what an earlier back-end took. No memory: nothing was taken, ask again. */
static VHC_COLD enum take
take_again(struct chain_queue *cq, struct chain_item *item)
{
	struct inflight *f = cq->core.inflight;
	enum take taken;
	uint16_t entry;

	if (!f || !vhc_inflight_resubmit(f, &cq->core.ring, &cq->scratch, &taken, &entry))
		return TAKE_EMPTY;
	if (taken == TAKE_BAD) {
		item_fill_bad(item, &cq->scratch);
	} else if (!item_fill(item, &cq->scratch)) {
		f->nr_resubmitted--;
		return TAKE_EMPTY;
	}
	item->chain.is_resubmitted = true;
	item_is_taken(cq, item, entry);
	return taken;
}

static void publish_inside(struct chain_queue *cq, enum ring_kind kind);
static void give(struct chain_queue *cq, struct chain_item *item, uint32_t written);

static VHC_HOT uint16_t
take_burst(struct chain_queue *cq, struct vhc_chain **chains, uint16_t n, enum ring_kind kind)
{
	bool again = vhc_unlikely(!inflight_is_resubmitted(cq->core.inflight));
	bool any_bad = false;
	uint16_t nr = 0;

	if (!again && !ring_ready(&cq->core.ring, kind))
		return 0;
	while (nr < n) {
		struct chain_item *item = item_get(cq);
		enum take taken;

		if (vhc_unlikely(!item))
			break;
		taken = again ? take_again(cq, item) : take_one(cq, item, kind);
		if (vhc_likely(taken == TAKE_OK)) {
			chains[nr++] = &item->chain;
		} else if (taken == TAKE_BAD) {
			give(cq, item, 0);
			any_bad = true;
		} else {
			item_put(cq, item);
			if (!again || !inflight_is_resubmitted(cq->core.inflight))
				break;
			again = false;
			if (!ring_ready(&cq->core.ring, kind))
				break;
		}
	}
	if (vhc_unlikely(any_bad))
		publish_inside(cq, kind);
	if (vhc_unlikely(cq->core.idle == RING_IDLE_NEVER))
		vhc_chains_choose(cq);
	return nr;
}

static uint16_t
take_split_burst(struct vhc_queue *q, void **chains, uint16_t n)
{
	return take_burst(chain_queue_of(q), (struct vhc_chain **)chains, n, RING_SPLIT);
}

static uint16_t
take_packed_burst(struct vhc_queue *q, void **chains, uint16_t n)
{
	return take_burst(chain_queue_of(q), (struct vhc_chain **)chains, n, RING_PACKED);
}

/* The ring cannot tell of what is to be done again. */
void
vhc_chains_choose(struct chain_queue *cq)
{
	bool packed = cq->core.ring.kind == RING_PACKED;

	cq->core.burst = packed ? take_packed_burst : take_split_burst;
	cq->core.idle = packed ? RING_IDLE_PACKED : RING_IDLE_SPLIT;
	if (!inflight_is_resubmitted(cq->core.inflight))
		cq->core.idle = RING_IDLE_NEVER;
}

/* Most polls find nothing: those touch one cache line of ours. */
VHC_API uint16_t
vhc_queue_take(struct vhc_queue *q, struct vhc_chain **chains, uint16_t n)
{
	uint16_t nr = 0;

	if (vhc_unlikely(!gate_enter(&q->gate)))
		return 0;
	if (!ring_idle(&q->ring, q->idle) && !chain_queue_of(q)->is_draining)
		nr = q->burst(q, (void **)chains, n);
	gate_leave(&q->gate);
	return nr;
}

/* ---- give ----------------------------------------------------------------------------------- */

static void
give(struct chain_queue *cq, struct chain_item *item, uint32_t written)
{
	vhc_assert(!item->is_given && written <= item->chain.writable_len);
	item->written = written;
	item->is_given = true;
	st_release(&cq->nr_given, cq->nr_given + 1);
	if (!cq->in_order)
		chain_list_put(&cq->ready, item);
}

VHC_API void
vhc_queue_give(struct vhc_queue *q, struct vhc_chain *chain, uint32_t written)
{
	give(chain_queue_of(q), vhc_container_of(chain, struct chain_item, chain), written);
}

/* 2.7.9, 2.8.9: with IN_ORDER one that was done early waits for those before it. */
static void
collect_in_order(struct chain_queue *cq)
{
	while (cq->order.first && cq->order.first->is_given) {
		struct chain_item *item = cq->order.first;

		cq->order.first = item->next;
		chain_list_put(&cq->ready, item);
	}
}

VHC_API uint16_t
vhc_queue_nr_taken(const struct vhc_queue *q)
{
	const struct chain_queue *cq = vhc_container_of(q, const struct chain_queue, core);
	uint32_t nr_given = ld_acquire(&cq->nr_given);

	return (uint16_t)(ld_acquire(&cq->nr_taken) - nr_given);
}

/* ---- publish: inside the gate, or behind it when it is closed ------------------------------- */

static VHC_COLD void
log_written(struct chain_queue *cq, const struct chain_item *item)
{
	uint32_t left = item->written;

	for (uint32_t i = 0; left; i++) {
		const struct iovec *piece = &item->chain.writable[i];
		uint32_t len = piece->iov_len < left ? (uint32_t)piece->iov_len : left;

		vhc_device_log_host(cq->core.dev, item->memory->map, piece->iov_base, len);
		left -= len;
	}
}

/* All of the used part: pages are what counts, and it has few. */
static VHC_COLD void
log_used(struct chain_queue *cq)
{
	const struct ring *r = &cq->core.ring;
	uint64_t len = r->size * (uint64_t)sizeof(struct virtq_packed_desc);

	if (r->kind == RING_SPLIT)
		len = sizeof(struct virtq_used) + r->size * sizeof(struct virtq_used_elem);
	vhc_queue_log_used(&cq->core, 0, len);
}

/* Whether anything is logged is asked after the stores: see mem/dirty_log.h. */
static VHC_HOT bool
is_logging(const struct chain_queue *cq)
{
	fence_compiler();	/* [E] */
	return vhc_unlikely(ld_acquire(&cq->core.dev->dirty.active) != NULL);
}

static VHC_HOT void
make_visible(struct chain_queue *cq, enum ring_kind kind)
{
	struct inflight *f = cq->core.inflight;
	struct ring *r = &cq->core.ring;
	bool wants_call;

	if (f && kind == RING_PACKED)
		vhc_inflight_begin(f, slot_after(r, r->used, r->nr_staged));
	wants_call = ring_publish(r, kind);
	if (f)
		vhc_inflight_end(f, r->used);
	if (is_logging(cq))
		log_used(cq);
	if (!wants_call)
		return;
	if (cq->core.duty.interval)
		vhc_queue_call_later(&cq->core);
	else
		ring_call(r);
}

/*
 * Write the entries of a list of chains and make them the driver's. Where a packed ring is tracked,
 * one after the other: were we to end in the middle of a batch, the entries behind its first one
 * would stay, and look used to a driver that gets there before whoever comes after us.
 */
static VHC_HOT void
write_list(struct chain_queue *cq, struct chain_item *list, enum ring_kind kind)
{
	struct inflight *f = cq->core.inflight;
	struct ring *r = &cq->core.ring;

	for (struct chain_item *item = list; item; item = item->next) {
		if (f && kind == RING_PACKED && r->nr_staged)
			make_visible(cq, kind);
		if (is_logging(cq))
			log_written(cq, item);
		ring_give(r, kind, item->chain.id, item->written, item->nr_slots);
		if (f)
			vhc_inflight_give(f, item->entry);
	}
	make_visible(cq, kind);
}

/* Chains that are back, whatever became of them. */
static VHC_HOT void
list_is_back(struct chain_queue *cq, struct chain_item *list)
{
	while (list) {
		struct chain_item *item = list;

		list = item->next;
		item_is_back(cq, item);
	}
	fence_compiler();	/* [W] pairs with vhc_gate_fence() of who begins to wait */
	if (vhc_unlikely(ld_acquire(&cq->is_awaited)))
		fd_signal(cq->core.dev->done_fd);
}

static VHC_HOT struct chain_item *
take_ready(struct chain_queue *cq)
{
	struct chain_item *list;

	if (cq->in_order)
		collect_in_order(cq);
	list = cq->ready.first;
	cq->ready.first = NULL;
	return list;
}

/* Inside the gate: first what could not be published before. */
static VHC_HOT void
publish_list(struct chain_queue *cq, struct chain_item *list, enum ring_kind kind)
{
	struct chain_item *late = ld_relaxed(&cq->late) ? exchange(&cq->late, NULL) : NULL;

	if (vhc_unlikely(late)) {
		write_list(cq, late, kind);
		list_is_back(cq, late);
	}
	if (!list)
		return;
	write_list(cq, list, kind);
	list_is_back(cq, list);
}

static void
publish_inside(struct chain_queue *cq, enum ring_kind kind)
{
	publish_list(cq, take_ready(cq), kind);
}

static void
publish_list_of_kind(struct chain_queue *cq, struct chain_item *list)
{
	if (cq->core.ring.kind == RING_PACKED)
		publish_list(cq, list, RING_PACKED);
	else
		publish_list(cq, list, RING_SPLIT);
}

/* Behind what is there already. Only the poller puts something there. */
static void
leave_late(struct chain_queue *cq, struct chain_item *list)
{
	struct chain_item *before = exchange(&cq->late, NULL), *end = before;

	if (before) {
		while (end->next)
			end = end->next;
		end->next = list;
		list = before;
	}
	(void)exchange(&cq->late, list);
}

/*
 * [P] Either we see that control has opened the gate since, or ended the ring; or it sees, when it
 * does so, what we left.
 */
static VHC_COLD void
publish_outside(struct chain_queue *cq, struct chain_item *list)
{
	leave_late(cq, list);
	fence_full();
	if (gate_enter(&cq->core.gate)) {
		publish_list_of_kind(cq, NULL);
		gate_leave(&cq->core.gate);
	} else if (ld_acquire(&cq->is_over)) {
		list_is_back(cq, exchange(&cq->late, NULL));
	}
}

VHC_API void
vhc_queue_publish(struct vhc_queue *q)
{
	struct chain_queue *cq = chain_queue_of(q);
	struct chain_item *list = take_ready(cq);

	if (list && vhc_likely(gate_enter(&q->gate))) {
		publish_list_of_kind(cq, list);
		gate_leave(&q->gate);
	} else if (list) {
		publish_outside(cq, list);
	}
}

/* ---- what control does of it ---------------------------------------------------------------- */

/* The poller's books are not ours: what is back goes where the poller finds it. */
void
vhc_chains_catch_up(struct chain_queue *cq)
{
	struct chain_item *list = exchange(&cq->late, NULL), *item = list, *last = NULL;
	uint32_t nr = 0;

	if (!list)
		return;
	if (!cq->is_over) {
		if (cq->core.ring.kind == RING_PACKED)
			write_list(cq, list, RING_PACKED);
		else
			write_list(cq, list, RING_SPLIT);
	}
	for (; item; item = item->next) {
		st_release(&item->memory->nr_back_late, item->memory->nr_back_late + 1);
		last = item;
		nr++;
	}
	/* The poller only ever takes all of it, so nothing can come between. */
	last->next = exchange(&cq->recycled, NULL);
	(void)exchange(&cq->recycled, list);
	st_release(&cq->nr_back_late, cq->nr_back_late + nr);
	/* Who waits need not be who opens the gate just now. */
	if (cq->is_awaited)
		fd_signal(cq->core.dev->done_fd);
}

/* ---- bytes ---------------------------------------------------------------------------------- */

/* Pass over `offset` bytes; false: there are not so many. */
static bool
find_place(const struct iovec **piece, const struct iovec *end, uint32_t *offset)
{
	while (*piece < end && *offset >= (*piece)->iov_len) {
		*offset -= (uint32_t)(*piece)->iov_len;
		(*piece)++;
	}
	return *piece < end;
}

VHC_API uint32_t
vhc_chain_read(const struct vhc_chain *chain, uint32_t offset, void *to, uint32_t len)
{
	const struct iovec *piece = chain->readable, *end = piece + chain->nr_readable;
	uint32_t done = 0;

	while (done < len && find_place(&piece, end, &offset)) {
		uint32_t room = (uint32_t)piece->iov_len - offset, part = len - done;

		part = part < room ? part : room;
		memcpy((uint8_t *)to + done, (const uint8_t *)piece->iov_base + offset, part);
		done += part;
		offset += part;
	}
	return done;
}

VHC_API uint32_t
vhc_chain_write(struct vhc_chain *chain, uint32_t offset, const void *from, uint32_t len)
{
	const struct iovec *piece = chain->writable, *end = piece + chain->nr_writable;
	uint32_t done = 0;

	while (done < len && find_place(&piece, end, &offset)) {
		uint32_t room = (uint32_t)piece->iov_len - offset, part = len - done;

		part = part < room ? part : room;
		memcpy((uint8_t *)piece->iov_base + offset, (const uint8_t *)from + done, part);
		done += part;
		offset += part;
	}
	return done;
}
