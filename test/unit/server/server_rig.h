/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * server_rig.h - a server of a class without rings to speak of, and what its tests ask of it.
 */
#ifndef TEST_SERVER_RIG_H
#define TEST_SERVER_RIG_H

#include "../kept_log.h"
#include "../peer.h"

#include "class.h"

static inline uint64_t
no_features(uint16_t nr_rings)
{
	(void)nr_rings;
	return 0;
}

static inline void
no_queue_init(struct vhc_queue *q)
{
	(void)q;
}

static inline void
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

static inline struct vhc_server_opts
opts_for(enum vhc_role role, const char *path)
{
	return (struct vhc_server_opts){ .name = "port", .path = path, .role = role, .nr_rings = 2,
					 .cls = &test_class };
}

static inline struct vhc_server *
start(enum vhc_role role, const char *path)
{
	struct vhc_server_opts opts = opts_for(role, path);
	struct vhc_server *server;

	CHECK_EQ(vhc_server_create(&opts, &server), 0);
	CHECK_EQ(vhc_server_start(server), 0);
	return server;
}

static inline struct vhc_device_info
info_of(struct vhc_server *server)
{
	struct vhc_device_info info;

	vhc_device_info(vhc_server_device(server), &info);
	return info;
}

/* Wait until the stage is (or is no longer) "nobody there". */
static inline void
wait_attached(struct vhc_server *server, bool attached)
{
	double end = peer_now() + 5;

	while ((info_of(server).stage >= VHC_STAGE_CONNECTED) != attached && peer_now() < end)
		peer_sleep_ms(1);
	CHECK_EQ(info_of(server).stage >= VHC_STAGE_CONNECTED, attached);
}

static inline void
wait_why(struct vhc_server *server, const char *words)
{
	double end = peer_now() + 5;

	while (!strstr(info_of(server).why, words) && peer_now() < end)
		peer_sleep_ms(1);
	CHECK_HAS(info_of(server).why, words);
}

/* The back-end answers GET_FEATURES within `ms`. */
static inline bool
is_served(int sock, int ms)
{
	struct { struct vhost_user_header header; uint8_t payload[8]; } reply;

	peer_request(sock, VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, NULL, 0, 0);
	return peer_is_readable(sock, ms) &&
	       recv(sock, &reply, sizeof(reply), 0) == sizeof(reply) && reply.header.flags == 0x5;
}

/* Every one with a log of its own. */
static inline int
run_server_tests(const struct test *tests, size_t nr)
{
	peer_make_folder();
	vhc_log_set_sink(keep_line, NULL);
	for (size_t i = 0; i < nr; i++) {
		log_forget();
		run_tests(&tests[i], 1);
	}
	peer_remove_folder();
	return 0;
}

#endif
