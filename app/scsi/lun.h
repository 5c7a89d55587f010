/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lun.h - whom the eight bytes at the start of a request mean. virtio 1.2, 5.6.6.1; SAM-5, 4.7.
 *
 * Knows:   one target, number 0; its logical units 0, 1, 2...; and the one that lists them.
 * Trusts:  no byte.
 * Runs on: everywhere.
 */
#ifndef SCSI_LUN_H
#define SCSI_LUN_H

#include <stdint.h>

#include "virtio_scsi.h"

#define LUN_NUMBER_MAX	0x3fff	/* of flat addressing */

enum lun_kind {
	LUN_BAD_TARGET,		/* no target of ours, or no address at all */
	LUN_UNIT,		/* unit `number` of our target, whether it exists or not */
	LUN_NOWHERE,		/* of our target, but in a place where no unit can be */
	LUN_REPORT_LUNS,	/* the well-known one */
};

struct lun {
	enum lun_kind kind;
	uint16_t number;
};

struct lun lun_decode(const uint8_t bytes[VIRTIO_SCSI_LUN_LEN]);

/*
 * As an event names it: in the way of REPORT LUNS, with peripheral addressing where that can do,
 * because Linux looks for its unit by these very bytes.
 */
void lun_encode(uint16_t number, uint8_t bytes[VIRTIO_SCSI_LUN_LEN]);

#endif
