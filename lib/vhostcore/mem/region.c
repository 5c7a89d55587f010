/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * region.c - map one piece of guest memory, or say why not.
 *
 * Knows:   mmap, fstat, hugetlbfs page sizes.
 * Trusts:  the kernel; not the front-end's sizes.
 * Runs on: control thread.
 */
#include "region.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../base/range.h"

#define HUGETLBFS_FS_MAGIC 0x958458f6

#define SHARE_HINT "give the VM shared, file-backed memory: QEMU -object memory-backend-memfd," \
	"id=mem,size=...,share=on -numa node,memdev=mem"

static int
refuse(char *reason, int err, const char *why, const struct region_claim *claim)
{
	snprintf(reason, REGION_REASON_LEN, "region at guest 0x%" PRIx64 " (%" PRIu64 " bytes): %s",
		 claim->guest.v, claim->size, why);
	return err;
}

static int
check_claim(const struct region_claim *claim, char *reason)
{
	if (claim->size == 0)
		return refuse(reason, -EINVAL, "it is empty", claim);
	if (!range_is_sane(claim->guest.v, claim->size) ||
	    !range_is_sane(claim->user.v, claim->size) ||
	    !range_is_sane(claim->file_offset, claim->size))
		return refuse(reason, -EINVAL, "an address plus the size overflows", claim);
	return 0;
}

/* Only regular files have a size to compare with; device memory does not. */
static int
check_file(const struct region_claim *claim, const struct stat *st, char *reason)
{
	if (!S_ISREG(st->st_mode))
		return 0;
	if (claim->file_offset + claim->size <= (uint64_t)st->st_size)
		return 0;
	return refuse(reason, -EINVAL, "the file behind it is too small; " SHARE_HINT, claim);
}

/* mmap() of hugetlbfs wants offset and length in its own page size. */
static uint64_t
page_size_of(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0 && (uint32_t)fs.f_type == HUGETLBFS_FS_MAGIC && fs.f_bsize > 0)
		return (uint64_t)fs.f_bsize;
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static int
map_file(struct region *region, int fd, char *reason)
{
	const struct region_claim *claim = &region->claim;
	uint64_t page = page_size_of(fd);
	uint64_t start = range_align_down(claim->file_offset, page);
	uint64_t end = range_align_up(claim->file_offset + claim->size, page);

	if (end == 0)
		return refuse(reason, -EINVAL, "it ends past the last page", claim);
	region->mapping_len = end - start;
	region->mapping = mmap(NULL, region->mapping_len, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_NORESERVE, fd, (off_t)start);
	if (region->mapping == MAP_FAILED)
		return refuse(reason, -errno, "mmap failed; " SHARE_HINT, claim);
	region->host = (uint8_t *)region->mapping + (claim->file_offset - start);
	/* Guest memory does not belong into our core dumps. */
	madvise(region->mapping, region->mapping_len, MADV_DONTDUMP);
	return 0;
}

int
vhc_region_map(const struct region_claim *claim, int fd, struct region **out, char *reason)
{
	struct region *region;
	struct stat st;
	int rc = check_claim(claim, reason);

	if (rc)
		return rc;
	if (fd < 0)
		return refuse(reason, -EBADF, "no descriptor came with it; " SHARE_HINT, claim);
	if (fstat(fd, &st) < 0)
		return refuse(reason, -errno, "its descriptor cannot be examined", claim);
	rc = check_file(claim, &st, reason);
	if (rc)
		return rc;

	region = calloc(1, sizeof(*region));
	if (!region)
		return refuse(reason, -ENOMEM, "out of memory", claim);
	*region = (struct region){ .claim = *claim, .dev = st.st_dev, .ino = st.st_ino, .refs = 1 };
	rc = map_file(region, fd, reason);
	if (rc) {
		free(region);
		return rc;
	}
	*out = region;
	return 0;
}

void
vhc_region_ref(struct region *region)
{
	region->refs++;
}

void
vhc_region_unref(struct region *region)
{
	vhc_assert(region->refs > 0);
	if (--region->refs)
		return;
	munmap(region->mapping, region->mapping_len);
	free(region);
}

bool
vhc_region_is(const struct region *region, const struct region_claim *claim, int fd)
{
	struct stat st;

	return region->claim.guest.v == claim->guest.v && region->claim.user.v == claim->user.v &&
	       region->claim.size == claim->size &&
	       region->claim.file_offset == claim->file_offset && fstat(fd, &st) == 0 &&
	       st.st_dev == region->dev && st.st_ino == region->ino;
}
