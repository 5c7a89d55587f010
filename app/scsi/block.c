/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * block.c - commands that move blocks, and those that ask how many there are.
 *
 * Knows:   SBC-3: READ, WRITE, VERIFY, SYNCHRONIZE CACHE, READ CAPACITY.
 * Trusts:  as command.h.
 * Runs on: any thread.
 */
#include "judge.h"

#define PROTECT_MASK	0xe0	/* protection information is wanted; there is none */
#define FUA		0x08

/* ---- which blocks --------------------------------------------------------------------------- */

struct scsi_range
scsi_range_of(const uint8_t *cdb)
{
	switch (cdb[0] >> 5) {		/* the group: how long the CDB is */
	case 1:
	case 2:
		return (struct scsi_range){ get_be32(cdb + 2), get_be16(cdb + 7) };
	case 4:
		return (struct scsi_range){ get_be64(cdb + 2), get_be32(cdb + 10) };
	default:
		return (struct scsi_range){ get_be32(cdb + 2), get_be32(cdb + 6) };
	}
}

static struct scsi_range
range_of_6(const uint8_t *cdb)
{
	return (struct scsi_range){ get_be32(cdb) & 0x1fffff, cdb[4] ? cdb[4] : 256 };
}

bool
scsi_check_range(const struct scsi_command *command, struct scsi_range range,
		 struct scsi_action *action)
{
	uint64_t end = command->unit->nr_blocks;

	if (range.block <= end && range.nr_blocks <= end - range.block)
		return true;
	scsi_refuse(action, SCSI_ILLEGAL_REQUEST, SCSI_LBA_OUT_OF_RANGE);
	return false;
}

bool
scsi_check_writable(const struct scsi_command *command, struct scsi_action *action)
{
	if (command->unit->is_read_only)
		scsi_refuse(action, SCSI_DATA_PROTECT, SCSI_WRITE_PROTECTED);
	return !command->unit->is_read_only;
}

/* ---- reading and writing -------------------------------------------------------------------- */

static void
transfer(struct scsi_action *action, enum scsi_kind kind, struct scsi_range range)
{
	uint64_t len = range.nr_blocks * SCSI_BLOCK_SIZE;

	if (range.nr_blocks == 0)
		return;
	action->kind = kind;
	action->ranges[action->nr_ranges++] = range;
	if (kind == SCSI_READ)
		action->to_driver = len;
	else
		action->from_driver = len;
}

void
scsi_read_6(const struct scsi_command *command, struct scsi_action *action)
{
	struct scsi_range range = range_of_6(command->cdb);

	if (scsi_check_range(command, range, action))
		transfer(action, SCSI_READ, range);
}

void
scsi_write_6(const struct scsi_command *command, struct scsi_action *action)
{
	struct scsi_range range = range_of_6(command->cdb);

	if (scsi_check_writable(command, action) && scsi_check_range(command, range, action))
		transfer(action, SCSI_WRITE, range);
}

/* Opcodes of the same kind have the same five bits in every group. DPO is advice: we forget it. */
void
scsi_read_write(const struct scsi_command *command, struct scsi_action *action)
{
	const uint8_t *cdb = command->cdb;
	bool is_read = (cdb[0] & 0x1f) == SCSI_READ_6;
	struct scsi_range range = scsi_range_of(cdb);

	if (cdb[1] & PROTECT_MASK) {
		scsi_refuse_field(action);
		return;
	}
	if (!is_read && !scsi_check_writable(command, action))
		return;
	if (!scsi_check_range(command, range, action))
		return;
	transfer(action, is_read ? SCSI_READ : SCSI_WRITE, range);
	action->is_durable = !is_read && cdb[1] & FUA;
	action->is_flushed_first = is_read && cdb[1] & FUA;
}

/*
 * To verify what is on the medium is the business of whatever is below the file. To compare it with
 * bytes that come along is not offered.
 */
void
scsi_verify(const struct scsi_command *command, struct scsi_action *action)
{
	const uint8_t compares = 0x06;

	if (command->cdb[1] & (PROTECT_MASK | compares))
		scsi_refuse_field(action);
	else
		scsi_check_range(command, scsi_range_of(command->cdb), action);
}

/* Of some blocks, or all up to the end (0); we make all durable. IMMED is a wish, too. */
void
scsi_synchronize_cache(const struct scsi_command *command, struct scsi_action *action)
{
	if (scsi_check_range(command, scsi_range_of(command->cdb), action))
		action->kind = SCSI_FLUSH;
}

/* ---- how many ------------------------------------------------------------------------------- */

void
scsi_read_capacity_10(const struct scsi_command *command, struct scsi_action *action)
{
	uint64_t last = command->unit->nr_blocks - 1;

	put_be32(action->data, last < UINT32_MAX ? (uint32_t)last : UINT32_MAX);
	put_be32(action->data + 4, SCSI_BLOCK_SIZE);
	scsi_answer(action, 8, 8);
}

static uint8_t
physical_exponent(const struct scsi_unit *unit)
{
	uint8_t exponent = 0;

	while (exponent < 15 && SCSI_BLOCK_SIZE << exponent < unit->physical_block_size)
		exponent++;
	return exponent;
}

void
scsi_service_action_in(const struct scsi_command *command, struct scsi_action *action)
{
	const struct scsi_unit *unit = command->unit;
	const uint8_t can_unmap = 0x80, as_zeros = 0x40;

	if ((command->cdb[1] & 0x1f) != SCSI_READ_CAPACITY_16) {
		scsi_refuse_field(action);
		return;
	}
	put_be64(action->data, unit->nr_blocks - 1);
	put_be32(action->data + 8, SCSI_BLOCK_SIZE);
	action->data[13] = physical_exponent(unit);
	if (!unit->is_read_only)
		action->data[14] = can_unmap | (unit->unmaps_to_zeros ? as_zeros : 0);
	scsi_answer(action, 32, get_be32(command->cdb + 10));
}
