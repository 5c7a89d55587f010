/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_messages.c - requests of the application's own, configuration, and hooks that misbehave.
 */
#define _GNU_SOURCE 1

#include "../kept_log.h"
#include "../peer.h"

#include "device.h"
#include "vhostcore_features.h"
#include "vhostcore_message.h"

#define OWN_REQUEST 200		/* not one of the specification's */
#define NEED_REPLY (VHOST_USER_VERSION | VHOST_USER_NEED_REPLY_MASK)

static struct vhc_server *server;
static int sock;

/* ---- hooks, told what to do ----------------------------------------------------------------- */

static int before_says, after_says;
static uint32_t reply_size;
static int fd_to_send;
static uint8_t config[32];

static void
fill_reply(struct vhc_message *message)
{
	message->size = reply_size;
	if (reply_size <= VHC_MESSAGE_PAYLOAD_MAX)
		memset(message->payload, 0xab, reply_size);
	if (fd_to_send >= 0) {
		message->fds = &fd_to_send;
		message->nr_fds = 1;
	}
}

static int
on_before(struct vhc_device *dev, struct vhc_message *message, void *arg)
{
	(void)dev;
	(void)arg;
	if (before_says == VHC_MESSAGE_REPLY)
		fill_reply(message);
	return before_says;
}

static int
on_after(struct vhc_device *dev, struct vhc_message *message, void *arg)
{
	(void)dev;
	(void)arg;
	if (after_says == VHC_MESSAGE_REPLY)
		fill_reply(message);
	return after_says;
}

static int
on_config_get(struct vhc_device *dev, uint8_t *bytes, uint32_t offset, uint32_t len, void *arg)
{
	(void)dev;
	(void)arg;
	if (offset + len > sizeof(config))
		return -EINVAL;
	memcpy(bytes, config + offset, len);
	return 0;
}

static int
on_config_set(struct vhc_device *dev, const uint8_t *bytes, uint32_t offset, uint32_t len,
	      bool is_migration, void *arg)
{
	(void)dev;
	(void)arg;
	if (offset + len > sizeof(config))
		return -EINVAL;
	memcpy(config + offset, bytes, len);
	config[31] = is_migration;
	return 0;
}

static const struct vhc_device_ops ops = {
	.message_before = on_before,
	.message_after = on_after,
	.config_get = on_config_get,
	.config_set = on_config_set,
};

/* ---- the conversation ----------------------------------------------------------------------- */

static void
receive(struct peer_message *m, uint32_t request, uint32_t size)
{
	memset(m, 0, sizeof(*m));
	CHECK_EQ(recv(sock, m, sizeof(m->header) + size, MSG_WAITALL), sizeof(m->header) + size);
	CHECK_EQ(m->header.request, request);
	CHECK_EQ(m->header.size, size);
	CHECK_EQ(m->header.flags, 5);
}

static void
begin(void)
{
	struct peer_path path = peer_path("own");
	struct vhc_server_opts opts = { .name = "own", .path = path.text, .nr_rings = 2,
					.ops = &ops };
	const uint64_t protocol = BIT64(VHOST_USER_PROTOCOL_F_REPLY_ACK_BIT) |
				  BIT64(VHOST_USER_PROTOCOL_F_CONFIG_BIT);
	struct peer_message m;

	before_says = after_says = VHC_MESSAGE_NOT_HANDLED;
	fd_to_send = -1;
	log_forget();
	CHECK_EQ(vhc_server_create(&opts, &server), 0);
	CHECK_EQ(vhc_server_start(server), 0);
	sock = peer_connect(path.text);
	peer_request(sock, VHOST_USER_SET_PROTOCOL_FEATURES, VHOST_USER_VERSION, &protocol,
		     sizeof(protocol), 0);
	/* Both were handled, before the hooks are told anything else. */
	peer_request(sock, VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, NULL, 0, 0);
	receive(&m, VHOST_USER_GET_FEATURES, 8);
}

static void
end(void)
{
	close(sock);
	vhc_server_destroy(server);
}

static uint64_t
ack_of(uint32_t request, const void *payload, uint32_t size)
{
	struct peer_message m;
	uint64_t ack;

	peer_request(sock, request, NEED_REPLY, payload, size, 0);
	receive(&m, request, sizeof(ack));
	memcpy(&ack, m.payload, sizeof(ack));
	return ack;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void
test_an_unknown_request_is_the_applications(void)
{
	struct peer_message m;
	uint64_t word = 7;

	begin();
	before_says = VHC_MESSAGE_OK;
	CHECK_EQ(ack_of(OWN_REQUEST, &word, sizeof(word)), 0);
	before_says = VHC_MESSAGE_ERR;
	CHECK_EQ(ack_of(OWN_REQUEST, &word, sizeof(word)), 1);
	CHECK(log_count("refused by the application") > 0);
	before_says = VHC_MESSAGE_NOT_HANDLED;
	after_says = VHC_MESSAGE_OK;
	CHECK_EQ(ack_of(OWN_REQUEST, &word, sizeof(word)), 0);
	after_says = VHC_MESSAGE_REPLY;
	reply_size = 12;
	peer_request(sock, OWN_REQUEST, VHOST_USER_VERSION, &word, sizeof(word), 0);
	receive(&m, OWN_REQUEST, 12);
	CHECK_EQ(m.payload[11], 0xab);
	after_says = VHC_MESSAGE_NOT_HANDLED;
	CHECK_EQ(ack_of(OWN_REQUEST, &word, sizeof(word)), 1);
	CHECK(log_count("request 200 is not one we know") > 0);
	end();
}

static void
test_descriptors_travel_both_ways(void)
{
	int pipe_fds[2], nr_fds;
	struct peer_message m;
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec part = { &m, sizeof(m) };
	struct msghdr mh = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
			     .msg_controllen = sizeof(control) };

	begin();
	nr_fds = peer_nr_open_fds();
	before_says = VHC_MESSAGE_REPLY;
	reply_size = 8;
	/* Two that nobody keeps: closed, and not sent back. */
	peer_request(sock, OWN_REQUEST, VHOST_USER_VERSION, NULL, 8, 2);
	receive(&m, OWN_REQUEST, 8);
	CHECK_EQ(peer_nr_open_fds(), nr_fds);
	CHECK_EQ(pipe(pipe_fds), 0);
	fd_to_send = pipe_fds[0];
	peer_request(sock, OWN_REQUEST, VHOST_USER_VERSION, NULL, 8, 0);
	CHECK_EQ(recvmsg(sock, &mh, MSG_CMSG_CLOEXEC), sizeof(m.header) + 8);
	CHECK(CMSG_FIRSTHDR(&mh) && CMSG_FIRSTHDR(&mh)->cmsg_type == SCM_RIGHTS);
	close(*(int *)(void *)CMSG_DATA(CMSG_FIRSTHDR(&mh)));
	close(pipe_fds[0]);	/* still ours */
	close(pipe_fds[1]);
	CHECK_EQ(peer_nr_open_fds(), nr_fds);
	end();
}

static void
test_a_known_request_can_be_taken_over(void)
{
	struct peer_message m;

	begin();
	before_says = VHC_MESSAGE_REPLY;
	reply_size = 8;
	peer_request(sock, VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, NULL, 0, 0);
	receive(&m, VHOST_USER_GET_FEATURES, 8);
	CHECK_EQ(m.payload[0], 0xab);
	before_says = VHC_MESSAGE_NOT_HANDLED;
	after_says = VHC_MESSAGE_REPLY;
	peer_request(sock, VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, NULL, 0, 0);
	receive(&m, VHOST_USER_GET_FEATURES, 8);
	CHECK_EQ(m.payload[7], 0xab);
	/* "Done" afterwards leaves the library's reply as it is. */
	after_says = VHC_MESSAGE_OK;
	peer_request(sock, VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, NULL, 0, 0);
	receive(&m, VHOST_USER_GET_FEATURES, 8);
	CHECK(m.payload[0] != 0xab);
	end();
}

static void
check_dropped(int before, uint32_t request, uint32_t size, const char *words)
{
	begin();
	before_says = before;
	reply_size = size;
	peer_request(sock, request, NEED_REPLY, NULL, 0, 0);
	CHECK(peer_is_closed(sock, 5000));
	CHECK(log_count(words) > 0);
	end();
}

static void
test_nonsense_of_a_hook_ends_the_connection(void)
{
	check_dropped(77, OWN_REQUEST, 0, "the application answered 77, which means nothing");
	check_dropped(-1, VHOST_USER_SET_OWNER, 0, "the application answered -1");
	check_dropped(VHC_MESSAGE_REPLY, OWN_REQUEST, VHC_MESSAGE_PAYLOAD_MAX + 1, "1025 bytes");
	check_dropped(VHC_MESSAGE_OK, VHOST_USER_GET_FEATURES, 0, "gave no reply");
}

static struct vhost_user_config
config_payload(uint32_t offset, uint32_t size, uint32_t flags)
{
	return (struct vhost_user_config){ .offset = offset, .size = size, .flags = flags,
					   .bytes = { 1, 2, 3, 4 } };
}

#define CONFIG_LEN(n) ((uint32_t)offsetof(struct vhost_user_config, bytes) + (n))

static void
test_configuration_is_the_applications(void)
{
	struct vhost_user_config c = config_payload(4, 4, 0);
	struct peer_message m;

	begin();
	memset(config, 0x11, sizeof(config));
	CHECK_EQ(ack_of(VHOST_USER_SET_CONFIG, &c, CONFIG_LEN(4)), 0);
	CHECK_EQ(config[31], false);
	c.flags = VHOST_USER_CONFIG_MIGRATION;
	CHECK_EQ(ack_of(VHOST_USER_SET_CONFIG, &c, CONFIG_LEN(4)), 0);
	CHECK_EQ(config[31], true);
	c = config_payload(2, 8, 0);
	peer_request(sock, VHOST_USER_GET_CONFIG, VHOST_USER_VERSION, &c, CONFIG_LEN(8), 0);
	receive(&m, VHOST_USER_GET_CONFIG, CONFIG_LEN(8));
	CHECK(memcmp(m.payload + CONFIG_LEN(0), "\x11\x11\x01\x02\x03\x04\x11\x11", 8) == 0);
	/* Refused: a reply without payload, and an ack that says so. */
	c = config_payload(30, 8, 0);
	peer_request(sock, VHOST_USER_GET_CONFIG, VHOST_USER_VERSION, &c, CONFIG_LEN(8), 0);
	receive(&m, VHOST_USER_GET_CONFIG, 0);
	CHECK_EQ(ack_of(VHOST_USER_SET_CONFIG, &c, CONFIG_LEN(8)), 1);
	CHECK(log_count("refused by the device") > 0);
	end();
}

static const struct test tests[] = {
	TEST(test_an_unknown_request_is_the_applications),
	TEST(test_descriptors_travel_both_ways),
	TEST(test_a_known_request_can_be_taken_over),
	TEST(test_nonsense_of_a_hook_ends_the_connection),
	TEST(test_configuration_is_the_applications),
};

int
main(void)
{
	int rc;

	vhc_log_set_sink(keep_line, NULL);
	peer_make_folder();
	rc = RUN_TESTS(tests);
	peer_remove_folder();
	return rc;
}
