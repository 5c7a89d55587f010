/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_server.c - servers and clients as an application sees them, with the test as the front-end.
 */
#define _GNU_SOURCE 1

#include "../kept_log.h"
#include "../peer.h"

#include <pthread.h>
#include <sys/resource.h>

#include "class.h"

static uint64_t
no_features(uint16_t nr_rings)
{
	(void)nr_rings;
	return 0;
}

static void
no_queue_init(struct vhc_queue *q)
{
	(void)q;
}

static void
no_queue_start(struct vhc_queue *q, uint64_t features)
{
	(void)q;
	(void)features;
}

static const struct vhc_class test_class = {
	.name = "test",
	.queue_len = sizeof(struct vhc_queue),
	.nr_vital_rings = 2,
	.features = no_features,
	.queue_init = no_queue_init,
	.queue_start = no_queue_start,
};

/* ---- servers -------------------------------------------------------------------------------- */

static struct vhc_server_opts
opts_for(enum vhc_role role, const char *path)
{
	return (struct vhc_server_opts){ .name = "port", .path = path, .role = role, .nr_rings = 2,
					 .cls = &test_class };
}

static struct vhc_server *
start(enum vhc_role role, const char *path)
{
	struct vhc_server_opts opts = opts_for(role, path);
	struct vhc_server *server;

	CHECK_EQ(vhc_server_create(&opts, &server), 0);
	CHECK_EQ(vhc_server_start(server), 0);
	return server;
}

static struct vhc_device_info
info_of(struct vhc_server *server)
{
	struct vhc_device_info info;

	vhc_device_info(vhc_server_device(server), &info);
	return info;
}

/* Wait until the stage is (or is no longer) "nobody there". */
static void
wait_attached(struct vhc_server *server, bool attached)
{
	double end = peer_now() + 5;

	while ((info_of(server).stage >= VHC_STAGE_CONNECTED) != attached && peer_now() < end)
		peer_sleep_ms(1);
	CHECK_EQ(info_of(server).stage >= VHC_STAGE_CONNECTED, attached);
}

static void
wait_why(struct vhc_server *server, const char *words)
{
	double end = peer_now() + 5;

	while (!strstr(info_of(server).why, words) && peer_now() < end)
		peer_sleep_ms(1);
	CHECK_HAS(info_of(server).why, words);
}

/* The back-end answers GET_FEATURES within `ms`. */
static bool
is_served(int sock, int ms)
{
	struct { struct vhost_user_header header; uint8_t payload[8]; } reply;

	peer_request(sock, VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, NULL, 0, 0);
	return peer_is_readable(sock, ms) &&
	       recv(sock, &reply, sizeof(reply), 0) == sizeof(reply) && reply.header.flags == 0x5;
}

/* The next connection of the back-end, within `ms`; -1: it did not come. */
static int
accept_within(int listener, int ms)
{
	return peer_is_readable(listener, ms) ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
}

static int
create_with(struct vhc_server_opts opts)
{
	struct vhc_server *server;

	return vhc_server_create(&opts, &server);
}

/* ---- options and paths ---------------------------------------------------------------------- */

static void
test_options_out_of_range_are_refused(void)
{
	struct vhc_server_opts good = opts_for(VHC_ROLE_SERVER, "/nowhere/s"), o;
	char too_long[109] = { 0 };
	int nr_fds = peer_nr_open_fds();

	memset(too_long, 'x', sizeof(too_long) - 1);
	o = good, o.name = NULL;
	CHECK_EQ(create_with(o), -EINVAL);
	o = good, o.name = "";
	CHECK_EQ(create_with(o), -EINVAL);
	o = good, o.name = too_long + 44;	/* 64 bytes */
	CHECK_EQ(create_with(o), -EINVAL);
	o = good, o.path = NULL;
	CHECK_EQ(create_with(o), -EINVAL);
	o = good, o.path = "";
	CHECK_EQ(create_with(o), -EINVAL);
	o = good, o.path = too_long;
	CHECK_EQ(create_with(o), -ENAMETOOLONG);
	o = good, o.nr_rings = 0;
	CHECK_EQ(create_with(o), -EINVAL);
	o = good, o.nr_rings = 257;
	CHECK_EQ(create_with(o), -EINVAL);
	o = good, o.raw_rings = true;
	CHECK_EQ(create_with(o), -EINVAL);
	o = good, o.nr_vital_rings = 3;
	CHECK_EQ(create_with(o), -EINVAL);
	o = good, o.role = (enum vhc_role)2;
	CHECK_EQ(create_with(o), -EINVAL);
	CHECK_EQ(peer_nr_open_fds(), nr_fds);
	CHECK_EQ(log_count("port: "), 8);
}

static void
test_largest_options_are_accepted(void)
{
	struct vhc_server_opts opts = opts_for(VHC_ROLE_SERVER, NULL);
	struct vhc_server *server;
	char path[108] = { 0 }, name[64] = { 0 };

	memset(path, 'x', sizeof(path) - 1);
	memcpy(path, peer_folder, strlen(peer_folder));
	path[strlen(peer_folder)] = '/';
	memset(name, 'n', sizeof(name) - 1);
	opts.path = path;
	opts.name = name;
	opts.nr_rings = 256;
	CHECK_EQ(vhc_server_create(&opts, &server), 0);
	CHECK_EQ(vhc_server_start(server), 0);
	CHECK(strcmp(info_of(server).path, path) == 0);
	CHECK(strcmp(info_of(server).name, name) == 0);
	close(peer_connect(path));
	vhc_server_destroy(server);
}

static void
test_start_fails_with_a_reason_and_can_be_repeated(void)
{
	struct peer_path path = peer_path("busy");
	struct vhc_server_opts opts = opts_for(VHC_ROLE_SERVER, path.text);
	struct vhc_server *server;
	int other = peer_listen(path.text);

	CHECK_EQ(vhc_server_create(&opts, &server), 0);
	CHECK_HAS(info_of(server).why, "not started");
	CHECK_EQ(vhc_server_start(server), -EADDRINUSE);
	CHECK_EQ(log_count("listens on"), 1);
	close(other);
	CHECK_EQ(vhc_server_start(server), 0);
	CHECK_EQ(vhc_server_start(server), -EALREADY);
	vhc_server_destroy(server);
}

static void
test_nothing_is_left_of_a_destroyed_server(void)
{
	struct peer_path path = peer_path("gone");
	int nr_fds = peer_nr_open_fds(), front_end;
	struct stat st;

	for (int role = VHC_ROLE_SERVER; role <= VHC_ROLE_CLIENT; role++) {
		struct vhc_server *server = start((enum vhc_role)role, path.text);

		vhc_server_destroy(server);
		CHECK_EQ(peer_nr_open_fds(), nr_fds);
		CHECK(stat(path.text, &st) < 0);
	}

	struct vhc_server *server = start(VHC_ROLE_SERVER, path.text);

	front_end = peer_connect(path.text);
	CHECK(is_served(front_end, 2000));
	vhc_server_destroy(server);
	CHECK(peer_is_closed(front_end, 2000));
	close(front_end);
	CHECK_EQ(peer_nr_open_fds(), nr_fds);
}

/* ---- server role ---------------------------------------------------------------------------- */

static void
test_front_ends_are_served_one_after_the_other(void)
{
	struct peer_path path = peer_path("s");
	struct vhc_server *server = start(VHC_ROLE_SERVER, path.text);

	CHECK_HAS(info_of(server).why, "waiting for a front-end to connect to ");
	for (unsigned int i = 1; i <= 3; i++) {
		int front_end = peer_connect(path.text);

		CHECK(is_served(front_end, 2000));
		CHECK_EQ(info_of(server).nr_connects, i);
		close(front_end);
		wait_attached(server, false);
		CHECK_HAS(info_of(server).why, "waiting for a front-end to connect to ");
	}
	vhc_server_destroy(server);
}

static void
test_second_front_end_is_turned_away(void)
{
	struct peer_path path = peer_path("s");
	struct vhc_server *server = start(VHC_ROLE_SERVER, path.text);
	int first = peer_connect(path.text);
	char who[64];

	CHECK(is_served(first, 2000));
	for (int i = 0; i < 40; i++) {
		int second = peer_connect(path.text);

		CHECK(peer_is_closed(second, 2000));
		close(second);
	}
	CHECK(is_served(first, 2000));
	CHECK_EQ(info_of(server).nr_connects, 1);
	snprintf(who, sizeof(who), "process %d (", (int)getpid());
	CHECK(log_count(who) >= 1);
	CHECK(log_count("turned away") < 40);
	close(first);
	vhc_server_destroy(server);
}

/* The end of the old one and the newcomer arrive together: order must not matter. */
static void
test_newcomer_replaces_one_that_just_died(void)
{
	struct peer_path path = peer_path("s");
	struct vhc_server *server = start(VHC_ROLE_SERVER, path.text);
	int front_end = peer_connect(path.text);

	for (int i = 0; i < 200; i++) {
		close(front_end);
		front_end = peer_connect(path.text);
		CHECK(is_served(front_end, 2000));
	}
	close(front_end);
	vhc_server_destroy(server);
}

static void
test_half_a_message_delays_nobody_else(void)
{
	struct peer_path slow_path = peer_path("slow"), path = peer_path("s");
	struct vhc_server *slow = start(VHC_ROLE_SERVER, slow_path.text);
	struct vhc_server *server = start(VHC_ROLE_SERVER, path.text);
	int slow_front_end = peer_connect(slow_path.text), front_end = peer_connect(path.text);
	double begin;

	CHECK(is_served(slow_front_end, 2000));
	peer_send(slow_front_end, "\1\0\0\0\1", 5, 0);
	begin = peer_now();
	for (int i = 0; i < 200; i++)
		CHECK(is_served(front_end, 500));
	CHECK(peer_now() - begin < 2);
	peer_send(slow_front_end, "\0\0\0\0\0\0\0", 7, 0);
	CHECK(peer_is_readable(slow_front_end, 2000));
	close(slow_front_end);
	close(front_end);
	vhc_server_destroy(slow);
	vhc_server_destroy(server);
}

static void
test_protocol_features_that_are_off_are_refused(void)
{
	struct peer_path path = peer_path("s");
	struct vhc_server_opts opts = opts_for(VHC_ROLE_SERVER, path.text);
	struct vhc_server *server;
	int front_end;

	opts.features_off = UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES_BIT;
	CHECK_EQ(vhc_server_create(&opts, &server), 0);
	CHECK_EQ(vhc_server_start(server), 0);
	front_end = peer_connect(path.text);
	CHECK(is_served(front_end, 2000));
	peer_request(front_end, VHOST_USER_GET_PROTOCOL_FEATURES, VHOST_USER_VERSION, NULL, 0, 0);
	CHECK(peer_is_closed(front_end, 2000));
	wait_why(server, "PROTOCOL_FEATURES was not offered");
	close(front_end);
	vhc_server_destroy(server);
}

static double
cpu_seconds(void)
{
	struct rusage usage;

	CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void
test_out_of_descriptors_does_not_spin(void)
{
	struct peer_path path = peer_path("s");
	struct vhc_server *server = start(VHC_ROLE_SERVER, path.text);
	struct sockaddr_un addr = peer_address(path.text);
	int front_end = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int first_free = dup(front_end);
	struct rlimit before, limit;
	double cpu;

	close(first_free);
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = (struct rlimit){ (rlim_t)first_free, before.rlim_max };
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CHECK_EQ(connect(front_end, (struct sockaddr *)&addr, sizeof(addr)), 0);
	wait_why(server, "ulimit -n");
	cpu = cpu_seconds();
	peer_sleep_ms(500);
	CHECK(cpu_seconds() - cpu < 0.1);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
	CHECK(is_served(front_end, 2000));
	close(front_end);
	wait_why(server, "waiting for a front-end");
	vhc_server_destroy(server);
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
	TEST(test_options_out_of_range_are_refused),
	TEST(test_largest_options_are_accepted),
	TEST(test_start_fails_with_a_reason_and_can_be_repeated),
	TEST(test_nothing_is_left_of_a_destroyed_server),
	TEST(test_front_ends_are_served_one_after_the_other),
	TEST(test_second_front_end_is_turned_away),
	TEST(test_newcomer_replaces_one_that_just_died),
	TEST(test_half_a_message_delays_nobody_else),
	TEST(test_protocol_features_that_are_off_are_refused),
	TEST(test_out_of_descriptors_does_not_spin),
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
	struct test one;

	peer_make_folder();
	vhc_log_set_sink(keep_line, NULL);
	for (size_t i = 0; i < VHC_ARRAY_LEN(tests); i++) {
		log_forget();
		one = tests[i];
		run_tests(&one, 1);
	}
	peer_remove_folder();
	return 0;
}
