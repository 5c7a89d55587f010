/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kernel.c - the bursts of one compilation, under one name.
 *
 * Knows:   NET_KERNEL and NET_KERNEL_TEXT, from meson.build.
 * Trusts:  nothing to trust.
 * Runs on: see kernel.h.
 */
#include "kernel.h"

#include "copy.h"

vhc_burst_t NET_KERNEL_NAME(vhc_net_pull_burst)(const struct net_queue *nq);
vhc_burst_t NET_KERNEL_NAME(vhc_net_push_burst)(const struct net_queue *nq);

static void
copy(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	copy_bytes(dst, src, len);
}

extern const struct net_kernel NET_KERNEL_NAME(vhc_net_kernel);

const struct net_kernel NET_KERNEL_NAME(vhc_net_kernel) = {
	.name = NET_KERNEL_TEXT,
	.pull_burst = NET_KERNEL_NAME(vhc_net_pull_burst),
	.push_burst = NET_KERNEL_NAME(vhc_net_push_burst),
	.copy = copy,
};
