/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_random.c - random chains of an honest guest, both ways, over random kinds of queues.
 *
 * Each seed draws what is negotiated, the ring's size and where it begins; then chains of any shape
 * (shape.h), packets of any kind and bursts of any size. Nothing may be lost but what fits nowhere.
 * Some of the time the guest is being moved: then exactly the pages that are written are marked.
 */
#define _GNU_SOURCE 1

#include "model/packet.h"
#include "model/shape.h"
#include "model/watch.h"

#define NR_SEEDS	24
#define NR_TURNS	40
#define NR_PACKETS_MAX	40

static struct net_rig rig;
static struct shaper shaper;
static struct watch watch;
static bool is_logged;

/* A packet on its way, as it is to arrive. */
struct expected {
	uint32_t len;
	uint64_t rx_flags;		/* pull: of the mbuf */
	struct virtio_net_hdr hdr;	/* push: all but num_buffers */
	uint8_t bytes[PACKET_MAX];
};

static struct expected expected[NR_PACKETS_MAX];
static uint32_t nr_expected, nr_arrived;
static uint64_t nr_too_long;		/* of those expected */

static bool
one_in(uint32_t n)
{
	return random_below(n) == 0;
}

/* ---- what is negotiated --------------------------------------------------------------------- */

static uint64_t
draw_features(void)
{
	uint64_t features = one_in(4) ? RIG_LEGACY : RIG_MODERN;

	features |= one_in(2) ? RIG_MERGEABLE : 0;
	features |= one_in(2) ? RIG_INDIRECT : 0;
	features |= one_in(2) ? RIG_EVENT_IDX : 0;
	features |= one_in(2) ? RIG_CSUM | RIG_GUEST_CSUM : 0;
	return features;
}

/* A split ring has a power of two; that is also what a packed one may have. */
static uint16_t
draw_ring_size(bool packed)
{
	if (packed && !one_in(3))
		return (uint16_t)(SHAPE_PIECES_MAX + random_below(400));
	return (uint16_t)(16u << random_below(6));
}

/* The packed feature may also come from the program's arguments, with VERSION_1. */
static void
open_rig(void)
{
	struct net_rig_conf conf = {
		.features = draw_features(),
		.room = (uint16_t)(64 + random_below(one_in(2) ? 200 : 2500)),
		.nr_mbufs = 8191,
		.first_idx = (uint16_t)random_next(),
		.csum_flags = one_in(2),
	};

	conf.ring_size = draw_ring_size(conf.features & RIG_MODERN && net_rig_is_packed());
	net_rig_open(&rig, &conf);
	shaper = (struct shaper){
		.guest = &rig.guest, .hdr_len = rig.hdr_len,
		.indirect = conf.features & RIG_INDIRECT, .packed = rig.tx.kind == RING_PACKED,
	};
	watch_open(&watch, &rig, WATCH_SIZE_ALL, random_below(5000), one_in(2));
	is_logged = false;
}

static void
close_rig(void)
{
	net_rig_close(&rig);
	watch_close(&watch);
}

/* When nothing lies in the ring, all memory is free again. */
static void
begin_turn(const struct driver *d)
{
	if (one_in(4)) {
		is_logged = !is_logged;
		watch_switch(&watch, is_logged);
	}
	nr_expected = nr_arrived = 0;
	if (d->nr_free == d->size) {
		shaper.taken = 0;
		rig.guest.next = GUEST_BUFFERS_AT;
		rig.half_written = false;
	}
}

static uint32_t
draw_len(void)
{
	if (one_in(100))
		return RIG_FRAME_MAX - random_below(4);
	if (one_in(30))
		return NET_FRAME_MIN + random_below(20000);
	return NET_FRAME_MIN + random_below(one_in(2) ? 70 : 1600);
}

/* ---- guest to host -------------------------------------------------------------------------- */

/* RFC 1071, and RFC 768 where the field is where UDP has it. */
static void
finish_checksum(struct expected *e, uint32_t start, uint32_t offset)
{
	uint32_t sum = 0;

	for (uint32_t i = start; i < e->len; i++)
		sum += (i - start) & 1 ? e->bytes[i] : (uint32_t)e->bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	sum = ~sum & 0xffff;
	put16(e->bytes + start + offset, sum == 0 && offset == 6 ? 0xffff : sum);
}

/* What means nothing in a header is noise. */
static struct virtio_net_hdr
draw_header(struct expected *e)
{
	bool csum = rig.dev->features & RIG_CSUM && one_in(2);
	uint32_t start = random_below(e->len - 1), offset = random_below(e->len - 1 - start);
	struct virtio_net_hdr hdr = {
		.hdr_len = le16_put((uint16_t)random_next()),
		.gso_size = le16_put((uint16_t)random_next()),
		.csum_start = le16_put((uint16_t)start), .csum_offset = le16_put((uint16_t)offset),
		.num_buffers = le16_put((uint16_t)random_next()),
	};

	e->rx_flags = 0;
	if (!(rig.dev->features & RIG_CSUM)) {
		hdr.flags = random_next() & 0xff;
		hdr.gso_type = random_next() & 0xff;
	}
	if (!csum || start + offset > UINT16_MAX)
		return hdr;
	hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	if (net_queue_of(rig.pull)->csum_flags)
		e->rx_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
	return hdr;
}

/* False: the ring has no room for the chain that was drawn. */
static bool
send_random(void)
{
	static uint8_t bytes[VIRTIO_NET_HDR_LEN + PACKET_MAX];
	struct expected *e = &expected[nr_expected];
	struct virtio_net_hdr hdr;
	struct shape shape;

	e->len = draw_len();
	shape_make(&shaper, rig.hdr_len + e->len, false, &shape);
	if (shape_slots(&rig.tx, &shape) > rig.tx.nr_free)
		return false;
	rig_frame(e->bytes, random_next(), e->len);
	hdr = draw_header(e);
	memcpy(bytes, &hdr, rig.hdr_len);
	memcpy(bytes + rig.hdr_len, e->bytes, e->len);
	shape_write(&rig.guest, &shape, bytes);
	shape_post(&shaper, &rig.tx, &shape);
	if (rig.dev->features & RIG_CSUM && hdr.flags && !e->rx_flags)
		finish_checksum(e, le16_get(hdr.csum_start), le16_get(hdr.csum_offset));
	nr_expected++;
	return true;
}

static void
take_expected(struct rte_mbuf *m)
{
	const struct expected *e = &expected[nr_arrived++];
	static uint8_t got[PACKET_MAX];

	CHECK_EQ(m->pkt_len, e->len);
	CHECK_EQ(m->ol_flags, e->rx_flags);
	rig_mbuf_read(m, got);
	CHECK_EQ(memcmp(got, e->bytes, e->len), 0);
	rte_pktmbuf_free(m);
}

static void
pull_all(void)
{
	struct rte_mbuf *mbufs[NR_PACKETS_MAX];

	while (nr_arrived < nr_expected) {
		uint16_t want = (uint16_t)(1 + random_below(NR_PACKETS_MAX));
		uint16_t nr;

		watch_begin(&watch);
		nr = vhc_net_pull(rig.pull, mbufs, want);
		watch_end(&watch, is_logged);
		CHECK_EQ(nr, RTE_MIN((uint32_t)want, nr_expected - nr_arrived));
		for (uint16_t i = 0; i < nr; i++)
			take_expected(mbufs[i]);
	}
	CHECK_EQ(vhc_net_pull(rig.pull, mbufs, NR_PACKETS_MAX), 0);
}

static void
collect_all_sent(void)
{
	struct used_entry used;

	for (uint32_t i = 0; i < nr_expected; i++) {
		CHECK(driver_collect(&rig.tx, &used));
		CHECK_EQ(used.len, 0);
	}
	CHECK(!driver_collect(&rig.tx, &used));
	CHECK_EQ(rig.tx.nr_free, rig.tx.size);
}

static void
pull_turns(void)
{
	open_rig();
	for (unsigned int turn = 0; turn < NR_TURNS; turn++) {
		uint32_t want = random_below(NR_PACKETS_MAX + 1);

		begin_turn(&rig.tx);
		while (nr_expected < want && send_random())
			;
		driver_publish(&rig.tx);
		pull_all();
		collect_all_sent();
	}
	CHECK_EQ(rig_nr_faults(rig.pull), 0);
	close_rig();
}

static void
test_random_chains_out_of_the_guest(void)
{
	random_seeds(NR_SEEDS, pull_turns);
}

/* ---- host to guest -------------------------------------------------------------------------- */

/* Room for a header at least; where buffers do not merge, sometimes for no packet at all. */
static void
offer_random(void)
{
	static const uint8_t untouched = 0xcc;
	unsigned int nr = random_below(NR_PACKETS_MAX);
	struct shape shape;

	for (unsigned int i = 0; i < nr; i++) {
		uint32_t len = rig.hdr_len + (one_in(4) ? random_below(20) : draw_len());

		shape_make(&shaper, len, true, &shape);
		if (shape_slots(&rig.rx, &shape) > rig.rx.nr_free)
			break;
		shape_fill(&rig.guest, &shape, untouched);
		shape_post(&shaper, &rig.rx, &shape);
	}
	driver_publish(&rig.rx);
}

static uint32_t
draw_seg_len(uint32_t len)
{
	if (len > 5000 || one_in(2))
		return 0;
	return 1 + random_below(one_in(2) ? 40 : 1000);
}

static struct rte_mbuf *
make_plain(struct expected *e)
{
	uint32_t seed = random_next(), len = draw_len();
	struct rte_mbuf *m = rig_mbuf(&rig, seed, len, draw_seg_len(len));

	*e = (struct expected){ .len = len };
	rig_frame(e->bytes, seed, len);
	if (!one_in(4))
		return m;
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	if (rig.dev->features & RIG_GUEST_CSUM)
		e->hdr.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	return m;
}

/* A checksum is to be made: by us, or by the guest that takes it half done. */
static struct rte_mbuf *
make_unsummed(struct expected *e)
{
	static struct packet p;
	struct rte_mbuf *m;

	packet_make(&p, &(struct packet_spec){
		.ipv6 = one_in(2), .vlan = one_in(2), .proto = one_in(2) ? PROTO_TCP : PROTO_UDP,
		.payload_len = random_below(one_in(20) ? 20000 : 1500), .seed = random_next(),
		.l3_options = one_in(2) ? 16 : 0, .l4_options = one_in(2) ? 12 : 0,
	});
	m = packet_mbuf(&rig, &p, draw_seg_len(p.len));
	m->ol_flags |= p.proto == PROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
	*e = (struct expected){ .len = p.len };
	memcpy(e->bytes, p.bytes, p.len);
	if (!(rig.dev->features & RIG_GUEST_CSUM)) {
		put16(e->bytes + field_at(&p), l4_checksum(&p));
		return m;
	}
	put16(e->bytes + field_at(&p), pseudo_sum(&p));
	e->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	e->hdr.csum_start = le16_put((uint16_t)l4_at(&p));
	e->hdr.csum_offset = le16_put((uint16_t)p.csum_offset);
	return m;
}

/* Packets that were not taken are forgotten. */
static void
push_random(void)
{
	uint16_t nr = (uint16_t)(1 + random_below(NR_PACKETS_MAX)), nr_done;
	struct rte_mbuf *mbufs[NR_PACKETS_MAX];

	for (uint16_t i = 0; i < nr; i++)
		mbufs[i] = (one_in(3) ? make_unsummed : make_plain)(&expected[i]);
	nr_too_long = rig_stats(rig.push).too_long;
	watch_begin(&watch);
	nr_done = vhc_net_push(rig.push, mbufs, nr);
	watch_end(&watch, is_logged);
	CHECK(nr_done <= nr);
	nr_too_long = rig_stats(rig.push).too_long - nr_too_long;
	rig.half_written |= nr_done < nr || nr_too_long;
	rte_pktmbuf_free_bulk(mbufs + nr_done, nr - nr_done);
	nr_expected = nr_done;
}

static bool
is_same(const struct expected *e, struct virtio_net_hdr hdr, const uint8_t *frame, uint32_t len)
{
	hdr.num_buffers = le16_put(0);
	return e->len == len && memcmp(&e->hdr, &hdr, sizeof(hdr)) == 0 &&
	       memcmp(e->bytes, frame, len) == 0;
}

/* In order, and what does not arrive was counted as too long. */
static void
receive_all(void)
{
	static uint8_t frame[2 * RIG_FRAME_MAX];
	uint64_t nr_received = 0;
	struct virtio_net_hdr hdr;
	uint32_t len;

	while ((len = rig_receive(&rig, &hdr, frame)) > 0) {
		while (nr_arrived < nr_expected &&
		       !is_same(&expected[nr_arrived], hdr, frame, len))
			nr_arrived++;
		CHECK(nr_arrived < nr_expected);
		nr_arrived++;
		nr_received++;
	}
	CHECK_EQ(nr_received + nr_too_long, nr_expected);
}

static void
push_turns(void)
{
	open_rig();
	for (unsigned int turn = 0; turn < NR_TURNS; turn++) {
		begin_turn(&rig.rx);
		offer_random();
		push_random();
		receive_all();
	}
	CHECK_EQ(rig_nr_faults(rig.push), 0);
	close_rig();
}

static void
test_random_chains_into_the_guest(void)
{
	random_seeds(NR_SEEDS, push_turns);
}

static const struct test tests[] = {
	TEST(test_random_chains_out_of_the_guest),
	TEST(test_random_chains_into_the_guest),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
