/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * frontend.c - say all that a back-end must hear, in the order QEMU does.
 */
#include "frontend.h"

#include "device.h"
#include "unit/peer.h"

void
frontend_init(struct frontend *f, const struct frontend_conf *conf)
{
	const struct driver_conf rings = {
		.kind = conf->features & BIT64(VIRTIO_F_RING_PACKED_BIT) ? RING_PACKED : RING_SPLIT,
		.size = conf->ring_size,
		.first = conf->features & BIT64(VIRTIO_F_RING_PACKED_BIT) ? DRIVER_PACKED_FRESH : 0,
		.in_order = conf->features & BIT64(VIRTIO_F_IN_ORDER_BIT),
		.in_sequence = true,
		.is_lenient = conf->is_lenient,
	};
	const uint64_t at = FRONTEND_AT + conf->rings_at;

	*f = (struct frontend){ .conf = *conf, .sock = -1 };
	if (conf->nr_regions == 0)
		f->conf.nr_regions = 1;
	f->guest.parts[GUEST_LOW] = (struct guest_part){
		.at = FRONTEND_AT, .len = conf->memory_len, .mine = conf->memory,
	};
	driver_init(&f->tx, &f->guest, at, &rings);
	driver_init(&f->rx, &f->guest, at + FRONTEND_RINGS_LEN / 2, &rings);
	/* Whoever plays it looks at the rings when it likes. */
	driver_want_calls(&f->tx, false);
	driver_want_calls(&f->rx, false);
}

void
frontend_fini(struct frontend *f)
{
	frontend_disconnect(f);
	driver_fini(&f->tx);
	driver_fini(&f->rx);
}

/* ---- messages ------------------------------------------------------------------------------- */

static void
say(struct frontend *f, uint32_t request, const void *payload, uint32_t size)
{
	peer_request(f->sock, request, VHOST_USER_VERSION, payload, size, 0);
}

static void
say_u64(struct frontend *f, uint32_t request, uint64_t value)
{
	say(f, request, &value, sizeof(value));
}

static void
say_of_ring(struct frontend *f, uint32_t request, uint32_t index, uint32_t num)
{
	const struct vhost_vring_state state = { index, num };

	say(f, request, &state, sizeof(state));
}

static uint64_t
ask_u64(struct frontend *f, uint32_t request)
{
	struct {
		struct vhost_user_header header;
		uint64_t value;
	} __attribute__((packed)) reply;

	say(f, request, NULL, 0);
	CHECK_EQ(recv(f->sock, &reply, sizeof(reply), MSG_WAITALL), sizeof(reply));
	CHECK_EQ(reply.header.request, request);
	return reply.value;
}

/* Where region `nr` begins in this guest's memory; that of the last one's end is its end. */
static uint64_t
region_begin(const struct frontend_conf *conf, unsigned int nr)
{
	if (nr == 0)
		return 0;
	if (nr >= conf->nr_regions)
		return conf->memory_len;
	return conf->pieces_at +
	       (nr - 1) * conf->nr_pieces / (conf->nr_regions - 1) * conf->piece_len;
}

static struct vhost_user_region
region_of(const struct frontend *f, unsigned int nr)
{
	const uint64_t at = region_begin(&f->conf, nr);

	return (struct vhost_user_region){
		.guest_phys_addr = FRONTEND_AT + at,
		.memory_size = region_begin(&f->conf, nr + 1) - at,
		.userspace_addr = GUEST_USER(FRONTEND_AT) + at,
		.mmap_offset = f->conf.file_offset + at,
	};
}

/* Where the front-end has the memory a second time, and the guest, too. */
#define TWIN (UINT64_C(1) << 40)

static void
share_table(struct frontend *f)
{
	struct vhost_user_mem_table table = { .nregions = f->conf.nr_regions };
	int fds[VHOST_USER_MEM_TABLE_REGIONS];
	struct peer_message m;
	uint32_t size;

	for (unsigned int i = 0; i < table.nregions; i++)
		table.regions[i] = region_of(f, i);
	if (f->conf.iommu_entry) {
		table.regions[1] = table.regions[0];
		table.regions[1].guest_phys_addr += TWIN;
		table.regions[1].userspace_addr += TWIN;
		table.nregions = 2;
	}
	for (unsigned int i = 0; i < table.nregions; i++)
		fds[i] = f->conf.memory_fd;
	size = offsetof(struct vhost_user_mem_table, regions) +
	       table.nregions * sizeof(table.regions[0]);
	m = peer_message(VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, &table, size);
	peer_send_fds(f->sock, &m, sizeof(m.header) + size, fds, table.nregions);
}

static void
share_slots(struct frontend *f)
{
	for (unsigned int i = 0; i < f->conf.nr_regions; i++) {
		const struct vhost_user_mem_reg reg = { .region = region_of(f, i) };
		const struct peer_message m = peer_message(VHOST_USER_ADD_MEM_REG,
							   VHOST_USER_VERSION, &reg, sizeof(reg));

		peer_send_fds(f->sock, &m, sizeof(m.header) + sizeof(reg), &f->conf.memory_fd, 1);
	}
}

/* Rings' addresses are the IOMMU's as well, which are numbered as the front-end's own. */
static void
show_memory(struct frontend *f)
{
	static const uint64_t from[] = { FRONTEND_AT, GUEST_USER(FRONTEND_AT) };
	uint64_t len = f->conf.iommu_entry;

	for (uint64_t at = 0; at < f->conf.memory_len; at += len)
		for (unsigned int i = 0; i < 2; i++) {
			const struct vhost_iotlb_msg update = {
				.iova = from[i] + at, .size = len,
				.uaddr = GUEST_USER(FRONTEND_AT) + at + at / len % 2 * TWIN,
				.perm = VHOST_ACCESS_RW, .type = VHOST_IOTLB_UPDATE,
			};

			say(f, VHOST_USER_IOTLB_MSG, &update, sizeof(update));
		}
}

static void
share_inflight(struct frontend *f)
{
	const struct vhost_user_inflight inflight = {
		.mmap_size = f->conf.inflight_len,
		.num_queues = 2,
		.queue_size = f->conf.ring_size,
	};
	const struct peer_message m = peer_message(VHOST_USER_SET_INFLIGHT_FD, VHOST_USER_VERSION,
						   &inflight, sizeof(inflight));

	peer_send_fds(f->sock, &m, sizeof(m.header) + sizeof(inflight), &f->conf.inflight_fd, 1);
}

/* With an eventfd of its own for each purpose, which only the back-end keeps: nobody waits. */
static void
say_eventfd(struct frontend *f, uint32_t request, uint64_t index)
{
	peer_request(f->sock, request, VHOST_USER_VERSION, &index, sizeof(index), 1);
}

static void
start_ring(struct frontend *f, const struct driver *d, uint32_t index)
{
	const struct ring_claim claim = driver_claim(d, false);
	const struct vhost_vring_addr addr = {
		.index = index,
		.desc_user_addr = claim.desc.v,
		.used_user_addr = claim.used.v,
		.avail_user_addr = claim.avail.v,
	};

	say_of_ring(f, VHOST_USER_SET_VRING_BASE, index, driver_base(d));
	say(f, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr));
	say_eventfd(f, VHOST_USER_SET_VRING_KICK, index);
	say_eventfd(f, VHOST_USER_SET_VRING_CALL, index);
}

void
frontend_connect(struct frontend *f, const char *path)
{
	const uint64_t features = f->conf.features | BIT64(VHOST_USER_F_PROTOCOL_FEATURES_BIT);
	const bool in_slots = f->conf.nr_regions > VHOST_USER_MEM_TABLE_REGIONS;
	const uint64_t slots = in_slots ? BIT64(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS_BIT) : 0;

	f->sock = peer_connect(path);
	CHECK_EQ(features & ~ask_u64(f, VHOST_USER_GET_FEATURES), 0);
	ask_u64(f, VHOST_USER_GET_PROTOCOL_FEATURES);
	say_u64(f, VHOST_USER_SET_PROTOCOL_FEATURES, f->conf.protocol_features | slots);
	say(f, VHOST_USER_SET_OWNER, NULL, 0);
	say_u64(f, VHOST_USER_SET_FEATURES, features);
	if (in_slots)
		share_slots(f);
	else
		share_table(f);
	if (f->conf.inflight_len)
		share_inflight(f);
	/* Rings first: some back-ends remember what is shown for those they know. */
	for (uint32_t index = 0; index < 2; index++)
		say_of_ring(f, VHOST_USER_SET_VRING_NUM, index, f->conf.ring_size);
	if (f->conf.iommu_entry)
		show_memory(f);
	start_ring(f, &f->rx, 0);
	start_ring(f, &f->tx, 1);
	for (uint32_t index = 0; index < 2; index++)
		say_of_ring(f, VHOST_USER_SET_VRING_ENABLE, index, 1);
	/* Messages are handled in order: this answer comes after all of them. */
	ask_u64(f, VHOST_USER_GET_FEATURES);
}

void
frontend_disconnect(struct frontend *f)
{
	if (f->sock >= 0)
		close(f->sock);
	f->sock = -1;
}
