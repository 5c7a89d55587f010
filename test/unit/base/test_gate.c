/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_gate.c - one poller hammers the gate while the controller closes and opens it: never are
 * both of them inside.
 */
#define _GNU_SOURCE 1

#include <pthread.h>
#include <time.h>

#include "base/gate.h"
#include "unit/check.h"

#define ROUNDS 3000

/* What the gate guards. Plain members: a gate that leaks lets the two sides tear it. */
struct guarded {
	struct gate gate;
	uint64_t left;
	uint64_t right;
	bool poller_inside;	/* set and cleared by the poller, read by the controller */
	bool stop;
	uint64_t nr_entered;
	uint64_t nr_refused;
	uint64_t nr_torn;
};

static void *
poll_gate(void *arg)
{
	struct guarded *s = arg;

	while (!ld_relaxed(&s->stop)) {
		if (!gate_enter(&s->gate)) {
			st_relaxed(&s->nr_refused, s->nr_refused + 1);
			continue;
		}
		st_relaxed(&s->poller_inside, true);
		s->nr_torn += s->left != s->right;
		s->left++;
		fence_compiler();
		s->right++;
		st_relaxed(&s->poller_inside, false);
		gate_leave(&s->gate);
		st_relaxed(&s->nr_entered, s->nr_entered + 1);
	}
	return NULL;
}

/* Until the counter moves on; the alarm ends a wait that has no end. */
static void
wait_to_pass(const uint64_t *counter)
{
	uint64_t before = ld_relaxed(counter);

	while (ld_relaxed(counter) == before) {
		struct timespec moment = { 0, 1000 };

		nanosleep(&moment, NULL);
	}
}

static void
own_for_a_moment(struct guarded *s)
{
	vhc_gate_close(&s->gate);
	CHECK(!ld_relaxed(&s->poller_inside));
	CHECK_EQ(s->left, s->right);
	s->left += 1000;
	for (unsigned int i = 0; i < 50; i++) {
		cpu_relax();
		CHECK(!ld_relaxed(&s->poller_inside));
	}
	s->right += 1000;
	vhc_gate_open(&s->gate);
}

static void
test_never_both_inside(void)
{
	struct guarded s = { .left = 0 };
	pthread_t poller;

	vhc_gate_init(&s.gate);
	vhc_gate_open(&s.gate);
	CHECK_EQ(pthread_create(&poller, NULL, poll_gate, &s), 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		own_for_a_moment(&s);
		if (i % 100 == 0)
			wait_to_pass(&s.nr_entered);
	}
	st_relaxed(&s.stop, true);
	CHECK_EQ(pthread_join(poller, NULL), 0);
	CHECK_EQ(s.nr_torn, 0);
	CHECK_EQ(s.left, s.right);
	CHECK_EQ(s.left, s.nr_entered + UINT64_C(1000) * ROUNDS);
}

static void
test_closed_gate_refuses_until_opened(void)
{
	struct guarded s = { .left = 0 };
	uint64_t entered;
	pthread_t poller;

	vhc_gate_init(&s.gate);
	CHECK_EQ(pthread_create(&poller, NULL, poll_gate, &s), 0);
	wait_to_pass(&s.nr_refused);
	CHECK_EQ(ld_relaxed(&s.nr_entered), 0);
	vhc_gate_open(&s.gate);
	wait_to_pass(&s.nr_entered);
	vhc_gate_close(&s.gate);
	vhc_gate_close(&s.gate);
	entered = s.left;
	wait_to_pass(&s.nr_refused);
	CHECK_EQ(s.left, entered);
	st_relaxed(&s.stop, true);
	CHECK_EQ(pthread_join(poller, NULL), 0);
}

static const struct test tests[] = {
	TEST(test_closed_gate_refuses_until_opened),
	TEST(test_never_both_inside),
};

int
main(void)
{
	if (vhc_gate_setup())
		SKIP("the kernel has no membarrier(2); Linux 4.14 or later has");
	return RUN_TESTS(tests);
}
