/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_region.c - an in-flight region says anything: the next back-end makes sense of it, or breaks
 * the ring by name; it never reads outside, never runs on for ever, and never serves nonsense.
 */
#define _GNU_SOURCE 1

#include <sys/mman.h>

#include "rig.h"

#define SIZE 16

static struct chain_rig rig;
static bool packed;

static struct queue_region_split *
region_split(void)
{
	return (void *)rig.region;
}

static struct queue_region_packed *
region_packed(void)
{
	return (void *)rig.region;
}

static void
open_ring(void)
{
	const struct driver_conf conf = {
		.kind = packed ? RING_PACKED : RING_SPLIT,
		.size = SIZE,
		.first = packed ? DRIVER_PACKED_FRESH : 0,
	};

	chain_rig_open(&rig, &conf, false, true);
}

/* Not chain_rig_close(): that demands that nothing went wrong. */
static void
drop_ring(void)
{
	chain_rig_abandon(&rig);
	free(rig.region);
	driver_fini(&rig.driver);
	guest_fini(&rig.guest);
	close(rig.call);
}

static void
post(unsigned int nr, unsigned int nr_pieces)
{
	for (unsigned int i = 0; i < nr; i++) {
		struct piece pieces[SIZE];

		for (unsigned int k = 0; k < nr_pieces; k++)
			pieces[k] = (struct piece){ guest_alloc(&rig.guest, 16), 16, true };
		driver_post(&rig.driver, pieces, nr_pieces);
	}
	driver_publish(&rig.driver);
}

/* Three chains of two descriptors are out when the back-end ends. */
#define NR_OUT 3

static void
crash_with_chains_out(void)
{
	struct vhc_chain *chains[NR_OUT + 1];

	open_ring();
	post(NR_OUT, 2);
	CHECK_EQ(vhc_queue_take(rig.q, chains, NR_OUT + 1), NR_OUT);
	chain_rig_abandon(&rig);
}

static void
check_refused(void)
{
	struct vhc_chain *chains[SIZE];

	CHECK(!chain_rig_begin(&rig));
	CHECK(rig.q->ring.broken);
	CHECK_EQ(rig.q->faults.count[RING_FAULT_INFLIGHT_BAD], 1);
	CHECK_EQ(chain_rig_faults(&rig), 1);
	CHECK_EQ(vhc_queue_take(rig.q, chains, SIZE), 0);
	drop_ring();
}

/* ---- said of the whole ---------------------------------------------------------------------- */

static void
test_it_is_fine_as_it_is(void)
{
	struct vhc_chain *chains[SIZE];

	crash_with_chains_out();
	CHECK(chain_rig_begin(&rig));
	CHECK_EQ(vhc_queue_take(rig.q, chains, 2), 2);	/* not all at once */
	CHECK_EQ(vhc_queue_take(rig.q, chains + 2, SIZE), NR_OUT - 2);
	for (unsigned int i = 0; i < NR_OUT; i++) {
		CHECK(chains[i]->is_resubmitted);
		vhc_queue_give(rig.q, chains[i], 0);
	}
	vhc_queue_publish(rig.q);
	CHECK_EQ(driver_nr_used(&rig.driver), NR_OUT);
	chain_rig_close(&rig);
}

static void
test_version_of_the_future(void)
{
	crash_with_chains_out();
	region_split()->version = 2;
	check_refused();
}

static void
test_other_number_of_entries(void)
{
	static const uint16_t numbers[] = { 0, 1, SIZE - 1, SIZE + 1, UINT16_MAX };

	for (unsigned int i = 0; i < VHC_ARRAY_LEN(numbers); i++) {
		crash_with_chains_out();
		region_split()->desc_num = numbers[i];
		check_refused();
	}
}

/* Nobody has written there: whatever else it says is nothing. */
static void
test_a_new_one_is_formatted(void)
{
	crash_with_chains_out();
	memset(rig.region, 0xff, rig.region_len);
	region_split()->version = 0;
	CHECK(chain_rig_begin(&rig));
	CHECK_EQ(rig.q->inflight->nr_resubmit, 0);
	CHECK_EQ(region_split()->version, INFLIGHT_VERSION);
	CHECK_EQ(region_split()->desc_num, SIZE);
	drop_ring();
}

/* ---- split ---------------------------------------------------------------------------------- */

static void
test_split_batch_longer_than_the_ring(void)
{
	crash_with_chains_out();
	region_split()->used_idx -= SIZE + 1;
	check_refused();
}

static void
test_split_batch_that_leads_outside(void)
{
	crash_with_chains_out();
	region_split()->used_idx -= 2;
	region_split()->last_batch_head = 0;
	region_split()->desc[0].next = SIZE;
	check_refused();
}

static void
test_split_batch_goes_round(void)
{
	crash_with_chains_out();
	region_split()->used_idx -= SIZE;
	region_split()->last_batch_head = 1;
	region_split()->desc[1].next = 1;
	CHECK(chain_rig_begin(&rig));
	CHECK(rig.q->inflight->nr_resubmit <= NR_OUT);
	drop_ring();
}

/* The ring was set up anew, and nothing had been out: that is no contradiction. */
static void
test_split_index_of_another_life(void)
{
	open_ring();
	chain_rig_abandon(&rig);
	region_split()->used_idx = 30000;
	region_split()->last_batch_head = 40000;
	CHECK(chain_rig_begin(&rig));
	CHECK_EQ(region_split()->used_idx, 0);
	chain_rig_close(&rig);
}

/* ---- packed --------------------------------------------------------------------------------- */

/* The first of the chains that are out. */
static uint16_t
head_out(void)
{
	uint16_t i = 0;

	while (!region_packed()->desc[i].inflight)
		i++;
	return i;
}

static void
spoil_packed(uint16_t *field, uint16_t value)
{
	*field = value;
	check_refused();
}

static void
test_packed_places_outside(void)
{
	crash_with_chains_out();
	spoil_packed(&region_packed()->used_idx, SIZE);
	crash_with_chains_out();
	spoil_packed(&region_packed()->old_used_idx, UINT16_MAX);
}

static void
test_packed_free_list_goes_round(void)
{
	crash_with_chains_out();
	spoil_packed(&region_packed()->desc[SIZE - 1].next, region_packed()->old_free_head);
}

static void
test_packed_chain_of_no_length(void)
{
	crash_with_chains_out();
	spoil_packed(&region_packed()->desc[head_out()].num, 0);
	crash_with_chains_out();
	spoil_packed(&region_packed()->desc[head_out()].num, SIZE + 1);
}

static void
test_packed_chain_leads_outside(void)
{
	crash_with_chains_out();
	spoil_packed(&region_packed()->desc[head_out()].next, UINT16_MAX);
}

static void
test_packed_chain_goes_round(void)
{
	crash_with_chains_out();
	spoil_packed(&region_packed()->desc[head_out()].next, head_out());
}

static void
test_packed_chains_share_entries(void)
{
	uint16_t head;

	crash_with_chains_out();
	head = head_out();
	spoil_packed(&region_packed()->desc[head + 2].next, head + 1);
}

static void
test_packed_everything_is_free_and_out(void)
{
	crash_with_chains_out();
	for (uint16_t i = 0; i < SIZE; i++) {
		region_packed()->desc[i].inflight = 1;
		region_packed()->desc[i].num = 1;
	}
	region_packed()->old_free_head = region_packed()->free_head = SIZE;
	CHECK(chain_rig_begin(&rig));	/* odd, but a ring may be full of them */
	CHECK_EQ(rig.q->inflight->nr_resubmit, SIZE);
	drop_ring();
}

/* ---- anything ------------------------------------------------------------------------------- */

/* Serve what there is, whatever it says, for a while. */
static void
serve_a_while(void)
{
	struct vhc_chain *chains[SIZE];

	for (unsigned int i = 0; i < 8; i++) {
		uint16_t nr = vhc_queue_take(rig.q, chains, SIZE);

		CHECK(nr <= SIZE);
		for (uint16_t k = 0; k < nr; k++)
			vhc_queue_give(rig.q, chains[k], 0);
		vhc_queue_publish(rig.q);
	}
}

/* Against the end of a mapping, so that a read too far is the end of the test. */
static void
move_region_to_the_edge(uint8_t **mapping, size_t len)
{
	uint8_t *at;

	*mapping = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(*mapping != MAP_FAILED);
	CHECK_EQ(mprotect(*mapping + len / 2, len / 2, PROT_NONE), 0);
	at = *mapping + len / 2 - rig.region_len;
	memcpy(at, rig.region, rig.region_len);
	free(rig.region);
	rig.region = at;
}

static void
spoil_some_bytes(void)
{
	for (uint32_t n = 1 + random_below(6); n; n--) {
		uint32_t at = random_below((uint32_t)rig.region_len);

		/* Small numbers look plausible. */
		rig.region[at] = (uint8_t)random_next();
		if (random_below(2))
			rig.region[at] = (uint8_t)random_below(SIZE + 2);
	}
}

/* Half of them go on changing while it is served. */
static void
test_random_bytes(void)
{
	const size_t len = 2 * 4096;
	uint8_t *mapping;

	for (uint32_t seed = 1; seed <= 3000; seed++) {
		random_begin(seed);
		crash_with_chains_out();
		move_region_to_the_edge(&mapping, len);
		spoil_some_bytes();
		if (chain_rig_begin(&rig)) {
			if (seed % 2)
				spoil_some_bytes();
			serve_a_while();
		}
		rig.region = NULL;
		drop_ring();
		munmap(mapping, len);
	}
}

static const struct test split_tests[] = {
	TEST(test_it_is_fine_as_it_is),
	TEST(test_version_of_the_future),
	TEST(test_other_number_of_entries),
	TEST(test_a_new_one_is_formatted),
	TEST(test_split_batch_longer_than_the_ring),
	TEST(test_split_batch_that_leads_outside),
	TEST(test_split_batch_goes_round),
	TEST(test_split_index_of_another_life),
	TEST(test_random_bytes),
};

static const struct test packed_tests[] = {
	TEST(test_it_is_fine_as_it_is),
	TEST(test_version_of_the_future),
	TEST(test_other_number_of_entries),
	TEST(test_a_new_one_is_formatted),
	TEST(test_packed_places_outside),
	TEST(test_packed_free_list_goes_round),
	TEST(test_packed_chain_of_no_length),
	TEST(test_packed_chain_leads_outside),
	TEST(test_packed_chain_goes_round),
	TEST(test_packed_chains_share_entries),
	TEST(test_packed_everything_is_free_and_out),
	TEST(test_random_bytes),
};

int
main(int argc, char **argv)
{
	packed = argc > 1 && strcmp(argv[1], "packed") == 0;
	return packed ? RUN_TESTS(packed_tests) : RUN_TESTS(split_tests);
}
