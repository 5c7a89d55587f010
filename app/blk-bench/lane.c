/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lane.c - requests of a driver: on the ring, to the back-end, and back.
 *
 * Knows:   the driver's half of a ring (test/model), a request's three parts.
 * Trusts:  not that an answer comes.
 * Runs on: the main thread.
 */
#include "blk_bench.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/order.h"
#include "lane.h"

#define SPINS		4096		/* between two looks at the clock */
#define LOOK_NS		UINT64_C(20000000)
#define SECOND_NS	UINT64_C(1000000000)
#define NOT_A_STATUS	0xff

/* What of a request is neither data nor ring. */
struct parts {
	struct virtio_blk_outhdr header;
	uint8_t status;
	uint8_t table[3 * sizeof(struct virtq_desc)] __attribute__((aligned(16)));
} __attribute__((aligned(128)));

static_assert(sizeof(struct parts) * MOST_DEPTH <= LANE_DATA - LANE_PARTS, "room for all slots");

static struct parts *
parts_of(const struct backend *b, unsigned int slot)
{
	return (struct parts *)(void *)(b->memory + LANE_PARTS) + slot;
}

static uint64_t
guest_address(const struct backend *b, const void *of)
{
	return LANE_AT + (uint64_t)((const uint8_t *)of - b->memory);
}

uint8_t *
lane_data(const struct backend *b, unsigned int slot, const struct pattern *p)
{
	return b->memory + LANE_DATA + (uint64_t)slot * p->size;
}

uint8_t
lane_status(const struct backend *b, unsigned int slot)
{
	return parts_of(b, slot)->status;
}

/* ---- there ---------------------------------------------------------------------------------- */

void
lane_post(struct backend *b, unsigned int slot, const struct pattern *p)
{
	struct parts *parts = parts_of(b, slot);
	const struct piece pieces[] = {
		{ guest_address(b, &parts->header), sizeof(parts->header), false },
		{ guest_address(b, lane_data(b, slot, p)), p->size, !p->writes },
		{ guest_address(b, &parts->status), sizeof(parts->status), true },
	};
	uint16_t id;

	parts->header = (struct virtio_blk_outhdr){
		.type = htole32(p->writes ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN),
		.sector = htole64(b->slots[slot].block * (BLOCK_SIZE / SECTOR_SIZE)),
	};
	parts->status = NOT_A_STATUS;
	if (b->style->indirect)
		id = driver_post_indirect(&b->ring, pieces, 3, 0, guest_address(b, parts->table));
	else
		id = driver_post(&b->ring, pieces, 3);
	b->slot_of[id] = (uint8_t)slot;
	b->nr_posted++;
}

int
lane_publish(struct backend *b)
{
	const uint64_t one = 1;

	if (!b->nr_posted)
		return 0;
	b->nr_posted = 0;
	driver_publish(&b->ring);
	if (!driver_must_kick(&b->ring))
		return 0;
	b->nr_kicks++;
	if (write(b->kick_fd, &one, sizeof(one)) == sizeof(one))
		return 0;
	fprintf(stderr, "%s: the driver's kick does not go out: %m\n", b->name);
	return -1;
}

/* ---- back ----------------------------------------------------------------------------------- */

static unsigned int
reap(struct backend *b, uint8_t *done)
{
	struct used_entry used;
	unsigned int nr = 0;

	while (nr < MOST_DEPTH && driver_collect(&b->ring, &used))
		done[nr++] = b->slot_of[used.id];
	return nr;
}

static int
silent(const struct backend *b)
{
	fprintf(stderr, "%s has not answered a request for %d seconds\n", b->name, PATIENCE_S);
	return -1;
}

static int
check_alive(const struct backend *b)
{
	char byte;
	ssize_t n = recv(b->sock, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

	if (n > 0 || (n < 0 && errno == EAGAIN))
		return 0;
	fprintf(stderr, "%s has closed the connection\n", b->name);
	return -1;
}

static int
poll_ring(struct backend *b, uint8_t *done, unsigned int *nr)
{
	uint64_t began = 0, looked = 0;

	for (unsigned int spins = 1; !(*nr = reap(b, done)); spins++) {
		uint64_t now;

		cpu_relax();
		if (spins % SPINS)
			continue;
		now = clock_ns(CLOCK_MONOTONIC);
		if (!began)
			began = looked = now;
		if (now - began > PATIENCE_S * SECOND_NS)
			return silent(b);
		if (now - looked > LOOK_NS && check_alive(b))
			return -1;
		if (now - looked > LOOK_NS)
			looked = now;
	}
	return 0;
}

/* From here on an answer interrupts. True: none had come before that. */
static bool
want_interrupt(struct backend *b)
{
	if (b->ring.event_idx)
		driver_want_call_at(&b->ring, driver_event_after(&b->ring, 0));
	else
		driver_want_calls(&b->ring, true);
	fence_full();
	return driver_nr_used(&b->ring) == 0;
}

/*
 * The eventfd is watched for edges: nobody reads it, and to sleep is one system call. An interrupt
 * that came too late for the answers before is one look at the ring for nothing, as in a kernel.
 */
static int
sleep_for_ring(struct backend *b, uint8_t *done, unsigned int *nr)
{
	struct epoll_event event;
	int n;

	while (!(*nr = reap(b, done))) {
		if (!want_interrupt(b))
			continue;
		n = epoll_wait(b->epoll_fd, &event, 1, PATIENCE_S * 1000);
		if (n == 0)
			return silent(b);
		if (n < 0 && errno != EINTR) {
			fprintf(stderr, "epoll_wait: %m\n");
			return -1;
		}
		if (n > 0 && event.data.fd == b->sock && check_alive(b))
			return -1;
	}
	if (!b->ring.event_idx)
		driver_want_calls(&b->ring, false);
	return 0;
}

int
lane_wait(struct backend *b, uint8_t *done, unsigned int *nr)
{
	return b->style->sleeps ? sleep_for_ring(b, done, nr) : poll_ring(b, done, nr);
}
