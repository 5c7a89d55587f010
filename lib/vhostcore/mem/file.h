/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file.h - a piece of a file that is shared with the front-end and is not the guest's memory.
 *
 * Knows:   mmap, memfd.
 * Trusts:  nothing of a descriptor that came with a message, nor of what the message says of it.
 * Runs on: control thread.
 */
#ifndef VHC_MEM_FILE_H
#define VHC_MEM_FILE_H

#include <stdint.h>

#include "../base/compiler.h"

/* [offset, offset + len) of a file, mapped; all zero: nothing is. */
struct file_view {
	uint8_t *host;
	uint64_t len;
	void *mapping;		/* that, widened to whole pages */
	uint64_t mapping_len;
	struct guard *guard;	/* tells if the file has become shorter since */
};

/*
 * Map a piece; the descriptor stays the caller's. -EINVAL it is no file, or it ends before the
 * piece does; -EOVERFLOW the numbers make no sense; others of mmap(2). Where it can be, the file is
 * sealed so that it never becomes shorter.
 */
int vhc_file_map(int fd, uint64_t offset, uint64_t len, struct file_view *view) VHC_MUST_USE;

/* Does nothing if nothing is mapped. */
void vhc_file_unmap(struct file_view *view);

/* A file of `len` zeros that is in no folder and cannot change its size. 0 or -errno. */
int vhc_file_create(const char *name, uint64_t len, int *fd) VHC_MUST_USE;

#endif
