/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image.c - open, measure, close.
 *
 * Knows:   files, block devices, anonymous memory.
 * Trusts:  nothing of a size that it was told before.
 * Runs on: the main thread.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "say.h"

#define BLOCK_SIZE_MAX 65536u

static int
refuse(const char *path, int err, const char *what_to_do)
{
	disk_say("%s: %s%s%s", path, strerror(-err), *what_to_do ? "; " : "", what_to_do);
	return err;
}

static int
explain_open(const char *path, int err, bool is_read_only)
{
	if (err == -ENOENT)
		return refuse(path, err, "make it first, for example: truncate -s 10G FILE");
	if (err == -EROFS || (err == -EACCES && !is_read_only))
		return refuse(path, err, "run as a user who may write it, or add --read-only");
	if (err == -EACCES)
		return refuse(path, err, "run as a user who may read it");
	return refuse(path, err, "");
}

static int
bytes_of_file(const struct image *image, uint64_t *nr_bytes)
{
	struct stat st;

	if (image->is_block_device)
		return ioctl(image->fd, BLKGETSIZE64, nr_bytes) < 0 ? -errno : 0;
	if (fstat(image->fd, &st) < 0)
		return -errno;
	*nr_bytes = (uint64_t)st.st_size;
	return 0;
}

/* A size that a disk can have, or -EINVAL and a sentence. */
static int
judge_size(const char *path, uint64_t nr_bytes)
{
	if (nr_bytes == 0) {
		disk_say("%s: it is empty, and a disk is not: truncate -s 10G FILE gives it a size",
			 path);
		return -EINVAL;
	}
	if (nr_bytes % SECTOR_SIZE) {
		disk_say("%s: its %llu bytes are not a multiple of %u, the size of a sector:"
			 " truncate -s %%%u FILE rounds it up", path,
			 (unsigned long long)nr_bytes, SECTOR_SIZE, SECTOR_SIZE);
		return -EINVAL;
	}
	return 0;
}

static int
measure(struct image *image)
{
	uint64_t nr_bytes;
	int rc = bytes_of_file(image, &nr_bytes);

	if (rc)
		return refuse(image->path, rc, "");
	rc = judge_size(image->path, nr_bytes);
	if (rc == 0)
		atomic_store(&image->nr_sectors, nr_bytes >> SECTOR_SHIFT);
	return rc;
}

static int
judge_kind(struct image *image)
{
	unsigned int physical = SECTOR_SIZE;
	struct statfs fs;
	struct stat st;

	if (fstat(image->fd, &st) < 0)
		return refuse(image->path, -errno, "");
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		disk_say("%s: it is neither a file nor a block device", image->path);
		return -EINVAL;
	}
	image->is_block_device = S_ISBLK(st.st_mode);
	image->is_in_memory = S_ISREG(st.st_mode) && fstatfs(image->fd, &fs) == 0 &&
			      fs.f_type == TMPFS_MAGIC;
	image->block_size = (uint32_t)st.st_blksize;
	if (image->is_block_device && ioctl(image->fd, BLKPBSZGET, &physical) == 0)
		image->block_size = physical;
	/* What a driver is told must be a power of two that it can work with. */
	if (image->block_size < SECTOR_SIZE || image->block_size > BLOCK_SIZE_MAX ||
	    image->block_size & (image->block_size - 1))
		image->block_size = SECTOR_SIZE;
	return 0;
}

/* A pipe would have us wait for who is at its other end; io_uring wants to wait for a disk. */
static int
open_file(const char *path, bool is_read_only)
{
	int mode = is_read_only ? O_RDONLY : O_RDWR;
	int fd = open(path, mode | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fcntl(fd, F_SETFL, mode) < 0)
		return -errno;
	return fd;
}

int
disk_image_open(struct image *image, const char *path, bool is_read_only)
{
	int rc;

	*image = (struct image){ .path = path, .is_read_only = is_read_only };
	image->fd = open_file(path, is_read_only);
	if (image->fd < 0)
		return explain_open(path, image->fd, is_read_only);
	rc = judge_kind(image);
	if (rc == 0)
		rc = measure(image);
	if (rc)
		disk_image_close(image);
	return rc;
}

int
disk_image_allocate(struct image *image, uint64_t nr_bytes)
{
	*image = (struct image){ .fd = -1, .block_size = 4096 };
	if (nr_bytes % SECTOR_SIZE) {
		disk_say("--memory: %llu bytes are not a multiple of %u, the size of a sector",
			 (unsigned long long)nr_bytes, SECTOR_SIZE);
		return -EINVAL;
	}
	image->memory = mmap(NULL, nr_bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (image->memory == MAP_FAILED) {
		image->memory = NULL;
		return refuse("--memory", -errno, "this machine has not so much");
	}
	atomic_store(&image->nr_sectors, nr_bytes >> SECTOR_SHIFT);
	return 0;
}

bool
disk_image_look_again(struct image *image)
{
	uint64_t before = atomic_load(&image->nr_sectors);

	return image->fd >= 0 && measure(image) == 0 && atomic_load(&image->nr_sectors) != before;
}

void
disk_image_close(struct image *image)
{
	if (image->memory)
		munmap(image->memory, atomic_load(&image->nr_sectors) << SECTOR_SHIFT);
	if (image->fd >= 0)
		close(image->fd);
	image->memory = NULL;
	image->fd = -1;
}

const char *
disk_image_name(const struct image *image)
{
	const char *slash = image->path ? strrchr(image->path, '/') : NULL;

	if (!image->path)
		return "memory";
	return slash ? slash + 1 : image->path;
}
