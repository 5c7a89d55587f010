/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image.h - the bytes of a disk: a file, a block device, or memory.
 *
 * Knows:   descriptors and sizes. Not who asks for the bytes, nor how.
 * Trusts:  the command line; not that a file stays as long as it was.
 * Runs on: opened, resized and closed on the main thread; read by all.
 */
#ifndef DISK_IMAGE_H
#define DISK_IMAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SECTOR_SIZE	512u
#define SECTOR_SHIFT	9

struct image {
	const char *path;	/* NULL: memory, gone with the process */
	int fd;			/* -1: memory */
	uint8_t *memory;	/* NULL: a file */
	_Atomic uint64_t nr_sectors;
	uint32_t block_size;	/* what is written at a time below, at least a sector */
	bool is_read_only;
	bool is_block_device;
	bool is_in_memory;	/* a file, but of a file system without a disk: tmpfs */
};

/* Open the file or block device. -errno, after a sentence on stderr that says what to do. */
int disk_image_open(struct image *image, const char *path, bool is_read_only);

/* Memory instead, all zeros. As above. */
int disk_image_allocate(struct image *image, uint64_t nr_bytes);

/*
 * Look how long the file is now. True: nr_sectors has changed. A size that cannot be a disk's is
 * said on stderr, and the disk stays as it is.
 */
bool disk_image_look_again(struct image *image);

void disk_image_close(struct image *image);

/* What to call it where nothing was said: the file's name, without its folder. */
const char *disk_image_name(const struct image *image);

/* Whether all of it is inside: whoever does I/O asks first. */
static inline bool
disk_image_has(struct image *image, uint64_t sector, uint64_t nr_sectors)
{
	uint64_t end = atomic_load_explicit(&image->nr_sectors, memory_order_relaxed);

	return nr_sectors <= end && sector <= end - nr_sectors;
}

#endif
