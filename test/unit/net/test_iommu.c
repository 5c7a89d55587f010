/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_iommu.c - bursts of a guest whose IOMMU shows its memory page by page, and takes pages away.
 *
 * The test is the front-end: what the rings miss it shows, a page at a time. No packet may be lost
 * or changed by that, and what was taken away must not be touched any more.
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "model/net_rig.h"
#include "ring/inflight.h"

#define NR_SEEDS	12
#define NR_TURNS	60
#define NR_PACKETS_MAX	24
#define NR_TAKEN_AWAY	200

/* Where the rings are, which are shown always; and where guest_alloc() has its first buffers. */
#define RINGS_LEN	(GUEST_BUFFERS_AT - GUEST_LOW_AT)
#define ARENA_LEN	(256 * GUEST_PAGE)

static struct net_rig rig;

static void
open_with_rings_only(uint64_t more, bool tracked)
{
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_IOMMU | more, .ring_size = 64, .room = 700,
		.tracked = tracked,
	};

	net_rig_open(&rig, &conf);
	vhc_loop_lock(rig.loop);
	vhc_device_invalidate(rig.dev, GUEST_BUFFERS_AT, UINT64_MAX);
	vhc_loop_unlock(rig.loop);
	CHECK_EQ(rig.dev->iommu.iotlb->readable->nr, 1);
}

/* Show the page that a queue misses. False: it misses none. */
static bool
serve(struct vhc_queue *q)
{
	uint64_t at;
	bool is_missed, writes;

	vhc_loop_lock(rig.loop);
	is_missed = q->ring.miss.state == MISS_NOTED || q->ring.miss.state == MISS_ASKED;
	at = q->ring.miss.iova & ~(uint64_t)(GUEST_PAGE - 1);
	writes = q->ring.miss.writes;
	vhc_loop_unlock(rig.loop);
	if (!is_missed)
		return false;
	CHECK(at >= GUEST_BUFFERS_AT && at < GUEST_END_AT);
	CHECK_EQ(writes, q == rig.push);
	net_rig_show(&rig, at, GUEST_PAGE);
	return true;
}

static void
take_away(uint64_t at, uint64_t len)
{
	vhc_loop_lock(rig.loop);
	vhc_device_invalidate(rig.dev, at, len);
	vhc_loop_unlock(rig.loop);
}

static void
take_away_at_random(void)
{
	if (random_below(3))
		return;
	if (random_below(4) == 0)
		take_away(GUEST_BUFFERS_AT, UINT64_MAX);
	else
		take_away(GUEST_BUFFERS_AT + random_below(256) * GUEST_PAGE,
			  GUEST_PAGE * (1 + random_below(8)));
}

/* ---- nothing is lost ------------------------------------------------------------------------ */

static struct frame {
	uint32_t seed;
	uint32_t len;
} frames[NR_PACKETS_MAX];

static void
draw_frames(uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		frames[i] = (struct frame){ random_next(), 14 + random_below(2500) };
}

static void
collect_sent(void)
{
	struct used_entry used;

	while (driver_collect(&rig.tx, &used))
		CHECK_EQ(used.len, 0);
}

static void
pull_with_misses(void)
{
	uint32_t nr = 1 + random_below(NR_PACKETS_MAX), nr_arrived = 0;
	struct rte_mbuf *mbufs[NR_PACKETS_MAX];

	draw_frames(nr);
	for (uint32_t i = 0; i < nr; i++)
		rig_send(&rig, frames[i].seed, frames[i].len);
	driver_publish(&rig.tx);
	while (nr_arrived < nr) {
		uint16_t got = vhc_net_pull(rig.pull, mbufs, NR_PACKETS_MAX);

		for (uint16_t i = 0; i < got; i++, nr_arrived++)
			rig_take_frame(mbufs[i], frames[nr_arrived].seed, frames[nr_arrived].len);
		CHECK(serve(rig.pull) || nr_arrived == nr);
		take_away_at_random();
	}
	collect_sent();
}

static void
push_with_misses(void)
{
	uint32_t nr = 1 + random_below(NR_PACKETS_MAX), nr_sent = 0;

	draw_frames(nr);
	rig_offer(&rig, rig.rx.nr_free, 2600);
	driver_publish(&rig.rx);
	while (nr_sent < nr) {
		struct rte_mbuf *m = rig_mbuf(&rig, frames[nr_sent].seed, frames[nr_sent].len,
					      random_below(2) ? 0 : 100);

		while (vhc_net_push(rig.push, &m, 1) == 0) {
			CHECK(serve(rig.push));
			take_away_at_random();
		}
		rig_receive_frame(&rig, frames[nr_sent].seed, frames[nr_sent].len, 1);
		nr_sent++;
	}
}

static void
run_with_misses(void)
{
	open_with_rings_only(0, false);
	for (unsigned int i = 0; i < NR_TURNS; i++) {
		if (rig.rx.nr_free == rig.rx.size && rig.tx.nr_free == rig.tx.size)
			rig.guest.next = GUEST_BUFFERS_AT;
		pull_with_misses();
		push_with_misses();
	}
	CHECK_EQ(rig_nr_faults(rig.pull), 0);
	CHECK_EQ(rig_nr_faults(rig.push), 0);
	net_rig_close(&rig);
}

static void
test_nothing_is_lost(void)
{
	random_seeds(NR_SEEDS, run_with_misses);
}

/* ---- chains and tables ---------------------------------------------------------------------- */

/* Every piece, and the table, in a page of its own: each is asked for, then the packet comes. */
static void
test_pieces_and_tables(void)
{
	const uint64_t at = GUEST_BUFFERS_AT;
	const struct piece pieces[] = {
		{ at, 12 + 20, false }, { at + 2 * GUEST_PAGE - 10, 40, false },
		{ at + 5 * GUEST_PAGE, 100, false },
	};
	uint8_t frame[160];
	struct rte_mbuf *m;

	rig_frame(frame, 3, sizeof(frame));
	for (unsigned int indirect = 0; indirect < 2; indirect++) {
		unsigned int nr_missed = 0;

		open_with_rings_only(RIG_INDIRECT, false);
		guest_fill(&rig.guest, at, 0, 12);
		guest_write(&rig.guest, at + 12, frame, 20);
		guest_write(&rig.guest, pieces[1].at, frame + 20, 40);
		guest_write(&rig.guest, pieces[2].at, frame + 60, 100);
		if (indirect)
			driver_post_indirect(&rig.tx, pieces, 3, 0, at + 9 * GUEST_PAGE);
		else
			driver_post(&rig.tx, pieces, 3);
		driver_publish(&rig.tx);
		while (vhc_net_pull(rig.pull, &m, 1) == 0) {
			CHECK(serve(rig.pull));
			nr_missed++;
		}
		CHECK_EQ(nr_missed, 4 + indirect);
		rig_take_frame(m, 3, sizeof(frame));
		collect_sent();
		net_rig_close(&rig);
	}
}

/* ---- notes ---------------------------------------------------------------------------------- */

#define NR_SENT		5
#define NR_TAKEN	3	/* ... of which an earlier back-end took so many */

static unsigned int
nr_noted(void)
{
	const struct inflight *f = rig.pull->inflight;
	unsigned int nr = 0;

	for (uint16_t i = 0; i < f->nr; i++)
		nr += f->kind == RING_PACKED ? f->g_packed->desc[i].inflight :
					       f->g_split->desc[i].inflight;
	return nr;
}

static void
end_after_taking(void)
{
	uint16_t ids[NR_SENT];

	for (uint32_t i = 0; i < NR_SENT; i++) {
		rig.guest.next = GUEST_BUFFERS_AT + i * GUEST_PAGE;
		ids[i] = rig_send(&rig, i, 60 + i);
	}
	driver_publish(&rig.tx);
	for (uint16_t i = 0; i < NR_TAKEN; i++)
		vhc_inflight_take(rig.pull->inflight, &rig.pull->ring, i, ids[i], 1);
	net_rig_abandon(&rig);
	net_rig_begin_again(&rig);
}

/* It is done again, once, when it can be reached; what waits for an address is not noted. */
static void
test_taken_by_an_earlier_back_end(void)
{
	unsigned int nr_arrived = 0, nr_missed = 0;
	struct rte_mbuf *mbufs[NR_SENT];

	open_with_rings_only(0, true);
	end_after_taking();
	while (nr_arrived < NR_SENT) {
		uint16_t got = vhc_net_pull(rig.pull, mbufs, NR_SENT);

		for (uint16_t i = 0; i < got; i++, nr_arrived++)
			rig_take_frame(mbufs[i], nr_arrived, 60 + nr_arrived);
		CHECK_EQ(nr_noted(), nr_arrived < NR_TAKEN ? NR_TAKEN - nr_arrived : 0);
		nr_missed += serve(rig.pull);
		CHECK(nr_missed <= NR_SENT);
	}
	CHECK_EQ(nr_missed, NR_SENT);
	collect_sent();
	CHECK_EQ(rig_nr_faults(rig.pull), 0);
	net_rig_close(&rig);
}

/* ---- what was taken away -------------------------------------------------------------------- */

static bool is_over;

/* One packet after the other, for as long as there are buffers. */
static void *
push_always(void *arg)
{
	struct rte_mbuf *m = NULL;

	(void)arg;
	while (!ld_acquire(&is_over)) {
		if (!m)
			m = rig_mbuf(&rig, 1, 60, 0);
		if (vhc_net_push(rig.push, &m, 1))
			m = NULL;
		else
			sched_yield();
	}
	rte_pktmbuf_free(m);
	return NULL;
}

static void
check_untouched(const uint8_t *page)
{
	for (unsigned int i = 0; i < 3; i++) {
		for (uint32_t k = 0; k < GUEST_PAGE; k++)
			CHECK_EQ(page[k], 0xee);
		sched_yield();
	}
}

static void
collect_received(void)
{
	struct used_entry used;

	while (rig.rx.nr_free < rig.rx.size)
		if (driver_collect(&rig.rx, &used))
			CHECK_EQ(used.len, 72);
		else
			sched_yield();
}

/* When the answer is out the guest may use the page for something else, whatever runs. */
static void
test_taken_away_while_a_burst_runs(void)
{
	const uint64_t at = GUEST_BUFFERS_AT;
	pthread_t poller;

	open_with_rings_only(0, false);
	is_over = false;
	CHECK_EQ(pthread_create(&poller, NULL, push_always, NULL), 0);
	for (unsigned int round = 0; round < NR_TAKEN_AWAY; round++) {
		net_rig_show(&rig, at, GUEST_PAGE);
		rig.guest.next = at;
		rig_offer(&rig, 32, 100);
		driver_publish(&rig.rx);
		for (unsigned int i = random_below(4); i > 0; i--)
			sched_yield();
		take_away(at, GUEST_PAGE);
		guest_fill(&rig.guest, at, 0xee, GUEST_PAGE);
		check_untouched(guest_ptr(&rig.guest, at, GUEST_PAGE));
		net_rig_show(&rig, at, GUEST_PAGE);
		collect_received();
	}
	st_release(&is_over, true);
	pthread_join(poller, NULL);
	CHECK_EQ(rig_nr_faults(rig.push), 0);
	net_rig_close(&rig);
}

/* ---- room ----------------------------------------------------------------------------------- */

/* One entry after the other, none of which can be joined, until it says no. */
static unsigned int
fill(void)
{
	struct iotlb_claim claim = { UINT64_C(1) << 40, 1, { GUEST_USER(GUEST_LOW_AT) }, 3 };
	char reason[IOTLB_REASON_LEN];
	unsigned int nr = 0;

	while (nr <= IOTLB_ENTRIES_MAX &&
	       vhc_iotlb_judge(rig.dev->iommu.iotlb, rig.dev->map, &claim, reason) == 0) {
		vhc_iotlb_enter(rig.dev->iommu.iotlb, rig.dev->map, &claim);
		claim.iova += 2;
		nr++;
	}
	CHECK_EQ(vhc_device_translate(rig.dev, &claim, reason), -ENOSPC);
	CHECK_HAS(reason, "no room");
	return nr;
}

/* Without a way to ask again what is full stays full; and what is there serves. */
static void
test_a_full_table(void)
{
	struct rte_mbuf *m;
	unsigned int nr;

	open_with_rings_only(0, false);
	net_rig_show(&rig, GUEST_BUFFERS_AT, GUEST_PAGE);
	vhc_loop_lock(rig.loop);
	nr = fill();
	vhc_loop_unlock(rig.loop);
	CHECK(nr > IOTLB_ENTRIES_MAX - 8 && nr < IOTLB_ENTRIES_MAX);
	rig_send(&rig, 1, 60);
	driver_publish(&rig.tx);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	rig_take_frame(m, 1, 60);
	collect_sent();
	net_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_nothing_is_lost),
	TEST(test_pieces_and_tables),
	TEST(test_taken_by_an_earlier_back_end),
	TEST(test_taken_away_while_a_burst_runs),
	TEST(test_a_full_table),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
