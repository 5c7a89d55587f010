/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_io.c - operations on an image against one in memory, while the kernel does them by halves.
 *
 * On io_uring, without it, and on memory; in a file on a disk and in one that cannot be told to
 * have zeros (a memfd).
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "disk/image.h"
#include "disk/io.h"
#include "unit/check.h"
#include "wire/below.h"

#define NR_SECTORS	96u
#define IMAGE_LEN	(NR_SECTORS * SECTOR_SIZE)
#define NR_SPANS_MAX	12
#define NR_OPERATIONS	800
#define DEPTH		8

/* An operation with memory of its own. */
struct operation {
	struct io io;
	struct iovec spans[NR_SPANS_MAX];
	struct iovec before[NR_SPANS_MAX];
	uint8_t bytes[IMAGE_LEN];
	unsigned int nr_done;
	int result;
};

static struct image image;
static struct io_engine *engine;
static uint8_t model[IMAGE_LEN];
static struct operation operation, many[5 * DEPTH];

static void
on_done(struct io *io, int result)
{
	struct operation *of = (struct operation *)((char *)io - offsetof(struct operation, io));

	of->nr_done++;
	of->result = result;
}

/* ---- where the image is --------------------------------------------------------------------- */

static int
file_on_disk(void)
{
	char path[] = "/tmp/vhx-io-XXXXXX";
	int fd = mkstemp(path);

	unlink(path);
	return fd;
}

static void
open_image(int fd)
{
	static char path[64];

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, IMAGE_LEN), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_EQ(disk_image_open(&image, path, false), 0);
	close(fd);
}

static void
begin(bool has_ring)
{
	*below = (struct below){ .no_ring = !has_ring };
	memset(model, 0, sizeof(model));
	CHECK_EQ(disk_io_create(DEPTH, &engine), 0);
	if (has_ring && disk_io_fd(engine) < 0)
		printf("    (this kernel lets nobody have io_uring: call by call as well)\n");
	CHECK(has_ring || disk_io_fd(engine) < 0);
}

static void
end(void)
{
	CHECK_EQ(disk_io_nr_running(engine), 0);
	disk_io_destroy(engine);
	disk_image_close(&image);
}

/* ---- operations ----------------------------------------------------------------------------- */

/* Somewhere, of some length, in spans cut at random; empty ones there are not in a chain. */
static void
make(struct operation *of, enum io_kind kind)
{
	uint64_t nr = 1 + (uint64_t)rand() % 32, left = nr * SECTOR_SIZE;
	uint8_t *at = of->bytes;
	unsigned int i = 0;

	of->nr_done = 0;
	of->io = (struct io){
		.image = &image, .kind = kind, .len = left, .done = on_done, .spans = of->spans,
		.offset = (uint64_t)rand() % (NR_SECTORS - nr) * SECTOR_SIZE,
		.is_durable = rand() % 64 == 0, .may_unmap = rand() % 2,
	};
	for (uint64_t k = 0; k < left; k++)
		of->bytes[k] = (uint8_t)rand();
	while (left) {
		uint64_t len = i == NR_SPANS_MAX - 1 ? left : 1 + (uint64_t)rand() % left;

		of->spans[i++] = (struct iovec){ .iov_base = at, .iov_len = len };
		at += len;
		left -= len;
	}
	of->io.nr_spans = i;
	memcpy(of->before, of->spans, sizeof(of->spans));
}

static void
wait_for(struct operation *of)
{
	while (disk_io_nr_running(engine))
		disk_io_poll(engine);
	CHECK_EQ(of->nr_done, 1);
	CHECK(!of->io.copied);
	CHECK(memcmp(of->before, of->spans, sizeof(of->spans)) == 0);	/* they are the caller's */
}

static int
do_operation(struct operation *of)
{
	disk_io_start(engine, &of->io);
	wait_for(of);
	return of->result;
}

static void
check_image(void)
{
	uint8_t *seen = image.memory, copy[IMAGE_LEN];

	if (!seen) {
		CHECK_EQ(pread(image.fd, copy, IMAGE_LEN, 0), IMAGE_LEN);
		seen = copy;
	}
	CHECK(memcmp(seen, model, IMAGE_LEN) == 0);
}

static void
check_operation(const struct operation *of)
{
	uint8_t *at = model + of->io.offset;

	switch (of->io.kind) {
	case IO_READ:
		CHECK(memcmp(of->bytes, at, of->io.len) == 0);
		break;
	case IO_WRITE:
		memcpy(at, of->bytes, of->io.len);
		break;
	default:	/* zeroes that were to be durable end as a flush */
		memset(at, 0, of->io.len);
	}
}

static void
run_operations(void)
{
	static const enum io_kind kinds[] = {
		IO_READ, IO_READ, IO_WRITE, IO_WRITE, IO_WRITE, IO_DISCARD, IO_WRITE_ZEROES,
	};

	for (unsigned int i = 0; i < NR_OPERATIONS; i++) {
		below->part = i % 3 ? 1 + (uint32_t)rand() % 3000 : 0;
		make(&operation, kinds[(unsigned int)rand() % (sizeof(kinds) / sizeof(*kinds))]);
		CHECK_EQ(do_operation(&operation), 0);
		check_operation(&operation);
		check_image();
	}
}

/* ---- tests, one for each kind of engine and image ------------------------------------------- */

static void
check_durable(void)
{
	below->part = 0;
	below->nr_durable = below->nr_flushes = 0;
	make(&operation, IO_WRITE);
	operation.io.is_durable = true;
	CHECK_EQ(do_operation(&operation), 0);
	CHECK_EQ(below->nr_durable, 1);
	make(&operation, IO_READ);
	operation.io.is_durable = true;
	CHECK_EQ(do_operation(&operation), 0);
	CHECK_EQ(below->nr_durable, 1);
	CHECK_EQ(below->nr_flushes, 0);
	make(&operation, IO_WRITE_ZEROES);
	operation.io.is_durable = true;
	CHECK_EQ(do_operation(&operation), 0);
	CHECK_EQ(below->nr_flushes, 1);
	make(&operation, IO_FLUSH);
	CHECK_EQ(do_operation(&operation), 0);
	CHECK_EQ(below->nr_flushes, 2);
}

/* What the kernel says ends an operation; the next one is none the worse for it. */
static void
check_failures(void)
{
	for (enum io_kind kind = IO_READ; kind <= IO_WRITE_ZEROES; kind++) {
		below->fail = 1;
		make(&operation, kind);
		CHECK(do_operation(&operation) < 0);
		below->fail = 0;
		make(&operation, IO_READ);
		CHECK_EQ(do_operation(&operation), 0);
	}
	CHECK_EQ(ftruncate(image.fd, IMAGE_LEN / 2), 0);
	for (uint32_t part = 0; part < 2000; part += 700) {
		below->part = part;
		do
			make(&operation, IO_READ);
		while (operation.io.len == SECTOR_SIZE);
		operation.io.offset = IMAGE_LEN / 2 - SECTOR_SIZE * (part != 0);
		CHECK_EQ(do_operation(&operation), -EIO);
	}
}

/* More than the engine has room for, all at once; memory of their own, and places. */
static void
check_many(void)
{
	const unsigned int nr = sizeof(many) / sizeof(*many);

	below->part = 400;
	for (unsigned int i = 0; i < nr; i++) {
		make(&many[i], IO_WRITE);
		many[i].io.offset = (uint64_t)i * 2 * SECTOR_SIZE;
		many[i].io.len = 2 * SECTOR_SIZE;
		many[i].io.nr_spans = 1;
		many[i].spans[0].iov_len = 2 * SECTOR_SIZE;
		memcpy(many[i].before, many[i].spans, sizeof(many[i].spans));
		memset(many[i].bytes, (int)i + 1, 2 * SECTOR_SIZE);
		disk_io_start(engine, &many[i].io);
	}
	for (unsigned int i = 0; i < nr; i++) {
		wait_for(&many[i]);
		CHECK_EQ(many[i].result, 0);
		check_operation(&many[i]);
	}
	check_image();
}

static void
test_file(int fd, bool has_ring)
{
	open_image(fd);
	begin(has_ring);
	run_operations();
	check_many();
	check_durable();
	check_failures();
	end();
}

static void
test_ring_and_disk(void)
{
	test_file(file_on_disk(), true);
}

static void
test_calls_and_disk(void)
{
	test_file(file_on_disk(), false);
}

static void
test_ring_and_memfd(void)
{
	test_file(memfd_create("image", 0), true);
}

static void
test_calls_and_memfd(void)
{
	test_file(memfd_create("image", 0), false);
}

static void
test_memory(void)
{
	CHECK_EQ(disk_image_allocate(&image, IMAGE_LEN), 0);
	begin(false);
	run_operations();
	check_many();
	end();
}

int
main(void)
{
	static const struct test tests[] = {
		TEST(test_ring_and_disk), TEST(test_calls_and_disk), TEST(test_ring_and_memfd),
		TEST(test_calls_and_memfd), TEST(test_memory),
	};

	srand(1);
	return RUN_TESTS(tests);
}
