/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * rte_vhost_ring.h - for who works the rings: where they are, signals, the log; of rte_vhost.h.
 *
 * Unless said otherwise: 0, or -1 for a vid or ring that does not exist and for a NULL pointer; any
 * thread.
 */
#ifndef _RTE_VHOST_RING_H_
#define _RTE_VHOST_RING_H_

#ifdef __cplusplus
extern "C" {
#endif

/** Where a ring is; NULL while it does not run. Holds until destroy_device. Waits for nobody. */
int rte_vhost_get_vhost_vring(int vid, uint16_t vring_idx, struct rte_vhost_vring *vring);

/**
 * Next available entry to take and next used entry to write, of a packed ring with the wrap counter
 * in bit 15. In new_device: where to begin.
 */
int rte_vhost_get_vring_base(int vid, uint16_t queue_id, uint16_t *last_avail_idx,
			     uint16_t *last_used_idx);

/** Say in destroy_device how far the ring was worked. @return -1 as well: outside of the ring. */
int rte_vhost_set_vring_base(int vid, uint16_t queue_id, uint16_t last_avail_idx,
			     uint16_t last_used_idx);

/* ---- notifications --------------------------------------------------------------------------- */

/**
 * Used entries are written: interrupt the guest if it wants that. Never waits.
 *
 * @return -1 as well: the ring is stopped.
 */
int rte_vhost_vring_call(int vid, uint16_t vring_idx);

/** The same; -EAGAIN: the ring is being changed just now. */
__rte_experimental
int rte_vhost_vring_call_nonblock(int vid, uint16_t vring_idx);

/**
 * Ask the guest for kicks, or tell it that we poll. Remembered while the ring is stopped. There may
 * be work that no kick comes for: look once more after asking.
 */
int rte_vhost_enable_guest_notification(int vid, uint16_t queue_id, int enable);

/** What to watch instead of polling an empty ring. @return -1 as well: it is stopped. */
__rte_experimental
int rte_vhost_get_monitor_addr(int vid, uint16_t queue_id,
			       struct rte_vhost_power_monitor_cond *pmc);

/* ---- the log of a migration ------------------------------------------------------------------ */

#define RTE_VHOST_NEED_LOG(features) ((features) & (1ULL << VHOST_F_LOG_ALL))

/** Guest memory was written. Nothing happens while no migration is logged. Never waits. */
void rte_vhost_log_write(int vid, uint64_t addr, uint64_t len);

/** The same for bytes of a ring's used part. */
void rte_vhost_log_used_vring(int vid, uint16_t vring_idx, uint64_t offset, uint64_t len);

/** The log; 0 and 0: there is none. */
int rte_vhost_get_log_base(int vid, uint64_t *log_base, uint64_t *log_size);

/* ---- requests in flight ---------------------------------------------------------------------- */
struct rte_vhost_inflight_desc_split {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct rte_vhost_inflight_info_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_inflight_io;
	uint16_t used_idx;
	struct rte_vhost_inflight_desc_split desc[];
};

struct rte_vhost_inflight_desc_packed {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

struct rte_vhost_inflight_info_packed {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head;
	uint16_t old_free_head;
	uint16_t used_idx;
	uint16_t old_used_idx;
	uint8_t used_wrap_counter;
	uint8_t old_used_wrap_counter;
	uint8_t padding[7];
	struct rte_vhost_inflight_desc_packed desc[];
};

struct rte_vhost_resubmit_desc {
	uint16_t index;
	uint64_t counter;
};

/** What a back-end before us took and did not give back, newest first: work from the end. */
struct rte_vhost_resubmit_info {
	struct rte_vhost_resubmit_desc *resubmit_list;
	uint16_t resubmit_num;
};

struct rte_vhost_ring_inflight {
	union {
		struct rte_vhost_inflight_info_split *inflight_split;
		struct rte_vhost_inflight_info_packed *inflight_packed;
	};
	struct rte_vhost_resubmit_info *resubmit_inflight;
};

/*
 * In this order for each request: set_inflight when it is taken, set_last_inflight_io before it is
 * written to the used ring, clr_inflight after. They do nothing, and return 0, if the front-end did
 * not agree on INFLIGHT_SHMFD. -1 as well: an index outside of the ring, the other kind of ring, or
 * no region.
 */

/** The region and what is to be done again. @return -1 as well: there is no region. */
int rte_vhost_get_vhost_ring_inflight(int vid, uint16_t vring_idx,
				      struct rte_vhost_ring_inflight *vring);

int rte_vhost_set_inflight_desc_split(int vid, uint16_t vring_idx, uint16_t idx);
int rte_vhost_set_last_inflight_io_split(int vid, uint16_t vring_idx, uint16_t idx);
int rte_vhost_clr_inflight_desc_split(int vid, uint16_t vring_idx, uint16_t last_used_idx,
				      uint16_t idx);

/** Descriptors @p head to @p last are a request; @p inflight_entry receives its first entry. */
int rte_vhost_set_inflight_desc_packed(int vid, uint16_t vring_idx, uint16_t head, uint16_t last,
				       uint16_t *inflight_entry);
int rte_vhost_set_last_inflight_io_packed(int vid, uint16_t vring_idx, uint16_t head);
int rte_vhost_clr_inflight_desc_packed(int vid, uint16_t vring_idx, uint16_t head);

/** Where a packed ring goes on, by the region. @return -1 as well: split, or no region. */
int rte_vhost_get_vring_base_from_inflight(int vid, uint16_t queue_id, uint16_t *last_avail_idx,
					   uint16_t *last_used_idx);

#ifdef __cplusplus
}
#endif

#endif
