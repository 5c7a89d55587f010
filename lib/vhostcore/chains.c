/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chains.c - the class of servers without one: nothing but rings, which the application works.
 *
 * Knows:   queues, rings.
 * Trusts:  nothing from the ring.
 * Runs on: polling thread; the class on the control thread.
 */
#include "class.h"

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

static void
chain_queue_init(struct vhc_queue *q)
{
	(void)q;
}

static void
chain_queue_start(struct vhc_queue *q, uint64_t features)
{
	(void)q;
	(void)features;
}

const struct vhc_class vhc_chain_class = {
	.name = "chains",
	.queue_len = sizeof(struct vhc_queue),
	.features = chain_features,
	.feature_name = chain_feature_name,
	.queue_init = chain_queue_init,
	.queue_start = chain_queue_start,
};
