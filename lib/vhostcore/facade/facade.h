/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * facade.h - a registered path, and the front-end that is connected there.
 *
 * Knows:   rte_vhost.h, the public headers of vhostcore.
 * Trusts:  the application with its paths; vids and ring numbers are judged, whoever calls.
 * Runs on: see the groups.
 *
 * Applications of rte_vhost.h hold locks of theirs while they ask for facts, and take the same
 * locks in callbacks, which we call under the control thread's lock. So no fact may need that lock:
 * callbacks and message hooks keep a copy (facts.c). Nothing else is called with `facts_lock` or
 * the path table's lock held.
 */
#ifndef VHC_FACADE_FACADE_H
#define VHC_FACADE_FACADE_H

#include <pthread.h>
#include <stdatomic.h>

#include <rte_common.h>
#include <rte_log.h>
#include <rte_vhost.h>

#include <vhostcore.h>
#include <vhostcore_features.h>
#include <vhostcore_memory.h>
#include <vhostcore_message.h>
#include <vhostcore_net.h>
#include <vhostcore_notify.h>
#include <vhostcore_ring.h>

#define FACADE_RINGS 256
#define FACADE_PAIRS (FACADE_RINGS / 2)
#define FACADE_PATH_LEN 108

#define BIT64(n) (UINT64_C(1) << (n))

/* All names below are the library's own. */
#define FACADE_API __attribute__((visibility("default")))

extern int vhc_facade_logtype;

/* One line; `path` is what it is about. */
#define FACADE_LOG(level, path, fmt, ...) \
	rte_log(RTE_LOG_ ## level, vhc_facade_logtype, "VHOST_CONFIG: (%s) " fmt "\n", (path), \
		## __VA_ARGS__)

/* What a polling thread needs. Fixed while anybody may poll. */
struct facade_rings {
	uint16_t nr_net;	/* rings with bursts: all, or 0 where the application works them */
	struct vhc_queue *queue[FACADE_RINGS];
};

/* A ring, as of the latest message. */
struct facade_ring_facts {
	struct vhc_queue_memory memory;	/* without descriptors: see below */
	int kick_fd;		/* -1: none is used; -2: not said yet */
	int call_fd;
};

struct facade_facts {
	uint64_t features;
	uint64_t protocol_features;
	uint16_t mtu;
	uint16_t nr_rings;	/* highest that was named, and one */
	int numa_node;
	bool is_running;
};

/* What a wish for kicks is before the application said one. */
#define FACADE_KICKS_UNSAID (-1)

struct facade_port {
	struct facade_rings rings;

	/* the path table's (paths.c), under its lock */
	struct facade_port *next;
	unsigned int nr_refs;
	bool is_ending;
	enum { FACADE_IDLE, FACADE_STARTING, FACADE_STARTED } progress;
	char path[FACADE_PATH_LEN];
	uint64_t flags;
	uint64_t supported;
	uint64_t features;
	uint64_t protocol_features;
	bool has_protocol_features;	/* the application said them */
	bool is_net;		/* the built-in device is on */
	const struct rte_vhost_device_ops *ops;
	struct rte_vdpa_device *vdpa;
	struct vhc_vdpa *hardware;	/* `vdpa`, as the library knows it; NULL: none */
	struct vhc_server *server;	/* NULL: not started */

	/* control's, under its lock */
	struct vhc_device *device;
	int vid;		/* -1: no front-end */
	bool is_refused;	/* by new_connection */
	bool runs;		/* says the library */
	bool is_told;		/* new_device accepted it */
	struct rte_vhost_user_extern_ops extern_ops;
	struct rte_vhost_resubmit_info *resubmit[FACADE_RINGS];	/* NULL: nobody asked */

	/* anybody's */
	pthread_mutex_t facts_lock;
	struct facade_facts facts;
	struct facade_ring_facts ring_facts[FACADE_RINGS];
	_Atomic(int8_t) wants_kicks[FACADE_RINGS];
	struct vhc_net_stats *stats_base;	/* a ring each; NULL: no statistics */
	_Atomic(uint64_t) nr_calls[FACADE_RINGS];	/* of rte_vhost_vring_call() */
};

/* ---- vids.c --------------------------------------------------------------------------------- */

extern _Atomic(struct facade_port *) vhc_facade_vids[RTE_MAX_VHOST_DEVICE];

/* NULL: no front-end has this vid. Any thread. */
static inline struct facade_port *
facade_port_of(int vid)
{
	if (unlikely((unsigned int)vid >= RTE_MAX_VHOST_DEVICE))
		return NULL;
	return atomic_load_explicit(&vhc_facade_vids[vid], memory_order_acquire);
}

/* Likewise, if there is such a ring. */
static inline struct vhc_queue *
facade_queue_of(const struct facade_port *port, uint16_t ring)
{
	return port && ring < FACADE_RINGS ? port->rings.queue[ring] : NULL;
}

int vhc_facade_vid_get(struct facade_port *port);
void vhc_facade_vid_put(int vid);

/* ---- paths.c -------------------------------------------------------------------------------- */

/* A registered port, kept until it is put; NULL: there is none. */
struct facade_port *vhc_facade_path_get(const char *path);
void vhc_facade_path_put(struct facade_port *port);

/* ---- hardware.c ----------------------------------------------------------------------------- */

/* Make the path's vDPA device known to the library, if it has one. 0 or -errno. */
int vhc_facade_hardware_create(struct facade_port *port);
void vhc_facade_hardware_destroy(struct facade_port *port);

/* ---- logging.c ------------------------------------------------------------------------------ */

/* The library's lines go to DPDK's log. Before the first server. */
void vhc_facade_set_log(void);

/* ---- start.c -------------------------------------------------------------------------------- */

/* Make its server, and start that. 0 or -errno. */
int vhc_facade_server_start(struct facade_port *port);

/* ---- events.c ------------------------------------------------------------------------------- */

extern const struct vhc_device_ops vhc_facade_device_ops;

/* Around every call of the application. */
void vhc_facade_enter_callback(void);
void vhc_facade_leave_callback(void);

/* Is this thread in one? */
bool vhc_facade_in_callback(void);

/* Odd while any thread is in one; another number with each. */
unsigned int vhc_facade_callback_turn(void);

/* ---- facts.c -------------------------------------------------------------------------------- */

/* Under control's lock: look again. Of one ring; or of the device. */
void vhc_facade_note_ring(struct facade_port *port, uint16_t ring);
void vhc_facade_note_device(struct facade_port *port);
void vhc_facade_forget_facts(struct facade_port *port);

/* Rings that the front-end has named. Any thread. */
uint16_t vhc_facade_nr_rings(struct facade_port *port);

/* ---- calls.c -------------------------------------------------------------------------------- */

/* The ring runs: tell the driver what was wished for. */
void vhc_facade_apply_kicks(struct facade_port *port, uint16_t ring);

/* ---- stats.c -------------------------------------------------------------------------------- */

int vhc_facade_stats_init(struct facade_port *port);

/* Count from here. */
void vhc_facade_stats_begin(struct facade_port *port);

/* ---- inflight.c ----------------------------------------------------------------------------- */

/* The ring stopped, and the application knows. */
void vhc_facade_forget_resubmit(struct facade_port *port, uint16_t ring);

/* ---- messages.c ----------------------------------------------------------------------------- */

int vhc_facade_message_before(struct vhc_device *dev, struct vhc_message *message, void *arg);
int vhc_facade_message_after(struct vhc_device *dev, struct vhc_message *message, void *arg);

#endif
