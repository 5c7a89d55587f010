/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring.c - what an application may ask of a queue's ring.
 *
 * Knows:   that the guest owns the descriptors: it makes them available, we use them up.
 * Trusts:  the library's snapshot.
 * Runs on: polling threads; harmless on any other, and while a front-end goes.
 */
#include <errno.h>

#include <rte_errno.h>

#include "vhostpmd.h"

/* Packets that wait. A packed ring counts descriptors: more, if a packet lies in several. */
unsigned int
vhostx_rx_queue_count(void *rxq)
{
	struct vhc_queue_fill fill;

	vhc_queue_fill(rxq, &fill);
	return fill.available;
}

/* DONE: a packet waits there. AVAIL: the guest may put one there. */
int
vhostx_rx_descriptor_status(void *rxq, uint16_t offset)
{
	struct vhc_queue_fill fill;

	if (!vhc_queue_fill(rxq, &fill))
		return RTE_ETH_RX_DESC_UNAVAIL;
	if (offset >= fill.size)
		return -EINVAL;
	return offset < fill.available ? RTE_ETH_RX_DESC_DONE : RTE_ETH_RX_DESC_AVAIL;
}

/* DONE: room for a packet. FULL: the guest has not given the buffer back yet. */
int
vhostx_tx_descriptor_status(void *txq, uint16_t offset)
{
	struct vhc_queue_fill fill;

	if (!vhc_queue_fill(txq, &fill))
		return RTE_ETH_TX_DESC_UNAVAIL;
	if (offset >= fill.size)
		return -EINVAL;
	return offset < fill.available ? RTE_ETH_TX_DESC_DONE : RTE_ETH_TX_DESC_FULL;
}

/* Judges only: what a packet needs is done on the copy that the guest gets. */
uint16_t
vhostx_tx_prepare(void *txq, struct rte_mbuf **mbufs, uint16_t n)
{
	int error;
	uint16_t nr_good = vhc_net_push_check(mbufs, n, &error);

	(void)txq;
	if (nr_good < n)
		rte_errno = -error;
	return nr_good;
}

/* Places in rte_power_monitor_cond.opaque. */
enum { VALUE, MASK, WAKES_IF_EQUAL };

_Static_assert(WAKES_IF_EQUAL < RTE_POWER_MONITOR_OPAQUE_SZ, "opaque");

/* -1: do not sleep, there is work. */
static int
check_for_work(const uint64_t bytes, const uint64_t opaque[RTE_POWER_MONITOR_OPAQUE_SZ])
{
	bool is_equal = (bytes & opaque[MASK]) == opaque[VALUE];

	return is_equal == (bool)opaque[WAKES_IF_EQUAL] ? -1 : 0;
}

/* -EAGAIN and not -ENOTSUP without a guest: the power library would give up for good. */
int
vhostx_get_monitor_addr(void *rxq, struct rte_power_monitor_cond *cond)
{
	struct vhc_queue_monitor monitor;
	int rc = vhc_queue_monitor(rxq, &monitor);

	if (rc != 0)
		return rc;
	*cond = (struct rte_power_monitor_cond){
		.addr = (volatile void *)(uintptr_t)monitor.addr,
		.size = monitor.size,
		.fn = check_for_work,
		.opaque = {
			[VALUE] = monitor.value,
			[MASK] = monitor.mask,
			[WAKES_IF_EQUAL] = monitor.wakes_if_equal,
		},
	};
	return 0;
}
