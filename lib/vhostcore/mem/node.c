/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * node.c - NUMA nodes, asked of the kernel.
 *
 * Knows:   get_mempolicy(2), move_pages(2), libnuma's table of CPUs.
 * Trusts:  the kernel's view of the machine.
 * Runs on: control thread, and who creates devices.
 *
 * Pages are moved one by one, and no policy is left on the address range: what the heap makes of
 * it later is not to be bound to a node.
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

#define PAGES_AT_ONCE 16

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

/* The kernel answers for each page: its node, or -errno. */
static int
first_error(const int *status, unsigned int nr, int node)
{
	for (unsigned int i = 0; i < nr; i++)
		if (status[i] != node)
			return status[i] < 0 ? status[i] : -EBUSY;
	return 0;
}

static int
move_some(uint8_t *start, unsigned int nr, size_t page, int node)
{
	void *pages[PAGES_AT_ONCE];
	int nodes[PAGES_AT_ONCE], status[PAGES_AT_ONCE];

	for (unsigned int i = 0; i < nr; i++) {
		pages[i] = start + i * page;
		nodes[i] = status[i] = node;
	}
	if (move_pages(0, nr, pages, nodes, status, MPOL_MF_MOVE) < 0)
		return -errno;
	return first_error(status, nr, node);
}

static int
real_move(void *start, size_t len, int node)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), nr_left = len / page;
	uint8_t *at = start;

	while (nr_left) {
		unsigned int nr = nr_left < PAGES_AT_ONCE ? (unsigned int)nr_left : PAGES_AT_ONCE;
		int rc = move_some(at, nr, page, node);

		if (rc != 0)
			return rc;
		at += nr * page;
		nr_left -= nr;
	}
	return 0;
}

const struct node_machine vhc_machine_real = {
	.has_many = real_has_many,
	.of_memory = real_of_memory,
	.of_cpu = real_of_cpu,
	.move = real_move,
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
