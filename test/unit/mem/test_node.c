/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_node.c - pages moved by this machine's kernel. With one node they go where they are; with
 * several (test_numa.py boots such a guest) from each to each.
 */
#include "base/compiler.h"
#include "mem/node.h"

#include <errno.h>
#include <stdint.h>

#include <numa.h>

#include "unit/check.h"

#define LEN (9 * 4096 + 100)

static int
nr_nodes(void)
{
	return numa_available() < 0 ? 1 : numa_num_configured_nodes();
}

static void
test_every_node_and_back(void)
{
	uint8_t *bytes = vhc_node_alloc(LEN);

	CHECK(bytes);
	if (numa_available() < 0)
		SKIP("this kernel knows nothing of NUMA (CONFIG_NUMA)");
	for (size_t i = 0; i < LEN; i++) {
		CHECK_EQ(bytes[i], 0);
		bytes[i] = (uint8_t)(i * 7);
	}
	for (int round = 0; round < 2 * nr_nodes(); round++) {
		int node = (round + 1) % nr_nodes();

		CHECK_EQ(vhc_machine->has_many() ? vhc_node_move(bytes, LEN, node) : 0, 0);
		for (size_t i = 0; i < LEN; i++)
			CHECK_EQ(bytes[i], (uint8_t)(i * 7));
		for (size_t at = 0; at < LEN; at += 4096)
			CHECK_EQ(vhc_machine->of_memory(bytes + at), node);
	}
	printf("moved through %d nodes\n", nr_nodes());
	vhc_node_free(bytes, LEN);
}

/* Own pages where they may have to move, and not where they need not. */
static void
test_whose_pages(void)
{
	void *bytes = vhc_node_alloc(100);

	CHECK_EQ((uintptr_t)bytes % (vhc_machine->has_many() ? 4096 : 64), 0);
	CHECK_EQ(vhc_machine->has_many(), nr_nodes() > 1);
	vhc_node_free(bytes, 100);
}

static void
test_no_such_node(void)
{
	void *bytes = aligned_alloc(4096, 4096);

	CHECK(bytes);
	memset(bytes, 1, 4096);
	CHECK(vhc_node_move(bytes, 4096, 63) < 0);
	CHECK(vhc_node_move(bytes, 4096, -1) < 0);
	CHECK_EQ(vhc_machine->of_memory(NULL), -1);
	CHECK_EQ(vhc_machine->of_cpu(1 << 20), -1);
	CHECK(vhc_machine->of_cpu(0) >= -1);
	free(bytes);
}

static const struct test tests[] = {
	TEST(test_every_node_and_back),
	TEST(test_whose_pages),
	TEST(test_no_such_node),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
