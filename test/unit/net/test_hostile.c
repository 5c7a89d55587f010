/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_hostile.c - a guest that spoils anything it can reach, between bursts, at random.
 *
 * Honest chains of any shape are posted; then descriptors, tables, indices, flags, headers and our
 * own half of the ring are overwritten with traps and noise while bursts go on. Whatever comes of
 * it: nothing outside the guest's memory is touched (guard pages, sanitizers), pull writes to no
 * buffer, every mbuf delivered makes sense, faults are counted by name, and all mbufs come home.
 * test_race.c does the same from another thread, where no seed brings a failure back.
 */
#define _GNU_SOURCE 1

#include "model/guest_packed.h"
#include "model/packet.h"
#include "model/shape.h"

#define NR_SEEDS	20
#define NR_TURNS	6
#define NR_BURSTS	40
#define NR_PER_BURST	48

static struct net_rig rig;
static struct shaper shaper;
static uint64_t seen[RING_NR_FAULTS];

static bool
one_in(uint32_t n)
{
	return random_below(n) == 0;
}

static void
open_rig(void)
{
	struct net_rig_conf conf = {
		.features = one_in(4) ? RIG_LEGACY : RIG_MODERN, .nr_mbufs = 4095,
		.room = (uint16_t)(64 + random_below(1000)), .first_idx = (uint16_t)random_next(),
		.csum_flags = one_in(2),
	};
	bool packed = conf.features & RIG_MODERN && net_rig_is_packed();

	conf.features |= one_in(2) ? RIG_MERGEABLE : 0;
	conf.features |= one_in(4) ? 0 : RIG_INDIRECT;
	conf.features |= one_in(2) ? RIG_EVENT_IDX : 0;
	conf.features |= one_in(4) ? 0 : RIG_CSUM | RIG_GUEST_CSUM;
	conf.features |= one_in(2) ? RIG_HOST_TSO4 | RIG_GUEST_TSO4 | RIG_HOST_TSO6 : 0;
	conf.ring_size = packed ? (uint16_t)(20 + random_below(200)) :
				  (uint16_t)(16u << random_below(5));
	net_rig_open(&rig, &conf);
}

/* ---- traps ---------------------------------------------------------------------------------- */

static uint64_t
bad_addr(uint64_t addr)
{
	switch (random_below(8)) {
	case 0:
		return random_below(2) ? 0 : UINT64_MAX - random_below(64);
	case 1:
		return GUEST_FAR_AT + random_below(2) * GUEST_FAR_LEN - random_below(3);
	case 2:
		return (uint64_t)random_next() << 32 | random_next();
	case 3:
		return addr + random_below(64) - 32;
	case 4:
		return GUEST_LOW_AT + random_below(0x300000);	/* the rings themselves */
	default:
		return guest_end_at(random_below(NR_ENDS), random_below(200));
	}
}

static uint32_t
bad_len(void)
{
	switch (random_below(6)) {
	case 0:
		return 0;
	case 1:
		return random_below(2) ? UINT32_MAX - random_below(64) : 1u << random_below(32);
	case 2:
		return 65540 + random_below(40);
	case 3:
		return 16 * random_below(2000);
	default:
		return random_below(rig.hdr_len + 20u);
	}
}

static uint16_t
bad_number(uint16_t size)
{
	return (uint16_t)(one_in(2) ? random_below(size + 2u) : random_next());
}

static le16
bad_flags(le16 old)
{
	const uint16_t keep = VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED;
	uint16_t flags = (uint16_t)(random_next() & (one_in(4) ? 0xffff : 7));

	return le16_put(one_in(4) ? flags : (uint16_t)((flags & ~keep) | (le16_get(old) & keep)));
}

/* ---- what is spoilt ------------------------------------------------------------------------- */

static void
spoil_entry(const struct driver *d, union driver_desc *desc)
{
	le16 *flags = driver_desc_flags(d, desc);

	switch (random_below(4)) {
	case 0:
		desc->addr = le64_put(bad_addr(le64_get(desc->addr)));
		break;
	case 1:
		desc->len = le32_put(bad_len());
		break;
	case 2:
		*flags = bad_flags(*flags);
		break;
	default:
		if (d->kind == RING_PACKED)
			desc->packed.id = le16_put(bad_number(d->size));
		else
			desc->split.next = le16_put(bad_number(d->size));
	}
}

/* Requests that may make sense, and others. */
static void
spoil_header(uint64_t at)
{
	static const uint8_t gso_types[] = { 0, 0, 1, 3, 4, 5, 0x81, 0xff };
	struct virtio_net_hdr hdr = {
		.flags = random_next() & 3,
		.gso_type = gso_types[random_below(VHC_ARRAY_LEN(gso_types))],
		.gso_size = le16_put((uint16_t)random_below(3)),
		.csum_start = le16_put((uint16_t)random_below(one_in(2) ? 60 : 0x10000)),
		.csum_offset = le16_put((uint16_t)random_below(one_in(2) ? 20 : 0x10000)),
	};

	guest_write(&rig.guest, at, &hdr, rig.hdr_len);
}

/* What a descriptor points at, where it still does: a table's entry, or a packet's header. */
static void
spoil_behind(const struct driver *d, union driver_desc *desc)
{
	uint64_t at = le64_get(desc->addr);
	union driver_desc entry;

	if (at < GUEST_BUFFERS_AT || at > GUEST_END_AT - 4096)
		return;
	if (!(le16_get(*driver_desc_flags(d, desc)) & VIRTQ_DESC_F_INDIRECT)) {
		spoil_header(at);
		return;
	}
	at += random_below(8) * sizeof(entry);
	guest_read(&rig.guest, at, &entry, sizeof(entry));
	spoil_entry(d, &entry);
	guest_write(&rig.guest, at, &entry, sizeof(entry));
}

static void
spoil_split(const struct driver *d)
{
	switch (random_below(4)) {
	case 0:
		d->avail->ring[random_below(d->size + 1u)] =
			le16_put(one_in(8) ? bad_number(d->size) : (uint16_t)random_below(d->size));
		break;
	case 1:
		d->avail->flags = le16_put((uint16_t)random_next());
		break;
	case 2:
		d->used->ring[random_below(d->size)].id = le32_put(random_next());
		break;
	default:
		d->used->idx = le16_put((uint16_t)random_next());
	}
}

static void
spoil_packed(const struct driver *d)
{
	struct virtq_event *event = one_in(2) ? d->driver_event : d->device_event;

	if (one_in(2))
		event->desc = le16_put((uint16_t)random_next());
	else
		event->flags = le16_put((uint16_t)random_next());
}

/* Buffers that are used already come again, as long as they are said to be now. */
static void
offer_again(struct driver *d, struct ring_mark at, uint32_t nr)
{
	if (d->kind == RING_SPLIT)
		d->avail->idx = le16_put((uint16_t)(at.idx + nr));
	for (uint32_t i = 0; i < nr && d->kind == RING_PACKED; i++) {
		struct ring_mark slot = guest_packed_after(d, at, i);
		struct virtq_packed_desc *desc = &d->packed[slot.idx];
		uint16_t bits = slot.wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;

		if (le32_get(desc->len) == 0)
			desc->len = le32_put(rig.hdr_len + random_below(300));
		desc->flags = le16_put((le16_get(desc->flags) & 7) | bits);
	}
}

/* More is made available than there is, seldom: it ends the turn. */
static void
spoil_index(struct driver *d)
{
	const struct vhc_queue *q = d == &rig.tx ? rig.pull : rig.push;

	if (one_in(40) && d->kind == RING_SPLIT)
		d->avail->idx = le16_put((uint16_t)random_next());
	else if (one_in(40))
		driver_insist(d);
	else
		offer_again(d, q->ring.avail, random_below(d->size + 1u));
}

static void
spoil(struct driver *d)
{
	uint32_t slot = random_below(d->size);
	union driver_desc *desc = d->kind == RING_PACKED ? (void *)&d->packed[slot] :
							   (void *)&d->desc[slot];

	switch (random_below(16)) {
	case 0:
		if (d->kind == RING_PACKED)
			spoil_packed(d);
		else
			spoil_split(d);
		break;
	case 1:
	case 2:
		spoil_index(d);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		spoil_behind(d, desc);
		break;
	default:
		spoil_entry(d, desc);
	}
}

/* ---- turns ---------------------------------------------------------------------------------- */

static void
fill_ring(struct driver *d, bool writable)
{
	static uint8_t bytes[4096];
	struct shape shape;

	shaper = (struct shaper){
		.guest = &rig.guest, .hdr_len = rig.hdr_len, .packed = d->kind == RING_PACKED,
		.indirect = rig.dev->features & RIG_INDIRECT,
	};
	rig.guest.next = GUEST_BUFFERS_AT;
	rig_frame(bytes + rig.hdr_len, random_next(), sizeof(bytes) - rig.hdr_len);
	for (;;) {
		shape_make(&shaper, rig.hdr_len + NET_FRAME_MIN + random_below(600), writable,
			   &shape);
		if (shape_slots(d, &shape) > d->nr_free)
			break;
		shape_write(&rig.guest, &shape, bytes);
		shape_post(&shaper, d, &shape);
	}
	driver_publish(d);
}

static void
count_faults(const struct vhc_queue *q)
{
	for (unsigned int fault = 0; fault < RING_NR_FAULTS; fault++)
		seen[fault] += vhc_queue_faults(q, fault);
}

static void
check_pulled(struct rte_mbuf *m)
{
	static uint8_t bytes[RIG_FRAME_MAX];

	CHECK(m->pkt_len >= NET_FRAME_MIN && m->pkt_len <= NET_FRAME_MAX);
	CHECK_EQ(m->port, 7);
	rig_mbuf_read(m, bytes);
	if (m->ol_flags & RTE_MBUF_F_RX_LRO) {
		CHECK(m->tso_segsz > 0);
		CHECK((uint32_t)m->l2_len + m->l3_len + m->l4_len < m->pkt_len);
	}
	rte_pktmbuf_free(m);
}

/* All that a buffer may lie in, as it is now. */
struct buffers {
	uint8_t low[1 << 20];
	uint8_t far[GUEST_FAR_LEN];
};

static void
read_buffers(struct buffers *b)
{
	guest_read(&rig.guest, GUEST_BUFFERS_AT, b->low, sizeof(b->low));
	guest_read(&rig.guest, GUEST_FAR_AT, b->far, sizeof(b->far));
}

static void
pull_spoilt(void)
{
	static struct buffers before, after;
	struct rte_mbuf *mbufs[NR_PER_BURST];
	uint16_t n = (uint16_t)random_below(NR_PER_BURST + 1), nr;

	read_buffers(&before);
	nr = vhc_net_pull(rig.pull, mbufs, n);
	CHECK(nr <= n);
	for (uint16_t i = 0; i < nr; i++)
		check_pulled(mbufs[i]);
	read_buffers(&after);
	CHECK_EQ(memcmp(&before, &after, sizeof(before)), 0);
}

static struct rte_mbuf *
make_packet(void)
{
	uint32_t len = NET_FRAME_MIN + random_below(one_in(20) ? 20000 : 700);
	struct packet_spec spec = { .proto = PROTO_TCP, .ipv6 = one_in(2), .payload_len = len };
	static struct packet p;
	struct rte_mbuf *m;

	if (one_in(2))
		return rig_mbuf(&rig, random_next(), len, one_in(2) ? 0 : 50 + len / 8);
	packet_make(&p, &spec);
	m = packet_mbuf(&rig, &p, one_in(2) ? 0 : 50 + len / 8);
	m->ol_flags |= one_in(2) ? RTE_MBUF_F_TX_TCP_SEG : RTE_MBUF_F_TX_TCP_CKSUM;
	m->tso_segsz = (uint16_t)(40 + random_below(600));
	m->vlan_tci = (uint16_t)random_next();
	m->ol_flags |= one_in(4) ? RTE_MBUF_F_TX_VLAN : 0;
	return m;
}

static void
push_spoilt(void)
{
	struct rte_mbuf *mbufs[NR_PER_BURST];
	uint16_t n = (uint16_t)random_below(NR_PER_BURST / 2 + 1), nr;

	for (uint16_t i = 0; i < n; i++)
		mbufs[i] = make_packet();
	nr = vhc_net_push(rig.push, mbufs, n);
	CHECK(nr <= n);
	rte_pktmbuf_free_bulk(mbufs + nr, n - nr);
}

static void
turns(const struct vhc_queue *q, struct driver *d, void (*move)(void))
{
	for (unsigned int turn = 0; turn < NR_TURNS; turn++) {
		net_rig_restart(&rig);
		fill_ring(d, d == &rig.rx);
		for (unsigned int burst = 0; burst < NR_BURSTS; burst++) {
			for (unsigned int i = random_below(12); i > 0; i--)
				spoil(d);
			move();
		}
	}
	count_faults(q);
}

static void
pull_turns(void)
{
	open_rig();
	turns(rig.pull, &rig.tx, pull_spoilt);
	net_rig_close(&rig);
}

static void
push_turns(void)
{
	open_rig();
	turns(rig.push, &rig.rx, push_spoilt);
	net_rig_close(&rig);
}

/*
 * Nearly every fault there is comes of the noise of all seeds, with split rings, being legacy,
 * among them. Not those that need more than it has: 4 GiB, a thousand pieces, a packed ring
 * without end.
 */
static void
check_seen(bool to_pull)
{
	static const enum ring_fault faults[] = {
		RING_FAULT_HEAD_RANGE, RING_FAULT_NEXT_RANGE, RING_FAULT_CHAIN_LOOP,
		RING_FAULT_CHAIN_EMPTY, RING_FAULT_CHAIN_ORDER, RING_FAULT_DESC_WRAP,
		RING_FAULT_DESC_UNMAPPED, RING_FAULT_INDIRECT_OFF, RING_FAULT_INDIRECT_NESTED,
		RING_FAULT_INDIRECT_NEXT, RING_FAULT_INDIRECT_LEN, RING_FAULT_INDIRECT_UNMAPPED,
		RING_FAULT_HDR_SHORT,
		/* only of a packet, and so the last */
		RING_FAULT_FRAME_SHORT, RING_FAULT_FRAME_LONG, RING_FAULT_CSUM_RANGE,
		RING_FAULT_GSO_OFF, RING_FAULT_GSO_BAD,
	};
	size_t nr = VHC_ARRAY_LEN(faults) - (to_pull ? 0 : 5);

	for (size_t i = 0; i < nr && !getenv("VHOSTX_SEED"); i++) {
		if (!seen[faults[i]])
			fprintf(stderr, "never counted: %s\n", vhc_fault_name(faults[i]));
		CHECK(seen[faults[i]] > 0);
	}
	memset(seen, 0, sizeof(seen));
}

static void
test_spoilt_rings_are_pulled_from(void)
{
	random_seeds(NR_SEEDS, pull_turns);
	check_seen(true);
}

static void
test_spoilt_rings_are_pushed_to(void)
{
	random_seeds(NR_SEEDS, push_turns);
	check_seen(false);
}

static const struct test tests[] = {
	TEST(test_spoilt_rings_are_pulled_from),
	TEST(test_spoilt_rings_are_pushed_to),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
