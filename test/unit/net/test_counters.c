/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_counters.c - statistics to the last packet, and interrupts just when the driver wants one.
 */
#define _GNU_SOURCE 1

#include "model/net_rig.h"

static struct net_rig rig;

static const struct net_rig_conf modern = { .features = RIG_MODERN, .room = 128 };
static const struct net_rig_conf event_idx = {
	.features = RIG_MODERN | RIG_EVENT_IDX, .first_idx = 65530,
};

static void
discard_used(struct driver *d)
{
	struct used_entry used;

	while (driver_collect(d, &used))
		;
}

/* ---- statistics ----------------------------------------------------------------------------- */

/* Size classes as their names say. */
static unsigned int
size_class_by_name(uint32_t len)
{
	static const uint32_t last[] = { 63, 64, 127, 255, 511, 1023, 1518 };
	unsigned int i = 0;

	while (i < VHC_ARRAY_LEN(last) && len > last[i])
		i++;
	return i;
}

static const struct destination {
	uint8_t bytes[6];
	bool is_multicast;
	bool is_broadcast;
} destinations[] = {
	{ { 0x02, 0, 0, 0, 0, 1 }, false, false },
	{ { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff }, false, false },
	{ { 0x01, 0, 0x5e, 0, 0, 1 }, true, false },
	{ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe }, true, false },
	{ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, false, true },
};

/* In two descriptors the destination lies in both. */
static void
pull_frame(uint32_t len, const struct destination *to, bool in_pieces)
{
	uint32_t total = rig.hdr_len + len, cut = in_pieces ? rig.hdr_len + 3u : total;
	const struct piece pieces[] = {
		{ GUEST_BUFFERS_AT, cut, false }, { GUEST_BUFFERS_AT + cut, total - cut, false },
	};
	struct rte_mbuf *m;

	rig_write_packet(&rig, GUEST_BUFFERS_AT, NULL, len, len);
	guest_write(&rig.guest, GUEST_BUFFERS_AT + rig.hdr_len, to->bytes, 6);
	driver_post(&rig.tx, pieces, in_pieces ? 2 : 1);
	driver_publish(&rig.tx);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	rte_pktmbuf_free(m);
	discard_used(&rig.tx);
}

/* In segments of four or five bytes it lies in two of them. */
static void
push_frame(uint32_t len, const struct destination *to, bool in_pieces)
{
	uint32_t seg_len = 4 + len / 100;
	struct rte_mbuf *m = rig_mbuf(&rig, len, len, in_pieces ? seg_len : 0);
	struct rte_mbuf *seg = m;

	for (uint32_t i = 0, at = 0; i < 6; i++, at++) {
		if (at == seg->data_len) {
			seg = seg->next;
			at = 0;
		}
		*rte_pktmbuf_mtod_offset(seg, uint8_t *, at) = to->bytes[i];
	}
	rig_offer(&rig, 1, rig.hdr_len + len);
	driver_publish(&rig.rx);
	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
	discard_used(&rig.rx);
}

static void
check_statistics(struct vhc_queue *q, void (*move)(uint32_t, const struct destination *, bool))
{
	struct vhc_net_stats expected = { .packets = 0 }, got;

	for (uint32_t i = 0; i < 2 * 1700; i++) {
		uint32_t len = NET_FRAME_MIN + i / 2;
		const struct destination *to = &destinations[i % VHC_ARRAY_LEN(destinations)];

		move(len, to, i & 1);
		expected.packets++;
		expected.bytes += len;
		expected.sizes[size_class_by_name(len)]++;
		expected.broadcast += to->is_broadcast;
		expected.multicast += to->is_multicast;
		expected.notifications++;
	}
	got = rig_stats(q);
	for (size_t i = 0; i < sizeof(got) / sizeof(uint64_t); i++)
		CHECK_EQ(((uint64_t *)&got)[i], ((uint64_t *)&expected)[i]);
}

static void
test_statistics_are_exact_and_outlive_the_ring(void)
{
	struct vhc_net_stats before, after;

	net_rig_open(&rig, &modern);
	check_statistics(rig.pull, pull_frame);
	check_statistics(rig.push, push_frame);
	before = rig_stats(rig.pull);
	net_rig_restart(&rig);
	after = rig_stats(rig.pull);
	CHECK_EQ(memcmp(&before, &after, sizeof(before)), 0);
	net_rig_close(&rig);
}

/* ---- interrupts ----------------------------------------------------------------------------- */

/* Pull `nr` packets in one burst; returns the interrupts that came of it. */
static uint64_t
calls_for_pulling(unsigned int nr)
{
	struct rte_mbuf *mbufs[32];

	for (unsigned int i = 0; i < nr; i++)
		rig_send(&rig, i, 60);
	driver_publish(&rig.tx);
	CHECK_EQ(vhc_net_pull(rig.pull, mbufs, 32), nr);
	rte_pktmbuf_free_bulk(mbufs, nr);
	discard_used(&rig.tx);
	return rig_nr_signals(rig.call[1]);
}

static uint64_t
calls_for_pushing(unsigned int nr)
{
	struct rte_mbuf *mbufs[32];

	rig_offer(&rig, nr, 100);
	driver_publish(&rig.rx);
	for (uint32_t i = 0; i < nr; i++)
		mbufs[i] = rig_mbuf(&rig, i, 60, 0);
	CHECK_EQ(vhc_net_push(rig.push, mbufs, (uint16_t)nr), nr);
	discard_used(&rig.rx);
	return rig_nr_signals(rig.call[0]);
}

static void
follow_the_flag(struct driver *d, struct vhc_queue *q, uint64_t (*calls_for)(unsigned int))
{
	CHECK_EQ(calls_for(3), 1);
	CHECK_EQ(calls_for(0), 0);
	driver_want_calls(d, false);
	CHECK_EQ(calls_for(3), 0);
	CHECK_EQ(calls_for(2), 0);
	driver_want_calls(d, true);
	CHECK_EQ(calls_for(1), 1);
	CHECK_EQ(rig_stats(q).notifications, 2);
	CHECK_EQ(rig_stats(q).notifications_suppressed, 2);
	CHECK(driver_kicks_refused(d));
}

static void
test_interrupts_without_event_idx(void)
{
	net_rig_open(&rig, &modern);
	follow_the_flag(&rig.tx, rig.pull, calls_for_pulling);
	CHECK_EQ(rig_nr_signals(rig.call[0]), 0);
	follow_the_flag(&rig.rx, rig.push, calls_for_pushing);
	CHECK_EQ(rig_nr_signals(rig.call[1]), 0);
	net_rig_close(&rig);
}

/* The indices begin at 65530, or 6 slots before the ring begins anew. */
static void
follow_the_index(struct driver *d, struct vhc_queue *q, uint64_t (*calls_for)(unsigned int))
{
	driver_want_call_at(d, driver_event_after(d, 6));
	CHECK_EQ(calls_for(1), 1);	/* the first is always due */
	CHECK_EQ(calls_for(5), 0);	/* the next entry is the one */
	CHECK_EQ(calls_for(1), 1);
	CHECK_EQ(calls_for(10), 0);
	driver_want_call_at(d, driver_event_after(d, 7));
	CHECK_EQ(calls_for(7), 0);
	CHECK_EQ(calls_for(3), 1);
	CHECK_EQ(rig_stats(q).notifications, 3);
	CHECK_EQ(rig_stats(q).notifications_suppressed, 3);
}

static void
test_interrupts_with_event_idx(void)
{
	net_rig_open(&rig, &event_idx);
	follow_the_index(&rig.tx, rig.pull, calls_for_pulling);
	follow_the_index(&rig.rx, rig.push, calls_for_pushing);
	net_rig_close(&rig);
}

/* A full eventfd is a wake-up pending; a driver without one polls. Neither is a failure. */
static void
test_call_descriptor_full_or_missing(void)
{
	struct net_rig_conf conf = modern;
	uint64_t most = UINT64_MAX - 1;

	net_rig_open(&rig, &conf);
	CHECK_EQ(write(rig.call[1], &most, sizeof(most)), (ssize_t)sizeof(most));
	CHECK_EQ(calls_for_pulling(3), most);
	CHECK_EQ(rig_stats(rig.pull).notifications, 1);
	CHECK_EQ(rig_stats(rig.pull).notifications_failed, 0);
	net_rig_close(&rig);

	conf.no_call_fd = true;
	net_rig_open(&rig, &conf);
	CHECK_EQ(calls_for_pulling(3), 0);
	CHECK_EQ(rig_stats(rig.pull).notifications, 0);
	CHECK_EQ(rig_stats(rig.pull).notifications_failed, 0);
	net_rig_close(&rig);
}

/* A bad buffer is the driver's again even if no packet went: it must hear of it. */
static void
test_returned_bad_buffer_is_announced(void)
{
	const struct piece bad = { 0, 100, true };
	struct rte_mbuf *m;

	net_rig_open(&rig, &modern);
	driver_post(&rig.rx, &bad, 1);
	driver_publish(&rig.rx);
	m = rig_mbuf(&rig, 1, 60, 0);
	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 0);
	CHECK_EQ(driver_nr_used(&rig.rx), 1);
	CHECK_EQ(rig_nr_signals(rig.call[0]), 1);
	rte_pktmbuf_free(m);
	net_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_statistics_are_exact_and_outlive_the_ring),
	TEST(test_interrupts_without_event_idx),
	TEST(test_interrupts_with_event_idx),
	TEST(test_call_descriptor_full_or_missing),
	TEST(test_returned_bad_buffer_is_announced),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
