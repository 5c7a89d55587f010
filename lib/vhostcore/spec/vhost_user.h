/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_user.h - the vhost-user protocol as its specification names it.
 *
 * Knows:   requests, feature bits, payload layouts (native byte order: both ends share a machine).
 * Trusts:  nothing to trust: no code.
 * Runs on: everywhere.
 */
#ifndef VHC_SPEC_VHOST_USER_H
#define VHC_SPEC_VHOST_USER_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* Requests from the front-end. */
enum vhost_user_request {
	VHOST_USER_NONE = 0,
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_LOG_FD = 7,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SEND_RARP = 19,
	VHOST_USER_NET_SET_MTU = 20,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_IOTLB_MSG = 22,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_POSTCOPY_ADVISE = 28,
	VHOST_USER_POSTCOPY_LISTEN = 29,
	VHOST_USER_POSTCOPY_END = 30,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
	VHOST_USER_SET_DEVICE_STATE_FD = 42,
	VHOST_USER_CHECK_DEVICE_STATE = 43,
	VHOST_USER_REQUEST_MAX
};

/* Requests to the front-end, on the channel that it gave: numbers of their own. */
enum vhost_user_backend_request {
	VHOST_USER_BACKEND_IOTLB_MSG = 1,
	VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2,
	VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG = 3,
};

/* Bits of GET_FEATURES/SET_FEATURES that belong to the transport. */
#define VHOST_F_LOG_ALL_BIT			26
#define VHOST_USER_F_PROTOCOL_FEATURES_BIT	30

/* Bits of GET_PROTOCOL_FEATURES/SET_PROTOCOL_FEATURES. */
#define VHOST_USER_PROTOCOL_F_MQ_BIT			0
#define VHOST_USER_PROTOCOL_F_LOG_SHMFD_BIT		1
#define VHOST_USER_PROTOCOL_F_RARP_BIT			2
#define VHOST_USER_PROTOCOL_F_REPLY_ACK_BIT		3
#define VHOST_USER_PROTOCOL_F_MTU_BIT			4
#define VHOST_USER_PROTOCOL_F_BACKEND_REQ_BIT		5
#define VHOST_USER_PROTOCOL_F_PAGEFAULT_BIT		8
#define VHOST_USER_PROTOCOL_F_CONFIG_BIT		9
#define VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD_BIT	10
#define VHOST_USER_PROTOCOL_F_HOST_NOTIFIER_BIT		11
#define VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD_BIT	12
#define VHOST_USER_PROTOCOL_F_RESET_DEVICE_BIT		13
#define VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS_BIT	15
#define VHOST_USER_PROTOCOL_F_STATUS_BIT		16
#define VHOST_USER_PROTOCOL_F_DEVICE_STATE_BIT		19

/* Header flags. */
#define VHOST_USER_VERSION_MASK		0x3u
#define VHOST_USER_VERSION		0x1u
#define VHOST_USER_REPLY_MASK		0x4u
#define VHOST_USER_NEED_REPLY_MASK	0x8u

/* u64 payload of SET_VRING_KICK/CALL/ERR. */
#define VHOST_USER_VRING_IDX_MASK	0xffu
#define VHOST_USER_VRING_NOFD_MASK	0x100u

/* Most regions, and so descriptors, in one SET_MEM_TABLE. */
#define VHOST_USER_MEM_TABLE_REGIONS	32

/* Most bytes of configuration in one message. */
#define VHOST_USER_CONFIG_MAX	256

/* SET_CONFIG: the space is restored, not written by the driver. */
#define VHOST_USER_CONFIG_MIGRATION	1u

#define VHOST_VRING_F_LOG_BIT		0

/* SET_DEVICE_STATE_FD: which way, and when; of the answer, the part that says no. */
#define VHOST_USER_STATE_SAVE		0u
#define VHOST_USER_STATE_LOAD		1u
#define VHOST_USER_STATE_STOPPED	0u
#define VHOST_USER_STATE_ERROR		1u

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

struct vhost_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vhost_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc_user_addr;
	uint64_t used_user_addr;
	uint64_t avail_user_addr;
	uint64_t log_guest_addr;
};

struct vhost_user_region {
	uint64_t guest_phys_addr;
	uint64_t memory_size;
	uint64_t userspace_addr;
	uint64_t mmap_offset;
};

struct vhost_user_mem_table {
	uint32_t nregions;
	uint32_t padding;
	struct vhost_user_region regions[VHOST_USER_MEM_TABLE_REGIONS];
};

struct vhost_user_mem_reg {
	uint64_t padding;
	struct vhost_user_region region;
};

/* Where in the file that comes with it the dirty log is. */
struct vhost_user_log {
	uint64_t size;
	uint64_t offset;
};

/* `size` bytes follow, in both directions. */
struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t bytes[VHOST_USER_CONFIG_MAX];
};

/* A descriptor of the file comes along with it, except where a file is asked for. */
struct vhost_user_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
};

/* Where the driver's kicks for a ring go; the index has the NOFD bit beside it. */
struct vhost_user_vring_area {
	uint64_t u64;
	uint64_t size;
	uint64_t offset;
};

struct vhost_user_state_fd {
	uint32_t direction;
	uint32_t phase;
};

/* The same in both directions; which, the type says. */
struct vhost_iotlb_msg {
	uint64_t iova;
	uint64_t size;
	uint64_t uaddr;
	uint8_t perm;
	uint8_t type;
	uint8_t padding[6];
};

#define VHOST_ACCESS_RO	1
#define VHOST_ACCESS_WO	2
#define VHOST_ACCESS_RW	3

#define VHOST_IOTLB_MISS	1
#define VHOST_IOTLB_UPDATE	2
#define VHOST_IOTLB_INVALIDATE	3
#define VHOST_IOTLB_ACCESS_FAIL	4

/* One payload, as large as the largest; which member holds is the request's business. */
union vhost_user_payload {
	uint64_t u64;
	struct vhost_vring_state state;
	struct vhost_vring_addr addr;
	struct vhost_user_mem_table mem_table;
	struct vhost_user_mem_reg mem_reg;
	struct vhost_user_config config;
	struct vhost_user_inflight inflight;
	struct vhost_user_log log;
	struct vhost_user_state_fd state_fd;
	struct vhost_iotlb_msg iotlb;
};

static_assert(sizeof(struct vhost_user_header) == 12, "message header");
static_assert(sizeof(struct vhost_vring_state) == 8, "vring state");
static_assert(sizeof(struct vhost_vring_addr) == 40, "vring address");
static_assert(offsetof(struct vhost_vring_addr, used_user_addr) == 16, "used comes before avail");
static_assert(sizeof(struct vhost_user_region) == 32, "memory region");
static_assert(offsetof(struct vhost_user_mem_table, regions) == 8, "memory table");
static_assert(sizeof(struct vhost_user_mem_reg) == 40, "single memory region");
static_assert(sizeof(struct vhost_user_inflight) == 24, "in-flight file");
static_assert(sizeof(struct vhost_user_log) == 16, "dirty log");
static_assert(sizeof(struct vhost_iotlb_msg) == 32, "IOTLB");
static_assert(sizeof(struct vhost_user_vring_area) == 24, "host notifier area");
static_assert(offsetof(struct vhost_user_config, bytes) == 12, "configuration space");

#endif
