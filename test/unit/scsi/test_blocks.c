/* SPDX-License-Identifier: BSD-3-Clause */
/* test_blocks.c - commands that read, write, flush and empty blocks, and all that is refused. */
#include "ask.h"

/* ---- READ and WRITE ------------------------------------------------------------------------- */

static void
test_read(void)
{
	reset();
	ask(0x08, 0, 1, 2, 3);
	CHECK_WORK(SCSI_READ, 0, 3 * 512, 258, 3);
	ask(0x08, 0, 0, 9, 0);		/* 0 is 256 */
	CHECK_WORK(SCSI_READ, 0, 256 * 512, 9, 256);
	ask(0x28, 0, 0, 0, 0, 7, 0, 0, 2);
	CHECK_WORK(SCSI_READ, 0, 1024, 7, 2);
	ask(0xa8, 0, 0, 0, 0, 7, 0, 0, 0, 2);
	CHECK_WORK(SCSI_READ, 0, 1024, 7, 2);
	ask(0x88, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2);
	CHECK_WORK(SCSI_READ, 0, 1024, 7, 2);
	CHECK(!action.is_flushed_first && !action.is_durable);
	ask(0x28, 0x18, 0, 0, 0, 7, 0, 0, 2);	/* DPO, FUA */
	CHECK_WORK(SCSI_READ, 0, 1024, 7, 2);
	CHECK(action.is_flushed_first);
	ask(0x28, 0x10, 0, 0, 0, 7, 0, 0, 2);
	CHECK(!action.is_flushed_first);
}

static void
test_write(void)
{
	reset();
	ask(0x0a, 0xe0, 1, 2, 3);	/* a number of 21 bits */
	CHECK_WORK(SCSI_WRITE, 3 * 512, 0, 258, 3);
	ask(0x2a, 0, 0, 0, 0, 7, 0, 0, 2);
	CHECK_WORK(SCSI_WRITE, 1024, 0, 7, 2);
	CHECK(!action.is_durable);
	ask(0xaa, 8, 0, 0, 0, 7, 0, 0, 0, 2);
	CHECK_WORK(SCSI_WRITE, 1024, 0, 7, 2);
	CHECK(action.is_durable);
	ask(0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2);
	CHECK_WORK(SCSI_WRITE, 1024, 0, 7, 2);
}

static void
test_large_numbers(void)
{
	reset();
	disk.nr_blocks = UINT64_MAX >> 9;
	ask(0x28, 0, 0x12, 0x34, 0x56, 0x78, 0, 0xff, 0xff);
	CHECK_WORK(SCSI_READ, 0, 65535 * 512, 0x12345678, 65535);
	ask(0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
	CHECK_WORK(SCSI_READ, 0, UINT64_C(0xffffffff) * 512, 0xffffffff, 0xffffffff);
	ask(0x88, 0, 0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xff, 0xff, 0xff, 0xff);
	CHECK_WORK(SCSI_READ, 0, UINT64_C(0xffffffff) * 512, UINT64_C(0x123456789abcde),
		   0xffffffff);
	ask(0x08, 0x1f, 0xff, 0xff, 1);
	CHECK_WORK(SCSI_READ, 0, 512, 0x1fffff, 1);
	ask(0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2);
	CHECK_OUT_OF_RANGE();
}

/* Of 10 bytes, each with the block number before the length. */
static void
test_ends(void)
{
	static const uint8_t opcodes[] = { 0x28, 0x2a, 0x2f, 0x35 };

	reset();
	for (unsigned int i = 0; i < sizeof(opcodes); i++) {
		ask(opcodes[i], 0, 0, 0, 3, 0xe7, 0, 0, 1);	/* the last */
		CHECK_EQ(action.status, SCSI_GOOD);
		ask(opcodes[i], 0, 0, 0, 3, 0xe8, 0, 0, 0);	/* nothing, at the end */
		CHECK_EQ(action.status, SCSI_GOOD);
		CHECK_EQ(action.nr_ranges, 0);
		ask(opcodes[i], 0, 0, 0, 3, 0xe8, 0, 0, 1);
		CHECK_OUT_OF_RANGE();
		ask(opcodes[i], 0, 0, 0, 3, 0xe9, 0, 0, 0);
		CHECK_OUT_OF_RANGE();
		ask(opcodes[i], 0, 0, 0, 0, 0, 0, 3, 0xe8);
		CHECK_EQ(action.status, SCSI_GOOD);
		ask(opcodes[i], 0, 0, 0, 0, 1, 0, 3, 0xe8);
		CHECK_OUT_OF_RANGE();
	}
	ask(0x28, 0, 0, 0, 0, 9, 0, 0, 0);	/* here 0 is nothing */
	CHECK_GOOD();
	ask(0x08, 0, 3, 0xe8, 1);
	CHECK_OUT_OF_RANGE();
	ask(0x08, 0, 3, 0, 0);
	CHECK_OUT_OF_RANGE();
	ask(0x0a, 0, 3, 0xe8, 1);
	CHECK_OUT_OF_RANGE();
}

static void
test_protection_information(void)
{
	static const uint8_t opcodes[] = {
		0x28, 0x2a, 0x2f, 0xa8, 0xaa, 0x88, 0x8a, 0x8f, 0x41, 0x93,
	};

	reset();
	for (unsigned int i = 0; i < sizeof(opcodes); i++) {
		ask(opcodes[i], 0x20, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1);
		CHECK_INVALID_FIELD();
	}
}

static void
test_read_only(void)
{
	static const uint8_t opcodes[] = { 0x0a, 0x2a, 0x8a, 0xaa, 0x41, 0x93, 0x42 };

	reset();
	disk.is_read_only = true;
	for (unsigned int i = 0; i < sizeof(opcodes); i++) {
		ask(opcodes[i], 0, 0, 0, 1, 0, 0, 0, 8);
		CHECK_PROTECTED();
	}
	ask(0x28, 0, 0, 0, 0, 7, 0, 0, 2);
	CHECK_WORK(SCSI_READ, 0, 1024, 7, 2);
	ask(0x35);
	CHECK_EQ(action.kind, SCSI_FLUSH);
}

static void
test_verify(void)
{
	reset();
	ask(0x2f, 0x10, 0, 0, 0, 7, 0, 0, 2);
	CHECK_GOOD();
	ask(0x8f, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2);
	CHECK_GOOD();
	ask(0x2f, 0x02, 0, 0, 0, 7, 0, 0, 2);	/* with what comes along */
	CHECK_INVALID_FIELD();
	ask(0x8f, 0x06, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2);
	CHECK_INVALID_FIELD();
	ask(0x8f, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2);
	CHECK_OUT_OF_RANGE();
}

static void
test_synchronize_cache(void)
{
	reset();
	ask(0x35);
	CHECK_EQ(action.kind, SCSI_FLUSH);
	CHECK_EQ(action.status, SCSI_GOOD);
	CHECK_EQ(action.nr_ranges, 0);
	ask(0x91, 2);			/* IMMED */
	CHECK_EQ(action.kind, SCSI_FLUSH);
	ask(0x91, 0, 0, 0, 0, 1);
	CHECK_OUT_OF_RANGE();
}

/* ---- WRITE SAME ----------------------------------------------------------------------------- */

static uint8_t block[512];

static void
test_write_same(void)
{
	reset();
	memset(block, 0, sizeof(block));
	ask_with(CDB(0x41, 0, 0, 0, 0, 7, 0, 0, 9), block, 512);
	CHECK_WORK(SCSI_ZERO, 512, 0, 7, 9);
	CHECK(!action.may_unmap);
	ask_with(CDB(0x93, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9), block, 512);
	CHECK_WORK(SCSI_ZERO, 512, 0, 7, 9);
	CHECK(action.may_unmap);
	ask(0x93, 9, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9);	/* no block comes with it */
	CHECK_WORK(SCSI_ZERO, 0, 0, 7, 9);
	ask(0x93, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9);	/* it ought to: an overrun */
	CHECK_EQ(action.from_driver, 512);
}

static void
test_write_same_refuses(void)
{
	reset();
	for (unsigned int i = 0; i < sizeof(block); i += 73) {
		memset(block, 0, sizeof(block));
		block[i] = 1;
		ask_with(CDB(0x41, 0, 0, 0, 0, 7, 0, 0, 9), block, 512);
		CHECK_REFUSED(5, 0x2600);
	}
	memset(block, 0xff, sizeof(block));
	ask_with(CDB(0x93, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9), block, 512);
	CHECK_REFUSED(5, 0x2600);
	ask(0x41, 0, 0, 0, 0, 7, 0, 0, 0);	/* how many? */
	CHECK_INVALID_FIELD();
	ask(0x41, 1, 0, 0, 0, 7, 0, 0, 9);	/* only with 16 bytes */
	CHECK_INVALID_FIELD();
	ask(0x41, 0x10, 0, 0, 0, 7, 0, 0, 9);	/* an anchor */
	CHECK_INVALID_FIELD();
	ask(0x93, 0x02, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9);
	CHECK_INVALID_FIELD();
	ask(0x41, 0, 0, 0, 3, 0xe8, 0, 0, 1);
	CHECK_OUT_OF_RANGE();
	disk.nr_blocks = UINT64_MAX >> 9;
	ask(0x93, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0);
	CHECK_WORK(SCSI_ZERO, 0, 0, 0, 0x200000);
	ask(0x93, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 1);
	CHECK_INVALID_FIELD();
}

/* ---- UNMAP ---------------------------------------------------------------------------------- */

#define ENTRY(hi, lo, nr) 0, 0, 0, 0, 0, 0, (hi), (lo), 0, 0, 0, (nr), 0, 0, 0, 0

static void
unmap(const uint8_t *list, uint32_t sent_len, uint16_t list_len)
{
	uint32_t look_len;
	const uint8_t *cdb = CDB(0x42, 0, 0, 0, 0, 0, 0, list_len >> 8, (uint8_t)list_len);

	look_len = scsi_look_len(cdb);
	CHECK(look_len <= SCSI_LOOK_MAX && look_len <= list_len);
	ask_with(cdb, list, sent_len < look_len ? sent_len : look_len);
}

#define UNMAP(...) do { \
	const uint8_t list_[] = { __VA_ARGS__ }; \
	unmap(list_, sizeof(list_), sizeof(list_)); \
} while (0)

static void
test_unmap(void)
{
	reset();
	UNMAP(0, 22, 0, 16, 0, 0, 0, 0, ENTRY(1, 2, 3));
	CHECK_WORK(SCSI_ZERO, 24, 0, 258, 3);
	CHECK(action.may_unmap);
	UNMAP(0, 54, 0, 48, 0, 0, 0, 0, ENTRY(0, 1, 2), ENTRY(0, 9, 0), ENTRY(3, 0xe7, 1));
	CHECK_EQ(action.nr_ranges, 2);	/* the empty one is none */
	CHECK_EQ(action.ranges[0].block, 1);
	CHECK_EQ(action.ranges[0].nr_blocks, 2);
	CHECK_EQ(action.ranges[1].block, 999);
	CHECK_EQ(action.ranges[1].nr_blocks, 1);
	UNMAP(0, 6, 0, 0, 0, 0, 0, 0);	/* nothing */
	CHECK_EQ(action.kind, SCSI_ANSWER);
	CHECK_EQ(action.status, SCSI_GOOD);
	UNMAP(0, 31, 0, 25, 0, 0, 0, 0, ENTRY(0, 1, 2), 0, 0, 0, 0, 0, 0, 0, 9, 9);
	CHECK_WORK(SCSI_ZERO, 33, 0, 1, 2);	/* half an entry is none */
	unmap(NULL, 0, 0);
	CHECK_GOOD();
	disk.unmaps_to_zeros = false;
	UNMAP(0, 22, 0, 16, 0, 0, 0, 0, ENTRY(1, 2, 3));
	CHECK_WORK(SCSI_DISCARD, 24, 0, 258, 3);
}

static void
test_unmap_refuses(void)
{
	reset();
	UNMAP(0, 22, 0, 16, 0, 0, 0, 0, ENTRY(3, 0xe7, 2));
	CHECK_OUT_OF_RANGE();
	/* One that is bad: none is done. */
	UNMAP(0, 38, 0, 32, 0, 0, 0, 0, ENTRY(0, 1, 2), ENTRY(3, 0xe9, 0));
	CHECK_OUT_OF_RANGE();
	ask_with(CDB(0x42, 1, 0, 0, 0, 0, 0, 0, 24), block, 24);
	CHECK_INVALID_FIELD();
	for (uint8_t len = 1; len < 8; len++) {
		unmap(block, len, len);
		CHECK_REFUSED(5, 0x1a00);
	}
	UNMAP(0, 22, 0, 17, 0, 0, 0, 0, ENTRY(1, 2, 3));	/* more than is there */
	CHECK_REFUSED(5, 0x1a00);
	UNMAP(0, 23, 0, 16, 0, 0, 0, 0, ENTRY(1, 2, 3));
	CHECK_REFUSED(5, 0x1a00);
	UNMAP(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, ENTRY(1, 2, 3));
	CHECK_REFUSED(5, 0x1a00);
	UNMAP(0, 22, 0, 16, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	      0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);
	CHECK_OUT_OF_RANGE();
}

static void
test_unmap_long_lists(void)
{
	static uint8_t list[65535];

	reset();
	put_be16(list + 2, 16 * 16);
	for (unsigned int i = 0; i < 20; i++)
		put_be32(list + 8 + 16 * i + 8, i + 1);
	unmap(list, sizeof(list), 8 + 16 * 16);
	CHECK_EQ(action.nr_ranges, 16);
	CHECK_EQ(action.ranges[15].nr_blocks, 16);
	unmap(list, sizeof(list), 65535);	/* as many, and nothing behind them */
	CHECK_EQ(action.nr_ranges, 16);
	CHECK_EQ(action.from_driver, 65535);
	put_be16(list + 2, 17 * 16);
	unmap(list, sizeof(list), 65535);
	CHECK_REFUSED(5, 0x2600);
	put_be16(list + 2, 65535 - 8);
	unmap(list, sizeof(list), 65535);
	CHECK_REFUSED(5, 0x2600);
}

/* Less than the command says: nothing is done, whatever it would be. */
static void
test_unmap_short(void)
{
	static const uint8_t list[] = { 0, 22, 0, 16, 0, 0, 0, 0, ENTRY(1, 2, 3) };

	reset();
	for (uint32_t len = 0; len < sizeof(list); len++) {
		unmap(list, len, sizeof(list));
		CHECK_EQ(action.from_driver, sizeof(list));
		CHECK_EQ(action.nr_ranges, 0);
		CHECK_EQ(action.kind, SCSI_ANSWER);
	}
}

static void
test_unmap_too_much(void)
{
	uint8_t list[] = { 0, 38, 0, 32, 0, 0, 0, 0, ENTRY(0, 1, 0), ENTRY(0, 1, 0) };

	reset();
	disk.nr_blocks = UINT64_MAX >> 9;
	put_be32(list + 16, SCSI_ZEROES_MAX - 1);
	put_be32(list + 32, 1);
	unmap(list, sizeof(list), sizeof(list));
	CHECK_EQ(action.nr_ranges, 2);
	put_be32(list + 32, 2);
	unmap(list, sizeof(list), sizeof(list));
	CHECK_REFUSED(5, 0x2600);
	put_be32(list + 16, UINT32_MAX);
	put_be32(list + 32, UINT32_MAX);
	unmap(list, sizeof(list), sizeof(list));
	CHECK_REFUSED(5, 0x2600);
}

static const struct test tests[] = {
	TEST(test_read),
	TEST(test_write),
	TEST(test_large_numbers),
	TEST(test_ends),
	TEST(test_protection_information),
	TEST(test_read_only),
	TEST(test_verify),
	TEST(test_synchronize_cache),
	TEST(test_write_same),
	TEST(test_write_same_refuses),
	TEST(test_unmap),
	TEST(test_unmap_refuses),
	TEST(test_unmap_long_lists),
	TEST(test_unmap_short),
	TEST(test_unmap_too_much),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
