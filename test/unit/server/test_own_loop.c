/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_own_loop.c - a program with a loop of its own: no thread, and everything happens in turns.
 */
#define _GNU_SOURCE 1

#include "../kept_log.h"
#include "../peer.h"

#include "vhostcore_loop.h"

static unsigned int
nr_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned int nr = 0;

	CHECK(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr - 2;	/* "." and ".." */
}

static struct vhc_server *
start(const char *path)
{
	struct vhc_server_opts opts = { .name = "own", .path = path, .nr_rings = 2 };
	struct vhc_server *server;

	CHECK_EQ(vhc_server_create(&opts, &server), 0);
	CHECK_EQ(vhc_server_start(server), 0);
	return server;
}

static void
test_a_front_end_is_served_in_turns(void)
{
	struct peer_path path = peer_path("turns");
	struct { struct vhost_user_header header; uint64_t value; } __attribute__((packed)) reply;
	struct vhc_server *server;
	int nr_fds = peer_nr_open_fds();
	int loop_fd, sock;

	CHECK_EQ(vhc_loop_take_over(&loop_fd), 0);
	CHECK_EQ(vhc_loop_take_over(&loop_fd), -EBUSY);
	server = start(path.text);
	CHECK_EQ(nr_threads(), 1);
	CHECK(!peer_is_readable(loop_fd, 0));
	CHECK_EQ(vhc_loop_dispatch(), 0);
	sock = peer_connect(path.text);
	peer_request(sock, VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, NULL, 0, 0);
	CHECK(!peer_is_readable(sock, 50));	/* nobody but us serves it */
	while (peer_is_readable(loop_fd, 50))
		CHECK(vhc_loop_dispatch() > 0);
	CHECK_EQ(recv(sock, &reply, sizeof(reply), MSG_DONTWAIT), sizeof(reply));
	close(sock);
	/* Outside of a turn, this thread may do what callbacks may not. */
	vhc_server_destroy(server);
	vhc_loop_release();
	CHECK_EQ(peer_nr_open_fds(), nr_fds);
}

/* Half a message: the timer that notices the silence fires in a turn, too. */
static void
test_timers_are_due_in_turns(void)
{
	struct peer_path path = peer_path("timers");
	const struct vhost_user_header half = { VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 8 };
	double end = peer_now() + 10;
	struct vhc_server *server;
	int loop_fd, sock;

	CHECK_EQ(vhc_loop_take_over(&loop_fd), 0);
	server = start(path.text);
	sock = peer_connect(path.text);
	peer_send(sock, &half, sizeof(half), 0);
	while (!peer_is_closed(sock, 0) && peer_now() < end)
		if (peer_is_readable(loop_fd, 100))
			vhc_loop_dispatch();
	CHECK(peer_is_closed(sock, 0));
	close(sock);
	vhc_server_destroy(server);
	vhc_loop_release();
}

static void
test_a_running_thread_is_not_taken_over(void)
{
	struct peer_path path = peer_path("thread");
	struct vhc_server *server = start(path.text);
	int loop_fd;

	CHECK_EQ(vhc_loop_take_over(&loop_fd), -EBUSY);
	vhc_server_destroy(server);
	CHECK_EQ(vhc_loop_take_over(&loop_fd), 0);
	vhc_loop_release();
}

static const struct test tests[] = {
	TEST(test_a_front_end_is_served_in_turns),
	TEST(test_timers_are_due_in_turns),
	TEST(test_a_running_thread_is_not_taken_over),
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
