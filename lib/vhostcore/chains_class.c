/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chains_class.c - the class of devices that applications make: what control does of chains.
 *
 * Knows:   chains.h; queues, maps.
 * Trusts:  the application to give back what it took.
 * Runs on: control thread, under the loop's lock.
 */
#include "chains.h"

#include <stdlib.h>

#include "device.h"

/* ---- memory that chains point to ------------------------------------------------------------ */

static bool
is_pointed_to(const struct chain_memory *memory)
{
	uint32_t nr_back = ld_acquire(&memory->nr_back) + ld_acquire(&memory->nr_back_late);

	return ld_acquire(&memory->nr_taken) != nr_back;
}

static void
memory_free(struct chain_memory *memory)
{
	vhc_map_unref(memory->map);
	free(memory);
}

/* What is taken from now on is on another map, or nothing is. */
static void
retire_memory(struct chain_queue *cq)
{
	if (!cq->memory)
		return;
	cq->memory->next = cq->old;
	cq->old = cq->memory;
	cq->memory = NULL;
}

static void
release_memory(struct chain_queue *cq, bool all)
{
	struct chain_memory **link = &cq->old;

	while (*link) {
		struct chain_memory *memory = *link;

		if (!all && is_pointed_to(memory)) {
			link = &memory->next;
			continue;
		}
		*link = memory->next;
		memory_free(memory);
	}
}

static bool
use_map(struct chain_queue *cq, struct map *map)
{
	struct chain_memory *memory;

	if (cq->memory && cq->memory->map == map)
		return true;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return false;
	vhc_map_ref(map);
	memory->map = map;
	retire_memory(cq);
	cq->memory = memory;
	return true;
}

/* ---- waiting for chains --------------------------------------------------------------------- */

/* Chains of a ring that is to stop, or was; or of memory that is otherwise gone. */
static bool
has_to_wait(const struct chain_queue *cq)
{
	bool ends = cq->is_draining || !cq->core.running;

	return cq->old || (ends && chain_nr_held(cq));
}

/*
 * Have the poller tell of what comes back, if we wait for anything. What came back before it could
 * see that, we see.
 */
static void
await(struct chain_queue *cq)
{
	if (has_to_wait(cq) && !cq->is_awaited) {
		st_release(&cq->is_awaited, 1);
		vhc_gate_fence();	/* [W] */
	}
	release_memory(cq, false);
	st_release(&cq->is_awaited, has_to_wait(cq));
}

/* ---- the class ------------------------------------------------------------------------------ */

static uint64_t
chain_features(uint16_t nr_rings)
{
	(void)nr_rings;
	return 0;
}

static const char *
chain_feature_name(unsigned int bit)
{
	(void)bit;
	return NULL;
}

static uint16_t
take_nothing(struct vhc_queue *q, void **chains, uint16_t n)
{
	(void)q;
	(void)chains;
	(void)n;
	return 0;
}

static void
chain_queue_init(struct vhc_queue *q)
{
	chain_queue_of(q)->is_over = 1;
	q->burst = take_nothing;
}

/* Rings that the application works itself have no chains; nor have those that cannot be counted. */
static void
chain_queue_start(struct vhc_queue *q, uint64_t features)
{
	struct chain_queue *cq = chain_queue_of(q);

	(void)features;
	q->burst = take_nothing;
	cq->is_draining = false;
	if (!q->dev->raw_rings && use_map(cq, q->dev->map))
		vhc_chains_choose(cq);
	st_release(&cq->is_over, 0);
}

static void
chain_queue_remap(struct vhc_queue *q)
{
	struct chain_queue *cq = chain_queue_of(q);

	if (q->burst == take_nothing)
		return;
	if (!use_map(cq, q->dev->map))
		q->burst = take_nothing;
	await(cq);
}

static void
chain_queue_stop(struct vhc_queue *q)
{
	struct chain_queue *cq = chain_queue_of(q);

	st_release(&cq->is_over, 1);
	fence_full();	/* [P] */
	vhc_chains_catch_up(cq);
	retire_memory(cq);
	cq->is_draining = false;
	await(cq);
}

static void
chain_queue_drain(struct vhc_queue *q, bool on)
{
	chain_queue_of(q)->is_draining = on;
	await(chain_queue_of(q));
}

static uint32_t
chain_queue_nr_held(const struct vhc_queue *q)
{
	return chain_nr_held(vhc_container_of(q, const struct chain_queue, core));
}

static bool
chain_queue_is_behind(struct vhc_queue *q)
{
	fence_full();	/* [P] */
	return ld_relaxed(&chain_queue_of(q)->late);
}

static void
chain_queue_catch_up(struct vhc_queue *q)
{
	vhc_chains_catch_up(chain_queue_of(q));
}

static void
chain_queue_look(struct vhc_queue *q)
{
	await(chain_queue_of(q));
}

static void
chain_queue_fini(struct vhc_queue *q)
{
	struct chain_queue *cq = chain_queue_of(q);

	retire_memory(cq);
	release_memory(cq, true);
	vhc_chains_free(cq);
}

const struct vhc_class vhc_chain_class = {
	.name = "chains",
	.queue_len = sizeof(struct chain_queue),
	.marks_writes = true,
	.features = chain_features,
	.feature_name = chain_feature_name,
	.queue_init = chain_queue_init,
	.queue_start = chain_queue_start,
	.lends = &(const struct vhc_class_lends){
		.remap = chain_queue_remap,
		.drain = chain_queue_drain,
		.stop = chain_queue_stop,
		.nr_held = chain_queue_nr_held,
		.look = chain_queue_look,
		.is_behind = chain_queue_is_behind,
		.catch_up = chain_queue_catch_up,
		.fini = chain_queue_fini,
	},
};
