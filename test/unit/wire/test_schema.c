/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_schema.c - every request with every size and number of descriptors, right and wrong.
 */
#define _GNU_SOURCE 1

#include "../check.h"

#include <errno.h>

#include "wire/schema.h"

/* The specification's table, written down a second time, in other words. */
static const struct {
	uint32_t request;
	const char *name;
	uint32_t size;		/* both with an all-zero payload */
	unsigned int nr_fds;
	bool has_body;
	int gate;
} expected[] = {
	{ 1, "GET_FEATURES", 0, 0, true, -1 },
	{ 2, "SET_FEATURES", 8, 0, false, -1 },
	{ 3, "SET_OWNER", 0, 0, false, -1 },
	{ 4, "RESET_OWNER", 0, 0, false, -1 },
	{ 5, "SET_MEM_TABLE", 8, 0, false, -1 },
	{ 6, "SET_LOG_BASE", 16, 1, true, 1 },
	{ 7, "SET_LOG_FD", 0, 1, false, -1 },
	{ 8, "SET_VRING_NUM", 8, 0, false, -1 },
	{ 9, "SET_VRING_ADDR", 40, 0, false, -1 },
	{ 10, "SET_VRING_BASE", 8, 0, false, -1 },
	{ 11, "GET_VRING_BASE", 8, 0, true, -1 },
	{ 12, "SET_VRING_KICK", 8, 1, false, -1 },
	{ 13, "SET_VRING_CALL", 8, 1, false, -1 },
	{ 14, "SET_VRING_ERR", 8, 1, false, -1 },
	{ 15, "GET_PROTOCOL_FEATURES", 0, 0, true, -1 },
	{ 16, "SET_PROTOCOL_FEATURES", 8, 0, false, -1 },
	{ 17, "GET_QUEUE_NUM", 0, 0, true, 0 },
	{ 18, "SET_VRING_ENABLE", 8, 0, false, -1 },
	{ 19, "SEND_RARP", 8, 0, false, 2 },
	{ 20, "NET_SET_MTU", 8, 0, false, 4 },
	{ 21, "SET_BACKEND_REQ_FD", 0, 1, false, 5 },
	{ 22, "IOTLB_MSG", 32, 0, false, -1 },
	{ 24, "GET_CONFIG", 12, 0, true, 9 },
	{ 25, "SET_CONFIG", 12, 0, false, 9 },
	{ 28, "POSTCOPY_ADVISE", 0, 0, true, 8 },
	{ 29, "POSTCOPY_LISTEN", 0, 0, false, 8 },
	{ 30, "POSTCOPY_END", 0, 0, false, 8 },
	{ 31, "GET_INFLIGHT_FD", 24, 0, true, 12 },
	{ 32, "SET_INFLIGHT_FD", 24, 1, false, 12 },
	{ 34, "RESET_DEVICE", 0, 0, false, 13 },
	{ 36, "GET_MAX_MEM_SLOTS", 0, 0, true, 15 },
	{ 37, "ADD_MEM_REG", 40, 1, false, 15 },
	{ 38, "REM_MEM_REG", 40, 0, false, 15 },
	{ 39, "SET_STATUS", 8, 0, false, 16 },
	{ 40, "GET_STATUS", 0, 0, true, 16 },
	{ 42, "SET_DEVICE_STATE_FD", 8, 1, true, 19 },
	{ 43, "CHECK_DEVICE_STATE", 0, 0, true, 19 },
};

static char reason[FRAME_REASON_LEN];

static int
check(uint32_t request, uint32_t size, unsigned int nr_fds, uint64_t u64)
{
	const struct schema_entry *entry;
	struct msg msg = { .request = request, .size = size, .payload.u64 = u64, .nr_fds = nr_fds };

	reason[0] = '\0';
	return vhc_frame_check(&msg, &entry, reason);
}

static void
test_entries_match_the_specification(void)
{
	for (size_t i = 0; i < VHC_ARRAY_LEN(expected); i++) {
		const struct schema_entry *entry = vhc_schema_find(expected[i].request);

		CHECK(entry && strcmp(entry->name, expected[i].name) == 0);
		CHECK_EQ(entry->reply == REPLY_BODY, expected[i].has_body);
		CHECK_EQ(entry->gate, expected[i].gate);
		CHECK(entry->gate == SCHEMA_NO_GATE || entry->needs_protocol_features);
	}
	CHECK(vhc_schema_find(15)->needs_protocol_features);
	CHECK(vhc_schema_find(16)->needs_protocol_features);
	CHECK(vhc_schema_find(18)->needs_protocol_features);
	CHECK(!vhc_schema_find(2)->needs_protocol_features);
}

static void
test_everything_else_is_unknown(void)
{
	size_t next = 0;

	for (uint32_t request = 0; request < 300; request++) {
		if (next < VHC_ARRAY_LEN(expected) && expected[next].request == request) {
			next++;
			continue;
		}
		CHECK(!vhc_schema_find(request));
		CHECK_EQ(check(request, 0, 0, 0), -EOPNOTSUPP);
	}
	CHECK_EQ(next, VHC_ARRAY_LEN(expected));
	CHECK_EQ(check(UINT32_MAX, 0, 0, 0), -EOPNOTSUPP);
	CHECK_HAS(reason, "4294967295");
}

static void
test_only_the_right_size_passes(void)
{
	for (size_t i = 0; i < VHC_ARRAY_LEN(expected); i++) {
		for (uint32_t size = 0; size <= sizeof(union vhost_user_payload); size++) {
			int rc = check(expected[i].request, size, expected[i].nr_fds, 0);
			bool has_room = expected[i].request == VHOST_USER_SET_MEM_TABLE &&
					size % 32 == expected[i].size;

			CHECK_EQ(rc, size == expected[i].size || has_room ? 0 : -EPROTO);
			if (rc)
				CHECK_HAS(reason, expected[i].name);
		}
	}
	CHECK_EQ(check(VHOST_USER_SET_VRING_NUM, 4, 0, 0), -EPROTO);
	CHECK(strcmp(reason, "SET_VRING_NUM: 4 bytes of payload, the protocol says 8") == 0);
}

static void
test_only_the_right_number_of_descriptors_passes(void)
{
	for (size_t i = 0; i < VHC_ARRAY_LEN(expected); i++) {
		for (unsigned int nr = 0; nr <= VHOST_USER_MEM_TABLE_REGIONS; nr++) {
			bool is_right = nr == expected[i].nr_fds ||
					(expected[i].request == VHOST_USER_REM_MEM_REG && nr == 1);

			CHECK_EQ(check(expected[i].request, expected[i].size, nr, 0),
				 is_right ? 0 : -EPROTO);
			if (!is_right)
				CHECK_HAS(reason, expected[i].name);
		}
	}
}

static void
test_no_descriptor_bit(void)
{
	static const uint32_t requests[] = { VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_CALL,
					     VHOST_USER_SET_VRING_ERR };

	for (size_t i = 0; i < VHC_ARRAY_LEN(requests); i++) {
		uint32_t request = requests[i];

		CHECK_EQ(check(request, 8, 0, VHOST_USER_VRING_NOFD_MASK | 5), 0);
		CHECK_EQ(check(request, 8, 1, VHOST_USER_VRING_NOFD_MASK | 5), -EPROTO);
		CHECK_HAS(reason, "bit set");
		CHECK_EQ(check(request, 8, 1, 5), 0);
		CHECK_EQ(check(request, 8, 0, 5), -EPROTO);
		CHECK_HAS(reason, "bit clear");
	}
	/* The bit means nothing elsewhere. */
	CHECK_EQ(check(VHOST_USER_SET_STATUS, 8, 1, VHOST_USER_VRING_NOFD_MASK), -EPROTO);
}

static void
test_memory_table_of_every_length(void)
{
	for (uint32_t nr = 0; nr <= VHOST_USER_MEM_TABLE_REGIONS; nr++) {
		uint32_t size = 8 + 32 * nr;

		CHECK_EQ(check(VHOST_USER_SET_MEM_TABLE, size, nr, nr), 0);
		CHECK_EQ(check(VHOST_USER_SET_MEM_TABLE, size, nr + 1, nr), -EPROTO);
		CHECK_EQ(check(VHOST_USER_SET_MEM_TABLE, size - 1, nr, nr), -EPROTO);
		CHECK_EQ(check(VHOST_USER_SET_MEM_TABLE, size + 31, nr, nr), -EPROTO);
		/* User-mode Linux: room for a region that does not count. */
		CHECK_EQ(check(VHOST_USER_SET_MEM_TABLE, size + 32, nr, nr), 0);
	}
	CHECK_EQ(check(VHOST_USER_SET_MEM_TABLE, 8 + 33 * 32, 32, 33), -EPROTO);
	/* 8 + 32 * nregions wraps to 8 in 32 bits. */
	CHECK_EQ(check(VHOST_USER_SET_MEM_TABLE, 8, 0, 0x08000000), -EPROTO);
	CHECK_EQ(check(VHOST_USER_SET_MEM_TABLE, 0, 0, 0), -EPROTO);
}

static int
check_config(uint32_t size, uint32_t offset, uint32_t nr)
{
	const struct schema_entry *entry;
	struct msg msg = { .request = VHOST_USER_GET_CONFIG, .size = size };

	msg.payload.config.offset = offset;
	msg.payload.config.size = nr;
	return vhc_frame_check(&msg, &entry, reason);
}

static void
test_configuration_lies_in_its_first_bytes(void)
{
	static const uint32_t large[] = { 257, 0x7fffffff, 0xfffffff4, UINT32_MAX };

	for (uint32_t nr = 0; nr <= 256; nr++) {
		CHECK_EQ(check_config(12 + nr, 0, nr), 0);
		CHECK_EQ(check_config(12 + nr, 256 - nr, nr), 0);
		CHECK_EQ(check_config(12 + nr, 257 - nr, nr), -EPROTO);
		CHECK_EQ(check_config(12 + nr, UINT32_MAX, nr), -EPROTO);
		CHECK_EQ(check_config(11 + nr, 0, nr), -EPROTO);
		CHECK_EQ(check_config(13 + nr, 0, nr), -EPROTO);
	}
	for (size_t i = 0; i < VHC_ARRAY_LEN(large); i++)
		CHECK_EQ(check_config(12 + large[i], 0, large[i]), -EPROTO);
}

static void
test_memory_without_descriptors_says_how_to_share(void)
{
	CHECK_EQ(check(VHOST_USER_SET_MEM_TABLE, 8 + 32 * 2, 0, 2), -EPROTO);
	CHECK_HAS(reason, "not shared");
	CHECK_HAS(reason, "share=on");
	CHECK_HAS(reason, "--single-file-segments");	/* the end: nothing is cut off */
}

static const struct test tests[] = {
	TEST(test_entries_match_the_specification),
	TEST(test_everything_else_is_unknown),
	TEST(test_only_the_right_size_passes),
	TEST(test_only_the_right_number_of_descriptors_passes),
	TEST(test_no_descriptor_bit),
	TEST(test_memory_table_of_every_length),
	TEST(test_configuration_lies_in_its_first_bytes),
	TEST(test_memory_without_descriptors_says_how_to_share),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
