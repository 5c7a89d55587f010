/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packets.h - packets for a process in which no EAL runs.
 *
 * Knows:   the public headers, mbufs.
 * Trusts:  the test that asks.
 * Runs on: the main thread, which is every queue's poller.
 */
#ifndef TEST_WIRE_PACKETS_H
#define TEST_WIRE_PACKETS_H

#include "vhostcore_net.h"

#define PACKETS_FRAME_LEN 60
#define PACKETS_MAX 256

/* The last bytes of a frame are a number; the others, and these where nobody says so, are 0x5a. */
#define PACKETS_PLAIN 0x5a5a5a5au

/* Where pulled packets go. NULL: out of memory. */
struct rte_mempool *packets_pool(void);

/* Push packets numbered from `number` on, or plain ones; how many were taken. */
uint16_t packets_push(struct vhc_queue *q, unsigned int count, uint32_t number);

/* Pull up to `count`: the number in each, or 0 where another byte than that is not what it was. */
uint16_t packets_pull(struct vhc_queue *q, unsigned int count, uint32_t *numbers);

#endif
