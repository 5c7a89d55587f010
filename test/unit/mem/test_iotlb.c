/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_iotlb.c - the IOTLB against a list of what each byte means, and what must be refused.
 */
#include <errno.h>

#include "mem/find.h"
#include "mem/iotlb.h"
#include "model/guest.h"
#include "unit/check.h"

#define NR_SEEDS	40
#define NR_CHANGES	400

/* The model: each unit of a small piece of the IOMMU's addresses. */
#define UNIT		16u
#define NR_UNITS	512u
#define IOVA_AT		UINT64_C(0x7fff00001000)

/* Around the place where one region ends and the next begins. */
#define USER_AT		(GUEST_USER(GUEST_SEAM_AT) - NR_UNITS * UNIT / 2)

static struct guest guest;
static struct iotlb *iotlb;

static struct unit {
	uint64_t user;
	uint8_t access;		/* 0: not there */
} units[NR_UNITS];

static uint64_t
iova_of(uint32_t unit)
{
	return IOVA_AT + unit * UNIT;
}

static struct iotlb_claim
claim_of(uint32_t unit, uint32_t nr, uint64_t user, uint8_t access)
{
	return (struct iotlb_claim){ iova_of(unit), nr * UNIT, { user }, access };
}

static int
enter(const struct iotlb_claim *claim)
{
	char reason[IOTLB_REASON_LEN];
	int rc = vhc_iotlb_judge(iotlb, guest.map, claim, reason);

	if (rc == 0)
		vhc_iotlb_enter(iotlb, guest.map, claim);
	return rc;
}

/* ---- against the model ---------------------------------------------------------------------- */

static const uint8_t *
host_of(uint64_t user)
{
	return vhc_map_user_span(guest.map, (uva){ user }, UNIT).ptr;
}

static void
check_unit(uint32_t i, uint8_t access)
{
	struct span span = vhc_iotlb_span(iotlb, iova_of(i), UNIT, access);
	bool is_there = (units[i].access & access) == access;

	CHECK_EQ(vhc_iotlb_permits(iotlb, iova_of(i), access), is_there);
	CHECK_EQ(span.len, is_there ? UNIT : 0);
	if (is_there)
		CHECK(span.ptr == host_of(units[i].user));
}

/* By rising address, apart, and never two where one would do. */
static void
check_table(const struct map *map)
{
	for (unsigned int i = 0; i + 1 < map->nr; i++) {
		const struct map_slot *a = &map->slots[i], *b = a + 1;

		CHECK(a->size > 0);
		CHECK(a->guest + a->size <= b->guest);
		CHECK(a->guest + a->size < b->guest || a->to_host != b->to_host ||
		      a->region != b->region);
	}
}

static void
check_all(void)
{
	check_table(iotlb->readable);
	check_table(iotlb->writable);
	for (uint32_t i = 0; i < NR_UNITS; i++)
		for (uint8_t access = IOTLB_READ; access <= IOTLB_BOTH; access++)
			check_unit(i, access);
}

static void
forget_random(uint32_t from, uint32_t nr)
{
	bool any = false;

	for (uint32_t i = from; i < from + nr; i++)
		any = any || units[i].access;
	CHECK_EQ(vhc_iotlb_touches(iotlb, iova_of(from), nr * UNIT), any);
	vhc_iotlb_forget(iotlb, iova_of(from), nr * UNIT);
	for (uint32_t i = from; i < from + nr; i++)
		units[i].access = 0;
}

/* One after the other as a rule, so that they can be joined. */
static void
enter_random(uint32_t from, uint32_t nr)
{
	uint32_t at = random_below(3) ? from : random_below(NR_UNITS - nr + 1);
	struct iotlb_claim claim = claim_of(from, nr, USER_AT + at * UNIT,
					    (uint8_t)(1 + random_below(3)));

	CHECK_EQ(enter(&claim), 0);
	CHECK(vhc_iotlb_has(iotlb, guest.map, &claim));
	for (uint32_t i = 0; i < nr; i++)
		units[from + i] = (struct unit){ claim.user.v + i * UNIT, claim.access };
	claim.access ^= IOTLB_BOTH;
	CHECK(!vhc_iotlb_has(iotlb, guest.map, &claim));
}

static void
change_at_random(void)
{
	uint32_t nr = 1 + random_below(random_below(4) ? 8 : 100);
	uint32_t from = random_below(NR_UNITS - nr + 1);

	if (random_below(200) == 0) {
		vhc_iotlb_clear(iotlb);
		memset(units, 0, sizeof(units));
	} else if (random_below(3) == 0) {
		forget_random(from, nr);
	} else {
		enter_random(from, nr);
	}
}

static void
run_against_model(void)
{
	guest_init(&guest);
	iotlb = vhc_iotlb_create(IOTLB_ENTRIES_MAX);
	CHECK(iotlb);
	memset(units, 0, sizeof(units));
	for (unsigned int i = 0; i < NR_CHANGES; i++) {
		change_at_random();
		check_all();
	}
	vhc_iotlb_destroy(iotlb);
	guest_fini(&guest);
}

static void
test_against_model(void)
{
	random_seeds(NR_SEEDS, run_against_model);
}

/* ---- single cases --------------------------------------------------------------------------- */

static void
begin(unsigned int most)
{
	guest_init(&guest);
	iotlb = vhc_iotlb_create(most);
	CHECK(iotlb);
}

static void
end(void)
{
	vhc_iotlb_destroy(iotlb);
	guest_fini(&guest);
}

static void
test_what_is_refused(void)
{
	const uint64_t last = UINT64_MAX, user = GUEST_USER(GUEST_LOW_AT);
	const struct {
		struct iotlb_claim claim;
		int rc;
		const char *why;
	} bad[] = {
		{ { 0, 0, { user }, 3 }, -EINVAL, "empty" },
		{ { last, 2, { user }, 3 }, -EINVAL, "overflows" },
		{ { 4096, last, { user }, 3 }, -EINVAL, "overflows" },
		{ { 0, 4096, { last - 4094 }, 3 }, -EINVAL, "overflows" },
		{ { 0, 4096, { user }, 0 }, -EINVAL, "permission" },
		{ { 0, 4096, { user }, 4 }, -EINVAL, "permission" },
		{ { 0, 4096, { user }, 255 }, -EINVAL, "permission" },
		{ { 0, 4096, { user - 1 }, 3 }, -EFAULT, "not all of it" },
		{ { 0, 4096, { GUEST_USER(GUEST_END_AT) - 4095 }, 3 }, -EFAULT, "not all of it" },
		{ { 0, GUEST_FAR_LEN + 1, { GUEST_USER(GUEST_FAR_AT) }, 1 }, -EFAULT,
		  "not all of it" },
		{ { 0, last, { 0 }, 1 }, -EFAULT, "not all of it" },
	};
	char reason[IOTLB_REASON_LEN];

	begin(IOTLB_ENTRIES_MAX);
	for (size_t i = 0; i < VHC_ARRAY_LEN(bad); i++) {
		CHECK_EQ(vhc_iotlb_judge(iotlb, guest.map, &bad[i].claim, reason), bad[i].rc);
		CHECK_HAS(reason, bad[i].why);
	}
	CHECK_EQ(vhc_iotlb_judge(iotlb, NULL, &bad[7].claim, reason), -EFAULT);
	CHECK_EQ(iotlb->readable->nr + iotlb->writable->nr, 0);
	end();
}

static void
test_a_region_border_splits(void)
{
	const struct iotlb_claim claim = { 0x1000, 0x2000, { GUEST_USER(GUEST_SEAM_AT) - 0x800 },
					   IOTLB_READ };

	begin(IOTLB_ENTRIES_MAX);
	CHECK_EQ(enter(&claim), 0);
	CHECK_EQ(iotlb->readable->nr, 2);
	CHECK_EQ(iotlb->writable->nr, 0);
	CHECK_EQ(vhc_iotlb_span(iotlb, 0x1000, 0x2000, IOTLB_READ).len, 0x800);
	CHECK(vhc_iotlb_span(iotlb, 0x1800, 1, IOTLB_READ).ptr ==
	      guest.parts[GUEST_HIGH].region->host);
	end();
}

static void
test_the_ends_of_all_addresses(void)
{
	const uint64_t user = GUEST_USER(GUEST_LOW_AT);
	const struct iotlb_claim claims[] = {
		{ 0, 4096, { user }, 3 }, { UINT64_MAX - 4096, 4096, { user + 8192 }, 3 },
	};

	begin(IOTLB_ENTRIES_MAX);
	for (uint64_t from = 0; from < 3; from++) {
		CHECK_EQ(enter(&claims[0]), 0);
		CHECK_EQ(enter(&claims[1]), 0);
		CHECK(vhc_iotlb_permits(iotlb, 0, 3));
		CHECK(vhc_iotlb_permits(iotlb, UINT64_MAX - 1, 3));
		CHECK(!vhc_iotlb_permits(iotlb, UINT64_MAX, 1));
		/* All behind `from`: with a size beyond the end, if that is not 0. */
		vhc_iotlb_forget(iotlb, from, UINT64_MAX);
		CHECK_EQ(iotlb->readable->nr, from ? 1 : 0);
		CHECK_EQ(vhc_iotlb_span(iotlb, 0, 4096, 3).len, from);
		vhc_iotlb_clear(iotlb);
	}
	end();
}

static void
test_there_is_an_end_of_room(void)
{
	struct iotlb_claim claim = { 0, 4096, { GUEST_USER(GUEST_LOW_AT) }, IOTLB_WRITE };
	unsigned int nr = 0;
	int rc;

	begin(16);
	while ((rc = enter(&claim)) == 0) {
		claim.iova += 8192;
		CHECK(++nr <= 16);
	}
	CHECK_EQ(rc, -ENOSPC);
	CHECK(nr >= 14);
	CHECK_EQ(iotlb->writable->nr, nr);
	/* What is there serves, and can go. */
	CHECK(vhc_iotlb_permits(iotlb, 8192, IOTLB_WRITE));
	vhc_iotlb_forget(iotlb, 0, 4 * 8192);
	CHECK_EQ(enter(&claim), 0);
	end();
}

static void
test_entries_go_with_their_memory(void)
{
	const struct iotlb_claim claims[] = {
		{ 0x0000, 0x1000, { GUEST_USER(GUEST_LOW_AT) }, 3 },
		{ 0x1000, 0x1000, { GUEST_USER(GUEST_FAR_AT) }, 1 },
		{ 0x2000, 0x1000, { GUEST_USER(GUEST_SEAM_AT) }, 2 },
	};
	struct map *smaller;

	begin(IOTLB_ENTRIES_MAX);
	for (size_t i = 0; i < VHC_ARRAY_LEN(claims); i++)
		CHECK_EQ(enter(&claims[i]), 0);
	vhc_iotlb_keep(iotlb, guest.map);
	CHECK_EQ(iotlb->readable->nr, 2);
	CHECK_EQ(vhc_map_remove(guest.map, 0, &smaller), 0);
	vhc_iotlb_keep(iotlb, smaller);
	CHECK(!vhc_iotlb_permits(iotlb, 0x0000, IOTLB_READ));
	CHECK(vhc_iotlb_permits(iotlb, 0x1000, IOTLB_READ));
	CHECK(vhc_iotlb_permits(iotlb, 0x2000, IOTLB_WRITE));
	vhc_map_unref(smaller);
	vhc_iotlb_keep(iotlb, NULL);
	CHECK_EQ(iotlb->readable->nr + iotlb->writable->nr, 0);
	end();
}

static const struct test tests[] = {
	TEST(test_against_model),
	TEST(test_what_is_refused),
	TEST(test_a_region_border_splits),
	TEST(test_the_ends_of_all_addresses),
	TEST(test_there_is_an_end_of_room),
	TEST(test_entries_go_with_their_memory),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
