/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_region.c - what may be mapped, what may not, and that it goes away again.
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <sys/mman.h>

#include "mem/region.h"
#include "unit/check.h"

#define PAGE 4096u

static char reason[REGION_REASON_LEN];

static int
new_file(uint64_t len, unsigned int flags)
{
	int fd = memfd_create("region", MFD_CLOEXEC | flags);

	if (fd >= 0 && ftruncate(fd, (off_t)len) == 0)
		return fd;
	return -1;
}

static unsigned int
nr_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned int nr = 0;

	CHECK(maps);
	/* Only ours: the C library maps and unmaps as it pleases. */
	while (fgets(line, sizeof(line), maps))
		nr += strstr(line, "memfd:region") != NULL;
	fclose(maps);
	return nr;
}

static struct region *
map_region(const struct region_claim *claim, int fd)
{
	struct region *region;

	CHECK_EQ(vhc_region_map(claim, fd, &region, reason), 0);
	return region;
}

/* Refused with this error, in words that name the cause, and nothing stays mapped. */
static void
check_refused(const struct region_claim *claim, int fd, int error, const char *words)
{
	struct region *region = NULL;

	reason[0] = '\0';
	CHECK_EQ(vhc_region_map(claim, fd, &region, reason), error);
	CHECK_HAS(reason, words);
	CHECK(!region);
	CHECK_EQ(nr_mappings(), 0);
}

static void
test_region_is_the_file(void)
{
	int fd = new_file(4 * PAGE, 0);
	const struct region_claim claim = { { 0x100000 }, { 0x700000 }, 2 * PAGE, PAGE };
	struct region *region = map_region(&claim, fd);
	char text[8];

	CHECK_EQ(pwrite(fd, "in", 3, PAGE), 3);
	CHECK_EQ(strcmp((char *)region->host, "in"), 0);
	memcpy(region->host + 2 * PAGE - 4, "out", 4);
	CHECK_EQ(pread(fd, text, 4, 3 * PAGE - 4), 4);
	CHECK_EQ(strcmp(text, "out"), 0);
	vhc_region_unref(region);
	CHECK_EQ(nr_mappings(), 0);
	CHECK_EQ(pread(fd, text, 1, 0), 1);	/* the descriptor stayed the caller's */
	close(fd);
}

static void
test_offset_need_not_be_a_page(void)
{
	int fd = new_file(3 * PAGE, 0);
	const struct region_claim claim = { { 0 }, { 0 }, PAGE, 100 };
	struct region *region = map_region(&claim, fd);

	CHECK_EQ(pwrite(fd, "x", 1, 100), 1);
	CHECK_EQ(pwrite(fd, "y", 1, 100 + PAGE - 1), 1);
	CHECK_EQ(region->host[0], 'x');
	CHECK_EQ(region->host[PAGE - 1], 'y');
	vhc_region_unref(region);
	CHECK_EQ(nr_mappings(), 0);
	close(fd);
}

static void
test_file_may_end_with_the_region_but_not_before(void)
{
	int fd = new_file(2 * PAGE, 0);
	struct region_claim claim = { { 0 }, { 0 }, PAGE, PAGE };

	vhc_region_unref(map_region(&claim, fd));
	claim.size = PAGE + 1;
	check_refused(&claim, fd, -EINVAL, "too small");
	CHECK_HAS(reason, "share=on");
	claim = (struct region_claim){ .size = 1, .file_offset = 2 * PAGE };
	check_refused(&claim, fd, -EINVAL, "too small");
	close(fd);
}

static void
test_no_descriptor(void)
{
	const struct region_claim claim = { .size = PAGE };

	check_refused(&claim, -1, -EBADF, "no descriptor");
	CHECK_HAS(reason, "share=on");
	check_refused(&claim, 1000000, -EBADF, "examined");
}

static void
test_descriptor_that_cannot_be_mapped(void)
{
	const struct region_claim claim = { .size = PAGE };
	struct region *region;
	int ends[2], rc;

	CHECK_EQ(pipe(ends), 0);
	rc = vhc_region_map(&claim, ends[0], &region, reason);
	CHECK(rc < 0);
	CHECK_HAS(reason, "mmap failed");
	close(ends[0]);
	close(ends[1]);
}

static void
test_zero_size(void)
{
	const struct region_claim claim = { .guest = { 0x1000 } };
	int fd = new_file(PAGE, 0);

	check_refused(&claim, fd, -EINVAL, "empty");
	close(fd);
}

static void
test_every_overflow(void)
{
	const uint64_t last = UINT64_MAX - PAGE + 1;
	const struct region_claim claims[] = {
		{ { last + 1 }, { 0 }, PAGE, 0 },
		{ { 0 }, { last + 1 }, PAGE, 0 },
		{ { 0 }, { 0 }, PAGE, last + 1 },
		{ { 1 }, { 0 }, UINT64_MAX, 0 },
	};
	int fd = new_file(PAGE, 0);

	for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++)
		check_refused(&claims[i], fd, -EINVAL, "overflows");
	close(fd);
}

static void
test_huge_size_on_a_small_file(void)
{
	const struct region_claim claim = { .size = UINT64_C(1) << 62 };
	int fd = new_file(PAGE, 0);

	check_refused(&claim, fd, -EINVAL, "too small");
	close(fd);
}

static void
test_last_reference_unmaps(void)
{
	int fd = new_file(PAGE, 0);
	const struct region_claim claim = { .size = PAGE };
	struct region *region = map_region(&claim, fd);

	vhc_region_ref(region);
	vhc_region_ref(region);
	vhc_region_unref(region);
	vhc_region_unref(region);
	CHECK_EQ(nr_mappings(), 1);
	vhc_region_unref(region);
	CHECK_EQ(nr_mappings(), 0);
	close(fd);
}

static void
test_identity_is_claim_and_file(void)
{
	int fd = new_file(2 * PAGE, 0), copy = dup(fd), other = new_file(2 * PAGE, 0);
	const struct region_claim claim = { { PAGE }, { 2 * PAGE }, PAGE, PAGE };
	struct region *region = map_region(&claim, fd);

	CHECK(vhc_region_is(region, &claim, copy));
	CHECK(!vhc_region_is(region, &claim, other));
	CHECK(!vhc_region_is(region, &claim, -1));
	for (size_t i = 0; i < sizeof(claim) / sizeof(uint64_t); i++) {
		struct region_claim changed = claim;

		((uint64_t *)&changed)[i] += PAGE;
		CHECK(!vhc_region_is(region, &changed, fd));
	}
	vhc_region_unref(region);
	close(fd);
	close(copy);
	close(other);
}

static const struct test tests[] = {
	TEST(test_region_is_the_file),
	TEST(test_offset_need_not_be_a_page),
	TEST(test_file_may_end_with_the_region_but_not_before),
	TEST(test_no_descriptor),
	TEST(test_descriptor_that_cannot_be_mapped),
	TEST(test_zero_size),
	TEST(test_every_overflow),
	TEST(test_huge_size_on_a_small_file),
	TEST(test_last_reference_unmaps),
	TEST(test_identity_is_claim_and_file),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
