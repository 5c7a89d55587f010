/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * traffic.c - see traffic.h.
 *
 * Knows:   split rings; that a buffer which was used can be made available as it is.
 * Trusts:  see traffic.h.
 * Runs on: see traffic.h.
 */
#define _GNU_SOURCE 1	/* gettid() */

#include "traffic.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/order.h"
#include "vhostcore_ring.h"

#define FRAME_LEN	60
#define BURST		32

static pthread_t thread;
static struct traffic_seen now;
static bool is_stopping;
static struct vhc_queue *queue;
static uint16_t *g_avail_idx;

/* The same one over and over; the queue keeps its hands off it. */
static uint8_t frame[FRAME_LEN];
static struct rte_mbuf packet, *packets[BURST];

static void
prepare_packets(void)
{
	memset(frame, 0x5a, sizeof(frame));
	packet.buf_addr = frame;
	packet.nb_segs = 1;
	packet.data_len = packet.pkt_len = sizeof(frame);
	for (unsigned int i = 0; i < BURST; i++)
		packets[i] = &packet;
}

static void
keep_packets(bool keep)
{
	vhc_net_push_setup(queue, &(struct vhc_net_push_conf){ .keep = keep });
}

static void
drain(void)
{
	for (unsigned int nr_empty = 0; nr_empty < 1000; nr_empty++)
		while (vhc_net_push(queue, packets, BURST))
			nr_empty = 0;
}

static void *
run(void *arg)
{
	uint16_t avail = ld_relaxed(g_avail_idx);

	st_relaxed(&now.thread, gettid());
	while (!ld_relaxed(&is_stopping)) {
		uint16_t nr = vhc_net_push(queue, packets, BURST);

		avail = (uint16_t)(avail + nr);
		st_release(g_avail_idx, avail);
		st_relaxed(&now.nr_packets, now.nr_packets + nr);
		st_relaxed(&now.nr_turned_away, now.nr_turned_away + !nr);
		st_relaxed(&now.nr_bursts, now.nr_bursts + 1);
	}
	drain();
	return arg;
}

int
traffic_start(struct vhc_queue *q)
{
	struct vhc_queue_memory memory;
	int rc = vhc_queue_memory(q, &memory);

	if (rc == 0 && (memory.packed || now.thread))
		rc = -EINVAL;
	if (rc)
		return rc;
	queue = q;
	prepare_packets();
	keep_packets(true);
	g_avail_idx = (uint16_t *)memory.driver + 1;
	now = (struct traffic_seen){ 0 };
	is_stopping = false;
	rc = -pthread_create(&thread, NULL, run, NULL);
	while (rc == 0 && !ld_relaxed(&now.thread))
		usleep(100);
	return rc;
}

void
traffic_look(struct traffic_seen *seen)
{
	*seen = (struct traffic_seen){
		.thread = ld_relaxed(&now.thread),
		.nr_packets = ld_relaxed(&now.nr_packets),
		.nr_bursts = ld_relaxed(&now.nr_bursts),
		.nr_turned_away = ld_relaxed(&now.nr_turned_away),
	};
}

void
traffic_stop(void)
{
	if (!now.thread)
		return;
	st_relaxed(&is_stopping, true);
	pthread_join(thread, NULL);
	keep_packets(false);
	now.thread = 0;
}
