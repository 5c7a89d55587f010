/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * request.c - judge a request, start what it asks for, answer.
 *
 * Knows:   virtio 1.2 5.2.6.
 * Trusts:  nothing: header and lists are copied, and only the copies are looked at.
 * Runs on: the worker's thread.
 */
#include <endian.h>

#include "blk.h"

#define HDR_LEN		((uint32_t)sizeof(struct virtio_blk_outhdr))
#define STATUS_LEN	1u

/* The status is the last byte there is room for, wherever that lies. */
static void
answer(struct request *request, uint8_t status)
{
	struct vhc_chain *chain = request->chain;

	vhc_chain_write(chain, chain->writable_len - STATUS_LEN, &status, STATUS_LEN);
	disk_request_finish(request, chain->writable_len);
}

static void
on_done(struct io *io, int result)
{
	struct request *request = disk_request_of(io);

	if (result)
		disk_io_explain(io, result);
	answer(request, result ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
}

static void
start(struct request *request, enum io_kind kind, uint64_t sector)
{
	request->io.kind = kind;
	request->io.offset = sector << SECTOR_SHIFT;
	request->io.done = on_done;
	disk_request_start_io(request);
}

/* ---- one kind after the other: what each of them returns is a refusal, or OK ---------------- */

static bool
is_inside(struct blk *blk, uint64_t sector, uint64_t nr_sectors)
{
	return disk_image_has(blk->image, sector, nr_sectors);
}

static uint8_t
transfer(struct blk *blk, struct request *request, uint64_t sector, bool is_write)
{
	const struct vhc_chain *chain = request->chain;
	uint32_t len = is_write ? chain->readable_len - HDR_LEN : chain->writable_len - STATUS_LEN;
	bool is_cut;

	if (len % SECTOR_SIZE || !is_inside(blk, sector, len >> SECTOR_SHIFT) ||
	    (is_write && blk->image->is_read_only))
		return VIRTIO_BLK_S_IOERR;
	if (is_write)
		is_cut = disk_request_slice(request, chain->readable, chain->nr_readable,
					    HDR_LEN, len);
	else
		is_cut = disk_request_slice(request, chain->writable, chain->nr_writable, 0, len);
	if (!is_cut)
		return VIRTIO_BLK_S_IOERR;
	request->io.is_durable = is_write && atomic_load_explicit(&blk->is_write_through,
								  memory_order_relaxed);
	start(request, is_write ? IO_WRITE : IO_READ, sector);
	return VIRTIO_BLK_S_OK;
}

/* 5.2.6: one range, as the configuration says. */
static uint8_t
give_up_range(struct blk *blk, struct request *request, bool is_discard)
{
	struct virtio_blk_discard_write_zeroes range;
	uint32_t allowed = is_discard ? 0 : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	uint32_t max = is_discard ? BLK_DISCARD_SECTORS_MAX : BLK_ZEROES_SECTORS_MAX;
	uint32_t nr_sectors, flags;
	uint64_t sector;

	if (blk->image->is_read_only || request->chain->readable_len != HDR_LEN + sizeof(range))
		return VIRTIO_BLK_S_IOERR;
	vhc_chain_read(request->chain, HDR_LEN, &range, sizeof(range));
	sector = le64toh(range.sector);
	nr_sectors = le32toh(range.num_sectors);
	flags = le32toh(range.flags);
	if (flags & ~allowed)
		return VIRTIO_BLK_S_UNSUPP;
	if (nr_sectors == 0 || nr_sectors > max || !is_inside(blk, sector, nr_sectors))
		return VIRTIO_BLK_S_IOERR;
	request->io.len = (uint64_t)nr_sectors << SECTOR_SHIFT;
	request->io.may_unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	request->io.is_durable = !is_discard && atomic_load_explicit(&blk->is_write_through,
								     memory_order_relaxed);
	start(request, is_discard ? IO_DISCARD : IO_WRITE_ZEROES, sector);
	return VIRTIO_BLK_S_OK;
}

static void
tell_serial(struct blk *blk, struct request *request)
{
	struct vhc_chain *chain = request->chain;
	uint32_t room = chain->writable_len - STATUS_LEN;

	vhc_chain_write(chain, 0, blk->serial, room < sizeof(blk->serial) ? room :
			(uint32_t)sizeof(blk->serial));
	answer(request, VIRTIO_BLK_S_OK);
}

static uint8_t
start_by_type(struct blk *blk, struct request *request, uint32_t type, uint64_t sector)
{
	switch (type) {
	case VIRTIO_BLK_T_IN:
		return transfer(blk, request, sector, false);
	case VIRTIO_BLK_T_OUT:
		return transfer(blk, request, sector, true);
	case VIRTIO_BLK_T_FLUSH:
		start(request, IO_FLUSH, 0);
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_GET_ID:
		tell_serial(blk, request);
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_DISCARD:
		return give_up_range(blk, request, true);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return give_up_range(blk, request, false);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

void
blk_serve(struct request *request)
{
	struct blk *blk = disk_worker_device(request->worker);
	struct vhc_chain *chain = request->chain;
	struct virtio_blk_outhdr hdr;
	uint8_t refusal;

	if (chain->writable_len < STATUS_LEN) {	/* no room to say what is wrong */
		disk_request_finish(request, 0);
		return;
	}
	request->io.image = blk->image;
	if (vhc_chain_read(chain, 0, &hdr, HDR_LEN) != HDR_LEN)
		refusal = VIRTIO_BLK_S_IOERR;
	else
		refusal = start_by_type(blk, request, le32toh(hdr.type), le64toh(hdr.sector));
	if (refusal)
		answer(request, refusal);
}
