/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * queue.h - one virtqueue of a device: what the poller owns, and what control owns.
 *
 * Knows:   rings, gates.
 * Trusts:  its two owners to keep to their halves; the gate hands the first half over.
 * Runs on: see the groups.
 */
#ifndef VHC_QUEUE_H
#define VHC_QUEUE_H

#include "base/gate.h"
#include "mem/region.h"
#include "ring/ring.h"
#include "ring/setup.h"
#include "vhostcore_notify.h"

struct inflight;
struct relay;

/* Which CPU polls: nobody asked, as on machines where it does not matter; or not known yet. */
#define QUEUE_CPU_UNASKED	(-2)
#define QUEUE_CPU_WANTED	(-1)

typedef uint16_t (*vhc_burst_t)(struct vhc_queue *q, void **items, uint16_t n);

/* Interrupting the driver later (caller.c). */
struct call_duty {
	uint64_t interval;	/* nanoseconds between two calls; 0: the poller calls at once */
	uint64_t not_before;	/* owner: the calling thread */
	struct vhc_queue *next;	/* in the list of those that want it ... */
	struct vhc_queue **link; /* ... and what points to it there; NULL: it is not in it */
	uint64_t nr_made;	/* written by who holds or owns the queue, read by anyone */
	uint64_t nr_failed;	/* likewise */
	uint32_t is_due;	/* set by the poller */
};

struct vhc_queue {
	/* owner: the poller inside the gate; control while the gate is closed */
	struct gate gate;
	uint8_t idle;		/* enum ring_idle: how an empty poll can be told without a burst */
	vhc_burst_t burst;	/* chosen by the class when the queue starts */
	struct ring ring;
	struct ring_faults faults;	/* written by the poller, read by anyone */
	int32_t poll_cpu;	/* likewise: where it last began to poll; QUEUE_CPU_* */

	/* owner: control thread, under the loop's lock */
	struct vhc_device *dev VHC_ALIGNED;
	uint16_t index;
	uint32_t nr_holders;	/* written by anyone, see vhc_queue_hold() */
	struct ring_claim claim;
	bool has_num;
	bool has_addr;
	bool started;		/* SET_VRING_KICK came, GET_VRING_BASE did not */
	bool enabled;		/* SET_VRING_ENABLE, or a front-end without protocol features */
	bool running;		/* the ring is translated, and its poller's if anybody's */
	bool is_control;	/* of a running ring: it carries commands, the gate stays closed */
	bool draining;		/* running, until what was taken is back */
	bool is_untranslated;	/* running, but the gate is closed: its memory is asked for */
	bool usable;		/* what the application was told last */
	bool is_logged;		/* SET_VRING_ADDR: writes to it go to the dirty log */
	uint64_t log_used_at;	/* what follows (dirty.c), read by anyone; QUEUE_NOT_LOGGED */
	uint64_t log_event_at;
	uint32_t base;		/* where to go on, while not running; as in SET_VRING_BASE */
	bool base_is_said;	/* of a raw ring: the application said where it stands */
	int kick_fd;
	int call_fd;
	struct relay *call_relay; /* NULL: call_fd is the front-end's own */
	uint64_t kick_watch;	/* of a control ring: we wait for kicks ... */
	uint64_t look_timer;	/* ... and look again without one */
	int err_fd;
	bool wants_kicks;	/* the application sleeps on poll_fd, also across front-ends */
	int poll_fd;		/* epoll instance handed to the application; watches the next two */
	int wake_fd;		/* always readable; re-armed to wake the application ourselves */
	struct region_loan loan;	/* what vhc_queue_monitor() told the address of */
	struct call_duty duty;	/* `interval` changes while the gate is closed */
	struct inflight *inflight;	/* NULL: what is taken is not noted; as the first half */
	bool is_inflight_new;	/* the front-end sent it since the ring last ran */
	int memory_node;	/* NUMA node of the ring it last ran on; -1 */
	const struct map *next_map;	/* the poller is to change over to it (remap.c); or NULL */
	bool is_asked;		/* ... it was asked to */
	bool is_slow;		/* ... and did not, the last time */
	char obstacle[RING_REASON_LEN];	/* why the ring could not be set up, or "" */
};

_Static_assert(offsetof(struct vhc_queue, ring) + offsetof(struct ring, hint) == VHC_CACHE_LINE,
	       "an empty poll touches one line");

/*
 * Take the queue from its poller and keep off the control thread, or give both back. For the class,
 * on an application's thread. Pairs; not nested.
 */
void vhc_queue_pause(struct vhc_queue *q);
void vhc_queue_resume(struct vhc_queue *q);

/* Let an application that sleeps on the queue look at it. With the queue paused. */
void vhc_queue_wake(struct vhc_queue *q);

/* Inside the gate, after a publish: the driver is to be called, but not by us and not at once. */
void vhc_queue_call_later(struct vhc_queue *q);

/*
 * For who is not the poller and must not wait for control: while held, a running queue stays as it
 * is and its memory mapped. False: it is stopped, there is nothing to release. Any thread, many at
 * once, only for moments.
 */
bool vhc_queue_hold(struct vhc_queue *q);
void vhc_queue_release(struct vhc_queue *q);

#endif
