/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_random.c - commands nobody would send: whatever is made of them keeps the promises of
 * command.h. Half of them are ones that would be sent, with a few bytes wrong.
 */
#include "ask.h"

#include "model/guest.h"

#define SEEDS	20
#define ROUNDS	20000

static uint8_t cdb[VIRTIO_SCSI_CDB_SIZE];
static uint8_t sent[SCSI_LOOK_MAX];
static unsigned int nr_worked, nr_answered, nr_refused;

static void
draw_bytes(uint8_t *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = random_below(2) ? 0 : (uint8_t)random_next();
}

static void
draw_disk(void)
{
	static const uint64_t sizes[] = { 1, 255, NR_BLOCKS, UINT64_C(1) << 33, UINT64_MAX >> 9 };

	disk = (struct scsi_unit)DISK;
	disk.nr_blocks = sizes[random_below(5)];
	disk.physical_block_size = 512u << random_below(8);
	disk.is_read_only = random_below(4) == 0;
	disk.unmaps_to_zeros = random_below(2);
	disk.attention = random_below(8) ? 0 : SCSI_CAPACITY_HAS_CHANGED;
	disk.serial = random_below(2) ? "" : "0123456789012345678901234567890123456789";
}

/* Opcodes that exist, and small numbers where the length and the address are. */
static void
draw_command(void)
{
	static const uint8_t pages[] = { 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2, 0x08, 0x0a, 0x3f };
	static const uint8_t flags[] = { 0x00, 0x00, 0x01, 0x08, 0x10, 0x18 };

	draw_bytes(cdb, sizeof(cdb));
	if (random_below(2))
		return;
	cdb[0] = known_opcodes[random_below(sizeof(known_opcodes))];
	cdb[1] = flags[random_below(sizeof(flags))];
	for (unsigned int i = 2; i < 16; i++)
		cdb[i] = random_below(4) ? 0 : (uint8_t)random_next();
	if (random_below(2))
		cdb[2] = pages[random_below(sizeof(pages))];
}

static uint32_t
draw_sent(void)
{
	draw_bytes(sent, sizeof(sent));
	if (random_below(4) == 0)
		memset(sent, 0, sizeof(sent));
	put_be16(sent, (uint16_t)random_below(300));
	if (random_below(2))
		put_be16(sent + 2, (uint16_t)(16 * random_below(20)));
	return scsi_look_len(cdb) ? random_below(scsi_look_len(cdb) + 1) : 0;
}

static bool
is_inside(const struct scsi_range *range)
{
	return range->nr_blocks && range->block < disk.nr_blocks &&
		range->nr_blocks <= disk.nr_blocks - range->block;
}

/* ---- the promises --------------------------------------------------------------------------- */

static void
check_ranges(void)
{
	uint64_t len = action.ranges[0].nr_blocks * SCSI_BLOCK_SIZE;

	CHECK(action.nr_ranges <= SCSI_RANGES_MAX);
	for (unsigned int i = 0; i < action.nr_ranges; i++)
		CHECK(is_inside(&action.ranges[i]));
	if (action.kind == SCSI_ANSWER || action.kind == SCSI_FLUSH)
		CHECK_EQ(action.nr_ranges, 0);
	else
		CHECK(action.nr_ranges > 0);
	if (action.kind == SCSI_READ)
		CHECK(action.nr_ranges == 1 && action.to_driver == len && !action.from_driver);
	else if (action.kind == SCSI_WRITE)
		CHECK(action.nr_ranges == 1 && action.from_driver == len && !action.to_driver);
	else
		CHECK(action.from_driver <= 65535);
}

static void
check_status(void)
{
	if (action.status == SCSI_GOOD) {
		CHECK_EQ(action.sense.key, SCSI_NO_SENSE);
		return;
	}
	CHECK_EQ(action.status, SCSI_CHECK_CONDITION);
	CHECK(action.sense.key != SCSI_NO_SENSE && action.sense.asc != SCSI_NO_ADDITIONAL_SENSE);
	CHECK_EQ(action.kind, SCSI_ANSWER);
	CHECK_EQ(action.data_len + action.from_driver + action.to_driver, 0);
	CHECK_EQ(action.takes_attention, action.sense.key == SCSI_UNIT_ATTENTION);
}

static void
check_writes(const struct scsi_unit *unit)
{
	if (!unit || unit->is_read_only)
		CHECK(action.kind == SCSI_ANSWER || (unit && (action.kind == SCSI_READ ||
							       action.kind == SCSI_FLUSH)));
	if (unit && unit->attention && action.kind != SCSI_ANSWER)
		CHECK_EQ(unit->attention, 0);
	if (action.takes_attention)
		CHECK(unit && unit->attention);
}

static void
check_promises(const struct scsi_unit *unit)
{
	CHECK(action.data_len <= action.to_driver && action.data_len <= SCSI_DATA_MAX);
	CHECK(!action.data_len || action.kind == SCSI_ANSWER);
	CHECK(!action.to_driver || !action.from_driver);
	check_ranges();
	check_status();
	check_writes(unit);
	nr_worked += action.kind != SCSI_ANSWER;
	nr_refused += action.status != SCSI_GOOD;
	nr_answered += action.data_len > 0;
}

static void
ask_one(void)
{
	static const enum lun_kind others[] = { LUN_UNIT, LUN_NOWHERE, LUN_REPORT_LUNS };
	static uint8_t data_before[SCSI_DATA_MAX];
	uint32_t sent_len;

	draw_disk();
	draw_command();
	sent_len = draw_sent();
	if (random_below(8) == 0) {
		ask_another(others[random_below(3)], cdb);
		check_promises(NULL);
		return;
	}
	ask_with(cdb, sent, sent_len);
	check_promises(&disk);
	memcpy(data_before, action.data, sizeof(data_before));
	ask_with(cdb, sent, sent_len);	/* the same question has the same answer */
	CHECK(memcmp(data_before, action.data, sizeof(data_before)) == 0);
}

static void
ask_many(void)
{
	nr_worked = nr_answered = nr_refused = 0;
	for (unsigned int i = 0; i < ROUNDS; i++)
		ask_one();
	/* Else these commands prove nothing. */
	CHECK(nr_worked > ROUNDS / 50);
	CHECK(nr_answered > ROUNDS / 50);
	CHECK(nr_refused > ROUNDS / 10);
}

static void
test_random_commands(void)
{
	random_seeds(SEEDS, ask_many);
}

static const struct test tests[] = { TEST(test_random_commands) };

int
main(void)
{
	return RUN_TESTS(tests);
}
