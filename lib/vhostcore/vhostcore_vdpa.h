/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * vhostcore_vdpa.h - hardware that serves rings itself; the library talks to the front-end.
 *
 * A driver registers a *vDPA device*: what its hardware can do, and functions that program it. An
 * application gives it to a server (vhc_server_opts.vdpa), which then offers to front-ends what
 * both the hardware and this library can. One server has it at a time, from vhc_server_create() to
 * vhc_server_destroy(). Such a server has no class; nr_rings 0 is as many as the hardware has, and
 * nr_vital_rings 0 the first pair of a network device and all of another.
 *
 * The driver finds what to program in vhostcore_ring.h (vhc_queue_memory(): addresses, kick and
 * call descriptors) and vhostcore_memory.h (vhc_device_memory(): what to map for DMA).
 *
 * Contexts: functions of struct vhc_vdpa_ops that get a device run on the control thread and may
 * call what callbacks may (vhostcore.h); the others on whichever thread asks.
 */
#ifndef VHOSTCORE_VDPA_H
#define VHOSTCORE_VDPA_H

#include "vhostcore.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vhc_vdpa;

#define VHC_VDPA_NAME_LEN 64

/** Virtio device types (virtio 1.2 5) that there are today. */
#define VHC_VDPA_TYPE_NET 1
#define VHC_VDPA_TYPE_BLOCK 2

/** Memory of a descriptor into which a driver writes to kick a ring: whole pages. */
struct vhc_vdpa_area {
	int fd;			/**< stays the driver's */
	uint64_t offset;
	uint64_t size;
};

struct vhc_vdpa_stat_name {
	char name[VHC_VDPA_NAME_LEN];
};

struct vhc_vdpa_stat {
	uint16_t id;		/**< index of its name */
	uint64_t value;
};

/** A driver's side. All return 0 or -errno unless said otherwise. */
struct vhc_vdpa_ops {
	/* What the hardware is; these must be there. */

	/** Virtqueues for data: of a network device two a pair. */
	int (*nr_rings)(void *arg, uint16_t *nr);
	/** Virtio feature bits, those of rings included; LOG_ALL: it marks what it writes. */
	int (*features)(void *arg, uint64_t *features);
	/** vhost-user protocol feature bits that may be agreed on with it. */
	int (*protocol_features)(void *arg, uint64_t *features);

	/* What it is to do; these too. */

	/**
	 * A guest is ready: serve the rings for which vhc_queue_memory() returns 0, each from where
	 * vhc_queue_base() says.
	 */
	int (*dev_conf)(struct vhc_device *dev, void *arg);
	/**
	 * Let go of the guest: a ring was stopped for good, its memory changes, or the front-end is
	 * gone. On return the hardware touches neither rings nor memory, and the driver has said
	 * where each ring stands (vhc_queue_set_base()). If the guest goes on, dev_conf is next.
	 */
	void (*dev_close)(struct vhc_device *dev, void *arg);
	/** Between those two: a ring joins or leaves those to be served. */
	int (*set_vring_state)(struct vhc_device *dev, uint16_t ring, bool enabled, void *arg);
	/** Between those two: LOG_ALL was agreed on, or is no longer: mark what is written. */
	int (*set_features)(struct vhc_device *dev, uint64_t features, void *arg);

	/* The rest may be NULL. */

	/** The guest arrived here by a migration: tell the network where it is (SEND_RARP). */
	void (*migration_done)(struct vhc_device *dev, void *arg);
	/** As in struct vhc_device_ops; NULL: the application's are asked. */
	int (*config_get)(struct vhc_device *dev, uint8_t *bytes, uint32_t offset, uint32_t len,
			  void *arg);
	int (*config_set)(struct vhc_device *dev, const uint8_t *bytes, uint32_t offset,
			  uint32_t len, bool is_migration, void *arg);
	/** Where the guest may kick a ring itself: see vhc_vdpa_notify_host(). */
	int (*notify_area)(struct vhc_device *dev, uint16_t ring, struct vhc_vdpa_area *area,
			   void *arg);
	/** Virtio device type; NULL: a network device. */
	int (*device_type)(void *arg, uint32_t *type);
	/** Names of the counters of a ring, up to @p max. @return how many there are. */
	int (*stats_names)(void *arg, struct vhc_vdpa_stat_name *names, unsigned int max);
	/** Counters of a ring, up to @p max. @return how many were written. */
	int (*stats)(void *arg, uint16_t ring, struct vhc_vdpa_stat *stats, unsigned int max);
	int (*stats_reset)(void *arg, uint16_t ring);
};

/* ---- for drivers ---------------------------------------------------------------------------- */

/**
 * Make a device known. @p ops is kept by pointer, @p name copied.
 *
 * @return 0; -EINVAL a name that is empty or has more than 63 bytes, or a function is missing;
 *         -EEXIST the name is taken; -ENOMEM.
 * Context: any thread.
 */
int vhc_vdpa_register(const char *name, const struct vhc_vdpa_ops *ops, void *arg,
		      struct vhc_vdpa **vdpa);

/** Forget it. @return 0; -EBUSY a server has it. Any thread. */
int vhc_vdpa_unregister(struct vhc_vdpa *vdpa);

/**
 * Let the guest kick @p ring, or with VHC_NO_RING each that runs, at its notify area, without us;
 * or no longer. The front-end may refuse, which is logged; so the kick descriptor must be served
 * too. Front-ends forget it when a ring stops.
 *
 * @return 0; -ENOTSUP there is no notify area, or as vhc_device_host_notifier(), and the other
 *         errors of that.
 * Context: any thread; waits for control.
 */
int vhc_vdpa_notify_host(struct vhc_device *dev, uint16_t ring, bool on);

/**
 * Software-assisted migration: the hardware, which cannot mark what it writes, was given a used
 * ring in host memory. Copy what is new there into the guest's, and mark that and the buffers it
 * names in the dirty log. Then interrupt the guest (vhc_queue_call()).
 *
 * @param used The hardware's used ring, laid out as virtio 1.2 2.7.8 says, as large as @p ring. Its
 *             index began where vhc_queue_base() said.
 * @return How many entries; -ENODEV the ring is stopped; -EAGAIN control is changing it; -ENOTSUP a
 *         packed ring; -EINVAL no such ring, or no vDPA device; -EPROTO an entry, or the index, is
 *         not possible: nothing more can be relayed, and if the guest is to blame its ring is
 *         broken. Chains that cannot be followed are counted (vhc_queue_faults()) and passed on.
 * Context: one thread a ring at a time, never waits; and within dev_close, when the ring is
 * stopped but its memory still there.
 */
int vhc_vdpa_relay_used(struct vhc_device *dev, uint16_t ring, const void *used);

/* ---- for applications ----------------------------------------------------------------------- */

/** The device of that name, or NULL. Any thread. */
struct vhc_vdpa *vhc_vdpa_find(const char *name);

/** Name and driver's argument of a device. Any thread. */
const char *vhc_vdpa_name(const struct vhc_vdpa *vdpa);
void *vhc_vdpa_arg(const struct vhc_vdpa *vdpa);

/** What it can do, as in struct vhc_vdpa_ops. @return what the driver says. Any thread. */
int vhc_vdpa_nr_rings(struct vhc_vdpa *vdpa, uint16_t *nr);
int vhc_vdpa_features(struct vhc_vdpa *vdpa, uint64_t *features);
int vhc_vdpa_protocol_features(struct vhc_vdpa *vdpa, uint64_t *features);
int vhc_vdpa_device_type(struct vhc_vdpa *vdpa, uint32_t *type);

/**
 * Counters. @return what the driver says; -ENOTSUP it has none; -EINVAL nowhere to write to.
 * Context: any thread.
 */
int vhc_vdpa_stats_names(struct vhc_vdpa *vdpa, struct vhc_vdpa_stat_name *names,
			 unsigned int max);
int vhc_vdpa_stats(struct vhc_vdpa *vdpa, uint16_t ring, struct vhc_vdpa_stat *stats,
		   unsigned int max);
int vhc_vdpa_stats_reset(struct vhc_vdpa *vdpa, uint16_t ring);

/** The vDPA device that serves this device's rings, or NULL. Any thread. */
struct vhc_vdpa *vhc_device_vdpa(const struct vhc_device *dev);

#ifdef __cplusplus
}
#endif

#endif
