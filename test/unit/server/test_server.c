/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_server.c - servers as an application sees them, with the test as the front-end.
 */
#define _GNU_SOURCE 1

#include "server_rig.h"

#include <sys/resource.h>

#include "vhostcore_features.h"

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
	o = good, o.cls = NULL, o.features_on = VHC_FEATURE_ACCESS_PLATFORM;
	CHECK_EQ(create_with(o), -EINVAL);
	o = good, o.role = (enum vhc_role)2;
	CHECK_EQ(create_with(o), -EINVAL);
	CHECK_EQ(peer_nr_open_fds(), nr_fds);
	CHECK_EQ(log_count("port: "), 9);
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

static struct vhc_server *
create(const char *path)
{
	struct vhc_server_opts opts = opts_for(VHC_ROLE_SERVER, path);
	struct vhc_server *server;

	CHECK_EQ(vhc_server_create(&opts, &server), 0);
	return server;
}

/* As with systemd's: the socket file is somebody else's, before and after. */
static void
test_a_descriptor_that_listens(void)
{
	struct peer_path path = peer_path("s");
	struct vhc_server *server = create("nowhere");
	struct stat st;

	CHECK_EQ(vhc_server_start_fd(server, peer_listen(path.text)), 0);
	CHECK_EQ(vhc_server_start_fd(server, 0), -EALREADY);
	CHECK_HAS(info_of(server).why, "waiting for a front-end to connect to descriptor ");
	for (int i = 0; i < 2; i++) {
		int front_end = peer_connect(path.text);

		CHECK(is_served(front_end, 2000));
		close(front_end);
		wait_attached(server, false);
	}
	vhc_server_destroy(server);
	CHECK_EQ(stat(path.text, &st), 0);
	CHECK_EQ(unlink(path.text), 0);
}

static void
test_a_descriptor_that_is_connected(void)
{
	struct vhc_server *server = create("nowhere");
	int ends[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	CHECK_EQ(vhc_server_start_fd(server, ends[0]), 0);
	CHECK(is_served(ends[1], 2000));
	close(ends[1]);
	wait_attached(server, false);
	CHECK_HAS(info_of(server).why, "has gone, and no other can come");
	vhc_server_destroy(server);
}

static void
test_a_descriptor_that_cannot_be_served(void)
{
	struct vhc_server *server = create("nowhere");
	int nr_fds = peer_nr_open_fds();
	int event = eventfd(0, 0), datagrams = socket(AF_UNIX, SOCK_DGRAM, 0);
	int alone = socket(AF_UNIX, SOCK_STREAM, 0), internet = socket(AF_INET, SOCK_STREAM, 0);

	CHECK_EQ(vhc_server_start_fd(server, 1023), -EBADF);
	CHECK_EQ(vhc_server_start_fd(server, event), -ENOTSOCK);
	CHECK_EQ(vhc_server_start_fd(server, datagrams), -EINVAL);
	CHECK_EQ(vhc_server_start_fd(server, alone), -EINVAL);
	CHECK_EQ(vhc_server_start_fd(server, internet), -EINVAL);
	CHECK_EQ(log_count("descriptor "), 5);
	close(event);
	close(datagrams);
	close(alone);
	close(internet);
	CHECK_EQ(peer_nr_open_fds(), nr_fds);
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

static const struct test tests[] = {
	TEST(test_options_out_of_range_are_refused),
	TEST(test_largest_options_are_accepted),
	TEST(test_start_fails_with_a_reason_and_can_be_repeated),
	TEST(test_nothing_is_left_of_a_destroyed_server),
	TEST(test_front_ends_are_served_one_after_the_other),
	TEST(test_a_descriptor_that_listens),
	TEST(test_a_descriptor_that_is_connected),
	TEST(test_a_descriptor_that_cannot_be_served),
	TEST(test_second_front_end_is_turned_away),
	TEST(test_newcomer_replaces_one_that_just_died),
	TEST(test_half_a_message_delays_nobody_else),
	TEST(test_protocol_features_that_are_off_are_refused),
	TEST(test_out_of_descriptors_does_not_spin),
};

int
main(void)
{
	return run_server_tests(tests, VHC_ARRAY_LEN(tests));
}
