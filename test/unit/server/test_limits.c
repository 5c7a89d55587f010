/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_limits.c - what happens where the system allows no more: it is said, with what to type, and
 * all goes on when there is room again.
 */
#define _GNU_SOURCE 1

#include <sys/mman.h>
#include <sys/resource.h>

#include "spec/vhost_user.h"
#include "unit/kept_log.h"
#include "unit/peer.h"
#include "vhostcore.h"

#define LIMIT_WORDS "files open (RLIMIT_NOFILE)"

static struct rlimit usual;
static struct vhc_server *server;
static struct peer_path path;

static void
open_server(void)
{
	path = peer_path("limits");
	CHECK_EQ(vhc_server_create(&(struct vhc_server_opts){
		.name = "limits", .path = path.text, .nr_rings = 2, .raw_rings = true,
	}, &server), 0);
	CHECK_EQ(vhc_server_start(server), 0);
}

/* As many files as are open now, and `more`. */
static void
allow_files(int more)
{
	struct rlimit limit = usual;
	int highest = dup(0);	/* the lowest that is free; ours have no gaps below it */

	CHECK(highest >= 0);
	close(highest);
	limit.rlim_cur = (rlim_t)(highest + more);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void
allow_as_ever(void)
{
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &usual), 0);
}

static bool
answers(int sock, int ms)
{
	peer_request(sock, VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, NULL, 0, 0);
	return peer_is_readable(sock, ms);
}

static void
wait_for_log(const char *words)
{
	double end = peer_now() + 5;

	while (!log_count(words) && peer_now() < end)
		peer_sleep_ms(1);
	CHECK(log_count(words));
}

/* The limit is met by accept(); whoever waits is served once there is room. */
static void
test_a_front_end_waits_for_a_descriptor(void)
{
	int sock;

	open_server();
	log_forget();
	allow_files(1);
	sock = peer_connect(path.text);
	wait_for_log("cannot accept on");
	CHECK(log_count(LIMIT_WORDS) && log_count("retrying"));
	CHECK(!answers(sock, 250));
	allow_as_ever();
	CHECK(peer_is_readable(sock, 5000));
	close(sock);
	vhc_server_destroy(server);
}

/* It comes with a message, which cannot be repeated: so the conversation is over, and says why. */
static void
test_no_room_for_a_descriptor_that_comes_with_a_message(void)
{
	const uint64_t ring = 0;
	struct peer_message kick;
	int sock, fd = eventfd(0, EFD_CLOEXEC);

	CHECK(fd >= 0);
	open_server();
	log_forget();
	sock = peer_connect(path.text);
	CHECK(answers(sock, 5000));
	allow_files(0);
	kick = peer_message(VHOST_USER_SET_VRING_KICK, VHOST_USER_VERSION, &ring, sizeof(ring));
	peer_send_fds(sock, &kick, sizeof(kick.header) + sizeof(ring), &fd, 1);
	wait_for_log("its descriptors cannot be taken");
	CHECK(log_count(LIMIT_WORDS));
	allow_as_ever();
	close(sock);
	close(fd);
	vhc_server_destroy(server);
}

/* A server that cannot be made leaves nothing. */
static void
test_no_room_for_a_server(void)
{
	int before = peer_nr_open_fds();

	log_forget();
	allow_files(2);
	CHECK_EQ(vhc_server_create(&(struct vhc_server_opts){
		.name = "limits", .path = "none", .nr_rings = 2,
	}, &server), -EMFILE);
	CHECK(log_count("cannot start the control thread") && log_count(LIMIT_WORDS));
	allow_as_ever();
	CHECK_EQ(peer_nr_open_fds(), before);
}

static void
test_a_control_thread_that_is_not(void)
{
	CHECK_EQ(vhc_server_create(&(struct vhc_server_opts){
		.name = "limits", .path = "none", .nr_rings = 2, .control_thread = 16,
	}, &server), -EINVAL);
	CHECK(log_count("must be 0 to 15"));
}

static const struct test tests[] = {
	TEST(test_a_front_end_waits_for_a_descriptor),
	TEST(test_no_room_for_a_descriptor_that_comes_with_a_message),
	TEST(test_no_room_for_a_server),
	TEST(test_a_control_thread_that_is_not),
};

int
main(void)
{
	int rc;

	vhc_log_set_sink(keep_line, NULL);
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &usual), 0);
	peer_make_folder();
	rc = RUN_TESTS(tests);
	peer_remove_folder();
	return rc;
}
