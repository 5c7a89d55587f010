/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tree {write|check} FOLDER SEED FILES
 *
 * A tree of files of mixed sizes, from nothing to a quarter of a megabyte, whose names and bytes
 * follow from the seed: so they can be compared without a copy. Prints files, bytes, and whether
 * all are there and equal.
 *
 * Knows:   files.
 * Trusts:  its arguments; nothing that it reads.
 * Runs on: the guest of guest-image.sh, linked statically; and on the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mix.h"

#define NR_FOLDERS	24
#define FILE_BYTES_MAX	(256u << 10)

static uint64_t made[FILE_BYTES_MAX / sizeof(uint64_t)];
static unsigned char got[FILE_BYTES_MAX + 1];

/* Half of them fit into a block, a few are empty, a few are large. */
static size_t
size_of(uint64_t random)
{
	static const uint32_t below[8] = {
		1, 4096, 4096, 4096, 4096, 32768, 65536, FILE_BYTES_MAX,
	};

	return (size_t)((random >> 3) % below[random % 8]);
}

static size_t
make_file(uint64_t seed, unsigned int number)
{
	uint64_t state = mix(seed, number);
	size_t size = size_of(next_word(&state));

	for (size_t i = 0; i < (size + 7) / 8; i++)
		made[i] = next_word(&state);
	return size;
}

static void
name_file(char *path, size_t len, const char *folder, unsigned int number)
{
	snprintf(path, len, "%s/%02u/%02u/file-%u", folder, number % NR_FOLDERS,
		 number / NR_FOLDERS % NR_FOLDERS, number);
}

static int
make_folders(char *path, const char *folder)
{
	for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -1;
		*slash = '/';
	}
	return 0;
}

static int
write_file(char *path, const char *folder, size_t size)
{
	const unsigned char *from = (const unsigned char *)made;
	int fd;

	if (make_folders(path, folder) < 0)
		return -1;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		return -1;
	while (size > 0) {
		ssize_t done = write(fd, from, size);

		if (done <= 0) {
			close(fd);
			return -1;
		}
		from += done;
		size -= (size_t)done;
	}
	return close(fd);
}

static int
check_file(const char *path, size_t size)
{
	int fd = open(path, O_RDONLY);
	size_t len = 0;
	ssize_t part = 0;

	if (fd < 0)
		return -1;
	while (len < sizeof(got) && (part = read(fd, got + len, sizeof(got) - len)) > 0)
		len += (size_t)part;
	close(fd);
	errno = 0;
	return part >= 0 && len == size && memcmp(got, made, size) == 0 ? 0 : -1;
}

int
main(int argc, char **argv)
{
	unsigned long long nr_bytes = 0, nr_wrong = 0;
	unsigned int nr_files;
	uint64_t seed;
	bool is_check;
	char path[256];

	if (argc != 5 || (strcmp(argv[1], "write") != 0 && strcmp(argv[1], "check") != 0)) {
		fputs("usage: tree {write|check} FOLDER SEED FILES\n", stderr);
		return 2;
	}
	is_check = strcmp(argv[1], "check") == 0;
	seed = strtoull(argv[3], NULL, 0);
	nr_files = (unsigned int)strtoul(argv[4], NULL, 0);
	for (unsigned int i = 0; i < nr_files; i++) {
		size_t size = make_file(seed, i);

		name_file(path, sizeof(path), argv[2], i);
		nr_bytes += size;
		if ((is_check ? check_file(path, size) : write_file(path, argv[2], size)) == 0)
			continue;
		if (nr_wrong++ < 5)
			fprintf(stderr, "GUEST-NOTE tree: %s: %s\n", path,
				errno ? strerror(errno) : "other bytes than were written");
	}
	printf("files=%u bytes=%llu wrong=%llu equal=%s\n", nr_files, nr_bytes, nr_wrong,
	       nr_wrong == 0 ? "yes" : "no");
	return nr_wrong > 0;
}
