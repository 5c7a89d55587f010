/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dirty_log.c - map the bitmap, mark in it.
 *
 * Knows:   mmap, fstat, the guard.
 * Trusts:  the kernel; not the front-end's numbers.
 * Runs on: see dirty_log.h.
 */
#include "dirty_log.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "../base/gate.h"
#include "../base/range.h"
#include "guard.h"
#include "region.h"

/* ---- mapping -------------------------------------------------------------------------------- */

static int
refuse(char *reason, int err, uint64_t size, uint64_t offset, const char *why)
{
	snprintf(reason, DIRTY_LOG_REASON_LEN, "%" PRIu64 " bytes at offset %" PRIu64 ": %s", size,
		 offset, why);
	return err;
}

static int
check_file(int fd, uint64_t size, uint64_t offset, char *reason)
{
	struct stat st;

	if (size == 0)
		return refuse(reason, -EINVAL, size, offset, "the log is empty");
	if (!range_is_sane(offset, size))
		return refuse(reason, -EINVAL, size, offset, "offset plus size overflows");
	if (fstat(fd, &st) < 0)
		return refuse(reason, -errno, size, offset, "its descriptor cannot be examined");
	/* Whatever else could be mapped may have no memory behind it. */
	if (!S_ISREG(st.st_mode))
		return refuse(reason, -EINVAL, size, offset, "its descriptor is no file");
	if (offset + size > (uint64_t)st.st_size)
		return refuse(reason, -EINVAL, size, offset, "the file behind it is too small");
	return 0;
}

/* The bitmap begins where the front-end said, and the mapping at the page before. */
static int
map_file(struct dirty_map *map, int fd, uint64_t size, uint64_t offset, char *reason)
{
	uint64_t page = vhc_region_page_size(fd);
	uint64_t start = range_align_down(offset, page);
	uint64_t end = range_align_up(offset + size, page);
	struct guard *guard;
	void *mapping;

	if (end == 0)
		return refuse(reason, -EINVAL, size, offset, "it ends past the last page");
	mapping = mmap(NULL, end - start, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		       (off_t)start);
	if (mapping == MAP_FAILED)
		return refuse(reason, -errno, size, offset, strerror(errno));
	madvise(mapping, end - start, MADV_DONTDUMP);
	guard = vhc_guard_add(mapping, end - start, page);
	if (!guard) {
		munmap(mapping, end - start);
		return refuse(reason, -ENOMEM, size, offset, "out of memory");
	}
	/* Not nr_holders: who is late may be finding out just now that it is not the one in use. */
	map->bits = (uint8_t *)mapping + (offset - start);
	map->size = size;
	map->mapping = mapping;
	map->mapping_len = end - start;
	map->guard = guard;
	return 0;
}

/* Nobody can begin to mark there any more: wait for who has. */
static void
unmap(struct dirty_map *map)
{
	if (!map->bits)
		return;
	while (ld_acquire(&map->nr_holders))	/* [D] */
		sched_yield();
	vhc_guard_remove(map->guard);
	munmap(map->mapping, map->mapping_len);
	map->bits = NULL;
	map->size = 0;
}

/* [D], [E] After this, a thread sees the new choice, or we see all it did by the old one. */
static void
choose(struct dirty_log *log, struct dirty_map *map)
{
	st_release(&log->active, map);
	vhc_gate_fence();
}

int
vhc_dirty_log_map(struct dirty_log *log, int fd, uint64_t size, uint64_t offset, char *reason)
{
	struct dirty_map *map = &log->maps[!log->newest];
	int rc = check_file(fd, size, offset, reason);

	if (rc == 0)
		rc = map_file(map, fd, size, offset, reason);
	if (rc)
		return rc;
	log->newest = !log->newest;
	if (log->active)
		choose(log, map);
	return 0;
}

void
vhc_dirty_log_drop_old(struct dirty_log *log)
{
	unmap(&log->maps[!log->newest]);
}

void
vhc_dirty_log_unmap(struct dirty_log *log)
{
	vhc_dirty_log_set(log, false);
	unmap(&log->maps[log->newest]);
}

void
vhc_dirty_log_set(struct dirty_log *log, bool on)
{
	struct dirty_map *map = &log->maps[log->newest];

	map = on && map->bits ? map : NULL;
	if (map != log->active)
		choose(log, map);
}

const struct dirty_map *
vhc_dirty_log_map_of(const struct dirty_log *log)
{
	const struct dirty_map *map = &log->maps[log->newest];

	return map->bits ? map : NULL;
}

/* ---- marking -------------------------------------------------------------------------------- */

/*
 * The front-end takes the bits away with an exchange, and a bit too many would be a page that is
 * sent once more, each time: so exactly these bits, atomically, after the stores they are for.
 */
VHC_API void
vhc_dirty_log_mark(struct dirty_map *map, gpa guest, uint64_t len)
{
	uint64_t page = guest.v >> DIRTY_LOG_PAGE_BITS, last;

	if (len == 0)
		return;
	last = (range_is_sane(guest.v, len - 1) ? guest.v + (len - 1) : UINT64_MAX) >>
	       DIRTY_LOG_PAGE_BITS;
	if (last / 8 >= map->size)
		last = map->size * 8 - 1;	/* what is mapped has far fewer than 2^60 bytes */
	while (page <= last) {
		uint64_t byte = page / 8, first_bit = page % 8;
		uint64_t last_bit = last / 8 == byte ? last % 8 : 7;

		or_release(&map->bits[byte], (uint8_t)((0xffu << first_bit) &
						       (0xffu >> (7 - last_bit))));
		page = (byte + 1) * 8;
	}
}

VHC_API void
vhc_dirty_log_mark_word(struct dirty_map *map, struct dirty_word word)
{
	for (uint32_t i = 0; i < DIRTY_LOG_WORD_PAGES; i++) {
		uint64_t page = word.number * DIRTY_LOG_WORD_PAGES + i;

		if (word.pages >> i & 1 && !dirty_log_has(map, page))
			vhc_dirty_log_mark(map, (gpa){ page << DIRTY_LOG_PAGE_BITS }, 1);
	}
}
