/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest.h - a guest's memory: shared by file, as a front-end would, and mapped twice.
 *
 * Knows:   mem/'s regions and maps; no rings.
 * Trusts:  nothing to trust: a test that asks for nonsense ends.
 * Runs on: the test's thread; memory may be written by any.
 *
 * The library sees the memory through a struct map, at addresses of its own. LOW and HIGH are
 * neighbours for the guest and strangers for the library, and each part lies between two pages
 * that nobody may touch: one byte too far ends the test. The driver's half of a test reaches the
 * same memory through a second mapping.
 */
#ifndef TEST_MODEL_GUEST_H
#define TEST_MODEL_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem/map.h"

enum guest_part_name {
	GUEST_LOW,
	GUEST_HIGH,
	GUEST_FAR,
	GUEST_NR_PARTS
};

/* Where the parts are, for the guest. */
#define GUEST_LOW_AT	UINT64_C(0x00100000)
#define GUEST_SEAM_AT	UINT64_C(0x02100000)	/* LOW ends, HIGH begins */
#define GUEST_END_AT	UINT64_C(0x04100000)	/* HIGH ends, nothing follows */
#define GUEST_FAR_AT	UINT64_C(0x100000000)
#define GUEST_FAR_LEN	UINT64_C(0x10000)
#define GUEST_FAR_END_AT (GUEST_FAR_AT + GUEST_FAR_LEN)

/* Rings lie in LOW below this, buffers from guest_alloc() above. */
#define GUEST_BUFFERS_AT (GUEST_LOW_AT + UINT64_C(0x400000))

/* Front-end's own address of a guest address. */
#define GUEST_USER(at)	((at) + UINT64_C(0x550000000000))

struct guest_part {
	uint64_t at;
	uint64_t len;
	uint8_t *mine;		/* the driver's view */
	struct region *region;	/* the library's */
	uint8_t *fence;		/* the library's view with its two guard pages */
	uint64_t fence_len;
};

struct guest {
	struct guest_part parts[GUEST_NR_PARTS];
	struct map *map;
	uint64_t next;		/* next address guest_alloc() gives */
};

void guest_init(struct guest *g);
void guest_fini(struct guest *g);

/*
 * For a guest with an IOMMU: some pages are elsewhere than the driver sees them, so that what are
 * neighbours for it are none in its memory. guest_user() is where the front-end has a page.
 */
#define GUEST_PAGE 4096u

void guest_scatter(struct guest *g);
uint64_t guest_user(uint64_t at);

/* The driver's view of [at, at + len), which lies in one part. */
void *guest_ptr(const struct guest *g, uint64_t at, uint64_t len);

/* Copy to and from guest memory, over the seam if need be. */
void guest_write(const struct guest *g, uint64_t at, const void *src, uint64_t len);
void guest_read(const struct guest *g, uint64_t at, void *dst, uint64_t len);
void guest_fill(const struct guest *g, uint64_t at, uint8_t byte, uint64_t len);

/* A fresh buffer somewhere in LOW or HIGH, also astride the seam. Starts over when all is used. */
uint64_t guest_alloc(struct guest *g, uint64_t len);

/* The fixed pattern tests compare: byte `i` of packet or buffer `seed`. */
uint8_t pattern_byte(uint32_t seed, uint32_t i);
void pattern_fill(uint8_t *dst, uint32_t seed, uint32_t len);

/* Numbers that look random and are the same in every run, or follow from a seed. */
void random_begin(uint32_t seed);
uint32_t random_next(void);
uint32_t random_below(uint32_t limit);

/*
 * Run a test that draws random numbers once for each seed from 1 to `nr`, or for the one in the
 * environment, VHOSTX_SEED. The seed is printed first: the last one of a test that fails is its.
 */
void random_seeds(uint32_t nr, void (*run)(void));

#endif
