/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dispatch.c - which handler a request has, and in which states it is legal.
 *
 * Knows:   the table. Sizes and descriptors were judged by the schema before.
 * Trusts:  nothing of the index in the payload: it is judged here, as the 32 bits it has.
 * Runs on: control thread, under the loop's lock.
 */
#include "session.h"

#include <errno.h>

/* Where a request names a ring, and what the ring must not be doing. */
enum ring_rule {
	NO_RING,
	ANY_RING,		/* index in the first 32 bits, the ring may be in any state */
	STOPPED_RING,		/* ... and nothing may be at work on it */
	ANY_RING_BYTE,		/* index in the low 8 bits of a u64, beside the NOFD bit */
};

struct row {
	handler_fn handler;
	enum ring_rule ring;
};

static const struct row table[VHOST_USER_REQUEST_MAX] = {
	[VHOST_USER_GET_FEATURES] = { vhc_on_get_features, NO_RING },
	[VHOST_USER_SET_FEATURES] = { vhc_on_set_features, NO_RING },
	[VHOST_USER_SET_OWNER] = { vhc_on_set_owner, NO_RING },
	[VHOST_USER_RESET_OWNER] = { vhc_on_reset_owner, NO_RING },
	[VHOST_USER_SET_MEM_TABLE] = { vhc_on_set_mem_table, NO_RING },
	[VHOST_USER_SET_LOG_BASE] = { vhc_on_set_log_base, NO_RING },
	[VHOST_USER_SET_LOG_FD] = { vhc_on_set_log_fd, NO_RING },
	[VHOST_USER_SET_VRING_NUM] = { vhc_on_set_vring_num, STOPPED_RING },
	[VHOST_USER_SET_VRING_ADDR] = { vhc_on_set_vring_addr, ANY_RING },
	[VHOST_USER_SET_VRING_BASE] = { vhc_on_set_vring_base, STOPPED_RING },
	[VHOST_USER_GET_VRING_BASE] = { vhc_on_get_vring_base, ANY_RING },
	[VHOST_USER_SET_VRING_KICK] = { vhc_on_set_vring_kick, ANY_RING_BYTE },
	[VHOST_USER_SET_VRING_CALL] = { vhc_on_set_vring_call, ANY_RING_BYTE },
	[VHOST_USER_SET_VRING_ERR] = { vhc_on_set_vring_err, ANY_RING_BYTE },
	[VHOST_USER_GET_PROTOCOL_FEATURES] = { vhc_on_get_protocol_features, NO_RING },
	[VHOST_USER_SET_PROTOCOL_FEATURES] = { vhc_on_set_protocol_features, NO_RING },
	[VHOST_USER_GET_QUEUE_NUM] = { vhc_on_get_queue_num, NO_RING },
	[VHOST_USER_SET_VRING_ENABLE] = { vhc_on_set_vring_enable, ANY_RING },
	[VHOST_USER_SEND_RARP] = { vhc_on_send_rarp, NO_RING },
	[VHOST_USER_NET_SET_MTU] = { vhc_on_set_mtu, NO_RING },
	[VHOST_USER_SET_BACKEND_REQ_FD] = { vhc_on_set_backend_req_fd, NO_RING },
	[VHOST_USER_IOTLB_MSG] = { vhc_on_iotlb_msg, NO_RING },
	[VHOST_USER_GET_CONFIG] = { vhc_on_get_config, NO_RING },
	[VHOST_USER_SET_CONFIG] = { vhc_on_set_config, NO_RING },
	[VHOST_USER_POSTCOPY_ADVISE] = { vhc_on_postcopy_advise, NO_RING },
	[VHOST_USER_POSTCOPY_LISTEN] = { vhc_on_postcopy_listen, NO_RING },
	[VHOST_USER_POSTCOPY_END] = { vhc_on_postcopy_end, NO_RING },
	[VHOST_USER_GET_INFLIGHT_FD] = { vhc_on_get_inflight_fd, NO_RING },
	[VHOST_USER_SET_INFLIGHT_FD] = { vhc_on_set_inflight_fd, NO_RING },
	[VHOST_USER_RESET_DEVICE] = { vhc_on_reset_device, NO_RING },
	[VHOST_USER_GET_MAX_MEM_SLOTS] = { vhc_on_get_max_mem_slots, NO_RING },
	[VHOST_USER_ADD_MEM_REG] = { vhc_on_add_mem_reg, NO_RING },
	[VHOST_USER_REM_MEM_REG] = { vhc_on_rem_mem_reg, NO_RING },
	[VHOST_USER_SET_STATUS] = { vhc_on_set_status, NO_RING },
	[VHOST_USER_GET_STATUS] = { vhc_on_get_status, NO_RING },
	[VHOST_USER_SET_DEVICE_STATE_FD] = { vhc_on_set_device_state_fd, NO_RING },
	[VHOST_USER_CHECK_DEVICE_STATE] = { vhc_on_check_device_state, NO_RING },
};

static const struct row memory_ack = { vhc_on_memory_ack, NO_RING };

/*
 * Until the front-end knows where we have the memory it cannot bring its pages, so nothing may come
 * that could make us use it. QEMU says END on another thread, when it likes.
 */
static int
check_owed(struct vhc_device *dev, const struct schema_entry *entry, const struct msg *msg)
{
	if (!dev->postcopy.owes_ack || entry == &vhc_memory_ack ||
	    msg->request == VHOST_USER_ADD_MEM_REG || msg->request == VHOST_USER_REM_MEM_REG ||
	    msg->request == VHOST_USER_POSTCOPY_END)
		return 0;
	return vhc_session_refuse(dev, -EPROTO, "%s: the front-end must first acknowledge where we"
				  " have the guest's memory (8 bytes of zeros, as SET_MEM_TABLE or"
				  " ADD_MEM_REG)", entry->name);
}

static int
check_gate(struct vhc_device *dev, const struct schema_entry *entry)
{
	char name[64];

	if (entry->needs_protocol_features &&
	    !(dev->offered & BIT64(VHOST_USER_F_PROTOCOL_FEATURES_BIT)))
		return vhc_session_refuse(dev, -EPROTO, "%s: PROTOCOL_FEATURES was not offered",
					  entry->name);
	if (entry->gate == SCHEMA_NO_GATE || (dev->protocol_features & BIT64(entry->gate)))
		return 0;
	return vhc_session_refuse(dev, -EPROTO, "%s: protocol feature %s was not agreed on",
				  entry->name,
				  vhc_protocol_features_text(BIT64(entry->gate), name,
							     sizeof(name)));
}

/*
 * User-mode Linux stops its rings by disabling them, and then sets them up anew. So may who said
 * that the driver is gone (SET_STATUS 0).
 */
static bool
is_at_work(const struct vhc_device *dev, const struct vhc_queue *q)
{
	return q->started && q->enabled && vhc_device_driver_ready(dev);
}

static int
check_ring(struct vhc_device *dev, const struct schema_entry *entry, const struct msg *msg,
	   enum ring_rule rule)
{
	uint32_t index = rule == ANY_RING_BYTE ? msg->payload.u64 & VHOST_USER_VRING_IDX_MASK :
						 msg->payload.state.index;

	if (rule == NO_RING)
		return 0;
	if (!vhc_device_has_ring(dev, index))
		return vhc_session_refuse(dev, -EINVAL,
					  "%s: ring %u, but this port has rings 0...%u; "
					  "give the port more queues or the front-end fewer",
					  entry->name, index, dev->nr_data_rings - 1);
	if (rule == STOPPED_RING && is_at_work(dev, dev->queues[index]))
		return vhc_session_refuse(dev, -EBUSY,
					  "%s: ring %u is started; the front-end must stop "
					  "it with GET_VRING_BASE first",
					  entry->name, index);
	return rule == STOPPED_RING && dev->queues[index]->draining ? -EINPROGRESS : 0;
}

int
vhc_dispatch(struct vhc_device *dev, const struct schema_entry *entry, struct msg *msg,
	     struct reply *reply)
{
	const struct row *row = entry == &vhc_memory_ack ? &memory_ack : &table[msg->request];
	int rc = check_gate(dev, entry);

	vhc_assert(row->handler);	/* the schema knows no request that this table does not */
	if (rc == 0)
		rc = check_owed(dev, entry, msg);
	if (rc == 0)
		rc = check_ring(dev, entry, msg, row->ring);
	return rc ? rc : row->handler(dev, msg, reply);
}
