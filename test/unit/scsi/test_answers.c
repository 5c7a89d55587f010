/* SPDX-License-Identifier: BSD-3-Clause */
/* test_answers.c - commands that are answered without I/O, byte for byte; and who answers. */
#include "ask.h"

/* ---- the short ones ------------------------------------------------------------------------- */

static void
test_test_unit_ready(void)
{
	reset();
	ask(0x00);
	CHECK_GOOD();
	ask(0x00, 0, 0, 0, 0, 0x04);	/* NACA */
	CHECK_INVALID_FIELD();
}

static void
test_request_sense(void)
{
	reset();
	ask(0x03, 0, 0, 0, 255);
	CHECK_ANSWER(255, 0x70, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	ask(0x03, 0, 0, 0, 4);
	CHECK_ANSWER(4, 0x70, 0, 0, 0);
	ask(0x03, 0, 0, 0, 0);
	CHECK_GOOD();
	ask(0x03, 1, 0, 0, 255);	/* descriptors */
	CHECK_INVALID_FIELD();
}

static void
test_start_stop(void)
{
	reset();
	ask(0x1b, 0, 0, 0, 1);
	CHECK_GOOD();
	ask(0x1b, 0, 0, 0, 0);
	CHECK_EQ(action.kind, SCSI_FLUSH);
	CHECK_EQ(action.status, SCSI_GOOD);
	ask(0x1b, 0, 0, 0, 4);
	CHECK_GOOD();
	ask(0x1b, 0, 0, 0, 2);
	CHECK_INVALID_FIELD();
	ask(0x1b, 0, 0, 0, 0x10);
	CHECK_INVALID_FIELD();
	ask(0x1e, 0, 0, 0, 1);
	CHECK_GOOD();
	ask(0x1e, 0, 0, 0, 4);
	CHECK_INVALID_FIELD();
}

static void
test_unknown_opcodes(void)
{

	reset();
	for (unsigned int opcode = 0; opcode < 256; opcode++) {
		bool is_known = memchr(known_opcodes, (int)opcode, sizeof(known_opcodes));

		ask((uint8_t)opcode);
		if (is_known)
			CHECK(action.sense.asc != 0x2000);
		else
			CHECK_REFUSED(5, 0x2000);
	}
}

/* ---- who answers ---------------------------------------------------------------------------- */

static void
test_attention(void)
{
	reset();
	disk.attention = 0x2a09;
	ask(0x12, 0, 0, 0, 96);		/* these go on */
	CHECK(action.status == SCSI_GOOD && !action.takes_attention);
	ask(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16);
	CHECK(action.status == SCSI_GOOD && !action.takes_attention);
	ask(0x03, 0, 0, 0, 18);
	CHECK_ANSWER(18, 0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x2a, 9, 0, 0, 0, 0);
	CHECK(action.takes_attention);
	ask(0x00);
	CHECK_REFUSED(6, 0x2a09);
	CHECK(action.takes_attention);
	ask(0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	CHECK_REFUSED(6, 0x2a09);
	ask(0x99);			/* nobody's command says nothing about us */
	CHECK_REFUSED(5, 0x2000);
	CHECK(!action.takes_attention);
	disk.attention = 0;
	ask(0x00);
	CHECK_GOOD();
	CHECK(!action.takes_attention);
}

static void
nobody_answers(enum lun_kind addressee)
{
	ask_another(addressee, CDB(0x12, 0, 0, 0, 5));
	CHECK_ANSWER(5, 0x7f, 0, 6, 0x12, 91);
	ask_another(addressee, CDB(0x12, 1, 0, 0, 255));
	CHECK_ANSWER(255, 0x7f, 0, 0, 1, 0);
	ask_another(addressee, CDB(0x12, 1, 0x80, 0, 255));
	CHECK_INVALID_FIELD();
	ask_another(addressee, CDB(0x03, 0, 0, 0, 18));
	CHECK_ANSWER(18, 0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x25, 0, 0, 0, 0, 0);
	for (unsigned int opcode = 0; opcode < 256; opcode++) {
		if (opcode == 0x12 || opcode == 0x03)
			continue;
		ask_another(addressee, CDB((uint8_t)opcode));
		CHECK_REFUSED(5, 0x2500);
	}
}

static void
test_no_such_unit(void)
{
	nobody_answers(LUN_UNIT);
	nobody_answers(LUN_NOWHERE);
}

static void
test_well_known_unit(void)
{
	ask_another(LUN_REPORT_LUNS, CDB(0x00));
	CHECK_GOOD();
	ask_another(LUN_REPORT_LUNS, CDB(0x03, 0, 0, 0, 3));
	CHECK_ANSWER(3, 0x70, 0, 0);
	ask_another(LUN_REPORT_LUNS, CDB(0x12, 0, 0, 0, 3));
	CHECK_ANSWER(3, 0x1e, 0, 6);
	ask_another(LUN_REPORT_LUNS, CDB(0x12, 1, 0, 0, 9));
	CHECK_ANSWER(9, 0x1e, 0, 0, 1, 0);
	ask_another(LUN_REPORT_LUNS, CDB(0x12, 1, 0xb0, 0, 9));
	CHECK_INVALID_FIELD();
	ask_another(LUN_REPORT_LUNS, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0));
	CHECK_EQ(action.data_len, 8 + 3 * 8);
	ask_another(LUN_REPORT_LUNS, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1));
	CHECK_REFUSED(5, 0x2000);
}

static void
test_report_luns(void)
{
	reset();
	ask(0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	CHECK_ANSWER(256, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		     0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0);
	ask(0xa0, 0, 1, 0, 0, 0, 0, 0, 1, 0);
	CHECK_ANSWER(256, 0, 0, 0, 8, 0, 0, 0, 0, 0xc1, 1, 0, 0, 0, 0, 0, 0);
	ask(0xa0, 0, 2, 0, 0, 0, 0, 0, 0, 20);
	CHECK_ANSWER(20, 0, 0, 0, 32, 0, 0, 0, 0, 0xc1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	ask(0xa0, 0, 3, 0, 0, 0, 0, 0, 1, 0);
	CHECK_INVALID_FIELD();
	ask(0xa0, 0, 0x10, 0, 0, 0, 0, 0, 1, 0);
	CHECK_INVALID_FIELD();
	ask(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 15);
	CHECK_INVALID_FIELD();
	ask(0xa0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff);
	CHECK_EQ(action.to_driver, UINT32_MAX);
	CHECK_EQ(action.data_len, 32);
}

/* ---- INQUIRY -------------------------------------------------------------------------------- */

static void
test_inquiry(void)
{
	reset();
	ask(0x12, 0, 0, 0, 36);
	CHECK_ANSWER(36, 0, 0, 6, 0x12, 91, 0, 0, 2, 'V', 'H', 'O', 'S', 'T', 'X', ' ', ' ',
		     'D', 'I', 'S', 'K', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ',
		     '0', '0', '0', '1');
	ask(0x12, 0, 0, 1, 0);
	CHECK_EQ(action.to_driver, 256);
	CHECK_EQ(action.data_len, 96);
	CHECK(memcmp(action.data + 58, "\x00\xa0\x04\x60\x04\xc0", 6) == 0);
	ask(0x12, 0, 0, 0, 0);
	CHECK_GOOD();
	ask(0x12, 0, 0x80, 0, 96);	/* a page, without the bit */
	CHECK_INVALID_FIELD();
	ask(0x12, 2, 0, 0, 96);
	CHECK_INVALID_FIELD();
	ask(0x12, 1, 0x81, 0, 96);
	CHECK_INVALID_FIELD();
}

static void
test_pages(void)
{
	reset();
	ask(0x12, 1, 0, 0, 255);
	CHECK_ANSWER(255, 0, 0, 0, 6, 0, 0x80, 0x83, 0xb0, 0xb1, 0xb2);
	ask(0x12, 1, 0x80, 0, 255);
	CHECK_ANSWER(255, 0, 0x80, 0, 5, 'v', 'h', 'x', '-', '1');
	ask(0x12, 1, 0x80, 0, 6);
	CHECK_ANSWER(6, 0, 0x80, 0, 5, 'v', 'h');
	ask(0x12, 1, 0x83, 0, 255);
	CHECK_ANSWER(255, 0, 0x83, 0, 17, 2, 1, 0, 13, 'V', 'H', 'O', 'S', 'T', 'X', ' ', ' ',
		     'v', 'h', 'x', '-', '1');
	disk.serial = "a serial number that is far longer than anybody would want to see";
	ask(0x12, 1, 0x80, 0, 255);
	CHECK_EQ(action.data_len, 4 + SCSI_SERIAL_MAX);
	disk.serial = "";
	ask(0x12, 1, 0x80, 0, 255);
	CHECK_ANSWER(255, 0, 0x80, 0, 0);
}

static void
test_pages_of_block_devices(void)
{
	uint8_t of_rotation[64] = { 0, 0xb1, 0, 60, 0, 1 };

	reset();
	ask(0x12, 1, 0xb0, 0, 255);
	CHECK_ANSWER(255, 0, 0xb0, 0, 60, 1, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		     0, 0x20, 0, 0, 0, 0, 0, 16, 0, 0, 0, 8, 0x80, 0, 0, 0,
		     0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		     0, 0, 0, 0);
	ask(0x12, 1, 0xb1, 0, 255);
	CHECK_EQ(action.data_len, 64);
	CHECK(memcmp(action.data, of_rotation, 64) == 0);
	ask(0x12, 1, 0xb2, 0, 255);
	CHECK_ANSWER(255, 0, 0xb2, 0, 4, 0, 0xe4, 2, 0);
	disk.unmaps_to_zeros = false;
	ask(0x12, 1, 0xb2, 0, 255);
	CHECK_ANSWER(255, 0, 0xb2, 0, 4, 0, 0xe0, 2, 0);
	disk.is_read_only = true;
	ask(0x12, 1, 0xb2, 0, 255);
	CHECK_ANSWER(255, 0, 0xb2, 0, 4, 0, 0, 0, 0);
	ask(0x12, 1, 0xb0, 0, 30);
	CHECK_ANSWER(30, 0, 0xb0, 0, 60, 1, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		     0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

/* ---- MODE SENSE ----------------------------------------------------------------------------- */

#define DESCRIPTOR	0, 0, 3, 0xe8, 0, 0, 2, 0
#define CACHING(wce)	0x08, 18, (wce), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define CONTROL		0x0a, 10, 2, 0x10, 0, 0, 0, 0, 0xff, 0xff, 0, 0
#define CONTROL_MASK	0x0a, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0

static void
test_mode_sense_6(void)
{
	reset();
	ask(0x1a, 0, 0x08, 0, 255);
	CHECK_ANSWER(255, 31, 0, 0x10, 8, DESCRIPTOR, CACHING(4));
	ask(0x1a, 8, 0x0a, 0, 255);
	CHECK_ANSWER(255, 15, 0, 0x10, 0, CONTROL);
	ask(0x1a, 0, 0x3f, 0, 255);
	CHECK_ANSWER(255, 43, 0, 0x10, 8, DESCRIPTOR, CACHING(4), CONTROL);
	ask(0x1a, 8, 0x3f, 0xff, 255);
	CHECK_ANSWER(255, 35, 0, 0x10, 0, CACHING(4), CONTROL);
	ask(0x1a, 8, 0x7f, 0, 255);	/* what can be changed: nothing */
	CHECK_ANSWER(255, 35, 0, 0x10, 0, CACHING(0), CONTROL_MASK);
	ask(0x1a, 8, 0xbf, 0, 255);	/* defaults */
	CHECK_ANSWER(255, 35, 0, 0x10, 0, CACHING(4), CONTROL);
	ask(0x1a, 0, 0x3f, 0, 4);
	CHECK_ANSWER(4, 43, 0, 0x10, 8);
	disk.is_read_only = true;
	ask(0x1a, 8, 0x08, 0, 192);
	CHECK_ANSWER(192, 23, 0, 0x90, 0, CACHING(0));
}

static void
test_mode_sense_10(void)
{
	reset();
	ask(0x5a, 0, 0x3f, 0, 0, 0, 0, 1, 0);
	CHECK_ANSWER(256, 0, 46, 0, 0x10, 0, 0, 0, 8, DESCRIPTOR, CACHING(4), CONTROL);
	ask(0x5a, 0x18, 0x0a, 0, 0, 0, 0, 0, 20);
	CHECK_ANSWER(20, 0, 18, 0, 0x10, 0, 0, 0, 0, CONTROL);
	disk.nr_blocks = UINT64_C(1) << 32;
	ask(0x5a, 0, 0x0a, 0, 0, 0, 0, 0, 16);
	CHECK_ANSWER(16, 0, 26, 0, 0x10, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0);
}

static void
test_mode_sense_refuses(void)
{
	static const uint8_t opcodes[] = { 0x1a, 0x5a };

	reset();
	for (unsigned int i = 0; i < 2; i++) {
		ask(opcodes[i], 0, 0x01, 0, 255, 0, 0, 0, 255);		/* no such page */
		CHECK_INVALID_FIELD();
		ask(opcodes[i], 0, 0x00, 0, 255, 0, 0, 0, 255);
		CHECK_INVALID_FIELD();
		ask(opcodes[i], 0, 0x08, 1, 255, 0, 0, 0, 255);		/* no such subpage */
		CHECK_INVALID_FIELD();
		ask(opcodes[i], 0, 0x3f, 1, 255, 0, 0, 0, 255);
		CHECK_INVALID_FIELD();
		ask(opcodes[i], 0, 0xc8, 0, 255, 0, 0, 0, 255);		/* nothing is saved */
		CHECK_REFUSED(5, 0x3900);
	}
}

/* ---- READ CAPACITY -------------------------------------------------------------------------- */

static void
test_read_capacity_10(void)
{
	reset();
	ask(0x25);
	CHECK_ANSWER(8, 0, 0, 3, 0xe7, 0, 0, 2, 0);
	disk.nr_blocks = UINT64_C(0xffffffff);
	ask(0x25);
	CHECK_ANSWER(8, 0xff, 0xff, 0xff, 0xfe, 0, 0, 2, 0);
	disk.nr_blocks = UINT64_C(0x100000001);		/* ask with 16 bytes */
	ask(0x25);
	CHECK_ANSWER(8, 0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0);
}

static void
test_read_capacity_16(void)
{
	reset();
	ask(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32);
	CHECK_ANSWER(32, 0, 0, 0, 0, 0, 0, 3, 0xe7, 0, 0, 2, 0, 0, 3, 0xc0, 0,
		     0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	disk.nr_blocks = UINT64_C(0x123456789);
	disk.physical_block_size = 512;
	disk.unmaps_to_zeros = false;
	ask(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16);
	CHECK_ANSWER(16, 0, 0, 0, 1, 0x23, 0x45, 0x67, 0x88, 0, 0, 2, 0, 0, 0, 0x80, 0);
	disk.is_read_only = true;
	disk.physical_block_size = 65536;
	ask(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 15);
	CHECK_ANSWER(15, 0, 0, 0, 1, 0x23, 0x45, 0x67, 0x88, 0, 0, 2, 0, 0, 7, 0);
	ask(0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32);
	CHECK_INVALID_FIELD();
}

/* ---- errors of the work --------------------------------------------------------------------- */

static void
fail(enum scsi_kind kind, int error)
{
	memset(&action, 0x5a, sizeof(action));
	action.kind = kind;
	scsi_has_failed(&action, error);
}

static void
test_failures(void)
{
	static const uint8_t fixed[18] = { 0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11 };
	uint8_t bytes[SCSI_SENSE_LEN];

	fail(SCSI_READ, -5);		/* EIO */
	CHECK_REFUSED(3, 0x1100);
	scsi_put_sense(&action.sense, bytes);
	CHECK(memcmp(bytes, fixed, sizeof(fixed)) == 0);
	fail(SCSI_WRITE, -5);
	CHECK_REFUSED(3, 0x0c00);
	fail(SCSI_FLUSH, -5);
	CHECK_REFUSED(3, 0x0c00);
	fail(SCSI_WRITE, -28);		/* ENOSPC */
	CHECK_REFUSED(7, 0x2707);
	fail(SCSI_READ, -12);		/* ENOMEM: later, perhaps */
	CHECK_EQ(action.status, 8);
	CHECK_EQ(action.kind, SCSI_ANSWER);
	CHECK_EQ(action.data_len, 0);
}

static const struct test tests[] = {
	TEST(test_test_unit_ready),
	TEST(test_request_sense),
	TEST(test_start_stop),
	TEST(test_unknown_opcodes),
	TEST(test_attention),
	TEST(test_no_such_unit),
	TEST(test_well_known_unit),
	TEST(test_report_luns),
	TEST(test_inquiry),
	TEST(test_pages),
	TEST(test_pages_of_block_devices),
	TEST(test_mode_sense_6),
	TEST(test_mode_sense_10),
	TEST(test_mode_sense_refuses),
	TEST(test_read_capacity_10),
	TEST(test_read_capacity_16),
	TEST(test_failures),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
