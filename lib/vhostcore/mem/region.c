/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * region.c - map one piece of guest memory, or say why not.
 *
 * Knows:   mmap, fstat, hugetlbfs page sizes; what is lent; the guard.
 * Trusts:  the kernel; not the front-end's sizes.
 * Runs on: control thread.
 */
#include "region.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../base/range.h"
#include "guard.h"
#include "pages.h"

#define HUGETLBFS_FS_MAGIC 0x958458f6

#define LIMIT_HINT "as root, sysctl vm.max_map_count: each region of each guest is a mapping"
#define LOCK_HINT "all memory of this process is to be locked, and guests' memory is more than it" \
	" may lock: ulimit -l, or LimitMEMLOCK= in its systemd unit"

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
uint64_t
vhc_region_page_size(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0 && (uint32_t)fs.f_type == HUGETLBFS_FS_MAGIC && fs.f_bsize > 0)
		return (uint64_t)fs.f_bsize;
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The limits that many guests meet, apart from what is wrong with this one. */
static const char *
why_not_mapped(int err)
{
	if (err == -ENOMEM)
		return "this process has as many mappings as it may, or no memory; " LIMIT_HINT;
	return err == -EAGAIN ? LOCK_HINT : "mmap failed; " SHARE_HINT;
}

static int
map_file(struct region *region, int fd, int rights, char *reason)
{
	const struct region_claim *claim = &region->claim;
	uint64_t page = vhc_region_page_size(fd);
	uint64_t start = range_align_down(claim->file_offset, page);
	uint64_t end = range_align_up(claim->file_offset + claim->size, page);

	if (end == 0)
		return refuse(reason, -EINVAL, "it ends past the last page", claim);
	region->page_size = page;
	region->mapping_len = end - start;
	region->mapping = mmap(NULL, region->mapping_len, rights, MAP_SHARED | MAP_NORESERVE, fd,
			       (off_t)start);
	if (region->mapping == MAP_FAILED)
		return refuse(reason, -errno, why_not_mapped(-errno), claim);
	region->host = (uint8_t *)region->mapping + (claim->file_offset - start);
	/* Guest memory does not belong into our core dumps. */
	madvise(region->mapping, region->mapping_len, MADV_DONTDUMP);
	region->guard = vhc_guard_add(region->mapping, region->mapping_len, page);
	if (region->guard)
		return 0;
	munmap(region->mapping, region->mapping_len);
	return refuse(reason, -ENOMEM, "out of memory", claim);
}

/* Without rights until the kernel knows that pages are missing: see vhc_pages_watch(). */
static int
map_watched(struct region *region, int fd, struct page_source *source, char *reason)
{
	int rc = map_file(region, fd, PROT_NONE, reason);

	if (rc)
		return rc;
	rc = vhc_pages_watch(source, region);
	if (rc == 0)
		return 0;
	vhc_guard_remove(region->guard);
	munmap(region->mapping, region->mapping_len);
	return refuse(reason, rc, "the kernel cannot wait for its pages (userfaultfd), as postcopy"
		      " demands; give the VM -object memory-backend-memfd,share=on, or a file on"
		      " tmpfs or hugetlbfs", &region->claim);
}

int
vhc_region_map(const struct region_claim *claim, int fd, struct region **out, char *reason)
{
	return vhc_region_await(claim, fd, NULL, out, reason);
}

int
vhc_region_await(const struct region_claim *claim, int fd, struct page_source *source,
		 struct region **out, char *reason)
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
	rc = source ? map_watched(region, fd, source, reason) :
		      map_file(region, fd, PROT_READ | PROT_WRITE, reason);
	if (rc) {
		free(region);
		return rc;
	}
	*out = region;
	return 0;
}

/* ---- loans ---------------------------------------------------------------------------------- */

/* Every loan there is, whatever control thread has it. Guarded by the lock. */
static pthread_mutex_t loans_lock = PTHREAD_MUTEX_INITIALIZER;
static struct region_loan *loans;

/* The first byte from `at` on that is lent, or `end`; *until is the end of that loan. */
static uint8_t *
next_lent(uint8_t *at, uint8_t *end, uint8_t **until)
{
	uint8_t *first = end;

	*until = end;
	for (const struct region_loan *loan = loans; loan; loan = loan->next) {
		uint8_t *start = loan->start > at ? loan->start : at;

		if (loan->end <= at || start >= first)
			continue;
		first = start;
		*until = loan->end;
	}
	return first;
}

static void
unmap_unlent(uint8_t *start, uint8_t *end)
{
	while (start < end) {
		uint8_t *until, *lent = next_lent(start, end, &until);

		if (lent > start)
			munmap(start, (size_t)(lent - start));
		start = until;
	}
}

/*
 * In place of the guest's pages ours, in one step. The file's pages can only go as a whole: the
 * rest of them is unmapped afterwards. Writable, because who wakes a sleeping core writes there.
 */
static bool
take_over(const struct region *region, struct region_loan *loan)
{
	uint8_t *base = region->mapping;
	uint64_t from = range_align_down((uint64_t)(loan->start - base), region->page_size);
	uint64_t to = range_align_up((uint64_t)(loan->end - base), region->page_size);

	loan->is_ours = mmap(base + from, to - from, PROT_READ | PROT_WRITE,
			     MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) !=
			MAP_FAILED;
	return loan->is_ours;
}

static bool
is_lent_from(const struct region *region, const struct region_loan *loan)
{
	return !loan->is_ours &&
	       range_contains((uintptr_t)region->mapping, region->mapping_len,
			      (uintptr_t)loan->start, (uint64_t)(loan->end - loan->start));
}

/*
 * Rather keep a guest's memory than let an application fall over it. What was lent may be read
 * until it is ours, so until then it is guarded.
 */
static void
unmap_under_lock(const struct region *region)
{
	for (struct region_loan *loan = loans; loan; loan = loan->next)
		if (is_lent_from(region, loan) && !take_over(region, loan))
			return;
	vhc_guard_remove(region->guard);
	unmap_unlent(region->mapping, (uint8_t *)region->mapping + region->mapping_len);
}

static void
unmap_region(const struct region *region)
{
	pthread_mutex_lock(&loans_lock);
	unmap_under_lock(region);
	pthread_mutex_unlock(&loans_lock);
}

void
vhc_region_lend(struct region_loan *loan, const void *at, uint64_t len)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)at;

	vhc_region_end_loan(loan);
	pthread_mutex_lock(&loans_lock);
	loan->start = (uint8_t *)(uintptr_t)range_align_down(start, page);
	loan->end = (uint8_t *)(uintptr_t)range_align_up(start + len, page);
	loan->is_ours = false;
	loan->next = loans;
	loans = loan;
	pthread_mutex_unlock(&loans_lock);
}

void
vhc_region_end_loan(struct region_loan *loan)
{
	struct region_loan **link = &loans;

	if (!loan->start)
		return;
	pthread_mutex_lock(&loans_lock);
	while (*link != loan)
		link = &(*link)->next;
	*link = loan->next;
	if (loan->is_ours)
		unmap_unlent(loan->start, loan->end);
	pthread_mutex_unlock(&loans_lock);
	*loan = (struct region_loan){ 0 };
}

/* ---- references ----------------------------------------------------------------------------- */

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
	vhc_pages_forget(region);
	unmap_region(region);
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
