/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kernel.h - the bursts, compiled once for each instruction set a CPU may have.
 *
 * Knows:   pull.c and push.c; meson.build compiles them and kernel.c several times, each time with
 *          another NET_KERNEL and what the compiler may then use.
 * Trusts:  nothing to trust.
 * Runs on: control thread, when a queue starts; the bursts themselves ask nothing.
 */
#ifndef VHC_NET_KERNEL_H
#define VHC_NET_KERNEL_H

#include "net.h"

/* A name of its own for each compilation of one function. */
#define NET_KERNEL_JOIN(name, kernel) name##_##kernel
#define NET_KERNEL_EXPAND(name, kernel) NET_KERNEL_JOIN(name, kernel)
#define NET_KERNEL_NAME(name) NET_KERNEL_EXPAND(name, NET_KERNEL)

struct net_kernel {
	const char *name;
	/* The burst for what a queue has negotiated. */
	vhc_burst_t (*pull_burst)(const struct net_queue *nq);
	vhc_burst_t (*push_burst)(const struct net_queue *nq);
	/* What both copy with, for its test. */
	void (*copy)(uint8_t *dst, const uint8_t *src, uint32_t len);
};

/* All there are, from the least demanding to the fastest, which this CPU may not have. */
extern const struct net_kernel *const vhc_net_kernels[];
extern const unsigned int vhc_net_nr_kernels;

/* Has the CPU what number `i` needs, within EAL's --force-max-simd-bitwidth? */
bool vhc_net_kernel_runs(unsigned int i);

/* The fastest one that runs. */
const struct net_kernel *vhc_net_kernel(void);

#endif
