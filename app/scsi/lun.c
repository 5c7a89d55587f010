/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lun.c - read and write the eight bytes.
 *
 * Knows:   the layouts of lun.h.
 * Trusts:  no byte.
 * Runs on: everywhere.
 */
#include "lun.h"

#include <string.h>

/* The two top bits say how the other fourteen are meant. */
enum {
	METHOD_PERIPHERAL = 0x00,
	METHOD_FLAT = 0x40,
	METHOD_MASK = 0xc0,
};

#define WELL_KNOWN	0xc1
#define REPORT_LUNS	0x01	/* among the well-known ones */

static struct lun
decode_unit(const uint8_t bytes[2])
{
	uint16_t number = (uint16_t)((bytes[0] & ~METHOD_MASK) << 8 | bytes[1]);

	if (bytes[0] == WELL_KNOWN && bytes[1] == REPORT_LUNS)
		return (struct lun){ LUN_REPORT_LUNS, 0 };
	if ((bytes[0] & METHOD_MASK) == METHOD_FLAT)
		return (struct lun){ LUN_UNIT, number };
	if (bytes[0] == METHOD_PERIPHERAL)	/* of bus 0: there is no other */
		return (struct lun){ LUN_UNIT, bytes[1] };
	return (struct lun){ LUN_NOWHERE, 0 };
}

struct lun
lun_decode(const uint8_t bytes[VIRTIO_SCSI_LUN_LEN])
{
	static const uint8_t report_luns[VIRTIO_SCSI_LUN_LEN] = { WELL_KNOWN, REPORT_LUNS };
	static const uint8_t none[4];

	if (memcmp(bytes, report_luns, sizeof(report_luns)) == 0)
		return (struct lun){ LUN_REPORT_LUNS, 0 };
	if (bytes[0] != 1 || bytes[1] != 0)
		return (struct lun){ LUN_BAD_TARGET, 0 };
	if (memcmp(bytes + 4, none, sizeof(none)) != 0)	/* a unit below a unit */
		return (struct lun){ LUN_NOWHERE, 0 };
	return decode_unit(bytes + 2);
}

void
lun_encode(uint16_t number, uint8_t bytes[VIRTIO_SCSI_LUN_LEN])
{
	memset(bytes, 0, VIRTIO_SCSI_LUN_LEN);
	bytes[0] = 1;
	if (number > 0xff)
		bytes[2] = (uint8_t)(METHOD_FLAT | number >> 8);
	bytes[3] = (uint8_t)number;
}
