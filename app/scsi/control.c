/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control.c - task management, and notifications that we have none of.
 *
 * Whatever aborts commands here waits for them: the memory of a command that a driver believes to
 * be gone is soon used for something else, and must not be written then. So a command that is to be
 * aborted may complete first, with its result; when the driver hears that the function is complete,
 * it has everything back.
 *
 * Knows:   virtio 1.2 5.6.6.2.
 * Trusts:  nothing: requests are copied.
 * Runs on: the worker of the control queue, which may wait; the others go on.
 */
#include <endian.h>
#include <string.h>
#include <time.h>

#include "device.h"

#define WAIT_MS_MAX	10000	/* for a disk that hangs; then the function has failed */
#define QUERY_MS_MAX	20

/* ---- waiting -------------------------------------------------------------------------------- */

static bool
are_done(const struct scsi_device *device, const uint32_t *questions)
{
	for (uint16_t i = 0; i < device->workers.nr; i++)
		if (!disk_worker_was_done(device->workers.all[i], questions[i]))
			return false;
	return true;
}

/* Until the driver has all commands back that it had sent by now; false: that takes too long. */
static bool
wait_for_commands(struct scsi_device *device, unsigned int ms_max)
{
	const struct timespec a_moment = { .tv_nsec = 1000000 };
	uint32_t questions[DISK_WORKERS_MAX];

	for (uint16_t i = 0; i < device->workers.nr; i++)
		questions[i] = disk_worker_ask_if_done(device->workers.all[i]);
	for (unsigned int ms = 0; ms < ms_max; ms++) {
		if (are_done(device, questions))
			return true;
		if (atomic_load(&device->is_ending))
			return false;
		nanosleep(&a_moment, NULL);
	}
	return are_done(device, questions);
}

/* ---- task management ------------------------------------------------------------------------ */

static uint8_t
do_function(struct scsi_device *device, uint32_t function)
{
	switch (function) {
	case VIRTIO_SCSI_T_TMF_ABORT_TASK:
	case VIRTIO_SCSI_T_TMF_ABORT_TASK_SET:
	case VIRTIO_SCSI_T_TMF_CLEAR_TASK_SET:
	case VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET:
	case VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET:
		return wait_for_commands(device, WAIT_MS_MAX) ? VIRTIO_SCSI_S_FUNCTION_COMPLETE :
								VIRTIO_SCSI_S_FAILURE;
	case VIRTIO_SCSI_T_TMF_QUERY_TASK:
	case VIRTIO_SCSI_T_TMF_QUERY_TASK_SET:
		/* Where something runs it may be that task or not: nobody keeps a list. */
		return wait_for_commands(device, QUERY_MS_MAX) ? VIRTIO_SCSI_S_FUNCTION_COMPLETE :
								 VIRTIO_SCSI_S_FUNCTION_REJECTED;
	default:	/* CLEAR ACA, of which we have none, and what is not known */
		return VIRTIO_SCSI_S_FUNCTION_REJECTED;
	}
}

static uint8_t
manage(struct scsi_device *device, const struct virtio_scsi_tmf *tmf)
{
	struct lun lun = lun_decode(tmf->lun);
	uint32_t function = le32toh(tmf->subtype);

	if (lun.kind == LUN_BAD_TARGET)
		return VIRTIO_SCSI_S_BAD_TARGET;
	if ((lun.kind != LUN_UNIT || lun.number >= device->nr_disks) &&
	    function != VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET)
		return VIRTIO_SCSI_S_INCORRECT_LUN;
	return do_function(device, function);
}

/* ---- what each kind of request is answered -------------------------------------------------- */

static uint32_t
answer_tmf(struct scsi_device *device, struct vhc_chain *chain)
{
	struct virtio_scsi_tmf tmf;
	uint8_t response = VIRTIO_SCSI_S_FAILURE;

	if (vhc_chain_read(chain, 0, &tmf, sizeof(tmf)) == sizeof(tmf))
		response = manage(device, &tmf);
	return vhc_chain_write(chain, 0, &response, sizeof(response));
}

/* There are no events of this kind (of media that come and go), whichever were asked for. */
static uint32_t
answer_notification(struct scsi_device *device, struct vhc_chain *chain)
{
	struct virtio_scsi_notification_response response = { .response = VIRTIO_SCSI_S_FAILURE };
	struct virtio_scsi_notification asked;
	struct lun lun;

	if (vhc_chain_read(chain, 0, &asked, sizeof(asked)) == sizeof(asked)) {
		lun = lun_decode(asked.lun);
		response.response = VIRTIO_SCSI_S_OK;
		if (lun.kind == LUN_BAD_TARGET)
			response.response = VIRTIO_SCSI_S_BAD_TARGET;
		else if (lun.kind != LUN_UNIT || lun.number >= device->nr_disks)
			response.response = VIRTIO_SCSI_S_INCORRECT_LUN;
	}
	if (chain->writable_len < sizeof(response))
		return 0;
	return vhc_chain_write(chain, 0, &response, sizeof(response));
}

/* What is of no kind that we know goes back with nothing in it: nobody could say how to answer. */
void
scsi_serve_control(struct request *request)
{
	struct scsi_device *device = disk_worker_device(request->worker);
	uint32_t type, written = 0;

	if (vhc_chain_read(request->chain, 0, &type, sizeof(type)) == sizeof(type)) {
		type = le32toh(type);
		if (type == VIRTIO_SCSI_T_TMF)
			written = answer_tmf(device, request->chain);
		else if (type == VIRTIO_SCSI_T_AN_QUERY || type == VIRTIO_SCSI_T_AN_SUBSCRIBE)
			written = answer_notification(device, request->chain);
	}
	disk_request_finish(request, written);
}
