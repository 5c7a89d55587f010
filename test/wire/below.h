/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * below.h - what is below a disk, made to fail: linked or loaded before liburing and libc.
 *
 * Linked into a unit test, which sets what it likes. Loaded before a program (LD_PRELOAD), $BELOW
 * names a file with these words in it, which test/wire/disk.py changes while the program runs.
 *
 * Knows:   what app/disk/io.c calls.
 * Trusts:  the test.
 * Runs on: any thread.
 */
#ifndef TEST_BELOW_H
#define TEST_BELOW_H

#include <stdatomic.h>
#include <stdint.h>

struct below {
	_Atomic uint32_t no_ring;	/* io_uring is forbidden */
	_Atomic uint32_t hold;		/* nothing reaches the kernel meanwhile */
	_Atomic uint32_t fail;		/* everything fails */
	_Atomic uint32_t part;		/* transfers do so many bytes at most; 0: all */
	_Atomic uint32_t nr_durable;	/* writes that were durable by themselves, so far */
	_Atomic uint32_t nr_flushes;
	_Atomic uint32_t nr_transfers;
};

extern struct below *below;

#endif
