/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * vhostcore.h - the control side of a vhost-user back-end: sockets, devices, queues.
 *
 * A *server* is one socket path and the one *device* served on it. The device lives as long as its
 * server: front-ends come and go, the device, its queues and their counters stay. A device has a
 * *class* (vhostcore_net.h has the network one) and `nr_rings` *queues*, one a virtqueue. A class
 * may have one ring more, on which the driver sends commands; the library serves it.
 *
 * Contexts of execution
 *  - control thread: one a process, more if servers ask for them (control_thread); from its first
 *    server to its last. Every callback of a device runs on its server's.
 *  - application threads: may call every function below at any time unless said otherwise. Calls
 *    wait for the callback or message being handled; so do not hold a lock that a callback takes,
 *    and call them in a callback for devices of its own control thread only.
 *  - polling threads: run the bursts of vhostcore_net.h, at most one thread a queue at a time.
 *
 * Errors are 0 or -errno; whatever is refused is also logged once, in words.
 */
#ifndef VHOSTCORE_H
#define VHOSTCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vhostcore_queue.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vhc_class;
struct vhc_server;
struct vhc_device;
struct vhc_queue;
struct vhc_message;
struct vhc_vdpa;

/* ---- log ------------------------------------------------------------------------------------ */

enum vhc_log_level {
	VHC_LOG_ERR,
	VHC_LOG_WARNING,
	VHC_LOG_NOTICE,
	VHC_LOG_INFO,
	VHC_LOG_DEBUG,
};

/** Receives one line, without a newline. Any thread; must not call the library. */
typedef void (*vhc_log_sink_t)(enum vhc_log_level level, const char *line, void *arg);

/**
 * Send the library's log lines to @p fn instead of stderr; NULL goes back to stderr.
 * Context: before the first server is created.
 */
void vhc_log_set_sink(vhc_log_sink_t fn, void *arg);

/* ---- servers -------------------------------------------------------------------------------- */

enum vhc_role {
	VHC_ROLE_SERVER,	/**< we listen, the front-end connects */
	VHC_ROLE_CLIENT,	/**< the front-end listens, we connect and reconnect */
};

/** A look at a message; returns an enum vhc_message_result. See vhostcore_message.h. */
typedef int (*vhc_message_hook_t)(struct vhc_device *dev, struct vhc_message *message, void *arg);

/** What the control thread tells the application. Every member may be NULL. */
struct vhc_device_ops {
	/** The first queue pair became able, or unable, to move packets. */
	void (*running)(struct vhc_device *dev, bool running, void *arg);
	/** One ring became usable or unusable for bursts, also since a front-end is lost, or as
	 * the driver starts or ceases to use it. */
	void (*queue_changed)(struct vhc_device *dev, uint16_t ring, bool usable, void *arg);
	/** The front-end announced an MTU. */
	void (*mtu_changed)(struct vhc_device *dev, uint16_t mtu, void *arg);
	/** A front-end came, before it said anything; or the one that was there is gone. */
	void (*connected)(struct vhc_device *dev, bool connected, void *arg);
	/** Features were agreed on; of a device that runs only LOG_ALL may change (migration). */
	void (*features_changed)(struct vhc_device *dev, uint64_t features, void *arg);
	/**
	 * Bytes [offset, offset + len) of the configuration space, into @p bytes, which the library
	 * has filled with what it knows. @return 0, or -errno to refuse. virtio 1.2 2.5.
	 */
	int (*config_get)(struct vhc_device *dev, uint8_t *bytes, uint32_t offset, uint32_t len,
			  void *arg);
	/**
	 * The driver writes there; @p is_migration: it is restored after a migration instead.
	 * @return 0, or -errno to refuse. Not there: the space is read-only.
	 */
	int (*config_set)(struct vhc_device *dev, const uint8_t *bytes, uint32_t offset,
			  uint32_t len, bool is_migration, void *arg);
	vhc_message_hook_t message_before;	/**< before the library handles it ... */
	vhc_message_hook_t message_after;	/**< ... and after, or instead */
	/** Of a device of one's own: its state as bytes, and back (of anybody's). 0 or -errno. */
	int (*state_save)(struct vhc_device *dev, void *bytes, uint32_t room, uint32_t *len,
			  void *arg);
	int (*state_load)(struct vhc_device *dev, const void *bytes, uint32_t len, void *arg);
};

struct vhc_server_opts {
	const char *name;		/**< tag of log lines; copied; at most 63 bytes */
	const char *path;		/**< socket path, at most 107 bytes; copied */
	enum vhc_role role;
	uint16_t nr_rings;		/**< virtqueues for data, 1...256 */
	/** Kind of device; NULL: one that the application makes, see vhostcore_ring.h. */
	const struct vhc_class *cls;
	uint64_t features_off; /**< virtio feature bits not to offer although the class has them */
	uint64_t features_on;	/**< bits to offer besides: the application serves them itself */
	/**
	 * The device runs when rings 0...n-1 do. 0: as the class says; without a class, when every
	 * ring that the front-end set up does, and one at least.
	 */
	uint16_t nr_vital_rings;
	/** The application works the rings itself (vhc_queue_memory()): no bursts, no chains. */
	bool raw_rings;
	/**
	 * Offer INFLIGHT_SHMFD: what is taken is noted in a file that the front-end keeps, for who
	 * comes after us. With a class; devices without one offer it always.
	 */
	bool inflight;
	struct vhc_vdpa *vdpa;	/**< hardware that serves the rings: vhostcore_vdpa.h */
	bool no_reconnect;	/**< client role: connect once, do not try again */
	/** The guest may run here before its memory has come: threads that touch it may sleep. */
	bool postcopy;
	const struct vhc_device_ops *ops; /**< may be NULL; copied */
	void *ops_arg;
	uint16_t control_thread; /**< which one serves it, 0...15; servers of one number share it */
};

/**
 * Create a server and its device; nothing is on the file system yet.
 *
 * @return 0; -EINVAL option out of range; -ENAMETOOLONG path; -ENOMEM; -ENOSYS kernel without
 *         membarrier(2); -EBUSY another server has the vDPA device, or what its driver says;
 *         -EPERM and others of userfaultfd(2), with postcopy: the log says what to change.
 */
int vhc_server_create(const struct vhc_server_opts *opts, struct vhc_server **server);

/**
 * Start listening (server role) or connecting (client role; success even if nobody listens yet:
 * the library goes on trying).
 *
 * A stale socket file is replaced. @return 0; -EADDRINUSE a living process listens there (named in
 * the log); -ENOTSOCK the path is something else, left untouched; -EACCES, -ENOENT and others of
 * bind(2) and listen(2).
 */
int vhc_server_start(struct vhc_server *server);

/**
 * The same on a Unix socket that is there already, listening or connected, whose @p fd becomes the
 * library's. @return 0; -EBADF, -ENOTSOCK, -EINVAL (not such a socket): it stays the caller's.
 */
int vhc_server_start_fd(struct vhc_server *server, int fd);

/**
 * Drop the front-end, remove our socket file, free the device. Callbacks for what is lost have run
 * when it returns; none runs afterwards. No thread may be inside a burst, or enter one again.
 * Not to be called from a callback.
 */
void vhc_server_destroy(struct vhc_server *server);

/** The server's device; same lifetime. */
struct vhc_device *vhc_server_device(struct vhc_server *server);

/* ---- devices -------------------------------------------------------------------------------- */

/** How far a device has come; each stage includes the ones before it. */
enum vhc_stage {
	VHC_STAGE_LISTENING,	/**< no front-end (client role: not connected) */
	VHC_STAGE_CONNECTED,	/**< a front-end is there */
	VHC_STAGE_FEATURES,	/**< features are agreed on */
	VHC_STAGE_MEMORY,	/**< guest memory is mapped */
	VHC_STAGE_RINGS,	/**< at least one ring is set up */
	VHC_STAGE_ENABLED,	/**< the first queue pair is set up and enabled */
	VHC_STAGE_RUNNING,	/**< the driver is ready: packets flow */
};

/** Lower-case word for a stage. */
const char *vhc_stage_name(enum vhc_stage stage);

#define VHC_WHY_LEN 256
#define VHC_NO_RING UINT16_MAX	/**< no ring has this number */

struct vhc_device_info {
	char name[64];
	char path[108];
	enum vhc_role role;
	enum vhc_stage stage;
	char why[VHC_WHY_LEN]; /**< one sentence: the first unmet condition, or "running" */
	uint64_t features;		/**< offered and accepted virtio feature bits */
	uint64_t offered;
	uint64_t protocol_features;	/**< offered and accepted protocol feature bits */
	uint16_t mtu;			/**< 0: the front-end announced none */
	uint16_t nr_rings;		/**< as in vhc_server_opts */
	uint16_t control_ring;		/**< the one for commands, or VHC_NO_RING */
	uint16_t nr_regions;		/**< memory regions mapped */
	uint8_t status;			/**< virtio status byte, if the front-end sends it */
	uint64_t nr_connects;		/**< front-ends seen so far */
};

/** Snapshot of a device. Any thread; waits for the control thread. */
void vhc_device_info(struct vhc_device *dev, struct vhc_device_info *info);

/** Queue of ring @p index, or NULL if there are not so many. Same lifetime as the device. */
struct vhc_queue *vhc_device_queue(struct vhc_device *dev, uint16_t index);

#ifdef __cplusplus
}
#endif

#endif
