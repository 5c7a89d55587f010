/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pool.h - many mbufs from and to their pool at once.
 *
 * Knows:   the per-lcore cache of a mempool.
 * Trusts:  the application's pool.
 * Runs on: polling lcore.
 */
#ifndef VHC_NET_POOL_H
#define VHC_NET_POOL_H

#include <string.h>

#include <rte_mbuf.h>

#include "../base/compiler.h"

/*
 * As rte_mempool_get_bulk(), which hands the cache's objects out one by one in reverse; here they
 * are taken off its top in one copy. True: all `n` were there.
 */
static VHC_HOT bool
pool_get(struct rte_mempool *pool, struct rte_mbuf **mbufs, uint32_t n)
{
	struct rte_mempool_cache *cache = rte_mempool_default_cache(pool, rte_lcore_id());

	if (vhc_unlikely(!cache || cache->len < n))
		return rte_mempool_get_bulk(pool, (void **)mbufs, n) == 0;
	cache->len -= n;
	memcpy(mbufs, &cache->objs[cache->len], n * sizeof(*mbufs));
	return true;
}

/* As rte_mempool_put_bulk(), while the cache takes them. They are as a pool's mbufs must be. */
static VHC_HOT void
pool_put(struct rte_mempool *pool, struct rte_mbuf *const *mbufs, uint32_t n)
{
	struct rte_mempool_cache *cache = rte_mempool_default_cache(pool, rte_lcore_id());

	if (vhc_unlikely(!cache || cache->len + n > cache->flushthresh)) {
		rte_mempool_put_bulk(pool, (void *const *)mbufs, n);
		return;
	}
	memcpy(&cache->objs[cache->len], mbufs, n * sizeof(*mbufs));
	cache->len += n;
}

#endif
