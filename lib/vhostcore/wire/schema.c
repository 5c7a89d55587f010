/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * schema.c - the table of requests, and the judge that reads it.
 *
 * Knows:   the specification's table of front-end requests.
 * Trusts:  nothing of a message.
 * Runs on: control thread.
 */
#include "schema.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define MEM_TABLE_HEAD	((uint32_t)offsetof(struct vhost_user_mem_table, regions))
#define REGION_BYTES	((uint32_t)sizeof(struct vhost_user_region))
#define CONFIG_HEAD	((uint32_t)offsetof(struct vhost_user_config, bytes))

#define NOT_SHARED_HINT "the guest's memory is not shared; give QEMU -object" \
	" memory-backend-memfd,id=mem,size=...,share=on -numa node,memdev=mem, or a virtio-user" \
	" process --single-file-segments"

#define NOTHING		.size = SIZE_EXACT, .bytes = 0
#define U64		.size = SIZE_EXACT, .bytes = sizeof(uint64_t)
#define STATE		.size = SIZE_EXACT, .bytes = sizeof(struct vhost_vring_state)
#define ADDR		.size = SIZE_EXACT, .bytes = sizeof(struct vhost_vring_addr)
#define LOG		.size = SIZE_EXACT, .bytes = sizeof(struct vhost_user_log)
#define MEM_REG		.size = SIZE_EXACT, .bytes = sizeof(struct vhost_user_mem_reg)
#define MEM_TABLE	.size = SIZE_MEM_TABLE
#define CONFIG		.size = SIZE_CONFIG
#define IOTLB		.size = SIZE_EXACT, .bytes = sizeof(struct vhost_iotlb_msg)
#define STATE_FD	.size = SIZE_EXACT, .bytes = sizeof(struct vhost_user_state_fd)
#define INFLIGHT	.size = SIZE_EXACT, .bytes = sizeof(struct vhost_user_inflight)

#define ALWAYS		SCHEMA_NO_GATE
#define GATE(feature)	VHOST_USER_PROTOCOL_F_##feature##_BIT

#define REQUEST(request, payload, descriptors, answer, feature, needs) \
	[VHOST_USER_##request] = { .name = #request, payload, .fds = (descriptors), \
		.reply = (answer), .gate = (feature), .needs_protocol_features = (needs) }

static const struct schema_entry table[VHOST_USER_REQUEST_MAX] = {
	REQUEST(GET_FEATURES, NOTHING, FDS_NONE, REPLY_BODY, ALWAYS, false),
	REQUEST(SET_FEATURES, U64, FDS_NONE, REPLY_ACK, ALWAYS, false),
	REQUEST(SET_OWNER, NOTHING, FDS_NONE, REPLY_ACK, ALWAYS, false),
	REQUEST(RESET_OWNER, NOTHING, FDS_NONE, REPLY_ACK, ALWAYS, false),
	REQUEST(SET_MEM_TABLE, MEM_TABLE, FDS_ONE_PER_REGION, REPLY_ACK, ALWAYS, false),
	REQUEST(SET_LOG_BASE, LOG, FDS_ONE, REPLY_BODY, GATE(LOG_SHMFD), true),
	REQUEST(SET_LOG_FD, NOTHING, FDS_ONE, REPLY_ACK, ALWAYS, false),
	REQUEST(SET_VRING_NUM, STATE, FDS_NONE, REPLY_ACK, ALWAYS, false),
	REQUEST(SET_VRING_ADDR, ADDR, FDS_NONE, REPLY_ACK, ALWAYS, false),
	REQUEST(SET_VRING_BASE, STATE, FDS_NONE, REPLY_ACK, ALWAYS, false),
	REQUEST(GET_VRING_BASE, STATE, FDS_NONE, REPLY_BODY, ALWAYS, false),
	REQUEST(SET_VRING_KICK, U64, FDS_ONE_UNLESS_NOFD, REPLY_ACK, ALWAYS, false),
	REQUEST(SET_VRING_CALL, U64, FDS_ONE_UNLESS_NOFD, REPLY_ACK, ALWAYS, false),
	REQUEST(SET_VRING_ERR, U64, FDS_ONE_UNLESS_NOFD, REPLY_ACK, ALWAYS, false),
	REQUEST(GET_PROTOCOL_FEATURES, NOTHING, FDS_NONE, REPLY_BODY, ALWAYS, true),
	REQUEST(SET_PROTOCOL_FEATURES, U64, FDS_NONE, REPLY_ACK, ALWAYS, true),
	REQUEST(GET_QUEUE_NUM, NOTHING, FDS_NONE, REPLY_BODY, GATE(MQ), true),
	REQUEST(SET_VRING_ENABLE, STATE, FDS_NONE, REPLY_ACK, ALWAYS, true),
	REQUEST(SEND_RARP, U64, FDS_NONE, REPLY_ACK, GATE(RARP), true),
	REQUEST(NET_SET_MTU, U64, FDS_NONE, REPLY_ACK, GATE(MTU), true),
	REQUEST(SET_BACKEND_REQ_FD, NOTHING, FDS_ONE, REPLY_ACK, GATE(BACKEND_REQ), true),
	REQUEST(IOTLB_MSG, IOTLB, FDS_NONE, REPLY_ACK, ALWAYS, false),
	REQUEST(GET_CONFIG, CONFIG, FDS_NONE, REPLY_BODY, GATE(CONFIG), true),
	REQUEST(SET_CONFIG, CONFIG, FDS_NONE, REPLY_ACK, GATE(CONFIG), true),
	REQUEST(POSTCOPY_ADVISE, NOTHING, FDS_NONE, REPLY_BODY, GATE(PAGEFAULT), true),
	REQUEST(POSTCOPY_LISTEN, NOTHING, FDS_NONE, REPLY_ACK, GATE(PAGEFAULT), true),
	REQUEST(POSTCOPY_END, NOTHING, FDS_NONE, REPLY_ACK, GATE(PAGEFAULT), true),
	REQUEST(GET_INFLIGHT_FD, INFLIGHT, FDS_NONE, REPLY_BODY, GATE(INFLIGHT_SHMFD), true),
	REQUEST(SET_INFLIGHT_FD, INFLIGHT, FDS_ONE, REPLY_ACK, GATE(INFLIGHT_SHMFD), true),
	REQUEST(RESET_DEVICE, NOTHING, FDS_NONE, REPLY_ACK, GATE(RESET_DEVICE), true),
	REQUEST(GET_MAX_MEM_SLOTS, NOTHING, FDS_NONE, REPLY_BODY, GATE(CONFIGURE_MEM_SLOTS), true),
	REQUEST(ADD_MEM_REG, MEM_REG, FDS_ONE, REPLY_ACK, GATE(CONFIGURE_MEM_SLOTS), true),
	REQUEST(REM_MEM_REG, MEM_REG, FDS_AT_MOST_ONE, REPLY_ACK, GATE(CONFIGURE_MEM_SLOTS), true),
	REQUEST(SET_STATUS, U64, FDS_NONE, REPLY_ACK, GATE(STATUS), true),
	REQUEST(GET_STATUS, NOTHING, FDS_NONE, REPLY_BODY, GATE(STATUS), true),
	REQUEST(SET_DEVICE_STATE_FD, STATE_FD, FDS_ONE, REPLY_BODY, GATE(DEVICE_STATE), true),
	REQUEST(CHECK_DEVICE_STATE, NOTHING, FDS_NONE, REPLY_BODY, GATE(DEVICE_STATE), true),
};

const struct schema_entry vhc_memory_ack = {
	.name = "the acknowledgement of where memory is", U64, .fds = FDS_NONE,
	.reply = REPLY_ACK, .gate = GATE(PAGEFAULT), .needs_protocol_features = true,
};

bool
vhc_schema_is_memory_ack(const struct msg *msg)
{
	return msg->size == vhc_memory_ack.bytes && msg->nr_fds == 0 &&
	       (msg->request == VHOST_USER_NONE || msg->request == VHOST_USER_SET_MEM_TABLE ||
		msg->request == VHOST_USER_ADD_MEM_REG || msg->request == VHOST_USER_REM_MEM_REG);
}

static int VHC_PRINTF(2, 3)
refuse(char *reason, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reason, FRAME_REASON_LEN, format, args);
	va_end(args);
	return -EPROTO;
}

const struct schema_entry *
vhc_schema_find(uint32_t request)
{
	return request < VHC_ARRAY_LEN(table) && table[request].name ? &table[request] : NULL;
}

const char *
vhc_schema_name(uint32_t request)
{
	const struct schema_entry *entry = vhc_schema_find(request);

	return entry ? entry->name : "unknown request";
}

static int
check_mem_table_size(const struct msg *msg, const char *name, char *reason)
{
	uint32_t nr = msg->payload.mem_table.nregions;

	if (msg->size < MEM_TABLE_HEAD)
		return refuse(reason, "%s: %u bytes of payload, the protocol says %u and %u a"
			      " region", name, msg->size, MEM_TABLE_HEAD, REGION_BYTES);
	if (nr > VHOST_USER_MEM_TABLE_REGIONS)
		return refuse(reason, "%s: %u regions, we take %d in one table", name, nr,
			      VHOST_USER_MEM_TABLE_REGIONS);
	/* User-mode Linux always sends its two, and says how many of them count. */
	if (msg->size < MEM_TABLE_HEAD + nr * REGION_BYTES ||
	    (msg->size - MEM_TABLE_HEAD) % REGION_BYTES)
		return refuse(reason, "%s: %u bytes of payload, the protocol says %u for %u"
			      " regions", name, msg->size, MEM_TABLE_HEAD + nr * REGION_BYTES, nr);
	return 0;
}

static int
check_config_size(const struct msg *msg, const char *name, char *reason)
{
	const struct vhost_user_config *config = &msg->payload.config;

	if (msg->size < CONFIG_HEAD)
		return refuse(reason, "%s: %u bytes of payload, the protocol says %u and what"
			      " they announce", name, msg->size, CONFIG_HEAD);
	if (config->size > VHOST_USER_CONFIG_MAX ||
	    config->offset > VHOST_USER_CONFIG_MAX - config->size)
		return refuse(reason, "%s: %u bytes at offset %u, only the first %d can be had",
			      name, config->size, config->offset, VHOST_USER_CONFIG_MAX);
	if (msg->size != CONFIG_HEAD + config->size)
		return refuse(reason, "%s: %u bytes of payload, the protocol says %u for %u bytes",
			      name, msg->size, CONFIG_HEAD + config->size, config->size);
	return 0;
}

static int
check_size(const struct msg *msg, const struct schema_entry *entry, char *reason)
{
	if (entry->size == SIZE_MEM_TABLE)
		return check_mem_table_size(msg, entry->name, reason);
	if (entry->size == SIZE_CONFIG)
		return check_config_size(msg, entry->name, reason);
	if (msg->size == entry->bytes)
		return 0;
	return refuse(reason, "%s: %u bytes of payload, the protocol says %u", entry->name,
		      msg->size, entry->bytes);
}

/* How many descriptors this message must carry; its size is proven. */
static unsigned int
wanted_fds(const struct msg *msg, const struct schema_entry *entry)
{
	switch (entry->fds) {
	case FDS_NONE:
		return 0;
	case FDS_ONE:
		return 1;
	case FDS_ONE_UNLESS_NOFD:
		return msg->payload.u64 & VHOST_USER_VRING_NOFD_MASK ? 0 : 1;
	case FDS_ONE_PER_REGION:
		return msg->payload.mem_table.nregions;
	case FDS_AT_MOST_ONE:
		return msg->nr_fds ? 1 : 0;
	}
	return 0;
}

static int
check_fds(const struct msg *msg, const struct schema_entry *entry, char *reason)
{
	unsigned int want = wanted_fds(msg, entry);

	if (msg->nr_fds == want)
		return 0;
	if (entry->fds == FDS_ONE_PER_REGION && msg->nr_fds == 0)
		return refuse(reason, "%s: no descriptor came with %u regions: " NOT_SHARED_HINT,
			      entry->name, want);
	if (entry->fds == FDS_ONE_UNLESS_NOFD)
		return refuse(reason, "%s: %u descriptors, the protocol says %u with the"
			      " no-descriptor bit %s", entry->name, msg->nr_fds, want,
			      want ? "clear" : "set");
	return refuse(reason, "%s: %u descriptors, the protocol says %s%u", entry->name,
		      msg->nr_fds, entry->fds == FDS_AT_MOST_ONE ? "at most " : "", want);
}

int
vhc_frame_check(const struct msg *msg, const struct schema_entry **entry, char *reason)
{
	int rc;

	*entry = vhc_schema_find(msg->request);
	if (!*entry) {
		refuse(reason, "request %u is not one we know", msg->request);
		return -EOPNOTSUPP;
	}
	rc = check_size(msg, *entry, reason);
	return rc ? rc : check_fds(msg, *entry, reason);
}
