/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * rte_vhost_types.h - constants and structures; part of rte_vhost.h.
 */
#ifndef _RTE_VHOST_TYPES_H_
#define _RTE_VHOST_TYPES_H_

#ifdef __cplusplus
extern "C" {
#endif

/* ---- flags of rte_vhost_driver_register() ---------------------------------------------------- */

/** The front-end listens; we connect. */
#define RTE_VHOST_USER_CLIENT			(1ULL << 0)
/** ... once only. */
#define RTE_VHOST_USER_NO_RECONNECT		(1ULL << 1)
#define RTE_VHOST_USER_RESERVED_1		(1ULL << 2)
/** Not served here: registering fails. */
#define RTE_VHOST_USER_IOMMU_SUPPORT		(1ULL << 3)
/** Not served here: registering fails. */
#define RTE_VHOST_USER_POSTCOPY_SUPPORT		(1ULL << 4)
/** A packet too long for an mbuf may get a buffer of its own. */
#define RTE_VHOST_USER_EXTBUF_SUPPORT		(1ULL << 5)
/** No chains of mbufs. */
#define RTE_VHOST_USER_LINEARBUF_SUPPORT	(1ULL << 6)
/** Not served here: registering fails. */
#define RTE_VHOST_USER_ASYNC_COPY		(1ULL << 7)
/** Dequeued packets have receive flags; otherwise what was asked for comes as transmit flags. */
#define RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS	(1ULL << 8)
/** Without it rte_vhost_vring_stats_*() fail. */
#define RTE_VHOST_USER_NET_STATS_ENABLE		(1ULL << 9)

/* ---- feature bits that system headers may not have ------------------------------------------- */

#ifndef VIRTIO_NET_F_MTU
#define VIRTIO_NET_F_MTU 3
#endif
#ifndef VIRTIO_NET_F_GUEST_ANNOUNCE
#define VIRTIO_NET_F_GUEST_ANNOUNCE 21
#endif
#ifndef VIRTIO_NET_F_MQ
#define VIRTIO_NET_F_MQ 22
#endif
#ifndef VIRTIO_F_ANY_LAYOUT
#define VIRTIO_F_ANY_LAYOUT 27
#endif
#ifndef VHOST_USER_F_PROTOCOL_FEATURES
#define VHOST_USER_F_PROTOCOL_FEATURES 30
#endif

#ifndef VHOST_USER_PROTOCOL_F_MQ
#define VHOST_USER_PROTOCOL_F_MQ 0
#endif
#ifndef VHOST_USER_PROTOCOL_F_LOG_SHMFD
#define VHOST_USER_PROTOCOL_F_LOG_SHMFD 1
#endif
#ifndef VHOST_USER_PROTOCOL_F_RARP
#define VHOST_USER_PROTOCOL_F_RARP 2
#endif
#ifndef VHOST_USER_PROTOCOL_F_REPLY_ACK
#define VHOST_USER_PROTOCOL_F_REPLY_ACK 3
#endif
#ifndef VHOST_USER_PROTOCOL_F_NET_MTU
#define VHOST_USER_PROTOCOL_F_NET_MTU 4
#endif
#ifndef VHOST_USER_PROTOCOL_F_SLAVE_REQ
#define VHOST_USER_PROTOCOL_F_SLAVE_REQ 5
#endif
#ifndef VHOST_USER_PROTOCOL_F_CRYPTO_SESSION
#define VHOST_USER_PROTOCOL_F_CRYPTO_SESSION 7
#endif
#ifndef VHOST_USER_PROTOCOL_F_PAGEFAULT
#define VHOST_USER_PROTOCOL_F_PAGEFAULT 8
#endif
#ifndef VHOST_USER_PROTOCOL_F_CONFIG
#define VHOST_USER_PROTOCOL_F_CONFIG 9
#endif
#ifndef VHOST_USER_PROTOCOL_F_SLAVE_SEND_FD
#define VHOST_USER_PROTOCOL_F_SLAVE_SEND_FD 10
#endif
#ifndef VHOST_USER_PROTOCOL_F_HOST_NOTIFIER
#define VHOST_USER_PROTOCOL_F_HOST_NOTIFIER 11
#endif
#ifndef VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD
#define VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD 12
#endif
#ifndef VHOST_USER_PROTOCOL_F_STATUS
#define VHOST_USER_PROTOCOL_F_STATUS 16
#endif

/** A vid is less than this. */
#define RTE_MAX_VHOST_DEVICE 1024

#define RTE_VHOST_VDPA_DEVICE_TYPE_NET 0
#define RTE_VHOST_VDPA_DEVICE_TYPE_BLK 1

struct rte_vdpa_device;
struct rte_mbuf;

/* ---- memory and rings ------------------------------------------------------------------------ */

struct rte_vhost_mem_region {
	uint64_t guest_phys_addr;
	uint64_t guest_user_addr;	/**< the front-end's own address */
	uint64_t host_user_addr;	/**< first byte of the region here */
	uint64_t size;
	void *mmap_addr;		/**< what was mapped, whole pages */
	uint64_t mmap_size;
	int fd;				/**< -1: the library keeps none */
};

struct rte_vhost_memory {
	uint32_t nregions;
	struct rte_vhost_mem_region regions[];
};

struct rte_vhost_vring {
	union {
		struct vring_desc *desc;
		struct vring_packed_desc *desc_packed;
	};
	union {
		struct vring_avail *avail;
		struct vring_packed_desc_event *driver_event;
	};
	union {
		struct vring_used *used;
		struct vring_packed_desc_event *device_event;
	};
	uint64_t log_guest_addr;	/**< of the used part; 0: not logged */
	int callfd;			/**< as kickfd; rte_vhost_vring_call() writes it */
	int kickfd;			/**< -1: the driver polls or is polled; -2: not said yet */
	uint16_t size;
};

/* ---- callbacks ------------------------------------------------------------------------------- */

/** What a message handler says. */
enum rte_vhost_msg_result {
	RTE_VHOST_MSG_RESULT_ERR = -1,		/**< refuse it */
	RTE_VHOST_MSG_RESULT_OK = 0,		/**< done */
	RTE_VHOST_MSG_RESULT_REPLY = 1,		/**< done; send what is in the message now */
	RTE_VHOST_MSG_RESULT_NOT_HANDLED,	/**< go on */
};

/** @p msg points to the message as it came, 644 bytes, then `int fds[8]`, then `int nr_fds`. */
typedef enum rte_vhost_msg_result (*rte_vhost_msg_handle)(int vid, void *msg);

struct rte_vhost_user_extern_ops {
	rte_vhost_msg_handle pre_msg_handle;	/**< before the library looks at a message */
	rte_vhost_msg_handle post_msg_handle;	/**< after it, unless that failed */
};

/** Each may be NULL. Kept by pointer. A negative result of the first two refuses. */
struct rte_vhost_device_ops {
	int (*new_device)(int vid);		/**< the rings run */
	/** They are about to stop: return when no thread works on them any more. */
	void (*destroy_device)(int vid);
	/** One ring became usable (1), or is not any more (0). */
	int (*vring_state_changed)(int vid, uint16_t queue_id, int enable);
	/** Features were agreed on; while the device runs only VHOST_F_LOG_ALL changes. */
	int (*features_changed)(int vid, uint64_t features);
	int (*new_connection)(int vid);		/**< a front-end connected */
	void (*destroy_connection)(int vid);	/**< it is gone; also when the path goes */
	/** The guest was interrupted. On the thread that did it: count, do not block. */
	void (*guest_notified)(int vid);
	void *reserved[1];
};

/* ---- power and statistics -------------------------------------------------------------------- */

struct rte_vhost_power_monitor_cond {
	volatile void *addr;
	uint64_t val;
	uint64_t mask;
	uint8_t size;
	uint8_t match;	/**< there is work if the masked value is (1) or is not (0) `val` */
};

#define RTE_VHOST_STATS_NAME_SIZE 64

struct rte_vhost_stat {
	uint64_t id;
	uint64_t value;
};

struct rte_vhost_stat_name {
	char name[RTE_VHOST_STATS_NAME_SIZE];
};

#ifdef __cplusplus
}
#endif

#endif
