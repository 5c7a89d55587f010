/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devices.c - thousands of devices: what each takes, that each works, that nothing is left.
 */
#define _GNU_SOURCE 1

#include "farm.h"

#include "unit/peer.h"

static void
check_nothing_left(const struct holdings *before)
{
	struct holdings after = holdings_now();

	CHECK_EQ(after.nr_files, before->nr_files);
	CHECK_EQ(after.nr_inotify, before->nr_inotify);
	CHECK_EQ(after.nr_threads, before->nr_threads);
}

/* DEVICES, CONTROL THREADS, 1: packed rings */
void
scale_devices(const unsigned int *words)
{
	unsigned int nr = words[0];
	struct holdings empty, before, after;
	double start, served, connected, moved;
	struct farm farm;

	farm_begin(nr);
	empty = holdings_now();
	farm_make(&farm, nr, words[1], BIT64(VIRTIO_F_VERSION_1_BIT) |
		  (words[2] ? BIT64(VIRTIO_F_RING_PACKED_BIT) : 0));
	before = holdings_now();
	start = peer_now();
	farm_serve(&farm);
	served = peer_now();
	farm_connect(&farm);
	connected = peer_now();
	for (unsigned int i = 0; i < nr; i++)
		farm_move_packet(&farm.each[i]);
	moved = peer_now();
	after = holdings_now();
	CHECK_EQ(after.nr_threads, before.nr_threads + words[1]);
	printf("{\"serve_s\": %.3f, \"connect_s\": %.3f, \"packets_s\": %.3f, ", served - start,
	       connected - served, moved - connected);
	printf("\"heap\": %zu, \"anonymous\": %zu, \"files\": %.3f, \"maps\": %.3f, ",
	       (after.heap - before.heap) / nr, (after.anonymous - before.anonymous) / nr,
	       (double)(after.nr_files - before.nr_files) / nr,
	       (double)(after.nr_maps - before.nr_maps) / nr);
	start = peer_now();
	farm_drop(&farm);
	printf("\"destroy_s\": %.3f}\n", peer_now() - start);
	check_nothing_left(&empty);
	farm_end();
}

static void
one_round(struct farm *farm)
{
	farm_serve(farm);
	farm_connect(farm);
	for (unsigned int i = 0; i < farm->nr; i++)
		farm_move_packet(&farm->each[i]);
	for (unsigned int i = 0; i < farm->nr; i++) {
		/* Either side may go first. */
		if (i & 1)
			frontend_disconnect(&farm->each[i].front);
		farm_destroy_one(farm, i);
		frontend_disconnect(&farm->each[i].front);
	}
}

/* DEVICES, ROUNDS: the first of them fills what is kept once a process. */
void
scale_churn(const unsigned int *words)
{
	unsigned int nr = words[0];
	struct holdings before, after;
	double start;

	farm_begin(nr);
	for (unsigned int round = 0; round <= words[1]; round++) {
		struct farm farm;

		farm_make(&farm, nr, 2, BIT64(VIRTIO_F_VERSION_1_BIT));
		one_round(&farm);
		farm_drop(&farm);
		if (round == 0) {
			before = holdings_now();
			start = peer_now();
		}
	}
	check_nothing_left(&before);
	after = holdings_now();
	printf("{\"seconds\": %.3f, \"files\": %d, \"maps\": %d, \"heap\": %ld,"
	       " \"anonymous\": %ld}\n", peer_now() - start, after.nr_files - before.nr_files,
	       (int)(after.nr_maps - before.nr_maps), (long)(after.heap - before.heap),
	       (long)(after.anonymous - before.anonymous));
	farm_end();
}
