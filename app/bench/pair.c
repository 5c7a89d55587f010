/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pair.c - plug a back-end port and a virtio-user port into each other.
 *
 * Knows:   hot plug of virtual devices, ethdev set-up.
 * Trusts:  the drivers it loads.
 * Runs on: the main thread.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define RING_ENTRIES 256
#define LINK_WAIT_MS 5000
#define POOL_MBUFS 2047
#define POOL_CACHE 250

const struct bench_path bench_paths[] = {
	{ "split-mergeable", "packed_vq=0,mrg_rxbuf=1,in_order=0", 0 },
	/* Stripping VLAN tags keeps virtio-user from its vector receive function. */
	{ "split-nonmergeable", "packed_vq=0,mrg_rxbuf=0,in_order=0",
	  RTE_ETH_RX_OFFLOAD_VLAN_STRIP },
	{ "split-inorder-mergeable", "packed_vq=0,mrg_rxbuf=1,in_order=1", 0 },
	{ "split-inorder-nonmergeable", "packed_vq=0,mrg_rxbuf=0,in_order=1",
	  RTE_ETH_RX_OFFLOAD_VLAN_STRIP },
	{ "split-vector", "packed_vq=0,mrg_rxbuf=0,in_order=0,vectorized=1", 0 },
};

const unsigned int bench_nr_paths = RTE_DIM(bench_paths);

static int
port_start(uint16_t port, struct rte_mempool *pool, uint64_t rx_offloads, uint64_t tx_offloads)
{
	/* Asking for checksum offload is what most guests do, and costs the back-end a look. */
	struct rte_eth_conf conf = {
		.rxmode.offloads = rx_offloads,
		.txmode.offloads = tx_offloads,
	};

	if (rte_eth_dev_configure(port, 1, 1, &conf) ||
	    rte_eth_rx_queue_setup(port, 0, RING_ENTRIES, SOCKET_ID_ANY, NULL, pool) ||
	    rte_eth_tx_queue_setup(port, 0, RING_ENTRIES, SOCKET_ID_ANY, NULL) ||
	    rte_eth_dev_start(port)) {
		fprintf(stderr, "port %u cannot be started\n", port);
		return -1;
	}
	return 0;
}

static int
port_plug(const char *name, const char *args, uint16_t *port)
{
	if (rte_eal_hotplug_add("vdev", name, args) || rte_eth_dev_get_port_by_name(name, port)) {
		fprintf(stderr, "device %s,%s cannot be created\n", name, args);
		return -1;
	}
	return 0;
}

static int
wait_for_link(uint16_t port)
{
	struct rte_eth_link link = { 0 };

	for (int ms = 0; ms < LINK_WAIT_MS; ms++) {
		if (rte_eth_link_get_nowait(port, &link) == 0 && link.link_status)
			return 0;
		rte_delay_us_sleep(1000);
	}
	fprintf(stderr, "port %u: the link stays down\n", port);
	return -1;
}

static struct rte_mempool *
pool_create(const char *use, unsigned int nr)
{
	char name[RTE_MEMPOOL_NAMESIZE];
	struct rte_mempool *pool;

	snprintf(name, sizeof(name), "%s%u", use, nr);
	pool = rte_pktmbuf_pool_create(name, POOL_MBUFS, POOL_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (!pool)
		fprintf(stderr, "no memory for mbufs: give EAL more, e.g. -- --no-huge -m512\n");
	return pool;
}

static int
pools_create(struct bench_pair *pair, unsigned int nr)
{
	pair->back_pool = pool_create("back", nr);
	pair->front_pool = pair->back_pool ? pool_create("front", nr) : NULL;
	pair->sent_pool = pair->front_pool ? pool_create("sent", nr) : NULL;
	return pair->sent_pool ? 0 : -1;
}

int
bench_pair_open(struct bench_pair *pair, const char *driver, const struct bench_path *path)
{
	static unsigned int nr_made;
	unsigned int nr = nr_made++;
	char socket_path[96], args[256];

	snprintf(socket_path, sizeof(socket_path), "/tmp/vhostx-bench-%d-%u.sock", (int)getpid(),
		 nr);
	snprintf(pair->back_name, sizeof(pair->back_name), "%s%u", driver, nr);
	snprintf(pair->front_name, sizeof(pair->front_name), "net_virtio_user%u", nr);
	unlink(socket_path);
	if (pools_create(pair, nr))
		return -1;

	snprintf(args, sizeof(args), "iface=%s,queues=1", socket_path);
	if (port_plug(pair->back_name, args, &pair->back) ||
	    port_start(pair->back, pair->back_pool, 0, 0))
		return -1;
	snprintf(args, sizeof(args), "path=%s,queues=1,queue_size=%d,%s", socket_path, RING_ENTRIES,
		 path->virtio_args);
	if (port_plug(pair->front_name, args, &pair->front) ||
	    port_start(pair->front, pair->front_pool, path->rx_offloads,
		       RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM))
		return -1;
	return wait_for_link(pair->back);
}

void
bench_pair_close(struct bench_pair *pair)
{
	rte_eth_dev_stop(pair->front);
	rte_eth_dev_close(pair->front);
	rte_eal_hotplug_remove("vdev", pair->front_name);
	rte_eth_dev_stop(pair->back);
	rte_eth_dev_close(pair->back);
	rte_eal_hotplug_remove("vdev", pair->back_name);
	rte_mempool_free(pair->sent_pool);
	rte_mempool_free(pair->front_pool);
	rte_mempool_free(pair->back_pool);
}
