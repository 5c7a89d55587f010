/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * driver_half.h - what each layout does for driver.h, and the books they share.
 *
 * Knows:   driver.h.
 * Trusts:  nothing to trust.
 * Runs on: the test's thread.
 */
#ifndef TEST_MODEL_DRIVER_HALF_H
#define TEST_MODEL_DRIVER_HALF_H

#include "driver.h"

/* The verbs of driver.h that depend on the layout, under the same names. */
struct driver_half {
	void (*init)(struct driver *d, uint64_t at, uint16_t first);
	void (*fini)(struct driver *d);
	uint32_t (*base)(const struct driver *d);
	uint16_t (*post)(struct driver *d, const struct piece *pieces, unsigned int nr,
			 unsigned int nr_direct, uint64_t table_at);
	void (*publish)(struct driver *d);
	bool (*collect)(struct driver *d, struct used_entry *used);
	uint32_t (*read_writable)(const struct driver *d, uint16_t id, uint8_t *dst);
	uint16_t (*nr_used)(const struct driver *d);
	void (*want_calls)(struct driver *d, bool on);
	void (*want_call_at)(struct driver *d, uint16_t event);
	uint16_t (*event_after)(const struct driver *d, uint16_t n);
	bool (*kicks_refused)(const struct driver *d);
	uint16_t (*kick_event)(const struct driver *d);
	bool (*must_kick)(const struct driver *d);
	union driver_desc *(*desc)(const struct driver *d, uint16_t id, uint16_t n);
	void (*insist)(struct driver *d);
};

/* A zeroed array; a test that gets none ends. */
void *driver_array(size_t nr, size_t len);

/* IN_ORDER: note a chain as posted; how many chains, `skip` passed over, end with `id`. */
void driver_order_put(struct driver *d, uint16_t id);
uint16_t driver_order_find(const struct driver *d, uint16_t skip, uint16_t id);
uint16_t driver_order_at(const struct driver *d, uint16_t n);

/*
 * The chain to collect, given what the used entry at the driver's place says: that entry itself,
 * or with IN_ORDER the oldest chain of the batch the entry stands for.
 */
void driver_order_take(struct driver *d, struct used_entry *used);

/* Bytes of a writable piece, to `dst`; 0 if it is readable. */
uint32_t driver_read_piece(const struct driver *d, const union driver_desc *desc, uint8_t *dst);

/* The same of all entries of the table that `desc` names. */
uint32_t driver_read_table(const struct driver *d, const union driver_desc *desc, uint8_t *dst);

#endif
