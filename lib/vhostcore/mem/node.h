/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * node.h - NUMA nodes: where memory lies, and how to have it elsewhere at the same address.
 *
 * Knows:   pages.
 * Trusts:  the kernel's view of the machine.
 * Runs on: control thread, and who creates devices.
 */
#ifndef VHC_MEM_NODE_H
#define VHC_MEM_NODE_H

#include <stdbool.h>
#include <stddef.h>

/* The machine. Every node is a number from 0 on; -1: not known. */
struct node_machine {
	bool (*has_many)(void);			/* more than one node with memory */
	int (*of_memory)(const void *at);	/* of the page there */
	int (*of_cpu)(int cpu);
	/* Whole pages, in place; threads may use them meanwhile. 0 or -errno. */
	int (*move)(void *start, size_t len, int node);
	void (*release)(void *start, size_t len);	/* they are nowhere in particular again */
};

/* This one; a test puts another in its place. */
extern const struct node_machine *vhc_machine;
extern const struct node_machine vhc_machine_real;

/*
 * Zeroed memory, and its end. Where there are several nodes it has its pages to itself,
 * so that they can be moved; elsewhere that would be a waste.
 */
void *vhc_node_alloc(size_t len);
void vhc_node_free(void *start, size_t len);

/* Move what vhc_node_alloc() gave. 0 or -errno: some of it stays where it is. */
int vhc_node_move(void *start, size_t len, int node);

#endif
