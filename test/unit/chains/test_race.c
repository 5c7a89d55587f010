/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_race.c - a poller takes, gives and publishes while control remaps, stops and starts the
 * ring, and the front-end goes and comes back: no request is lost, none comes back twice, nobody
 * hangs.
 */
#define _GNU_SOURCE 1

#include <pthread.h>

#include "base/order.h"
#include "front.h"

#define SECONDS 3
#define HELD_MAX FRONT_RING_SIZE

static struct front front;
static struct front_conf conf;
static uint32_t is_ending;
static uint64_t nr_served;

/* Holds some for a while, so that control always finds some out. */
static void *
poll_ring(void *arg)
{
	struct vhc_chain *held[HELD_MAX];
	unsigned int nr = 0, turn = 0;

	(void)arg;
	while (!ld_acquire(&is_ending) || nr) {
		unsigned int keep = ld_acquire(&is_ending) ? 0 : ++turn % 5;

		nr += vhc_queue_take(front.q, held + nr, (uint16_t)(HELD_MAX - nr));
		while (nr > keep) {
			uint32_t number = front_number(held[nr - 1]);

			CHECK_EQ(vhc_chain_write(held[nr - 1], 0, &number, sizeof(number)),
				 sizeof(number));
			vhc_queue_give(front.q, held[--nr], sizeof(number));
			st_relaxed(&nr_served, nr_served + 1);
		}
		vhc_queue_publish(front.q);
	}
	return NULL;
}

/* The driver's answers are checked by the model: an id that is not out ends the test. */
static unsigned int
keep_busy(void)
{
	unsigned int nr = front_collect(&front);

	while (front.driver.nr_free >= 2)
		front_post(&front, 1, 1);
	return nr;
}

static void
restart(void)
{
	front_ask_base(&front);
	front_read_base(&front);
	front_start_ring(&front);
}

/* Both packed and split can go on after this only because it was noted what was out. */
static void
reconnect(void)
{
	front_disconnect(&front);
	front_connect(&front);
}

static void
disturb(unsigned int step)
{
	switch (step % 8) {
	case 0:
		restart();
		break;
	case 1:
		front_enable(&front, false);
		front_enable(&front, true);
		break;
	case 2:
		if (conf.is_tracked)
			reconnect();
		break;
	default:
		front_share_memory(&front);
		break;
	}
	if (step % 16 == 0)
		front_sync(&front);
}

static void
wait_until_all_is_back(void)
{
	double end = peer_now() + 5;

	while (front.driver.nr_free != FRONT_RING_SIZE) {
		CHECK(peer_now() < end);
		front_collect(&front);
	}
}

static void
test_everything_at_once(void)
{
	double end = peer_now() + SECONDS;
	pthread_t poller;
	uint64_t nr_back = 0;

	front_open(&front, peer_path("race"), &conf);
	front_connect(&front);
	CHECK_EQ(pthread_create(&poller, NULL, poll_ring, NULL), 0);
	for (unsigned int step = 0; peer_now() < end; step++) {
		disturb(step);
		nr_back += keep_busy();
	}
	front_sync(&front);
	front_wait_usable(&front, true);
	wait_until_all_is_back();
	st_release(&is_ending, 1);
	pthread_join(poller, NULL);
	CHECK(nr_back > 100);
	CHECK_EQ(vhc_queue_nr_taken(front.q), 0);
	front_close(&front);
}

static const struct test tests[] = {
	TEST(test_everything_at_once),
};

static void
keep_quiet(enum vhc_log_level level, const char *line, void *arg)
{
	(void)arg;
	if (getenv("VHOSTX_LOG") && level <= VHC_LOG_INFO)
		fprintf(stderr, "%s\n", line);
}

int
main(int argc, char **argv)
{
	int rc;

	for (int i = 1; i < argc; i++) {
		conf.packed |= strcmp(argv[i], "packed") == 0;
		conf.in_order |= strcmp(argv[i], "in-order") == 0;
		conf.is_tracked |= strcmp(argv[i], "tracked") == 0;
	}
	vhc_log_set_sink(keep_quiet, NULL);
	peer_make_folder();
	rc = RUN_TESTS(tests);
	peer_remove_folder();
	return rc;
}
