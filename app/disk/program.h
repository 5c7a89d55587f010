/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * program.h - what vhostx-blk and vhostx-scsi have in common besides their bytes: command line,
 * socket, signals.
 *
 * Knows:   the conventions for vhost-user programs: --socket-path, --fd, --print-capabilities.
 * Trusts:  the command line no further than checked.
 * Runs on: the main thread.
 */
#ifndef DISK_PROGRAM_H
#define DISK_PROGRAM_H

#include "image.h"
#include "vhostcore_ring.h"

#define IMAGES_MAX 16

/* What the command line says. */
struct program_opts {
	const char *socket_path;	/* NULL: socket_fd */
	int socket_fd;
	const char *files[IMAGES_MAX];	/* --blk-file, in order */
	unsigned int nr_files;
	uint64_t memory_size;		/* --memory; 0: files */
	const char *serial;		/* NULL: made from the file's name */
	bool is_read_only;
	uint16_t nr_queues;		/* --num-queues: for requests */
	unsigned int poll_us;		/* --poll-us */
};

/* A kind of disk: vhostx-blk's or vhostx-scsi's. */
struct program {
	const char *name;		/* of the program */
	const char *usage;		/* what --help prints */
	const char *capabilities;	/* what --print-capabilities prints: JSON */
	unsigned int nr_files_max;
	uint16_t nr_fixed_rings;	/* besides those for requests */
	const struct vhc_device_ops *ops;	/* their argument is what create() returns */

	/* The state of a device on these images, which stay. NULL, said on stderr: it cannot be. */
	void *(*create)(const struct program_opts *opts, struct image *images,
			unsigned int nr_images);
	/* Virtio features to offer, without the transport's. */
	uint64_t (*features)(const void *state);
	/* Nobody is connected yet: start the workers. -errno, said on stderr. */
	int (*start)(void *state, struct vhc_device *dev);
	/* An image has another size now. */
	void (*resized)(void *state, struct image *image);
	/* Stop the workers, if they are there: `ops` may still be called. */
	void (*stop)(void *state);
	void (*destroy)(void *state);
};

/* Of a configuration space what was asked for (vhc_device_ops.config_get); zeros follow it. */
void disk_config_copy(uint8_t *bytes, uint32_t offset, uint32_t len, const void *config,
		      size_t size);

/* The whole main(): returns its exit code. */
int disk_program_main(const struct program *program, int argc, char **argv);

#endif
