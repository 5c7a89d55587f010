/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_vdpa.c - vDPA devices as drivers and applications see them; software plays the hardware.
 *
 * What front-ends see is in test/wire/test_vdpa.py.
 */
#define _GNU_SOURCE 1

#include "../kept_log.h"
#include "../peer.h"

#include <sys/mman.h>

#include "base/order.h"
#include "model/frontend.h"
#include "model/soft_vdpa.h"
#include "spec/virtio_ring.h"
#include "vhostcore_features.h"
#include "vhostcore_memory.h"
#include "vhostcore_ring.h"

#define BIT(n) (UINT64_C(1) << (n))
#define MEMORY_LEN (UINT64_C(4) << 20)
#define RING_SIZE 64
#define TX 1

/* ---- hardware whose used ring is in host memory --------------------------------------------- */

static struct hw {
	struct vhc_vdpa_ops ops;
	struct vhc_vdpa *vdpa;
	uint16_t nr_rings;
	uint64_t features;
	uint64_t protocol_features;
	int rc;			/* of everything it is asked */
	uint32_t type;
	uint32_t nr_conf;
	uint32_t nr_close;
	int drained;		/* what was relayed as it was closed */
	struct {		/* laid out as struct virtq_used, with room */
		le16 flags, idx;
		struct virtq_used_elem entries[RING_SIZE];
	} used;
	uint16_t used_idx;
} hw;

static int
hw_nr_rings(void *arg, uint16_t *nr)
{
	*nr = ((struct hw *)arg)->nr_rings;
	return ((struct hw *)arg)->rc;
}

static int
hw_features(void *arg, uint64_t *features)
{
	*features = ((struct hw *)arg)->features;
	return 0;
}

static int
hw_protocol_features(void *arg, uint64_t *features)
{
	*features = ((struct hw *)arg)->protocol_features;
	return 0;
}

static int
hw_conf(struct vhc_device *dev, void *arg)
{
	struct hw *h = arg;
	uint16_t avail;

	vhc_queue_base(vhc_device_queue(dev, TX), &avail, &h->used_idx);
	h->used.idx.raw = htole16(h->used_idx);
	st_release(&h->nr_conf, h->nr_conf + 1);
	return 0;
}

static void
hw_close(struct vhc_device *dev, void *arg)
{
	struct hw *h = arg;

	h->drained = vhc_vdpa_relay_used(dev, TX, &h->used);
	vhc_queue_set_base(vhc_device_queue(dev, TX), h->used_idx, h->used_idx);
	st_release(&h->nr_close, h->nr_close + 1);
}

static int
hw_set_vring_state(struct vhc_device *dev, uint16_t ring, bool enabled, void *arg)
{
	(void)dev;
	(void)ring;
	(void)enabled;
	(void)arg;
	return 0;
}

static int
hw_set_features(struct vhc_device *dev, uint64_t features, void *arg)
{
	(void)dev;
	(void)features;
	(void)arg;
	return 0;
}

static int
hw_type(void *arg, uint32_t *type)
{
	*type = ((struct hw *)arg)->type;
	return 0;
}

static void
plug_in(void)
{
	hw = (struct hw){
		.ops = {
			.nr_rings = hw_nr_rings,
			.features = hw_features,
			.protocol_features = hw_protocol_features,
			.dev_conf = hw_conf,
			.dev_close = hw_close,
			.set_vring_state = hw_set_vring_state,
			.set_features = hw_set_features,
		},
		.nr_rings = 2,
		.features = BIT(VIRTIO_F_VERSION_1_BIT) | BIT(VHOST_F_LOG_ALL_BIT),
		.protocol_features = BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD_BIT),
		.type = VHC_VDPA_TYPE_BLOCK,
	};
	CHECK_EQ(vhc_vdpa_register("hw", &hw.ops, &hw, &hw.vdpa), 0);
}

static struct vhc_server_opts
opts_for(const char *path)
{
	return (struct vhc_server_opts){ .name = "port", .path = path, .role = VHC_ROLE_SERVER,
					 .vdpa = hw.vdpa };
}

/* ---- the registry --------------------------------------------------------------------------- */

static void
test_register_find_unregister(void)
{
	struct vhc_vdpa *other;
	char name[VHC_VDPA_NAME_LEN + 1] = { 0 };
	struct vhc_vdpa_ops ops;

	plug_in();
	CHECK(vhc_vdpa_find("hw") == hw.vdpa);
	CHECK(!vhc_vdpa_find("h"));
	CHECK(!vhc_vdpa_find(""));
	CHECK(strcmp(vhc_vdpa_name(hw.vdpa), "hw") == 0);
	CHECK(vhc_vdpa_arg(hw.vdpa) == &hw);
	CHECK_EQ(vhc_vdpa_register("hw", &hw.ops, NULL, &other), -EEXIST);
	CHECK_EQ(vhc_vdpa_register("", &hw.ops, NULL, &other), -EINVAL);
	CHECK_EQ(vhc_vdpa_register(NULL, &hw.ops, NULL, &other), -EINVAL);
	CHECK_EQ(vhc_vdpa_register("x", NULL, NULL, &other), -EINVAL);
	memset(name, 'n', VHC_VDPA_NAME_LEN);
	CHECK_EQ(vhc_vdpa_register(name, &hw.ops, NULL, &other), -EINVAL);
	name[VHC_VDPA_NAME_LEN - 1] = '\0';
	CHECK_EQ(vhc_vdpa_register(name, &hw.ops, NULL, &other), 0);
	CHECK(vhc_vdpa_find(name) == other);
	CHECK_EQ(vhc_vdpa_unregister(other), 0);
	CHECK(!vhc_vdpa_find(name));
	/* The first seven functions must be there. */
	for (size_t i = 0; i < 7; i++) {
		memcpy(&ops, &hw.ops, sizeof(ops));
		memset((char *)&ops + i * sizeof(ops.nr_rings), 0, sizeof(ops.nr_rings));
		CHECK_EQ(vhc_vdpa_register("x", &ops, NULL, &other), -EINVAL);
	}
	CHECK_EQ(vhc_vdpa_unregister(hw.vdpa), 0);
	CHECK(!vhc_vdpa_find("hw"));
}

static void
test_what_it_is(void)
{
	struct vhc_vdpa_stat stat;
	uint64_t features;
	uint32_t type;
	uint16_t nr;

	plug_in();
	CHECK_EQ(vhc_vdpa_nr_rings(hw.vdpa, &nr), 0);
	CHECK_EQ(nr, 2);
	CHECK_EQ(vhc_vdpa_features(hw.vdpa, &features), 0);
	CHECK_EQ(features, hw.features);
	CHECK_EQ(vhc_vdpa_protocol_features(hw.vdpa, &features), 0);
	CHECK_EQ(features, hw.protocol_features);
	CHECK_EQ(vhc_vdpa_device_type(hw.vdpa, &type), 0);
	CHECK_EQ(type, VHC_VDPA_TYPE_NET);
	hw.ops.device_type = hw_type;
	CHECK_EQ(vhc_vdpa_device_type(hw.vdpa, &type), 0);
	CHECK_EQ(type, VHC_VDPA_TYPE_BLOCK);
	hw.rc = -EIO;
	CHECK_EQ(vhc_vdpa_nr_rings(hw.vdpa, &nr), -EIO);
	CHECK_EQ(vhc_vdpa_stats_names(hw.vdpa, NULL, 0), -ENOTSUP);
	CHECK_EQ(vhc_vdpa_stats_names(hw.vdpa, NULL, 1), -EINVAL);
	CHECK_EQ(vhc_vdpa_stats(hw.vdpa, 0, &stat, 1), -ENOTSUP);
	CHECK_EQ(vhc_vdpa_stats(hw.vdpa, 0, NULL, 1), -EINVAL);
	CHECK_EQ(vhc_vdpa_stats(hw.vdpa, 0, &stat, 0), -EINVAL);
	CHECK_EQ(vhc_vdpa_stats_reset(hw.vdpa, 0), -ENOTSUP);
	CHECK_EQ(vhc_vdpa_unregister(hw.vdpa), 0);
}

static void
test_stats_of_software(void)
{
	struct soft_vdpa *soft = soft_vdpa_create("soft", 2);
	struct vhc_vdpa_stat_name names[2] = { 0 };
	struct vhc_vdpa_stat stats[2];

	CHECK(soft);
	CHECK(!soft_vdpa_create("soft", 2));
	CHECK_EQ(vhc_vdpa_stats_names(soft_vdpa_device(soft), NULL, 0), 2);
	CHECK_EQ(vhc_vdpa_stats_names(soft_vdpa_device(soft), names, 1), 2);
	CHECK(strcmp(names[0].name, "chains") == 0 && !*names[1].name);
	CHECK_EQ(vhc_vdpa_stats(soft_vdpa_device(soft), 0, stats, 1), 1);
	CHECK_EQ(vhc_vdpa_stats(soft_vdpa_device(soft), 1, stats, 2), 2);
	CHECK_EQ(stats[1].id, 1);
	CHECK_EQ(vhc_vdpa_stats(soft_vdpa_device(soft), 2, stats, 2), -EINVAL);
	soft_vdpa_destroy(soft);
}

/* ---- servers -------------------------------------------------------------------------------- */

static void
test_options(void)
{
	struct peer_path path = peer_path("v");
	struct vhc_server *server, *other;
	struct vhc_server_opts o;
	int nr_fds = peer_nr_open_fds();

	plug_in();
	o = opts_for(path.text), o.cls = (const void *)&hw;
	CHECK_EQ(vhc_server_create(&o, &server), -EINVAL);
	o = opts_for(path.text), o.features_on = 1;
	CHECK_EQ(vhc_server_create(&o, &server), -EINVAL);
	o = opts_for(path.text), o.nr_rings = 3;
	CHECK_EQ(vhc_server_create(&o, &server), -EINVAL);
	CHECK_EQ(log_count("it has fewer rings than were asked for"), 1);
	o = opts_for("");
	CHECK_EQ(vhc_server_create(&o, &server), -EINVAL);
	hw.rc = -EIO;
	o = opts_for(path.text);
	CHECK_EQ(vhc_server_create(&o, &server), -EIO);
	hw.rc = 0;
	CHECK_EQ(vhc_server_create(&o, &server), 0);
	CHECK_EQ(vhc_server_create(&o, &other), -EBUSY);
	CHECK_EQ(log_count("another server has it"), 1);
	CHECK_EQ(vhc_vdpa_unregister(hw.vdpa), -EBUSY);
	CHECK(vhc_device_vdpa(vhc_server_device(server)) == hw.vdpa);
	vhc_server_destroy(server);
	CHECK_EQ(vhc_vdpa_unregister(hw.vdpa), 0);
	CHECK_EQ(peer_nr_open_fds(), nr_fds);
}

static void
test_offers_are_bounded_by_the_hardware(void)
{
	struct peer_path path = peer_path("v");
	const uint64_t all = BIT(VIRTIO_F_VERSION_1_BIT) | BIT(VHOST_F_LOG_ALL_BIT) | BIT(5) |
			     BIT(VHOST_USER_F_PROTOCOL_FEATURES_BIT);
	struct vhc_server_opts o;
	struct vhc_server *server;

	plug_in();
	hw.features |= BIT(5) | BIT(VIRTIO_F_ACCESS_PLATFORM_BIT) |
		       BIT(VIRTIO_F_RING_RESET_BIT) | BIT(VIRTIO_F_NOTIFICATION_DATA_BIT);
	o = opts_for(path.text);
	CHECK_EQ(vhc_server_create(&o, &server), 0);
	CHECK_EQ(vhc_server_features(server), all);
	CHECK_EQ(vhc_server_protocol_features(server), hw.protocol_features);
	CHECK_EQ(vhc_server_disable_features(server, BIT(5)), 0);
	CHECK_EQ(vhc_server_enable_features(server, BIT(VIRTIO_F_EVENT_IDX_BIT)), -EINVAL);
	CHECK_EQ(vhc_server_enable_features(server, BIT(5)), 0);
	vhc_server_destroy(server);
	o.features_off = BIT(5);
	CHECK_EQ(vhc_server_create(&o, &server), 0);
	CHECK_EQ(vhc_server_features(server), all & ~BIT(5));
	vhc_server_destroy(server);
	CHECK_EQ(vhc_vdpa_unregister(hw.vdpa), 0);
}

/* ---- relaying ------------------------------------------------------------------------------- */

static struct frontend front;
static struct vhc_server *server;
static struct vhc_device *dev;
static uint8_t *memory;

static void
start_guest(void)
{
	struct peer_path path = peer_path("v");
	struct vhc_server_opts o;
	struct frontend_conf conf = {
		.features = BIT(VIRTIO_F_VERSION_1_BIT),
		.ring_size = RING_SIZE,
		.memory_fd = memfd_create("vdpa_test", MFD_CLOEXEC),
		.memory_len = MEMORY_LEN,
	};

	plug_in();
	o = opts_for(path.text);
	CHECK_EQ(vhc_server_create(&o, &server), 0);
	CHECK_EQ(vhc_server_start(server), 0);
	dev = vhc_server_device(server);
	CHECK_EQ(vhc_vdpa_relay_used(dev, TX, &hw.used), -ENODEV);
	CHECK_EQ(ftruncate(conf.memory_fd, MEMORY_LEN), 0);
	memory = mmap(NULL, MEMORY_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, conf.memory_fd, 0);
	CHECK(memory != MAP_FAILED);
	conf.memory = memory;
	frontend_init(&front, &conf);
	frontend_connect(&front, path.text);
	CHECK_EQ(ld_acquire(&hw.nr_conf), 1);
}

static void
end_guest(void)
{
	double end = peer_now() + 5;

	frontend_disconnect(&front);
	while (ld_acquire(&hw.nr_close) == 0 && peer_now() < end)
		peer_sleep_ms(1);
	CHECK_EQ(ld_acquire(&hw.nr_close), 1);
	vhc_server_destroy(server);
	close(front.conf.memory_fd);
	frontend_fini(&front);
	munmap(memory, MEMORY_LEN);
	CHECK_EQ(vhc_vdpa_unregister(hw.vdpa), 0);
}

/* The guest sends a chain, the hardware uses it, and nobody told the guest yet. */
static uint16_t
use_one(uint32_t len)
{
	const struct piece piece = { FRONTEND_AT + FRONTEND_RINGS_LEN + 64, 64, true };
	uint16_t id = driver_post(&front.tx, &piece, 1);

	driver_publish(&front.tx);
	hw.used.entries[hw.used_idx % RING_SIZE] =
		(struct virtq_used_elem){ { htole32(id) }, { htole32(len) } };
	st_release(&hw.used.idx.raw, htole16(++hw.used_idx));
	return id;
}

static void
test_relayed_entries_reach_the_guest(void)
{
	struct used_entry used;

	start_guest();
	CHECK_EQ(vhc_vdpa_relay_used(dev, 2, &hw.used), -EINVAL);
	CHECK_EQ(vhc_vdpa_relay_used(dev, TX, &hw.used), 0);
	for (uint32_t i = 0; i < 3 * RING_SIZE; i++) {
		uint16_t id = use_one(i);

		CHECK_EQ(driver_nr_used(&front.tx), 0);
		CHECK_EQ(vhc_vdpa_relay_used(dev, TX, &hw.used), 1);
		CHECK(driver_collect(&front.tx, &used));
		CHECK_EQ(used.id, id);
		CHECK_EQ(used.len, i);
	}
	end_guest();
}

/* What the hardware used last is relayed as it is told to stop. */
static void
test_relayed_as_it_is_closed(void)
{
	uint16_t ids[2];
	struct used_entry used;

	start_guest();
	ids[0] = use_one(7);
	ids[1] = use_one(8);
	close(front.sock);
	front.sock = -1;
	for (double end = peer_now() + 5; !ld_acquire(&hw.nr_close) && peer_now() < end;)
		peer_sleep_ms(1);
	CHECK_EQ(hw.drained, 2);
	for (int i = 0; i < 2; i++) {
		CHECK(driver_collect(&front.tx, &used));
		CHECK_EQ(used.id, ids[i]);
	}
	CHECK_EQ(vhc_vdpa_relay_used(dev, TX, &hw.used), -ENODEV);
	end_guest();
}

static void
test_impossible_entries_stop_the_ring(void)
{
	start_guest();
	use_one(7);
	hw.used.entries[0].id.raw = htole32(RING_SIZE);
	CHECK_EQ(vhc_vdpa_relay_used(dev, TX, &hw.used), -EPROTO);
	CHECK_EQ(driver_nr_used(&front.tx), 0);
	end_guest();
}

static void
test_no_hardware_no_relay(void)
{
	struct peer_path path = peer_path("v");
	struct vhc_server_opts o = { .name = "port", .path = path.text, .nr_rings = 2 };

	CHECK_EQ(vhc_server_create(&o, &server), 0);
	dev = vhc_server_device(server);
	CHECK(!vhc_device_vdpa(dev));
	CHECK_EQ(vhc_vdpa_relay_used(dev, 0, &hw.used), -EINVAL);
	CHECK_EQ(vhc_vdpa_notify_host(dev, 0, true), -ENOTSUP);
	vhc_server_destroy(server);
}

static const struct test tests[] = {
	TEST(test_register_find_unregister),
	TEST(test_what_it_is),
	TEST(test_stats_of_software),
	TEST(test_options),
	TEST(test_offers_are_bounded_by_the_hardware),
	TEST(test_relayed_entries_reach_the_guest),
	TEST(test_relayed_as_it_is_closed),
	TEST(test_impossible_entries_stop_the_ring),
	TEST(test_no_hardware_no_relay),
};

int
main(void)
{
	struct test one;

	peer_make_folder();
	vhc_log_set_sink(keep_line, NULL);
	for (size_t i = 0; i < VHC_ARRAY_LEN(tests); i++) {
		log_forget();
		one = tests[i];
		run_tests(&one, 1);
	}
	peer_remove_folder();
	return 0;
}
