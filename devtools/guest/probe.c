/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * probe discard DEVICE
 *     what becomes of bytes that are zeroed, unmapped and discarded, and of those beside them
 * probe readonly DEVICE
 *     whether a write is refused, and nothing changes
 *
 * Prints key=value words. For discard: zeroes= unmap= discard= are "yes", "wrong" where zeros were
 * promised and others are there, or the error's name; neighbours= is "intact" or "damaged".
 *
 * Knows:   the calls for block devices.
 * Trusts:  its arguments; nothing that it reads.
 * Runs on: the guest of guest-image.sh, linked statically.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "mix.h"

#define PART	(256u << 10)
#define NR_PARTS 3		/* one before, the one it is about, one behind */
#define AREA	(NR_PARTS * PART)
#define NR_AREAS 3

enum way { WAY_ZEROES, WAY_UNMAP, WAY_DISCARD, NR_WAYS };

struct outcome {
	int error;
	bool is_wrong;
};

static _Alignas(4096) unsigned char written[AREA];
static _Alignas(4096) unsigned char found[AREA];
static bool are_neighbours_intact = true;

static int
clear(int disk, enum way way, uint64_t offset)
{
	uint64_t range[2] = { offset, PART };

	switch (way) {
	case WAY_ZEROES:
		return ioctl(disk, BLKZEROOUT, range);
	case WAY_UNMAP:
		return fallocate(disk, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
				 PART);
	default:
		return ioctl(disk, BLKDISCARD, range);
	}
}

static void
make_area(uint64_t seed)
{
	for (size_t i = 0; i < AREA; i += sizeof(seed)) {
		uint64_t word = next_word(&seed);

		memcpy(written + i, &word, sizeof(word));
	}
}

static bool
is_zero(const unsigned char *bytes, size_t len)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

static int
try_area(int disk, enum way way, uint64_t at, struct outcome *outcome)
{
	make_area(at + way);
	if (pwrite(disk, written, AREA, (off_t)at) != AREA || fsync(disk) < 0)
		return -1;
	if (clear(disk, way, at + PART) < 0)
		outcome->error = errno;
	if (pread(disk, found, AREA, (off_t)at) != AREA)
		return -1;
	if (outcome->error == 0 && way != WAY_DISCARD && !is_zero(found + PART, PART))
		outcome->is_wrong = true;
	if (memcmp(found, written, PART) != 0 ||
	    memcmp(found + 2 * PART, written + 2 * PART, PART) != 0)
		are_neighbours_intact = false;
	return 0;
}

static const char *
describe(const struct outcome *outcome)
{
	if (outcome->error != 0)
		return strerrorname_np(outcome->error);
	return outcome->is_wrong ? "wrong" : "yes";
}

static int
run_discard(int disk)
{
	struct outcome outcomes[NR_WAYS] = { 0 };
	uint64_t size;

	if (ioctl(disk, BLKGETSIZE64, &size) < 0 || size < (uint64_t)AREA * NR_AREAS)
		return -1;
	for (unsigned int area = 0; area < NR_AREAS; area++) {
		uint64_t at = (size - AREA) / PART * PART / (NR_AREAS - 1) * area / PART * PART;

		for (int way = 0; way < NR_WAYS; way++) {
			if (try_area(disk, (enum way)way, at, &outcomes[way]) < 0)
				return -1;
		}
	}
	printf("zeroes=%s unmap=%s discard=%s neighbours=%s\n", describe(&outcomes[WAY_ZEROES]),
	       describe(&outcomes[WAY_UNMAP]), describe(&outcomes[WAY_DISCARD]),
	       are_neighbours_intact ? "intact" : "damaged");
	return 0;
}

static int
run_readonly(const char *path)
{
	int reader = open(path, O_RDONLY | O_DIRECT), writer = open(path, O_RDWR | O_DIRECT);
	const char *write_error = "none", *open_error = "none";
	int is_ro = 0;

	if (reader < 0 || ioctl(reader, BLKROGET, &is_ro) < 0 ||
	    pread(reader, written, PART, 0) != PART)
		return -1;
	for (size_t i = 0; i < PART; i++)
		found[i] = (unsigned char)~written[i];
	if (writer < 0)
		open_error = strerrorname_np(errno);
	else if (pwrite(writer, found, PART, 0) < 0 || fsync(writer) < 0)
		write_error = strerrorname_np(errno);
	if (pread(reader, found, PART, 0) != PART)
		return -1;
	printf("ro=%d open=%s write=%s same=%s\n", is_ro, open_error, write_error,
	       memcmp(found, written, PART) == 0 ? "yes" : "no");
	return 0;
}

int
main(int argc, char **argv)
{
	int result = 2;

	if (argc == 3 && strcmp(argv[1], "discard") == 0)
		result = run_discard(open(argv[2], O_RDWR | O_DIRECT));
	else if (argc == 3 && strcmp(argv[1], "readonly") == 0)
		result = run_readonly(argv[2]);
	else
		fputs("usage: probe {discard|readonly} DEVICE\n", stderr);
	if (result < 0)
		printf("error=%s\n", strerrorname_np(errno));
	return result != 0;
}
