/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * rte_vhost_vid.h - a connected front-end: facts, packets, messages; part of rte_vhost.h.
 *
 * Unless said otherwise: 0, or -1 for a vid or ring that does not exist and for a NULL pointer; any
 * thread; facts are those of the latest message, and asking for them waits for nobody.
 */
#ifndef _RTE_VHOST_VID_H_
#define _RTE_VHOST_VID_H_

#ifdef __cplusplus
extern "C" {
#endif

/* ---- facts ----------------------------------------------------------------------------------- */

int rte_vhost_get_negotiated_features(int vid, uint64_t *features);

__rte_experimental
int rte_vhost_get_negotiated_protocol_features(int vid, uint64_t *protocol_features);

/** @return 0; -ENODEV; -EAGAIN the device does not run; -ENOTSUP no MTU was agreed on. */
int rte_vhost_get_mtu(int vid, uint16_t *mtu);

/** Node of the guest's memory; -1: not known. */
int rte_vhost_get_numa_node(int vid);

/** One more than the highest ring that the front-end has named; 0: none. */
uint16_t rte_vhost_get_vring_num(int vid);

/** Queue pairs, as releases before 22.11 had it. */
static inline uint32_t
rte_vhost_get_queue_num(int vid)
{
	return rte_vhost_get_vring_num(vid) / 2u;
}

/** The socket path, cut to @p len bytes with the NUL. @return -1 as well: @p len is 0. */
int rte_vhost_get_ifname(int vid, char *buf, size_t len);

/**
 * A copy of the memory table, which the caller frees; it holds until destroy_device.
 *
 * @return -1 as well: no memory is shared. Waits for the control thread.
 */
int rte_vhost_get_mem_table(int vid, struct rte_vhost_memory **mem);

/**
 * Host address of a guest's, in a copy of the memory table.
 *
 * @param len Bytes wanted; receives those contiguous there, at most as many.
 * @return 0, and @p len 0: it is in no region.
 */
static __rte_always_inline uint64_t
rte_vhost_va_from_guest_pa(struct rte_vhost_memory *mem, uint64_t gpa, uint64_t *len)
{
	for (uint32_t i = 0; i < mem->nregions; i++) {
		const struct rte_vhost_mem_region *region = &mem->regions[i];
		uint64_t offset = gpa - region->guest_phys_addr;

		if (offset >= region->size)
			continue;
		if (*len > region->size - offset)
			*len = region->size - offset;
		return region->host_user_addr + offset;
	}
	*len = 0;
	return 0;
}

/** The same of a single byte, as releases before 22.11 had it. */
static __rte_always_inline uint64_t
rte_vhost_gpa_to_vva(struct rte_vhost_memory *mem, uint64_t gpa)
{
	uint64_t len = 1;

	return rte_vhost_va_from_guest_pa(mem, gpa, &len);
}

/** @return NULL: none. */
struct rte_vdpa_device *rte_vhost_get_vdpa_device(int vid);

/* ---- packets: only where the built-in network device is on --------------------------------- */

/**
 * Copy packets into the guest's receive ring, an even one. They stay the caller's.
 *
 * @return how many, from the start; 0 also for a bad argument, and while the ring is stopped.
 * Context: one thread a ring; never waits.
 */
uint16_t rte_vhost_enqueue_burst(int vid, uint16_t queue_id, struct rte_mbuf **pkts,
				 uint16_t count);

/** Copy packets of the guest's transmit ring, an odd one, into new mbufs of a pool. As above. */
uint16_t rte_vhost_dequeue_burst(int vid, uint16_t queue_id, struct rte_mempool *mbuf_pool,
				 struct rte_mbuf **pkts, uint16_t count);

/** Entries (packed ring: descriptors) available and not taken yet; 0: none, or no such ring. */
uint16_t rte_vhost_avail_entries(int vid, uint16_t queue_id);

/** The same of an odd ring; 0 for an even one. */
uint32_t rte_vhost_rx_queue_count(int vid, uint16_t qid);

/* ---- counters -------------------------------------------------------------------------------- */

/**
 * Names of a ring's counters. @return how many there are; if that is more than @p size, or @p name
 * is NULL, nothing was stored. -1: RTE_VHOST_USER_NET_STATS_ENABLE was not given.
 */
int rte_vhost_vring_stats_get_names(int vid, uint16_t queue_id, struct rte_vhost_stat_name *name,
				    unsigned int size);

/** Their values, since the connection began or the last reset. As above. */
int rte_vhost_vring_stats_get(int vid, uint16_t queue_id, struct rte_vhost_stat *stats,
			      unsigned int n);
int rte_vhost_vring_stats_reset(int vid, uint16_t queue_id);

/* ---- messages -------------------------------------------------------------------------------- */

/** See messages before and after the library does, in new_connection; @p ops is copied. */
int rte_vhost_extern_callback_register(int vid, struct rte_vhost_user_extern_ops const * const ops,
				       void *ctx);

/**
 * Tell the front-end that the configuration space changed; wait for its answer if @p need_reply,
 * which is not possible in a callback. @return 0, or negative.
 */
__rte_experimental
int rte_vhost_slave_config_change(int vid, bool need_reply);

/** Its name since 23.03. */
#define rte_vhost_backend_config_change rte_vhost_slave_config_change

#ifdef __cplusplus
}
#endif

#endif
