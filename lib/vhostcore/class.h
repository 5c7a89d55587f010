/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * class.h - what a kind of device adds to the engine. ctl/ and net/ meet here and nowhere else.
 *
 * Knows:   queues.
 * Trusts:  the class: it is part of the program.
 * Runs on: control thread, under the loop's lock.
 */
#ifndef VHC_CLASS_H
#define VHC_CLASS_H

#include "queue.h"

/* A command of the driver: a private copy, and what is known of the device it came for. */
struct vhc_command {
	const uint8_t *raw;
	uint32_t len;
	uint64_t features;	/* agreed on */
	uint16_t nr_rings;	/* data rings */
};

/*
 * What a class has to say whose queues hand out pieces of the guest's memory: they outlive the
 * gate. All with the gate closed, except where it says otherwise.
 */
struct vhc_class_lends {
	/* The ring goes on, with dev->map. */
	void (*remap)(struct vhc_queue *q);

	/* Hand out nothing more, but take back what is out: the ring is to stop. Or go on. */
	void (*drain)(struct vhc_queue *q, bool on);

	/* The ring has stopped: nothing may be written to it any more. */
	void (*stop)(struct vhc_queue *q);

	/* Things that are out. At any time. */
	uint32_t (*nr_held)(const struct vhc_queue *q);

	/* The poller said that something came back (dev->done_fd). At any time. */
	void (*look)(struct vhc_queue *q);

	/* The gate was opened, but meanwhile the poller could not do something: close it again. */
	bool (*is_behind)(struct vhc_queue *q);

	/* ... and do it. */
	void (*catch_up)(struct vhc_queue *q);

	/* The queue ends, and with it all that is out. */
	void (*fini)(struct vhc_queue *q);
};

#define CLASS_STATE_MAX 4096

struct vhc_class {
	const char *name;
	size_t queue_len; /* of the class's queue struct, which begins with struct vhc_queue */
	size_t state_len; /* of what the class keeps of a driver; zero when another one begins */
	/* Rings 0...n-1 must run before the device does; 0: all that the front-end set up. */
	uint16_t nr_vital_rings;
	bool posts_at_start;	/* a driver that is up has made buffers available */
	bool marks_writes;	/* what its queues write to the guest goes to the dirty log */
	bool stays_inside;	/* uses nothing of the guest's outside the gate: IOMMU possible */

	/* Virtio feature bits a device with so many data rings offers, transport bits aside. */
	uint64_t (*features)(uint16_t nr_rings);

	/* Name of a feature bit of this kind of device, or NULL. */
	const char *(*feature_name)(unsigned int bit);

	/* Prepare a zeroed queue. */
	void (*queue_init)(struct vhc_queue *q);

	/* Are the buffers of this ring only read? Not there: none are. */
	bool (*driver_only_sends)(uint16_t index);

	/* Choose q->burst for what was negotiated. The gate is closed, the ring is ready. */
	void (*queue_start)(struct vhc_queue *q, uint64_t features);

	/*
	 * What is written is logged elsewhere from now on, or at all, or no longer
	 * (vhc_queue_log()): choose q->burst anew. The gate is closed, or the poller itself is
	 * inside. Not there: bursts ask, and change over to a new memory table with it closed.
	 */
	void (*queue_relog)(struct vhc_queue *q);

	/*
	 * The guest is here now: tell the network of this address, once. NULL: if that has not
	 * happened yet, it must not any more. Not there: the class has no network.
	 */
	void (*announce)(struct vhc_device *dev, const uint8_t *mac);

	/* The rest may be NULL: such a device has no control ring, and an empty configuration. */

	/* Index of the ring that carries commands, or VHC_NO_RING where none was agreed on. */
	uint16_t (*control_ring)(uint64_t features, uint16_t nr_rings);

	/*
	 * Judge a command, and do what it says: into `state`. Sets the byte the driver reads; a
	 * fault other than RING_FAULT_NONE is counted.
	 */
	enum ring_fault (*command)(void *state, const struct vhc_command *command, uint8_t *ack);

	/* After the commands so far: may the poller of this data ring go in? */
	bool (*ring_in_use)(const void *state, uint16_t index);

	/*
	 * `state` as bytes for another back-end, at most CLASS_STATE_MAX, their number; and back:
	 * NULL, or a sentence on what is wrong with bytes that anybody may have made.
	 */
	uint32_t (*state_save)(const void *state, uint8_t *bytes);
	const char *(*state_load)(void *state, uint16_t nr_rings, const uint8_t *bytes,
				  uint32_t len);

	/* Not there: nothing outlives a burst. */
	const struct vhc_class_lends *lends;

	/* The configuration space, into 256 zeros. `mtu` is 0 if none was announced. */
	void (*config)(const void *state, uint16_t nr_rings, uint16_t mtu, uint8_t *bytes);
};

/* Requests as buffers (chains_class.c); what servers without a class have. */
extern const struct vhc_class vhc_chain_class;

/* A copy of what the class keeps of the driver. Any thread. */
void vhc_class_state(struct vhc_device *dev, void *copy);

#endif
