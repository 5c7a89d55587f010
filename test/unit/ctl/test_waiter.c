/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_waiter.c - a verdict in time, too late, or never; whoever lets go last cleans up.
 */
#define _GNU_SOURCE 1

#include "../peer.h"

#include <pthread.h>

#include "ctl/waiter.h"

static struct waiter *
new_waiter(void)
{
	struct waiter *w;

	CHECK_EQ(vhc_waiter_create(&w), 0);
	return w;
}

static void *
tell_soon(void *arg)
{
	peer_sleep_ms(20);
	vhc_waiter_tell(arg, -EPROTO);
	return NULL;
}

static void
test_a_verdict_in_time(void)
{
	struct waiter *w = new_waiter();
	double began = peer_now();
	pthread_t thread;

	CHECK(vhc_waiter_is_waiting(w));
	CHECK_EQ(pthread_create(&thread, NULL, tell_soon, w), 0);
	CHECK_EQ(vhc_waiter_wait(w, 5000), -EPROTO);
	CHECK(peer_now() - began < 3);
	pthread_join(thread, NULL);
}

static void
test_a_verdict_before_anybody_waits(void)
{
	struct waiter *w = new_waiter();

	vhc_waiter_tell(w, 0);
	CHECK_EQ(vhc_waiter_wait(w, 0), 0);
}

static void
test_a_verdict_too_late(void)
{
	struct waiter *w = new_waiter();
	double began = peer_now();

	CHECK_EQ(vhc_waiter_wait(w, 50), -ETIMEDOUT);
	CHECK(peer_now() - began >= 0.050);
	CHECK(!vhc_waiter_is_waiting(w));
	vhc_waiter_tell(w, 0);
}

static void *
tell_at_once(void *arg)
{
	vhc_waiter_tell(arg, 0);
	return NULL;
}

/* Either is right; a sanitizer tells if both sides, or none, cleaned up. */
static void
test_a_verdict_just_as_time_runs_out(void)
{
	for (int i = 0; i < 500; i++) {
		struct waiter *w = new_waiter();
		pthread_t thread;
		int rc;

		CHECK_EQ(pthread_create(&thread, NULL, tell_at_once, w), 0);
		rc = vhc_waiter_wait(w, 0);
		CHECK(rc == 0 || rc == -ETIMEDOUT);
		pthread_join(thread, NULL);
	}
}

static const struct test tests[] = {
	TEST(test_a_verdict_in_time),
	TEST(test_a_verdict_before_anybody_waits),
	TEST(test_a_verdict_too_late),
	TEST(test_a_verdict_just_as_time_runs_out),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
