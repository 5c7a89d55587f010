/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inquiry.c - who we are: INQUIRY and its vital product data, REPORT LUNS.
 *
 * Knows:   SPC-4, 6.4, 6.29 and 7.8; SBC-3, 6.6.
 * Trusts:  as command.h.
 * Runs on: any thread.
 */
#include <string.h>

#include "judge.h"

#define VENDOR		"VHOSTX  "	/* 8 bytes, and 16, and 4 */
#define PRODUCT		"DISK            "
#define REVISION	"0001"

enum {
	TYPE_DISK = 0x00,
	TYPE_WELL_KNOWN = 0x1e,
	TYPE_NOBODY = 0x7f,	/* qualifier 3, type 31: no unit can be here */
};

enum {
	PAGE_LIST = 0x00,
	PAGE_SERIAL = 0x80,
	PAGE_IDENTIFICATION = 0x83,
	PAGE_BLOCK_LIMITS = 0xb0,
	PAGE_CHARACTERISTICS = 0xb1,
	PAGE_PROVISIONING = 0xb2,
};

static uint8_t
type_of(const struct scsi_command *command)
{
	if (command->unit)
		return TYPE_DISK;
	return command->addressee == LUN_REPORT_LUNS ? TYPE_WELL_KNOWN : TYPE_NOBODY;
}

/* ---- standard data -------------------------------------------------------------------------- */

#define STANDARD_LEN 96

static void
put_standard(uint8_t *data)
{
	data[2] = 0x06;			/* SPC-4 */
	data[3] = 0x12;			/* this format of data; LUNs as SAM-5 has them */
	data[4] = STANDARD_LEN - 5;
	data[7] = 0x02;			/* many commands at a time */
	memcpy(data + 8, VENDOR PRODUCT REVISION, 28);
	put_be16(data + 58, 0x00a0);	/* SAM-5 */
	put_be16(data + 60, 0x0460);	/* SPC-4 */
	put_be16(data + 62, 0x04c0);	/* SBC-3 */
}

/* ---- vital product data: each puts what follows the page's header, and says how much --------- */

static uint32_t
put_list(uint8_t *at, const struct scsi_command *command)
{
	static const uint8_t pages[] = {
		PAGE_LIST, PAGE_SERIAL, PAGE_IDENTIFICATION, PAGE_BLOCK_LIMITS,
		PAGE_CHARACTERISTICS, PAGE_PROVISIONING,
	};

	memcpy(at, pages, sizeof(pages));
	return command->unit ? sizeof(pages) : 1;
}

static uint32_t
put_serial(uint8_t *at, const struct scsi_command *command)
{
	uint32_t len = (uint32_t)strnlen(command->unit->serial, SCSI_SERIAL_MAX);

	memcpy(at, command->unit->serial, len);
	return len;
}

/* One name: the vendor's, and the serial number after it. */
static uint32_t
put_identification(uint8_t *at, const struct scsi_command *command)
{
	uint32_t serial_len;

	at[0] = 0x02;			/* it is text */
	at[1] = 0x01;			/* of the unit; begins with a vendor */
	memcpy(at + 4, VENDOR, 8);
	serial_len = put_serial(at + 12, command);
	at[3] = (uint8_t)(8 + serial_len);
	return 12 + serial_len;
}

static uint32_t
put_block_limits(uint8_t *page, const struct scsi_command *command)
{
	const struct scsi_unit *unit = command->unit;
	uint32_t granularity = unit->physical_block_size / SCSI_BLOCK_SIZE;
	uint8_t *from_start = page - 4;	/* the specification counts from there */

	from_start[4] = 0x01;		/* WRITE SAME must say how many blocks */
	put_be16(from_start + 6, (uint16_t)granularity);
	if (!unit->is_read_only) {
		put_be32(from_start + 20, SCSI_ZEROES_MAX);
		put_be32(from_start + 24, SCSI_RANGES_MAX);
		put_be32(from_start + 28, granularity);
		put_be32(from_start + 32, UINT32_C(1) << 31);	/* alignment 0 holds */
		put_be64(from_start + 36, SCSI_ZEROES_MAX);
	}
	return 60;
}

static uint32_t
put_characteristics(uint8_t *page, const struct scsi_command *command)
{
	(void)command;
	put_be16(page, 1);		/* it does not rotate */
	return 60;
}

static uint32_t
put_provisioning(uint8_t *page, const struct scsi_command *command)
{
	const uint8_t by_unmap = 0x80, by_write_same = 0x60, as_zeros = 0x04, is_thin = 0x02;

	if (!command->unit->is_read_only) {
		page[1] = by_unmap | by_write_same;
		page[1] |= command->unit->unmaps_to_zeros ? as_zeros : 0;
		page[2] = is_thin;
	}
	return 4;
}

struct page {
	uint8_t code;
	bool needs_unit;
	uint32_t (*put)(uint8_t *at, const struct scsi_command *command);
};

static const struct page pages[] = {
	{ PAGE_LIST, false, put_list },
	{ PAGE_SERIAL, true, put_serial },
	{ PAGE_IDENTIFICATION, true, put_identification },
	{ PAGE_BLOCK_LIMITS, true, put_block_limits },
	{ PAGE_CHARACTERISTICS, true, put_characteristics },
	{ PAGE_PROVISIONING, true, put_provisioning },
};

static const struct page *
find_page(const struct scsi_command *command)
{
	for (unsigned int i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (pages[i].code == command->cdb[2])
			return !pages[i].needs_unit || command->unit ? &pages[i] : NULL;
	return NULL;
}

void
scsi_inquiry(const struct scsi_command *command, struct scsi_action *action)
{
	const uint8_t *cdb = command->cdb;
	const struct page *page = find_page(command);
	bool wants_page = cdb[1] & 0x01;
	uint32_t len = STANDARD_LEN;

	if (cdb[1] & 0xfe || (wants_page ? !page : cdb[2])) {
		scsi_refuse_field(action);
		return;
	}
	action->data[0] = type_of(command);
	if (wants_page) {
		action->data[1] = page->code;
		len = page->put(action->data + 4, command);
		put_be16(action->data + 2, (uint16_t)len);
		len += 4;
	} else {
		put_standard(action->data);
	}
	scsi_answer(action, len, get_be16(cdb + 3));
}

/* ---- REPORT LUNS ---------------------------------------------------------------------------- */

#define LIST_HEADER	8
#define LIST_MIN	16	/* room for one, which who asks must have */

_Static_assert(LIST_HEADER + (SCSI_UNITS_MAX + 1) * 8 <= SCSI_DATA_MAX, "all of them fit");

void
scsi_report_luns(const struct scsi_command *command, struct scsi_action *action)
{
	enum { UNITS, WELL_KNOWN, BOTH } which = command->cdb[2];
	uint32_t allocation = get_be32(command->cdb + 6);
	uint8_t *at = action->data + LIST_HEADER;

	if (which > BOTH || allocation < LIST_MIN) {
		scsi_refuse_field(action);
		return;
	}
	if (which != UNITS) {
		put_be16(at, 0xc101);
		at += 8;
	}
	for (unsigned int i = 0; i < command->nr_units && which != WELL_KNOWN; i++) {
		put_be16(at, (uint16_t)i);	/* peripheral addressing: fewer than 256 */
		at += 8;
	}
	put_be32(action->data, (uint32_t)(at - action->data) - LIST_HEADER);
	scsi_answer(action, (uint32_t)(at - action->data), allocation);
}
