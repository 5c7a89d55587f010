/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ask.h - a disk of 1000 blocks, and what it makes of a command.
 *
 * Knows:   the command layer.
 * Trusts:  nothing to trust.
 * Runs on: the test's thread.
 */
#ifndef TEST_SCSI_ASK_H
#define TEST_SCSI_ASK_H

#include "../check.h"

#include "scsi/command.h"

#define NR_BLOCKS 1000

#define DISK { \
	.nr_blocks = NR_BLOCKS, .physical_block_size = 4096, .unmaps_to_zeros = true, \
	.serial = "vhx-1", \
}

static struct scsi_unit disk = DISK;
static struct scsi_action action;	/* what it made of the last one */

static inline void
reset(void)
{
	disk = (struct scsi_unit)DISK;
}

/* All there are. */
static const uint8_t known_opcodes[] = {
	0x00, 0x03, 0x08, 0x0a, 0x12, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2a, 0x2f, 0x35, 0x41, 0x42,
	0x5a, 0x88, 0x8a, 0x8f, 0x91, 0x93, 0x9e, 0xa0, 0xa8, 0xaa,
};

static inline void
ask_with(const uint8_t *cdb, const uint8_t *sent, uint32_t sent_len)
{
	const struct scsi_command command = {
		.cdb = cdb, .addressee = LUN_UNIT, .unit = &disk, .nr_units = 3,
		.sent = sent, .sent_len = sent_len,
	};

	memset(&action, 0x5a, sizeof(action));	/* nothing of it may be left */
	scsi_judge(&command, &action);
}

static inline void
ask_another(enum lun_kind addressee, const uint8_t *cdb)
{
	const struct scsi_command command = {
		.cdb = cdb, .addressee = addressee, .nr_units = 3,
	};

	memset(&action, 0x5a, sizeof(action));
	scsi_judge(&command, &action);
}

#define CDB(...) ((const uint8_t[VIRTIO_SCSI_CDB_SIZE]){ __VA_ARGS__ })
#define ask(...) ask_with(CDB(__VA_ARGS__), NULL, 0)

/* Exactly these bytes, out of an allocation length that is known. */
#define CHECK_ANSWER(allocation, ...) do { \
	const uint8_t bytes_[] = { __VA_ARGS__ }; \
	CHECK_EQ(action.kind, SCSI_ANSWER); \
	CHECK_EQ(action.status, SCSI_GOOD); \
	CHECK_EQ(action.to_driver, (allocation)); \
	CHECK_EQ(action.from_driver, 0); \
	CHECK_EQ(action.data_len, sizeof(bytes_)); \
	CHECK(memcmp(action.data, bytes_, sizeof(bytes_)) == 0); \
} while (0)

#define CHECK_GOOD() do { \
	CHECK_EQ(action.kind, SCSI_ANSWER); \
	CHECK_EQ(action.status, SCSI_GOOD); \
	CHECK_EQ(action.to_driver + action.from_driver + action.data_len, 0); \
} while (0)

/* Refused with this key, code and qualifier, and nothing to be done. */
#define CHECK_REFUSED(key_, asc_) do { \
	CHECK_EQ(action.kind, SCSI_ANSWER); \
	CHECK_EQ(action.status, 2); \
	CHECK_EQ(action.sense.key, (key_)); \
	CHECK_EQ(action.sense.asc, (asc_)); \
	CHECK_EQ(action.to_driver + action.from_driver + action.data_len, 0); \
	CHECK_EQ(action.nr_ranges, 0); \
} while (0)

#define CHECK_INVALID_FIELD() CHECK_REFUSED(5, 0x2400)
#define CHECK_OUT_OF_RANGE() CHECK_REFUSED(5, 0x2100)
#define CHECK_PROTECTED() CHECK_REFUSED(7, 0x2700)

/* Work on this range, with so many bytes each way. */
#define CHECK_WORK(kind_, from, to, block_, nr_) do { \
	CHECK_EQ(action.kind, (kind_)); \
	CHECK_EQ(action.status, SCSI_GOOD); \
	CHECK_EQ(action.from_driver, (from)); \
	CHECK_EQ(action.to_driver, (to)); \
	CHECK_EQ(action.nr_ranges, 1); \
	CHECK_EQ(action.ranges[0].block, (block_)); \
	CHECK_EQ(action.ranges[0].nr_blocks, (nr_)); \
	CHECK_EQ(action.data_len, 0); \
} while (0)

#endif
