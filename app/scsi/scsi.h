/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scsi.h - numbers of SAM-5, SPC-4 and SBC-3, and how they lie in bytes.
 *
 * Knows:   big-endian fields.
 * Trusts:  nothing to trust.
 * Runs on: everywhere.
 */
#ifndef SCSI_SCSI_H
#define SCSI_SCSI_H

#include <stdint.h>

enum scsi_opcode {
	SCSI_TEST_UNIT_READY = 0x00,
	SCSI_REQUEST_SENSE = 0x03,
	SCSI_READ_6 = 0x08,
	SCSI_WRITE_6 = 0x0a,
	SCSI_INQUIRY = 0x12,
	SCSI_MODE_SENSE_6 = 0x1a,
	SCSI_START_STOP_UNIT = 0x1b,
	SCSI_PREVENT_ALLOW = 0x1e,
	SCSI_READ_CAPACITY_10 = 0x25,
	SCSI_READ_10 = 0x28,
	SCSI_WRITE_10 = 0x2a,
	SCSI_VERIFY_10 = 0x2f,
	SCSI_SYNCHRONIZE_CACHE_10 = 0x35,
	SCSI_WRITE_SAME_10 = 0x41,
	SCSI_UNMAP = 0x42,
	SCSI_MODE_SENSE_10 = 0x5a,
	SCSI_READ_16 = 0x88,
	SCSI_WRITE_16 = 0x8a,
	SCSI_VERIFY_16 = 0x8f,
	SCSI_SYNCHRONIZE_CACHE_16 = 0x91,
	SCSI_WRITE_SAME_16 = 0x93,
	SCSI_SERVICE_ACTION_IN_16 = 0x9e,
	SCSI_REPORT_LUNS = 0xa0,
	SCSI_READ_12 = 0xa8,
	SCSI_WRITE_12 = 0xaa,
};

#define SCSI_READ_CAPACITY_16	0x10	/* the service action */

enum scsi_status {
	SCSI_GOOD = 0x00,
	SCSI_CHECK_CONDITION = 0x02,
	SCSI_BUSY = 0x08,
};

enum scsi_sense_key {
	SCSI_NO_SENSE = 0x0,
	SCSI_MEDIUM_ERROR = 0x3,
	SCSI_ILLEGAL_REQUEST = 0x5,
	SCSI_UNIT_ATTENTION = 0x6,
	SCSI_DATA_PROTECT = 0x7,
};

/* Additional sense code, and its qualifier below it. */
enum scsi_asc {
	SCSI_NO_ADDITIONAL_SENSE = 0x0000,
	SCSI_WRITE_ERROR = 0x0c00,
	SCSI_UNRECOVERED_READ_ERROR = 0x1100,
	SCSI_PARAMETER_LIST_LENGTH_ERROR = 0x1a00,
	SCSI_INVALID_OPCODE = 0x2000,
	SCSI_LBA_OUT_OF_RANGE = 0x2100,
	SCSI_INVALID_FIELD_IN_CDB = 0x2400,
	SCSI_LUN_NOT_SUPPORTED = 0x2500,
	SCSI_INVALID_FIELD_IN_LIST = 0x2600,
	SCSI_WRITE_PROTECTED = 0x2700,
	SCSI_SPACE_ALLOCATION_FAILED = 0x2707,
	SCSI_CAPACITY_HAS_CHANGED = 0x2a09,
	SCSI_SAVING_NOT_SUPPORTED = 0x3900,
};

static inline uint16_t
get_be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t
get_be32(const uint8_t *at)
{
	return (uint32_t)get_be16(at) << 16 | get_be16(at + 2);
}

static inline uint64_t
get_be64(const uint8_t *at)
{
	return (uint64_t)get_be32(at) << 32 | get_be32(at + 4);
}

static inline void
put_be16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void
put_be32(uint8_t *at, uint32_t value)
{
	put_be16(at, (uint16_t)(value >> 16));
	put_be16(at + 2, (uint16_t)value);
}

static inline void
put_be64(uint8_t *at, uint64_t value)
{
	put_be32(at, (uint32_t)(value >> 32));
	put_be32(at + 4, (uint32_t)value);
}

#endif
