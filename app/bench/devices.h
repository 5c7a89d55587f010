/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devices.h - many devices with front-ends of ours: the library's own, or ports of drivers, and
 *             bare rings beside them.
 *
 * Knows:   the model front-end of the tests, the library's public functions.
 * Trusts:  its own front-ends.
 * Runs on: the main thread; the library's control thread serves the sockets.
 */
#ifndef VHOSTX_BENCH_DEVICES_H
#define VHOSTX_BENCH_DEVICES_H

#include "bench.h"
#include "model/frontend.h"
#include "vhostcore_net.h"

/* Header with VERSION_1. */
#define DEVICE_HDR_LEN 12

/*
 * What a queue of the library is to a burst, in cache lines: where to find it, ring, region,
 * notifications, pool, two of counters. The floor touches as many, its ring being the first.
 */
#define BARE_LINES 6

/* The floor's ring: where the back-end's mapping has it. */
struct bare_ring {
	uint8_t *memory;	/* what FRONTEND_AT is for the guest */
	struct rte_mempool *pool;	/* mbufs come from it, or go back to it */
	union {
		const struct virtq_desc *desc;
		struct virtq_packed_desc *packed;
	};
	const struct virtq_avail *avail;
	struct virtq_used *used;
	uint16_t at;		/* entries taken so far */
	uint64_t state[BARE_LINES][RTE_CACHE_LINE_SIZE / sizeof(uint64_t)] __rte_cache_aligned;
};

/* What a burst needs comes first, so that it touches no line for the rest. */
struct bench_device {
	struct vhc_queue *pull;		/* NULL: a port, or a bare ring of the floor */
	struct vhc_queue *push;
	uint16_t port;
	struct bare_ring bare_pull __rte_cache_aligned;
	struct bare_ring bare_push;

	struct vhc_server *server;	/* NULL: not of the library itself */
	struct bench_pair pair;		/* a port's: without the front-end's half */
	struct frontend front;
	uint64_t buffers_at;		/* guest address of the first to be sent */
	uint32_t nr_sent;
	uint32_t nr_offered;
} __rte_cache_aligned;

/* The buffers of a guest, one behind the other. */
struct bench_buffers {
	unsigned int nr;
	uint64_t step;
};

struct bench_devices {
	uint16_t (*pull)(struct bench_device *d, struct rte_mbuf **mbufs);
	uint16_t (*push)(struct bench_device *d, struct rte_mbuf **mbufs);
	struct bench_pools pools;
	struct bench_device *each;
	unsigned int nr;
	int memory_fd;
	uint8_t *memory;		/* all guests', the front-ends' view */
	uint8_t *bare_memory;		/* the floor's view; NULL: the library maps it itself */
};

/* device_port.c: a port of this driver for each front-end; and away with them */
int bench_ports_attach(struct bench_devices *side, const char *driver, bool has_iommu);
void bench_ports_detach(struct bench_devices *side);

/* device_round.c */
extern const struct bench_buffers bench_buffers;
void bench_device_offer(struct bench_device *d, unsigned int nr);
int bench_devices_touch(struct bench_devices *side);
int bench_devices_take(struct bench_devices *side, const struct bench_shot *shot,
		       struct bench_sample *sample);

/* bare_ring.c */
void bare_ring_init(struct bare_ring *ring, const struct driver *d, uint8_t *memory,
		    struct rte_mempool *pool);
void bare_rings_choose(struct bench_devices *side, enum ring_kind kind);

#endif
