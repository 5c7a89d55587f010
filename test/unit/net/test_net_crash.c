/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_net_crash.c - a switch ends between any two of its stores into ring and notes, the next one
 * goes on.
 *
 * The bursts are compiled in here once more, with stores that count themselves and end the burst at
 * a number that is given: all the queue knew is forgotten, what it had stored stays. Whatever the
 * number:
 *
 *  - pull: the driver has every buffer back, once; each packet was in a burst, in order, once. Of a
 *    burst that was complete when the process ended, its mbufs ended with it;
 *  - push: the driver has every buffer back, once; what arrives is whole, in order, and once.
 *
 * The next one may end anywhere while it puts things in order, and the one after that goes on.
 */
#define _GNU_SOURCE 1

#include <setjmp.h>
#include <stdint.h>

#include "base/order.h"

static jmp_buf crash;
static uint32_t stores_left;	/* 0: no end in sight */

static void
count_store(void)
{
	if (stores_left && --stores_left == 0)
		longjmp(crash, 1);
}

/* Before the store: the first that is counted never happens, the last but one does. */
#undef st_relaxed
#undef st_release
#undef st_then_fence
#define st_relaxed(p, v) \
	do { \
		count_store(); \
		__atomic_store_n((p), (v), __ATOMIC_RELAXED); \
	} while (0)
#define st_release(p, v) \
	do { \
		count_store(); \
		__atomic_store_n((p), (v), __ATOMIC_RELEASE); \
	} while (0)
#define st_then_fence(p, v) \
	do { \
		count_store(); \
		(void)__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST); \
	} while (0)

/* Names of their own beside the library's. */
#define NET_KERNEL crash
#define vhc_net_track_begin crash_track_begin
#define vhc_net_track_end crash_track_end
#define vhc_net_note crash_note

#include "../../../lib/vhostcore/ring/inflight.c"
#include "../../../lib/vhostcore/net/track.c"
#include "../../../lib/vhostcore/net/pull.c"
#include "../../../lib/vhostcore/net/push.c"

#include "model/net_rig.h"

#define SIZE		16
#define NR_PACKETS	36
#define BURST		5

static struct net_rig rig;
static struct rte_mbuf *mbufs[BURST];

/* ---- a back-end ends ------------------------------------------------------------------------ */

static uint32_t
frame_len(unsigned int packet)
{
	return 60 + packet * 97 % 500;
}

/* Mbufs are its own, and end with it. */
static void
fresh_pool(void)
{
	struct vhc_net_pull_conf conf = { .port = 7 };

	rte_mempool_free(rig.pool);
	rig.pool = rte_pktmbuf_pool_create("rig", 63, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, -1);
	CHECK(rig.pool);
	conf.pool = rig.pool;
	CHECK_EQ(vhc_net_pull_setup(rig.pull, &conf), 0);
}

/* Returns true if it ended before its time. */
static bool
runs_until(uint32_t stores, void (*run)(void))
{
	if (setjmp(crash))
		return true;
	stores_left = stores;
	run();
	stores_left = 0;
	return false;
}

static void
begin_again(void)
{
	net_rig_begin_again(&rig);
}

static void
next_back_end(uint32_t second)
{
	fresh_pool();
	net_rig_abandon(&rig);
	if (runs_until(second, begin_again)) {
		net_rig_abandon(&rig);
		begin_again();
	}
}

/* ---- pull ----------------------------------------------------------------------------------- */

static unsigned int nr_sent, nr_seen, nr_returned;

static void
collect_sent(void)
{
	struct used_entry used;

	for (; driver_collect(&rig.tx, &used); nr_returned++)
		CHECK(nr_returned < nr_sent);
}

/* Every third in two pieces. */
static void
send_one(unsigned int packet)
{
	uint32_t len = rig.hdr_len + frame_len(packet);
	uint64_t at = guest_alloc(&rig.guest, len);
	const struct piece pieces[] = {
		{ at, rig.hdr_len, false }, { at + rig.hdr_len, frame_len(packet), false },
	};
	const struct piece whole = { at, len, false };

	rig_write_packet(&rig, at, NULL, packet, frame_len(packet));
	if (packet % 3)
		driver_post(&rig.tx, &whole, 1);
	else
		driver_post(&rig.tx, pieces, 2);
}

static void
send_all_that_fits(void)
{
	for (; nr_sent < NR_PACKETS && rig.tx.nr_free >= 2; nr_sent++)
		send_one(nr_sent);
	driver_publish(&rig.tx);
}

static void
pull_all(void)
{
	while (nr_returned < NR_PACKETS) {
		uint16_t n = (uint16_t)(1 + random_below(BURST)), nr;

		send_all_that_fits();
		nr = pull_tracked(rig.pull, (void **)mbufs, n);
		CHECK(nr > 0);
		for (uint16_t i = 0; i < nr; i++, nr_seen++)
			rig_take_frame(mbufs[i], nr_seen, frame_len(nr_seen));
		collect_sent();
		CHECK_EQ(nr_returned, nr_seen);
	}
}

static bool
tell_pull(uint32_t seed, uint32_t first, uint32_t second)
{
	const struct net_rig_conf conf = {
		.features = RIG_MODERN, .ring_size = SIZE, .tracked = true, .nr_mbufs = 63,
	};
	bool crashed;

	random_begin(seed);
	nr_sent = nr_seen = nr_returned = 0;
	net_rig_open(&rig, &conf);
	crashed = runs_until(first, pull_all);
	if (crashed) {
		collect_sent();
		/* All of the burst that was under way, or nothing. */
		CHECK(nr_returned >= nr_seen && nr_returned <= nr_seen + BURST);
		nr_seen = nr_returned;
		next_back_end(second);
		pull_all();
	}
	CHECK_EQ(nr_returned, NR_PACKETS);
	CHECK_EQ(rig.tx.nr_free, rig.tx.size);
	CHECK_EQ(rig_nr_faults(rig.pull), 0);
	net_rig_close(&rig);
	return crashed;
}

/* ---- push ----------------------------------------------------------------------------------- */

#define NR_BUFFERS	54
#define BUFFER_LEN	200

static unsigned int nr_offered, nr_pushed, next_to_arrive;

static void
offer_all_that_fits(void)
{
	for (; nr_offered < NR_BUFFERS && rig.rx.nr_free; nr_offered++)
		rig_offer(&rig, 1, BUFFER_LEN);
	driver_publish(&rig.rx);
}

/* The next packet that arrives is one that was pushed behind the last, and all of it. */
static bool
one_arrives(void)
{
	static uint8_t got[RIG_FRAME_MAX], expected[RIG_FRAME_MAX];
	struct virtio_net_hdr hdr;
	uint32_t len = rig_receive(&rig, &hdr, got);

	if (!len)
		return false;
	for (; next_to_arrive < nr_pushed; next_to_arrive++) {
		rig_frame(expected, next_to_arrive, frame_len(next_to_arrive));
		if (len == frame_len(next_to_arrive) && memcmp(got, expected, len) == 0)
			break;
	}
	CHECK(next_to_arrive < nr_pushed);
	next_to_arrive++;
	return true;
}

static void
push_some(void)
{
	uint16_t n = (uint16_t)(1 + random_below(BURST)), nr;

	for (uint16_t i = 0; i < n; i++)
		mbufs[i] = rig_mbuf(&rig, nr_pushed + i, frame_len(nr_pushed + i), 0);
	nr_pushed += n;
	nr = push_tracked(rig.push, (void **)mbufs, n);
	nr_pushed -= n - nr;
	for (uint16_t i = nr; i < n; i++)
		rte_pktmbuf_free(mbufs[i]);
}

/* Until there is less room than for any packet. */
static void
push_all(void)
{
	while (nr_offered < NR_BUFFERS || rig.rx.size - rig.rx.nr_free >= 4) {
		offer_all_that_fits();
		push_some();
		while (one_arrives())
			;
	}
}

static bool
tell_push(uint32_t seed, uint32_t first, uint32_t second)
{
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_MERGEABLE, .ring_size = SIZE, .tracked = true,
		.nr_mbufs = 63,
	};
	bool crashed;

	random_begin(seed);
	nr_offered = nr_pushed = next_to_arrive = 0;
	net_rig_open(&rig, &conf);
	rig.half_written = true;
	crashed = runs_until(first, push_all);
	if (crashed) {
		while (one_arrives())
			;
		next_back_end(second);
		push_all();
	}
	CHECK_EQ(nr_offered, NR_BUFFERS);
	CHECK_EQ(rig_nr_faults(rig.push), 0);
	net_rig_close(&rig);
	return crashed;
}

/* ---- stories -------------------------------------------------------------------------------- */

#define NR_SEEDS 2

static void
crash_everywhere(bool (*tell)(uint32_t seed, uint32_t first, uint32_t second))
{
	for (uint32_t seed = 1; seed <= NR_SEEDS; seed++) {
		uint32_t first = 1;

		while (tell(seed, first, 0))
			first++;
		CHECK(first > 200);	/* stores were counted at all */
	}
}

static void
crash_twice(bool (*tell)(uint32_t seed, uint32_t first, uint32_t second))
{
	for (uint32_t first = 20; first < 300; first += 29)
		for (uint32_t second = 1; second < 40; second += 3)
			tell(9, first, second);
}

static void test_pull(void) { crash_everywhere(tell_pull); }
static void test_push(void) { crash_everywhere(tell_push); }
static void test_pull_twice(void) { crash_twice(tell_pull); }
static void test_push_twice(void) { crash_twice(tell_push); }

static const struct test tests[] = {
	TEST(test_pull),
	TEST(test_push),
	TEST(test_pull_twice),
	TEST(test_push_twice),
};

/* One a story would be said a thousand times. */
static void
say_nothing(enum vhc_log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

int
main(int argc, char **argv)
{
	(void)argc;
	vhc_log_set_sink(say_nothing, NULL);
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
