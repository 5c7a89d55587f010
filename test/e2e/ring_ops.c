/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring_ops.c - an application that asks of its rings what testpmd never asks.
 *
 * Knows:   nothing but ethdev; test_ring_ops.py builds it and reads what it prints.
 * Trusts:  its command line: EAL arguments with one --vdev.
 * Runs on: one thread.
 *
 * Prints a line for each answer, "step: ...". On the way it waits for a link, for packets
 * ("watching") and for the link to go ("reading on").
 */
#include <errno.h>

#include <rte_cycles.h>

#include "one_port.h"

#define BURST 32

static uint64_t
load(const struct rte_power_monitor_cond *cond)
{
	need(cond->size == sizeof(uint16_t) ? 0 : -EINVAL, "size of the condition");
	return *(volatile uint16_t *)cond->addr;
}

/* As rte_power_monitor() before it sleeps. */
static int
may_sleep(const struct rte_power_monitor_cond *cond)
{
	return cond->fn(load(cond), cond->opaque) == 0;
}

/* The link is up before the guest has offered its buffers. */
static void
wait_for_room(void)
{
	int tries = 0;

	while (rte_eth_tx_descriptor_status(0, 0, 0) != RTE_ETH_TX_DESC_DONE) {
		need(tries++ < TIMEOUT_MS ? 0 : -ETIMEDOUT, "room");
		rte_delay_us_sleep(1000);
	}
}

static void
show_state(const char *step)
{
	printf("%s: count %d rx %d tx %d beyond %d %d\n", step, rte_eth_rx_queue_count(0, 0),
	       rte_eth_rx_descriptor_status(0, 0, 0), rte_eth_tx_descriptor_status(0, 0, 0),
	       rte_eth_rx_descriptor_status(0, 0, UINT16_MAX),
	       rte_eth_tx_descriptor_status(0, 0, UINT16_MAX));
}

static struct rte_mbuf *
packet(struct rte_mempool *pool, uint16_t len, uint64_t flags)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	char *bytes;

	need(m ? 0 : -ENOMEM, "mbuf");
	bytes = rte_pktmbuf_append(m, len);
	for (uint16_t i = 0; i < len; i++)
		bytes[i] = (char)i;
	m->ol_flags = flags;
	return m;
}

static void
prepare(struct rte_mempool *pool)
{
	struct rte_mbuf *pkts[] = {
		packet(pool, 60, 0), packet(pool, 60, RTE_MBUF_F_TX_VLAN),
		packet(pool, 60, RTE_MBUF_F_TX_TCP_CKSUM), packet(pool, 13, 0),
		packet(pool, 60, RTE_MBUF_F_TX_QINQ),
	};

	for (uint16_t from = 0; from < RTE_DIM(pkts); from++) {
		uint16_t nr = (uint16_t)(RTE_DIM(pkts) - from);

		rte_errno = 0;
		nr = rte_eth_tx_prepare(0, 0, pkts + from, nr);
		printf("prepare %u: %u errno %d\n", from, nr, rte_errno);
	}
	printf("sent: %u", rte_eth_tx_burst(0, 0, pkts, 2));
	printf(" cleaned: %d\n", rte_eth_tx_done_cleanup(0, 0, 0));
	rte_pktmbuf_free_bulk(pkts + 2, RTE_DIM(pkts) - 2);
}

/* Reads the address only, until something is written there. */
static void
watch_for_packets(void)
{
	struct rte_power_monitor_cond cond;
	struct rte_mbuf *pkts[BURST];
	unsigned int total = 0;
	uint16_t count;

	need(rte_eth_get_monitor_addr(0, 0, &cond), "monitor");
	printf("may sleep: %d\n", may_sleep(&cond));
	puts("watching");
	for (int tries = 0; may_sleep(&cond); tries++) {
		need(tries < TIMEOUT_MS ? 0 : -ETIMEDOUT, "packets");
		rte_delay_us_sleep(1000);
	}
	show_state("waiting");
	while ((count = rte_eth_rx_burst(0, 0, pkts, BURST)) > 0) {
		rte_pktmbuf_free_bulk(pkts, count);
		total += count;
	}
	need(rte_eth_get_monitor_addr(0, 0, &cond), "monitor again");
	printf("received: %u may sleep: %d\n", total, may_sleep(&cond));
}

/* As a core that sleeps while the guest dies: the memory goes, the address must not. */
static void
read_on(void)
{
	struct rte_power_monitor_cond cond, later;
	struct rte_eth_link link;
	int reads = 0;

	need(rte_eth_get_monitor_addr(0, 0, &cond), "monitor");
	puts("reading on");
	do {
		load(&cond);
		need(rte_eth_link_get_nowait(0, &link), "link");
	} while (link.link_status == RTE_ETH_LINK_UP);
	for (; reads < 200; reads++) {
		load(&cond);
		rte_delay_us_sleep(1000);
	}
	printf("read on: %d monitor: %d\n", reads, rte_eth_get_monitor_addr(0, 0, &later));
}

int
main(int argc, char **argv)
{
	const struct rte_eth_conf conf = {
		.txmode.offloads = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE,
	};
	struct rte_power_monitor_cond cond;
	struct rte_mempool *pool = open_port(argc, argv, &conf);

	printf("no guest: monitor %d\n", rte_eth_get_monitor_addr(0, 0, &cond));
	show_state("no guest");
	puts("ready");
	wait_for_link(RTE_ETH_LINK_UP);
	wait_for_room();
	show_state("guest");
	prepare(pool);
	watch_for_packets();
	read_on();
	show_state("gone");
	printf("leaked: %u\n", rte_mempool_in_use_count(pool));
	close_port();
	return 0;
}
