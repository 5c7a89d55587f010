/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * absent.c - functions that programs link and this library does not serve: asynchronous copies and
 * crypto. Each fails as its documentation says; the first one called is logged.
 *
 * Knows:   prototypes.
 * Trusts:  nothing to trust.
 * Runs on: any thread.
 */
#include <rte_vhost_async.h>
#include <rte_vhost_crypto.h>

#include "facade.h"

static int
absent(const char *name)
{
	static _Atomic(bool) is_logged;

	if (!atomic_exchange(&is_logged, true))
		FACADE_LOG(ERR, name, "asynchronous copies and crypto are not served by this"
			   " library: this function and its like fail");
	return -1;
}

/* All that say so with -1; and those that say it with "no packets". */
#define FAILS(name, ...) \
	FACADE_API int name(__VA_ARGS__) { return absent(#name); }
#define MOVES_NOTHING(name, ...) \
	FACADE_API uint16_t name(__VA_ARGS__) { absent(#name); return 0; }

#pragma GCC diagnostic ignored "-Wunused-parameter"

FAILS(rte_vhost_async_channel_register, int vid, uint16_t queue_id)
FAILS(rte_vhost_async_channel_unregister, int vid, uint16_t queue_id)
FAILS(rte_vhost_async_channel_register_thread_unsafe, int vid, uint16_t queue_id)
FAILS(rte_vhost_async_channel_unregister_thread_unsafe, int vid, uint16_t queue_id)
FAILS(rte_vhost_async_dma_configure, int16_t dma_id, uint16_t vchan_id)
FAILS(rte_vhost_async_dma_unconfigure, int16_t dma_id, uint16_t vchan_id)
FAILS(rte_vhost_async_get_inflight, int vid, uint16_t queue_id)
FAILS(rte_vhost_async_get_inflight_thread_unsafe, int vid, uint16_t queue_id)

MOVES_NOTHING(rte_vhost_submit_enqueue_burst, int vid, uint16_t queue_id, struct rte_mbuf **pkts,
	      uint16_t count, int16_t dma_id, uint16_t vchan_id)
MOVES_NOTHING(rte_vhost_poll_enqueue_completed, int vid, uint16_t queue_id, struct rte_mbuf **pkts,
	      uint16_t count, int16_t dma_id, uint16_t vchan_id)
MOVES_NOTHING(rte_vhost_clear_queue, int vid, uint16_t queue_id, struct rte_mbuf **pkts,
	      uint16_t count, int16_t dma_id, uint16_t vchan_id)
MOVES_NOTHING(rte_vhost_clear_queue_thread_unsafe, int vid, uint16_t queue_id,
	      struct rte_mbuf **pkts, uint16_t count, int16_t dma_id, uint16_t vchan_id)

/* *nr_inflight -1 is how it tells an error from an empty ring. */
FACADE_API uint16_t
rte_vhost_async_try_dequeue_burst(int vid, uint16_t queue_id, struct rte_mempool *mbuf_pool,
				  struct rte_mbuf **pkts, uint16_t count, int *nr_inflight,
				  int16_t dma_id, uint16_t vchan_id)
{
	if (nr_inflight)
		*nr_inflight = -1;
	absent("rte_vhost_async_try_dequeue_burst");
	return 0;
}

FAILS(rte_vhost_crypto_driver_start, const char *path)
FAILS(rte_vhost_crypto_create, int vid, uint8_t cryptodev_id, struct rte_mempool *sess_pool,
      int socket_id)
FAILS(rte_vhost_crypto_free, int vid)
FAILS(rte_vhost_crypto_set_zero_copy, int vid, enum rte_vhost_crypto_zero_copy option)
MOVES_NOTHING(rte_vhost_crypto_fetch_requests, int vid, uint32_t qid, struct rte_crypto_op **ops,
	      uint16_t nb_ops)
MOVES_NOTHING(rte_vhost_crypto_finalize_requests, struct rte_crypto_op **ops, uint16_t nb_ops,
	      int *callfds, uint16_t *nb_callfds)
