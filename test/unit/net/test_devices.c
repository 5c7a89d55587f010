/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_devices.c - many devices, each with a front-end: what one takes, what it leaves.
 */
#include <malloc.h>
#include <sys/mman.h>

#include "device.h"
#include "model/frontend.h"
#include "unit/peer.h"
#include "vhostcore_net.h"

#define NR_DEVICES 128
#define MEMORY_LEN (2 * FRONTEND_RINGS_LEN)

/* What one that does nothing may take, all its front-end has apart. */
#define IDLE_BYTES_MAX (64 * 1024)

static struct frontend fronts[NR_DEVICES];
static struct vhc_server *servers[NR_DEVICES];
static uint8_t *memory;
static int memory_fd;

static size_t
heap_in_use(void)
{
	struct mallinfo2 heap = mallinfo2();

	return heap.uordblks + heap.hblkhd;
}

static void
make_front_ends(uint64_t features)
{
	memory_fd = memfd_create("guests", MFD_CLOEXEC);
	CHECK(memory_fd >= 0);
	CHECK_EQ(ftruncate(memory_fd, NR_DEVICES * MEMORY_LEN), 0);
	memory = mmap(NULL, NR_DEVICES * MEMORY_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd,
		      0);
	CHECK(memory != MAP_FAILED);
	for (unsigned int i = 0; i < NR_DEVICES; i++)
		frontend_init(&fronts[i], &(struct frontend_conf){
			.features = features,
			.ring_size = 256,
			.memory_fd = memory_fd,
			.file_offset = i * MEMORY_LEN,
			.memory = memory + i * MEMORY_LEN,
			.memory_len = MEMORY_LEN,
		});
}

static void
drop_front_ends(void)
{
	for (unsigned int i = 0; i < NR_DEVICES; i++)
		frontend_fini(&fronts[i]);
	munmap(memory, NR_DEVICES * MEMORY_LEN);
	close(memory_fd);
}

static void
attach(unsigned int nr)
{
	struct peer_path path;
	char name[16];
	struct vhc_device_info info;

	snprintf(name, sizeof(name), "%u", nr);
	path = peer_path(name);
	CHECK_EQ(vhc_server_create(&(struct vhc_server_opts){
		.name = name, .path = path.text, .nr_rings = 2, .cls = vhc_net_class(),
	}, &servers[nr]), 0);
	CHECK_EQ(vhc_server_start(servers[nr]), 0);
	frontend_connect(&fronts[nr], path.text);
	vhc_device_info(vhc_server_device(servers[nr]), &info);
	CHECK_EQ(info.stage, VHC_STAGE_RUNNING);
}

/* Returns bytes on the heap by device. */
static size_t
attach_all_and_leave(uint64_t features)
{
	size_t before, taken;

	make_front_ends(features);
	before = heap_in_use();
	for (unsigned int i = 0; i < NR_DEVICES; i++)
		attach(i);
	taken = heap_in_use() - before;
	for (unsigned int i = 0; i < NR_DEVICES; i++)
		vhc_server_destroy(servers[i]);
	drop_front_ends();
	return taken / NR_DEVICES;
}

static void
an_idle_device_is_small(void)
{
	const uint64_t modern = BIT64(VIRTIO_F_VERSION_1_BIT);
	const uint64_t packed = modern | BIT64(VIRTIO_F_RING_PACKED_BIT);

	CHECK(attach_all_and_leave(modern) <= IDLE_BYTES_MAX);
	CHECK(attach_all_and_leave(packed) <= IDLE_BYTES_MAX);
}

/* The first time round has filled what is kept once a process. */
static void
devices_leave_nothing(void)
{
	size_t before = heap_in_use();
	int nr_files = peer_nr_open_fds();

	attach_all_and_leave(BIT64(VIRTIO_F_VERSION_1_BIT));
	CHECK_EQ(peer_nr_open_fds(), nr_files);
	/* The C library keeps a thread's few freed blocks counted as in use. */
	CHECK(heap_in_use() < before + NR_DEVICES * sizeof(struct vhc_device) / 4);
}

static const struct test tests[] = {
	TEST(an_idle_device_is_small),
	TEST(devices_leave_nothing),
};

static void
keep_quiet(enum vhc_log_level level, const char *line, void *arg)
{
	(void)arg;
	if (level <= VHC_LOG_WARNING)
		fprintf(stderr, "%s\n", line);
}

int
main(void)
{
	int rc;

	vhc_log_set_sink(keep_quiet, NULL);
	peer_make_folder();
	rc = RUN_TESTS(tests);
	peer_remove_folder();
	return rc;
}
