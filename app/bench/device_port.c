/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_port.c - ports of a driver as devices, so that drivers can be compared where virtio-user
 * does not go: behind an IOMMU, and with memory in regions as we like.
 *
 * Knows:   ports of any driver that takes iface=, the model front-end.
 * Trusts:  the drivers it loads.
 * Runs on: the main thread.
 */
#include "devices.h"

#include <stdio.h>

#include <rte_ethdev.h>

static uint16_t
port_pull(struct bench_device *d, struct rte_mbuf **mbufs)
{
	return rte_eth_rx_burst(d->port, 0, mbufs, BENCH_BURST);
}

static uint16_t
port_push(struct bench_device *d, struct rte_mbuf **mbufs)
{
	return rte_eth_tx_burst(d->port, 0, mbufs, BENCH_BURST);
}

static int
attach(struct bench_devices *side, struct bench_device *d, const char *driver)
{
	d->pair.pools = side->pools;
	if (bench_back_open(&d->pair, driver, 1))
		return -1;
	d->port = d->pair.back;
	frontend_connect(&d->front, d->pair.socket_path);
	return bench_wait_for_link(d->port);
}

int
bench_ports_attach(struct bench_devices *side, const char *driver, bool has_iommu)
{
	char words[256];

	snprintf(words, sizeof(words), "%s%s", driver, has_iommu ? ":iommu-support=1" : "");
	side->pull = port_pull;
	side->push = port_push;
	for (unsigned int i = 0; i < side->nr; i++)
		if (attach(side, &side->each[i], words))
			return -1;
	return 0;
}

void
bench_ports_detach(struct bench_devices *side)
{
	for (unsigned int i = 0; i < side->nr; i++)
		if (side->each[i].pair.back_name[0])
			bench_back_close(&side->each[i].pair);
}
