/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_vdpa.c - a driver of vDPA devices, written against vdpa_driver.h, and a path that has one.
 */
#define _GNU_SOURCE 1

#include "rig.h"

#include <linux/virtio_ring.h>
#include <sys/mman.h>

#include <dev_driver.h>
#include <rte_vdpa.h>
#include <vdpa_driver.h>

#define NR_PAIRS 2
#define COUNTER 4711

#define HOST_NOTIFIER 3		/* requests: to the front-end, and from it */
#define SEND_RARP 19
#define GET_CONFIG 24
#define SET_CONFIG 25

static uint64_t hardware_has;
static uint64_t hardware_speaks;

/* ---- the driver ----------------------------------------------------------------------------- */

static int
get_queue_num(struct rte_vdpa_device *dev, uint32_t *nr)
{
	(void)dev;
	*nr = NR_PAIRS;
	return 0;
}

static int
get_features(struct rte_vdpa_device *dev, uint64_t *bits)
{
	(void)dev;
	*bits = hardware_has;
	return 0;
}

static int
get_protocol_features(struct rte_vdpa_device *dev, uint64_t *bits)
{
	(void)dev;
	*bits = hardware_speaks;
	return 0;
}

static int
on_dev_conf(int vid)
{
	struct rte_vhost_vring tx;

	hear(vid, "dev_conf");
	CHECK_EQ(rte_vhost_get_vhost_vring(vid, SIDE_TX, &tx), 0);
	CHECK_EQ(tx.size, SIDE_RING_SIZE);
	return 0;
}

static int
on_dev_close(int vid)
{
	hear(vid, "dev_close");
	CHECK_EQ(rte_vhost_set_vring_base(vid, SIDE_TX, 7, 7), 0);
	return 0;
}

static int
on_dev_cleanup(int vid)
{
	hear(vid, "dev_cleanup");
	return 0;
}

static int
set_vring_state(int vid, int ring, int state)
{
	(void)vid;
	(void)ring;
	(void)state;
	return 0;
}

static int
set_features(int vid)
{
	(void)vid;
	return 0;
}

static int
get_stats_names(struct rte_vdpa_device *dev, struct rte_vdpa_stat_name *names, unsigned int size)
{
	(void)dev;
	if (names && size > 0)
		snprintf(names[0].name, sizeof(names[0].name), "completed");
	return 1;
}

static int
get_stats(struct rte_vdpa_device *dev, int ring, struct rte_vdpa_stat *stats, unsigned int n)
{
	(void)dev;
	(void)n;
	*stats = (struct rte_vdpa_stat){ .id = 0, .value = COUNTER + (uint64_t)ring };
	return 1;
}

static int
on_migration_done(int vid)
{
	hear(vid, "migration_done");
	return 0;
}

static uint8_t config[16];

static int
get_config(int vid, uint8_t *bytes, uint32_t len)
{
	(void)vid;
	memcpy(bytes, config, RTE_MIN(len, (uint32_t)sizeof(config)));
	return 0;
}

static int
set_config(int vid, uint8_t *bytes, uint32_t offset, uint32_t size, uint32_t flags)
{
	(void)vid;
	if (flags || offset + size > sizeof(config))
		return -1;
	memcpy(config + offset, bytes, size);
	return 0;
}

static int area_fd = -1;

static int
get_vfio_device_fd(int vid)
{
	(void)vid;
	return area_fd;
}

static int
get_notify_area(int vid, int ring, uint64_t *offset, uint64_t *size)
{
	(void)vid;
	*offset = (uint64_t)ring * 4096;
	*size = 4096;
	return 0;
}

static struct rte_vdpa_dev_ops hardware_ops;

static const struct rte_vdpa_dev_ops all_ops = {
	.get_queue_num = get_queue_num,
	.get_features = get_features,
	.get_protocol_features = get_protocol_features,
	.dev_conf = on_dev_conf,
	.dev_close = on_dev_close,
	.dev_cleanup = on_dev_cleanup,
	.set_vring_state = set_vring_state,
	.set_features = set_features,
	.get_stats_names = get_stats_names,
	.get_stats = get_stats,
};

static struct rte_device bus_device = { .name = "soft0" };

static struct rte_vdpa_device *
hardware_create(void)
{
	struct rte_vdpa_device *dev;

	hardware_has = MODERN | FEATURE(NET_F_MQ) | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES;
	hardware_speaks = PROTOCOL(MQ) | PROTOCOL(REPLY_ACK);
	hardware_ops = all_ops;
	dev = rte_vdpa_register_device(&bus_device, &hardware_ops);
	CHECK(dev);
	return dev;
}

/* ---- devices -------------------------------------------------------------------------------- */

static void
test_devices_are_found_by_name(void)
{
	struct rte_vdpa_device *dev = hardware_create();
	struct rte_vdpa_dev_ops incomplete = all_ops;
	struct rte_device other = { .name = "soft1" };

	CHECK(rte_vdpa_find_device_by_name("soft0") == dev);
	CHECK(!rte_vdpa_find_device_by_name("soft1"));
	CHECK(!rte_vdpa_find_device_by_name(NULL));
	CHECK(rte_vdpa_get_rte_device(dev) == &bus_device);
	CHECK(!rte_vdpa_get_rte_device(NULL));
	CHECK(!rte_vdpa_register_device(&bus_device, &hardware_ops));
	CHECK(!rte_vdpa_register_device(NULL, &hardware_ops));
	CHECK(!rte_vdpa_register_device(&other, NULL));
	incomplete.dev_close = NULL;
	CHECK(!rte_vdpa_register_device(&other, &incomplete));
	CHECK_EQ(rte_vdpa_unregister_device(dev), 0);
	CHECK_EQ(rte_vdpa_unregister_device(dev), -1);
	CHECK(!rte_vdpa_find_device_by_name("soft0"));
}

static void
test_what_a_device_can(void)
{
	struct rte_vdpa_device *dev = hardware_create();
	uint64_t bits;
	uint32_t nr;

	CHECK_EQ(rte_vdpa_get_queue_num(dev, &nr), 0);
	CHECK_EQ(nr, NR_PAIRS);
	CHECK_EQ(rte_vdpa_get_queue_num(NULL, &nr), -1);
	CHECK_EQ(rte_vdpa_get_features(dev, &bits), 0);
	CHECK_EQ(bits, hardware_has);
	CHECK_EQ(rte_vdpa_get_features(dev, NULL), -1);
	CHECK_EQ(rte_vdpa_get_protocol_features(dev, &bits), 0);
	CHECK_EQ(bits, PROTOCOL(MQ) | PROTOCOL(REPLY_ACK));
	CHECK_EQ(rte_vdpa_get_protocol_features(NULL, &bits), -1);
	CHECK_EQ(rte_vdpa_unregister_device(dev), 0);
}

static void
test_counters_are_the_drivers(void)
{
	struct rte_vdpa_device *dev = hardware_create();
	struct rte_vdpa_stat_name name;
	struct rte_vdpa_stat stat;

	CHECK_EQ(rte_vdpa_get_stats_names(dev, &name, 1), 1);
	CHECK(strcmp(name.name, "completed") == 0);
	CHECK_EQ(rte_vdpa_get_stats(dev, 3, &stat, 1), 1);
	CHECK_EQ(stat.value, COUNTER + 3);
	CHECK_EQ(rte_vdpa_get_stats(dev, 3, NULL, 1), -EINVAL);
	CHECK_EQ(rte_vdpa_get_stats(NULL, 3, &stat, 1), -EINVAL);
	CHECK_EQ(rte_vdpa_get_stats_names(NULL, &name, 1), -EINVAL);
	CHECK_EQ(rte_vdpa_reset_stats(dev, 3), -ENOTSUP);
	CHECK_EQ(rte_vdpa_reset_stats(NULL, 3), -EINVAL);
	CHECK_EQ(rte_vdpa_unregister_device(dev), 0);
}

/* ---- a path with one ------------------------------------------------------------------------ */

static void
wait_heard(const char *word)
{
	for (int i = 0; i < 5000 && !strstr(heard, word); i++)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	CHECK_HAS(heard, word);
}

static struct side *
hardware_connect_speaking(struct rte_vdpa_device *dev, uint64_t protocol)
{
	struct side *s = side_create(MODERN, protocol);

	CHECK_EQ(rte_vhost_driver_register(rig_path, 0), 0);
	CHECK_EQ(rte_vhost_driver_attach_vdpa_device(rig_path, dev), 0);
	CHECK_EQ(rte_vhost_driver_callback_register(rig_path, &rig_ops), 0);
	CHECK_EQ(rte_vhost_driver_start(rig_path), 0);
	CHECK_EQ(rte_vhost_driver_attach_vdpa_device(rig_path, dev), -1);
	side_connect(s, rig_path);
	wait_heard("dev_conf ");
	return s;
}

static struct side *
hardware_connect(struct rte_vdpa_device *dev)
{
	return hardware_connect_speaking(dev, 0);
}

static void
test_a_driver_is_told(void)
{
	struct rte_vdpa_device *dev = hardware_create();
	struct rte_mbuf *m = NULL;
	uint64_t bits;
	struct side *s = hardware_connect(dev);
	uint32_t nr;

	CHECK(rte_vhost_get_vdpa_device(heard_vid) == dev);
	CHECK(rte_vhost_driver_get_vdpa_device(rig_path) == dev);
	CHECK_EQ(rte_vhost_driver_get_queue_num(rig_path, &nr), 0);
	CHECK_EQ(nr, NR_PAIRS);
	CHECK_EQ(rte_vhost_driver_get_features(rig_path, &bits), 0);
	CHECK_EQ(bits & ~hardware_has, 0);
	CHECK_EQ(rte_vhost_dequeue_burst(heard_vid, SIDE_TX, (void *)1, &m, 1), 0);
	CHECK_EQ(side_stop_ring(s, SIDE_TX), 7);
	CHECK_HAS(heard, "dev_close ");
	side_disconnect(s);
	wait_heard("dev_cleanup ");
	rig_end(s);
	CHECK_EQ(rte_vdpa_unregister_device(dev), 0);
}

static void
test_used_entries_are_relayed(void)
{
	struct rte_vdpa_device *dev = hardware_create();
	struct side *s = hardware_connect(dev);
	static uint8_t memory[8192] __attribute__((aligned(4096)));
	struct rte_vhost_vring tx;
	struct vring shadow;

	memset(memory, 0, sizeof(memory));
	vring_init(&shadow, SIDE_RING_SIZE, memory, 4096);
	side_send(s, "0123456789abcdef", 16);
	CHECK_EQ(side_reap(s), 0);
	CHECK_EQ(rte_vhost_get_vhost_vring(heard_vid, SIDE_TX, &tx), 0);
	shadow.used->ring[0].id = tx.avail->ring[0];
	shadow.used->idx = 1;
	CHECK_EQ(rte_vdpa_relay_vring_used(heard_vid, SIDE_TX, &shadow), 1);
	CHECK_EQ(side_reap(s), 1);
	CHECK_EQ(rte_vdpa_relay_vring_used(heard_vid, SIDE_TX, &shadow), 0);
	shadow.used->ring[1].id = SIDE_RING_SIZE;
	shadow.used->idx = 2;
	CHECK_EQ(rte_vdpa_relay_vring_used(heard_vid, SIDE_TX, &shadow), -1);
	CHECK_EQ(rte_vdpa_relay_vring_used(heard_vid, SIDE_TX, NULL), -1);
	CHECK_EQ(rte_vdpa_relay_vring_used(heard_vid, 200, &shadow), -1);
	CHECK_EQ(rte_vdpa_relay_vring_used(-1, SIDE_TX, &shadow), -1);
	rig_end(s);
	CHECK_EQ(rte_vdpa_unregister_device(dev), 0);
}

static void
test_without_a_notify_area(void)
{
	struct rte_vdpa_device *dev = hardware_create();
	struct side *s = hardware_connect(dev);

	CHECK_EQ(rte_vhost_host_notifier_ctrl(heard_vid, SIDE_TX, true), -ENOTSUP);
	CHECK_EQ(rte_vhost_host_notifier_ctrl(heard_vid, RTE_VHOST_QUEUE_ALL, true), -ENOTSUP);
	CHECK_EQ(rte_vhost_host_notifier_ctrl(heard_vid, 200, true), -EINVAL);
	CHECK_EQ(rte_vhost_host_notifier_ctrl(-1, SIDE_TX, true), -ENODEV);
	rig_end(s);
	CHECK_EQ(rte_vdpa_unregister_device(dev), 0);
}

static void
test_kicks_go_to_the_notify_area(void)
{
	const uint64_t protocol = PROTOCOL(REPLY_ACK) | PROTOCOL(SLAVE_REQ) |
				  PROTOCOL(SLAVE_SEND_FD) | PROTOCOL(HOST_NOTIFIER);
	struct rte_vdpa_device *dev = hardware_create();
	struct side *s;
	int channel;

	hardware_speaks |= protocol;
	hardware_ops.get_vfio_device_fd = get_vfio_device_fd;
	hardware_ops.get_notify_area = get_notify_area;
	area_fd = memfd_create("area", MFD_CLOEXEC);
	s = hardware_connect_speaking(dev, protocol);
	CHECK_EQ(rte_vhost_host_notifier_ctrl(heard_vid, SIDE_TX, true), -EFAULT);
	channel = side_open_channel(s);
	CHECK_EQ(rte_vhost_host_notifier_ctrl(heard_vid, SIDE_TX, true), 0);
	CHECK_EQ(side_serve_channel(channel, 0), HOST_NOTIFIER);
	CHECK_EQ(rte_vhost_host_notifier_ctrl(heard_vid, RTE_VHOST_QUEUE_ALL, false), 0);
	CHECK_EQ(side_serve_channel(channel, 0), HOST_NOTIFIER);
	CHECK_EQ(side_serve_channel(channel, 0), HOST_NOTIFIER);
	close(channel);
	rig_end(s);
	close(area_fd);
	CHECK_EQ(rte_vdpa_unregister_device(dev), 0);
}

struct config_message {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t bytes[4];
} __attribute__((packed));

static void
test_configuration_and_migration_are_the_drivers(void)
{
	const uint64_t protocol = PROTOCOL(REPLY_ACK) | PROTOCOL(CONFIG) | PROTOCOL(RARP);
	struct config_message message = { 4, 4, 0, { 1, 2, 3, 4 } };
	const uint8_t mac[8] = { 0x52, 0x54, 0, 0, 0, 1 };
	struct rte_vdpa_device *dev = hardware_create();
	struct side *s;

	hardware_speaks |= protocol;
	hardware_ops.get_config = get_config;
	hardware_ops.set_config = set_config;
	hardware_ops.migration_done = on_migration_done;
	s = hardware_connect_speaking(dev, protocol);
	CHECK_EQ(side_ack(s, SET_CONFIG, &message, sizeof(message)), 0);
	CHECK_EQ(memcmp(config + 4, message.bytes, 4), 0);
	message.offset = 14;
	CHECK_EQ(side_ack(s, SET_CONFIG, &message, sizeof(message)), 1);
	config[7] = 0x77;
	message = (struct config_message){ 4, 4, 0, { 0 } };
	side_ask(s, GET_CONFIG, &message, sizeof(message));
	CHECK_EQ(message.bytes[0], 1);
	CHECK_EQ(message.bytes[3], 0x77);
	CHECK_EQ(side_ack(s, SEND_RARP, mac, sizeof(mac)), 0);
	CHECK_HAS(heard, "migration_done ");
	rig_end(s);
	CHECK_EQ(rte_vdpa_unregister_device(dev), 0);
}

static const struct test tests[] = {
	TEST(test_devices_are_found_by_name),
	TEST(test_what_a_device_can),
	TEST(test_counters_are_the_drivers),
	TEST(test_a_driver_is_told),
	TEST(test_used_entries_are_relayed),
	TEST(test_without_a_notify_area),
	TEST(test_kicks_go_to_the_notify_area),
	TEST(test_configuration_and_migration_are_the_drivers),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return rig_main(argv[0], tests, RTE_DIM(tests));
}
