/* SPDX-License-Identifier: BSD-3-Clause */
/* test_lun.c - the eight bytes that name a unit, right and wrong. */
#include "../check.h"

#include "scsi/lun.h"

static const struct {
	uint8_t bytes[8];
	enum lun_kind kind;
	uint16_t number;
} expected[] = {
	{ { 1, 0, 0, 0 }, LUN_UNIT, 0 },
	{ { 1, 0, 0, 5 }, LUN_UNIT, 5 },
	{ { 1, 0, 0, 255 }, LUN_UNIT, 255 },
	{ { 1, 0, 0x40, 0 }, LUN_UNIT, 0 },
	{ { 1, 0, 0x40, 5 }, LUN_UNIT, 5 },
	{ { 1, 0, 0x41, 2 }, LUN_UNIT, 258 },
	{ { 1, 0, 0x7f, 0xff }, LUN_UNIT, 0x3fff },
	{ { 0xc1, 1 }, LUN_REPORT_LUNS, 0 },
	{ { 1, 0, 0xc1, 1 }, LUN_REPORT_LUNS, 0 },
	/* Of our target, but no unit can be there. */
	{ { 1, 0, 0x01, 0 }, LUN_NOWHERE, 0 },
	{ { 1, 0, 0x3f, 5 }, LUN_NOWHERE, 0 },
	{ { 1, 0, 0x80, 0 }, LUN_NOWHERE, 0 },
	{ { 1, 0, 0xc1, 2 }, LUN_NOWHERE, 0 },
	{ { 1, 0, 0xff, 0xff }, LUN_NOWHERE, 0 },
	{ { 1, 0, 0, 0, 1 }, LUN_NOWHERE, 0 },
	{ { 1, 0, 0x40, 0, 0, 0, 0, 1 }, LUN_NOWHERE, 0 },
	{ { 1, 0, 0xc1, 1, 0, 1 }, LUN_NOWHERE, 0 },
	/* Not of our target. */
	{ { 0 }, LUN_BAD_TARGET, 0 },
	{ { 1, 1 }, LUN_BAD_TARGET, 0 },
	{ { 1, 255, 0x40, 0 }, LUN_BAD_TARGET, 0 },
	{ { 2, 0 }, LUN_BAD_TARGET, 0 },
	{ { 0xc1, 0 }, LUN_BAD_TARGET, 0 },
	{ { 0xc1, 1, 1 }, LUN_BAD_TARGET, 0 },
	{ { 0xc1, 1, 0, 0, 0, 0, 0, 1 }, LUN_BAD_TARGET, 0 },
	{ { 255, 255, 255, 255, 255, 255, 255, 255 }, LUN_BAD_TARGET, 0 },
};

static void
test_decode(void)
{
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		struct lun lun = lun_decode(expected[i].bytes);

		if (lun.kind != expected[i].kind || lun.number != expected[i].number)
			fprintf(stderr, "of line %zu:\n", i);
		CHECK_EQ(lun.kind, expected[i].kind);
		CHECK_EQ(lun.number, expected[i].number);
	}
}

static void
test_encode(void)
{
	static const uint8_t of_258[8] = { 1, 0, 0x41, 2 };
	static const uint8_t of_3[8] = { 1, 0, 0, 3 };	/* not 0x40, 3: Linux would not find it */
	uint8_t bytes[8];

	lun_encode(258, bytes);
	CHECK(memcmp(bytes, of_258, 8) == 0);
	lun_encode(3, bytes);
	CHECK(memcmp(bytes, of_3, 8) == 0);
	for (uint16_t number = 0; number <= LUN_NUMBER_MAX; number++) {
		struct lun lun;

		lun_encode(number, bytes);
		lun = lun_decode(bytes);
		CHECK_EQ(lun.kind, LUN_UNIT);
		CHECK_EQ(lun.number, number);
	}
}

static const struct test tests[] = { TEST(test_decode), TEST(test_encode) };

int
main(void)
{
	return RUN_TESTS(tests);
}
