/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * region.h - one piece of guest memory, mapped from a descriptor the front-end sent.
 *
 * Knows:   mmap, page sizes of the backing file.
 * Trusts:  nothing in the request: sizes, offsets and the file itself are checked.
 * Runs on: control thread.
 */
#ifndef VHC_MEM_REGION_H
#define VHC_MEM_REGION_H

#include <stdbool.h>
#include <sys/types.h>

#include "addr.h"
#include "../base/compiler.h"

struct page_source;

/* What the front-end says of a region. Equal requests on the same file are the same region. */
struct region_claim {
	gpa guest;
	uva user;
	uint64_t size;
	uint64_t file_offset;
};

struct region {
	struct region_claim claim;
	uint8_t *host;		/* first byte of the region */
	void *mapping;		/* what mmap() gave: the region, widened to the file's page size */
	uint64_t mapping_len;
	uint64_t page_size;	/* the file's */
	struct guard *guard;	/* tells if the file has become shorter since */
	dev_t dev;		/* identity of the file */
	ino_t ino;
	unsigned int refs;	/* maps that hold it */
	struct page_source *source;	/* of its pages (pages.h); NULL: they are here ... */
	struct region *next_watched;	/* ... and the next of its regions */
};

/* Offsets and lengths of mappings of this file are multiples of it. */
uint64_t vhc_region_page_size(int fd);

/* Longest text vhc_region_map() writes. */
#define REGION_REASON_LEN 256

/*
 * Map a region with one reference. The descriptor stays the caller's. On failure -errno, and a
 * sentence in `reason` that says what to change.
 */
int vhc_region_map(const struct region_claim *claim, int fd, struct region **region, char *reason)
	VHC_MUST_USE;

/* The same for memory whose pages come one by one, from `source`: nothing of it is touched. */
int vhc_region_await(const struct region_claim *claim, int fd, struct page_source *source,
		     struct region **region, char *reason) VHC_MUST_USE;

void vhc_region_ref(struct region *region);

/* Drop one reference; the last one unmaps. */
void vhc_region_unref(struct region *region);

/*
 * Memory whose address an application has: it may read there at any time, without any gate. When
 * the guest's memory goes, what was lent stays: as zeros of our own, and at no moment is nothing
 * there.
 */
struct region_loan {
	uint8_t *start;		/* whole pages; NULL: nothing is lent */
	uint8_t *end;
	bool is_ours;		/* the guest's memory has gone */
	struct region_loan *next;
};

/* Lend [at, at + len), which lies in one region. Ends what was lent before with the same struct. */
void vhc_region_lend(struct region_loan *loan, const void *at, uint64_t len);

/* Nobody reads there any more. Does nothing if nothing is lent. */
void vhc_region_end_loan(struct region_loan *loan);

/* The claim and the file behind `fd` are exactly this region. */
bool vhc_region_is(const struct region *region, const struct region_claim *claim, int fd);

#endif
