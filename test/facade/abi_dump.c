/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * abi_dump.c - what a compiler makes of the headers: sizes, places, values.
 *
 * Compiled twice, with the facade's headers and with DPDK's; test_abi.py compares what they print.
 */
#include <stddef.h>
#include <stdio.h>

#include <rte_vhost.h>
#include <rte_vdpa.h>
#include <rte_vhost_async.h>
#include <rte_vhost_crypto.h>
#include <dev_driver.h>
#include <vdpa_driver.h>

#define SIZE(type) printf("sizeof(" #type ") %zu\n", sizeof(type))
#define PLACE(type, member) \
	printf(#type "." #member " at %zu, %zu bytes\n", offsetof(type, member), \
	       sizeof(((type *)0)->member))
#define VALUE(name) printf(#name " %llu\n", (unsigned long long)(name))

static void
dump_memory(void)
{
	SIZE(struct rte_vhost_mem_region);
	PLACE(struct rte_vhost_mem_region, guest_phys_addr);
	PLACE(struct rte_vhost_mem_region, guest_user_addr);
	PLACE(struct rte_vhost_mem_region, host_user_addr);
	PLACE(struct rte_vhost_mem_region, size);
	PLACE(struct rte_vhost_mem_region, mmap_addr);
	PLACE(struct rte_vhost_mem_region, mmap_size);
	PLACE(struct rte_vhost_mem_region, fd);
	SIZE(struct rte_vhost_memory);
	PLACE(struct rte_vhost_memory, nregions);
	printf("regions at %zu\n", offsetof(struct rte_vhost_memory, regions));
	SIZE(struct rte_vhost_vring);
	PLACE(struct rte_vhost_vring, desc);
	PLACE(struct rte_vhost_vring, desc_packed);
	PLACE(struct rte_vhost_vring, avail);
	PLACE(struct rte_vhost_vring, driver_event);
	PLACE(struct rte_vhost_vring, used);
	PLACE(struct rte_vhost_vring, device_event);
	PLACE(struct rte_vhost_vring, log_guest_addr);
	PLACE(struct rte_vhost_vring, callfd);
	PLACE(struct rte_vhost_vring, kickfd);
	PLACE(struct rte_vhost_vring, size);
}

static void
dump_inflight(void)
{
	SIZE(struct rte_vhost_inflight_desc_split);
	PLACE(struct rte_vhost_inflight_desc_split, inflight);
	PLACE(struct rte_vhost_inflight_desc_split, next);
	PLACE(struct rte_vhost_inflight_desc_split, counter);
	SIZE(struct rte_vhost_inflight_info_split);
	PLACE(struct rte_vhost_inflight_info_split, features);
	PLACE(struct rte_vhost_inflight_info_split, version);
	PLACE(struct rte_vhost_inflight_info_split, desc_num);
	PLACE(struct rte_vhost_inflight_info_split, last_inflight_io);
	PLACE(struct rte_vhost_inflight_info_split, used_idx);
	printf("desc at %zu\n", offsetof(struct rte_vhost_inflight_info_split, desc));
	SIZE(struct rte_vhost_inflight_desc_packed);
	PLACE(struct rte_vhost_inflight_desc_packed, inflight);
	PLACE(struct rte_vhost_inflight_desc_packed, next);
	PLACE(struct rte_vhost_inflight_desc_packed, last);
	PLACE(struct rte_vhost_inflight_desc_packed, num);
	PLACE(struct rte_vhost_inflight_desc_packed, counter);
	PLACE(struct rte_vhost_inflight_desc_packed, id);
	PLACE(struct rte_vhost_inflight_desc_packed, flags);
	PLACE(struct rte_vhost_inflight_desc_packed, len);
	PLACE(struct rte_vhost_inflight_desc_packed, addr);
	SIZE(struct rte_vhost_inflight_info_packed);
	PLACE(struct rte_vhost_inflight_info_packed, features);
	PLACE(struct rte_vhost_inflight_info_packed, version);
	PLACE(struct rte_vhost_inflight_info_packed, desc_num);
	PLACE(struct rte_vhost_inflight_info_packed, free_head);
	PLACE(struct rte_vhost_inflight_info_packed, old_free_head);
	PLACE(struct rte_vhost_inflight_info_packed, used_idx);
	PLACE(struct rte_vhost_inflight_info_packed, old_used_idx);
	PLACE(struct rte_vhost_inflight_info_packed, used_wrap_counter);
	PLACE(struct rte_vhost_inflight_info_packed, old_used_wrap_counter);
	printf("desc at %zu\n", offsetof(struct rte_vhost_inflight_info_packed, desc));
	SIZE(struct rte_vhost_resubmit_desc);
	PLACE(struct rte_vhost_resubmit_desc, index);
	PLACE(struct rte_vhost_resubmit_desc, counter);
	SIZE(struct rte_vhost_resubmit_info);
	PLACE(struct rte_vhost_resubmit_info, resubmit_list);
	PLACE(struct rte_vhost_resubmit_info, resubmit_num);
	SIZE(struct rte_vhost_ring_inflight);
	PLACE(struct rte_vhost_ring_inflight, inflight_split);
	PLACE(struct rte_vhost_ring_inflight, inflight_packed);
	PLACE(struct rte_vhost_ring_inflight, resubmit_inflight);
}

static void
dump_callbacks(void)
{
	SIZE(struct rte_vhost_user_extern_ops);
	PLACE(struct rte_vhost_user_extern_ops, pre_msg_handle);
	PLACE(struct rte_vhost_user_extern_ops, post_msg_handle);
	SIZE(struct rte_vhost_device_ops);
	PLACE(struct rte_vhost_device_ops, new_device);
	PLACE(struct rte_vhost_device_ops, destroy_device);
	PLACE(struct rte_vhost_device_ops, vring_state_changed);
	PLACE(struct rte_vhost_device_ops, features_changed);
	PLACE(struct rte_vhost_device_ops, new_connection);
	PLACE(struct rte_vhost_device_ops, destroy_connection);
	PLACE(struct rte_vhost_device_ops, guest_notified);
	PLACE(struct rte_vhost_device_ops, reserved);
	SIZE(struct rte_vhost_power_monitor_cond);
	PLACE(struct rte_vhost_power_monitor_cond, addr);
	PLACE(struct rte_vhost_power_monitor_cond, val);
	PLACE(struct rte_vhost_power_monitor_cond, mask);
	PLACE(struct rte_vhost_power_monitor_cond, size);
	PLACE(struct rte_vhost_power_monitor_cond, match);
	SIZE(struct rte_vhost_stat);
	PLACE(struct rte_vhost_stat, id);
	PLACE(struct rte_vhost_stat, value);
	SIZE(struct rte_vhost_stat_name);
	SIZE(enum rte_vhost_msg_result);
	SIZE(enum rte_vhost_crypto_zero_copy);
}

static void
dump_vdpa(void)
{
	SIZE(struct rte_vdpa_stat);
	PLACE(struct rte_vdpa_stat, id);
	PLACE(struct rte_vdpa_stat, value);
	SIZE(struct rte_vdpa_stat_name);
	SIZE(struct rte_vdpa_device);
	PLACE(struct rte_vdpa_device, device);
	PLACE(struct rte_vdpa_device, ops);
	PLACE(struct rte_vdpa_device, type);
	SIZE(struct rte_vdpa_dev_ops);
	PLACE(struct rte_vdpa_dev_ops, get_queue_num);
	PLACE(struct rte_vdpa_dev_ops, get_features);
	PLACE(struct rte_vdpa_dev_ops, get_protocol_features);
	PLACE(struct rte_vdpa_dev_ops, dev_conf);
	PLACE(struct rte_vdpa_dev_ops, dev_close);
	PLACE(struct rte_vdpa_dev_ops, dev_cleanup);
	PLACE(struct rte_vdpa_dev_ops, set_vring_state);
	PLACE(struct rte_vdpa_dev_ops, set_features);
	PLACE(struct rte_vdpa_dev_ops, migration_done);
	PLACE(struct rte_vdpa_dev_ops, get_vfio_group_fd);
	PLACE(struct rte_vdpa_dev_ops, get_vfio_device_fd);
	PLACE(struct rte_vdpa_dev_ops, get_notify_area);
	PLACE(struct rte_vdpa_dev_ops, get_stats_names);
	PLACE(struct rte_vdpa_dev_ops, get_stats);
	PLACE(struct rte_vdpa_dev_ops, reset_stats);
	PLACE(struct rte_vdpa_dev_ops, get_config);
	PLACE(struct rte_vdpa_dev_ops, set_config);
	PLACE(struct rte_vdpa_dev_ops, get_dev_type);
}

static void
dump_values(void)
{
	VALUE(RTE_VHOST_USER_CLIENT);
	VALUE(RTE_VHOST_USER_NO_RECONNECT);
	VALUE(RTE_VHOST_USER_RESERVED_1);
	VALUE(RTE_VHOST_USER_IOMMU_SUPPORT);
	VALUE(RTE_VHOST_USER_POSTCOPY_SUPPORT);
	VALUE(RTE_VHOST_USER_EXTBUF_SUPPORT);
	VALUE(RTE_VHOST_USER_LINEARBUF_SUPPORT);
	VALUE(RTE_VHOST_USER_ASYNC_COPY);
	VALUE(RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS);
	VALUE(RTE_VHOST_USER_NET_STATS_ENABLE);
	VALUE(VIRTIO_NET_F_MTU);
	VALUE(VIRTIO_NET_F_GUEST_ANNOUNCE);
	VALUE(VIRTIO_NET_F_MQ);
	VALUE(VIRTIO_F_ANY_LAYOUT);
	VALUE(VHOST_USER_F_PROTOCOL_FEATURES);
	VALUE(VHOST_USER_PROTOCOL_F_MQ);
	VALUE(VHOST_USER_PROTOCOL_F_LOG_SHMFD);
	VALUE(VHOST_USER_PROTOCOL_F_RARP);
	VALUE(VHOST_USER_PROTOCOL_F_REPLY_ACK);
	VALUE(VHOST_USER_PROTOCOL_F_NET_MTU);
	VALUE(VHOST_USER_PROTOCOL_F_SLAVE_REQ);
	VALUE(VHOST_USER_PROTOCOL_F_CRYPTO_SESSION);
	VALUE(VHOST_USER_PROTOCOL_F_PAGEFAULT);
	VALUE(VHOST_USER_PROTOCOL_F_CONFIG);
	VALUE(VHOST_USER_PROTOCOL_F_SLAVE_SEND_FD);
	VALUE(VHOST_USER_PROTOCOL_F_HOST_NOTIFIER);
	VALUE(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD);
	VALUE(VHOST_USER_PROTOCOL_F_STATUS);
	VALUE(RTE_MAX_VHOST_DEVICE);
	VALUE(RTE_VHOST_VDPA_DEVICE_TYPE_NET);
	VALUE(RTE_VHOST_VDPA_DEVICE_TYPE_BLK);
	VALUE(RTE_VHOST_MSG_RESULT_ERR);
	VALUE(RTE_VHOST_MSG_RESULT_OK);
	VALUE(RTE_VHOST_MSG_RESULT_REPLY);
	VALUE(RTE_VHOST_MSG_RESULT_NOT_HANDLED);
	VALUE(RTE_VHOST_STATS_NAME_SIZE);
	VALUE(RTE_VDPA_STATS_NAME_SIZE);
	VALUE(RTE_VHOST_QUEUE_ALL);
	VALUE(RTE_VHOST_NEED_LOG(~0ULL));
	VALUE(VHOST_CRYPTO_MBUF_POOL_SIZE);
	VALUE(VHOST_CRYPTO_MAX_BURST_SIZE);
	VALUE(VHOST_CRYPTO_MAX_DATA_SIZE);
	VALUE(VHOST_CRYPTO_SESSION_MAP_ENTRIES);
	VALUE(VIRTIO_CRYPTO_MAX_NUM_BURST_VQS);
	VALUE(VHOST_CRYPTO_MAX_IV_LEN);
	VALUE(VHOST_CRYPTO_MAX_N_DESC);
	VALUE(RTE_VHOST_CRYPTO_ZERO_COPY_DISABLE);
	VALUE(RTE_VHOST_CRYPTO_ZERO_COPY_ENABLE);
	VALUE(RTE_VHOST_CRYPTO_MAX_ZERO_COPY_OPTIONS);
}

static void
dump_inline(void)
{
	struct rte_vhost_memory *mem = (void *)(uint64_t[32]){ 0 };
	const uint64_t ask[] = { 0, 0xfff, 0x1000, 0x1800, 0x1fff, 0x2000, UINT64_MAX };

	mem->nregions = 1;
	mem->regions[0] = (struct rte_vhost_mem_region){
		.guest_phys_addr = 0x1000, .host_user_addr = 0x7000, .size = 0x1000 };
	for (unsigned int i = 0; i < sizeof(ask) / sizeof(ask[0]); i++) {
		uint64_t len = 0x900;
		uint64_t at = rte_vhost_va_from_guest_pa(mem, ask[i], &len);

		printf("va_from_guest_pa(%llx) %llx, %llx bytes\n", (unsigned long long)ask[i],
		       (unsigned long long)at, (unsigned long long)len);
	}
}

int
main(void)
{
	dump_memory();
	dump_inflight();
	dump_callbacks();
	dump_vdpa();
	dump_values();
	dump_inline();
	return 0;
}
