/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * request.c - a command from its ring: judge it, do it, answer.
 *
 * Knows:   virtio 1.2 5.6.6.1: where command, data and response lie in a chain.
 * Trusts:  nothing: the command, and as much of the data as is looked at, are copied first.
 * Runs on: the worker's thread.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "device.h"

#define REQUEST_LEN	((uint32_t)sizeof(struct virtio_scsi_request))
#define RESPONSE_LEN	((uint32_t)sizeof(struct virtio_scsi_response))

struct scsi_request {
	struct request request;		/* first: the worker's */
	struct scsi_action action;
	uint32_t room;			/* for data, or as much is sent */
	unsigned int nr_ranges_begun;
	bool needs_flush;
};

const size_t scsi_request_size = sizeof(struct scsi_request);

static struct scsi_request *
scsi_request_of(struct request *request)
{
	return (struct scsi_request *)request;
}

/* ---- the response --------------------------------------------------------------------------- */

/* Bytes that went through, either way. */
static uint32_t
transferred(const struct scsi_action *action)
{
	if (action->status != SCSI_GOOD)
		return 0;
	if (action->kind == SCSI_READ)
		return (uint32_t)action->to_driver;
	return action->data_len ? action->data_len : (uint32_t)action->from_driver;
}

/* Of a command that was carried out, or refused by whom it was for. */
static void
respond(struct scsi_request *scsi)
{
	struct scsi_action *action = &scsi->action;
	struct vhc_chain *chain = scsi->request.chain;
	struct virtio_scsi_response response = {
		.residual = htole32(scsi->room - transferred(action)),
		.status = (uint8_t)action->status,
		.response = VIRTIO_SCSI_S_OK,
	};
	uint32_t data_len = action->to_driver ? transferred(action) : 0;

	if (action->status == SCSI_CHECK_CONDITION) {
		response.sense_len = htole32(SCSI_SENSE_LEN);
		scsi_put_sense(&action->sense, response.sense);
	}
	vhc_chain_write(chain, 0, &response, RESPONSE_LEN);
	disk_request_finish(&scsi->request, RESPONSE_LEN + data_len);
}

/* Of one that nobody has seen. */
static void
respond_unseen(struct scsi_request *scsi, uint8_t what)
{
	const struct virtio_scsi_response response = {
		.residual = htole32(scsi->room), .response = what,
	};

	vhc_chain_write(scsi->request.chain, 0, &response, RESPONSE_LEN);
	disk_request_finish(&scsi->request, RESPONSE_LEN);
}

/* ---- the work ------------------------------------------------------------------------------- */

static void go_on(struct scsi_request *scsi);

static void
on_done(struct io *io, int result)
{
	struct scsi_request *scsi = scsi_request_of(disk_request_of(io));

	if (result) {
		disk_io_explain(io, result);
		scsi_has_failed(&scsi->action, result);
		respond(scsi);
	} else {
		go_on(scsi);
	}
}

static enum io_kind
io_kind_of(enum scsi_kind kind)
{
	switch (kind) {
	case SCSI_READ:
		return IO_READ;
	case SCSI_WRITE:
		return IO_WRITE;
	case SCSI_DISCARD:
		return IO_DISCARD;
	default:
		return IO_WRITE_ZEROES;
	}
}

/* The data are behind the header of their direction. False: no memory. */
static bool
cut_data(struct scsi_request *scsi, uint64_t len)
{
	const struct vhc_chain *chain = scsi->request.chain;

	if (scsi->action.kind == SCSI_READ)
		return disk_request_slice(&scsi->request, chain->writable, chain->nr_writable,
					  RESPONSE_LEN, len);
	if (scsi->action.kind == SCSI_WRITE)
		return disk_request_slice(&scsi->request, chain->readable, chain->nr_readable,
					  REQUEST_LEN, len);
	return true;
}

static void
start_range(struct scsi_request *scsi, const struct scsi_range *range)
{
	struct io *io = &scsi->request.io;

	io->kind = io_kind_of(scsi->action.kind);
	io->offset = range->block * SCSI_BLOCK_SIZE;
	io->len = range->nr_blocks * SCSI_BLOCK_SIZE;
	io->is_durable = scsi->action.is_durable;
	io->may_unmap = scsi->action.may_unmap;
	if (cut_data(scsi, io->len)) {
		disk_request_start_io(&scsi->request);
	} else {
		scsi_has_failed(&scsi->action, -ENOMEM);
		respond(scsi);
	}
}

/* The next step. done() of the one before may have brought us here, inside its start. */
static void
go_on(struct scsi_request *scsi)
{
	const struct scsi_action *action = &scsi->action;

	if (scsi->needs_flush) {
		scsi->needs_flush = false;
		scsi->request.io.kind = IO_FLUSH;
		disk_request_start_io(&scsi->request);
	} else if (scsi->nr_ranges_begun < action->nr_ranges) {
		start_range(scsi, &action->ranges[scsi->nr_ranges_begun++]);
	} else {
		respond(scsi);
	}
}

static void
begin(struct scsi_request *scsi, struct scsi_disk *disk)
{
	const struct scsi_action *action = &scsi->action;

	if (disk)
		scsi->request.io.image = disk->image;
	scsi->request.io.done = on_done;
	scsi->needs_flush = action->kind == SCSI_FLUSH || action->is_flushed_first;
	scsi->nr_ranges_begun = 0;
	if (action->data_len)
		vhc_chain_write(scsi->request.chain, RESPONSE_LEN, action->data, action->data_len);
	go_on(scsi);
}

/* ---- the judgement -------------------------------------------------------------------------- */

static struct scsi_unit
unit_of(struct scsi_disk *disk)
{
	return (struct scsi_unit){
		.nr_blocks = atomic_load_explicit(&disk->image->nr_sectors, memory_order_relaxed),
		.physical_block_size = disk->image->block_size,
		.is_read_only = disk->image->is_read_only,
		/* A block device may not have zeros to give, and would write them. */
		.unmaps_to_zeros = !disk->image->is_block_device,
		.serial = disk->serial,
		.attention = atomic_load_explicit(&disk->attention, memory_order_relaxed),
	};
}

/* An attention is for one command only, of all that look at it at this moment. */
static void
judge_for_disk(struct scsi_command *command, struct scsi_disk *disk, struct scsi_action *action)
{
	struct scsi_unit unit;

	command->unit = &unit;
	do {
		unit = unit_of(disk);
		scsi_judge(command, action);
	} while (action->takes_attention &&
		 !atomic_compare_exchange_strong(&disk->attention, &unit.attention, 0));
}

static void
judge(struct scsi_request *scsi, const uint8_t *cdb, enum lun_kind addressee,
      struct scsi_disk *disk)
{
	const struct scsi_device *device = disk_worker_device(scsi->request.worker);
	uint8_t sent[SCSI_LOOK_MAX];
	struct scsi_command command = {
		.cdb = cdb, .addressee = addressee, .nr_units = device->nr_disks, .sent = sent,
	};

	command.sent_len = vhc_chain_read(scsi->request.chain, REQUEST_LEN, sent,
					  scsi_look_len(cdb));
	if (disk)
		judge_for_disk(&command, disk, &scsi->action);
	else
		scsi_judge(&command, &scsi->action);
}

static struct scsi_disk *
find_disk(struct scsi_device *device, const struct lun *lun)
{
	if (lun->kind != LUN_UNIT || lun->number >= device->nr_disks)
		return NULL;
	return &device->disks[lun->number];
}

/* The chain is one command with data one way, or none. */
static void
serve_command(struct scsi_request *scsi, const struct virtio_scsi_request *header)
{
	struct scsi_device *device = disk_worker_device(scsi->request.worker);
	const struct vhc_chain *chain = scsi->request.chain;
	struct lun lun = lun_decode(header->lun);
	struct scsi_disk *disk = find_disk(device, &lun);

	if (lun.kind == LUN_BAD_TARGET) {
		respond_unseen(scsi, VIRTIO_SCSI_S_BAD_TARGET);
		return;
	}
	judge(scsi, header->cdb, lun.kind, disk);
	if (scsi->action.from_driver > chain->readable_len - REQUEST_LEN ||
	    scsi->action.to_driver > chain->writable_len - RESPONSE_LEN)
		respond_unseen(scsi, VIRTIO_SCSI_S_OVERRUN);
	else
		begin(scsi, disk);
}

void
scsi_serve_request(struct request *request)
{
	struct scsi_request *scsi = scsi_request_of(request);
	const struct vhc_chain *chain = request->chain;
	struct virtio_scsi_request header;
	uint32_t sent_len, room;

	if (chain->writable_len < RESPONSE_LEN) {	/* no room to say what is wrong */
		disk_request_finish(request, 0);
		return;
	}
	room = chain->writable_len - RESPONSE_LEN;
	sent_len = chain->readable_len < REQUEST_LEN ? 0 : chain->readable_len - REQUEST_LEN;
	scsi->room = sent_len + room;
	/* Too short; or data both ways, which we have not offered. */
	if (vhc_chain_read(chain, 0, &header, REQUEST_LEN) != REQUEST_LEN || (sent_len && room))
		respond_unseen(scsi, VIRTIO_SCSI_S_FAILURE);
	else
		serve_command(scsi, &header);
}
