/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_hugetlb.c - regions on huge pages: mmap() there wants offset and length in huge pages.
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <linux/memfd.h>
#include <sys/mman.h>

#include "mem/region.h"
#include "unit/check.h"

#define HUGE (UINT64_C(2) << 20)
#define NO_PAGES "no free 2 MiB pages; sysctl vm.nr_hugepages=4 gives some"

static int fd;

static void
test_part_of_a_huge_page(void)
{
	/* 1 MiB in the middle of the two pages, as a guest with a hole below 4 GiB has it. */
	const struct region_claim claim = { { 0x100000 }, { 0 }, HUGE / 2, HUGE * 3 / 4 };
	struct region *region;
	char reason[REGION_REASON_LEN];
	uint8_t *all = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (all == MAP_FAILED)
		SKIP(NO_PAGES);
	all[claim.file_offset] = 11;
	all[claim.file_offset + claim.size - 1] = 22;
	CHECK_EQ(vhc_region_map(&claim, fd, &region, reason), 0);
	CHECK_EQ(region->mapping_len, 2 * HUGE);
	CHECK_EQ(region->host[0], 11);
	CHECK_EQ(region->host[claim.size - 1], 22);
	vhc_region_unref(region);
	munmap(all, 2 * HUGE);
}

static bool
is_mapped(const uint8_t *page)
{
	unsigned char resident;

	return mincore((void *)(uintptr_t)page, 4096, &resident) == 0 || errno != ENOMEM;
}

/* The huge pages go, the 4 KiB that were lent stay. */
static void
test_lent_part_of_a_huge_page(void)
{
	const struct region_claim claim = { { 0x100000 }, { 0 }, 2 * HUGE, 0 };
	struct region_loan loan = { 0 };
	struct region *region;
	char reason[REGION_REASON_LEN];
	uint8_t *lent, *host;

	CHECK_EQ(vhc_region_map(&claim, fd, &region, reason), 0);
	host = region->host;
	lent = host + HUGE + 5 * 4096;
	vhc_region_lend(&loan, lent, 1);
	*lent = 9;
	vhc_region_unref(region);
	CHECK(is_mapped(lent));
	CHECK_EQ(*lent, 0);
	CHECK(!is_mapped(lent - 4096) && !is_mapped(lent + 4096));
	CHECK(!is_mapped(host) && !is_mapped(host + 2 * HUGE - 4096));
	vhc_region_end_loan(&loan);
	CHECK(!is_mapped(lent));
}

static const struct test tests[] = {
	TEST(test_part_of_a_huge_page),
	TEST(test_lent_part_of_a_huge_page),
};

int
main(void)
{
	fd = memfd_create("region", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	if (fd < 0 || ftruncate(fd, 2 * HUGE) < 0)
		SKIP(NO_PAGES);
	return RUN_TESTS(tests);
}
