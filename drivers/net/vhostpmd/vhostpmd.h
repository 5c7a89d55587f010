/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhostpmd.h - what the files of the driver share: the port and who may write which part of it.
 *
 * Knows:   ethdev, the public API of vhostcore.
 * Trusts:  the application.
 * Runs on: nothing of its own.
 */
#ifndef VHOSTPMD_H
#define VHOSTPMD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <ethdev_driver.h>
#include <rte_eal.h>
#include <rte_log.h>

#include "vhostcore_loop.h"
#include "vhostcore_memory.h"
#include "vhostcore_net.h"
#include "vhostcore_notify.h"

#define VHOSTX_QUEUES_MAX	128
#define VHOSTX_RINGS_MAX	(2 * VHOSTX_QUEUES_MAX)
#define VHOSTX_PATH_MAX		107	/* sockaddr_un, less the final zero */
#define VHOSTX_NOTIFY_US	50
#define VHOSTX_NOTIFY_US_MAX	10000
#define VHOSTX_FRAME_MAX	(UINT16_MAX + 14 + 4)	/* an IP packet, Ethernet, a VLAN tag */

/* Received packets say what is known of their checksums. */
#define VHOSTX_RX_CSUMS		(RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM)

/* Shown by dpdk-pmdinfo.py and by every message about a wrong argument. */
#define VHOSTX_PARAMS \
	"iface=<path> queues=<1-128> client=<0|1> tso=<0|1> linear-buffer=<0|1> " \
	"ext-buffer=<0|1> legacy-ol-flags=<0|1> inflight=<0|1> notify=<inline|deferred> " \
	"notify-us=<1-10000> control-thread=<0-15> postcopy-support=<0|1> " \
	"iommu-support=<0|1>"

struct rte_vdev_device;
struct rte_vdev_driver;

extern int vhostx_logtype;

/* PORT_LOG(ERR, name, format, ...): one line about the port of that name. */
#define PORT_LOG(level, name, ...) \
	rte_log(RTE_LOG_ ## level, vhostx_logtype, \
		RTE_FMT("%s: " RTE_FMT_HEAD(__VA_ARGS__ ,) "\n", (name), \
			RTE_FMT_TAIL(__VA_ARGS__ ,)))

struct port_args {
	char path[VHOSTX_PATH_MAX + 1];
	uint16_t nr_queues;
	bool is_client;
	bool has_tso;
	bool is_linear;
	bool has_ext_buffers;
	bool has_legacy_flags;
	bool has_iommu;
	bool has_inflight;
	bool has_postcopy;
	bool notify_is_deferred;
	uint16_t notify_us;	/* 0: inline */
	uint16_t control_thread;
};

/* The part of a ring's counters that `struct rte_eth_stats` has room for. */
struct ring_totals {
	uint64_t packets;
	uint64_t bytes;
	uint64_t errors;
	uint64_t no_mbuf;
};

/* It and the arguments are where secondary processes look for them, once (secondary.c). */
struct port {
	/* owner: probe; read-only afterwards */
	uint32_t layout;
	struct rte_eth_dev *dev;
	struct vhc_server *server;
	struct vhc_device *device;
	struct port_args args;
	struct rte_ether_addr mac;

	/* owner: link_lock; written by the control thread and by the application's threads */
	pthread_mutex_t link_lock;
	bool is_running;	/* the library moves packets */
	bool is_started;	/* the application started the port */
	bool is_closing;	/* no more events to the application */

	/* owner: application threads, which ethdev lets in one at a time */
	struct rte_mempool *pools[VHOSTX_QUEUES_MAX];

	/* owner: stats_lock */
	pthread_mutex_t stats_lock;
	struct ring_totals stats_base[VHOSTX_RINGS_MAX];	/* at the latest stats reset */
	struct rte_eth_xstat *xstats_base;			/* at the latest xstats reset */
};

/* What may be known of a port; it crosses to other processes, so pointers in it mean nothing. */
struct port_facts {
	struct vhc_device_info device;
	struct vhc_net_control control;
	struct vhc_iommu_info iommu;
	int memory_node;		/* NUMA node of the guest's memory; -1: not known */
	char features[1024];
	char protocol_features[1024];
	char kernel[16];		/* of the bursts */
};

struct ring_facts {
	struct vhc_queue_info state;	/* but last_fault */
	struct vhc_queue_fill fill;
	char last_fault[32];		/* "" : none */
	struct rte_mempool *pool;	/* DPDK shares it, at the same address */
};

enum ask {
	ASK_FACTS,
	ASK_RING,
	ASK_STATS,
	ASK_STATS_RESET,
	ASK_XSTATS,
	ASK_XSTATS_RESET,
};

static inline struct port *
port_of(const struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

/* The guest's receive rings are even: what we transmit goes there (virtio 1.2 section 5.1.2). */
static inline uint16_t
ring_of_tx(uint16_t queue)
{
	return (uint16_t)(2 * queue);
}

static inline uint16_t
ring_of_rx(uint16_t queue)
{
	return (uint16_t)(2 * queue + 1);
}

/* abi.c: 0, or -ENOTSUP after a message that names both versions. */
int vhostx_abi_check(const char *running);

/* args.c: 0, or -EINVAL after a message that says what is valid. */
int vhostx_args_parse(const char *name, const char *devargs, struct port_args *args);

/* ethdev.c */
void vhostx_fill_infos(const struct port_args *args, struct rte_eth_dev_info *infos);
int vhostx_accept_all(struct rte_eth_dev *dev);
const uint32_t *vhostx_supported_ptypes(struct rte_eth_dev *dev);

/* thread.c: what `run` returns */
int vhostx_run_off_lcores(int (*run)(struct port *port), struct port *port);

/* queue.c */
int vhostx_rx_queue_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t nb_desc,
			  unsigned int socket, const struct rte_eth_rxconf *conf,
			  struct rte_mempool *pool);
int vhostx_tx_queue_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t nb_desc,
			  unsigned int socket, const struct rte_eth_txconf *conf);
void vhostx_rxq_info(struct rte_eth_dev *dev, uint16_t queue, struct rte_eth_rxq_info *rxq);
void vhostx_txq_info(struct rte_eth_dev *dev, uint16_t queue, struct rte_eth_txq_info *txq);
int vhostx_rx_intr_enable(struct rte_eth_dev *dev, uint16_t queue);
int vhostx_rx_intr_disable(struct rte_eth_dev *dev, uint16_t queue);
int vhostx_rx_intr_setup(struct rte_eth_dev *dev);
void vhostx_rx_intr_release(struct rte_eth_dev *dev);
int vhostx_burst_mode(struct rte_eth_dev *dev, uint16_t queue, struct rte_eth_burst_mode *mode);
int vhostx_vlan_offload_set(struct rte_eth_dev *dev, int mask);
int vhostx_tx_done_cleanup(void *txq, uint32_t nr_wanted);

/* ring.c */
unsigned int vhostx_rx_queue_count(void *rxq);
int vhostx_rx_descriptor_status(void *rxq, uint16_t offset);
int vhostx_tx_descriptor_status(void *txq, uint16_t offset);
uint16_t vhostx_tx_prepare(void *txq, struct rte_mbuf **mbufs, uint16_t n);
int vhostx_get_monitor_addr(void *rxq, struct rte_power_monitor_cond *cond);

/* link.c: the callbacks, with the port as their argument */
extern const struct vhc_device_ops vhostx_device_ops;
void vhostx_link_start(struct port *port);
void vhostx_link_stop(struct port *port);
void vhostx_link_close(struct port *port);
int vhostx_link_update(struct rte_eth_dev *dev, int wait);

/* stats.c */
uint32_t vhostx_layout(void);
int vhostx_stats_init(struct port *port);
void vhostx_stats_fini(struct port *port);
int vhostx_stats_get(struct rte_eth_dev *dev, struct rte_eth_stats *stats);
int vhostx_stats_reset(struct rte_eth_dev *dev);
int vhostx_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int n);
int vhostx_xstats_names(struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int n);
int vhostx_xstats_reset(struct rte_eth_dev *dev);

/* telemetry.c */
int vhostx_dump(struct rte_eth_dev *dev, FILE *file);

/* ports.c: from add to remove a port can be held, which delays its removal. NULL: no such port. */
void vhostx_ports_add(struct rte_eth_dev *dev);
void vhostx_ports_remove(const struct rte_eth_dev *dev);
struct rte_eth_dev *vhostx_port_hold(unsigned long port_id);
void vhostx_port_release(void);
void vhostx_ports_each(void (*fn)(uint16_t port_id, void *arg), void *arg);

/* first.c: no driver whose name ours begins with is before us any more */
void vhostx_step_in_front(const struct rte_vdev_driver *driver);

/* facts.c: gather where the port lives; the other two in any process, 0 or -errno */
void vhostx_gather_facts(const struct port *port, struct port_facts *facts);
void vhostx_gather_ring_facts(const struct port *port, uint16_t ring, struct ring_facts *facts);
int vhostx_facts(struct rte_eth_dev *dev, struct port_facts *facts);
int vhostx_ring_facts(struct rte_eth_dev *dev, uint16_t ring, struct ring_facts *facts);

/* ask.c: bytes of the answer, in `into`, or -errno after a message; exactly `len`: 0 */
void vhostx_answer_secondaries(void);
int vhostx_ask(const struct rte_eth_dev *dev, enum ask what, uint16_t ring, void *into,
	       size_t room);
int vhostx_ask_exactly(const struct rte_eth_dev *dev, enum ask what, uint16_t ring, void *into,
		       size_t len);

/* secondary.c */
int vhostx_secondary_probe(struct rte_vdev_device *vdev);
int vhostx_secondary_remove(const struct rte_vdev_device *vdev);

static inline bool
vhostx_is_secondary(void)
{
	return rte_eal_process_type() != RTE_PROC_PRIMARY;
}

#endif
