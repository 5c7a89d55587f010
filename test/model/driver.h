/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * driver.h - the driver's side of a ring, whatever its layout.
 *
 * Knows:   that there are two layouts; guest.h.
 * Trusts:  nothing the device gives back: each used entry must be a chain it holds.
 * Runs on: the test's thread.
 *
 * post, publish, collect are what an honest driver does. To lie, post an honest chain and spoil
 * it through driver_desc(), the ring itself or the indirect table before publishing.
 */
#ifndef TEST_MODEL_DRIVER_H
#define TEST_MODEL_DRIVER_H

#include "guest.h"
#include "ring/setup.h"

/* One descriptor's worth of guest memory. */
struct piece {
	uint64_t at;
	uint32_t len;
	bool writable;
};

struct used_entry {
	uint32_t id;
	uint32_t len;
};

struct driver_conf {
	enum ring_kind kind;
	uint16_t size;
	uint16_t first;		/* split: both indices; packed: slot, bit 15 the wrap counters */
	bool event_idx;
	bool in_order;
	bool in_sequence;	/* chains begin as neighbours in the table, as drivers' do */
	bool is_lenient;	/* WRITE of used entries may be missing, as drivers tolerate */
};

/* A packed ring as it is after a reset: slot 0, both wrap counters 1. */
#define DRIVER_PACKED_FRESH 0x8000

struct driver {
	const struct driver_half *half;
	struct guest *guest;
	enum ring_kind kind;
	uint16_t size;
	bool event_idx;
	bool in_order;
	bool is_lenient;
	uint64_t desc_at;
	uint64_t avail_at;
	uint64_t used_at;

	/* the ring itself, where the driver sees it */
	union {
		struct virtq_desc *desc;
		struct virtq_packed_desc *packed;
	};
	union {
		struct virtq_avail *avail;
		struct virtq_event *driver_event;
	};
	union {
		struct virtq_used *used;
		struct virtq_event *device_event;
	};

	/* the driver's own books */
	uint16_t nr_free;	/* descriptors not in any chain */
	uint16_t *free;		/* numbers for chains, in no order */
	uint16_t *chain_len;	/* descriptors in the chain of this id; 0: none is posted */
	uint16_t *order;	/* IN_ORDER: ids as they were posted, the oldest at order_first */
	uint16_t order_first;
	uint16_t nr_order;
	uint16_t batch_left;	/* IN_ORDER: chains of a batch not collected yet */
	uint32_t batch_len;	/* ... and what its entry said of the last one */

	/* split */
	uint16_t avail_idx;	/* next entry to fill; publish makes it known */
	uint16_t announced_idx;	/* where it was before the last publish */
	uint16_t seen_idx;	/* next used entry to look at */
	uint16_t next_slot;	/* IN_ORDER: 2.7.9 wants them in table order */
	uint16_t *chain_next;	/* links of posted chains, whatever desc[].next says now */

	/* packed */
	struct ring_mark next;		/* where the next chain goes */
	struct ring_mark published;	/* before it everything is known to the device */
	struct ring_mark announced;	/* where that was before the last publish */
	struct ring_mark seen;		/* where the next used entry comes */
	uint16_t nr_free_ids;
	uint16_t *chain_head;		/* slot where the chain of this id begins */
	struct virtq_packed_desc *posted; /* as posted: used entries overwrite the ring */
};

void driver_init(struct driver *d, struct guest *g, uint64_t at, const struct driver_conf *conf);
void driver_fini(struct driver *d);

/* What a front-end would say of the ring, and of where to begin. */
struct ring_claim driver_claim(const struct driver *d, bool indirect);
uint32_t driver_base(const struct driver *d);

/* Make a chain, not yet published. Returns its id. */
uint16_t driver_post(struct driver *d, const struct piece *pieces, unsigned int nr);

/*
 * The same, but only the first `nr_direct` pieces get a descriptor of the ring; the others go into
 * an indirect table at `table_at`, which the last descriptor names. In a packed ring the table
 * stands alone (2.8.7.1): all pieces go into it.
 */
uint16_t driver_post_indirect(struct driver *d, const struct piece *pieces, unsigned int nr,
			      unsigned int nr_direct, uint64_t table_at);

/* Tell the device of everything posted. */
void driver_publish(struct driver *d);

/* The next used buffer, its chain free again; of an IN_ORDER batch one after another. */
bool driver_collect(struct driver *d, struct used_entry *used);

/*
 * All writable bytes of a chain, as they are now; until the next post also of one just collected.
 * Returns how many there are.
 */
uint32_t driver_read_writable(const struct driver *d, uint16_t id, uint8_t *dst);

/* Used buffers not collected yet. */
uint16_t driver_nr_used(const struct driver *d);

/*
 * Interrupts: wanted at all; or, with EVENT_IDX, when `event` is passed: an index, for a packed
 * ring a slot with its wrap counter in bit 15. driver_event_after() is the event `n` buffers of one
 * descriptor from where the driver is now.
 */
void driver_want_calls(struct driver *d, bool on);
void driver_want_call_at(struct driver *d, uint16_t event);
uint16_t driver_event_after(const struct driver *d, uint16_t n);

/* What the device wrote: kicks refused, entry to kick at (EVENT_IDX; encoded as above). */
bool driver_kicks_refused(const struct driver *d);
uint16_t driver_kick_event(const struct driver *d);

/* Whether, after driver_publish(), the device must be told of what that made available. */
bool driver_must_kick(const struct driver *d);

/* ---- for lies ------------------------------------------------------------------------------- */

/* A descriptor in a ring or table of either layout: they agree on address and length. */
union driver_desc {
	struct {
		le64 addr;
		le32 len;
	};
	struct virtq_desc split;
	struct virtq_packed_desc packed;
};

/* Descriptor `n` of a posted chain, and a descriptor's flags. Flags may be overwritten whole. */
union driver_desc *driver_desc(const struct driver *d, uint16_t id, uint16_t n);
le16 *driver_desc_flags(const struct driver *d, union driver_desc *desc);

/* Make everything look available, whatever the books say. */
void driver_insist(struct driver *d);

#endif
