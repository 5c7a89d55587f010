/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_scsi.h - the bytes on the rings of a SCSI host: virtio 1.2, 5.6.
 *
 * Knows:   layouts and numbers. All of them are little-endian, but for the LUN and the CDB.
 * Trusts:  nothing to trust.
 * Runs on: everywhere.
 */
#ifndef SCSI_VIRTIO_SCSI_H
#define SCSI_VIRTIO_SCSI_H

#include <stdint.h>

/* Feature bits (5.6.3). */
#define VIRTIO_SCSI_F_HOTPLUG	(UINT64_C(1) << 1)
#define VIRTIO_SCSI_F_CHANGE	(UINT64_C(1) << 2)

/* Rings (5.6.2). */
enum {
	VIRTIO_SCSI_RING_CONTROL,
	VIRTIO_SCSI_RING_EVENT,
	VIRTIO_SCSI_RING_REQUEST,	/* and all after it */
};

#define VIRTIO_SCSI_LUN_LEN	8
#define VIRTIO_SCSI_CDB_SIZE	32	/* both stay as they are after a reset */
#define VIRTIO_SCSI_SENSE_SIZE	96

/* 5.6.4 */
struct virtio_scsi_config {
	uint32_t num_queues;
	uint32_t seg_max;
	uint32_t max_sectors;
	uint32_t cmd_per_lun;
	uint32_t event_info_size;
	uint32_t sense_size;
	uint32_t cdb_size;
	uint16_t max_channel;
	uint16_t max_target;
	uint32_t max_lun;
} __attribute__((packed));

/* A command (5.6.6.1): this, data to the disk; then the response, data from the disk. */
struct virtio_scsi_request {
	uint8_t lun[VIRTIO_SCSI_LUN_LEN];
	uint64_t id;
	uint8_t task_attr;
	uint8_t prio;
	uint8_t crn;
	uint8_t cdb[VIRTIO_SCSI_CDB_SIZE];
} __attribute__((packed));

struct virtio_scsi_response {
	uint32_t sense_len;
	uint32_t residual;
	uint16_t status_qualifier;
	uint8_t status;
	uint8_t response;
	uint8_t sense[VIRTIO_SCSI_SENSE_SIZE];
} __attribute__((packed));

_Static_assert(sizeof(struct virtio_scsi_config) == 36, "as the specification has it");
_Static_assert(sizeof(struct virtio_scsi_request) == 19 + VIRTIO_SCSI_CDB_SIZE, "likewise");
_Static_assert(sizeof(struct virtio_scsi_response) == 12 + VIRTIO_SCSI_SENSE_SIZE, "likewise");

/* What became of a request. */
enum {
	VIRTIO_SCSI_S_OK = 0,
	VIRTIO_SCSI_S_OVERRUN = 1,
	VIRTIO_SCSI_S_BAD_TARGET = 3,
	VIRTIO_SCSI_S_FAILURE = 9,
	/* Of task management. */
	VIRTIO_SCSI_S_FUNCTION_COMPLETE = 0,
	VIRTIO_SCSI_S_FUNCTION_SUCCEEDED = 10,
	VIRTIO_SCSI_S_FUNCTION_REJECTED = 11,
	VIRTIO_SCSI_S_INCORRECT_LUN = 12,
};

/* On the control ring (5.6.6.2). */
enum {
	VIRTIO_SCSI_T_TMF,
	VIRTIO_SCSI_T_AN_QUERY,
	VIRTIO_SCSI_T_AN_SUBSCRIBE,
};

enum {
	VIRTIO_SCSI_T_TMF_ABORT_TASK,
	VIRTIO_SCSI_T_TMF_ABORT_TASK_SET,
	VIRTIO_SCSI_T_TMF_CLEAR_ACA,
	VIRTIO_SCSI_T_TMF_CLEAR_TASK_SET,
	VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET,
	VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET,
	VIRTIO_SCSI_T_TMF_QUERY_TASK,
	VIRTIO_SCSI_T_TMF_QUERY_TASK_SET,
};

/* Its answer is one byte: what became of it. */
struct virtio_scsi_tmf {
	uint32_t type;
	uint32_t subtype;
	uint8_t lun[VIRTIO_SCSI_LUN_LEN];
	uint64_t id;
} __attribute__((packed));

struct virtio_scsi_notification {
	uint32_t type;
	uint8_t lun[VIRTIO_SCSI_LUN_LEN];
	uint32_t event_requested;
} __attribute__((packed));

struct virtio_scsi_notification_response {
	uint32_t event_actual;
	uint8_t response;
} __attribute__((packed));

_Static_assert(sizeof(struct virtio_scsi_tmf) == 24, "likewise");
_Static_assert(sizeof(struct virtio_scsi_notification) == 16, "likewise");
_Static_assert(sizeof(struct virtio_scsi_notification_response) == 5, "likewise");

/* On the event ring (5.6.6.3). */
#define VIRTIO_SCSI_T_PARAM_CHANGE	3u

struct virtio_scsi_event {
	uint32_t event;
	uint8_t lun[VIRTIO_SCSI_LUN_LEN];
	uint32_t reason;	/* of a changed parameter: ASC, and ASCQ << 8 */
} __attribute__((packed));

_Static_assert(sizeof(struct virtio_scsi_event) == 16, "likewise");

#endif
