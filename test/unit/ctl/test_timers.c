/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_timers.c - the heap of deadlines against a plain array, and slots that are used again.
 */
#include "../check.h"

#include <stdbool.h>

#include "ctl/timers.h"

#define MANY 2000
#define STEPS 200000

static struct {
	uint64_t id;		/* 0: not in the heap */
	uint64_t deadline;
} model[MANY];

static struct timers timers;
static unsigned int seed = 1;

static void
nothing(void *arg)
{
	(void)arg;
}

static void
add(unsigned int i)
{
	model[i].deadline = (uint64_t)rand_r(&seed) % 1000;
	CHECK_EQ(vhc_timers_add(&timers, model[i].deadline, nothing, &model[i], &model[i].id), 0);
	CHECK(model[i].id != 0);
}

static uint64_t
earliest(void)
{
	uint64_t first = UINT64_MAX;

	for (unsigned int i = 0; i < MANY; i++)
		if (model[i].id && model[i].deadline < first)
			first = model[i].deadline;
	return first;
}

static void
pop(void)
{
	const struct timer *t = vhc_timers_first(&timers);
	uint64_t deadline;

	if (!t)
		return;
	deadline = t->deadline;
	for (unsigned int i = 0; i < MANY; i++)
		if (t->arg == &model[i])
			model[i].id = 0;
	CHECK(deadline <= earliest());
	vhc_timers_pop(&timers);
}

static void
test_the_earliest_comes_first_whatever_was_added_and_removed(void)
{
	vhc_timers_init(&timers);
	for (unsigned int step = 0; step < STEPS; step++) {
		unsigned int i = (unsigned int)rand_r(&seed) % MANY;

		if (step % 16 == 0) {
			pop();
		} else if (model[i].id) {
			vhc_timers_remove(&timers, model[i].id);
			vhc_timers_remove(&timers, model[i].id);	/* gone: nothing happens */
			model[i].id = 0;
		} else {
			add(i);
		}
	}
	while (vhc_timers_first(&timers))
		pop();
	CHECK_EQ(earliest(), UINT64_MAX);
	vhc_timers_fini(&timers);
}

static void
test_an_id_is_never_used_again(void)
{
	struct slots slots = { .size = sizeof(struct slot) };
	uint64_t ids[64], again;

	CHECK(!vhc_slot_find(&slots, 0));
	for (unsigned int i = 0; i < 64; i++)
		CHECK(vhc_slot_take(&slots, &ids[i]));
	for (unsigned int i = 0; i < 64; i++) {
		void *slot = vhc_slot_find(&slots, ids[i]);

		CHECK(slot);
		vhc_slot_give(&slots, slot);
		CHECK(!vhc_slot_find(&slots, ids[i]));
		CHECK(vhc_slot_take(&slots, &again) == slot);	/* the room is, the id is not */
		CHECK(again != ids[i] && vhc_slot_find(&slots, again) == slot);
		CHECK(!vhc_slot_find(&slots, ids[i]));
	}
	free(slots.each);
}

static const struct test tests[] = {
	TEST(test_the_earliest_comes_first_whatever_was_added_and_removed),
	TEST(test_an_id_is_never_used_again),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
