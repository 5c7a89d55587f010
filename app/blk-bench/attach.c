/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * attach.c - a front-end with one queue, from nothing to requests, and back.
 *
 * Knows:   what must be said, and in which order every back-end understands it.
 * Trusts:  no answer.
 * Runs on: the main thread.
 */
#include "blk_bench.h"

#include <endian.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lane.h"
#include "talk.h"

#define BIT(n)		(UINT64_C(1) << (n))
#define CONFIG_LEN	offsetof(struct virtio_blk_config, max_discard_sectors)
#define LEAST_BLOCKS	(2ull * MOST_BIG * BIG_BLOCKS)

/* ---- memory, eventfds ----------------------------------------------------------------------- */

static int
make_memory(struct backend *b)
{
	b->memory_fd = memfd_create("guest", MFD_CLOEXEC);
	if (b->memory_fd >= 0 && ftruncate(b->memory_fd, (off_t)LANE_END) == 0)
		b->memory = mmap(NULL, LANE_END, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
				 b->memory_fd, 0);
	if (b->memory_fd < 0 || !b->memory || b->memory == MAP_FAILED) {
		fprintf(stderr, "no memory for a guest: %m\n");
		b->memory = NULL;
		return -1;
	}
	b->guest.parts[GUEST_LOW] = (struct guest_part){
		.at = LANE_AT, .len = LANE_END, .mine = b->memory,
	};
	return 0;
}

static int
watch(struct backend *b, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return epoll_ctl(b->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int
make_events(struct backend *b)
{
	b->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	b->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	b->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (b->kick_fd < 0 || b->call_fd < 0 || b->epoll_fd < 0 ||
	    watch(b, b->call_fd, EPOLLIN | EPOLLET) || watch(b, b->sock, EPOLLRDHUP)) {
		fprintf(stderr, "no eventfd: %m\n");
		return -1;
	}
	return 0;
}

/* ---- what it is ----------------------------------------------------------------------------- */

static int
need(const struct backend *b, uint64_t offered, unsigned int bit, const char *name)
{
	if (offered & BIT(bit))
		return 0;
	fprintf(stderr, "%s does not offer %s, without which no disk is measured here\n", b->name,
		name);
	return -1;
}

/* A write that need not be flushed to the medium: without FLUSH every one would be. */
static int
agree_on_features(struct backend *b)
{
	uint64_t wanted = BIT(VIRTIO_F_VERSION_1_BIT) | BIT(VHOST_USER_F_PROTOCOL_FEATURES_BIT) |
			  BIT(VIRTIO_BLK_F_FLUSH), offered;

	if (talk_ask_u64(b, REQUEST(GET_FEATURES), &offered) ||
	    need(b, offered, VIRTIO_F_VERSION_1_BIT, "VERSION_1") ||
	    need(b, offered, VHOST_USER_F_PROTOCOL_FEATURES_BIT, "protocol features"))
		return -1;
	if (offered & BIT(VIRTIO_BLK_F_RO)) {
		fprintf(stderr, "%s is read-only: nobody could tell whether it does what it says\n",
			b->name);
		return -1;
	}
	if (b->style->packed)
		wanted |= BIT(VIRTIO_F_RING_PACKED_BIT);
	if (b->style->event_idx)
		wanted |= BIT(VIRTIO_F_EVENT_IDX_BIT);
	if (b->style->indirect &&
	    need(b, offered, VIRTIO_F_INDIRECT_DESC_BIT, "INDIRECT_DESC (see --direct)"))
		return -1;
	if (b->style->indirect)
		wanted |= BIT(VIRTIO_F_INDIRECT_DESC_BIT);
	b->features = wanted & offered;
	return 0;
}

static int
agree_on_protocol(struct backend *b)
{
	const uint64_t wanted = BIT(VHOST_USER_PROTOCOL_F_CONFIG_BIT) |
				BIT(VHOST_USER_PROTOCOL_F_MQ_BIT) |
				BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK_BIT);
	uint64_t offered;

	if (talk_ask_u64(b, REQUEST(GET_PROTOCOL_FEATURES), &offered) ||
	    need(b, offered, VHOST_USER_PROTOCOL_F_CONFIG_BIT, "CONFIG") ||
	    talk_tell_u64(b, REQUEST(SET_PROTOCOL_FEATURES), offered & wanted))
		return -1;
	b->acks = offered & BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK_BIT);
	return 0;
}

static int
ask_size(struct backend *b, unsigned int span_mib)
{
	const uint32_t header = offsetof(struct vhost_user_config, bytes);
	/* As much as QEMU asks for: newer kernels' headers know of more than older back-ends. */
	struct vhost_user_config ask = { .size = CONFIG_LEN }, answer;
	const uint32_t size = header + ask.size;
	struct virtio_blk_config config;
	uint64_t most = (uint64_t)span_mib * BIG_BLOCKS;

	if (talk_ask(b, REQUEST(GET_CONFIG), &ask, size, &answer, size))
		return -1;
	memcpy(&config, answer.bytes, CONFIG_LEN);
	b->capacity = le64toh(config.capacity) * SECTOR_SIZE;
	b->nr_blocks = b->capacity / BIG_SIZE * BIG_BLOCKS;
	if (b->nr_blocks > most)
		b->nr_blocks = most;
	if (b->nr_blocks >= LEAST_BLOCKS)
		return 0;
	fprintf(stderr, "%s: a disk of %llu bytes is too small, %llu are needed\n", b->name,
		(unsigned long long)b->capacity, LEAST_BLOCKS * BLOCK_SIZE);
	return -1;
}

/* ---- the ring ------------------------------------------------------------------------------- */

static int
share_memory(struct backend *b)
{
	const struct vhost_user_mem_table table = {
		.nregions = 1,
		.regions[0] = {
			.guest_phys_addr = LANE_AT,
			.memory_size = LANE_END,
			.userspace_addr = GUEST_USER(LANE_AT),
		},
	};

	return talk_tell(b, REQUEST(SET_MEM_TABLE), &table,
			 offsetof(struct vhost_user_mem_table, regions[1]), b->memory_fd);
}

static void
make_ring(struct backend *b)
{
	const bool packed = b->features & BIT(VIRTIO_F_RING_PACKED_BIT);
	const struct driver_conf conf = {
		.kind = packed ? RING_PACKED : RING_SPLIT,
		.size = RING_SIZE,
		.first = packed ? DRIVER_PACKED_FRESH : 0,
		.event_idx = b->features & BIT(VIRTIO_F_EVENT_IDX_BIT),
		.in_sequence = true,
	};

	driver_init(&b->ring, &b->guest, LANE_AT, &conf);
	/* Who sleeps says so before it does. 2.7.7.1: a split ring with EVENT_IDX has no flag. */
	if (packed || !b->ring.event_idx)
		driver_want_calls(&b->ring, false);
	else
		driver_want_call_at(&b->ring, UINT16_MAX);
}

static int
tell_state(const struct backend *b, struct request_name request, uint32_t value)
{
	const struct vhost_vring_state state = { 0, value };

	return talk_tell(b, request, &state, sizeof(state), -1);
}

static int
start_ring(struct backend *b)
{
	const struct ring_claim claim = driver_claim(&b->ring, false);
	const struct vhost_vring_addr addr = {
		.desc_user_addr = claim.desc.v,
		.used_user_addr = claim.used.v,
		.avail_user_addr = claim.avail.v,
	};
	const uint64_t ring = 0;

	return tell_state(b, REQUEST(SET_VRING_NUM), RING_SIZE) ||
	       tell_state(b, REQUEST(SET_VRING_BASE), driver_base(&b->ring)) ||
	       talk_tell(b, REQUEST(SET_VRING_ADDR), &addr, sizeof(addr), -1) ||
	       talk_tell(b, REQUEST(SET_VRING_CALL), &ring, sizeof(ring), b->call_fd) ||
	       talk_tell(b, REQUEST(SET_VRING_KICK), &ring, sizeof(ring), b->kick_fd) ||
	       tell_state(b, REQUEST(SET_VRING_ENABLE), 1) ? -1 : 0;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static int
make_generations(struct backend *b)
{
	b->seed = clock_ns(CLOCK_MONOTONIC);
	b->generation = 0;
	b->generations = calloc(b->nr_blocks, sizeof(*b->generations));
	if (b->generations)
		return 0;
	fprintf(stderr, "no memory to note what was written; see --span\n");
	return -1;
}

static int
introduce(struct backend *b, unsigned int span_mib)
{
	if (talk_connect(b) || make_events(b) || talk_tell(b, REQUEST(SET_OWNER), NULL, 0, -1) ||
	    agree_on_features(b) || agree_on_protocol(b) || ask_size(b, span_mib))
		return -1;
	return talk_tell_u64(b, REQUEST(SET_FEATURES), b->features);
}

int
backend_attach(struct backend *b, const struct style *style, unsigned int span_mib)
{
	uint64_t ignored;

	*b = (struct backend){
		.name = b->name, .path = b->path, .style = style, .sock = -1,
		.memory_fd = -1, .kick_fd = -1, .call_fd = -1, .epoll_fd = -1,
	};
	if (make_memory(b) || introduce(b, span_mib) || make_generations(b) || share_memory(b))
		return -1;
	make_ring(b);
	/* Messages are handled in order: this answer comes after all of them. */
	return start_ring(b) || talk_ask_u64(b, REQUEST(GET_FEATURES), &ignored) ? -1 : 0;
}

static void
drop(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* In the way a driver goes that is unloaded. */
static void
say_goodbye(struct backend *b)
{
	const struct vhost_vring_state state = { 0, 0 };
	struct vhost_vring_state base;

	if (tell_state(b, REQUEST(SET_VRING_ENABLE), 0) == 0)
		talk_ask(b, REQUEST(GET_VRING_BASE), &state, sizeof(state), &base, sizeof(base));
}

void
backend_detach(struct backend *b, bool says_goodbye)
{
	if (b->ring.half && says_goodbye)
		say_goodbye(b);
	if (b->ring.half)
		driver_fini(&b->ring);
	if (b->memory)
		munmap(b->memory, LANE_END);
	drop(b->sock);
	drop(b->memory_fd);
	drop(b->kick_fd);
	drop(b->call_fd);
	drop(b->epoll_fd);
	free(b->generations);
	*b = (struct backend){ .name = b->name, .path = b->path };
}
