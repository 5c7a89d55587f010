/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * clients.c - thousands of ports that connect, and wait for front-ends that listen.
 */
#define _GNU_SOURCE 1

#include "farm.h"

#include "unit/peer.h"

#define NR_FOLDERS 10
#define PATIENCE_MS 20000

struct client {
	char path[108];
	struct vhc_server *server;
	int listener;
	int sock;
};

static struct farm_path
folder_of(unsigned int nr)
{
	char name[16];

	snprintf(name, sizeof(name), "folder%u", nr % NR_FOLDERS);
	return farm_path(name);
}

static void
serve(struct client *c, unsigned int nr)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", nr);
	snprintf(c->path, sizeof(c->path), "%.80s/%u", folder_of(nr).text, nr);
	CHECK_EQ(vhc_server_create(&(struct vhc_server_opts){
		.name = name, .path = c->path, .role = VHC_ROLE_CLIENT, .nr_rings = 2,
		.cls = vhc_net_class(),
	}, &c->server), 0);
	CHECK_EQ(vhc_server_start(c->server), 0);
}

/* It is connected within a while, and once. */
static void
greet(struct client *c)
{
	const struct vhost_user_header ask = { VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0 };

	CHECK(peer_is_readable(c->listener, PATIENCE_MS));
	c->sock = accept(c->listener, NULL, NULL);
	CHECK(c->sock >= 0);
	CHECK_EQ(send(c->sock, &ask, sizeof(ask), MSG_NOSIGNAL), sizeof(ask));
	CHECK(peer_is_readable(c->sock, PATIENCE_MS));
	CHECK(!peer_is_readable(c->listener, 0));
}

static void
vanish(struct client *c)
{
	CHECK_EQ(unlink(c->path), 0);
	close(c->listener);
	close(c->sock);
}

/* Every device has noticed that its front-end is gone, and waits. */
static void
wait_all_gone(struct client *clients, unsigned int nr)
{
	double end = peer_now() + PATIENCE_MS / 1000.0;

	for (unsigned int i = 0; i < nr; i++) {
		struct vhc_device_info info;

		for (;;) {
			vhc_device_info(vhc_server_device(clients[i].server), &info);
			if (info.stage == VHC_STAGE_LISTENING)
				break;
			CHECK(peer_now() < end);
			peer_sleep_ms(1);
		}
	}
}

/* All at once; returns from the first that appeared until the last was connected. */
static double
come_and_go(struct client *clients, unsigned int nr)
{
	double start = peer_now(), all;

	for (unsigned int i = 0; i < nr; i++)
		clients[i].listener = peer_listen(clients[i].path);
	for (unsigned int i = 0; i < nr; i++)
		greet(&clients[i]);
	all = peer_now() - start;
	CHECK_EQ(holdings_now().nr_inotify, 0);
	for (unsigned int i = 0; i < nr; i++)
		vanish(&clients[i]);
	wait_all_gone(clients, nr);
	return all;
}

/* DEVICES, ROUNDS */
void
scale_clients(const unsigned int *words)
{
	struct client *clients = calloc(words[0], sizeof(*clients));
	double seconds = 0, single;
	int nr_inotify;

	CHECK(clients);
	farm_begin(words[0]);
	for (unsigned int i = 0; i < NR_FOLDERS; i++)
		CHECK_EQ(mkdir(folder_of(i).text, 0700), 0);
	for (unsigned int i = 0; i < words[0]; i++)
		serve(&clients[i], i);
	nr_inotify = holdings_now().nr_inotify;
	for (unsigned int i = 0; i < words[1]; i++)
		seconds = come_and_go(clients, words[0]);
	/* One alone, all others waiting and trying once a second. */
	peer_sleep_ms(1500);
	single = peer_now();
	clients[0].listener = peer_listen(clients[0].path);
	greet(&clients[0]);
	single = peer_now() - single;
	vanish(&clients[0]);
	printf("{\"inotify\": %d, \"seconds\": %.3f, \"single_s\": %.4f}\n", nr_inotify,
	       seconds, single);
	for (unsigned int i = 0; i < words[0]; i++)
		vhc_server_destroy(clients[i].server);
	CHECK_EQ(holdings_now().nr_inotify, 0);
	for (unsigned int i = 0; i < NR_FOLDERS; i++)
		CHECK_EQ(rmdir(folder_of(i).text), 0);
	free(clients);
	farm_end();
}
