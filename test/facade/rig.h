/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rig.h - EAL, a folder for sockets, and callbacks that write down what they hear.
 */
#ifndef TEST_FACADE_RIG_H
#define TEST_FACADE_RIG_H

#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first include"
#endif

#include <errno.h>
#include <sched.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_vhost.h>

#include "guest_side.h"
#include "unit/check.h"

#define FEATURE(name)	(UINT64_C(1) << VIRTIO_ ## name)
#define PROTOCOL(name)	(UINT64_C(1) << VHOST_USER_PROTOCOL_F_ ## name)
#define MODERN		FEATURE(F_VERSION_1)

static char rig_folder[] = "/tmp/vhostx-facade-XXXXXX";
static char rig_path[64];

/* What the callbacks heard, in words; and the vid they heard last. */
static char heard[4096];
static int heard_vid = -1;

static inline void
hear(int vid, const char *word)
{
	CHECK(strlen(heard) + strlen(word) + 2 < sizeof(heard));
	strcat(strcat(heard, word), " ");
	__atomic_store_n(&heard_vid, vid, __ATOMIC_RELEASE);
}

static inline int
on_new_device(int vid)
{
	hear(vid, "new_device");
	return 0;
}

static inline void
on_destroy_device(int vid)
{
	hear(vid, "destroy_device");
}

static inline int
on_vring_state_changed(int vid, uint16_t ring, int enable)
{
	char word[16];

	snprintf(word, sizeof(word), "%c%u", enable ? '+' : '-', ring);
	hear(vid, word);
	return 0;
}

static inline int
on_new_connection(int vid)
{
	hear(vid, "new_connection");
	return 0;
}

static inline void
on_destroy_connection(int vid)
{
	hear(vid, "destroy_connection");
}

static struct rte_vhost_device_ops rig_ops = {
	.new_device = on_new_device,
	.destroy_device = on_destroy_device,
	.vring_state_changed = on_vring_state_changed,
	.new_connection = on_new_connection,
	.destroy_connection = on_destroy_connection,
};

/* Everything that was heard since the last time is this, within 5 s. */
#define CHECK_HEARD(words) do { \
	for (int try_ = 0; try_ < 5000 && strcmp(heard, words) != 0; try_++) \
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL); \
	if (strcmp(heard, words) != 0) { \
		fprintf(stderr, "%s:%d: heard: %s\n", __FILE__, __LINE__, heard); \
		exit(1); \
	} \
	heard[0] = '\0'; \
} while (0)

static inline void
rig_start(uint64_t flags)
{
	CHECK_EQ(rte_vhost_driver_register(rig_path, flags), 0);
	CHECK_EQ(rte_vhost_driver_callback_register(rig_path, &rig_ops), 0);
	CHECK_EQ(rte_vhost_driver_start(rig_path), 0);
}

/* A network device with a guest on it. */
static inline struct side *
rig_connect(uint64_t features, uint64_t protocol_features)
{
	struct side *s = side_create(features, protocol_features);

	side_connect(s, rig_path);
	CHECK_HEARD("new_connection +0 +1 new_device ");
	return s;
}

static inline void
rig_end(struct side *s)
{
	CHECK_EQ(rte_vhost_driver_unregister(rig_path), 0);
	if (s)
		side_destroy(s);
	heard[0] = '\0';
}

static inline void
rig_remove_folder(void)
{
	const char *const parts[] = { "/dpdk/rte", "/dpdk", "" };
	char path[64];

	for (unsigned int i = 0; i < RTE_DIM(parts); i++) {
		snprintf(path, sizeof(path), "%s%s", rig_folder, parts[i]);
		rmdir(path);
	}
}

static inline int
rig_main(const char *program, const struct test *tests, size_t nr)
{
	char *args[] = {
		(char *)(uintptr_t)program, "--no-huge", "--no-pci", "--no-shconf", "-m", "128",
		"--no-telemetry", "--log-level=error", "--lcores=0@0",
	};
	cpu_set_t cpus;

	CHECK(mkdtemp(rig_folder));
	snprintf(rig_path, sizeof(rig_path), "%s/s", rig_folder);
	CHECK_EQ(setenv("RUNTIME_DIRECTORY", rig_folder, 1), 0);
	CHECK_EQ(atexit(rig_remove_folder), 0);
	CHECK_EQ(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	CHECK(rte_eal_init((int)RTE_DIM(args), args) >= 0);
	CHECK_EQ(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
	run_tests(tests, nr);
	CHECK(access(rig_path, F_OK) != 0);
	rte_eal_cleanup();
	return 0;
}

#endif
