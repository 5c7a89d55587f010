/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_queue_node.c - a real front-end's memory on each of this machine's nodes in turn, and where
 * the queues are then. With one node that is little; test_numa.py boots a guest with several.
 */
#define _GNU_SOURCE 1

#include <numa.h>
#include <sys/mman.h>

#include "mem/node.h"
#include "model/frontend.h"
#include "queue.h"
#include "vhostcore_memory.h"
#include "../kept_log.h"
#include "../peer.h"

#define MEMORY_LEN (2 * FRONTEND_RINGS_LEN)

static struct frontend front;
static uint8_t *memory;
static int memory_fd;

static void
make_guest_on(int node)
{
	memory_fd = memfd_create("guest", MFD_CLOEXEC);
	CHECK(memory_fd >= 0);
	CHECK_EQ(ftruncate(memory_fd, MEMORY_LEN), 0);
	memory = mmap(NULL, MEMORY_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	CHECK(memory != MAP_FAILED);
	numa_tonode_memory(memory, MEMORY_LEN, node);
	memset(memory, 0, MEMORY_LEN);
	frontend_init(&front, &(struct frontend_conf){
		.features = UINT64_C(1) << VIRTIO_F_VERSION_1_BIT, .ring_size = 256,
		.memory_fd = memory_fd, .memory = memory, .memory_len = MEMORY_LEN,
	});
}

static void
drop_guest(void)
{
	frontend_fini(&front);
	munmap(memory, MEMORY_LEN);
	close(memory_fd);
}

static void
check_node(struct vhc_device *dev, int node)
{
	CHECK_EQ(vhc_device_numa_node(dev), node);
	for (uint16_t i = 0; i < 2; i++) {
		const uint8_t *q = (const uint8_t *)vhc_device_queue(dev, i);

		CHECK_EQ(vhc_machine->of_memory(q), node);
		CHECK_EQ(vhc_machine->of_memory(q + sizeof(struct vhc_queue) - 1), node);
	}
}

/* One server outlives them all, and its queues have one address. */
static void
test_queues_follow_their_guests(void)
{
	struct peer_path path = peer_path("node");
	struct vhc_server *server;
	const struct vhc_queue *q;
	int nr = numa_num_configured_nodes();

	CHECK_EQ(vhc_server_create(&(struct vhc_server_opts){
		.name = "port", .path = path.text, .nr_rings = 2,
	}, &server), 0);
	q = vhc_device_queue(vhc_server_device(server), 0);
	CHECK_EQ(vhc_device_numa_node(vhc_server_device(server)), -1);
	CHECK_EQ(vhc_server_start(server), 0);
	for (int round = 0; round < 10 * nr; round++) {
		make_guest_on((round + 1) % nr);
		frontend_connect(&front, path.text);
		check_node(vhc_server_device(server), (round + 1) % nr);
		CHECK(vhc_device_queue(vhc_server_device(server), 0) == q);
		frontend_disconnect(&front);
		drop_guest();
	}
	vhc_server_destroy(server);
	CHECK_EQ(log_count("stays where it is"), 0);
	printf("followed guests over %d nodes\n", nr);
}

static const struct test tests[] = {
	TEST(test_queues_follow_their_guests),
};

int
main(void)
{
	int rc;

	if (numa_available() < 0)
		SKIP("this kernel knows nothing of NUMA (CONFIG_NUMA)");
	vhc_log_set_sink(keep_line, NULL);
	peer_make_folder();
	rc = RUN_TESTS(tests);
	peer_remove_folder();
	return rc;
}
