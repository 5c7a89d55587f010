/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhostx-blk - a disk for a virtual machine, from a file, a block device or memory.
 *
 * Knows:   what a virtio block device says of itself.
 * Trusts:  nothing of a driver.
 * Runs on: the main thread; the on_... functions on the library's control thread.
 */
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../disk/program.h"
#include "../disk/say.h"
#include "blk.h"
#include "vhostcore_message.h"

#define BIT(n)		(UINT64_C(1) << (n))
#define WRITEBACK_AT	offsetof(struct virtio_blk_config, wce)
#define DEPTH		256	/* operations of a queue at a time */

/* ---- what the library asks and tells -------------------------------------------------------- */

/* 5.2.5.2: without FLUSH nobody would ask for durability; with CONFIG_WCE the driver chooses. */
static void
decide_on_cache(struct blk *blk)
{
	bool has_flush = blk->features & BIT(VIRTIO_BLK_F_FLUSH);
	bool has_choice = blk->features & BIT(VIRTIO_BLK_F_CONFIG_WCE);

	atomic_store(&blk->is_write_through,
		     has_choice ? !blk->has_write_cache : !has_flush);
}

static void
on_features(struct vhc_device *dev, uint64_t features, void *arg)
{
	struct blk *blk = arg;

	(void)dev;
	blk->features = features;
	decide_on_cache(blk);
}

static void
on_connected(struct vhc_device *dev, bool connected, void *arg)
{
	struct blk *blk = arg;

	(void)dev;
	if (connected)
		blk->has_write_cache = true;
}

/* 5.2.4. */
static void
fill_config(struct blk *blk, struct virtio_blk_config *config)
{
	uint32_t block_sectors = blk->image->block_size >> SECTOR_SHIFT;

	config->capacity = htole64(atomic_load(&blk->image->nr_sectors));
	config->seg_max = htole32(BLK_SEGMENTS_MAX);
	config->blk_size = htole32(SECTOR_SIZE);
	config->physical_block_exp = (uint8_t)__builtin_ctz(block_sectors);
	config->min_io_size = htole16((uint16_t)block_sectors);
	config->wce = blk->has_write_cache;
	config->num_queues = htole16(blk->nr_queues);
	config->max_discard_sectors = htole32(BLK_DISCARD_SECTORS_MAX);
	config->max_discard_seg = htole32(1);
	config->discard_sector_alignment = htole32(block_sectors);
	config->max_write_zeroes_sectors = htole32(BLK_ZEROES_SECTORS_MAX);
	config->max_write_zeroes_seg = htole32(1);
	config->write_zeroes_may_unmap = 1;
}

static int
on_config_get(struct vhc_device *dev, uint8_t *bytes, uint32_t offset, uint32_t len, void *arg)
{
	struct virtio_blk_config config = { 0 };

	(void)dev;
	fill_config(arg, &config);
	disk_config_copy(bytes, offset, len, &config, sizeof(config));
	return 0;
}

static int
on_config_set(struct vhc_device *dev, const uint8_t *bytes, uint32_t offset, uint32_t len,
	      bool is_migration, void *arg)
{
	struct blk *blk = arg;

	(void)dev;
	(void)is_migration;
	if (offset != WRITEBACK_AT || len != 1 || bytes[0] > 1)
		return -EINVAL;
	blk->has_write_cache = bytes[0];
	decide_on_cache(blk);
	return 0;
}

static const struct vhc_device_ops ops = {
	.connected = on_connected,
	.features_changed = on_features,
	.config_get = on_config_get,
	.config_set = on_config_set,
};

/* ---- what the program asks and tells -------------------------------------------------------- */

static void *
create(const struct program_opts *opts, struct image *images, unsigned int nr_images)
{
	struct blk *blk = calloc(1, sizeof(*blk));
	const char *serial = opts->serial ? opts->serial : disk_image_name(&images[0]);

	(void)nr_images;
	if (!blk) {
		disk_say("no memory");
		return NULL;
	}
	blk->image = &images[0];
	blk->nr_queues = opts->nr_queues;
	blk->poll_us = opts->poll_us;
	blk->has_write_cache = true;
	memcpy(blk->serial, serial, strnlen(serial, sizeof(blk->serial)));
	return blk;
}

static uint64_t
features(const void *state)
{
	const struct blk *blk = state;
	uint64_t offered = BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) |
			   BIT(VIRTIO_BLK_F_TOPOLOGY) | BIT(VIRTIO_BLK_F_FLUSH) |
			   BIT(VIRTIO_BLK_F_CONFIG_WCE);

	if (blk->nr_queues > 1)
		offered |= BIT(VIRTIO_BLK_F_MQ);
	if (blk->image->is_read_only)
		return offered | BIT(VIRTIO_BLK_F_RO);
	return offered | BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES);
}

static int
start(void *state, struct vhc_device *dev)
{
	struct blk *blk = state;

	blk->dev = dev;
	return disk_workers_start(&blk->workers, (struct worker_opts){
		.request_size = sizeof(struct request),
		.serve = blk_serve,
		.device = blk,
		.depth = DEPTH,
		.poll_us = blk->poll_us,
	}, dev, 0, blk->nr_queues);
}

/* A driver that is not there, or does not listen, reads the size when it starts. */
static void
resized(void *state, struct image *image)
{
	struct blk *blk = state;

	disk_say("the disk has %llu sectors now",
		 (unsigned long long)atomic_load(&image->nr_sectors));
	(void)vhc_device_config_changed(blk->dev, false);
}

static void
stop(void *state)
{
	struct blk *blk = state;

	disk_workers_stop(&blk->workers);
}

static const char usage[] =
	"usage: vhostx-blk --socket-path PATH --blk-file FILE [OPTION...]\n"
	"\n"
	"Gives a virtual machine a disk (vhost-user-blk) whose bytes are in a file.\n"
	"\n"
	"  --socket-path PATH    the socket that QEMU connects to; or\n"
	"  --fd N                a socket that is open already, listening or connected\n"
	"  --blk-file FILE       the disk: a raw image, or a block device; or\n"
	"  --memory SIZE         a disk in memory, such as 256M: gone with this program\n"
	"  --read-only           the virtual machine cannot write\n"
	"  --num-queues N        queues, each with a thread of its own (default 1)\n"
	"  --serial TEXT         up to 20 bytes (default: the file's name)\n"
	"  --poll-us N           go on polling so long before going to sleep (default 50)\n"
	"  --print-capabilities  say as JSON what libvirt wants to know\n"
	"  --help                say this\n"
	"\n"
	"SIGHUP: the file has another size now, tell the virtual machine. SIGTERM: end.\n"
	"\n"
	"QEMU:  -m 1G -object memory-backend-memfd,id=ram,size=1G,share=on\n"
	"       -machine q35,memory-backend=ram\n"
	"       -chardev socket,id=disk,path=PATH,reconnect-ms=100\n"
	"       -device vhost-user-blk-pci,chardev=disk,num-queues=1\n";

static const char capabilities[] =
	"{\n"
	"  \"type\": \"block\",\n"
	"  \"features\": [\"read-only\", \"blk-file\"]\n"
	"}\n";

int
main(int argc, char **argv)
{
	static const struct program program = {
		.name = "vhostx-blk",
		.usage = usage,
		.capabilities = capabilities,
		.nr_files_max = 1,
		.ops = &ops,
		.create = create,
		.features = features,
		.start = start,
		.resized = resized,
		.stop = stop,
		.destroy = free,
	};

	return disk_program_main(&program, argc, argv);
}
