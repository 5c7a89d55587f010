/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * command.h - a command and the facts of a disk in, what is to be done about it out.
 *
 * Nothing here does any I/O, waits, or remembers: the same question has the same answer.
 *
 * Knows:   SPC-4 and SBC-3, as much of them as disks are asked for.
 * Trusts:  no byte of a command or of what comes with it.
 * Runs on: any thread.
 */
#ifndef SCSI_COMMAND_H
#define SCSI_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "lun.h"
#include "scsi.h"

#define SCSI_BLOCK_SIZE		512u
#define SCSI_SERIAL_MAX		32	/* bytes that are shown */
#define SCSI_SENSE_LEN		18
#define SCSI_DATA_MAX		256
#define SCSI_RANGES_MAX		16	/* that one UNMAP may name */
#define SCSI_LOOK_MAX		512	/* bytes from the driver that are looked at */
#define SCSI_UNITS_MAX		16
/* A gigabyte: a file system that knows no holes has to write it, while the guest waits. */
#define SCSI_ZEROES_MAX		(UINT32_C(1) << 21)

/* A disk, as it is now. */
struct scsi_unit {
	uint64_t nr_blocks;		/* at least one */
	uint32_t physical_block_size;	/* a power of two, at least SCSI_BLOCK_SIZE */
	bool is_read_only;
	bool unmaps_to_zeros;		/* what was unmapped is read as zeros, for sure */
	const char *serial;
	uint16_t attention;		/* an enum scsi_asc that nobody was told yet; 0: none */
};

struct scsi_command {
	const uint8_t *cdb;		/* VIRTIO_SCSI_CDB_SIZE bytes */
	enum lun_kind addressee;	/* not LUN_BAD_TARGET */
	const struct scsi_unit *unit;	/* NULL: no such unit, or the well-known one */
	unsigned int nr_units;		/* of the target: 0, 1, 2... */
	/* What the driver sends: the first bytes of it, scsi_look_len() if there are so many. */
	const uint8_t *sent;
	uint32_t sent_len;
};

enum scsi_kind {
	SCSI_ANSWER,		/* nothing to do: it is all in here */
	SCSI_READ,		/* ranges[0], to the driver */
	SCSI_WRITE,		/* ranges[0], from the driver */
	SCSI_FLUSH,
	SCSI_DISCARD,		/* all ranges; what is read there later is undefined */
	SCSI_ZERO,		/* all ranges; zeros from now on */
};

struct scsi_range {
	uint64_t block;
	uint64_t nr_blocks;
};

struct scsi_sense {
	enum scsi_sense_key key;
	enum scsi_asc asc;
};

struct scsi_action {
	enum scsi_kind kind;
	bool is_durable;	/* writes, zeros: before they are answered */
	bool is_flushed_first;	/* reads: from the medium, not from a cache above it */
	bool may_unmap;		/* zeros: as a hole */
	bool takes_attention;	/* the driver knows of unit->attention now */
	/*
	 * Bytes that the command is about, each way. Where the driver has less room, or sends less,
	 * nothing of the action may be done: it is an overrun.
	 */
	uint64_t from_driver;
	uint64_t to_driver;

	enum scsi_status status;	/* when that has been done */
	struct scsi_sense sense;	/* of SCSI_CHECK_CONDITION */
	unsigned int nr_ranges;
	struct scsi_range ranges[SCSI_RANGES_MAX];	/* inside the unit, none of them empty */
	uint32_t data_len;		/* no more than to_driver */
	uint8_t data[SCSI_DATA_MAX];
};

/* How much of what comes with this command has to be looked at, at most SCSI_LOOK_MAX. */
uint32_t scsi_look_len(const uint8_t *cdb);

void scsi_judge(const struct scsi_command *command, struct scsi_action *action);

/* It was begun, and this -errno came of it: the action becomes what the driver is told. */
void scsi_has_failed(struct scsi_action *action, int error);

/* Sense data of the fixed format. */
void scsi_put_sense(const struct scsi_sense *sense, uint8_t bytes[SCSI_SENSE_LEN]);

#endif
