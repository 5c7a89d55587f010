/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_frame.c - messages cut into every possible pieces, and streams that break.
 */
#define _GNU_SOURCE 1

#include "../peer.h"

#include "wire/frame.h"

#define HEADER_LEN sizeof(struct vhost_user_header)

static struct frame_reader reader;
static char reason[FRAME_REASON_LEN];
static int ours, theirs;
static int nr_fds_before;

static void
open_pair(void)
{
	int pair[2];

	nr_fds_before = peer_nr_open_fds();
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	ours = pair[0];
	theirs = pair[1];
	reason[0] = '\0';
}

/* Nothing may be left open once the reader has forgotten what it read. */
static void
close_pair(void)
{
	vhc_frame_reader_reset(&reader);
	close(ours);
	if (theirs >= 0)
		close(theirs);
	CHECK_EQ(peer_nr_open_fds(), nr_fds_before);
}

static void
hang_up(void)
{
	close(theirs);
	theirs = -1;
}

static enum frame_result
read_frame(void)
{
	return vhc_frame_read(&reader, ours, reason);
}

static void
test_whole_message_with_descriptor(void)
{
	uint64_t payload = 0x0123456789abcdef;
	int fd;

	open_pair();
	peer_request(theirs, VHOST_USER_SET_VRING_CALL, 0x9, &payload, sizeof(payload), 1);
	CHECK_EQ(read_frame(), FRAME_READY);
	CHECK_EQ(reader.msg.request, VHOST_USER_SET_VRING_CALL);
	CHECK_EQ(reader.msg.flags, 0x9);
	CHECK_EQ(reader.msg.size, 8);
	CHECK(reader.msg.payload.u64 == payload);
	CHECK_EQ(reader.msg.nr_fds, 1);
	fd = vhc_msg_take_fd(&reader.msg, 0);
	CHECK(fd >= 0);
	CHECK_EQ(vhc_msg_take_fd(&reader.msg, 0), -1);
	CHECK_EQ(vhc_msg_take_fd(&reader.msg, 1), -1);
	CHECK_EQ(read_frame(), FRAME_AGAIN);
	CHECK_EQ(eventfd_write(fd, 1), 0);	/* a taken one outlives the message */
	close(fd);
	close_pair();
}

static void
test_byte_at_a_time(void)
{
	struct { struct vhost_user_header header; struct vhost_vring_addr addr; } message = {
		{ VHOST_USER_SET_VRING_ADDR, 1, sizeof(struct vhost_vring_addr) },
		{ .index = 3, .log_guest_addr = UINT64_MAX },
	};
	const uint8_t *bytes = (const uint8_t *)&message;
	size_t gap = offsetof(__typeof__(message), addr) - HEADER_LEN;

	_Static_assert(sizeof(message) == HEADER_LEN + 40 + 4, "with 4 bytes between the two");
	open_pair();
	CHECK(!vhc_frame_is_partial(&reader));
	for (size_t i = 0; i < HEADER_LEN + 40; i++) {
		size_t at = i < HEADER_LEN ? i : i + gap;

		CHECK_EQ(read_frame(), FRAME_AGAIN);
		CHECK_EQ(vhc_frame_is_partial(&reader), i > 0);
		CHECK_EQ(reader.msg.request, i < HEADER_LEN ? 0 : VHOST_USER_SET_VRING_ADDR);
		peer_send(theirs, bytes + at, 1, i == 0 ? 2 : 0);
	}
	CHECK_EQ(read_frame(), FRAME_READY);
	CHECK(!vhc_frame_is_partial(&reader));
	CHECK(memcmp(&reader.msg.payload, &message.addr, sizeof(message.addr)) == 0);
	CHECK_EQ(reader.msg.nr_fds, 2);
	close_pair();
}

static void
test_descriptors_stay_with_their_message(void)
{
	uint64_t payload = 0;

	open_pair();
	peer_request(theirs, VHOST_USER_SET_FEATURES, 1, &payload, sizeof(payload), 0);
	peer_request(theirs, VHOST_USER_SET_VRING_KICK, 1, &payload, sizeof(payload), 1);
	peer_request(theirs, VHOST_USER_SET_OWNER, 1, NULL, 0, 0);
	CHECK_EQ(read_frame(), FRAME_READY);
	CHECK_EQ(reader.msg.nr_fds, 0);
	CHECK_EQ(read_frame(), FRAME_READY);
	CHECK_EQ(reader.msg.nr_fds, 1);
	CHECK_EQ(read_frame(), FRAME_READY);
	CHECK_EQ(reader.msg.request, VHOST_USER_SET_OWNER);
	CHECK_EQ(reader.msg.nr_fds, 0);
	CHECK_EQ(read_frame(), FRAME_AGAIN);
	close_pair();
}

static void
test_untaken_descriptors_are_closed_by_the_next_read(void)
{
	int nr_open;

	open_pair();
	peer_request(theirs, VHOST_USER_SET_OWNER, 1, NULL, 0, 7);
	nr_open = peer_nr_open_fds();
	CHECK_EQ(read_frame(), FRAME_READY);
	CHECK_EQ(peer_nr_open_fds(), nr_open + 7);
	CHECK_EQ(read_frame(), FRAME_AGAIN);
	CHECK_EQ(peer_nr_open_fds(), nr_open);
	close_pair();
}

static void
test_payload_is_zero_beyond_what_arrived(void)
{
	uint8_t ones[sizeof(union vhost_user_payload)];
	const uint8_t *payload = (const uint8_t *)&reader.msg.payload;

	memset(ones, 0xff, sizeof(ones));
	open_pair();
	peer_request(theirs, VHOST_USER_SET_MEM_TABLE, 1, ones, sizeof(ones), 0);
	CHECK_EQ(read_frame(), FRAME_READY);
	CHECK_EQ(reader.msg.size, sizeof(ones));
	peer_request(theirs, VHOST_USER_SET_FEATURES, 1, ones, 3, 0);
	CHECK_EQ(read_frame(), FRAME_READY);
	CHECK_EQ(payload[2], 0xff);
	for (size_t i = 3; i < sizeof(ones); i++)
		CHECK_EQ(payload[i], 0);
	close_pair();
}

static void
test_end_between_messages_is_clean(void)
{
	open_pair();
	peer_request(theirs, VHOST_USER_SET_OWNER, 1, NULL, 0, 0);
	hang_up();
	CHECK_EQ(read_frame(), FRAME_READY);
	CHECK_EQ(read_frame(), FRAME_EOF);
	close_pair();
}

static void
test_killed_peer_with_unread_replies_is_an_end(void)
{
	open_pair();
	CHECK_EQ(vhc_frame_reply(ours, 1, &(uint64_t){ 0 }, 8, NULL, 0), 0);
	hang_up();
	CHECK_EQ(read_frame(), FRAME_EOF);
	close_pair();
}

static void
test_end_within_a_message_is_bad(void)
{
	struct vhost_user_header header = { VHOST_USER_SET_VRING_NUM, 1, 8 };

	for (size_t cut = 1; cut < HEADER_LEN + 8; cut++) {
		open_pair();
		peer_send(theirs, &header, cut < HEADER_LEN ? cut : HEADER_LEN, 1);
		if (cut > HEADER_LEN)
			peer_send(theirs, "1234567", cut - HEADER_LEN, 0);
		CHECK_EQ(read_frame(), FRAME_AGAIN);
		CHECK(vhc_frame_is_partial(&reader));
		hang_up();
		CHECK_EQ(read_frame(), FRAME_BAD);
		CHECK_HAS(reason, cut < HEADER_LEN ? "a message" : "SET_VRING_NUM");
		close_pair();
	}
}

static void
expect_bad_header(uint32_t request, uint32_t flags, uint32_t size, const char *words)
{
	struct vhost_user_header header = { request, flags, size };

	open_pair();
	peer_send(theirs, &header, sizeof(header), 3);
	CHECK_EQ(read_frame(), FRAME_BAD);
	CHECK_HAS(reason, words);
	close_pair();
}

static void
test_bad_headers(void)
{
	expect_bad_header(VHOST_USER_SET_FEATURES, 0x0, 8, "SET_FEATURES (2)");
	expect_bad_header(VHOST_USER_SET_FEATURES, 0x2, 8, "version");
	expect_bad_header(VHOST_USER_SET_FEATURES, 0x3, 8, "version");
	expect_bad_header(VHOST_USER_SET_FEATURES, 0x5, 8, "reply");
	expect_bad_header(VHOST_USER_SET_MEM_TABLE, 0x1, sizeof(union vhost_user_payload) + 1,
			  "larger");
	expect_bad_header(999, 0x1, UINT32_MAX, "unknown request (999)");
}

static void
test_reserved_flags_are_ignored(void)
{
	open_pair();
	peer_request(theirs, VHOST_USER_SET_OWNER, 0xfffffff9, NULL, 0, 0);
	CHECK_EQ(read_frame(), FRAME_READY);
	close_pair();
}

static void
test_descriptors_after_the_first_byte_are_bad(void)
{
	struct vhost_user_header header = { VHOST_USER_SET_VRING_KICK, 1, 8 };

	open_pair();
	peer_send(theirs, &header, sizeof(header), 1);
	peer_send(theirs, "12345678", 8, 1);
	CHECK_EQ(read_frame(), FRAME_BAD);
	CHECK_HAS(reason, "in the middle");
	close_pair();

	open_pair();
	peer_send(theirs, &header, 4, 0);
	CHECK_EQ(read_frame(), FRAME_AGAIN);
	peer_send(theirs, (const uint8_t *)&header + 4, 8, 1);
	CHECK_EQ(read_frame(), FRAME_BAD);
	close_pair();
}

static void
test_too_many_descriptors_are_bad_and_closed(void)
{
	open_pair();
	peer_request(theirs, VHOST_USER_SET_OWNER, 1, NULL, 0, 33);
	CHECK_EQ(read_frame(), FRAME_BAD);
	CHECK_HAS(reason, "more than 32 descriptors");
	close_pair();
}

static void
test_reply_is_one_message_with_flags_5(void)
{
	struct { struct vhost_user_header header; uint8_t payload[8]; uint8_t more; } got;
	uint64_t payload = 0x1122334455667788;

	open_pair();
	CHECK_EQ(vhc_frame_reply(ours, VHOST_USER_GET_FEATURES, &payload, sizeof(payload), NULL, 0),
		 0);
	CHECK_EQ(recv(theirs, &got, sizeof(got), 0), 20);
	CHECK_EQ(got.header.request, VHOST_USER_GET_FEATURES);
	CHECK_EQ(got.header.flags, 0x5);
	CHECK_EQ(got.header.size, 8);
	CHECK(memcmp(got.payload, &payload, 8) == 0);
	close_pair();
}

static void
test_reply_carries_a_descriptor(void)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(16)));
	struct vhost_user_header header;
	struct iovec part = { &header, sizeof(header) };
	struct msghdr mh = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
			     .msg_controllen = sizeof(control) };
	int fd;

	open_pair();
	CHECK_EQ(vhc_frame_reply(ours, 31, NULL, 0, &ours, 1), 0);
	CHECK_EQ(recvmsg(theirs, &mh, 0), sizeof(header));
	CHECK(CMSG_FIRSTHDR(&mh));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof(fd));
	close(fd);
	close_pair();
}

static void
test_peer_who_does_not_read_replies_is_found_out(void)
{
	uint64_t payload = 0;
	int rc = 0;

	open_pair();
	for (int i = 0; i < 100000 && rc == 0; i++)
		rc = vhc_frame_reply(ours, VHOST_USER_GET_FEATURES, &payload, 8, NULL, 0);
	CHECK_EQ(rc, -EAGAIN);
	close_pair();
}

/* ---- the other way: we ask ------------------------------------------------------------------ */

static void
test_only_replies_come_where_we_ask(void)
{
	uint64_t value = 7;

	open_pair();
	reader.of_replies = true;
	for (uint32_t request = 0; request < 4; request++) {
		peer_request(theirs, request, VHOST_USER_VERSION | VHOST_USER_REPLY_MASK, &value,
			     sizeof(value), request);
		CHECK_EQ(read_frame(), FRAME_READY);
		CHECK_EQ(reader.msg.request, request);
		CHECK_EQ(reader.msg.payload.u64, 7);
		CHECK_EQ(reader.msg.nr_fds, request);
	}
	CHECK_EQ(read_frame(), FRAME_AGAIN);
	peer_request(theirs, 2, VHOST_USER_VERSION, &value, sizeof(value), 0);
	CHECK_EQ(read_frame(), FRAME_BAD);
	CHECK_HAS(reason,
		  "an answer (2), flags 0x1, 8 bytes of payload: it is not marked as a reply");
	hang_up();
	close_pair();
	reader.of_replies = false;
}

static void
test_a_request_of_ours(void)
{
	struct { struct vhost_user_header header; uint8_t payload[4]; } got;

	open_pair();
	for (int needs_reply = 0; needs_reply < 2; needs_reply++) {
		CHECK_EQ(vhc_frame_request(ours, 3, needs_reply, "abcd", 4, NULL, 0), 0);
		CHECK_EQ(recv(theirs, &got, sizeof(got), 0), sizeof(got));
		CHECK_EQ(got.header.request, 3);
		CHECK_EQ(got.header.flags, needs_reply ? 0x9 : 0x1);
		CHECK_EQ(got.header.size, 4);
		CHECK(memcmp(got.payload, "abcd", 4) == 0);
	}
	close_pair();
}

/* What does not fit leaves nothing behind: the stream goes on with the next whole message. */
static void
test_requests_do_not_go_in_parts(void)
{
	struct { struct vhost_user_header header; uint64_t number; } __attribute__((packed)) got;
	uint64_t nr = 0;
	int rc;

	open_pair();
	while ((rc = vhc_frame_request(ours, 2, true, &nr, sizeof(nr), NULL, 0)) == 0)
		nr++;
	CHECK_EQ(rc, -EAGAIN);
	for (uint64_t i = 0; i < nr; i++) {
		CHECK_EQ(recv(theirs, &got, sizeof(got), 0), sizeof(got));
		CHECK_EQ(got.header.request, 2);
		CHECK_EQ(got.number, i);
	}
	CHECK_EQ(recv(theirs, &got, sizeof(got), 0), -1);
	CHECK_EQ(vhc_frame_request(ours, 2, true, &nr, sizeof(nr), NULL, 0), 0);
	CHECK_EQ(recv(theirs, &got, sizeof(got), 0), sizeof(got));
	CHECK_EQ(got.number, nr);
	close_pair();
}

static const struct test tests[] = {
	TEST(test_whole_message_with_descriptor),
	TEST(test_byte_at_a_time),
	TEST(test_descriptors_stay_with_their_message),
	TEST(test_untaken_descriptors_are_closed_by_the_next_read),
	TEST(test_payload_is_zero_beyond_what_arrived),
	TEST(test_end_between_messages_is_clean),
	TEST(test_killed_peer_with_unread_replies_is_an_end),
	TEST(test_end_within_a_message_is_bad),
	TEST(test_bad_headers),
	TEST(test_reserved_flags_are_ignored),
	TEST(test_descriptors_after_the_first_byte_are_bad),
	TEST(test_too_many_descriptors_are_bad_and_closed),
	TEST(test_reply_is_one_message_with_flags_5),
	TEST(test_reply_carries_a_descriptor),
	TEST(test_peer_who_does_not_read_replies_is_found_out),
	TEST(test_only_replies_come_where_we_ask),
	TEST(test_a_request_of_ours),
	TEST(test_requests_do_not_go_in_parts),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
