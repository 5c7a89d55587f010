/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_paths.c - rte_vhost_driver_*(): what a path takes, offers and refuses.
 */
#define _GNU_SOURCE 1

#include "rig.h"

#include <pthread.h>
#include <sys/stat.h>

#include <rte_vdpa.h>

static void
test_a_path_is_registered_once(void)
{
	char too_long[109];

	memset(too_long, 'x', 108);
	too_long[108] = '\0';
	CHECK_EQ(rte_vhost_driver_register(NULL, 0), -1);
	CHECK_EQ(rte_vhost_driver_register("", 0), -1);
	CHECK_EQ(rte_vhost_driver_register(too_long, 0), -1);
	CHECK_EQ(rte_vhost_driver_register(too_long + 1, 0), 0);
	CHECK_EQ(rte_vhost_driver_unregister(too_long + 1), 0);
	CHECK_EQ(rte_vhost_driver_register(rig_path, 0), 0);
	CHECK_EQ(rte_vhost_driver_register(rig_path, 0), -1);
	CHECK_EQ(rte_vhost_driver_unregister(rig_path), 0);
	CHECK_EQ(rte_vhost_driver_unregister(rig_path), -1);
	CHECK_EQ(rte_vhost_driver_unregister(NULL), -1);
	CHECK_EQ(rte_vhost_driver_register(rig_path, 0), 0);
	CHECK_EQ(rte_vhost_driver_unregister(rig_path), 0);
}

static void
test_1024_paths(void)
{
	char path[32];

	for (unsigned int i = 0; i < 1024; i++) {
		snprintf(path, sizeof(path), "/nowhere/%u", i);
		CHECK_EQ(rte_vhost_driver_register(path, 0), 0);
	}
	CHECK_EQ(rte_vhost_driver_register(rig_path, 0), -1);
	for (unsigned int i = 0; i < 1024; i++) {
		snprintf(path, sizeof(path), "/nowhere/%u", i);
		CHECK_EQ(rte_vhost_driver_unregister(path), 0);
	}
}

static void
test_flags_that_are_not_served(void)
{
	CHECK_EQ(rte_vhost_driver_register(rig_path, RTE_VHOST_USER_ASYNC_COPY), -1);
	CHECK_EQ(rte_vhost_driver_unregister(rig_path), -1);
}

/* On request only, and only where we work the rings. */
static void
test_iommu(void)
{
	const uint64_t bit = UINT64_C(1) << 33;
	uint64_t features = 0;

	CHECK_EQ(rte_vhost_driver_register(rig_path, 0), 0);
	CHECK_EQ(rte_vhost_driver_get_features(rig_path, &features), 0);
	CHECK_EQ(features & bit, 0);
	CHECK_EQ(rte_vhost_driver_enable_features(rig_path, bit), -1);
	CHECK_EQ(rte_vhost_driver_unregister(rig_path), 0);

	CHECK_EQ(rte_vhost_driver_register(rig_path, RTE_VHOST_USER_IOMMU_SUPPORT), 0);
	CHECK_EQ(rte_vhost_driver_get_features(rig_path, &features), 0);
	CHECK_EQ(features & bit, bit);
	CHECK_EQ(rte_vhost_driver_callback_register(rig_path, &rig_ops), 0);
	CHECK_EQ(rte_vhost_driver_start(rig_path), 0);
	CHECK_EQ(rte_vhost_driver_disable_features(rig_path, bit), 0);
	CHECK_EQ(rte_vhost_driver_enable_features(rig_path, bit), 0);
	CHECK_EQ(rte_vhost_driver_unregister(rig_path), 0);

	CHECK_EQ(rte_vhost_driver_register(rig_path, RTE_VHOST_USER_IOMMU_SUPPORT), 0);
	CHECK_EQ(rte_vhost_driver_set_features(rig_path, bit), 0);
	CHECK_EQ(rte_vhost_driver_callback_register(rig_path, &rig_ops), 0);
	CHECK_EQ(rte_vhost_driver_start(rig_path), -1);
	CHECK_EQ(rte_vhost_driver_unregister(rig_path), 0);
}

static void
test_unknown_paths_and_null(void)
{
	uint64_t bits = 0;
	uint32_t nr = 0;

	for (int i = 0; i < 2; i++) {
		const char *path = i ? rig_path : NULL;

		CHECK_EQ(rte_vhost_driver_callback_register(path, &rig_ops), -1);
		CHECK_EQ(rte_vhost_driver_start(path), -1);
		CHECK_EQ(rte_vhost_driver_set_features(path, 0), -1);
		CHECK_EQ(rte_vhost_driver_enable_features(path, 0), -1);
		CHECK_EQ(rte_vhost_driver_disable_features(path, 0), -1);
		CHECK_EQ(rte_vhost_driver_get_features(path, &bits), -1);
		CHECK_EQ(rte_vhost_driver_set_protocol_features(path, 0), -1);
		CHECK_EQ(rte_vhost_driver_get_protocol_features(path, &bits), -1);
		CHECK_EQ(rte_vhost_driver_get_queue_num(path, &nr), -1);
		CHECK_EQ(rte_vhost_driver_detach_vdpa_device(path), -1);
		CHECK(!rte_vhost_driver_get_vdpa_device(path));
		CHECK_EQ(rte_vhost_driver_get_vdpa_dev_type(path, &nr), -1);
	}
	CHECK_EQ(rte_vhost_driver_register(rig_path, 0), 0);
	CHECK_EQ(rte_vhost_driver_callback_register(rig_path, NULL), -1);
	CHECK_EQ(rte_vhost_driver_get_features(rig_path, NULL), -1);
	CHECK_EQ(rte_vhost_driver_get_protocol_features(rig_path, NULL), -1);
	CHECK_EQ(rte_vhost_driver_get_queue_num(rig_path, NULL), -1);
	CHECK_EQ(rte_vhost_driver_attach_vdpa_device(rig_path, NULL), -1);
	CHECK_EQ(rte_vhost_driver_get_vdpa_dev_type(rig_path, NULL), -1);
	CHECK_EQ(rte_vhost_driver_unregister(rig_path), 0);
}

static void
test_start_needs_callbacks_and_happens_once(void)
{
	CHECK_EQ(rte_vhost_driver_register(rig_path, 0), 0);
	CHECK_EQ(rte_vhost_driver_start(rig_path), -1);
	CHECK(access(rig_path, F_OK) != 0);
	CHECK_EQ(rte_vhost_driver_callback_register(rig_path, &rig_ops), 0);
	CHECK_EQ(rte_vhost_driver_start(rig_path), 0);
	CHECK(access(rig_path, F_OK) == 0);
	CHECK_EQ(rte_vhost_driver_start(rig_path), -1);
	CHECK_EQ(rte_vhost_driver_callback_register(rig_path, &rig_ops), -1);
	CHECK_EQ(rte_vhost_driver_set_features(rig_path, 0), -1);
	CHECK_EQ(rte_vhost_driver_set_protocol_features(rig_path, 0), -1);
	CHECK_EQ(rte_vhost_driver_unregister(rig_path), 0);
	CHECK(access(rig_path, F_OK) != 0);
}

static void
test_a_start_that_fails_can_be_repeated(void)
{
	CHECK_EQ(mkdir(rig_path, 0700), 0);	/* something else is there */
	CHECK_EQ(rte_vhost_driver_register(rig_path, 0), 0);
	CHECK_EQ(rte_vhost_driver_callback_register(rig_path, &rig_ops), 0);
	CHECK_EQ(rte_vhost_driver_start(rig_path), -1);
	CHECK_EQ(rmdir(rig_path), 0);
	CHECK_EQ(rte_vhost_driver_start(rig_path), 0);
	CHECK_EQ(rte_vhost_driver_unregister(rig_path), 0);
}

static uint64_t
offered(void)
{
	uint64_t bits;

	CHECK_EQ(rte_vhost_driver_get_features(rig_path, &bits), 0);
	return bits;
}

static void
test_features_before_the_start(void)
{
	const uint64_t tso = FEATURE(NET_F_HOST_TSO4) | FEATURE(NET_F_HOST_TSO6);

	CHECK_EQ(rte_vhost_driver_register(rig_path, 0), 0);
	CHECK((offered() & tso) == tso);
	CHECK(offered() & FEATURE(NET_F_MQ));
	CHECK(!(offered() & UINT64_C(1) << 56));	/* HOST_USO: newer than the interface */
	CHECK_EQ(rte_vhost_driver_disable_features(rig_path, tso), 0);
	CHECK(!(offered() & tso));
	CHECK_EQ(rte_vhost_driver_enable_features(rig_path, FEATURE(NET_F_HOST_TSO4)), 0);
	CHECK((offered() & tso) == FEATURE(NET_F_HOST_TSO4));
	CHECK_EQ(rte_vhost_driver_enable_features(rig_path, UINT64_C(1) << 60), -1);
	CHECK_EQ(rte_vhost_driver_set_features(rig_path, MODERN | UINT64_C(1) << 5), 0);
	CHECK_EQ(offered(), MODERN | UINT64_C(1) << 5);
	CHECK_EQ(rte_vhost_driver_enable_features(rig_path, tso), -1);
	CHECK_EQ(rte_vhost_driver_unregister(rig_path), 0);

	CHECK_EQ(rte_vhost_driver_register(rig_path, RTE_VHOST_USER_LINEARBUF_SUPPORT), 0);
	CHECK(!(offered() & tso));
	CHECK_EQ(rte_vhost_driver_unregister(rig_path), 0);
}

static void
test_features_after_the_start(void)
{
	struct side *s;

	rig_start(0);
	CHECK_EQ(rte_vhost_driver_disable_features(rig_path, FEATURE(NET_F_MTU)), 0);
	CHECK(!(offered() & FEATURE(NET_F_MTU)));
	CHECK_EQ(rte_vhost_driver_enable_features(rig_path, FEATURE(NET_F_MTU)), 0);
	s = rig_connect(MODERN, 0);
	CHECK_EQ(rte_vhost_driver_disable_features(rig_path, FEATURE(NET_F_MTU)), -1);
	CHECK(offered() & FEATURE(NET_F_MTU));
	rig_end(s);
}

static void
test_protocol_features_and_pairs(void)
{
	uint64_t bits;
	uint32_t nr;

	CHECK_EQ(rte_vhost_driver_register(rig_path, 0), 0);
	CHECK_EQ(rte_vhost_driver_get_protocol_features(rig_path, &bits), 0);
	CHECK(bits & PROTOCOL(MQ));
	CHECK_EQ(rte_vhost_driver_set_protocol_features(rig_path, bits | PROTOCOL(CONFIG)), 0);
	CHECK_EQ(rte_vhost_driver_get_protocol_features(rig_path, &bits), 0);
	CHECK(bits & PROTOCOL(CONFIG));
	CHECK_EQ(rte_vhost_driver_get_queue_num(rig_path, &nr), 0);
	CHECK_EQ(nr, 128);
	CHECK_EQ(rte_vhost_driver_unregister(rig_path), 0);
}

static int
refuse_connection(int vid)
{
	hear(vid, "no");
	return -1;
}

static void
test_callbacks_in_order_and_all_of_them_at_the_end(void)
{
	struct side *s;
	int vid;

	rig_start(0);
	for (int i = 0; i < 3; i++) {
		s = rig_connect(MODERN, 0);
		vid = heard_vid;
		side_disconnect(s);
		CHECK_HEARD("-0 -1 destroy_device destroy_connection ");
		side_destroy(s);
		CHECK_EQ(rte_vhost_get_vring_num(vid), 0);
	}
	s = rig_connect(MODERN, 0);
	CHECK_EQ(rte_vhost_driver_unregister(rig_path), 0);
	CHECK_HEARD("-0 -1 destroy_device destroy_connection ");
	side_destroy(s);
}

static void
test_new_connection_may_refuse(void)
{
	int sock;

	rig_ops.new_connection = refuse_connection;
	rig_start(0);
	sock = side_only_connect(rig_path);
	CHECK_HEARD("no ");
	/* GET_FEATURES */
	CHECK_EQ(write(sock, "\1\0\0\0\1\0\0\0\0\0\0\0", 12), 12);
	CHECK(side_is_closed(sock, 2000));
	close(sock);
	rig_end(NULL);
	rig_ops.new_connection = on_new_connection;
}

static int result_in_callback;

static int
unregister_in_callback(int vid)
{
	result_in_callback = rte_vhost_driver_unregister(rig_path);
	return on_new_device(vid);
}

static void
test_a_callback_cannot_unregister(void)
{
	struct side *s;

	result_in_callback = 1;
	rig_ops.new_device = unregister_in_callback;
	rig_start(0);
	s = rig_connect(MODERN, 0);
	CHECK_EQ(result_in_callback, -1);
	rig_end(s);
	rig_ops.new_device = on_new_device;
}

/* Two threads hold what the other needs: who starts a path must not wait for ever. */
static pthread_mutex_t application_lock = PTHREAD_MUTEX_INITIALIZER;

static int
lock_in_callback(int vid)
{
	hear(vid, "waits");
	pthread_mutex_lock(&application_lock);
	pthread_mutex_unlock(&application_lock);
	return on_new_device(vid);
}

static void *
connect_side(void *s)
{
	side_connect(s, rig_path);
	return NULL;
}

static void
test_starting_with_a_lock_that_a_callback_wants(void)
{
	struct side *s = side_create(MODERN, 0);
	pthread_t thread;
	char other[80];

	snprintf(other, sizeof(other), "%s2", rig_path);
	rig_ops.new_device = lock_in_callback;
	rig_start(0);
	pthread_mutex_lock(&application_lock);
	CHECK_EQ(rte_vhost_driver_register(other, 0), 0);
	CHECK_EQ(rte_vhost_driver_callback_register(other, &rig_ops), 0);
	CHECK_EQ(pthread_create(&thread, NULL, connect_side, s), 0);
	CHECK_HEARD("new_connection +0 +1 waits ");
	/* Facts wait for nobody either. */
	CHECK(rte_vhost_get_vring_num(heard_vid) == 2);
	CHECK_EQ(rte_vhost_driver_start(other), 0);
	pthread_mutex_unlock(&application_lock);
	CHECK_HEARD("new_device ");
	pthread_join(thread, NULL);
	CHECK_EQ(rte_vhost_driver_unregister(other), 0);
	rig_end(s);
	rig_ops.new_device = on_new_device;
}

static const struct test tests[] = {
	TEST(test_a_path_is_registered_once),
	TEST(test_1024_paths),
	TEST(test_flags_that_are_not_served),
	TEST(test_iommu),
	TEST(test_unknown_paths_and_null),
	TEST(test_start_needs_callbacks_and_happens_once),
	TEST(test_a_start_that_fails_can_be_repeated),
	TEST(test_features_before_the_start),
	TEST(test_features_after_the_start),
	TEST(test_protocol_features_and_pairs),
	TEST(test_callbacks_in_order_and_all_of_them_at_the_end),
	TEST(test_new_connection_may_refuse),
	TEST(test_a_callback_cannot_unregister),
	TEST(test_starting_with_a_lock_that_a_callback_wants),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return rig_main(argv[0], tests, RTE_DIM(tests));
}
