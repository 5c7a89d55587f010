/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_announce.c - the guest's address, told to the network once, before the guest's own packets.
 */
#define _GNU_SOURCE 1

#include <poll.h>
#include <pthread.h>

#include "model/packet.h"

static struct net_rig rig;

static const struct net_rig_conf modern = { .features = RIG_MODERN };
static const uint8_t mac[] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
static const uint8_t other_mac[] = { 0x02, 0x00, 0x00, 0x00, 0x00, 0x01 };

#define RARP_LEN 60

static void
announce(const uint8_t *address)
{
	vhc_net_class()->announce(rig.dev, address);
}

/* RFC 903, a byte at a time. */
static void
take_rarp(struct rte_mbuf *m, const uint8_t *address)
{
	static const uint8_t head[] = { 0x80, 0x35, 0, 1, 0x08, 0x00, 6, 4, 0, 3 };
	uint8_t expected[RARP_LEN] = { 0 }, got[RARP_LEN];

	memset(expected, 0xff, 6);
	memcpy(expected + 6, address, 6);
	memcpy(expected + 12, head, sizeof(head));
	memcpy(expected + 22, address, 6);
	memcpy(expected + 32, address, 6);
	CHECK_EQ(m->pkt_len, RARP_LEN);
	CHECK_EQ(m->port, 7);
	CHECK_EQ(m->ol_flags, 0);
	rig_mbuf_read(m, got);
	CHECK_EQ(memcmp(got, expected, RARP_LEN), 0);
	rte_pktmbuf_free(m);
}

static void
send_frames(uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		rig_send(&rig, i, 100);
	driver_publish(&rig.tx);
}

/* First the announcement, then what the guest sent; afterwards the burst is what it was. */
static void
test_one_frame_before_all_others(void)
{
	struct rte_mbuf *mbufs[8];
	vhc_burst_t before;

	net_rig_open(&rig, &modern);
	before = rig.pull->burst;
	for (uint32_t nr = 0; nr < 4; nr++) {
		announce(mac);
		CHECK(rig.pull->burst != before);
		send_frames(nr);
		CHECK_EQ(vhc_net_pull(rig.pull, mbufs, 8), nr + 1);
		CHECK(rig.pull->burst == before);
		take_rarp(mbufs[0], mac);
		for (uint32_t i = 0; i < nr; i++)
			rig_take_frame(mbufs[i + 1], i, 100);
		CHECK_EQ(vhc_net_pull(rig.pull, mbufs, 8), 0);
	}
	CHECK_EQ(rig_stats(rig.pull).packets, 4 + 6);
	CHECK_EQ(rig_stats(rig.pull).broadcast, 4);
	CHECK_EQ(rig_stats(rig.pull).bytes, 4 * RARP_LEN + 6 * 100);
	net_rig_close(&rig);
}

static void
test_bursts_that_are_too_small(void)
{
	struct rte_mbuf *m;

	net_rig_open(&rig, &modern);
	announce(mac);
	send_frames(1);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 0), 0);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	take_rarp(m, mac);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	rig_take_frame(m, 0, 100);
	net_rig_close(&rig);
}

/* Front-ends repeat themselves; who has not heard the first time hears the last. */
static void
test_announced_again(void)
{
	struct rte_mbuf *mbufs[4];

	net_rig_open(&rig, &modern);
	announce(mac);
	announce(other_mac);
	CHECK_EQ(vhc_net_pull(rig.pull, mbufs, 4), 1);
	take_rarp(mbufs[0], other_mac);
	CHECK_EQ(vhc_net_pull(rig.pull, mbufs, 4), 0);
	net_rig_close(&rig);
}

static void
test_waits_for_an_mbuf(void)
{
	static struct rte_mbuf *taken[1024];
	struct rte_mbuf *m;
	unsigned int nr = 0;

	net_rig_open(&rig, &modern);
	announce(mac);
	while ((taken[nr] = rte_pktmbuf_alloc(rig.pool)))
		nr++;
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 0);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 0);
	rte_pktmbuf_free_bulk(taken, nr);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	take_rarp(m, mac);
	net_rig_close(&rig);
}

/* The rings may start after the message; what belongs to a guest that is gone is not told. */
static void
test_survives_a_restart_but_no_reset(void)
{
	struct rte_mbuf *mbufs[4];

	net_rig_open(&rig, &modern);
	announce(mac);
	net_rig_restart(&rig);
	CHECK_EQ(vhc_net_pull(rig.pull, mbufs, 4), 1);
	take_rarp(mbufs[0], mac);
	announce(mac);
	vhc_device_reset(rig.dev);
	CHECK(!net_queue_of(rig.pull)->announces);
	net_rig_close(&rig);
}

static void
test_tags_are_still_stripped(void)
{
	static struct packet packet;
	static const struct virtio_net_hdr hdr;
	struct rte_mbuf *mbufs[2];

	net_rig_open(&rig, &modern);
	vhc_net_vlan_strip(rig.pull, true);
	announce(mac);
	for (int i = 0; i < 2; i++) {
		packet_make_udp(&packet, false, 1, 100);
		packet_send(&rig, &hdr, &packet, 0);
		CHECK_EQ(vhc_net_pull(rig.pull, mbufs, 2), 2 - i);
		CHECK(mbufs[1 - i]->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED);
		rte_pktmbuf_free(mbufs[1 - i]);
		if (i == 0)
			take_rarp(mbufs[0], mac);
	}
	net_rig_close(&rig);
}

static void
test_wakes_who_sleeps(void)
{
	struct pollfd wait = { .events = POLLIN };
	struct rte_mbuf *m;

	net_rig_open(&rig, &modern);
	wait.fd = vhc_queue_kick_fd(rig.pull);
	CHECK(!vhc_queue_want_kicks(rig.pull, true));
	CHECK_EQ(poll(&wait, 1, 0), 0);
	announce(mac);
	CHECK_EQ(poll(&wait, 1, 0), 1);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	take_rarp(m, mac);
	net_rig_close(&rig);
}

/* ---- while a poller runs -------------------------------------------------------------------- */

static bool stop;

/* Every frame is one of the two announcements; returns how many came. */
static void *
poll_frames(void *arg)
{
	uint32_t *nr_frames = arg;
	struct rte_mbuf *m;

	while (!ld_acquire(&stop)) {
		if (vhc_net_pull(rig.pull, &m, 1) == 0)
			continue;
		take_rarp(m, *rte_pktmbuf_mtod_offset(m, uint8_t *, 6) == mac[0] ? mac : other_mac);
		(*nr_frames)++;
	}
	return NULL;
}

/* One that was repeated before it was heard is heard once; none is lost, none is torn. */
static void
test_announced_to_a_poller_that_runs(void)
{
	uint32_t nr_frames = 0, nr_announced = 0;
	struct rte_mbuf *m;
	pthread_t poller;

	net_rig_open(&rig, &modern);
	st_release(&stop, false);
	CHECK_EQ(pthread_create(&poller, NULL, poll_frames, &nr_frames), 0);
	for (; nr_announced < 3000; nr_announced++) {
		announce(nr_announced & 1 ? mac : other_mac);
		usleep(nr_announced % 64 ? 0 : 1000);
	}
	usleep(1000);
	st_release(&stop, true);
	CHECK_EQ(pthread_join(poller, NULL), 0);
	nr_frames += vhc_net_pull(rig.pull, &m, 1) ? (take_rarp(m, mac), 1) : 0;
	CHECK(nr_frames >= nr_announced / 64 && nr_frames <= nr_announced);
	CHECK(!net_queue_of(rig.pull)->announces);
	net_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_one_frame_before_all_others),
	TEST(test_bursts_that_are_too_small),
	TEST(test_announced_again),
	TEST(test_waits_for_an_mbuf),
	TEST(test_survives_a_restart_but_no_reset),
	TEST(test_tags_are_still_stripped),
	TEST(test_wakes_who_sleeps),
	TEST(test_announced_to_a_poller_that_runs),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
