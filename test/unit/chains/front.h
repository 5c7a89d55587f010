/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * front.h - a front-end with one ring, for servers without a class: message by message.
 *
 * Knows:   model/driver.h, the vhost-user messages.
 * Trusts:  nothing to trust: what goes wrong ends the test.
 * Runs on: the test's thread; the library's control thread answers.
 *
 * The ring outlives connections, as a guest does. Requests are one readable and one writable piece,
 * with a number in the first.
 */
#ifndef TEST_CHAINS_FRONT_H
#define TEST_CHAINS_FRONT_H

#include "device.h"
#include "model/driver.h"
#include "unit/peer.h"
#include "vhostcore_ring.h"

#define FRONT_RING_SIZE 16
#define FRONT_MEMORY_LEN UINT64_C(0x100000)

struct front_conf {
	bool packed;
	bool in_order;
	bool is_tracked;	/* INFLIGHT_SHMFD */
};

struct front {
	struct front_conf conf;
	struct guest guest;	/* LOW only, and only our view of it */
	struct driver driver;
	int memory_fd;
	int sock;		/* -1: not connected */
	int kick;
	int call;
	int inflight_fd;	/* -1: none yet */
	struct vhost_user_inflight inflight;
	uint64_t next_at;
	uint32_t base;		/* what GET_VRING_BASE said last */
	/* ours */
	struct vhc_server *server;
	struct vhc_device *dev;
	struct vhc_queue *q;
	struct peer_path path;
};

/* A server at `path`, and a front-end that is not connected. */
void front_open(struct front *f, struct peer_path path, const struct front_conf *conf);
void front_close(struct front *f);

/* Connect and say everything up to an enabled ring. */
void front_connect(struct front *f);
void front_disconnect(struct front *f);

/* Its parts. */
void front_negotiate(struct front *f);
void front_share_memory(struct front *f);
void front_start_ring(struct front *f);
void front_enable(struct front *f, bool on);
void front_get_inflight(struct front *f);
void front_set_inflight(struct front *f);

void front_say(struct front *f, uint32_t request, const void *payload, uint32_t size);

/* All that was said was handled. Not while a reply is due. In two parts, for who waits. */
void front_sync(struct front *f);
void front_ask_sync(struct front *f);
void front_read_sync(struct front *f);

void front_set_status(struct front *f, uint8_t status);

/* GET_VRING_BASE, in two parts. */
void front_ask_base(struct front *f);
void front_read_base(struct front *f);
bool front_is_answered(struct front *f, int ms);

/* Requests numbered `first` and on. */
void front_post(struct front *f, uint32_t first, unsigned int nr);

/* The number in a request. */
uint32_t front_number(const struct vhc_chain *chain);

/* How many came back since the last time. */
unsigned int front_collect(struct front *f);

/* Take exactly so many, waiting for the ring to start. */
void front_take(struct front *f, struct vhc_chain **chains, uint16_t nr);

/* Wait until the ring's queue is what it should be: within 5 s. */
void front_wait_usable(struct front *f, bool usable);

#endif
