/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mode.c - how we are set: MODE SENSE. Nothing of it can be changed.
 *
 * Knows:   SPC-4, 7.5; SBC-3, 6.5.
 * Trusts:  as command.h.
 * Runs on: any thread.
 */
#include <string.h>

#include "judge.h"

enum {
	PAGE_CACHING = 0x08,
	PAGE_CONTROL = 0x0a,
	PAGE_ALL = 0x3f,
	SUBPAGE_ALL = 0xff,
};

enum {
	VALUES_CURRENT,
	VALUES_CHANGEABLE,
	VALUES_DEFAULT,
	VALUES_SAVED,
};

#define DESCRIPTOR_LEN 8

struct page {
	uint8_t code;
	uint8_t len;		/* of what follows the two bytes of its header */
	void (*put)(uint8_t *page, const struct scsi_unit *unit);
};

/* What is written is in memory until it is made durable. */
static void
put_caching(uint8_t *page, const struct scsi_unit *unit)
{
	page[2] = unit->is_read_only ? 0 : 0x04;
}

static void
put_control(uint8_t *page, const struct scsi_unit *unit)
{
	(void)unit;
	page[2] = 0x02;			/* no log is kept; sense data are of the fixed format */
	page[3] = 0x10;			/* commands are done in any order */
	put_be16(page + 8, 0xffff);	/* as long as it takes */
}

static const struct page pages[] = {
	{ PAGE_CACHING, 18, put_caching },
	{ PAGE_CONTROL, 10, put_control },
};

/* The pages that are wanted; returns where they end: where they begin if there is no such page. */
static uint8_t *
put_pages(uint8_t *at, const struct scsi_command *command)
{
	uint8_t wanted = command->cdb[2] & 0x3f, values = command->cdb[2] >> 6;

	for (unsigned int i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (wanted != pages[i].code && wanted != PAGE_ALL)
			continue;
		at[0] = pages[i].code;
		at[1] = pages[i].len;
		if (values != VALUES_CHANGEABLE)
			pages[i].put(at, command->unit);
		at += 2 + pages[i].len;
	}
	return at;
}

static uint8_t *
put_descriptor(uint8_t *at, const struct scsi_command *command)
{
	uint64_t nr_blocks = command->unit->nr_blocks;
	bool is_unwanted = command->cdb[1] & 0x08;

	if (is_unwanted)
		return at;
	put_be32(at, nr_blocks < UINT32_MAX ? (uint32_t)nr_blocks : UINT32_MAX);
	put_be32(at + 4, SCSI_BLOCK_SIZE);
	return at + DESCRIPTOR_LEN;
}

/* The device's part of the header: writes are refused; DPO and FUA are known. */
static uint8_t
device_byte(const struct scsi_unit *unit)
{
	return 0x10 | (unit->is_read_only ? 0x80 : 0);
}

/* All but the header. 0: refused. */
static uint32_t
put_all(const struct scsi_command *command, struct scsi_action *action, uint32_t header_len,
	uint32_t *descriptor_len)
{
	uint8_t subpage = command->cdb[3], page = command->cdb[2] & 0x3f;
	uint8_t *begin = action->data + header_len, *middle, *end;

	if (command->cdb[2] >> 6 == VALUES_SAVED) {
		scsi_refuse(action, SCSI_ILLEGAL_REQUEST, SCSI_SAVING_NOT_SUPPORTED);
		return 0;
	}
	middle = put_descriptor(begin, command);
	end = put_pages(middle, command);
	if (end == middle || (subpage && !(subpage == SUBPAGE_ALL && page == PAGE_ALL))) {
		scsi_refuse_field(action);
		return 0;
	}
	*descriptor_len = (uint32_t)(middle - begin);
	return (uint32_t)(end - action->data);
}

void
scsi_mode_sense_6(const struct scsi_command *command, struct scsi_action *action)
{
	uint32_t descriptor_len, len = put_all(command, action, 4, &descriptor_len);

	if (!len)
		return;
	action->data[0] = (uint8_t)(len - 1);
	action->data[2] = device_byte(command->unit);
	action->data[3] = (uint8_t)descriptor_len;
	scsi_answer(action, len, command->cdb[4]);
}

void
scsi_mode_sense_10(const struct scsi_command *command, struct scsi_action *action)
{
	uint32_t descriptor_len, len = put_all(command, action, 8, &descriptor_len);

	if (!len)
		return;
	put_be16(action->data, (uint16_t)(len - 2));
	action->data[3] = device_byte(command->unit);
	put_be16(action->data + 6, (uint16_t)descriptor_len);
	scsi_answer(action, len, get_be16(command->cdb + 7));
}
