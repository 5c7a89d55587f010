/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * command.c - which command it is, who is asked, and the short answers.
 *
 * Knows:   opcodes and sense data.
 * Trusts:  as command.h.
 * Runs on: any thread.
 */
#include <errno.h>
#include <string.h>

#include "judge.h"

#define SENSE_FIXED	0x70	/* of the command that it comes with */
#define CONTROL_NACA	0x04

/* ---- how an answer is made ------------------------------------------------------------------ */

void
scsi_refuse(struct scsi_action *action, enum scsi_sense_key key, enum scsi_asc asc)
{
	*action = (struct scsi_action){
		.kind = SCSI_ANSWER,
		.status = SCSI_CHECK_CONDITION,
		.sense = { key, asc },
	};
}

void
scsi_refuse_field(struct scsi_action *action)
{
	scsi_refuse(action, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD_IN_CDB);
}

void
scsi_answer(struct scsi_action *action, uint32_t len, uint32_t allocation)
{
	action->to_driver = allocation;
	action->data_len = len < allocation ? len : allocation;
}

void
scsi_put_sense(const struct scsi_sense *sense, uint8_t bytes[SCSI_SENSE_LEN])
{
	memset(bytes, 0, SCSI_SENSE_LEN);
	bytes[0] = SENSE_FIXED;
	bytes[2] = (uint8_t)sense->key;
	bytes[7] = SCSI_SENSE_LEN - 8;
	put_be16(bytes + 12, (uint16_t)sense->asc);
}

/* ---- the short ones ------------------------------------------------------------------------- */

static void
test_unit_ready(const struct scsi_command *command, struct scsi_action *action)
{
	(void)command;
	action->status = SCSI_GOOD;
}

/* What is wrong is said with the command that meets it; here only what nobody has met. */
static void
request_sense(const struct scsi_command *command, struct scsi_action *action)
{
	struct scsi_sense sense = { SCSI_NO_SENSE, SCSI_NO_ADDITIONAL_SENSE };

	if (command->cdb[1]) {		/* descriptors are wanted, or nobody knows what */
		scsi_refuse_field(action);
		return;
	}
	if (command->unit && command->unit->attention) {
		sense = (struct scsi_sense){ SCSI_UNIT_ATTENTION, command->unit->attention };
		action->takes_attention = true;
	} else if (!command->unit && command->addressee != LUN_REPORT_LUNS) {
		sense = (struct scsi_sense){ SCSI_ILLEGAL_REQUEST, SCSI_LUN_NOT_SUPPORTED };
	}
	scsi_put_sense(&sense, action->data);
	scsi_answer(action, SCSI_SENSE_LEN, command->cdb[4]);
}

/* A disk that stops has first written what it holds. What starts it again is the next command. */
static void
start_stop_unit(const struct scsi_command *command, struct scsi_action *action)
{
	uint8_t how = command->cdb[4];
	bool starts = how & 0x01, loads = how & 0x02, needs_no_flush = how & 0x04;

	if (how & 0xf0 || loads)	/* power conditions; a medium to take out */
		scsi_refuse_field(action);
	else if (!starts && !needs_no_flush)
		action->kind = SCSI_FLUSH;
}

/* There is nothing to take out. */
static void
prevent_allow(const struct scsi_command *command, struct scsi_action *action)
{
	if (command->cdb[4] & 0xfc)
		scsi_refuse_field(action);
}

/* ---- all of them ---------------------------------------------------------------------------- */

enum {
	FOR_UNIT = 0,
	FOR_LIST = 1 << 0,	/* the well-known unit answers it too */
	FOR_NOBODY = 1 << 1,	/* and so does a unit that is not there */
	IN_PEACE = 1 << 2,	/* a unit attention does not hinder it */
};

struct opcode {
	uint8_t len;		/* of the CDB */
	uint8_t flags;
	scsi_judge_fn *judge;	/* NULL: we do not know it */
};

static const struct opcode opcodes[256] = {
	[SCSI_TEST_UNIT_READY] = { 6, FOR_LIST, test_unit_ready },
	[SCSI_REQUEST_SENSE] = { 6, FOR_LIST | FOR_NOBODY | IN_PEACE, request_sense },
	[SCSI_READ_6] = { 6, FOR_UNIT, scsi_read_6 },
	[SCSI_WRITE_6] = { 6, FOR_UNIT, scsi_write_6 },
	[SCSI_INQUIRY] = { 6, FOR_LIST | FOR_NOBODY | IN_PEACE, scsi_inquiry },
	[SCSI_MODE_SENSE_6] = { 6, FOR_UNIT, scsi_mode_sense_6 },
	[SCSI_START_STOP_UNIT] = { 6, FOR_UNIT, start_stop_unit },
	[SCSI_PREVENT_ALLOW] = { 6, FOR_UNIT, prevent_allow },
	[SCSI_READ_CAPACITY_10] = { 10, FOR_UNIT, scsi_read_capacity_10 },
	[SCSI_READ_10] = { 10, FOR_UNIT, scsi_read_write },
	[SCSI_WRITE_10] = { 10, FOR_UNIT, scsi_read_write },
	[SCSI_VERIFY_10] = { 10, FOR_UNIT, scsi_verify },
	[SCSI_SYNCHRONIZE_CACHE_10] = { 10, FOR_UNIT, scsi_synchronize_cache },
	[SCSI_WRITE_SAME_10] = { 10, FOR_UNIT, scsi_write_same },
	[SCSI_UNMAP] = { 10, FOR_UNIT, scsi_unmap },
	[SCSI_MODE_SENSE_10] = { 10, FOR_UNIT, scsi_mode_sense_10 },
	[SCSI_READ_16] = { 16, FOR_UNIT, scsi_read_write },
	[SCSI_WRITE_16] = { 16, FOR_UNIT, scsi_read_write },
	[SCSI_VERIFY_16] = { 16, FOR_UNIT, scsi_verify },
	[SCSI_SYNCHRONIZE_CACHE_16] = { 16, FOR_UNIT, scsi_synchronize_cache },
	[SCSI_WRITE_SAME_16] = { 16, FOR_UNIT, scsi_write_same },
	[SCSI_SERVICE_ACTION_IN_16] = { 16, FOR_UNIT, scsi_service_action_in },
	[SCSI_REPORT_LUNS] = { 12, FOR_LIST | IN_PEACE, scsi_report_luns },
	[SCSI_READ_12] = { 12, FOR_UNIT, scsi_read_write },
	[SCSI_WRITE_12] = { 12, FOR_UNIT, scsi_read_write },
};

/* Whether that one answers such a command at all; if not, it is refused. */
static bool
is_addressed(const struct scsi_command *command, const struct opcode *opcode,
	     struct scsi_action *action)
{
	enum scsi_asc asc = SCSI_INVALID_OPCODE;
	bool is_known = opcode->judge;

	if (!command->unit && command->addressee == LUN_REPORT_LUNS) {
		is_known &= opcode->flags & FOR_LIST;
	} else if (!command->unit) {
		is_known &= (opcode->flags & FOR_NOBODY) != 0;
		asc = SCSI_LUN_NOT_SUPPORTED;
	}
	if (!is_known)
		scsi_refuse(action, SCSI_ILLEGAL_REQUEST, asc);
	return is_known;
}

void
scsi_judge(const struct scsi_command *command, struct scsi_action *action)
{
	const struct opcode *opcode = &opcodes[command->cdb[0]];

	*action = (struct scsi_action){ .kind = SCSI_ANSWER };
	if (!is_addressed(command, opcode, action))
		return;
	if (command->unit && command->unit->attention && !(opcode->flags & IN_PEACE)) {
		scsi_refuse(action, SCSI_UNIT_ATTENTION, command->unit->attention);
		action->takes_attention = true;
		return;
	}
	if (command->cdb[opcode->len - 1] & CONTROL_NACA) {
		scsi_refuse_field(action);
		return;
	}
	opcode->judge(command, action);
}

/* ---- afterwards ----------------------------------------------------------------------------- */

void
scsi_has_failed(struct scsi_action *action, int error)
{
	bool was_read = action->kind == SCSI_READ;

	if (error == -ENOMEM || error == -EAGAIN)
		*action = (struct scsi_action){ .kind = SCSI_ANSWER, .status = SCSI_BUSY };
	else if (error == -ENOSPC || error == -EDQUOT)
		scsi_refuse(action, SCSI_DATA_PROTECT, SCSI_SPACE_ALLOCATION_FAILED);
	else
		scsi_refuse(action, SCSI_MEDIUM_ERROR,
			    was_read ? SCSI_UNRECOVERED_READ_ERROR : SCSI_WRITE_ERROR);
}
