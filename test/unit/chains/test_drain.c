/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_drain.c - who asks a ring to stop is answered when the last request is back; who vanishes
 * takes nothing away from who still works.
 */
#define _GNU_SOURCE 1

#include <sys/mman.h>

#include "front.h"

static struct front front;
static struct front_conf conf;

static const char *
why(void)
{
	static struct vhc_device_info info;

	vhc_device_info(front.dev, &info);
	return info.why;
}

static void
open_and_take(struct vhc_chain **chains, uint16_t nr)
{
	front_open(&front, peer_path("drain"), &conf);
	front_connect(&front);
	front_post(&front, 1, nr);
	front_take(&front, chains, nr);
}

static void
give(struct vhc_chain *chain)
{
	vhc_queue_give(front.q, chain, 0);
	vhc_queue_publish(front.q);
}

static void
wait_listening(void)
{
	double end = peer_now() + 5;
	struct vhc_device_info info;

	do {
		CHECK(peer_now() < end);
		vhc_device_info(front.dev, &info);
	} while (info.stage != VHC_STAGE_LISTENING);
}

/* ---- stopping ------------------------------------------------------------------------------- */

static void
test_nothing_out_no_waiting(void)
{
	struct vhc_chain *chains[2];

	open_and_take(chains, 2);
	give(chains[0]);
	give(chains[1]);
	front_ask_base(&front);
	front_read_base(&front);
	CHECK_EQ(front_collect(&front), 2);
	front_close(&front);
}

static void
test_answered_when_the_last_is_back(void)
{
	struct vhc_chain *chains[4], *more;

	open_and_take(chains, 3);
	front_ask_base(&front);
	CHECK(!front_is_answered(&front, 50));
	CHECK_HAS(why(), "waiting for 3 requests that the application still holds");
	/* Nothing more is taken, and what is given is the driver's at once. */
	front_post(&front, 4, 1);
	CHECK_EQ(vhc_queue_take(front.q, &more, 1), 0);
	give(chains[1]);
	CHECK_EQ(front_collect(&front), conf.in_order ? 0 : 1);
	give(chains[0]);
	CHECK_EQ(front_collect(&front), conf.in_order ? 2 : 1);
	CHECK(!front_is_answered(&front, 50));
	CHECK_HAS(why(), "waiting for 1 requests");
	give(chains[2]);
	front_read_base(&front);
	CHECK_EQ(front_collect(&front), 1);
	CHECK_EQ(vhc_queue_take(front.q, &more, 1), 0);

	/* It goes on where it stopped. */
	front_start_ring(&front);
	front_sync(&front);
	front_take(&front, &more, 1);
	CHECK_EQ(front_number(more), 4);
	give(more);
	CHECK_EQ(front_collect(&front), 1);
	front_close(&front);
}

/* Given, but not published, is not back. */
static void
test_publishing_is_what_counts(void)
{
	struct vhc_chain *chains[1];

	open_and_take(chains, 1);
	vhc_queue_give(front.q, chains[0], 0);
	CHECK_EQ(vhc_queue_nr_taken(front.q), 0);
	front_ask_base(&front);
	CHECK(!front_is_answered(&front, 50));
	vhc_queue_publish(front.q);
	front_read_base(&front);
	CHECK_EQ(front_collect(&front), 1);
	front_close(&front);
}

/* As QEMU stops a block device. What is said meanwhile is heard afterwards. */
static void
test_disabled_first(void)
{
	struct vhc_chain *chains[2], *more;

	open_and_take(chains, 2);
	front_enable(&front, false);
	front_sync(&front);
	front_wait_usable(&front, false);
	front_post(&front, 3, 1);
	CHECK_EQ(vhc_queue_take(front.q, &more, 1), 0);
	give(chains[0]);
	CHECK_EQ(front_collect(&front), 1);
	front_ask_base(&front);
	front_enable(&front, true);
	CHECK(!front_is_answered(&front, 50));
	give(chains[1]);
	front_read_base(&front);
	front_start_ring(&front);
	front_sync(&front);
	front_take(&front, &more, 1);
	CHECK_EQ(front_number(more), 3);
	give(more);
	CHECK_EQ(front_collect(&front), 2);
	front_close(&front);
}

/* Enabled again before all is back: as if nothing had been. */
static void
test_enabled_again_at_once(void)
{
	struct vhc_chain *chains[1], *more;

	open_and_take(chains, 1);
	front_enable(&front, false);
	front_enable(&front, true);
	front_sync(&front);
	front_wait_usable(&front, true);
	front_post(&front, 2, 1);
	front_take(&front, &more, 1);
	give(chains[0]);
	give(more);
	CHECK_EQ(front_collect(&front), 2);
	front_close(&front);
}

/* Set up anew without GET_VRING_BASE, as User-mode Linux does: that waits, too. */
static void
test_set_up_anew_waits(void)
{
	struct vhc_chain *chains[1];

	open_and_take(chains, 1);
	front_enable(&front, false);
	front_start_ring(&front);
	front_say(&front, VHOST_USER_GET_FEATURES, NULL, 0);
	CHECK(!front_is_answered(&front, 50));
	give(chains[0]);
	CHECK(front_is_answered(&front, 5000));
	CHECK_EQ(front_collect(&front), 1);
	front_close(&front);
}

/* ---- resets --------------------------------------------------------------------------------- */

/* One request more, by whatever means the ring has come to run. */
static void
serves_one(uint32_t number)
{
	struct vhc_chain *more;

	front_post(&front, number, 1);
	front_take(&front, &more, 1);
	CHECK_EQ(front_number(more), number);
	give(more);
	CHECK_EQ(front_collect(&front), 1);
}

/* What was said last is answered when both are back. */
static void
is_answered_after(struct vhc_chain **chains)
{
	struct vhc_chain *more;

	front_ask_sync(&front);
	CHECK(!front_is_answered(&front, 50));
	CHECK_HAS(why(), "waiting for 2 requests that the application still holds");
	front_post(&front, 3, 1);
	CHECK_EQ(vhc_queue_take(front.q, &more, 1), 0);
	give(chains[0]);
	CHECK_EQ(front_collect(&front), 1);
	CHECK(!front_is_answered(&front, 50));
	give(chains[1]);
	front_read_sync(&front);
	CHECK_EQ(front_collect(&front), 1);
	CHECK_EQ(vhc_queue_take(front.q, &more, 1), 0);
}

static void
start_after_reset(void)
{
	front.base = driver_base(&front.driver);
	front_negotiate(&front);
	front_start_ring(&front);
	front_enable(&front, true);
	front_sync(&front);
}

static void
test_reset_device_waits(void)
{
	struct vhc_chain *chains[3];

	open_and_take(chains, 2);
	front_say(&front, VHOST_USER_RESET_DEVICE, NULL, 0);
	is_answered_after(chains);
	CHECK_HAS(why(), "has not agreed on features yet");
	start_after_reset();
	front_take(&front, chains, 1);
	CHECK_EQ(front_number(chains[0]), 3);
	give(chains[0]);
	CHECK_EQ(front_collect(&front), 1);
	serves_one(4);
	front_close(&front);
}

static void
test_reset_device_with_nothing_out(void)
{
	struct vhc_chain *chains[1];

	open_and_take(chains, 1);
	give(chains[0]);
	CHECK_EQ(front_collect(&front), 1);
	front_say(&front, VHOST_USER_RESET_DEVICE, NULL, 0);
	front_sync(&front);
	CHECK_HAS(why(), "has not agreed on features yet");
	start_after_reset();
	serves_one(2);
	front_close(&front);
}

static void
test_front_end_goes_while_it_resets(void)
{
	struct vhc_chain *chains[1];

	open_and_take(chains, 1);
	front_say(&front, VHOST_USER_RESET_DEVICE, NULL, 0);
	front_ask_sync(&front);
	CHECK(!front_is_answered(&front, 50));
	front_disconnect(&front);
	wait_listening();
	give(chains[0]);
	CHECK_EQ(front_collect(&front), 0);
	front.base = driver_base(&front.driver);
	front_connect(&front);
	front_wait_usable(&front, true);
	front_take(&front, chains, 1);
	give(chains[0]);
	CHECK_EQ(front_collect(&front), 1);
	front_close(&front);
}

/* A driver that resets its device, and comes back with the ring as it was. */
static void
test_status_0_waits(void)
{
	struct vhc_chain *chains[3];

	open_and_take(chains, 2);
	front_set_status(&front, 0x0f);
	front_set_status(&front, 0);
	is_answered_after(chains);
	CHECK_HAS(why(), "lacks DRIVER_OK");
	front_set_status(&front, 0x0f);
	front_sync(&front);
	front_take(&front, chains, 1);
	CHECK_EQ(front_number(chains[0]), 3);
	give(chains[0]);
	CHECK_EQ(front_collect(&front), 1);
	serves_one(4);
	front_close(&front);
}

/* Who never passed DRIVER_OK on does not mean the driver by it: the ring goes on. */
static void
test_status_of_who_passes_nothing_on(void)
{
	struct vhc_chain *chains[1];

	open_and_take(chains, 1);
	front_set_status(&front, 0x0b);
	front_set_status(&front, 0);
	front_sync(&front);
	give(chains[0]);
	CHECK_EQ(front_collect(&front), 1);
	serves_one(2);
	front_close(&front);
}

/* ---- vanishing ------------------------------------------------------------------------------ */

/* The memory is still there; the ring is not touched any more, and does not start before. */
static void
test_front_end_goes(void)
{
	struct vhc_chain *chains[2], *more[2];

	open_and_take(chains, 2);
	front_disconnect(&front);
	wait_listening();
	CHECK_EQ(front_number(chains[0]), 1);
	CHECK_EQ(vhc_chain_write(chains[0], 0, "done", 4), 4);
	give(chains[0]);
	CHECK_EQ(front_collect(&front), 0);

	front.base = driver_base(&front.driver);
	front_connect(&front);
	CHECK_HAS(why(), "waiting for 1 requests that the application still holds");
	CHECK_EQ(vhc_queue_take(front.q, more, 2), 0);
	CHECK_EQ(front_number(chains[1]), 2);
	give(chains[1]);
	CHECK_EQ(front_collect(&front), 0);
	front_wait_usable(&front, true);
	/* Nobody knows that they were done, unless it was noted that they were not. */
	front_take(&front, more, 2);
	for (unsigned int i = 0; i < 2; i++) {
		CHECK_EQ(front_number(more[i]), i + 1);
		CHECK_EQ(more[i]->is_resubmitted, conf.is_tracked);
		give(more[i]);
	}
	CHECK_EQ(front_collect(&front), 2);
	front_close(&front);
}

/* While it waits for an answer. */
static void
test_front_end_goes_while_it_waits(void)
{
	struct vhc_chain *chains[1];

	open_and_take(chains, 1);
	front_ask_base(&front);
	CHECK(!front_is_answered(&front, 50));
	front_disconnect(&front);
	wait_listening();
	give(chains[0]);
	front.base = driver_base(&front.driver);
	front_connect(&front);
	front_wait_usable(&front, true);
	front_take(&front, chains, 1);
	give(chains[0]);
	CHECK_EQ(front_collect(&front), 1);
	front_close(&front);
}

/* ... so that a second one is let in. */
static void
test_newcomer_takes_the_place_of_one_that_went(void)
{
	struct vhc_chain *chains[1];
	int sock;

	open_and_take(chains, 1);
	front_ask_base(&front);
	CHECK(!front_is_answered(&front, 50));
	sock = peer_connect(front.path.text);
	CHECK(peer_is_closed(sock, 5000));
	close(sock);
	give(chains[0]);
	front_read_base(&front);
	front_close(&front);
}

/* Everything ends: what is out ends with it. */
static void
test_server_ends(void)
{
	struct vhc_chain *chains[2];

	open_and_take(chains, 2);
	front_ask_base(&front);
	CHECK(!front_is_answered(&front, 50));
	front_close(&front);
}

/* ---- memory --------------------------------------------------------------------------------- */

/* The table is replaced by the same memory mapped anew: a chain is where it was. */
static void
test_memory_changes_under_a_chain(void)
{
	struct vhc_chain *chains[2];
	uint64_t before, after;

	open_and_take(chains, 2);
	before = (uintptr_t)chains[0]->readable[0].iov_base;
	front_say(&front, VHOST_USER_SET_MEM_TABLE, NULL, 8);	/* none: the ring goes, too */
	front_sync(&front);
	front_wait_usable(&front, false);
	CHECK_EQ(front_number(chains[0]), 1);
	CHECK_EQ(vhc_chain_write(chains[0], 0, "done", 4), 4);
	front_share_memory(&front);
	front_sync(&front);
	after = (uintptr_t)chains[0]->readable[0].iov_base;
	CHECK_EQ(before, after);
	CHECK_EQ(front_number(chains[1]), 2);
	give(chains[0]);
	give(chains[1]);
	front_wait_usable(&front, true);
	front_close(&front);
}

/* Repeated for ever: nothing is left mapped that no chain points to. */
static void
test_memory_is_let_go(void)
{
	struct vhc_chain *chains[1];
	unsigned int nr_maps[2] = { 0 };
	char line[512];

	open_and_take(chains, 1);
	for (unsigned int lap = 0; lap < 2; lap++) {
		FILE *file;

		for (unsigned int i = 0; i < 20; i++) {
			int fresh = memfd_create("guest", MFD_CLOEXEC);

			/* Another file is another region. */
			CHECK(fresh >= 0 && ftruncate(fresh, FRONT_MEMORY_LEN) == 0);
			close(front.memory_fd);
			front.memory_fd = fresh;
			front_share_memory(&front);
		}
		front_sync(&front);
		if (lap)
			give(chains[0]);
		front_sync(&front);
		peer_sleep_ms(lap ? 100 : 0);
		file = fopen("/proc/self/maps", "r");
		CHECK(file);
		while (fgets(line, sizeof(line), file))
			nr_maps[lap] += strstr(line, "memfd:guest") != NULL;
		fclose(file);
	}
	CHECK_EQ(nr_maps[0], 3);	/* the driver's, the chain's, and the latest */
	CHECK_EQ(nr_maps[1], 2);
	front_close(&front);
}

static const struct test tests[] = {
	TEST(test_nothing_out_no_waiting),
	TEST(test_answered_when_the_last_is_back),
	TEST(test_publishing_is_what_counts),
	TEST(test_disabled_first),
	TEST(test_enabled_again_at_once),
	TEST(test_set_up_anew_waits),
	TEST(test_reset_device_waits),
	TEST(test_reset_device_with_nothing_out),
	TEST(test_front_end_goes_while_it_resets),
	TEST(test_status_0_waits),
	TEST(test_status_of_who_passes_nothing_on),
	TEST(test_front_end_goes),
	TEST(test_front_end_goes_while_it_waits),
	TEST(test_newcomer_takes_the_place_of_one_that_went),
	TEST(test_server_ends),
	TEST(test_memory_changes_under_a_chain),
	TEST(test_memory_is_let_go),
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
