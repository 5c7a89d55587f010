/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_notify.c - interrupts that a thread makes later: fewer, and none is lost.
 */
#define _GNU_SOURCE 1

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "model/net_rig.h"

#define LONGEST_US	10000

static struct net_rig rig;

static const struct net_rig_conf modern = { .features = RIG_MODERN };

static uint64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Signals on the descriptor, waiting for the first of them. */
static uint64_t
wait_for_signals(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	CHECK_EQ(poll(&wait, 1, 5000), 1);
	return rig_nr_signals(fd);
}

static void
discard_used(struct driver *d)
{
	struct used_entry used;

	while (driver_collect(d, &used))
		;
}

static void
pull_one(void)
{
	struct rte_mbuf *m;

	rig_send(&rig, 1, 60);
	driver_publish(&rig.tx);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	rte_pktmbuf_free(m);
	discard_used(&rig.tx);
}

static void
open_deferred(const struct net_rig_conf *conf, unsigned int us)
{
	net_rig_open(&rig, conf);
	CHECK_EQ(vhc_queue_defer_calls(rig.pull, us), 0);
	CHECK_EQ(vhc_queue_defer_calls(rig.push, us), 0);
}

/* ---- how many ------------------------------------------------------------------------------- */

static void
test_many_bursts_share_a_call(void)
{
	uint64_t nr_signals = 0, start;
	struct vhc_net_stats stats;

	open_deferred(&modern, LONGEST_US);
	start = now_us();
	for (unsigned int i = 0; i < 2000; i++)
		pull_one();
	while (ld_relaxed(&rig.pull->duty.is_due))
		nr_signals += wait_for_signals(rig.call[1]);
	usleep(2 * LONGEST_US);
	nr_signals += rig_nr_signals(rig.call[1]);
	CHECK(nr_signals >= 1);
	CHECK(nr_signals <= (now_us() - start) / LONGEST_US + 1);
	stats = rig_stats(rig.pull);
	CHECK_EQ(stats.notifications, nr_signals);
	CHECK_EQ(stats.notifications_deferred, 2000);
	CHECK_EQ(stats.notifications_suppressed, 0);
	CHECK_EQ(rig_stats(rig.push).notifications, 0);
	net_rig_close(&rig);
}

/* Whoever does not want to be called is not, and wakes nobody. */
static void
test_no_call_unless_wanted(void)
{
	struct net_rig_conf conf = modern;

	open_deferred(&modern, 50);
	driver_want_calls(&rig.tx, false);
	pull_one();
	usleep(20000);
	CHECK_EQ(rig_nr_signals(rig.call[1]), 0);
	CHECK_EQ(rig_stats(rig.pull).notifications_deferred, 0);
	CHECK_EQ(rig_stats(rig.pull).notifications_suppressed, 1);
	net_rig_close(&rig);

	conf.no_call_fd = true;
	open_deferred(&conf, 50);
	pull_one();
	CHECK_EQ(rig_stats(rig.pull).notifications_deferred, 0);
	CHECK(!rig.pull->duty.is_due);
	net_rig_close(&rig);
}

/* ---- none is lost --------------------------------------------------------------------------- */

/* Pauses around the time after which the thread falls asleep. */
static void
test_a_single_packet_is_never_stranded(void)
{
	open_deferred(&modern, 20);
	for (unsigned int i = 0; i < 300; i++) {
		pull_one();
		CHECK_EQ(wait_for_signals(rig.call[1]), 1);
		if (i % 3 == 0)
			usleep(1900 + random_below(300));
	}
	vhc_queue_defer_calls(rig.pull, 0);	/* the last one is counted after it was made */
	CHECK_EQ(rig_stats(rig.pull).notifications, 300);
	net_rig_close(&rig);
}

#define NR_PACKETS 20000

/* Polls without a pause, as far as the guest offers buffers. */
static void *
push_all(void *arg)
{
	uint32_t nr_pushed = 0;

	(void)arg;
	while (nr_pushed < NR_PACKETS) {
		struct rte_mbuf *m = rig_mbuf(&rig, nr_pushed, 60, 0);

		while (vhc_net_push(rig.push, &m, 1) == 0)
			sched_yield();
		nr_pushed++;
	}
	return NULL;
}

/* What a driver does before it sleeps: ask to be woken, then look once more. */
static bool
may_sleep(void)
{
	if (rig.rx.event_idx)
		driver_want_call_at(&rig.rx, driver_event_after(&rig.rx, 0));
	fence_full();
	return driver_nr_used(&rig.rx) == 0;
}

/* A guest that sleeps whenever it has nothing to do, and wakes up only for its interrupt. */
static void
sleep_and_receive(uint64_t features)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN | features, .ring_size = 64 };
	uint32_t nr_received = 0;
	pthread_t pusher;

	open_deferred(&conf, 20);
	rig_offer(&rig, 64, 100);
	driver_publish(&rig.rx);
	CHECK_EQ(pthread_create(&pusher, NULL, push_all, NULL), 0);
	while (nr_received < NR_PACKETS) {
		struct used_entry used;
		unsigned int nr = 0;

		if (may_sleep())
			wait_for_signals(rig.call[0]);
		while (driver_collect(&rig.rx, &used))
			nr++;
		rig_offer(&rig, nr, 100);
		driver_publish(&rig.rx);
		nr_received += nr;
	}
	CHECK_EQ(pthread_join(pusher, NULL), 0);
	CHECK_EQ(nr_received, NR_PACKETS);
	net_rig_close(&rig);
}

static void
test_a_guest_that_sleeps_receives_all(void)
{
	sleep_and_receive(0);
	sleep_and_receive(RIG_EVENT_IDX);
}

/* ---- changes -------------------------------------------------------------------------------- */

/* Leaves a call that is not to be made for a while. */
static void
pull_two(void)
{
	pull_one();
	CHECK_EQ(wait_for_signals(rig.call[1]), 1);
	pull_one();
}

static void
test_a_queue_that_stops_calls_first(void)
{
	open_deferred(&modern, LONGEST_US);
	pull_two();
	vhc_queue_stop(rig.pull);
	CHECK_EQ(rig_nr_signals(rig.call[1]), 1);
	usleep(2 * LONGEST_US);
	CHECK_EQ(rig_nr_signals(rig.call[1]), 0);
	net_rig_restart(&rig);
	pull_one();
	wait_for_signals(rig.call[1]);
	net_rig_close(&rig);
}

static bool
has_thread(void)
{
	DIR *tasks = opendir("/proc/self/task");
	bool found = false;

	CHECK(tasks);
	for (struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks)) {
		char path[300], name[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		file = fopen(path, "r");
		if (!file)
			continue;
		found |= fgets(name, sizeof(name), file) && strcmp(name, "vhostcore-call\n") == 0;
		fclose(file);
	}
	closedir(tasks);
	return found;
}

/* The kernel lists a thread for a moment after it was joined. */
static bool
thread_goes(void)
{
	for (unsigned int ms = 0; ms < 2000 && has_thread(); ms++)
		usleep(1000);
	return !has_thread();
}

/* Back to calls of the poller's own; the thread is there as long as one queue needs it. */
static void
test_on_and_off(void)
{
	net_rig_open(&rig, &modern);
	CHECK(thread_goes());
	CHECK_EQ(vhc_queue_defer_calls(rig.pull, LONGEST_US + 1), -EINVAL);
	CHECK(thread_goes());
	for (unsigned int i = 0; i < 20; i++) {
		CHECK_EQ(vhc_queue_defer_calls(rig.pull, 50), 0);
		CHECK_EQ(vhc_queue_defer_calls(rig.push, 50), 0);
		CHECK_EQ(vhc_queue_defer_calls(rig.pull, LONGEST_US), 0);
		CHECK(has_thread());
		CHECK_EQ(vhc_queue_defer_calls(rig.push, 0), 0);
		CHECK(has_thread());
		pull_two();
		CHECK_EQ(vhc_queue_defer_calls(rig.pull, 0), 0);
		CHECK_EQ(rig_nr_signals(rig.call[1]), 1);
		CHECK(thread_goes());
		pull_one();
		CHECK_EQ(rig_nr_signals(rig.call[1]), 1);
	}
	CHECK_EQ(rig_stats(rig.pull).notifications, 60);
	net_rig_close(&rig);
	open_deferred(&modern, 50);
	net_rig_close(&rig);	/* the queues go while they are on the list */
	CHECK(thread_goes());
}

static const struct test tests[] = {
	TEST(test_many_bursts_share_a_call),
	TEST(test_no_call_unless_wanted),
	TEST(test_a_single_packet_is_never_stranded),
	TEST(test_a_guest_that_sleeps_receives_all),
	TEST(test_a_queue_that_stops_calls_first),
	TEST(test_on_and_off),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
