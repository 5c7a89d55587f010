/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file.c - see file.h.
 *
 * Knows:   mmap, memfd and its seals, the guard.
 * Trusts:  nothing of a descriptor that came with a message.
 * Runs on: control thread.
 */
#define _GNU_SOURCE 1	/* memfd_create() */

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/fd.h"
#include "../base/range.h"
#include "guard.h"
#include "region.h"

/* What can be made sure of beforehand; the guard is for the rest. */
static int
check_piece(int fd, uint64_t offset, uint64_t len)
{
	struct stat st;

	if (!len || !range_is_sane(offset, len) || offset + len > INT64_MAX)
		return -EOVERFLOW;
	/* Not every file can be sealed; one of ours is already. */
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < offset + len)
		return -EINVAL;
	return 0;
}

int
vhc_file_map(int fd, uint64_t offset, uint64_t len, struct file_view *view)
{
	uint64_t page = vhc_region_page_size(fd);
	uint64_t start = range_align_down(offset, page);
	int rc = check_piece(fd, offset, len);

	if (rc)
		return rc;
	view->mapping_len = range_align_up(offset + len, page) - start;
	view->mapping = mmap(NULL, view->mapping_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			     (off_t)start);
	if (view->mapping == MAP_FAILED) {
		rc = -errno;
		*view = (struct file_view){ 0 };
		return rc;
	}
	view->host = (uint8_t *)view->mapping + (offset - start);
	view->len = len;
	view->guard = vhc_guard_add(view->mapping, view->mapping_len, page);
	if (view->guard)
		return 0;
	vhc_file_unmap(view);
	return -ENOMEM;
}

void
vhc_file_unmap(struct file_view *view)
{
	vhc_guard_remove(view->guard);
	if (view->mapping)
		munmap(view->mapping, view->mapping_len);
	*view = (struct file_view){ 0 };
}

int
vhc_file_create(const char *name, uint64_t len, int *fd)
{
	int made = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), rc;

	if (made < 0)
		return -errno;
	if (ftruncate(made, (off_t)len) < 0 ||
	    fcntl(made, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
		rc = -errno;
		fd_close(&made);
		return rc;
	}
	*fd = made;
	return 0;
}
