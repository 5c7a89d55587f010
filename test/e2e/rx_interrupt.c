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
#include <time.h>

#include <rte_interrupts.h>

#include "one_port.h"

#define NR_WAKES	3
#define BURST		32

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

int
main(int argc, char **argv)
{
	const struct rte_eth_conf conf = { .intr_conf = { .rxq = 1 } };
	long start;

	open_port(argc, argv, &conf);
	need(rte_eth_dev_rx_intr_ctl_q(0, 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, NULL),
	     "add to epoll");
	puts("ready");
	wait_for_link(RTE_ETH_LINK_UP);
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
	close_port();
	return 0;
}
