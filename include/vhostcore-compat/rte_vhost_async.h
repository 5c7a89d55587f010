/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * rte_vhost_async.h - copies by a DMA engine. This library has none: what returns int returns -1,
 * what returns a number of packets returns 0, and one line is logged. Any thread.
 */
#ifndef _RTE_VHOST_ASYNC_H_
#define _RTE_VHOST_ASYNC_H_

#include <stdint.h>

#include <rte_compat.h>
#include <rte_mbuf.h>

#ifdef __cplusplus
extern "C" {
#endif

__rte_experimental
int rte_vhost_async_channel_register(int vid, uint16_t queue_id);

__rte_experimental
int rte_vhost_async_channel_unregister(int vid, uint16_t queue_id);

__rte_experimental
int rte_vhost_async_channel_register_thread_unsafe(int vid, uint16_t queue_id);

__rte_experimental
int rte_vhost_async_channel_unregister_thread_unsafe(int vid, uint16_t queue_id);

__rte_experimental
uint16_t rte_vhost_submit_enqueue_burst(int vid, uint16_t queue_id, struct rte_mbuf **pkts,
					uint16_t count, int16_t dma_id, uint16_t vchan_id);

__rte_experimental
uint16_t rte_vhost_poll_enqueue_completed(int vid, uint16_t queue_id, struct rte_mbuf **pkts,
					  uint16_t count, int16_t dma_id, uint16_t vchan_id);

__rte_experimental
int rte_vhost_async_get_inflight(int vid, uint16_t queue_id);

__rte_experimental
int rte_vhost_async_get_inflight_thread_unsafe(int vid, uint16_t queue_id);

__rte_experimental
uint16_t rte_vhost_clear_queue(int vid, uint16_t queue_id, struct rte_mbuf **pkts,
			       uint16_t count, int16_t dma_id, uint16_t vchan_id);

__rte_experimental
uint16_t rte_vhost_clear_queue_thread_unsafe(int vid, uint16_t queue_id, struct rte_mbuf **pkts,
					     uint16_t count, int16_t dma_id, uint16_t vchan_id);

__rte_experimental
int rte_vhost_async_dma_configure(int16_t dma_id, uint16_t vchan_id);

__rte_experimental
int rte_vhost_async_dma_unconfigure(int16_t dma_id, uint16_t vchan_id);

/** Sets @p nr_inflight to -1. */
__rte_experimental
uint16_t rte_vhost_async_try_dequeue_burst(int vid, uint16_t queue_id,
					   struct rte_mempool *mbuf_pool, struct rte_mbuf **pkts,
					   uint16_t count, int *nr_inflight, int16_t dma_id,
					   uint16_t vchan_id);

#ifdef __cplusplus
}
#endif

#endif
