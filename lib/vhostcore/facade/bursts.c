/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bursts.c - packets.
 *
 * Knows:   the library's bursts.
 * Trusts:  one polling thread a ring, as rte_vhost.h demands.
 * Runs on: polling threads; nothing here waits.
 */
#include "facade.h"

FACADE_API uint16_t
rte_vhost_dequeue_burst(int vid, uint16_t queue_id, struct rte_mempool *mbuf_pool,
			struct rte_mbuf **pkts, uint16_t count)
{
	const struct facade_port *port = facade_port_of(vid);

	if (unlikely(!port) || unlikely(queue_id >= port->rings.nr_net) ||
	    unlikely(!(queue_id & 1)) || unlikely(!pkts))
		return 0;
	return vhc_net_pull_into(port->rings.queue[queue_id], mbuf_pool, pkts, count);
}

FACADE_API uint16_t
rte_vhost_enqueue_burst(int vid, uint16_t queue_id, struct rte_mbuf **pkts, uint16_t count)
{
	const struct facade_port *port = facade_port_of(vid);

	if (unlikely(!port) || unlikely(queue_id >= port->rings.nr_net) ||
	    unlikely(queue_id & 1) || unlikely(!pkts))
		return 0;
	return vhc_net_push(port->rings.queue[queue_id], pkts, count);
}

FACADE_API uint16_t
rte_vhost_avail_entries(int vid, uint16_t queue_id)
{
	struct vhc_queue *q = facade_queue_of(facade_port_of(vid), queue_id);
	struct vhc_queue_fill fill;

	return q && vhc_queue_fill(q, &fill) ? fill.available : 0;
}

FACADE_API uint32_t
rte_vhost_rx_queue_count(int vid, uint16_t qid)
{
	return qid & 1 ? rte_vhost_avail_entries(vid, qid) : 0;
}
