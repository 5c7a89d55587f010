/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * front.c - say it, and wait for what is to come of it.
 */
#define _GNU_SOURCE 1

#include "front.h"

#include <sys/mman.h>

#define WAIT_SECONDS 5

/* ---- memory and ring ------------------------------------------------------------------------ */

static void
make_memory(struct front *f)
{
	uint8_t *memory;

	f->memory_fd = memfd_create("guest", MFD_CLOEXEC);
	CHECK(f->memory_fd >= 0);
	CHECK_EQ(ftruncate(f->memory_fd, FRONT_MEMORY_LEN), 0);
	memory = mmap(NULL, FRONT_MEMORY_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, f->memory_fd, 0);
	CHECK(memory != MAP_FAILED);
	f->guest.parts[GUEST_LOW] = (struct guest_part){
		.at = GUEST_LOW_AT, .len = FRONT_MEMORY_LEN, .mine = memory,
	};
	f->next_at = GUEST_LOW_AT + FRONT_MEMORY_LEN / 2;
}

static void
make_server(struct front *f, struct peer_path path)
{
	f->path = path;
	CHECK_EQ(vhc_server_create(&(struct vhc_server_opts){
		.name = "front", .path = f->path.text, .nr_rings = 1,
	}, &f->server), 0);
	CHECK_EQ(vhc_server_start(f->server), 0);
	f->dev = vhc_server_device(f->server);
	f->q = vhc_device_queue(f->dev, 0);
}

void
front_open(struct front *f, struct peer_path path, const struct front_conf *conf)
{
	*f = (struct front){ .conf = *conf, .sock = -1, .inflight_fd = -1 };
	f->kick = eventfd(0, EFD_NONBLOCK);
	f->call = eventfd(0, EFD_NONBLOCK);
	make_memory(f);
	driver_init(&f->driver, &f->guest, GUEST_LOW_AT, &(struct driver_conf){
		.kind = conf->packed ? RING_PACKED : RING_SPLIT, .size = FRONT_RING_SIZE,
		.first = conf->packed ? DRIVER_PACKED_FRESH : 0, .in_order = conf->in_order,
		.in_sequence = conf->in_order,
	});
	f->base = driver_base(&f->driver);
	make_server(f, path);
}

void
front_close(struct front *f)
{
	front_disconnect(f);
	vhc_server_destroy(f->server);
	driver_fini(&f->driver);
	munmap(f->guest.parts[GUEST_LOW].mine, FRONT_MEMORY_LEN);
	close(f->memory_fd);
	close(f->kick);
	close(f->call);
	if (f->inflight_fd >= 0)
		close(f->inflight_fd);
}

/* ---- messages ------------------------------------------------------------------------------- */

void
front_say(struct front *f, uint32_t request, const void *payload, uint32_t size)
{
	peer_request(f->sock, request, VHOST_USER_VERSION, payload, size, 0);
}

static void
say_u64(struct front *f, uint32_t request, uint64_t value)
{
	front_say(f, request, &value, sizeof(value));
}

static void
say_fd(struct front *f, uint32_t request, const void *payload, uint32_t size, int fd)
{
	const struct peer_message m = peer_message(request, VHOST_USER_VERSION, payload, size);

	peer_send_fds(f->sock, &m, sizeof(m.header) + size, &fd, 1);
}

static void
say_of_ring(struct front *f, uint32_t request, uint32_t num)
{
	const struct vhost_vring_state state = { 0, num };

	front_say(f, request, &state, sizeof(state));
}

static void
read_reply(struct front *f, uint32_t request, void *payload, uint32_t size)
{
	struct vhost_user_header header;

	CHECK(front_is_answered(f, WAIT_SECONDS * 1000));
	CHECK_EQ(recv(f->sock, &header, sizeof(header), MSG_WAITALL), sizeof(header));
	CHECK_EQ(header.request, request);
	CHECK_EQ(header.size, size);
	CHECK_EQ(recv(f->sock, payload, size, MSG_WAITALL), size);
}

void
front_ask_sync(struct front *f)
{
	front_say(f, VHOST_USER_GET_FEATURES, NULL, 0);
}

void
front_read_sync(struct front *f)
{
	uint64_t features;

	read_reply(f, VHOST_USER_GET_FEATURES, &features, sizeof(features));
}

void
front_sync(struct front *f)
{
	front_ask_sync(f);
	front_read_sync(f);
}

void
front_set_status(struct front *f, uint8_t status)
{
	say_u64(f, VHOST_USER_SET_STATUS, status);
}

bool
front_is_answered(struct front *f, int ms)
{
	return peer_is_readable(f->sock, ms);
}

void
front_negotiate(struct front *f)
{
	uint64_t protocol = BIT64(VHOST_USER_PROTOCOL_F_RESET_DEVICE_BIT) |
			    BIT64(VHOST_USER_PROTOCOL_F_STATUS_BIT);
	uint64_t features = BIT64(VIRTIO_F_VERSION_1_BIT) |
			    BIT64(VHOST_USER_F_PROTOCOL_FEATURES_BIT);

	if (f->conf.packed)
		features |= BIT64(VIRTIO_F_RING_PACKED_BIT);
	if (f->conf.in_order)
		features |= BIT64(VIRTIO_F_IN_ORDER_BIT);
	if (f->conf.is_tracked)
		protocol |= BIT64(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD_BIT);
	say_u64(f, VHOST_USER_SET_PROTOCOL_FEATURES, protocol);
	say_u64(f, VHOST_USER_SET_FEATURES, features);
}

void
front_share_memory(struct front *f)
{
	const struct vhost_user_mem_table table = {
		.nregions = 1,
		.regions[0] = {
			.guest_phys_addr = GUEST_LOW_AT,
			.memory_size = FRONT_MEMORY_LEN,
			.userspace_addr = GUEST_USER(GUEST_LOW_AT),
		},
	};

	say_fd(f, VHOST_USER_SET_MEM_TABLE, &table,
	       offsetof(struct vhost_user_mem_table, regions[1]), f->memory_fd);
}

void
front_start_ring(struct front *f)
{
	const struct ring_claim claim = driver_claim(&f->driver, false);
	const struct vhost_vring_addr addr = {
		.desc_user_addr = claim.desc.v,
		.used_user_addr = claim.used.v,
		.avail_user_addr = claim.avail.v,
	};
	const uint64_t ring = 0;

	say_of_ring(f, VHOST_USER_SET_VRING_NUM, FRONT_RING_SIZE);
	say_of_ring(f, VHOST_USER_SET_VRING_BASE, f->base);
	front_say(f, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr));
	say_fd(f, VHOST_USER_SET_VRING_KICK, &ring, sizeof(ring), f->kick);
	say_fd(f, VHOST_USER_SET_VRING_CALL, &ring, sizeof(ring), f->call);
}

void
front_enable(struct front *f, bool on)
{
	say_of_ring(f, VHOST_USER_SET_VRING_ENABLE, on);
}

void
front_get_inflight(struct front *f)
{
	const struct vhost_user_inflight ask = {
		.num_queues = 1, .queue_size = FRONT_RING_SIZE,
	};
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(16)));
	struct {
		struct vhost_user_header header;
		struct vhost_user_inflight inflight;
	} __attribute__((packed)) reply;
	struct iovec part = { &reply, sizeof(reply) };
	struct msghdr mh = {
		.msg_iov = &part, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};

	front_say(f, VHOST_USER_GET_INFLIGHT_FD, &ask, sizeof(ask));
	CHECK_EQ(recvmsg(f->sock, &mh, MSG_CMSG_CLOEXEC), sizeof(reply));
	CHECK_EQ(reply.header.request, VHOST_USER_GET_INFLIGHT_FD);
	CHECK(CMSG_FIRSTHDR(&mh));
	memcpy(&f->inflight_fd, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof(int));
	f->inflight = reply.inflight;
}

void
front_set_inflight(struct front *f)
{
	say_fd(f, VHOST_USER_SET_INFLIGHT_FD, &f->inflight, sizeof(f->inflight), f->inflight_fd);
}

void
front_connect(struct front *f)
{
	f->sock = peer_connect(f->path.text);
	front_negotiate(f);
	front_share_memory(f);
	if (f->conf.is_tracked) {
		if (f->inflight_fd < 0)
			front_get_inflight(f);
		front_set_inflight(f);
	}
	front_start_ring(f);
	front_enable(f, true);
	front_sync(f);
}

void
front_disconnect(struct front *f)
{
	if (f->sock >= 0)
		close(f->sock);
	f->sock = -1;
}

void
front_ask_base(struct front *f)
{
	say_of_ring(f, VHOST_USER_GET_VRING_BASE, 0);
}

void
front_read_base(struct front *f)
{
	struct vhost_vring_state state;

	read_reply(f, VHOST_USER_GET_VRING_BASE, &state, sizeof(state));
	CHECK_EQ(state.index, 0);
	f->base = state.num;
}

/* ---- requests ------------------------------------------------------------------------------- */

void
front_post(struct front *f, uint32_t first, unsigned int nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t number = first + i;
		struct piece pieces[] = {
			{ f->next_at, sizeof(number), false },
			{ f->next_at + 8, 8, true },
		};

		guest_write(&f->guest, f->next_at, &number, sizeof(number));
		f->next_at += 16;
		if (f->next_at >= GUEST_LOW_AT + FRONT_MEMORY_LEN)
			f->next_at = GUEST_LOW_AT + FRONT_MEMORY_LEN / 2;
		driver_post(&f->driver, pieces, 2);
	}
	driver_publish(&f->driver);
}

uint32_t
front_number(const struct vhc_chain *chain)
{
	uint32_t number;

	CHECK_EQ(vhc_chain_read(chain, 0, &number, sizeof(number)), sizeof(number));
	return number;
}

unsigned int
front_collect(struct front *f)
{
	struct used_entry used;
	unsigned int nr = 0;

	while (driver_collect(&f->driver, &used))
		nr++;
	return nr;
}

void
front_take(struct front *f, struct vhc_chain **chains, uint16_t nr)
{
	double end = peer_now() + WAIT_SECONDS;
	uint16_t nr_taken = 0;

	while (nr_taken < nr) {
		nr_taken += vhc_queue_take(f->q, chains + nr_taken, nr - nr_taken);
		CHECK(peer_now() < end);
	}
	CHECK_EQ(vhc_queue_take(f->q, chains + nr, 1), 0);
}

void
front_wait_usable(struct front *f, bool usable)
{
	double end = peer_now() + WAIT_SECONDS;
	struct vhc_queue_info info;

	do {
		CHECK(peer_now() < end);
		vhc_queue_info(f->q, &info);
	} while (info.running != usable);
}
