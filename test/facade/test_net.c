/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_net.c - the built-in network device as an application of rte_vhost.h uses it.
 *
 * With the argument "packed" every guest has packed rings.
 */
#define _GNU_SOURCE 1

#include "rig.h"

#define SET_MTU 20	/* VHOST_USER_NET_SET_MTU */
#define NR_STATS 17

static uint64_t modern = MODERN;
static struct rte_mempool *pool, *other_pool;

static void
fill_frame(uint8_t *frame, uint32_t len, uint8_t first)
{
	for (uint32_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(first + i);
	frame[0] &= 0xfe;
}

static struct rte_mbuf *
frame_mbuf(uint32_t len, uint8_t first)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	CHECK(m);
	fill_frame((uint8_t *)rte_pktmbuf_append(m, (uint16_t)len), len, first);
	return m;
}

/* ---- bursts --------------------------------------------------------------------------------- */

static void
test_enqueued_packets_arrive_and_stay_ours(void)
{
	unsigned int nr_avail = rte_mempool_avail_count(pool);
	uint8_t frame[2048], expected[2048];
	struct rte_mbuf *mbufs[3];
	struct side *s;

	rig_start(0);
	s = rig_connect(modern, 0);
	side_post(s, 3, 1600);
	for (unsigned int i = 0; i < 3; i++)
		mbufs[i] = frame_mbuf(60 + 400 * i, (uint8_t)i);
	CHECK_EQ(rte_vhost_enqueue_burst(heard_vid, 0, mbufs, 3), 3);
	CHECK_EQ(rte_mempool_avail_count(pool), nr_avail - 3);
	for (unsigned int i = 0; i < 3; i++) {
		CHECK_EQ(rte_mbuf_refcnt_read(mbufs[i]), 1);
		CHECK_EQ(side_receive(s, frame, sizeof(frame)), 60 + 400 * i);
		fill_frame(expected, 60 + 400 * i, (uint8_t)i);
		CHECK(memcmp(frame, expected, 60 + 400 * i) == 0);
	}
	CHECK_EQ(rte_vhost_enqueue_burst(heard_vid, 0, mbufs, 3), 0);
	rte_pktmbuf_free_bulk(mbufs, 3);
	rig_end(s);
}

/* One in segments and one too long take the other way through the library. */
static void
test_packets_of_other_shapes_stay_ours(void)
{
	unsigned int nr_avail = rte_mempool_avail_count(pool);
	struct rte_mbuf *mbufs[3];
	uint8_t frame[2048];
	struct side *s;

	rig_start(0);
	s = rig_connect(modern, 0);
	side_post(s, 2, 200);
	mbufs[0] = frame_mbuf(60, 0);
	CHECK_EQ(rte_pktmbuf_chain(mbufs[0], frame_mbuf(40, 60)), 0);
	mbufs[1] = frame_mbuf(1500, 0);		/* no room: dropped, consumed */
	mbufs[2] = frame_mbuf(64, 0);
	CHECK_EQ(rte_vhost_enqueue_burst(heard_vid, 0, mbufs, 3), 3);
	CHECK_EQ(rte_mempool_avail_count(pool), nr_avail - 4);
	CHECK_EQ(side_receive(s, frame, sizeof(frame)), 100);
	CHECK_EQ(side_receive(s, frame, sizeof(frame)), 64);
	rte_pktmbuf_free_bulk(mbufs, 3);
	CHECK_EQ(rte_mempool_avail_count(pool), nr_avail);
	rig_end(s);
}

static void
test_dequeued_packets_come_from_the_pool_that_is_named(void)
{
	struct rte_mempool *const pools[] = { pool, pool, other_pool, pool };
	uint8_t frame[128];
	struct side *s;

	rig_start(RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS);
	s = rig_connect(modern, 0);
	for (unsigned int i = 0; i < RTE_DIM(pools); i++) {
		struct rte_mbuf *m = NULL;

		fill_frame(frame, sizeof(frame), (uint8_t)i);
		side_send(s, frame, sizeof(frame));
		CHECK_EQ(rte_vhost_dequeue_burst(heard_vid, 1, NULL, &m, 1), 0);
		CHECK_EQ(rte_vhost_dequeue_burst(heard_vid, 1, pools[i], &m, 1), 1);
		CHECK(m->pool == pools[i]);
		CHECK_EQ(m->pkt_len, sizeof(frame));
		CHECK_EQ(m->port, RTE_MBUF_PORT_INVALID);
		CHECK(memcmp(rte_pktmbuf_mtod(m, void *), frame, sizeof(frame)) == 0);
		rte_pktmbuf_free(m);
		CHECK_EQ(side_reap(s), 1);
		CHECK_EQ(rte_vhost_dequeue_burst(heard_vid, 1, pools[i], &m, 1), 0);
	}
	rig_end(s);
}

static void
test_bursts_refuse_what_is_no_ring(void)
{
	const uint16_t wrong[] = { 1, 2, 254, 256, 65534 };
	struct rte_mbuf *m = frame_mbuf(60, 0), *got;
	struct side *s;
	int vid;

	rig_start(0);
	s = rig_connect(modern, 0);
	vid = heard_vid;
	side_post(s, 1, 200);
	side_send(s, "0123456789abcdef", 16);
	for (unsigned int i = 0; i < RTE_DIM(wrong); i++) {
		CHECK_EQ(rte_vhost_enqueue_burst(vid, wrong[i], &m, 1), 0);
		CHECK_EQ(rte_vhost_dequeue_burst(vid, wrong[i] ^ 1, pool, &got, 1), 0);
	}
	for (int bad = -1; bad <= 1024; bad += 1025) {
		CHECK_EQ(rte_vhost_enqueue_burst(bad, 0, &m, 1), 0);
		CHECK_EQ(rte_vhost_dequeue_burst(bad, 1, pool, &got, 1), 0);
	}
	CHECK_EQ(rte_vhost_enqueue_burst(vid, 0, NULL, 1), 0);
	CHECK_EQ(rte_vhost_dequeue_burst(vid, 1, pool, NULL, 1), 0);
	CHECK_EQ(rte_vhost_enqueue_burst(vid, 0, &m, 0), 0);
	side_disconnect(s);
	CHECK_HEARD("-0 -1 destroy_device destroy_connection ");
	CHECK_EQ(rte_vhost_enqueue_burst(vid, 0, &m, 1), 0);
	CHECK_EQ(rte_vhost_dequeue_burst(vid, 1, pool, &got, 1), 0);
	rte_pktmbuf_free(m);
	rig_end(s);
}

static void
test_how_full_rings_are(void)
{
	struct rte_mbuf *mbufs[8];
	struct side *s;

	rig_start(0);
	s = rig_connect(modern, 0);
	CHECK_EQ(rte_vhost_avail_entries(heard_vid, 0), 0);
	CHECK_EQ(rte_vhost_rx_queue_count(heard_vid, 1), 0);
	side_post(s, 5, 200);
	for (int i = 0; i < 3; i++)
		side_send(s, "0123456789abcdef", 16);
	CHECK_EQ(rte_vhost_avail_entries(heard_vid, 0), 5);
	CHECK_EQ(rte_vhost_avail_entries(heard_vid, 1), 3);
	CHECK_EQ(rte_vhost_rx_queue_count(heard_vid, 1), 3);
	CHECK_EQ(rte_vhost_rx_queue_count(heard_vid, 0), 0);
	CHECK_EQ(rte_vhost_dequeue_burst(heard_vid, 1, pool, mbufs, 2), 2);
	rte_pktmbuf_free_bulk(mbufs, 2);
	CHECK_EQ(rte_vhost_rx_queue_count(heard_vid, 1), 1);
	CHECK_EQ(rte_vhost_avail_entries(-1, 0), 0);
	CHECK_EQ(rte_vhost_avail_entries(heard_vid, 256), 0);
	CHECK_EQ(rte_vhost_avail_entries(heard_vid, 9), 0);
	CHECK_EQ(rte_vhost_rx_queue_count(-1, 1), 0);
	CHECK_EQ(rte_vhost_rx_queue_count(heard_vid, 257), 0);
	rig_end(s);
}

/* ---- facts ---------------------------------------------------------------------------------- */

static void
test_features_and_mtu(void)
{
	const uint64_t mtu_to_say = 1400;
	uint64_t bits;
	uint16_t mtu;
	struct side *s;

	rig_start(0);
	s = rig_connect(modern, 0);
	CHECK_EQ(rte_vhost_get_mtu(heard_vid, &mtu), -ENOTSUP);
	CHECK_EQ(rte_vhost_get_mtu(heard_vid, NULL), -ENODEV);
	CHECK_EQ(rte_vhost_get_mtu(-1, &mtu), -ENODEV);
	side_disconnect(s);
	CHECK_HEARD("-0 -1 destroy_device destroy_connection ");
	side_destroy(s);

	s = rig_connect(modern | FEATURE(NET_F_MTU), PROTOCOL(NET_MTU));
	side_say(s, SET_MTU, &mtu_to_say, sizeof(mtu_to_say), NULL);
	side_say(s, 1, NULL, 0, &bits);
	CHECK_EQ(rte_vhost_get_mtu(heard_vid, &mtu), 0);
	CHECK_EQ(mtu, 1400);
	CHECK_EQ(rte_vhost_get_negotiated_features(heard_vid, &bits), 0);
	CHECK_EQ(bits, modern | FEATURE(NET_F_MTU) | UINT64_C(1) << 30);
	CHECK_EQ(rte_vhost_get_negotiated_features(heard_vid, NULL), -1);
	CHECK_EQ(rte_vhost_get_negotiated_features(1023, &bits), -1);
	CHECK_EQ(rte_vhost_get_negotiated_protocol_features(heard_vid, &bits), 0);
	CHECK_EQ(bits, PROTOCOL(NET_MTU));
	CHECK_EQ(rte_vhost_get_negotiated_protocol_features(heard_vid, NULL), -1);
	CHECK_EQ(rte_vhost_get_negotiated_protocol_features(-1, &bits), -1);
	side_stop_ring(s, SIDE_TX);
	CHECK_EQ(rte_vhost_get_mtu(heard_vid, &mtu), -EAGAIN);
	rig_end(s);
}

static void
test_names_and_numbers(void)
{
	struct side *s;
	char name[108];

	rig_start(0);
	s = rig_connect(modern, 0);
	CHECK_EQ(rte_vhost_get_vring_num(heard_vid), 2);
	CHECK_EQ(rte_vhost_get_queue_num(heard_vid), 1);
	CHECK_EQ(rte_vhost_get_vring_num(-1), 0);
	CHECK(rte_vhost_get_numa_node(heard_vid) >= -1);
	CHECK_EQ(rte_vhost_get_numa_node(-1), -1);
	CHECK_EQ(rte_vhost_get_ifname(heard_vid, name, sizeof(name)), 0);
	CHECK(strcmp(name, rig_path) == 0);
	CHECK_EQ(rte_vhost_get_ifname(heard_vid, name, 4), 0);
	CHECK(strncmp(name, rig_path, 3) == 0 && name[3] == '\0');
	name[0] = 'x';
	CHECK_EQ(rte_vhost_get_ifname(heard_vid, name, 0), -1);
	CHECK(name[0] == 'x');
	CHECK_EQ(rte_vhost_get_ifname(heard_vid, NULL, 10), -1);
	CHECK_EQ(rte_vhost_get_ifname(-1, name, 10), -1);
	CHECK(!rte_vhost_get_vdpa_device(heard_vid));
	CHECK(!rte_vhost_get_vdpa_device(-1));
	rig_end(s);
}

static void
test_memory_table(void)
{
	struct rte_vhost_memory *mem = NULL;
	struct side *s;
	uint64_t len, at;

	rig_start(0);
	s = rig_connect(modern, 0);
	CHECK_EQ(rte_vhost_get_mem_table(heard_vid, &mem), 0);
	CHECK_EQ(mem->nregions, 1);
	CHECK_EQ(mem->regions[0].size, SIDE_MEMORY_LEN);
	CHECK_EQ(mem->regions[0].guest_phys_addr, side_guest_address(s, 0));
	side_memory(s)[0x654321] = 0x77;
	len = 100;
	at = rte_vhost_va_from_guest_pa(mem, side_guest_address(s, 0x654321), &len);
	CHECK_EQ(*(uint8_t *)(uintptr_t)at, 0x77);
	CHECK_EQ(len, 100);
	CHECK_EQ(rte_vhost_gpa_to_vva(mem, side_guest_address(s, 0x654321)), at);
	CHECK_EQ(rte_vhost_gpa_to_vva(mem, side_guest_address(s, SIDE_MEMORY_LEN)), 0);
	free(mem);
	CHECK_EQ(rte_vhost_get_mem_table(heard_vid, NULL), -1);
	CHECK_EQ(rte_vhost_get_mem_table(-1, &mem), -1);
	rig_end(s);
}

static struct rte_vhost_vring
vring_of(uint16_t ring)
{
	struct rte_vhost_vring vring;

	CHECK_EQ(rte_vhost_get_vhost_vring(heard_vid, ring, &vring), 0);
	return vring;
}

static void
test_vrings(void)
{
	struct rte_vhost_vring vring;
	uint16_t avail, used;
	struct side *s;

	rig_start(0);
	s = rig_connect(modern, 0);
	vring = vring_of(1);
	CHECK_EQ(vring.size, SIDE_RING_SIZE);
	CHECK(vring.desc && vring.avail && vring.used);
	CHECK(vring.kickfd >= 0 && vring.callfd >= 0);
	CHECK_EQ(rte_vhost_get_vhost_vring(heard_vid, 2, &vring), -1);
	CHECK_EQ(rte_vhost_get_vhost_vring(heard_vid, 256, &vring), -1);
	CHECK_EQ(rte_vhost_get_vhost_vring(heard_vid, 1, NULL), -1);
	CHECK_EQ(rte_vhost_get_vhost_vring(-1, 1, &vring), -1);
	CHECK_EQ(rte_vhost_get_vring_base(heard_vid, 1, &avail, &used), 0);
	CHECK_EQ(avail, modern & FEATURE(F_RING_PACKED) ? 0x8000 : 0);
	CHECK_EQ(used, avail);
	CHECK_EQ(rte_vhost_get_vring_base(heard_vid, 1, NULL, &used), -1);
	CHECK_EQ(rte_vhost_get_vring_base(heard_vid, 2, &avail, &used), -1);
	CHECK_EQ(rte_vhost_get_vring_base(-1, 1, &avail, &used), -1);
	/* The library works these rings itself. */
	CHECK_EQ(rte_vhost_set_vring_base(heard_vid, 1, 0, 0), -1);
	side_stop_ring(s, SIDE_TX);
	vring = vring_of(1);
	CHECK(!vring.desc && !vring.avail && !vring.used);
	CHECK_EQ(vring.kickfd, -2);
	rig_end(s);
}

/* ---- notifications -------------------------------------------------------------------------- */

static unsigned int nr_notified;

static void
on_guest_notified(int vid)
{
	CHECK_EQ(vid, heard_vid);
	nr_notified++;
}

static void
test_interrupts_are_told_of(void)
{
	struct rte_mbuf *m = frame_mbuf(60, 0);
	struct side *s;

	nr_notified = 0;
	rig_ops.guest_notified = on_guest_notified;
	rig_start(0);
	s = rig_connect(modern, 0);
	side_post(s, 2, 200);
	CHECK_EQ(rte_vhost_enqueue_burst(heard_vid, 0, &m, 1), 1);
	CHECK_EQ(nr_notified, 0);
	side_want_calls(s, SIDE_RX);
	CHECK_EQ(rte_vhost_enqueue_burst(heard_vid, 0, &m, 1), 1);
	CHECK_EQ(nr_notified, 1);
	CHECK_EQ(side_nr_calls(s, SIDE_RX), 1);
	rte_pktmbuf_free(m);
	rig_end(s);
	rig_ops.guest_notified = NULL;
}

static void
test_wishes_for_kicks(void)
{
	struct side *s;

	rig_start(0);
	s = rig_connect(modern, 0);
	CHECK(!side_kicks_refused(s, SIDE_TX));
	CHECK_EQ(rte_vhost_enable_guest_notification(heard_vid, 1, 0), 0);
	CHECK(side_kicks_refused(s, SIDE_TX));
	CHECK_EQ(rte_vhost_enable_guest_notification(heard_vid, 1, 1), 0);
	CHECK(!side_kicks_refused(s, SIDE_TX));
	CHECK_EQ(rte_vhost_enable_guest_notification(heard_vid, 2, 1), -1);
	CHECK_EQ(rte_vhost_enable_guest_notification(heard_vid, 256, 1), -1);
	CHECK_EQ(rte_vhost_enable_guest_notification(-1, 1, 1), -1);
	rig_end(s);
}

static void
test_monitor(void)
{
	struct rte_vhost_power_monitor_cond cond;
	struct side *s;

	rig_start(0);
	s = rig_connect(modern, 0);
	CHECK_EQ(rte_vhost_get_monitor_addr(heard_vid, 1, &cond), 0);
	CHECK_EQ(cond.size, 2);
	CHECK_EQ(((*(volatile uint16_t *)cond.addr & cond.mask) == cond.val) == cond.match, 0);
	side_send(s, "0123456789abcdef", 16);
	CHECK_EQ(((*(volatile uint16_t *)cond.addr & cond.mask) == cond.val) == cond.match, 1);
	CHECK_EQ(rte_vhost_get_monitor_addr(heard_vid, 1, NULL), -1);
	CHECK_EQ(rte_vhost_get_monitor_addr(heard_vid, 2, &cond), -1);
	CHECK_EQ(rte_vhost_get_monitor_addr(-1, 1, &cond), -1);
	side_stop_ring(s, SIDE_TX);
	CHECK_EQ(rte_vhost_get_monitor_addr(heard_vid, 1, &cond), -1);
	rig_end(s);
}

/* ---- statistics ----------------------------------------------------------------------------- */

static uint64_t
stat_of(uint16_t ring, const char *name)
{
	struct rte_vhost_stat_name names[NR_STATS];
	struct rte_vhost_stat stats[NR_STATS];

	CHECK_EQ(rte_vhost_vring_stats_get_names(heard_vid, ring, names, NR_STATS), NR_STATS);
	CHECK_EQ(rte_vhost_vring_stats_get(heard_vid, ring, stats, NR_STATS), NR_STATS);
	for (unsigned int i = 0; i < NR_STATS; i++) {
		CHECK_EQ(stats[i].id, i);
		if (strcmp(names[i].name, name) == 0)
			return stats[i].value;
	}
	CHECK(!"the name is there");
	return 0;
}

static void
test_statistics(void)
{
	struct rte_mbuf *m = frame_mbuf(64, 0), *got;
	struct rte_vhost_stat stats[NR_STATS];
	struct side *s;

	rig_start(RTE_VHOST_USER_NET_STATS_ENABLE);
	s = rig_connect(modern, 0);
	side_post(s, 2, 200);
	CHECK_EQ(rte_vhost_enqueue_burst(heard_vid, 0, &m, 1), 1);
	side_send(s, "0123456789abcdef", 16);
	CHECK_EQ(rte_vhost_dequeue_burst(heard_vid, 1, pool, &got, 1), 1);
	rte_pktmbuf_free(got);
	CHECK_EQ(stat_of(0, "tx_q0_good_packets"), 1);
	CHECK_EQ(stat_of(0, "tx_q0_good_bytes"), 64);
	CHECK_EQ(stat_of(0, "tx_q0_size_64_packets"), 1);
	CHECK_EQ(stat_of(1, "rx_q0_good_packets"), 1);
	CHECK_EQ(stat_of(1, "rx_q0_undersize_packets"), 1);
	CHECK_EQ(stat_of(1, "rx_q0_inflight_completed"), 0);
	CHECK_EQ(rte_vhost_vring_stats_reset(heard_vid, 0), 0);
	CHECK_EQ(stat_of(0, "tx_q0_good_packets"), 0);
	CHECK_EQ(stat_of(1, "rx_q0_good_packets"), 1);
	CHECK_EQ(rte_vhost_vring_stats_get(heard_vid, 1, NULL, 0), NR_STATS);
	CHECK_EQ(rte_vhost_vring_stats_get(heard_vid, 1, stats, NR_STATS - 1), NR_STATS);
	CHECK_EQ(rte_vhost_vring_stats_get_names(heard_vid, 1, NULL, 0), NR_STATS);
	CHECK_EQ(rte_vhost_vring_stats_get(heard_vid, 2, stats, NR_STATS), -1);
	CHECK_EQ(rte_vhost_vring_stats_get(-1, 1, stats, NR_STATS), -1);
	CHECK_EQ(rte_vhost_vring_stats_get_names(-1, 1, NULL, 0), -1);
	CHECK_EQ(rte_vhost_vring_stats_reset(heard_vid, 2), -1);
	side_disconnect(s);
	CHECK_HEARD("-0 -1 destroy_device destroy_connection ");
	side_destroy(s);
	s = rig_connect(modern, 0);		/* another front-end, counted from 0 */
	CHECK_EQ(stat_of(1, "rx_q0_good_packets"), 0);
	rte_pktmbuf_free(m);
	rig_end(s);
}

static void
test_statistics_must_be_asked_for(void)
{
	struct rte_vhost_stat stats[NR_STATS];
	struct side *s;

	rig_start(0);
	s = rig_connect(modern, 0);
	CHECK_EQ(rte_vhost_vring_stats_get_names(heard_vid, 1, NULL, 0), -1);
	CHECK_EQ(rte_vhost_vring_stats_get(heard_vid, 1, stats, NR_STATS), -1);
	CHECK_EQ(rte_vhost_vring_stats_reset(heard_vid, 1), -1);
	rig_end(s);
}

static const struct test tests[] = {
	TEST(test_enqueued_packets_arrive_and_stay_ours),
	TEST(test_packets_of_other_shapes_stay_ours),
	TEST(test_dequeued_packets_come_from_the_pool_that_is_named),
	TEST(test_bursts_refuse_what_is_no_ring),
	TEST(test_how_full_rings_are),
	TEST(test_features_and_mtu),
	TEST(test_names_and_numbers),
	TEST(test_memory_table),
	TEST(test_vrings),
	TEST(test_interrupts_are_told_of),
	TEST(test_wishes_for_kicks),
	TEST(test_monitor),
	TEST(test_statistics),
	TEST(test_statistics_must_be_asked_for),
};

/* EAL is up before the first test, so that is where pools are made. */
static void
test_pools(void)
{
	pool = rte_pktmbuf_pool_create("one", 255, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, 0);
	other_pool = rte_pktmbuf_pool_create("two", 255, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, 0);
	CHECK(pool && other_pool);
	run_tests(tests, RTE_DIM(tests));
}

static const struct test first[] = { TEST(test_pools) };

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "packed") == 0)
		modern |= FEATURE(F_RING_PACKED);
	return rig_main(argv[0], first, RTE_DIM(first));
}
