/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * burst.c - packets: receive is pull, transmit is push.
 *
 * Knows:   that ethdev's queue pointer is the library's queue.
 * Trusts:  the application to poll a queue from one thread at a time.
 * Runs on: polling threads.
 */
#include "vhostpmd.h"

uint16_t
vhostx_rx_burst(void *rxq, struct rte_mbuf **mbufs, uint16_t n)
{
	return vhc_net_pull(rxq, mbufs, n);
}

uint16_t
vhostx_tx_burst(void *txq, struct rte_mbuf **mbufs, uint16_t n)
{
	return vhc_net_push(txq, mbufs, n);
}
