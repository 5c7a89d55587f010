/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_state.c - what may be asked of a queue while it is polled, and that asking is safe.
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "model/net_rig.h"

#define SIZE 64

static struct net_rig rig;

static const struct net_rig_conf modern = { .features = RIG_MODERN, .ring_size = SIZE };

static void
check_fill(struct vhc_queue *q, uint16_t available)
{
	struct vhc_queue_fill fill;

	CHECK(vhc_queue_fill(q, &fill));
	CHECK_EQ(fill.size, SIZE);
	CHECK_EQ(fill.available, available);
}

static void
check_stopped(struct vhc_queue *q)
{
	struct vhc_queue_fill fill = { 1, 1 };

	CHECK(!vhc_queue_fill(q, &fill));
	CHECK_EQ(fill.size, 0);
	CHECK_EQ(fill.available, 0);
}

static void
pull(uint16_t nr)
{
	struct rte_mbuf *mbufs[SIZE];

	CHECK_EQ(vhc_net_pull(rig.pull, mbufs, nr), nr);
	rte_pktmbuf_free_bulk(mbufs, nr);
}

static void
push(uint16_t nr)
{
	struct rte_mbuf *mbufs[SIZE];

	for (uint16_t i = 0; i < nr; i++)
		mbufs[i] = rig_mbuf(&rig, i, 60, 0);
	CHECK_EQ(vhc_net_push(rig.push, mbufs, nr), nr);
}

static void
collect_all(struct driver *d)
{
	struct used_entry used;

	while (driver_collect(d, &used))
		;
}

/* More than once around the ring; what is used is not available until it is offered again. */
static void
test_fill_follows_guest_and_bursts(void)
{
	net_rig_open(&rig, &modern);
	for (unsigned int round = 0; round < 5; round++) {
		check_fill(rig.pull, 0);
		for (uint32_t i = 0; i < SIZE; i++)
			rig_send(&rig, i, 60);
		check_fill(rig.pull, 0);
		driver_publish(&rig.tx);
		check_fill(rig.pull, SIZE);
		pull(5);
		check_fill(rig.pull, SIZE - 5);
		pull(SIZE - 5);
		check_fill(rig.pull, 0);
		collect_all(&rig.tx);

		rig_offer(&rig, 40, 100);
		driver_publish(&rig.rx);
		check_fill(rig.push, 40);
		push(39);
		check_fill(rig.push, 1);
		push(1);
		check_fill(rig.push, 0);
		collect_all(&rig.rx);
	}
	net_rig_close(&rig);
}

static void
test_a_stopped_queue_is_empty(void)
{
	net_rig_open(&rig, &modern);
	rig_offer(&rig, 3, 100);
	driver_publish(&rig.rx);
	vhc_queue_stop(rig.push);
	check_stopped(rig.push);
	net_rig_restart(&rig);
	check_fill(rig.push, 0);
	net_rig_close(&rig);
	net_rig_open(&rig, &modern);
	vhc_ring_break(&rig.push->ring, RING_FAULT_AVAIL_IDX);
	rig_offer(&rig, 3, 100);
	driver_publish(&rig.rx);
	check_fill(rig.push, 0);
	net_rig_close(&rig);
}

/* ---- watching ------------------------------------------------------------------------------- */

/* As a core would that is about to sleep, and once more when something was written. */
static bool
has_work(const struct vhc_queue_monitor *monitor)
{
	uint64_t bytes = ld_relaxed((const volatile uint16_t *)monitor->addr);

	CHECK_EQ(monitor->size, sizeof(uint16_t));
	return ((bytes & monitor->mask) == monitor->value) == monitor->wakes_if_equal;
}

static bool
queue_has_work(void)
{
	struct vhc_queue_monitor monitor;

	CHECK_EQ(vhc_queue_monitor(rig.pull, &monitor), 0);
	return has_work(&monitor);
}

/* More than once around the ring. */
static void
test_a_watcher_sees_work_come(void)
{
	net_rig_open(&rig, &modern);
	for (uint32_t i = 0; i < 3 * SIZE; i++) {
		struct vhc_queue_monitor monitor;

		CHECK_EQ(vhc_queue_monitor(rig.pull, &monitor), 0);
		CHECK(!has_work(&monitor));
		rig_send(&rig, i, 60);
		rig_send(&rig, i, 60);
		driver_publish(&rig.tx);
		CHECK(has_work(&monitor));
		CHECK(queue_has_work());
		pull(1);
		CHECK(queue_has_work());
		pull(1);
		CHECK(!queue_has_work());
		collect_all(&rig.tx);
	}
	net_rig_close(&rig);
}

static void
test_nothing_to_watch(void)
{
	struct vhc_queue_monitor monitor;

	net_rig_open(&rig, &modern);
	CHECK(!queue_has_work());
	vhc_queue_stop(rig.pull);
	CHECK_EQ(vhc_queue_monitor(rig.pull, &monitor), -EAGAIN);
	net_rig_restart(&rig);
	CHECK(!queue_has_work());
	vhc_ring_break(&rig.pull->ring, RING_FAULT_AVAIL_IDX);
	CHECK_EQ(vhc_queue_monitor(rig.pull, &monitor), -EAGAIN);
	net_rig_close(&rig);
}

/* ---- holding -------------------------------------------------------------------------------- */

static bool has_stopped;

static void *
stop_the_queue(void *arg)
{
	vhc_queue_pause(arg);
	st_release(&has_stopped, true);
	vhc_queue_resume(arg);
	return NULL;
}

static void
test_control_waits_for_every_holder(void)
{
	pthread_t thread;

	net_rig_open(&rig, &modern);
	CHECK(vhc_queue_hold(rig.pull));
	CHECK(vhc_queue_hold(rig.pull));
	has_stopped = false;
	CHECK_EQ(pthread_create(&thread, NULL, stop_the_queue, rig.pull), 0);
	while (vhc_queue_hold(rig.pull))
		vhc_queue_release(rig.pull);	/* until the gate is closed */
	vhc_queue_release(rig.pull);
	usleep(20000);
	CHECK(!ld_acquire(&has_stopped));
	vhc_queue_release(rig.pull);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK(has_stopped);
	CHECK(vhc_queue_hold(rig.pull));	/* it runs again */
	vhc_queue_release(rig.pull);
	net_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_fill_follows_guest_and_bursts),
	TEST(test_a_stopped_queue_is_empty),
	TEST(test_a_watcher_sees_work_come),
	TEST(test_nothing_to_watch),
	TEST(test_control_waits_for_every_holder),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
