/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_generic.c - a device that the application makes itself: callbacks, rings, memory, offers.
 */
#define _GNU_SOURCE 1

#include "../kept_log.h"
#include "../peer.h"

#include <sys/mman.h>

#include "device.h"
#include "model/frontend.h"
#include "vhostcore_features.h"
#include "vhostcore_memory.h"
#include "vhostcore_ring.h"

#define MEMORY_LEN (UINT64_C(2) << 20)
#define RING_SIZE 64

static struct frontend front;
static struct vhc_server *server;

/* ---- what the application heard ------------------------------------------------------------- */

static char heard[1024];
static uint16_t base_to_say;

static void
hear(const char *text, unsigned int value)
{
	size_t used = strlen(heard);

	snprintf(heard + used, sizeof(heard) - used, "%s %u;", text, value);
}

static void
on_connected(struct vhc_device *dev, bool connected, void *arg)
{
	(void)dev;
	(void)arg;
	hear("connected", connected);
}

static void
on_running(struct vhc_device *dev, bool running, void *arg)
{
	(void)dev;
	(void)arg;
	hear("running", running);
}

static void
on_queue_changed(struct vhc_device *dev, uint16_t ring, bool usable, void *arg)
{
	struct vhc_queue_memory memory;
	struct vhc_queue *q = vhc_device_queue(dev, ring);

	(void)arg;
	hear(usable ? "up" : "down", ring);
	CHECK_EQ(vhc_queue_memory(q, &memory), usable ? 0 : -EAGAIN);
	if (!usable && base_to_say)
		CHECK_EQ(vhc_queue_set_base(q, base_to_say, base_to_say), 0);
}

static void
on_features_changed(struct vhc_device *dev, uint64_t features, void *arg)
{
	(void)dev;
	(void)arg;
	hear("features", (unsigned int)(features >> VIRTIO_F_VERSION_1_BIT & 1));
}

static const struct vhc_device_ops ops = {
	.connected = on_connected,
	.running = on_running,
	.queue_changed = on_queue_changed,
	.features_changed = on_features_changed,
};

/* What was heard since last time. */
static void
check_heard(const char *want)
{
	vhc_device_info(vhc_server_device(server), &(struct vhc_device_info){ 0 });
	if (strcmp(heard, want) != 0)
		fprintf(stderr, "heard: %s\nwant:  %s\n", heard, want);
	CHECK(strcmp(heard, want) == 0);
	heard[0] = '\0';
}

/* ---- the two sides -------------------------------------------------------------------------- */

static struct vhc_server_opts
raw_opts(const char *path)
{
	return (struct vhc_server_opts){ .name = "raw", .path = path, .nr_rings = 4, .ops = &ops,
					 .raw_rings = true };
}

static void
start_server(const struct vhc_server_opts *opts)
{
	heard[0] = '\0';
	base_to_say = 0;
	CHECK_EQ(vhc_server_create(opts, &server), 0);
	CHECK_EQ(vhc_server_start(server), 0);
}

static void
make_front_end(uint64_t features)
{
	struct frontend_conf conf = {
		.features = features | BIT64(VIRTIO_F_VERSION_1_BIT),
		.ring_size = RING_SIZE,
		.memory_len = MEMORY_LEN,
	};

	conf.memory_fd = memfd_create("guest", MFD_CLOEXEC);
	CHECK_EQ(ftruncate(conf.memory_fd, (off_t)MEMORY_LEN), 0);
	conf.memory = mmap(NULL, MEMORY_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, conf.memory_fd, 0);
	CHECK(conf.memory != MAP_FAILED);
	frontend_init(&front, &conf);
}

static void
drop_front_end(void)
{
	frontend_fini(&front);
	munmap(front.conf.memory, MEMORY_LEN);
	close(front.conf.memory_fd);
}

static void
wait_heard(const char *want)
{
	double end = peer_now() + 5;

	while (!strstr(heard, want) && peer_now() < end)
		peer_sleep_ms(1);
}

static uint32_t
ask_base(uint32_t ring)
{
	const struct vhost_vring_state state = { ring, 0 };
	struct {
		struct vhost_user_header header;
		struct vhost_vring_state state;
	} reply;

	peer_request(front.sock, VHOST_USER_GET_VRING_BASE, VHOST_USER_VERSION, &state,
		     sizeof(state), 0);
	CHECK_EQ(recv(front.sock, &reply, sizeof(reply), MSG_WAITALL), sizeof(reply));
	CHECK_EQ(reply.state.index, ring);
	return reply.state.num;
}

static struct vhc_queue *
queue(uint16_t ring)
{
	return vhc_device_queue(vhc_server_device(server), ring);
}

/* ---- callbacks ------------------------------------------------------------------------------ */

static void
test_callbacks_come_in_order(void)
{
	struct peer_path path = peer_path("raw");
	struct vhc_server_opts opts = raw_opts(path.text);

	start_server(&opts);
	make_front_end(0);
	frontend_connect(&front, path.text);
	check_heard("connected 1;features 1;up 0;up 1;running 1;");
	frontend_disconnect(&front);
	wait_heard("connected 0");
	check_heard("down 0;down 1;running 0;connected 0;");
	drop_front_end();
	vhc_server_destroy(server);
}

static void
test_vital_rings_decide_when_a_device_runs(void)
{
	struct peer_path path = peer_path("vital");
	struct vhc_server_opts opts = raw_opts(path.text);

	opts.nr_vital_rings = 2;
	start_server(&opts);
	make_front_end(0);
	frontend_connect(&front, path.text);
	check_heard("connected 1;features 1;up 0;up 1;running 1;");
	ask_base(1);
	check_heard("down 1;running 0;");
	drop_front_end();
	vhc_server_destroy(server);
}

/* ---- rings ---------------------------------------------------------------------------------- */

/* What the application of a split ring does, in short: everything posted is used at once. */
static uint16_t
use_all(struct vhc_queue *q)
{
	struct vhc_queue_memory memory;
	const struct virtq_avail *avail;
	struct virtq_used *used;
	uint16_t idx;

	CHECK_EQ(vhc_queue_memory(q, &memory), 0);
	CHECK_EQ(memory.size, RING_SIZE);
	CHECK(!memory.packed && memory.call_fd >= 0 && memory.kick_fd >= 0);
	avail = memory.driver;
	used = memory.device;
	idx = le16_get(used->idx);
	while (idx != le16_get(avail->idx)) {
		uint16_t slot = idx++ % RING_SIZE;

		used->ring[slot].id = le32_put(le16_get(avail->ring[slot]));
		used->ring[slot].len = le32_put(0);
	}
	used->idx = le16_put(idx);
	return idx;
}

static void
post(unsigned int nr)
{
	const struct piece piece = { FRONTEND_AT + FRONTEND_RINGS_LEN, 64, false };

	for (unsigned int i = 0; i < nr; i++)
		driver_post(&front.tx, &piece, 1);
	driver_publish(&front.tx);
}

static bool
was_called(const struct vhc_queue_memory *memory)
{
	uint64_t nr;

	return read(memory->call_fd, &nr, sizeof(nr)) == sizeof(nr);
}

static void
test_raw_ring_is_the_applications(void)
{
	struct peer_path path = peer_path("ring");
	struct vhc_server_opts opts = raw_opts(path.text);
	struct vhc_queue_memory memory;
	struct vhc_queue_fill fill;
	struct used_entry entry;
	uint16_t avail, used;

	opts.nr_vital_rings = 2;
	start_server(&opts);
	make_front_end(0);
	frontend_connect(&front, path.text);
	CHECK_EQ(vhc_queue_memory(queue(1), &memory), 0);
	was_called(&memory);	/* each start calls once */
	post(3);
	CHECK(vhc_queue_fill(queue(1), &fill));
	CHECK_EQ(fill.available, 3);
	CHECK_EQ(use_all(queue(1)), 3);
	for (int i = 0; i < 3; i++)
		CHECK(driver_collect(&front.tx, &entry));
	CHECK_EQ(vhc_queue_call(queue(1)), 0);
	CHECK(!was_called(&memory));	/* the model polls */
	driver_want_calls(&front.tx, true);
	CHECK_EQ(vhc_queue_call(queue(1)), 1);
	CHECK(was_called(&memory));
	/* Nothing the driver does to indices breaks a ring that is not ours to read. */
	front.tx.avail->idx = le16_put(1000);
	CHECK(vhc_queue_want_kicks(queue(1), true));
	CHECK(!driver_kicks_refused(&front.tx));
	vhc_queue_want_kicks(queue(1), false);
	CHECK(driver_kicks_refused(&front.tx));
	CHECK_EQ(vhc_queue_faults(queue(1), RING_FAULT_AVAIL_IDX), 0);
	vhc_queue_base(queue(1), &avail, &used);
	CHECK_EQ(avail, 0);
	/* Where nothing is said, what is used counts. */
	CHECK_EQ(ask_base(1), 3);
	CHECK_EQ(vhc_queue_call(queue(1)), -ENODEV);
	CHECK_EQ(vhc_queue_signal_error(queue(1)), -ENODEV);
	drop_front_end();
	vhc_server_destroy(server);
}

static void
test_event_idx_decides_on_calls(void)
{
	struct peer_path path = peer_path("event");
	struct vhc_server_opts opts = raw_opts(path.text);
	struct vhc_queue_memory memory;

	start_server(&opts);
	make_front_end(BIT64(VIRTIO_F_EVENT_IDX_BIT));
	front.tx.event_idx = true;
	frontend_connect(&front, path.text);
	CHECK_EQ(vhc_queue_memory(queue(1), &memory), 0);
	was_called(&memory);
	post(2);
	use_all(queue(1));
	driver_want_call_at(&front.tx, 10);
	CHECK_EQ(vhc_queue_call(queue(1)), 1);
	CHECK(was_called(&memory));	/* the first one after a start always is */
	CHECK_EQ(vhc_queue_call(queue(1)), 0);
	CHECK(!was_called(&memory));
	driver_want_call_at(&front.tx, 2);
	post(2);
	use_all(queue(1));
	CHECK_EQ(vhc_queue_call(queue(1)), 1);
	CHECK(was_called(&memory));
	drop_front_end();
	vhc_server_destroy(server);
}

static void
test_base_is_what_the_application_says(void)
{
	struct peer_path path = peer_path("base");
	struct vhc_server_opts opts = raw_opts(path.text);

	start_server(&opts);
	make_front_end(0);
	frontend_connect(&front, path.text);
	base_to_say = 17;
	CHECK_EQ(ask_base(1), 17);
	drop_front_end();
	vhc_server_destroy(server);
}

static void
test_base_of_a_packed_ring(void)
{
	struct peer_path path = peer_path("packed");
	struct vhc_server_opts opts = raw_opts(path.text);
	uint16_t avail, used;

	start_server(&opts);
	make_front_end(BIT64(VIRTIO_F_RING_PACKED_BIT));
	frontend_connect(&front, path.text);
	vhc_queue_base(queue(0), &avail, &used);
	CHECK_EQ(avail, 0x8000);
	CHECK_EQ(used, 0x8000);
	CHECK_EQ(vhc_queue_set_base(queue(0), RING_SIZE, 0), -EINVAL);
	CHECK_EQ(vhc_queue_set_base(queue(0), 0, 0x8000 | RING_SIZE), -EINVAL);
	CHECK_EQ(vhc_queue_set_base(queue(0), 0x8005, 0x8003), 0);
	CHECK_EQ(vhc_queue_call(queue(0)), 0);
	CHECK_EQ(ask_base(0), 0x80038005);
	drop_front_end();
	vhc_server_destroy(server);
}

/* ---- memory --------------------------------------------------------------------------------- */

static void
test_memory_as_it_is_shared(void)
{
	struct peer_path path = peer_path("memory");
	struct vhc_server_opts opts = raw_opts(path.text);
	struct vhc_memory_region regions[2];
	struct vhc_device *dev;
	uint64_t len = 64;
	uint8_t *at;

	start_server(&opts);
	dev = vhc_server_device(server);
	CHECK_EQ(vhc_device_memory(dev, regions, 2), 0);
	CHECK_EQ(vhc_device_numa_node(dev), -1);
	CHECK(!vhc_device_guest_pointer(dev, FRONTEND_AT, &len));
	CHECK_EQ(len, 0);
	make_front_end(0);
	frontend_connect(&front, path.text);
	CHECK_EQ(vhc_device_memory(dev, regions, 0), 1);
	CHECK_EQ(vhc_device_memory(dev, regions, 2), 1);
	CHECK_EQ(regions[0].guest_addr, FRONTEND_AT);
	CHECK_EQ(regions[0].user_addr, GUEST_USER(FRONTEND_AT));
	CHECK_EQ(regions[0].size, MEMORY_LEN);
	CHECK(regions[0].mapping <= regions[0].host && regions[0].mapping_size >= MEMORY_LEN);
	front.conf.memory[MEMORY_LEN - 1] = 0x5a;
	len = 64;
	at = vhc_device_guest_pointer(dev, FRONTEND_AT + MEMORY_LEN - 1, &len);
	CHECK(at && len == 1 && *at == 0x5a);
	len = 64;
	CHECK(!vhc_device_guest_pointer(dev, FRONTEND_AT + MEMORY_LEN, &len));
	CHECK_EQ(len, 0);
	CHECK(vhc_device_numa_node(dev) >= 0);
	drop_front_end();
	vhc_server_destroy(server);
}

/* Who works rings himself is off them while the table changes, and on them again afterwards. */
static void
test_a_new_memory_table_restarts_raw_rings(void)
{
	struct peer_path path = peer_path("table");
	struct vhc_server_opts opts = raw_opts(path.text);
	struct vhost_user_mem_table table = {
		.nregions = 1,
		.regions[0] = {
			.guest_phys_addr = FRONTEND_AT, .memory_size = MEMORY_LEN,
			.userspace_addr = GUEST_USER(FRONTEND_AT),
		},
	};
	const uint32_t size = offsetof(struct vhost_user_mem_table, regions[1]);
	struct peer_message m = peer_message(VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, &table,
					     size);

	opts.nr_vital_rings = 2;
	start_server(&opts);
	make_front_end(0);
	frontend_connect(&front, path.text);
	check_heard("connected 1;features 1;up 0;up 1;running 1;");
	base_to_say = 5;	/* forgotten: split rings go on where they are */
	peer_send_fds(front.sock, &m, sizeof(m.header) + size, &front.conf.memory_fd, 1);
	wait_heard("running 1");
	check_heard("down 0;down 1;running 0;up 0;up 1;running 1;");
	drop_front_end();
	vhc_server_destroy(server);
}

/* ---- offers --------------------------------------------------------------------------------- */

static void
test_offers_are_made_before_a_front_end_agrees(void)
{
	const uint64_t own = BIT64(5), version_1 = BIT64(VIRTIO_F_VERSION_1_BIT);
	const uint64_t transport = vhc_class_features(NULL, 2);
	struct peer_path path = peer_path("offer");
	struct vhc_server_opts opts = raw_opts(path.text);

	opts.features_on = own;
	opts.features_off = BIT64(VIRTIO_F_RING_PACKED_BIT);
	start_server(&opts);
	CHECK(transport & version_1);
	/* Who marks nothing must not say so by accident. */
	CHECK(!(transport & VHC_FEATURE_LOG_ALL));
	CHECK(!(vhc_server_features(server) & VHC_FEATURE_LOG_ALL));
	CHECK_EQ(vhc_server_features(server),
		 (transport | own) & ~BIT64(VIRTIO_F_RING_PACKED_BIT));
	CHECK_EQ(vhc_server_enable_features(server, BIT64(6)), -EINVAL);
	CHECK_EQ(log_count("bit6 cannot be offered"), 1);
	CHECK_EQ(vhc_server_set_features(server, transport | BIT64(6)), 0);
	CHECK_EQ(vhc_server_disable_features(server, BIT64(6)), 0);
	CHECK_EQ(vhc_server_features(server), transport);
	CHECK_EQ(vhc_server_enable_features(server, BIT64(6) | own), 0);
	CHECK_EQ(vhc_server_set_protocol_features(server, BIT64(40)), 0);
	CHECK_EQ(vhc_server_protocol_features(server), BIT64(40));
	make_front_end(BIT64(6));
	frontend_connect(&front, path.text);
	CHECK_EQ(vhc_server_set_features(server, transport), -EBUSY);
	CHECK_EQ(vhc_server_disable_features(server, own), -EBUSY);
	CHECK_EQ(vhc_server_set_protocol_features(server, 0), -EBUSY);
	drop_front_end();
	vhc_server_destroy(server);
}

static void
test_a_client_may_connect_only_once(void)
{
	struct peer_path path = peer_path("once");
	struct vhc_server_opts opts = raw_opts(path.text);
	struct vhc_device_info info;
	int listener, sock;

	opts.role = VHC_ROLE_CLIENT;
	opts.no_reconnect = true;
	CHECK_EQ(vhc_server_create(&opts, &server), 0);
	CHECK_EQ(vhc_server_start(server), -ENOENT);
	listener = peer_listen(path.text);
	heard[0] = '\0';
	CHECK_EQ(vhc_server_start(server), 0);
	sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	check_heard("connected 1;");
	close(sock);
	wait_heard("connected 0");
	CHECK(!peer_is_readable(listener, 200));
	vhc_device_info(vhc_server_device(server), &info);
	CHECK_HAS(info.why, "no other was to be made");
	close(listener);
	unlink(path.text);
	vhc_server_destroy(server);
}

static const struct test tests[] = {
	TEST(test_callbacks_come_in_order),
	TEST(test_vital_rings_decide_when_a_device_runs),
	TEST(test_raw_ring_is_the_applications),
	TEST(test_event_idx_decides_on_calls),
	TEST(test_base_is_what_the_application_says),
	TEST(test_base_of_a_packed_ring),
	TEST(test_memory_as_it_is_shared),
	TEST(test_a_new_memory_table_restarts_raw_rings),
	TEST(test_offers_are_made_before_a_front_end_agrees),
	TEST(test_a_client_may_connect_only_once),
};

int
main(void)
{
	int rc;

	vhc_log_set_sink(keep_line, NULL);
	peer_make_folder();
	rc = RUN_TESTS(tests);
	peer_remove_folder();
	return rc;
}
