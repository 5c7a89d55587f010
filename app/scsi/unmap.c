/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * unmap.c - commands that empty blocks: UNMAP and WRITE SAME.
 *
 * Knows:   SBC-3, 5.28 and 5.44.
 * Trusts:  as command.h: no length in a list, and no range.
 * Runs on: any thread.
 */
#include <string.h>

#include "judge.h"

#define LIST_HEADER	8
#define LIST_ENTRY	16
#define LIST_MAX	(LIST_HEADER + SCSI_RANGES_MAX * LIST_ENTRY)

_Static_assert(LIST_MAX <= SCSI_LOOK_MAX, "all of a list that is acceptable is looked at");
_Static_assert(SCSI_BLOCK_SIZE <= SCSI_LOOK_MAX, "and a block");

static bool
has_no_data(const uint8_t *cdb)
{
	return cdb[0] == SCSI_WRITE_SAME_16 && cdb[1] & 0x01;	/* NDOB */
}

uint32_t
scsi_look_len(const uint8_t *cdb)
{
	uint16_t list_len = get_be16(cdb + 7);

	if (cdb[0] == SCSI_UNMAP)
		return list_len < LIST_MAX ? list_len : LIST_MAX;
	if (cdb[0] == SCSI_WRITE_SAME_10 || cdb[0] == SCSI_WRITE_SAME_16)
		return has_no_data(cdb) ? 0 : SCSI_BLOCK_SIZE;
	return 0;
}

/* ---- UNMAP ---------------------------------------------------------------------------------- */

/* The entries that are all there; -1: the lengths contradict each other; -2: too many. */
static int
nr_entries(const uint8_t *list, uint32_t list_len)
{
	uint32_t entries_len;

	if (list_len < LIST_HEADER)
		return -1;
	entries_len = get_be16(list + 2);
	if (get_be16(list) + 2u > list_len || entries_len + LIST_HEADER > list_len)
		return -1;
	return entries_len / LIST_ENTRY > SCSI_RANGES_MAX ? -2 : (int)(entries_len / LIST_ENTRY);
}

/* All entries are judged before any of them is done. False: refused. */
static bool
take_entries(const struct scsi_command *command, unsigned int nr, struct scsi_action *action)
{
	uint64_t nr_blocks = 0;

	for (unsigned int i = 0; i < nr; i++) {
		const uint8_t *entry = command->sent + LIST_HEADER + i * LIST_ENTRY;
		struct scsi_range range = { get_be64(entry), get_be32(entry + 8) };

		if (!scsi_check_range(command, range, action))
			return false;
		nr_blocks += range.nr_blocks;
		if (range.nr_blocks)
			action->ranges[action->nr_ranges++] = range;
	}
	if (nr_blocks <= SCSI_ZEROES_MAX)
		return true;
	scsi_refuse(action, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD_IN_LIST);
	return false;
}

static void
judge_list(const struct scsi_command *command, uint32_t list_len, struct scsi_action *action)
{
	int nr = nr_entries(command->sent, list_len);

	if (nr < 0) {
		scsi_refuse(action, SCSI_ILLEGAL_REQUEST, nr == -1 ?
			    SCSI_PARAMETER_LIST_LENGTH_ERROR : SCSI_INVALID_FIELD_IN_LIST);
		return;
	}
	if (!take_entries(command, (unsigned int)nr, action) || !action->nr_ranges)
		return;
	action->kind = command->unit->unmaps_to_zeros ? SCSI_ZERO : SCSI_DISCARD;
	action->may_unmap = true;
}

void
scsi_unmap(const struct scsi_command *command, struct scsi_action *action)
{
	const uint8_t anchors = 0x01;
	uint32_t list_len = get_be16(command->cdb + 7);

	if (command->cdb[1] & anchors) {
		scsi_refuse_field(action);
		return;
	}
	if (!scsi_check_writable(command, action) || list_len == 0)
		return;
	action->from_driver = list_len;
	if (command->sent_len >= scsi_look_len(command->cdb))
		judge_list(command, list_len, action);
}

/* ---- WRITE SAME ----------------------------------------------------------------------------- */

static bool
is_zeros(const uint8_t *bytes, uint32_t len)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/* Protection information, anchors, blocks that carry their own address. */
static bool
asks_for_more(const uint8_t *cdb)
{
	bool is_10 = cdb[0] == SCSI_WRITE_SAME_10;

	return cdb[1] & (is_10 ? 0xf7 : 0xf6);
}

/* Other patterns than zeros nobody sends, and they would be a lot of work for one command. */
void
scsi_write_same(const struct scsi_command *command, struct scsi_action *action)
{
	const uint8_t unmaps = 0x08;
	struct scsi_range range = scsi_range_of(command->cdb);
	uint32_t look_len = scsi_look_len(command->cdb);

	if (!scsi_check_writable(command, action))
		return;
	if (asks_for_more(command->cdb) || !range.nr_blocks || range.nr_blocks > SCSI_ZEROES_MAX) {
		scsi_refuse_field(action);
		return;
	}
	if (!scsi_check_range(command, range, action))
		return;
	if (look_len && command->sent_len >= look_len && !is_zeros(command->sent, look_len)) {
		scsi_refuse(action, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD_IN_LIST);
		return;
	}
	action->kind = SCSI_ZERO;
	action->from_driver = look_len;
	action->may_unmap = command->cdb[1] & unmaps;
	action->ranges[action->nr_ranges++] = range;
}
