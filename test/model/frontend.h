/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * frontend.h - a front-end that does what it should: one socket, one queue pair, some regions.
 *
 * Knows:   driver.h, the vhost-user messages.
 * Trusts:  nothing to trust: a back-end that does not answer as it should ends the program.
 * Runs on: the thread that calls; another one must serve the socket.
 */
#ifndef TEST_MODEL_FRONTEND_H
#define TEST_MODEL_FRONTEND_H

#include "driver.h"

/* Guest address of the memory's first byte. */
#define FRONTEND_AT GUEST_LOW_AT

/* What both rings take of the memory, whatever their layout, up to 1024 entries each. */
#define FRONTEND_RINGS_LEN UINT64_C(0x10000)

struct frontend_conf {
	uint64_t features;	/* to agree on; RING_PACKED and IN_ORDER also shape the rings */
	uint64_t protocol_features;	/* likewise, and without acks */
	uint16_t ring_size;
	int memory_fd;
	uint64_t file_offset;	/* where in that file this guest's memory begins */
	uint8_t *memory;	/* mapped there, by the caller */
	uint64_t memory_len;
	uint64_t rings_at;	/* bytes into the memory */
	/* Regions: 0 or 1, or the rings' and more that share the pieces behind them evenly. */
	unsigned int nr_regions;
	unsigned int nr_pieces;	/* at least as many as regions */
	uint64_t pieces_at;	/* bytes into the memory */
	uint64_t piece_len;
	int inflight_fd;	/* where a back-end notes requests in flight; lives on */
	uint64_t inflight_len;	/* 0: nowhere */
	/*
	 * With ACCESS_PLATFORM: the IOMMU shows the memory in entries of so many bytes. It is
	 * mapped twice, and each second entry is of the other mapping, so that none can be joined.
	 */
	uint64_t iommu_entry;
	bool is_lenient;	/* see struct driver_conf */
};

/* "tx" and "rx" are the guest's words: we pull from tx and push to rx. */
struct frontend {
	struct frontend_conf conf;
	struct guest guest;
	struct driver tx;
	struct driver rx;
	int sock;		/* -1: not connected */
};

/* Memory and rings, not connected to anybody. Allocates; nothing below does. */
void frontend_init(struct frontend *f, const struct frontend_conf *conf);
void frontend_fini(struct frontend *f);

/* Connect to `path` and say everything up to enabled rings; all of it was handled on return. */
void frontend_connect(struct frontend *f, const char *path);
void frontend_disconnect(struct frontend *f);

#endif
