/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * traffic.h - a poller that sends to a guest without a pause, and plays the driver's half as well.
 *
 * Knows:   the public headers; one split ring whose buffers are all available and stay where they
 *          are.
 * Trusts:  the test not to take the ring's memory away.
 * Runs on: a thread of its own; the functions on the main thread.
 */
#ifndef TEST_TRAFFIC_H
#define TEST_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

#include "vhostcore_net.h"

struct traffic_seen {
	int thread;		/* as in /proc/PID/task; 0: none runs */
	uint64_t nr_packets;
	uint64_t nr_bursts;
	uint64_t nr_turned_away; /* bursts that took nothing, with buffers there */
};

/* 0 or -errno. */
int traffic_start(struct vhc_queue *q);

void traffic_look(struct traffic_seen *seen);

/* Then every buffer is used, and none available. */
void traffic_stop(void);

#endif
