/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * timers.c - see timers.h. Adding and removing cost the logarithm of their number.
 *
 * Knows:   numbers to compare.
 * Trusts:  its owner.
 * Runs on: with the loop's lock held.
 */
#include "timers.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_ROOM 16

void
vhc_timers_init(struct timers *timers)
{
	*timers = (struct timers){ .slots.size = sizeof(struct timer) };
}

void
vhc_timers_fini(struct timers *timers)
{
	free(timers->slots.each);
	free(timers->heap);
}

static struct timer *
timer_at(const struct timers *timers, uint32_t place)
{
	return slot_at(&timers->slots, timers->heap[place]);
}

static uint64_t
deadline_at(const struct timers *timers, uint32_t place)
{
	return timer_at(timers, place)->deadline;
}

static void
put(struct timers *timers, uint32_t place, uint32_t index)
{
	timers->heap[place] = index;
	timer_at(timers, place)->place = place;
}

static void
swap(struct timers *timers, uint32_t a, uint32_t b)
{
	uint32_t index = timers->heap[a];

	put(timers, a, timers->heap[b]);
	put(timers, b, index);
}

static void
rise(struct timers *timers, uint32_t place)
{
	while (place) {
		uint32_t above = (place - 1) / 2;

		if (deadline_at(timers, above) <= deadline_at(timers, place))
			return;
		swap(timers, above, place);
		place = above;
	}
}

static void
sink(struct timers *timers, uint32_t place)
{
	for (;;) {
		uint32_t below = 2 * place + 1;

		if (below >= timers->nr)
			return;
		if (below + 1 < timers->nr &&
		    deadline_at(timers, below + 1) < deadline_at(timers, below))
			below++;
		if (deadline_at(timers, place) <= deadline_at(timers, below))
			return;
		swap(timers, place, below);
		place = below;
	}
}

static int
make_room(struct timers *timers)
{
	uint32_t more = timers->room ? timers->room * 2 : FIRST_ROOM;
	uint32_t *grown;

	if (timers->nr < timers->room)
		return 0;
	grown = realloc(timers->heap, more * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	timers->heap = grown;
	timers->room = more;
	return 0;
}

int
vhc_timers_add(struct timers *timers, uint64_t deadline, void (*fn)(void *arg), void *arg,
	       uint64_t *id)
{
	struct timer *t;

	if (make_room(timers))
		return -ENOMEM;
	t = vhc_slot_take(&timers->slots, id);
	if (!t)
		return -ENOMEM;
	t->deadline = deadline;
	t->fn = fn;
	t->arg = arg;
	put(timers, timers->nr++, slot_index(*id));
	rise(timers, timers->nr - 1);
	return 0;
}

/* The last one takes its place, and goes where it belongs from there. */
static void
take_out(struct timers *timers, struct timer *t)
{
	uint32_t place = t->place;

	timers->nr--;
	if (place < timers->nr) {
		put(timers, place, timers->heap[timers->nr]);
		rise(timers, place);
		sink(timers, place);
	}
	vhc_slot_give(&timers->slots, t);
}

void
vhc_timers_remove(struct timers *timers, uint64_t id)
{
	struct timer *t = vhc_slot_find(&timers->slots, id);

	if (t)
		take_out(timers, t);
}

struct timer *
vhc_timers_first(const struct timers *timers)
{
	return timers->nr ? timer_at(timers, 0) : NULL;
}

void
vhc_timers_pop(struct timers *timers)
{
	take_out(timers, timer_at(timers, 0));
}
