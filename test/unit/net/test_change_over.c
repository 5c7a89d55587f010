/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_change_over.c - memory tables are exchanged while a poller moves packets both ways.
 */
#define _GNU_SOURCE 1

#include <pthread.h>

#include "model/net_rig.h"

#define NR_CHANGES	300
#define NR_PER_BURST	32
/* A poller that has lost its core for long is not waited for. */
#define FELT_MAX	(NR_CHANGES / 10)

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
static struct net_rig rig;
static uint32_t is_over;
static uint32_t nr_felt;	/* bursts that moved nothing although they could */
static uint32_t nr_announced;

static void
collect(struct driver *d, unsigned int nr)
{
	struct used_entry used;

	for (unsigned int i = 0; i < nr; i++)
		CHECK(driver_collect(d, &used));
	CHECK(!driver_collect(d, &used));
}

/* How many of these the guest sent; the others announce it. */
static uint16_t
free_pulled(struct rte_mbuf **mbufs, uint16_t nr)
{
	uint16_t nr_sent = 0;

	for (uint16_t i = 0; i < nr; i++)
		nr_sent += rte_pktmbuf_mtod(mbufs[i], const uint8_t *)[0] != 0xff;
	st_relaxed(&nr_announced, nr_announced + nr - nr_sent);
	rte_pktmbuf_free_bulk(mbufs, nr);
	return nr_sent;
}

static void
pull_round(void)
{
	struct piece piece = { .len = 12 + 64, .writable = false };
	struct rte_mbuf *mbufs[NR_PER_BURST + 1];
	uint16_t nr = 0;

	for (unsigned int i = 0; i < NR_PER_BURST; i++) {
		piece.at = guest_alloc(&rig.guest, piece.len);
		guest_fill(&rig.guest, piece.at, 0, piece.len);
		driver_post(&rig.tx, &piece, 1);
	}
	driver_publish(&rig.tx);
	while (nr < NR_PER_BURST) {
		uint16_t got = vhc_net_pull(rig.pull, mbufs, NR_PER_BURST + 1);

		st_relaxed(&nr_felt, nr_felt + !got);
		nr += free_pulled(mbufs, got);
	}
	CHECK_EQ(nr, NR_PER_BURST);
	collect(&rig.tx, NR_PER_BURST);
	/* Nothing is there: this is how most polls go. */
	free_pulled(mbufs, vhc_net_pull(rig.pull, mbufs, NR_PER_BURST));
}

static void
push_round(void)
{
	struct rte_mbuf *mbufs[NR_PER_BURST];
	uint16_t nr = 0;

	for (unsigned int i = 0; i < NR_PER_BURST; i++) {
		const struct piece piece = { guest_alloc(&rig.guest, 2048), 2048, true };

		driver_post(&rig.rx, &piece, 1);
		mbufs[i] = rig_mbuf(&rig, i, 100, 0);
	}
	driver_publish(&rig.rx);
	while (nr < NR_PER_BURST) {
		uint16_t got = vhc_net_push(rig.push, mbufs + nr, (uint16_t)(NR_PER_BURST - nr));

		st_relaxed(&nr_felt, nr_felt + !got);
		nr = (uint16_t)(nr + got);
	}
	collect(&rig.rx, NR_PER_BURST);
}

static void *
poll(void *arg)
{
	while (!ld_acquire(&is_over)) {
		pull_round();
		push_round();
	}
	return arg;
}

/* The same regions as another table. */
static void
change(void)
{
	struct region *regions[GUEST_NR_PARTS];
	struct map *map;

	for (unsigned int i = 0; i < GUEST_NR_PARTS; i++)
		regions[i] = rig.guest.parts[i].region;
	CHECK_EQ(vhc_map_create(regions, GUEST_NR_PARTS, &map), 0);
	vhc_loop_lock(rig.loop);
	vhc_device_set_map(rig.dev, map);
	/* It would look for a server after a while, and a rig has none. */
	vhc_loop_cancel(rig.loop, &rig.dev->settle_timer);
	vhc_loop_unlock(rig.loop);
}

/* How many of the changes were felt. */
static unsigned int
change_often(bool announces)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < NR_CHANGES; i++) {
		uint32_t before = ld_relaxed(&nr_felt);

		change();
		nr += ld_relaxed(&nr_felt) != before;
		if (!announces || i % 3)
			continue;
		vhc_loop_lock(rig.loop);
		rig.dev->cls->announce(rig.dev, mac);
		vhc_loop_unlock(rig.loop);
	}
	return nr;
}

static unsigned int
change_under_traffic(bool announces)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_MERGEABLE };
	unsigned int nr;
	pthread_t thread;

	net_rig_open(&rig, &conf);
	st_relaxed(&is_over, 0);
	CHECK_EQ(pthread_create(&thread, NULL, poll, NULL), 0);
	nr = change_often(announces);
	st_release(&is_over, 1);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(rig_nr_faults(rig.pull) + rig_nr_faults(rig.push), 0);
	net_rig_close(&rig);
	printf("  %u of %u changes were felt\n", nr, NR_CHANGES);
	return nr;
}

static void
test_nothing_is_turned_away(void)
{
	CHECK(change_under_traffic(false) <= FELT_MAX);
}

/* Whose burst takes the place of the real one, too. */
static void
test_while_the_guest_is_announced(void)
{
	nr_announced = 0;
	change_under_traffic(true);
	CHECK(nr_announced > 0 && nr_announced <= NR_CHANGES / 3 + 1);
}

/* Nobody polls: it must not take for ever, and the next burst finds the new table. */
static void
test_without_a_poller(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_MERGEABLE };

	net_rig_open(&rig, &conf);
	for (unsigned int i = 0; i < NR_CHANGES; i++)
		change();
	pull_round();
	push_round();
	net_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_nothing_is_turned_away),
	TEST(test_while_the_guest_is_announced),
	TEST(test_without_a_poller),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
