/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rx_interrupt.c - an application that sleeps until a port's first receive queue has packets.
 *
 * Knows:   nothing but ethdev; test_rx_interrupt.py builds it and reads what it prints.
 * Trusts:  its command line: EAL arguments with one --vdev.
 * Runs on: one thread.
 *
 * Prints "asleep" when it is about to sleep for the first time, then a line for each wake-up:
 * "woke after N ms, N packets". "timeout" and exit code 2 when nothing comes for TIMEOUT_MS.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_interrupts.h>
#include <rte_mbuf.h>

#define TIMEOUT_MS	10000
#define NR_WAKES	3
#define BURST		32

static void
need(int rc, const char *step)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s\n", step, rte_strerror(-rc));
	exit(1);
}

static void
open_port(void)
{
	struct rte_eth_conf conf = { .intr_conf = { .rxq = 1 } };
	struct rte_mempool *pool = rte_pktmbuf_pool_create("rx", 4095, 64, 0,
							   RTE_MBUF_DEFAULT_BUF_SIZE, 0);

	need(pool ? 0 : -rte_errno, "mempool");
	need(rte_eth_dev_configure(0, 1, 1, &conf), "configure");
	need(rte_eth_rx_queue_setup(0, 0, 256, 0, NULL, pool), "rx queue");
	need(rte_eth_tx_queue_setup(0, 0, 256, 0, NULL), "tx queue");
	need(rte_eth_dev_start(0), "start");
	need(rte_eth_dev_rx_intr_ctl_q(0, 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, NULL),
	     "add to epoll");
}

static unsigned int
drain(void)
{
	struct rte_mbuf *pkts[BURST];
	unsigned int total = 0;
	uint16_t count;

	while ((count = rte_eth_rx_burst(0, 0, pkts, BURST)) > 0) {
		rte_pktmbuf_free_bulk(pkts, count);
		total += count;
	}
	return total;
}

static long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Packets that came between the last poll and the enable raise no interrupt: look once more. */
static unsigned int
sleep_for_packets(void)
{
	struct rte_epoll_event event;
	unsigned int count;
	int rc;

	need(rte_eth_dev_rx_intr_enable(0, 0), "enable");
	count = drain();
	if (count > 0)
		return count;
	rc = rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, TIMEOUT_MS);
	need(rc, "epoll");
	if (rc == 0) {
		puts("timeout");
		exit(2);
	}
	need(rte_eth_dev_rx_intr_disable(0, 0), "disable");
	return drain();
}

static void
wait_for_link(void)
{
	struct rte_eth_link link;

	for (int tries = 0; tries < TIMEOUT_MS; tries++) {
		need(rte_eth_link_get_nowait(0, &link), "link");
		if (link.link_status == RTE_ETH_LINK_UP)
			return;
		rte_delay_us_sleep(1000);
	}
	need(-ETIMEDOUT, "link up");
}

int
main(int argc, char **argv)
{
	long start;

	setlinebuf(stdout);
	need(rte_eal_init(argc, argv) < 0 ? -rte_errno : 0, "EAL");
	open_port();
	puts("ready");
	wait_for_link();
	drain();
	puts("asleep");
	for (int wakes = 0; wakes < NR_WAKES;) {
		unsigned int count;

		start = now_ms();
		count = sleep_for_packets();
		if (count == 0)
			continue;
		wakes++;
		printf("woke after %ld ms, %u packets\n", now_ms() - start, count);
	}
	need(rte_eth_dev_stop(0), "stop");
	rte_eth_dev_close(0);
	rte_eal_cleanup();
	return 0;
}
