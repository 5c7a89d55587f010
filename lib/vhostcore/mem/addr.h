/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * addr.h - addresses that say which space they live in, and proven host memory.
 *
 * Knows:   that three address spaces must not be mixed.
 * Trusts:  nothing: an address is only a number until map.h has found it.
 * Runs on: everywhere.
 */
#ifndef VHC_MEM_ADDR_H
#define VHC_MEM_ADDR_H

#include <stdint.h>

typedef struct { uint64_t v; } gpa;	/* guest physical: what descriptors carry */
typedef struct { uint64_t v; } uva;	/* front-end's virtual: what SET_VRING_ADDR carries */

/* Host memory proven to be mapped for its whole length. Made by find.h only. */
struct span {
	uint8_t *ptr;
	uint64_t len;
};

#endif
