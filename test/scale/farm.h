/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * farm.h - many devices of one process, their front-ends, and what the process holds.
 */
#ifndef TEST_SCALE_FARM_H
#define TEST_SCALE_FARM_H

#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first include"
#endif

#include <pthread.h>

#include "device.h"
#include "model/frontend.h"
#include "vhostcore_loop.h"
#include "vhostcore_net.h"

#define FARM_MOST 4096
#define FARM_GUEST_LEN (2 * FRONTEND_RINGS_LEN)

struct rte_mempool;

struct farm_path {
	char text[108];
};

struct farm_device {
	struct frontend front;
	struct vhc_server *server;
	struct vhc_queue *pull;
	struct vhc_queue *push;
	struct farm_path path;
};

struct farm {
	unsigned int nr;
	unsigned int nr_threads;	/* control threads; as many threads play front-ends */
	int memory_fd;
	uint8_t *memory;		/* all guests' */
	struct farm_device *each;
};

/* What this process holds; two of them are compared. */
struct holdings {
	int nr_files;
	int nr_inotify;
	unsigned int nr_maps;
	unsigned int nr_threads;
	size_t heap;
	size_t anonymous;	/* bytes in memory that no file has; 0: this kernel does not say */
};

struct holdings holdings_now(void);

/* EAL, a pool, a folder for sockets, and as many open files as that takes. */
void farm_begin(unsigned int nr_devices);
void farm_end(void);

/* Of a socket in that folder. */
struct farm_path farm_path(const char *name);

/* Lines of the library's log with these words, since it was forgotten. */
unsigned int farm_log_count(const char *words);
void farm_log_forget(void);

/* Memory and books of the front-ends; no device yet. */
void farm_make(struct farm *farm, unsigned int nr, unsigned int nr_threads, uint64_t features);
void farm_drop(struct farm *farm);

/* A server for each, on its socket; without the front-ends. */
void farm_serve(struct farm *farm);
void farm_serve_one(struct farm *farm, unsigned int nr);
void farm_destroy_one(struct farm *farm, unsigned int nr);

/* Connect all, from as many threads as there are control threads; all run afterwards. */
void farm_connect(struct farm *farm);
void farm_check_running(const struct farm *farm);

/* A packet out of the guest and the same one into it again. */
void farm_move_packet(struct farm_device *d);

/* Out of the guest only. False: a burst returned nothing, although there is a packet. */
bool farm_pull_packet(struct farm_device *d);

/* The parts (main.c has the list); words are the numbers of the command line. */
void scale_devices(const unsigned int *words);
void scale_churn(const unsigned int *words);
void scale_storm(const unsigned int *words);
void scale_crowd(const unsigned int *words);
void scale_clients(const unsigned int *words);

#endif
