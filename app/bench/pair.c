/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pair.c - plug back-end ports and virtio-user ports into each other.
 *
 * Knows:   hot plug of virtual devices, ethdev set-up.
 * Trusts:  the drivers it loads.
 * Runs on: the main thread.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "spec/virtio_net.h"
#include "spec/virtio_ring.h"

#define LINK_WAIT_MS 5000
#define POOL_CACHE 250
/* For two lcores' caches and bursts under way, and for two full rings. */
#define POOL_BASE 1023
#define POOL_MBUFS_A_QUEUE 1024

/* What virtio-user agrees on with any back-end, and what a path adds to that. */
#define EVERY (RTE_BIT64(VIRTIO_F_VERSION_1_BIT) | RTE_BIT64(VIRTIO_NET_F_CSUM_BIT) | \
	       RTE_BIT64(VIRTIO_F_INDIRECT_DESC_BIT))
#define MERGEABLE RTE_BIT64(VIRTIO_NET_F_MRG_RXBUF_BIT)
#define IN_ORDER RTE_BIT64(VIRTIO_F_IN_ORDER_BIT)
#define PACKED RTE_BIT64(VIRTIO_F_RING_PACKED_BIT)

const struct bench_path bench_paths[] = {
	{ "split-mergeable", "packed_vq=0,mrg_rxbuf=1,in_order=0", 0, EVERY | MERGEABLE },
	/* Stripping VLAN tags keeps virtio-user from its vector receive function. */
	{ "split-nonmergeable", "packed_vq=0,mrg_rxbuf=0,in_order=0",
	  RTE_ETH_RX_OFFLOAD_VLAN_STRIP, EVERY },
	{ "split-inorder-mergeable", "packed_vq=0,mrg_rxbuf=1,in_order=1", 0,
	  EVERY | MERGEABLE | IN_ORDER },
	{ "split-inorder-nonmergeable", "packed_vq=0,mrg_rxbuf=0,in_order=1",
	  RTE_ETH_RX_OFFLOAD_VLAN_STRIP, EVERY | IN_ORDER },
	{ "split-vector", "packed_vq=0,mrg_rxbuf=0,in_order=0,vectorized=1", 0, EVERY },
	{ "packed-mergeable", "packed_vq=1,mrg_rxbuf=1,in_order=0", 0, EVERY | MERGEABLE | PACKED },
	{ "packed-nonmergeable", "packed_vq=1,mrg_rxbuf=0,in_order=0", 0, EVERY | PACKED },
	{ "packed-inorder-mergeable", "packed_vq=1,mrg_rxbuf=1,in_order=1", 0,
	  EVERY | MERGEABLE | IN_ORDER | PACKED },
	{ "packed-inorder-nonmergeable", "packed_vq=1,mrg_rxbuf=0,in_order=1", 0,
	  EVERY | IN_ORDER | PACKED },
	{ "packed-vector", "packed_vq=1,mrg_rxbuf=0,in_order=1,vectorized=1", 0,
	  EVERY | IN_ORDER | PACKED },
};

const unsigned int bench_nr_paths = RTE_DIM(bench_paths);

static int
port_start(uint16_t port, struct rte_mempool *pool, unsigned int nr_queues, uint64_t rx_offloads,
	   uint64_t tx_offloads)
{
	struct rte_eth_conf conf = {
		.rxmode.offloads = rx_offloads,
		.txmode.offloads = tx_offloads,
	};
	int rc = rte_eth_dev_configure(port, (uint16_t)nr_queues, (uint16_t)nr_queues, &conf);

	for (uint16_t q = 0; q < nr_queues && rc == 0; q++) {
		rc = rte_eth_rx_queue_setup(port, q, BENCH_RING_ENTRIES, SOCKET_ID_ANY, NULL, pool);
		if (rc == 0)
			rc = rte_eth_tx_queue_setup(port, q, BENCH_RING_ENTRIES, SOCKET_ID_ANY,
						    NULL);
	}
	if (rc == 0)
		rc = rte_eth_dev_start(port);
	if (rc)
		fprintf(stderr, "port %u cannot be started: %s\n", port, strerror(-rc));
	return rc ? -1 : 0;
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

static void
port_unplug(const char *name, uint16_t port)
{
	rte_eth_dev_stop(port);
	rte_eth_dev_close(port);
	rte_eal_hotplug_remove("vdev", name);
}

int
bench_wait_for_link(uint16_t port)
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
pool_create(const char *use, unsigned int nr_queues)
{
	static unsigned int nr_made;
	char name[RTE_MEMPOOL_NAMESIZE];
	struct rte_mempool *pool;

	snprintf(name, sizeof(name), "%s%u", use, nr_made++);
	pool = rte_pktmbuf_pool_create(name, POOL_BASE + nr_queues * POOL_MBUFS_A_QUEUE, POOL_CACHE,
				       0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!pool)
		fprintf(stderr, "no memory for mbufs: give EAL more, e.g. -- --no-huge -m1024\n");
	return pool;
}

int
bench_pools_create(struct bench_pools *pools, unsigned int nr_queues)
{
	pools->back = pool_create("back", nr_queues);
	pools->front = pools->back ? pool_create("front", nr_queues) : NULL;
	pools->sent = pools->front ? pool_create("sent", nr_queues) : NULL;
	return pools->sent ? 0 : -1;
}

void
bench_pools_free(struct bench_pools *pools)
{
	rte_mempool_free(pools->sent);
	rte_mempool_free(pools->front);
	rte_mempool_free(pools->back);
}

/* "net_vhostx:tso=1:notify=deferred" is a driver and arguments of its own. The pools are there. */
int
bench_back_open(struct bench_pair *pair, const char *driver, unsigned int nr_queues)
{
	static unsigned int nr_made;
	unsigned int nr = nr_made++;
	int len = (int)strcspn(driver, ":");
	char args[512];

	snprintf(pair->socket_path, sizeof(pair->socket_path), "/tmp/vhostx-bench-%d-%u.sock",
		 (int)getpid(), nr);
	unlink(pair->socket_path);
	snprintf(pair->back_name, sizeof(pair->back_name), "%.*s%u", len, driver, nr);
	snprintf(args, sizeof(args), "iface=%s,queues=%u%s", pair->socket_path, nr_queues,
		 driver + len);
	for (char *at = strchr(args, ','); at && *at; at++)
		if (*at == ':')
			*at = ',';
	if (port_plug(pair->back_name, args, &pair->back))
		return -1;
	return port_start(pair->back, pair->pools.back, nr_queues, 0, 0);
}

static int
front_open(struct bench_pair *pair, const struct bench_row *row, unsigned int nr)
{
	char args[512];

	snprintf(pair->front_name, sizeof(pair->front_name), "net_virtio_user%u", nr);
	/* More than one pair of queues needs the control queue, which virtio-user serves itself. */
	snprintf(args, sizeof(args), "path=%s,queues=%u,queue_size=%d,mac=52:52:52:52:52:%02x,%s%s",
		 pair->socket_path, row->nr_queues, BENCH_RING_ENTRIES, nr & 0xff,
		 row->path->virtio_args, row->nr_queues > 1 ? ",cq=1" : "");
	if (port_plug(pair->front_name, args, &pair->front))
		return -1;
	/* Asking for checksum offload is what most guests do, and costs the back-end a look. */
	return port_start(pair->front, pair->pools.front, row->nr_queues, row->path->rx_offloads,
			  RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
}

void
bench_back_close(struct bench_pair *pair)
{
	port_unplug(pair->back_name, pair->back);
}

/*
 * Back-ends first, all of them: DPDK's looks for new sockets once a second. After an error whoever
 * called gives up, and the end of the process cleans up.
 */
int
bench_side_open(struct bench_side *side, const char *driver, const struct bench_row *row)
{
	static unsigned int nr_made;

	side->nr_pairs = side->nr_lanes = 0;
	for (unsigned int i = 0; i < row->nr_ports; i++)
		if (bench_pools_create(&side->pairs[i].pools, row->nr_queues) ||
		    bench_back_open(&side->pairs[i], driver, row->nr_queues))
			return -1;
	for (unsigned int i = 0; i < row->nr_ports; i++) {
		struct bench_pair *pair = &side->pairs[i];

		if (front_open(pair, row, nr_made + i) || bench_wait_for_link(pair->back))
			return -1;
		for (uint16_t q = 0; q < row->nr_queues; q++)
			side->lanes[side->nr_lanes++] =
				(struct bench_lane){ .pair = pair, .queue = q };
	}
	side->nr_pairs = row->nr_ports;
	nr_made += row->nr_ports;
	return 0;
}

void
bench_side_close(struct bench_side *side)
{
	for (unsigned int i = 0; i < side->nr_pairs; i++) {
		struct bench_pair *pair = &side->pairs[i];

		port_unplug(pair->front_name, pair->front);
		bench_back_close(pair);
		bench_pools_free(&pair->pools);
	}
	side->nr_pairs = side->nr_lanes = 0;
}
