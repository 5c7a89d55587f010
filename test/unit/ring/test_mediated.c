/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_mediated.c - used entries of hardware are relayed to the guest, and what it wrote is marked.
 *
 * The test is the hardware: it reads the available ring and writes a used ring of its own.
 */
#define _GNU_SOURCE 1

#include "chains.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/gate.h"
#include "ring/mediated.h"

#define PAGE 4096u
#define SIZE 16u
#define LOG_LEN ((GUEST_FAR_END_AT / PAGE + 8) / 8)

static const struct driver_conf conf = { .kind = RING_SPLIT, .size = SIZE };

/* Laid out as struct virtq_used, with room. */
static struct {
	le16 flags, idx;
	struct virtq_used_elem entries[SIZE];
} hw;
static uint16_t hw_idx;
static struct dirty_log dirty;
static uint8_t *bits;		/* of the log */

static void
open_all(uint16_t first)
{
	struct driver_conf c = conf;
	char why[DIRTY_LOG_REASON_LEN];
	int fd = memfd_create("log", MFD_CLOEXEC);

	c.first = first;
	open_ring(&c);
	memset(&hw, 0, sizeof(hw));
	hw_idx = first;
	hw.idx.raw = htole16(first);
	CHECK_EQ(ftruncate(fd, LOG_LEN), 0);
	bits = mmap(NULL, LOG_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(bits != MAP_FAILED);
	CHECK_EQ(vhc_dirty_log_map(&dirty, fd, LOG_LEN, 0, why), 0);
	vhc_dirty_log_set(&dirty, true);
	close(fd);
}

static void
close_all(void)
{
	vhc_dirty_log_unmap(&dirty);
	munmap(bits, LOG_LEN);
	memset(&faults, 0, sizeof(faults));	/* each test has looked at them */
	ring.broken = false;
	close_ring();
}

static void
hardware_uses(uint32_t id, uint32_t len)
{
	hw.entries[hw_idx % SIZE] = (struct virtq_used_elem){ { htole32(id) }, { htole32(len) } };
	hw.idx.raw = htole16(++hw_idx);
}

static int
relay(void)
{
	uint16_t first, before = ring.used.idx;
	int nr = vhc_ring_relay_used(&ring, (const void *)&hw, &dirty, &first);

	CHECK_EQ(first, before);
	return nr;
}

static bool
is_marked(uint64_t page)
{
	return bits[page / 8] >> page % 8 & 1;
}

/* Exactly the pages of these pieces that are writable; and none any more. */
static void
check_marks(const struct piece *pieces, unsigned int nr)
{
	for (uint64_t page = 0; page < LOG_LEN * 8; page++) {
		bool wanted = false;

		for (unsigned int i = 0; i < nr; i++)
			wanted |= pieces[i].writable && pieces[i].len &&
				  page >= pieces[i].at / PAGE &&
				  page <= (pieces[i].at + pieces[i].len - 1) / PAGE;
		CHECK_EQ(is_marked(page), wanted);
	}
	memset(bits, 0, LOG_LEN);
}

static void
check_collect(uint16_t id, uint32_t len)
{
	struct used_entry used;

	CHECK(driver_collect(&driver, &used));
	CHECK_EQ(used.id, id);
	CHECK_EQ(used.len, len);
}

/* ---- honest guests -------------------------------------------------------------------------- */

static void
test_chains_of_all_kinds(void)
{
	const struct piece pieces[] = {
		{ GUEST_BUFFERS_AT, 100, false },
		{ GUEST_BUFFERS_AT + 5 * PAGE, 3 * PAGE, true },
		{ GUEST_SEAM_AT - 10, 20, true },
		{ GUEST_FAR_END_AT - 1, 1, true },
		{ GUEST_BUFFERS_AT + 50 * PAGE, 0, true },
	};

	open_all(0xfff8);	/* indices wrap on the way */
	for (unsigned int i = 0; i < 40; i++) {
		uint16_t id = i % 3 == 0 ? driver_post(&driver, pieces, 5) :
			driver_post_indirect(&driver, pieces, 5, i % 3 == 1 ? 0 : 2,
					     i % 2 ? GUEST_BUFFERS_AT + 100 * PAGE :
						     GUEST_SEAM_AT - 16);

		driver_publish(&driver);
		CHECK_EQ(relay(), 0);
		check_marks(NULL, 0);
		hardware_uses(id, 1000 + i);
		CHECK_EQ(relay(), 1);
		check_marks(pieces, 5);
		check_collect(id, 1000 + i);
	}
	close_all();
}

static void
test_many_at_once(void)
{
	uint16_t ids[SIZE];

	open_all(5);
	for (unsigned int round = 0; round < 5; round++) {
		const struct piece piece = { GUEST_BUFFERS_AT + round * 9 * PAGE, 8 * PAGE, true };

		for (unsigned int i = 0; i < SIZE; i++)
			ids[i] = driver_post(&driver, &piece, 1);
		driver_publish(&driver);
		for (unsigned int i = 0; i < SIZE; i++)
			hardware_uses(ids[SIZE - 1 - i], i);	/* in any order */
		CHECK_EQ(relay(), SIZE);
		check_marks(&piece, 1);
		for (unsigned int i = 0; i < SIZE; i++)
			check_collect(ids[SIZE - 1 - i], i);
	}
	close_all();
}

static void
test_nothing_is_walked_without_a_log(void)
{
	const struct piece piece = { GUEST_BUFFERS_AT, 8, true };
	uint16_t id;

	open_all(0);
	vhc_dirty_log_set(&dirty, false);
	id = driver_post(&driver, &piece, 1);
	driver_publish(&driver);
	hardware_uses(id, 8);
	CHECK_EQ(relay(), 1);
	check_marks(NULL, 0);
	check_collect(id, 8);
	close_all();
}

/* ---- guests that lie ------------------------------------------------------------------------ */

static const struct piece two[] = {
	{ GUEST_BUFFERS_AT, PAGE, true },
	{ GUEST_BUFFERS_AT + 2 * PAGE, PAGE, true },
};

static void
next_outside(struct virtq_desc *d)
{
	d->next.raw = htole16(SIZE);
}

static void
next_far_outside(struct virtq_desc *d)
{
	d->next.raw = 0xffff;
}

static void
next_is_itself(struct virtq_desc *d)
{
	d->flags.raw = htole16(VIRTQ_DESC_F_NEXT);
	d->next.raw = htole16((uint16_t)(d - (struct virtq_desc *)driver.desc));
}

static void
wraps_around(struct virtq_desc *d)
{
	d->addr.raw = htole64(UINT64_MAX - 10);
}

static void
table_is_unmapped(struct virtq_desc *d)
{
	d->flags.raw = htole16(VIRTQ_DESC_F_INDIRECT);
	d->addr.raw = htole64(GUEST_END_AT);
	d->len.raw = htole32(32);
}

static void
table_is_empty(struct virtq_desc *d)
{
	table_is_unmapped(d);
	d->len.raw = 0;
}

static void
table_is_crooked(struct virtq_desc *d)
{
	table_is_unmapped(d);
	d->len.raw = htole32(17);
}

static void
table_is_endless(struct virtq_desc *d)
{
	table_is_unmapped(d);
	d->len.raw = htole32(0xfffffff0);
}

static void
table_has_a_next(struct virtq_desc *d)
{
	table_is_unmapped(d);
	d->flags.raw = htole16(VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT);
}

/* At TABLE_AT; what is in it is the next lies' business. */
#define TABLE_AT (GUEST_BUFFERS_AT + 200 * PAGE)

static struct virtq_desc *
make_table(struct virtq_desc *d)
{
	struct virtq_desc *table = guest_ptr(&guest, TABLE_AT, 4 * sizeof(*table));

	d->flags.raw = htole16(VIRTQ_DESC_F_INDIRECT);
	d->addr.raw = htole64(TABLE_AT);
	d->len.raw = htole32(4 * sizeof(*table));
	memset(table, 0, 4 * sizeof(*table));
	return table;
}

static void
table_in_a_table(struct virtq_desc *d)
{
	make_table(d)->flags.raw = htole16(VIRTQ_DESC_F_INDIRECT);
}

static void
table_loops(struct virtq_desc *d)
{
	make_table(d)->flags.raw = htole16(VIRTQ_DESC_F_NEXT);
}

static void
table_leaves_itself(struct virtq_desc *d)
{
	struct virtq_desc *table = make_table(d);

	table->flags.raw = htole16(VIRTQ_DESC_F_NEXT);
	table->next.raw = htole16(4);
}

static const struct lie {
	enum ring_fault fault;
	void (*tell)(struct virtq_desc *d);
} lies[] = {
	{ RING_FAULT_NEXT_RANGE, next_outside },
	{ RING_FAULT_NEXT_RANGE, next_far_outside },
	{ RING_FAULT_CHAIN_LOOP, next_is_itself },
	{ RING_FAULT_DESC_WRAP, wraps_around },
	{ RING_FAULT_INDIRECT_UNMAPPED, table_is_unmapped },
	{ RING_FAULT_INDIRECT_LEN, table_is_empty },
	{ RING_FAULT_INDIRECT_LEN, table_is_crooked },
	{ RING_FAULT_INDIRECT_LEN, table_is_endless },
	{ RING_FAULT_INDIRECT_NEXT, table_has_a_next },
	{ RING_FAULT_INDIRECT_NESTED, table_in_a_table },
	{ RING_FAULT_CHAIN_LOOP, table_loops },
	{ RING_FAULT_NEXT_RANGE, table_leaves_itself },
};

/* Counted by name, passed on, and the next chain is as good as ever. */
static void
test_lies_are_counted_and_passed_on(void)
{
	for (size_t i = 0; i < VHC_ARRAY_LEN(lies); i++) {
		uint16_t bad, good;

		open_all(0);
		bad = driver_post(&driver, two, 2);
		lies[i].tell(&driver_desc(&driver, bad, 0)->split);
		good = driver_post(&driver, &two[1], 1);
		driver_publish(&driver);
		hardware_uses(bad, 7);
		hardware_uses(good, 8);
		CHECK_EQ(relay(), 2);
		CHECK_EQ(faults.count[lies[i].fault], 1);
		CHECK_EQ(faults.last, lies[i].fault);
		CHECK(is_marked(two[1].at / PAGE));
		check_collect(bad, 7);
		check_collect(good, 8);
		close_all();
	}
}

static void
test_indirect_that_was_not_agreed_on(void)
{
	open_all(0);
	ring.indirect = false;
	hardware_uses(driver_post_indirect(&driver, two, 2, 0, TABLE_AT), 7);
	driver_publish(&driver);
	CHECK_EQ(relay(), 1);
	CHECK_EQ(faults.count[RING_FAULT_INDIRECT_OFF], 1);
	close_all();
}

/* ---- entries that cannot be ----------------------------------------------------------------- */

static void
test_a_head_outside_the_ring(void)
{
	static const uint32_t ids[] = { SIZE, 0xffff, 0x10000, 0xffffffff };

	for (size_t i = 0; i < VHC_ARRAY_LEN(ids); i++) {
		uint16_t id;

		open_all(0);
		id = driver_post(&driver, two, 2);
		driver_publish(&driver);
		hardware_uses(id, 7);
		hardware_uses(ids[i], 8);
		CHECK_EQ(relay(), -EPROTO);
		CHECK_EQ(faults.count[RING_FAULT_HEAD_RANGE], 1);
		CHECK(ring.broken);
		check_collect(id, 7);	/* what came before it was good */
		CHECK_EQ(driver_nr_used(&driver), 0);
		CHECK_EQ(relay(), -EPROTO);
		CHECK_EQ(faults.count[RING_FAULT_HEAD_RANGE], 1);
		close_all();
	}
}

static void
test_an_index_that_went_too_far(void)
{
	static const uint16_t steps[] = { SIZE + 1, 0x7fff, 0x8000, 0xffff };

	for (size_t i = 0; i < VHC_ARRAY_LEN(steps); i++) {
		open_all(0xfff0);
		hw.idx.raw = htole16((uint16_t)(0xfff0 + steps[i]));
		CHECK_EQ(relay(), -EPROTO);
		CHECK_EQ(ring.used.idx, 0xfff0);
		CHECK_EQ(driver_nr_used(&driver), 0);
		close_all();
	}
}

static const struct test tests[] = {
	TEST(test_chains_of_all_kinds),
	TEST(test_many_at_once),
	TEST(test_nothing_is_walked_without_a_log),
	TEST(test_lies_are_counted_and_passed_on),
	TEST(test_indirect_that_was_not_agreed_on),
	TEST(test_a_head_outside_the_ring),
	TEST(test_an_index_that_went_too_far),
};

int
main(void)
{
	CHECK_EQ(vhc_gate_setup(), 0);
	return RUN_TESTS(tests);
}
