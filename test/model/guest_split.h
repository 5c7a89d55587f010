/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest_split.h - the driver's half of a split ring.
 *
 * Knows:   virtio 1.2 section 2.7, from the other side; guest.h.
 * Trusts:  nothing the device gives back: each used entry must be a chain it holds.
 * Runs on: the test's thread.
 *
 * post, publish, collect are what an honest driver does. To lie, post an honest chain and spoil
 * it through d->desc, d->avail or the indirect table before publishing.
 */
#ifndef TEST_MODEL_GUEST_SPLIT_H
#define TEST_MODEL_GUEST_SPLIT_H

#include "guest.h"
#include "ring/setup.h"

/* One descriptor's worth of guest memory. */
struct piece {
	uint64_t at;
	uint32_t len;
	bool writable;
};

struct driver {
	struct guest *guest;
	uint16_t size;
	bool event_idx;
	uint64_t desc_at;
	uint64_t avail_at;
	uint64_t used_at;

	/* the ring itself, where the driver sees it */
	struct virtq_desc *desc;
	struct virtq_avail *avail;
	struct virtq_used *used;

	/* the driver's own books */
	uint16_t avail_idx;	/* next entry to fill; publish makes it known */
	uint16_t seen_idx;	/* next used entry to look at */
	uint16_t nr_free;
	uint16_t *free;		/* descriptors not in any chain, in no order */
	uint16_t *chain_next;	/* links of posted chains, whatever desc[].next says now */
	uint16_t *chain_len;	/* descriptors in the chain that begins here; 0: none does */
};

struct used_entry {
	uint32_t id;
	uint32_t len;
};

/* A ring of `size` at guest address `at`, its indices beginning at `first_idx`. */
void driver_init(struct driver *d, struct guest *g, uint64_t at, uint16_t size, bool event_idx,
		 uint16_t first_idx);
void driver_fini(struct driver *d);

/* Bytes of guest memory such a ring takes. */
uint64_t driver_ring_len(uint16_t size);

/* What a front-end would say of the ring. */
struct ring_claim driver_claim(const struct driver *d, bool indirect);

/* Make a chain and put it on the available ring, not yet published. Returns its id. */
uint16_t driver_post(struct driver *d, const struct piece *pieces, unsigned int nr);

/*
 * The same, but only the first `nr_direct` pieces get a descriptor of the ring; the others go into
 * an indirect table at `table_at`, which the last descriptor names.
 */
uint16_t driver_post_indirect(struct driver *d, const struct piece *pieces, unsigned int nr,
			      unsigned int nr_direct, uint64_t table_at);

/* Put any number on the available ring. */
void driver_make_available(struct driver *d, uint16_t id);

/* Tell the device of everything posted. */
void driver_publish(struct driver *d);

/* The next used entry, its chain free again. False: none. */
bool driver_collect(struct driver *d, struct used_entry *used);

/*
 * All writable bytes of a chain, as they are now; until the next post also of one just collected.
 * Returns how many there are.
 */
uint32_t driver_read_writable(const struct driver *d, uint16_t id, uint8_t *dst);

/* Used entries not collected yet. */
uint16_t driver_nr_used(const struct driver *d);

/* Interrupts: wanted at all (no EVENT_IDX), or when the used index passes `event` (EVENT_IDX). */
void driver_want_calls(struct driver *d, bool on);
void driver_want_call_at(struct driver *d, uint16_t event);

/* What the device wrote: kicks refused (no EVENT_IDX), entry to kick at (EVENT_IDX). */
bool driver_kicks_refused(const struct driver *d);
uint16_t driver_kick_event(const struct driver *d);

#endif
