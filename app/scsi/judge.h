/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * judge.h - what the parts of the command layer share.
 *
 * Knows:   commands and actions.
 * Trusts:  as command.h.
 * Runs on: any thread.
 */
#ifndef SCSI_JUDGE_H
#define SCSI_JUDGE_H

#include "command.h"

/* Each fills in an action that is all zeros: to be answered with GOOD. */
typedef void scsi_judge_fn(const struct scsi_command *command, struct scsi_action *action);

/* command.c */
void scsi_refuse(struct scsi_action *action, enum scsi_sense_key key, enum scsi_asc asc);
void scsi_refuse_field(struct scsi_action *action);	/* of the CDB */
/* action->data has `len` bytes, of which the driver wants `allocation`. */
void scsi_answer(struct scsi_action *action, uint32_t len, uint32_t allocation);

/* inquiry.c */
scsi_judge_fn scsi_inquiry;
scsi_judge_fn scsi_report_luns;
/* mode.c */
scsi_judge_fn scsi_mode_sense_6;
scsi_judge_fn scsi_mode_sense_10;
/* block.c: reading, writing, measuring */
scsi_judge_fn scsi_read_6;
scsi_judge_fn scsi_read_write;		/* all the longer ones */
scsi_judge_fn scsi_write_6;
scsi_judge_fn scsi_verify;
scsi_judge_fn scsi_synchronize_cache;
scsi_judge_fn scsi_read_capacity_10;
scsi_judge_fn scsi_service_action_in;
/* unmap.c */
scsi_judge_fn scsi_unmap;
scsi_judge_fn scsi_write_same;

/* Blocks that a command of 10, 12 or 16 bytes names. */
struct scsi_range scsi_range_of(const uint8_t *cdb);

/* False: it is not inside, and refused. */
bool scsi_check_range(const struct scsi_command *command, struct scsi_range range,
		      struct scsi_action *action);

/* False: the unit is read-only, and that refused. */
bool scsi_check_writable(const struct scsi_command *command, struct scsi_action *action);

#endif
