/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * rte_vhost.h - the vhost interface of DPDK 22.11, served by vhostcore.
 *
 * Names, layouts and values are DPDK's, so that programs compile and run unchanged, with this
 * library or with DPDK's. What differs is said where it does; wherever DPDK's crashes on a bad
 * argument, this returns the error that its documentation has.
 *
 * A *path* names a socket from rte_vhost_driver_register() on. A *vid* names the front-end that is
 * connected there, from new_connection to destroy_connection; one front-end a path.
 *
 * Threads. Callbacks run on the library's control thread, or on the one that unregisters the path;
 * they may call everything here but rte_vhost_driver_unregister(). Bursts, rte_vhost_vring_call()
 * and the logging functions never wait. Functions of a vid that tell facts wait for no callback;
 * others wait until the control thread is free.
 */
#ifndef _RTE_VHOST_H_
#define _RTE_VHOST_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <rte_compat.h>
#include <rte_memory.h>
#include <rte_mempool.h>

#ifndef __cplusplus
#include <linux/vhost.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#endif

#include "rte_vhost_types.h"

#include "rte_vhost_path.h"
#include "rte_vhost_vid.h"
#include "rte_vhost_ring.h"

#endif
