/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhostx-scsi - disks for a virtual machine behind one SCSI host: each file is a unit of it.
 *
 * Knows:   what a virtio SCSI host says of itself.
 * Trusts:  nothing of a driver.
 * Runs on: the main thread; the on_... functions on the library's control thread.
 */
#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../disk/program.h"
#include "../disk/say.h"
#include "device.h"

#define DEPTH		256	/* operations of a queue at a time */
#define SEGMENTS_MAX	126	/* with request and response: the usual ring of 128 */
#define SECTORS_MAX	0xffff
#define COMMANDS_MAX	128	/* of a unit at a time: advice to the driver */

/* ---- what the library asks ------------------------------------------------------------------ */

static void
fill_config(const struct scsi_device *device, struct virtio_scsi_config *config)
{
	*config = (struct virtio_scsi_config){
		.num_queues = htole32(device->nr_queues),
		.seg_max = htole32(SEGMENTS_MAX),
		.max_sectors = htole32(SECTORS_MAX),
		.cmd_per_lun = htole32(COMMANDS_MAX),
		.event_info_size = htole32(sizeof(struct virtio_scsi_event)),
		.sense_size = htole32(VIRTIO_SCSI_SENSE_SIZE),
		.cdb_size = htole32(VIRTIO_SCSI_CDB_SIZE),
		.max_lun = htole32(device->nr_disks - 1),
	};
}

static int
on_config_get(struct vhc_device *dev, uint8_t *bytes, uint32_t offset, uint32_t len, void *arg)
{
	struct virtio_scsi_config config;

	(void)dev;
	fill_config(arg, &config);
	disk_config_copy(bytes, offset, len, &config, sizeof(config));
	return 0;
}

/* The driver may choose two sizes, as long as it chooses what they are. */
static int
on_config_set(struct vhc_device *dev, const uint8_t *bytes, uint32_t offset, uint32_t len,
	      bool is_migration, void *arg)
{
	const uint32_t begin = offsetof(struct virtio_scsi_config, sense_size);
	const uint32_t end = offsetof(struct virtio_scsi_config, max_channel);
	struct virtio_scsi_config config;

	(void)dev;
	(void)is_migration;
	fill_config(arg, &config);
	if (offset < begin || offset > end || len > end - offset ||
	    memcmp(bytes, (const uint8_t *)&config + offset, len) != 0)
		return -EINVAL;
	return 0;
}

static const struct vhc_device_ops ops = {
	.config_get = on_config_get,
	.config_set = on_config_set,
};

/* ---- what the program asks and tells -------------------------------------------------------- */

/* No two disks have the same one; and it is text that a driver can show. */
static void
name_disk(struct scsi_disk *disk, const char *wish, unsigned int number, unsigned int nr_disks)
{
	int room = SCSI_SERIAL_MAX - (nr_disks > 1 ? 3 : 0);

	if (!wish)
		wish = disk_image_name(disk->image);
	snprintf(disk->serial, sizeof(disk->serial), nr_disks > 1 ? "%.*s-%u" : "%.*s", room,
		 wish, number);
	for (char *at = disk->serial; *at; at++)
		if (!isprint((unsigned char)*at))
			*at = '_';
}

static void *
create(const struct program_opts *opts, struct image *images, unsigned int nr_images)
{
	struct scsi_device *device = calloc(1, sizeof(*device));

	if (!device) {
		disk_say("no memory");
		return NULL;
	}
	device->nr_disks = nr_images;
	device->nr_queues = opts->nr_queues;
	device->poll_us = opts->poll_us;
	for (unsigned int i = 0; i < nr_images; i++) {
		device->disks[i].image = &images[i];
		name_disk(&device->disks[i], opts->serial, i, nr_images);
	}
	return device;
}

/*
 * Disks do not come and go; but Linux gives the event ring buffers only where they might, and hears
 * of a changed capacity there.
 */
static uint64_t
features(const void *state)
{
	(void)state;
	return VIRTIO_SCSI_F_HOTPLUG | VIRTIO_SCSI_F_CHANGE;
}

/* The worker of the control queue, which waits for the others, last. */
static int
start(void *state, struct vhc_device *dev)
{
	struct scsi_device *device = state;
	int rc = disk_workers_start(&device->workers, (struct worker_opts){
		.request_size = scsi_request_size,
		.serve = scsi_serve_request,
		.device = device,
		.depth = DEPTH,
		.poll_us = device->poll_us,
	}, dev, VIRTIO_SCSI_RING_REQUEST, device->nr_queues);

	if (rc == 0)
		rc = scsi_events_start(vhc_device_queue(dev, VIRTIO_SCSI_RING_EVENT),
				       &device->events);
	if (rc)
		return rc;
	return disk_worker_start(&(struct worker_opts){
		.queue = vhc_device_queue(dev, VIRTIO_SCSI_RING_CONTROL),
		.request_size = sizeof(struct request),
		.serve = scsi_serve_control,
		.device = device,
	}, &device->control);
}

static void
resized(void *state, struct image *image)
{
	struct scsi_device *device = state;

	for (unsigned int i = 0; i < device->nr_disks; i++) {
		if (device->disks[i].image != image)
			continue;
		disk_say("disk %u has %llu sectors now", i,
			 (unsigned long long)atomic_load(&image->nr_sectors));
		atomic_store(&device->disks[i].attention, SCSI_CAPACITY_HAS_CHANGED);
		scsi_events_capacity_changed(device->events, i);
	}
}

static void
stop(void *state)
{
	struct scsi_device *device = state;

	atomic_store(&device->is_ending, true);
	if (device->control)
		disk_worker_stop(device->control);
	if (device->events)
		scsi_events_stop(device->events);
	disk_workers_stop(&device->workers);
}

static const char usage[] =
	"usage: vhostx-scsi --socket-path PATH --blk-file FILE [--blk-file FILE...] [OPTION...]\n"
	"\n"
	"Gives a virtual machine a SCSI host (vhost-user-scsi). Each file is a disk: the first\n"
	"is LUN 0 of target 0, the next LUN 1, and so on, up to 16.\n"
	"\n"
	"  --socket-path PATH    the socket that QEMU connects to; or\n"
	"  --fd N                a socket that is open already, listening or connected\n"
	"  --blk-file FILE       a disk: a raw image, or a block device; or\n"
	"  --memory SIZE         one disk in memory, such as 256M: gone with this program\n"
	"  --read-only           the virtual machine cannot write\n"
	"  --num-queues N        queues, each with a thread of its own (default 1)\n"
	"  --serial TEXT         up to 32 bytes (default: the file's name); of several disks each\n"
	"                        gets its number behind it\n"
	"  --poll-us N           go on polling so long before going to sleep (default 50)\n"
	"  --print-capabilities  say as JSON what libvirt wants to know\n"
	"  --help                say this\n"
	"\n"
	"SIGHUP: a file has another size now, tell the virtual machine. SIGTERM: end.\n"
	"\n"
	"QEMU:  -m 1G -object memory-backend-memfd,id=ram,size=1G,share=on\n"
	"       -machine q35,memory-backend=ram\n"
	"       -chardev socket,id=disks,path=PATH,reconnect-ms=100\n"
	"       -device vhost-user-scsi-pci,chardev=disks,num_queues=1\n";

static const char capabilities[] =
	"{\n"
	"  \"type\": \"scsi\"\n"
	"}\n";

int
main(int argc, char **argv)
{
	static const struct program program = {
		.name = "vhostx-scsi",
		.usage = usage,
		.capabilities = capabilities,
		.nr_files_max = SCSI_UNITS_MAX,
		.nr_fixed_rings = VIRTIO_SCSI_RING_REQUEST,
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

_Static_assert(IMAGES_MAX == SCSI_UNITS_MAX, "every file that can be named is a unit");
