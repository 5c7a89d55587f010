/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * rte_vhost_crypto.h - virtio crypto devices. This library serves none: what returns int returns
 * -1, what returns a number of requests returns 0, and one line is logged. Any thread.
 */
#ifndef _VHOST_CRYPTO_H_
#define _VHOST_CRYPTO_H_

#include <stdint.h>

#include <rte_compat.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rte_mempool;
struct rte_crypto_op;

#define VHOST_CRYPTO_MBUF_POOL_SIZE		(8192)
#define VHOST_CRYPTO_MAX_BURST_SIZE		(64)
#define VHOST_CRYPTO_MAX_DATA_SIZE		(4096)
#define VHOST_CRYPTO_SESSION_MAP_ENTRIES	(1024)
#define VIRTIO_CRYPTO_MAX_NUM_BURST_VQS		(64)
#define VHOST_CRYPTO_MAX_IV_LEN			(32)
#define VHOST_CRYPTO_MAX_N_DESC			(32)

enum rte_vhost_crypto_zero_copy {
	RTE_VHOST_CRYPTO_ZERO_COPY_DISABLE = 0,
	RTE_VHOST_CRYPTO_ZERO_COPY_ENABLE = 1,
	RTE_VHOST_CRYPTO_MAX_ZERO_COPY_OPTIONS
};

__rte_experimental
int rte_vhost_crypto_driver_start(const char *path);

int rte_vhost_crypto_create(int vid, uint8_t cryptodev_id, struct rte_mempool *sess_pool,
			    int socket_id);
int rte_vhost_crypto_free(int vid);
int rte_vhost_crypto_set_zero_copy(int vid, enum rte_vhost_crypto_zero_copy option);

uint16_t rte_vhost_crypto_fetch_requests(int vid, uint32_t qid, struct rte_crypto_op **ops,
					 uint16_t nb_ops);
uint16_t rte_vhost_crypto_finalize_requests(struct rte_crypto_op **ops, uint16_t nb_ops,
					    int *callfds, uint16_t *nb_callfds);

#ifdef __cplusplus
}
#endif

#endif
