/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_logged.c - bursts while the guest is moved: what they write is marked, and nothing else.
 *
 * test_random.c compares the marks of random chains; this is what is special about the log itself.
 */
#define _GNU_SOURCE 1

#include <pthread.h>
#include <sched.h>

#include "model/watch.h"
#include "net/marks.h"

#define NR	48	/* more than one run of a burst */

static struct net_rig rig;
static struct watch watch;

static void
begin(uint64_t features, uint16_t ring_size, uint64_t size, uint64_t offset, bool rings)
{
	net_rig_open(&rig, &(struct net_rig_conf){ .features = features, .ring_size = ring_size });
	watch_open(&watch, &rig, size, offset, rings);
	watch_switch(&watch, true);
}

static void
end(void)
{
	net_rig_close(&rig);
	watch_close(&watch);
}

/* ---- bursts that are watched ---------------------------------------------------------------- */

/* The buffers are posted. */
static void
push_posted(uint32_t len, bool on)
{
	struct rte_mbuf *mbufs[NR];

	driver_publish(&rig.rx);
	for (uint32_t i = 0; i < NR; i++)
		mbufs[i] = rig_mbuf(&rig, i, len, 0);
	watch_begin(&watch);
	CHECK_EQ(vhc_net_push(rig.push, mbufs, NR), NR);
	watch_end(&watch, on);
}

static void
push_watched(uint32_t len, bool on)
{
	rig_offer(&rig, NR, RTE_MAX(2048u, len + 100));
	push_posted(len, on);
	for (uint32_t i = 0; i < NR; i++)
		rig_receive_frame(&rig, i, len, 1);
}

static void
push_into(const struct piece *pieces, uint32_t len)
{
	struct used_entry used;

	for (uint32_t i = 0; i < NR; i++)
		driver_post(&rig.rx, &pieces[i], 1);
	push_posted(len, true);
	for (uint32_t i = 0; i < NR; i++)
		CHECK(driver_collect(&rig.rx, &used));
}

static void
pull_watched(bool on)
{
	struct rte_mbuf *mbufs[NR];
	struct used_entry used;

	for (uint32_t i = 0; i < NR; i++)
		rig_send(&rig, i, 100);
	driver_publish(&rig.tx);
	watch_begin(&watch);
	CHECK_EQ(vhc_net_pull(rig.pull, mbufs, NR), NR);
	watch_end(&watch, on);
	for (uint32_t i = 0; i < NR; i++)
		rig_take_frame(mbufs[i], i, 100);
	while (driver_collect(&rig.tx, &used))
		;
}

static void
both_watched(bool on)
{
	push_watched(60, on);
	push_watched(1500, on);
	pull_watched(on);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void
test_all_over_the_memory(void)
{
	begin(RIG_MODERN, 256, WATCH_SIZE_ALL, 0, true);
	for (unsigned int i = 0; i < 20; i++)
		both_watched(true);
	end();
}

/* Used parts over many pages; a batch goes round the end of the ring. */
static void
test_large_rings(void)
{
	begin(RIG_MODERN, 4096, WATCH_SIZE_ALL, 8, true);
	for (unsigned int i = 0; i < 90; i++)
		both_watched(true);
	end();
}

/* What is written begins or ends where a page does, or a byte off that; around a word's end. */
static void
test_ends_of_pages(void)
{
	const uint64_t word = GUEST_BUFFERS_AT + DIRTY_LOG_WORD_LEN;

	begin(RIG_MODERN, 256, WATCH_SIZE_ALL, 0, true);
	for (int off = -1; off <= 1; off++) {
		struct piece pieces[NR];

		for (unsigned int i = 0; i < NR; i++) {
			uint64_t page = word + ((uint64_t)i - NR / 2) * 2 * GUEST_PAGE;
			uint64_t at = i % 3 ? page - rig.hdr_len - 60 : page;

			pieces[i] = (struct piece){ at + (uint64_t)off, rig.hdr_len + 60, true };
		}
		push_into(pieces, 60);
	}
	end();
}

/* Each buffer lies over the end of a word, none near another. */
static void
test_more_words_than_are_kept(void)
{
	struct piece pieces[NR];

	_Static_assert(2 * NR > NET_MARKED_WORDS, "two words a buffer");
	begin(RIG_MODERN, 256, WATCH_SIZE_ALL, 0, true);
	for (unsigned int i = 0; i < NR; i++)
		pieces[i] = (struct piece){
			GUEST_BUFFERS_AT + (1 + i * 2) * DIRTY_LOG_WORD_LEN - 30,
			rig.hdr_len + 60, true,
		};
	push_into(pieces, 60);
	end();
}

/* Each in one mbuf and one buffer. */
static void
test_packets_of_many_pages(void)
{
	net_rig_open(&rig, &(struct net_rig_conf){ .features = RIG_MODERN, .room = 20000 });
	watch_open(&watch, &rig, WATCH_SIZE_ALL, 0, true);
	watch_switch(&watch, true);
	for (uint32_t len = 4000; len <= 19000; len += 1500)
		push_watched(len, true);
	end();
}

/* A legacy device has the short header. */
static void
test_legacy(void)
{
	begin(RIG_LEGACY, 256, WATCH_SIZE_ALL, 0, true);
	for (unsigned int i = 0; i < 20; i++)
		both_watched(true);
	end();
}

static void
test_any_offset_in_the_file(void)
{
	static const uint64_t offsets[] = { 1, 7, 8, 4095, 4096, 4097, 70001 };

	for (unsigned int i = 0; i < VHC_ARRAY_LEN(offsets); i++) {
		begin(RIG_MODERN, 256, WATCH_SIZE_ALL, offsets[i], true);
		both_watched(true);
		end();
	}
}

/* Where it ends, buffers are written all the same, and nothing behind it. */
static void
test_a_log_that_is_too_small(void)
{
	static const uint64_t sizes[] = {
		1, 33, GUEST_BUFFERS_AT / 4096 / 8, GUEST_BUFFERS_AT / 4096 / 8 + 3,
	};

	for (unsigned int i = 0; i < VHC_ARRAY_LEN(sizes); i++) {
		begin(RIG_MODERN, 256, sizes[i], 5, true);
		for (unsigned int turn = 0; turn < 5; turn++)
			both_watched(true);
		end();
	}
}

static void
test_a_ring_that_is_not_to_be_marked(void)
{
	begin(RIG_MODERN, 256, WATCH_SIZE_ALL, 0, false);
	for (unsigned int i = 0; i < 5; i++)
		both_watched(true);
	end();
}

static void
test_on_and_off(void)
{
	begin(RIG_MODERN, 256, WATCH_SIZE_ALL, 0, true);
	for (unsigned int i = 0; i < 10; i++) {
		bool on = i % 2;

		watch_switch(&watch, on);
		both_watched(on);
	}
	end();
}

/* A ring that starts while everything is logged already. */
static void
test_a_ring_that_starts_later(void)
{
	begin(RIG_MODERN, 256, WATCH_SIZE_ALL, 0, true);
	net_rig_restart(&rig);
	watch_switch(&watch, true);
	both_watched(true);
	end();
}

/* The driver is told whether to kick, with the gate open and closed. */
static void
test_the_wish_for_kicks(void)
{
	static const uint64_t features[] = { RIG_MODERN, RIG_MODERN | RIG_EVENT_IDX };

	for (unsigned int i = 0; i < VHC_ARRAY_LEN(features); i++) {
		begin(features[i], 1024, WATCH_SIZE_ALL, 0, true);
		for (unsigned int turn = 0; turn < 4; turn++) {
			watch_begin(&watch);
			vhc_queue_want_kicks(rig.pull, turn % 2);
			watch_end(&watch, true);
			watch_begin(&watch);
			CHECK_EQ(vhc_queue_try_kicks(rig.pull, turn % 2), 0);
			watch_end(&watch, true);
		}
		end();
	}
}

/* ---- switched while a poller is at it ------------------------------------------------------- */

#define RACE_TURNS	100
#define RACE_BUFFER	(GUEST_BUFFERS_AT + 300 * 4096)	/* there also behind an IOMMU */

static bool is_over;
static uint64_t nr_bursts;

/* Always the same buffer, so that it is known which bit there must be. */
static void *
keep_pushing(void *arg)
{
	const struct piece piece = { RACE_BUFFER, 2048, true };
	struct used_entry used;

	(void)arg;
	while (!ld_relaxed(&is_over)) {
		struct rte_mbuf *m = rig_mbuf(&rig, 1, 60, 0);

		driver_post(&rig.rx, &piece, 1);
		driver_publish(&rig.rx);
		while (vhc_net_push(rig.push, &m, 1) == 0)
			sched_yield();
		CHECK(driver_collect(&rig.rx, &used));
		st_release(&nr_bursts, nr_bursts + 1);
	}
	return NULL;
}

/* Until a burst that began after this was called is over. */
static void
wait_for_burst(void)
{
	uint64_t before = ld_acquire(&nr_bursts);

	while (ld_acquire(&nr_bursts) < before + 2)
		sched_yield();
}

static bool
is_marked(const struct watch *w)
{
	uint64_t page = RACE_BUFFER / 4096;

	return ld_acquire(&w->file[w->offset + page / 8]) >> page % 8 & 1;
}

static void
forget_marks(struct watch *w)
{
	memset(w->file, 0, w->file_len);
}

static void
race_turn(struct watch *w, struct watch *other, unsigned int turn)
{
	watch_switch(w, true);
	forget_marks(w);
	forget_marks(other);
	wait_for_burst();
	CHECK(is_marked(w) && !is_marked(other));
	if (turn % 2)
		return;		/* the other one follows on it */
	watch_switch(w, false);
	forget_marks(w);
	wait_for_burst();
	CHECK(!is_marked(w));
}

static void
test_switched_under_a_poller(void)
{
	struct watch logs[2];
	pthread_t poller;

	net_rig_open(&rig, &(struct net_rig_conf){ .features = RIG_MODERN });
	for (unsigned int i = 0; i < 2; i++)
		watch_open(&logs[i], &rig, WATCH_SIZE_ALL, i * 77, true);
	CHECK_EQ(pthread_create(&poller, NULL, keep_pushing, NULL), 0);
	for (unsigned int turn = 0; turn < RACE_TURNS; turn++)
		race_turn(&logs[turn % 2], &logs[!(turn % 2)], turn);
	st_relaxed(&is_over, true);
	CHECK_EQ(pthread_join(poller, NULL), 0);
	net_rig_close(&rig);
	watch_close(&logs[0]);
	watch_close(&logs[1]);
}

static const struct test tests[] = {
	TEST(test_all_over_the_memory),
	TEST(test_large_rings),
	TEST(test_ends_of_pages),
	TEST(test_more_words_than_are_kept),
	TEST(test_packets_of_many_pages),
	TEST(test_legacy),
	TEST(test_any_offset_in_the_file),
	TEST(test_a_log_that_is_too_small),
	TEST(test_a_ring_that_is_not_to_be_marked),
	TEST(test_on_and_off),
	TEST(test_a_ring_that_starts_later),
	TEST(test_the_wish_for_kicks),
	TEST(test_switched_under_a_poller),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
