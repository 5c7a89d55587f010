/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * near.c - queues near the guest's memory, and a word to who polls far from it.
 *
 * Knows:   queues, NUMA nodes.
 * Trusts:  nothing of the guest's: only where its pages lie is asked.
 * Runs on: control thread.
 *
 * A queue exists before its guest, and applications hold pointers to it: so it is its pages that
 * move, not the queue. On machines with one node nothing here does anything.
 */
#include "near.h"

#include <string.h>

#include "base/log.h"
#include "mem/node.h"

void
vhc_near_follow(struct vhc_queue *q)
{
	int node, rc;

	q->poll_cpu = QUEUE_CPU_UNASKED;
	if (!vhc_machine->has_many())
		return;
	q->poll_cpu = QUEUE_CPU_WANTED;
	node = vhc_machine->of_memory(q->ring.g_desc);
	if (node < 0)
		return;
	q->memory_node = node;
	if (vhc_machine->of_memory(q) == node)
		return;
	rc = vhc_node_move(q, q->dev->cls->queue_len, node);
	if (rc != 0)
		log_info(q->dev->name, "ring %u: its state stays where it is, the guest's memory "
			 "is on NUMA node %d: %s", q->index, node, strerror(-rc));
}

static bool
is_far(const struct vhc_queue *q, int cpu, int *node)
{
	*node = vhc_machine->of_cpu(cpu);
	return *node >= 0 && q->memory_node >= 0 && *node != q->memory_node;
}

static void
warn(struct vhc_device *dev, const struct vhc_queue *q, int cpu, int node)
{
	dev->is_far_told = true;
	log_warn(dev->name, "ring %u is polled on CPU %d of NUMA node %d, but the guest's memory "
		 "is on node %d: packets cross between them, which is slow: poll it on a CPU of "
		 "node %d, or give the guest memory of node %d", q->index, cpu, node,
		 q->memory_node, q->memory_node, node);
}

bool
vhc_near_judge_pollers(struct vhc_device *dev)
{
	bool is_unknown = false;

	for (uint16_t i = 0; i < dev->nr_data_rings && !dev->is_far_told; i++) {
		const struct vhc_queue *q = dev->queues[i];
		int cpu = ld_relaxed(&q->poll_cpu), node;

		if (!q->running || cpu == QUEUE_CPU_UNASKED)
			continue;
		if (cpu == QUEUE_CPU_WANTED)
			is_unknown = true;
		else if (is_far(q, cpu, &node))
			warn(dev, q, cpu, node);
	}
	return is_unknown && !dev->is_far_told;
}
