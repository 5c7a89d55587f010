/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * one_port.h - what the test programs share: EAL's first port, with a queue each way.
 *
 * Knows:   nothing but ethdev.
 * Trusts:  the command line: EAL arguments with one --vdev.
 * Runs on: one thread.
 */
#ifndef TEST_E2E_ONE_PORT_H
#define TEST_E2E_ONE_PORT_H

#include <stdio.h>
#include <stdlib.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define TIMEOUT_MS	10000

static inline void
need(int rc, const char *step)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s\n", step, rte_strerror(-rc));
	exit(1);
}

/* Starts EAL and the port; the pool is what it receives into, and good to send from. */
static inline struct rte_mempool *
open_port(int argc, char **argv, const struct rte_eth_conf *conf)
{
	struct rte_mempool *pool;

	setlinebuf(stdout);
	need(rte_eal_init(argc, argv) < 0 ? -rte_errno : 0, "EAL");
	pool = rte_pktmbuf_pool_create("rx", 4095, 64, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	need(pool ? 0 : -rte_errno, "mempool");
	need(rte_eth_dev_configure(0, 1, 1, conf), "configure");
	need(rte_eth_rx_queue_setup(0, 0, 256, 0, NULL, pool), "rx queue");
	need(rte_eth_tx_queue_setup(0, 0, 256, 0, NULL), "tx queue");
	need(rte_eth_dev_start(0), "start");
	return pool;
}

static inline void
close_port(void)
{
	need(rte_eth_dev_stop(0), "stop");
	rte_eth_dev_close(0);
	rte_eal_cleanup();
}

static inline void
wait_for_link(int up)
{
	struct rte_eth_link link;

	for (int tries = 0; tries < TIMEOUT_MS; tries++) {
		need(rte_eth_link_get_nowait(0, &link), "link");
		if (link.link_status == up)
			return;
		rte_delay_us_sleep(1000);
	}
	need(-ETIMEDOUT, up ? "link up" : "link down");
}

#endif
