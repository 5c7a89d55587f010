/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rig.c - what queue.c and chains_class.c do for a queue, without a control thread.
 */
#include "rig.h"

#include <sys/eventfd.h>

#include "ring/setup.h"

void
chain_rig_open(struct chain_rig *rig, const struct driver_conf *conf, bool indirect,
	       bool is_tracked)
{
	*rig = (struct chain_rig){ .indirect = indirect, .call = eventfd(0, EFD_NONBLOCK) };
	CHECK(rig->call >= 0);
	rig->device.done_fd = -1;
	guest_init(&rig->guest);
	driver_init(&rig->driver, &rig->guest, GUEST_LOW_AT, conf);
	rig->base = driver_base(&rig->driver);
	if (is_tracked) {
		rig->region_len = vhc_inflight_len(conf->kind, conf->size);
		rig->region = calloc(1, rig->region_len);
		CHECK(rig->region);
	}
	CHECK(chain_rig_begin(rig));
}

uint64_t
chain_rig_faults(const struct chain_rig *rig)
{
	uint64_t nr = 0;

	for (unsigned int i = 0; i < RING_NR_FAULTS; i++)
		nr += rig->q->faults.count[i];
	return nr;
}

void
chain_rig_close(struct chain_rig *rig)
{
	CHECK_EQ(chain_rig_faults(rig), 0);
	CHECK_EQ(chain_nr_held(rig->cq), 0);
	CHECK_EQ(rig->memory.nr_taken, rig->memory.nr_back);
	chain_rig_abandon(rig);
	free(rig->region);
	driver_fini(&rig->driver);
	guest_fini(&rig->guest);
	close(rig->call);
}

void
chain_rig_abandon(struct chain_rig *rig)
{
	vhc_chains_free(rig->cq);
	vhc_inflight_destroy(rig->q->inflight);
	free(rig->cq);
	rig->cq = NULL;
	rig->q = NULL;
}

void
chain_rig_prepare(struct chain_rig *rig)
{
	const struct ring_claim claim = driver_claim(&rig->driver, rig->indirect);
	size_t len = sizeof(*rig->cq) + VHC_CACHE_LINE;
	char reason[RING_REASON_LEN];

	rig->cq = aligned_alloc(VHC_CACHE_LINE, len - len % VHC_CACHE_LINE);
	CHECK(rig->cq);
	memset(rig->cq, 0, sizeof(*rig->cq));
	rig->q = &rig->cq->core;
	rig->q->dev = &rig->device;
	rig->q->ring.faults = &rig->q->faults;
	rig->q->ring.err_fd = -1;
	rig->q->ring.call_fd = rig->call;
	rig->memory = (struct chain_memory){ .map = rig->guest.map };
	rig->cq->memory = &rig->memory;
	CHECK_EQ(vhc_ring_translate(&rig->q->ring, &claim, rig->guest.map, reason), 0);
	if (rig->region)
		CHECK_EQ(vhc_inflight_create(claim.kind, rig->region, claim.size,
					     &rig->q->inflight), 0);
}

/* What the front-end says of the ring's place is as old as the ring: the region knows better. */
bool
chain_rig_recover(struct chain_rig *rig)
{
	bool ok = true;

	vhc_ring_start(&rig->q->ring, rig->base);
	if (rig->q->inflight)
		ok = vhc_inflight_recover(rig->q->inflight, &rig->q->ring, true);
	vhc_chains_choose(rig->cq);
	return ok;
}

uint64_t
chain_rig_calls(struct chain_rig *rig)
{
	uint64_t nr = 0;

	if (read(rig->call, &nr, sizeof(nr)) < 0)
		return 0;
	return nr;
}
