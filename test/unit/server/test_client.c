/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_client.c - servers in the client role: they connect, and connect again.
 */
#define _GNU_SOURCE 1

#include "server_rig.h"


/* The next connection of the back-end, within `ms`; -1: it did not come. */
static int
accept_within(int listener, int ms)
{
	return peer_is_readable(listener, ms) ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
}

/* ---- client role ---------------------------------------------------------------------------- */

static void
test_client_connects_at_once_when_the_front_end_is_there(void)
{
	struct peer_path path = peer_path("c");
	int listener = peer_listen(path.text), front_end;
	struct vhc_server *server = start(VHC_ROLE_CLIENT, path.text);

	front_end = accept_within(listener, 0);
	CHECK(front_end >= 0);
	CHECK(is_served(front_end, 2000));
	vhc_server_destroy(server);
	CHECK(peer_is_closed(front_end, 2000));
	close(front_end);
	close(listener);
	unlink(path.text);
}

/*
 * Attempts come 1, 3, 7 ... 511, 1023 ms after the first, a quarter more or less. This far in, the
 * next one is more than 100 ms away: only inotify is quicker.
 */
#define BETWEEN_ATTEMPTS_MS 650

static void
test_client_connects_within_20_ms_of_the_socket_appearing(void)
{
	struct peer_path path = peer_path("c");
	double quickest = 1, slowest = 0;

	for (int i = 0; i < 4; i++) {
		struct vhc_server *server = start(VHC_ROLE_CLIENT, path.text);
		double begin, took;
		int listener, front_end;

		wait_why(server, "No such file or directory; start the front-end");
		peer_sleep_ms(BETWEEN_ATTEMPTS_MS);
		listener = peer_bind(path.text);
		peer_sleep_ms(3);	/* refused meanwhile: bound, but not listening */
		begin = peer_now();
		CHECK_EQ(listen(listener, 4), 0);
		front_end = accept_within(listener, 3000);
		took = peer_now() - begin;
		CHECK(front_end >= 0);
		quickest = took < quickest ? took : quickest;
		slowest = took > slowest ? took : slowest;
		vhc_server_destroy(server);
		close(front_end);
		close(listener);
		unlink(path.text);
	}
	printf("  %.1f to %.1f ms\n", quickest * 1e3, slowest * 1e3);
	CHECK(quickest < 0.020);
	CHECK(slowest < 0.100);	/* a busy machine may take a moment */
	CHECK_EQ(log_count("Connection refused"), 0);
}

static void
test_client_finds_a_socket_that_is_renamed_into_place(void)
{
	struct peer_path path = peer_path("c"), aside = peer_path("c.new");
	struct vhc_server *server;
	int listener, front_end;
	double begin;

	close(peer_listen(path.text));	/* stale */
	server = start(VHC_ROLE_CLIENT, path.text);
	wait_why(server, "Connection refused; start the front-end");
	listener = peer_listen(aside.text);
	peer_sleep_ms(BETWEEN_ATTEMPTS_MS);
	begin = peer_now();
	CHECK_EQ(rename(aside.text, path.text), 0);
	front_end = accept_within(listener, 3000);
	CHECK(front_end >= 0 && peer_now() - begin < 0.100);
	vhc_server_destroy(server);
	close(front_end);
	close(listener);
	unlink(path.text);
}

static void
test_client_comes_back_after_the_front_end_restarts(void)
{
	struct peer_path path = peer_path("c");
	int listener = peer_listen(path.text), front_end;
	struct vhc_server *server = start(VHC_ROLE_CLIENT, path.text);
	double begin;

	front_end = accept_within(listener, 1000);
	CHECK(is_served(front_end, 2000));
	peer_sleep_ms(1100);	/* long enough to count as a connection that worked */
	begin = peer_now();
	close(front_end);
	front_end = accept_within(listener, 1000);	/* the listener stayed: at once */
	CHECK(front_end >= 0 && peer_now() - begin < 0.150);
	CHECK(is_served(front_end, 2000));
	close(listener);
	unlink(path.text);
	close(front_end);
	wait_why(server, "No such file or directory");
	peer_sleep_ms(100);
	listener = peer_listen(path.text);
	front_end = accept_within(listener, 1000);
	CHECK(is_served(front_end, 2000));
	CHECK_EQ(info_of(server).nr_connects, 3);
	close(front_end);
	close(listener);
	unlink(path.text);
	vhc_server_destroy(server);
}

static void
test_front_end_that_hangs_up_is_tried_less_and_less_often(void)
{
	struct peer_path path = peer_path("c");
	int listener = peer_listen(path.text), nr = 0;
	struct vhc_server *server = start(VHC_ROLE_CLIENT, path.text);
	double end = peer_now() + 1.5;

	while (peer_now() < end) {
		int front_end = accept_within(listener, 50);

		if (front_end < 0)
			continue;
		close(front_end);
		nr++;
	}
	CHECK(nr >= 8);
	CHECK(nr <= 20);	/* 0, 1, 3, 7 ... 1023 ms, give or take a quarter */
	wait_why(server, "ended soon after it was made");
	vhc_server_destroy(server);
	close(listener);
	unlink(path.text);
}

/* First a directory that is removed while it is watched, then one that is not there yet. */
static void
test_client_waits_for_the_directory(void)
{
	struct peer_path dir = peer_path("later"), path = peer_path("later/c");
	struct vhc_server *server;

	CHECK_EQ(mkdir(dir.text, 0700), 0);
	server = start(VHC_ROLE_CLIENT, path.text);
	CHECK_EQ(rmdir(dir.text), 0);
	wait_why(server, "No such file or directory");
	for (int i = 0; i < 2; i++) {
		int listener, front_end;

		CHECK_EQ(mkdir(dir.text, 0700), 0);
		peer_sleep_ms(1500);	/* seen by the next attempt, at most 1.25 s later */
		listener = peer_listen(path.text);
		front_end = accept_within(listener, 100);
		CHECK(is_served(front_end, 2000));
		close(listener);
		unlink(path.text);
		CHECK_EQ(rmdir(dir.text), 0);
		close(front_end);
		wait_why(server, "No such file or directory");
	}
	vhc_server_destroy(server);
}

static void
test_failures_are_logged_once_for_each_cause(void)
{
	struct peer_path path = peer_path("c");
	struct vhc_server *server = start(VHC_ROLE_CLIENT, path.text);

	peer_sleep_ms(300);
	CHECK_EQ(log_count("cannot connect"), 1);
	CHECK_EQ(log_count("No such file or directory"), 1);
	close(peer_listen(path.text));
	wait_why(server, "Connection refused");
	peer_sleep_ms(300);
	CHECK_EQ(log_count("Connection refused"), 1);
	CHECK_EQ(log_count("cannot connect"), 2);
	unlink(path.text);
	vhc_server_destroy(server);
}

static const struct test tests[] = {
	TEST(test_client_connects_at_once_when_the_front_end_is_there),
	TEST(test_client_connects_within_20_ms_of_the_socket_appearing),
	TEST(test_client_finds_a_socket_that_is_renamed_into_place),
	TEST(test_client_comes_back_after_the_front_end_restarts),
	TEST(test_front_end_that_hangs_up_is_tried_less_and_less_often),
	TEST(test_client_waits_for_the_directory),
	TEST(test_failures_are_logged_once_for_each_cause),
};

int
main(void)
{
	return run_server_tests(tests, VHC_ARRAY_LEN(tests));
}
