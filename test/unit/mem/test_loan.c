/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_loan.c - what was lent stays readable when the guest's memory goes, and nothing else stays.
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "base/order.h"
#include "mem/region.h"
#include "unit/check.h"

#define PAGE	4096u
#define NR	8u

static struct region *
map_pages(void)
{
	const struct region_claim claim = { { 0x100000 }, { 0x700000 }, NR * PAGE, 0 };
	int fd = memfd_create("lent", MFD_CLOEXEC);
	char reason[REGION_REASON_LEN];
	struct region *region;

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, NR * PAGE), 0);
	CHECK_EQ(vhc_region_map(&claim, fd, &region, reason), 0);
	close(fd);
	return region;
}

static bool
is_mapped(const uint8_t *page)
{
	unsigned char resident;

	return mincore((void *)(uintptr_t)page, PAGE, &resident) == 0 || errno != ENOMEM;
}

/* Bit i: page i is there. */
static unsigned int
mapped_pages(const uint8_t *host)
{
	unsigned int bits = 0;

	for (unsigned int i = 0; i < NR; i++)
		bits |= (unsigned int)is_mapped(host + i * PAGE) << i;
	return bits;
}

static void
test_a_lent_page_outlives_its_region(void)
{
	struct region *region = map_pages();
	volatile uint8_t *at = region->host + 3 * PAGE + 100;
	const uint8_t *host = region->host;
	struct region_loan loan = { 0 };

	vhc_region_lend(&loan, region->host + 3 * PAGE + 100, 2);
	*at = 7;
	vhc_region_unref(region);
	CHECK_EQ(mapped_pages(host), 1 << 3);
	CHECK_EQ(*at, 0);	/* the guest's byte is not ours to keep */
	*at = 8;
	CHECK_EQ(*at, 8);
	vhc_region_end_loan(&loan);
	CHECK_EQ(mapped_pages(host), 0);
	vhc_region_end_loan(&loan);
}

static void
test_a_loan_that_ended_keeps_nothing(void)
{
	struct region *region = map_pages();
	const uint8_t *host = region->host;
	struct region_loan loan = { 0 };

	vhc_region_lend(&loan, host + PAGE, 1);
	vhc_region_end_loan(&loan);
	CHECK_EQ(mapped_pages(host), 0xff);
	vhc_region_unref(region);
	CHECK_EQ(mapped_pages(host), 0);
}

/* Pages 1...3, 3...5 and 7; each is there as long as one of its loans. */
static void
test_loans_may_overlap(void)
{
	struct region *region = map_pages();
	const uint8_t *host = region->host;
	struct region_loan first = { 0 }, second = { 0 }, third = { 0 };

	vhc_region_lend(&first, host + 2 * PAGE - 1, PAGE + 2);
	vhc_region_lend(&second, host + 3 * PAGE, 3 * PAGE);
	vhc_region_lend(&third, host + 8 * PAGE - 1, 1);
	vhc_region_unref(region);
	CHECK_EQ(mapped_pages(host), 0xbe);
	vhc_region_end_loan(&first);
	CHECK_EQ(mapped_pages(host), 0xb8);
	vhc_region_end_loan(&second);
	CHECK_EQ(mapped_pages(host), 0x80);
	vhc_region_end_loan(&third);
	CHECK_EQ(mapped_pages(host), 0);
}

static void
test_another_region_is_not_touched(void)
{
	struct region *kept = map_pages(), *gone = map_pages();
	const uint8_t *host = gone->host;
	struct region_loan loan = { 0 };

	vhc_region_lend(&loan, host, 1);
	vhc_region_unref(gone);
	CHECK_EQ(mapped_pages(host), 1);
	vhc_region_lend(&loan, kept->host, 1);	/* ends the first one */
	CHECK_EQ(mapped_pages(host), 0);
	CHECK_EQ(mapped_pages(kept->host), 0xff);
	host = kept->host;
	vhc_region_unref(kept);
	CHECK_EQ(mapped_pages(host), 1);
	vhc_region_end_loan(&loan);
	CHECK_EQ(mapped_pages(host), 0);
}

/* ---- a reader ------------------------------------------------------------------------------- */

static const volatile uint8_t *watched;
static uint32_t nr_looks;

/* The page is exchanged under it, on purpose: no race to report. */
static __attribute__((noinline, no_sanitize("thread"))) void
look(const volatile uint8_t *at)
{
	(void)*at;
}

static void *
watch(void *arg)
{
	const volatile uint8_t *at;

	while ((at = ld_acquire(&watched)) != arg) {
		look(at);
		st_release(&nr_looks, nr_looks + 1);
		sched_yield();
	}
	return NULL;
}

static void
wait_for_looks(void)
{
	uint32_t seen = ld_acquire(&nr_looks);

	while (ld_acquire(&nr_looks) - seen < 2)
		sched_yield();
}

/* As a core that sleeps on the address: it never finds nothing there. */
static void
test_a_reader_never_falls(void)
{
	static const volatile uint8_t nothing, end;
	struct region_loan loan = { 0 };
	pthread_t reader;

	watched = &nothing;
	CHECK_EQ(pthread_create(&reader, NULL, watch, (void *)(uintptr_t)&end), 0);
	for (unsigned int i = 0; i < 300; i++) {
		struct region *region = map_pages();

		vhc_region_lend(&loan, region->host + 2 * PAGE, 1);
		st_release(&watched, (const volatile uint8_t *)region->host + 2 * PAGE);
		if (i & 1)
			wait_for_looks();
		vhc_region_unref(region);
		wait_for_looks();
		st_release(&watched, &nothing);
		wait_for_looks();
		vhc_region_end_loan(&loan);
	}
	st_release(&watched, &end);
	CHECK_EQ(pthread_join(reader, NULL), 0);
}

static const struct test tests[] = {
	TEST(test_a_lent_page_outlives_its_region),
	TEST(test_a_loan_that_ended_keeps_nothing),
	TEST(test_loans_may_overlap),
	TEST(test_another_region_is_not_touched),
	TEST(test_a_reader_never_falls),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
