/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * node.c - NUMA nodes, asked of the kernel.
 *
 * Knows:   get_mempolicy(2), mbind(2), libnuma's table of CPUs.
 * Trusts:  the kernel's view of the machine.
 * Runs on: control thread, and who creates devices.
 *
 * What was moved has a policy of its own until it is freed. Without one, a kernel that balances
 * (numa_balancing) takes pages back to whichever CPU happened to look at them.
 */
#include "node.h"

#include <errno.h>
#include <numa.h>
#include <numaif.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/compiler.h"

#define NODES_MAX 1024	/* as many as a kernel can be built for */
#define LONG_BITS (8 * sizeof(unsigned long))
#define TRIES 4

static bool
real_has_many(void)
{
	return numa_available() >= 0 && numa_num_configured_nodes() > 1;
}

static int
real_of_memory(const void *at)
{
	int node = -1;

	if (get_mempolicy(&node, NULL, 0, (void *)(uintptr_t)at, MPOL_F_NODE | MPOL_F_ADDR) != 0)
		return -1;
	return node;
}

static int
real_of_cpu(int cpu)
{
	return numa_available() < 0 ? -1 : numa_node_of_cpu(cpu);
}

static int
set_policy(void *start, size_t len, int mode, const unsigned long *mask, unsigned int flags)
{
	return mbind(start, len, mode, mask, mask ? NODES_MAX : 0, flags) == 0 ? 0 : -errno;
}

/* A page that the kernel has in hand at that moment cannot be moved; a little later it can. */
static int
real_move(void *start, size_t len, int node)
{
	unsigned long mask[NODES_MAX / LONG_BITS] = { 0 };
	int rc = -EIO;

	if (node < 0 || node >= NODES_MAX)
		return -EINVAL;
	mask[(unsigned int)node / LONG_BITS] = 1UL << (unsigned int)node % LONG_BITS;
	for (int tries = 0; rc == -EIO && tries < TRIES; tries++)
		rc = set_policy(start, len, MPOL_PREFERRED, mask, MPOL_MF_MOVE | MPOL_MF_STRICT);
	return rc;
}

static void
real_release(void *start, size_t len)
{
	set_policy(start, len, MPOL_DEFAULT, NULL, 0);
}

const struct node_machine vhc_machine_real = {
	.has_many = real_has_many,
	.of_memory = real_of_memory,
	.of_cpu = real_of_cpu,
	.move = real_move,
	.release = real_release,
};

const struct node_machine *vhc_machine = &vhc_machine_real;

static size_t
whole(size_t len, size_t unit)
{
	return (len + unit - 1) / unit * unit;
}

void *
vhc_node_alloc(size_t len)
{
	size_t unit = vhc_machine->has_many() ? (size_t)sysconf(_SC_PAGESIZE) : VHC_CACHE_LINE;
	void *start = aligned_alloc(unit, whole(len, unit));

	if (start)
		memset(start, 0, whole(len, unit));
	return start;
}

int
vhc_node_move(void *start, size_t len, int node)
{
	return vhc_machine->move(start, whole(len, (size_t)sysconf(_SC_PAGESIZE)), node);
}

void
vhc_node_free(void *start, size_t len)
{
	if (start && vhc_machine->has_many())
		vhc_machine->release(start, whole(len, (size_t)sysconf(_SC_PAGESIZE)));
	free(start);
}
