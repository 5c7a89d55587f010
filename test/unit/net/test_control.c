/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_control.c - commands of every length and content, each at the end of a page nobody may pass.
 *
 * What a command does on a ring, and who may send it, is in test/wire/test_control.py.
 */
#define _GNU_SOURCE 1

#include "../check.h"

#include <sys/mman.h>

#include "net/control.h"
#include "spec/virtio_net.h"

#define ROUNDS		300000
#define DATA_MAX	40
#define NR_RINGS	8
#define ALL_FEATURES	UINT64_MAX

static uint8_t *page_end;
static struct net_state state;

static void
map_page(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			      -1, 0);

	CHECK(pages != MAP_FAILED);
	CHECK_EQ(mprotect(pages + page, page, PROT_NONE), 0);
	page_end = pages + page;
}

static enum ring_fault
tell(const uint8_t *raw, uint32_t len, uint8_t *ack)
{
	const struct vhc_command command = {
		.raw = page_end - len,
		.len = len,
		.features = ALL_FEATURES,
		.nr_rings = NR_RINGS,
	};

	memcpy(page_end - len, raw, len);
	return vhc_net_command(&state, &command, ack);
}

static void
check_sane(void)
{
	CHECK(state.nr_pairs <= NR_RINGS / 2);
	CHECK(state.nr_unicast <= DATA_MAX / 6);
	CHECK(state.nr_multicast <= DATA_MAX / 6);
	CHECK(!(state.mac[0] & 1));
}

/* Small numbers are more likely to be right than any. */
static uint8_t
random_byte(void)
{
	return (uint8_t)(random() & 3 ? random() & 7 : random());
}

/* The lengths of the commands there are, and any other. */
static uint32_t
random_len(void)
{
	static const uint32_t usual[] = { 2, 3, 4, 8, 10, 16 };

	return random() & 1 ? usual[(size_t)random() % VHC_ARRAY_LEN(usual)] :
			      (uint32_t)random() % (2 + DATA_MAX + 1);
}

static void
test_random_commands(void)
{
	uint64_t nr_done = 0, nr_bad = 0;

	memset(&state, 0, sizeof(state));
	for (int i = 0; i < ROUNDS; i++) {
		uint8_t raw[2 + DATA_MAX], ack = 0x55;
		uint32_t len = random_len();
		enum ring_fault fault;

		for (uint32_t k = 0; k < len; k++)
			raw[k] = random_byte();
		fault = tell(raw, len, &ack);
		CHECK(ack == VIRTIO_NET_OK || ack == VIRTIO_NET_ERR);
		CHECK(fault == RING_FAULT_NONE || fault == RING_FAULT_CTRL_BAD);
		CHECK(ack == VIRTIO_NET_ERR || fault == RING_FAULT_NONE);
		nr_done += ack == VIRTIO_NET_OK;
		nr_bad += fault != RING_FAULT_NONE;
		check_sane();
	}
	CHECK_EQ(state.nr_commands, ROUNDS);
	CHECK_EQ(state.nr_refused + nr_done, ROUNDS);
	CHECK(nr_done > ROUNDS / 1000);
	CHECK(nr_bad > ROUNDS / 100);
}

/* Every prefix of a right command is wrong, and changes nothing. */
static void
test_prefixes(void)
{
	static const uint8_t table[] = {
		VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET,
		2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2,
		1, 0, 0, 0, 1, 0, 0x5e, 0, 0, 1,
	};
	uint8_t ack;

	memset(&state, 0, sizeof(state));
	for (uint32_t len = 0; len < sizeof(table); len++) {
		CHECK_EQ(tell(table, len, &ack), RING_FAULT_CTRL_BAD);
		CHECK_EQ(ack, VIRTIO_NET_ERR);
		CHECK_EQ(state.nr_unicast + state.nr_multicast, 0);
	}
	CHECK_EQ(tell(table, sizeof(table), &ack), RING_FAULT_NONE);
	CHECK_EQ(ack, VIRTIO_NET_OK);
	CHECK_EQ(state.nr_unicast, 2);
	CHECK_EQ(state.nr_multicast, 1);
}

static void
test_place_of_the_ring(void)
{
	uint64_t ctrl = UINT64_C(1) << VIRTIO_NET_F_CTRL_VQ_BIT;
	uint64_t mq = UINT64_C(1) << VIRTIO_NET_F_MQ_BIT;

	CHECK_EQ(vhc_net_control_ring(mq, 8), VHC_NO_RING);
	CHECK_EQ(vhc_net_control_ring(ctrl | mq, 8), 8);
	CHECK_EQ(vhc_net_control_ring(ctrl, 8), 2);
	CHECK_EQ(vhc_net_control_ring(ctrl, 2), 2);
	CHECK(vhc_net_control_features(254) & ctrl);
	CHECK_EQ(vhc_net_control_features(256), 0);
}

static void
test_rings_in_use(void)
{
	struct net_state said = { .nr_pairs = 2 };

	memset(&state, 0, sizeof(state));
	for (uint16_t i = 0; i < NR_RINGS; i++) {
		CHECK_EQ(vhc_net_ring_in_use(&state, i), i == 0 || (i & 1));
		CHECK_EQ(vhc_net_ring_in_use(&said, i), i == 0 || i == 2 || (i & 1));
	}
}

static const struct test tests[] = {
	TEST(test_random_commands),
	TEST(test_prefixes),
	TEST(test_place_of_the_ring),
	TEST(test_rings_in_use),
};

int
main(void)
{
	map_page();
	return RUN_TESTS(tests);
}
