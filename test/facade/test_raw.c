/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_raw.c - an application that works the rings, and sees the messages, itself.
 */
#define _GNU_SOURCE 1

#include "rig.h"

#include <pthread.h>
#include <sys/mman.h>

#include <rte_vhost_async.h>
#include <rte_vhost_crypto.h>

#define OWN_REQUEST 200
#define SET_LOG_BASE 6
#define CONFIG_CHANGE 2
#define LOG_PAGE 4096
#define LOG_ALL (UINT64_C(1) << VHOST_F_LOG_ALL)

static void
raw_start(void)
{
	CHECK_EQ(rte_vhost_driver_register(rig_path, RTE_VHOST_USER_NET_STATS_ENABLE), 0);
	CHECK_EQ(rte_vhost_driver_set_features(rig_path, MODERN | UINT64_C(1) << 30), 0);
	CHECK_EQ(rte_vhost_driver_callback_register(rig_path, &rig_ops), 0);
	CHECK_EQ(rte_vhost_driver_start(rig_path), 0);
}

static struct side *
raw_connect(void)
{
	struct side *s = side_create(MODERN, 0);

	side_connect(s, rig_path);
	for (int i = 0; i < 5000 && !strstr(heard, "new_device"); i++)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	CHECK(strncmp(heard, "new_connection ", 15) == 0);
	CHECK_HAS(heard, "new_device");
	heard[0] = '\0';
	return s;
}

/* ---- rings ---------------------------------------------------------------------------------- */

static void
test_bursts_are_off(void)
{
	struct rte_mbuf *m = NULL;
	struct side *s;

	raw_start();
	s = raw_connect();
	side_send(s, "0123456789abcdef", 16);
	CHECK_EQ(rte_vhost_dequeue_burst(heard_vid, 1, (void *)1, &m, 1), 0);
	CHECK_EQ(rte_vhost_enqueue_burst(heard_vid, 0, &m, 1), 0);
	rig_end(s);
}

/* Take what the guest sent off the ring, by hand. Returns its first byte behind the header. */
static uint8_t
echo_one(int vid)
{
	struct rte_vhost_memory *mem;
	struct rte_vhost_vring tx;
	uint64_t len = SIDE_HDR_LEN + 1;
	uint8_t *bytes, byte;
	uint16_t head;

	CHECK_EQ(rte_vhost_get_mem_table(vid, &mem), 0);
	CHECK_EQ(rte_vhost_get_vhost_vring(vid, SIDE_TX, &tx), 0);
	head = tx.avail->ring[tx.used->idx % tx.size];
	bytes = (void *)(uintptr_t)rte_vhost_va_from_guest_pa(mem, tx.desc[head].addr, &len);
	CHECK(bytes);
	byte = bytes[SIDE_HDR_LEN];
	tx.used->ring[tx.used->idx % tx.size] = (struct vring_used_elem){ .id = head };
	__atomic_store_n(&tx.used->idx, tx.used->idx + 1, __ATOMIC_RELEASE);
	free(mem);
	return byte;
}

static void
test_a_ring_is_worked_by_hand(void)
{
	struct side *s;

	raw_start();
	s = raw_connect();
	side_want_calls(s, SIDE_TX);
	/* A new descriptor ends a run of the ring, or does not: both are fine. */
	heard[0] = '\0';
	for (uint8_t i = 0; i < 100; i++) {
		uint8_t frame[16] = { i };

		side_send(s, frame, sizeof(frame));
		CHECK_EQ(rte_vhost_avail_entries(heard_vid, SIDE_TX), 1);
		CHECK_EQ(echo_one(heard_vid), i);
		CHECK_EQ(rte_vhost_vring_call(heard_vid, SIDE_TX), 0);
		CHECK_EQ(side_nr_calls(s, SIDE_TX), 1);
		CHECK_EQ(side_reap(s), 1);
	}
	CHECK_EQ(rte_vhost_vring_call_nonblock(heard_vid, SIDE_TX), 0);
	CHECK_EQ(side_nr_calls(s, SIDE_TX), 1);
	CHECK_EQ(rte_vhost_vring_call(heard_vid, 2), -1);
	CHECK_EQ(rte_vhost_vring_call(heard_vid, 256), -1);
	CHECK_EQ(rte_vhost_vring_call(-1, 1), -1);
	CHECK_EQ(rte_vhost_vring_call_nonblock(1024, 1), -1);
	rig_end(s);
}

static void
say_where_it_stands(int vid)
{
	hear(vid, "destroy_device");
	CHECK_EQ(rte_vhost_set_vring_base(vid, SIDE_TX, 7, 5), 0);
	CHECK_EQ(rte_vhost_set_vring_base(vid, 200, 7, 5), -1);
	CHECK_EQ(rte_vhost_set_vring_base(-1, SIDE_TX, 7, 5), -1);
}

static void
test_the_application_says_where_a_ring_stands(void)
{
	struct side *s;

	rig_ops.destroy_device = say_where_it_stands;
	raw_start();
	s = raw_connect();
	CHECK_EQ(side_stop_ring(s, SIDE_TX), 7);
	CHECK(strncmp(heard, "destroy_device ", 15) == 0);
	CHECK_EQ(rte_vhost_vring_call(heard_vid, SIDE_TX), -1);
	rig_end(s);
	rig_ops.destroy_device = on_destroy_device;
}

/* ---- the log, requests in flight, the front-end: none of which this one has ------------------ */

static void
test_without_log_and_in_flight_region(void)
{
	struct rte_vhost_ring_inflight inflight;
	uint64_t base = 1, size = 1;
	uint16_t a, b;
	struct side *s;
	int vid;

	raw_start();
	s = raw_connect();
	vid = heard_vid;
	rte_vhost_log_write(vid, 0, UINT64_MAX);
	rte_vhost_log_write(-1, 0, 1);
	rte_vhost_log_used_vring(vid, 1, 0, 1);
	rte_vhost_log_used_vring(vid, 256, 0, 1);
	rte_vhost_log_used_vring(-1, 1, 0, 1);
	CHECK_EQ(rte_vhost_get_log_base(vid, &base, &size), 0);
	CHECK(base == 0 && size == 0);
	CHECK_EQ(rte_vhost_get_log_base(-1, &base, &size), -1);
	CHECK_EQ(rte_vhost_get_log_base(vid, NULL, &size), -1);
	CHECK_EQ(rte_vhost_get_vhost_ring_inflight(vid, 1, &inflight), -1);
	CHECK_EQ(rte_vhost_get_vhost_ring_inflight(-1, 1, &inflight), -1);
	CHECK_EQ(rte_vhost_get_vhost_ring_inflight(vid, 1, NULL), -1);
	/* Not agreed on: nothing to note, and that is no error. */
	CHECK_EQ(rte_vhost_set_inflight_desc_split(vid, 1, 0), 0);
	CHECK_EQ(rte_vhost_set_last_inflight_io_split(vid, 1, 0), 0);
	CHECK_EQ(rte_vhost_clr_inflight_desc_split(vid, 1, 0, 0), 0);
	CHECK_EQ(rte_vhost_set_inflight_desc_packed(vid, 1, 0, 0, &a), 0);
	CHECK_EQ(rte_vhost_set_last_inflight_io_packed(vid, 1, 0), 0);
	CHECK_EQ(rte_vhost_clr_inflight_desc_packed(vid, 1, 0), 0);
	CHECK_EQ(rte_vhost_set_inflight_desc_split(-1, 1, 0), -1);
	CHECK_EQ(rte_vhost_set_last_inflight_io_split(-1, 1, 0), -1);
	CHECK_EQ(rte_vhost_clr_inflight_desc_split(-1, 1, 0, 0), -1);
	CHECK_EQ(rte_vhost_set_inflight_desc_packed(-1, 1, 0, 0, &a), -1);
	CHECK_EQ(rte_vhost_set_last_inflight_io_packed(-1, 1, 0), -1);
	CHECK_EQ(rte_vhost_clr_inflight_desc_packed(-1, 1, 0), -1);
	CHECK_EQ(rte_vhost_get_vring_base_from_inflight(vid, 1, &a, &b), -1);
	CHECK(rte_vhost_slave_config_change(vid, false) < 0);
	CHECK(rte_vhost_backend_config_change(-1, false) < 0);
	rig_end(s);
}

/* ---- the dirty log -------------------------------------------------------------------------- */

/* A migration, as the front-end begins it: bytes of the bitmap, an eighth of a page each. */
static uint8_t *
begin_log(struct side *s, uint64_t len)
{
	const uint64_t payload[2] = { len, 0 };
	int fd = memfd_create("log", MFD_CLOEXEC);
	uint8_t *bits;

	CHECK_EQ(ftruncate(fd, (off_t)len), 0);
	bits = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(bits != MAP_FAILED);
	side_say_fd(s, SET_LOG_BASE, payload, sizeof(payload), fd, sizeof(payload));
	close(fd);
	return bits;
}

static bool
is_marked(const uint8_t *bits, uint64_t at)
{
	return bits[at / LOG_PAGE / 8] >> at / LOG_PAGE % 8 & 1;
}

static void
test_what_the_application_writes_is_marked(void)
{
	const uint64_t len = 4096;
	uint64_t at, base, size;
	struct side *s;
	uint8_t *bits;

	CHECK_EQ(rte_vhost_driver_register(rig_path, 0), 0);
	CHECK_EQ(rte_vhost_driver_set_features(rig_path, MODERN | UINT64_C(1) << 30 | LOG_ALL), 0);
	CHECK_EQ(rte_vhost_driver_callback_register(rig_path, &rig_ops), 0);
	CHECK_EQ(rte_vhost_driver_start(rig_path), 0);
	s = side_create(MODERN | LOG_ALL, PROTOCOL(LOG_SHMFD));
	side_connect(s, rig_path);
	CHECK_HEARD("new_connection +0 +1 new_device ");
	bits = begin_log(s, len);
	CHECK_EQ(rte_vhost_get_log_base(heard_vid, &base, &size), 0);
	CHECK(base != 0 && size == len);
	at = side_guest_address(s, 5 * LOG_PAGE);
	rte_vhost_log_write(heard_vid, at + LOG_PAGE - 1, 2);
	CHECK(!is_marked(bits, at - 1) && is_marked(bits, at) && is_marked(bits, at + LOG_PAGE));
	CHECK(!is_marked(bits, at + 2 * LOG_PAGE));
	/* Outside the log, and of a ring that the front-end wants no marks of: nothing. */
	memset(bits, 0, len);
	rte_vhost_log_write(heard_vid, UINT64_MAX - 5, 100);
	rte_vhost_log_used_vring(heard_vid, SIDE_TX, 0, 8);
	for (uint64_t i = 0; i < len; i++)
		CHECK_EQ(bits[i], 0);
	munmap(bits, len);
	rig_end(s);
}

/* ---- requests to the front-end -------------------------------------------------------------- */

struct channel_answer {
	int channel;
	uint64_t result;
};

static void *
answer_once(void *arg)
{
	const struct channel_answer *answer = arg;

	CHECK_EQ(side_serve_channel(answer->channel, answer->result), CONFIG_CHANGE);
	return NULL;
}

/* As the front-end answers. */
static int
change_and_wait(int channel, uint64_t result)
{
	struct channel_answer answer = { channel, result };
	pthread_t thread;
	int rc;

	CHECK_EQ(pthread_create(&thread, NULL, answer_once, &answer), 0);
	rc = rte_vhost_slave_config_change(heard_vid, true);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	return rc;
}

static void
test_a_change_of_the_configuration_is_told(void)
{
	const uint64_t protocol = PROTOCOL(REPLY_ACK) | PROTOCOL(SLAVE_REQ) | PROTOCOL(CONFIG);
	struct side *s;
	int channel;

	CHECK_EQ(rte_vhost_driver_register(rig_path, 0), 0);
	CHECK_EQ(rte_vhost_driver_set_features(rig_path, MODERN | UINT64_C(1) << 30), 0);
	CHECK_EQ(rte_vhost_driver_set_protocol_features(rig_path, protocol), 0);
	CHECK_EQ(rte_vhost_driver_callback_register(rig_path, &rig_ops), 0);
	CHECK_EQ(rte_vhost_driver_start(rig_path), 0);
	s = side_create(MODERN, protocol);
	side_connect(s, rig_path);
	CHECK_HEARD("new_connection +0 +1 new_device ");
	CHECK(rte_vhost_slave_config_change(heard_vid, false) < 0);	/* nobody listens yet */
	channel = side_open_channel(s);
	CHECK_EQ(rte_vhost_slave_config_change(heard_vid, false), 0);
	CHECK_EQ(side_serve_channel(channel, 0), CONFIG_CHANGE);
	CHECK_EQ(change_and_wait(channel, 0), 0);
	CHECK(change_and_wait(channel, 1) < 0);
	CHECK_EQ(rte_vhost_backend_config_change(heard_vid, false), 0);
	CHECK_EQ(side_serve_channel(channel, 0), CONFIG_CHANGE);
	CHECK(rte_vhost_slave_config_change(-1, false) < 0);
	close(channel);
	rig_end(s);
}

/* ---- requests in flight --------------------------------------------------------------------- */

static struct side *
tracked_side(uint64_t features)
{
	struct side *s = side_create(MODERN | features, PROTOCOL(INFLIGHT_SHMFD));

	side_track(s);
	CHECK_EQ(rte_vhost_driver_register(rig_path, 0), 0);
	CHECK_EQ(rte_vhost_driver_set_features(rig_path, MODERN | features | UINT64_C(1) << 30), 0);
	CHECK_EQ(rte_vhost_driver_set_protocol_features(rig_path, PROTOCOL(INFLIGHT_SHMFD)), 0);
	CHECK_EQ(rte_vhost_driver_callback_register(rig_path, &rig_ops), 0);
	CHECK_EQ(rte_vhost_driver_start(rig_path), 0);
	return s;
}

/* What the ring notes, once the device runs. */
static struct rte_vhost_ring_inflight
tracked_connect(struct side *s)
{
	struct rte_vhost_ring_inflight inflight;

	heard[0] = '\0';
	side_connect(s, rig_path);
	CHECK_HAS(heard, "new_device");
	CHECK_EQ(rte_vhost_get_vhost_ring_inflight(heard_vid, SIDE_TX, &inflight), 0);
	return inflight;
}

static void
tracked_disconnect(struct side *s)
{
	side_disconnect(s);
	for (int i = 0; i < 5000 && !strstr(heard, "destroy_connection"); i++)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	CHECK_HAS(heard, "destroy_connection");
}

static void
test_what_was_in_flight_comes_again_split(void)
{
	struct rte_vhost_ring_inflight inflight;
	struct rte_vhost_vring tx;
	uint16_t heads[2], index;
	struct side *s = tracked_side(0);
	int vid;

	inflight = tracked_connect(s);
	vid = heard_vid;
	CHECK_EQ(inflight.resubmit_inflight->resubmit_num, 0);
	side_send(s, "0123456789abcdef", 16);
	side_send(s, "0123456789abcdef", 16);
	CHECK_EQ(rte_vhost_get_vhost_vring(vid, SIDE_TX, &tx), 0);
	for (uint16_t i = 0; i < 2; i++) {
		heads[i] = tx.avail->ring[i];
		CHECK_EQ(rte_vhost_set_inflight_desc_split(vid, SIDE_TX, heads[i]), 0);
		CHECK_EQ(inflight.inflight_split->desc[heads[i]].inflight, 1);
	}
	CHECK_EQ(rte_vhost_set_inflight_desc_split(vid, SIDE_TX, SIDE_RING_SIZE), -1);
	CHECK_EQ(rte_vhost_set_inflight_desc_packed(vid, SIDE_TX, 0, 0, &index), -1);
	tx.used->ring[0] = (struct vring_used_elem){ .id = heads[0] };
	CHECK_EQ(rte_vhost_set_last_inflight_io_split(vid, SIDE_TX, heads[0]), 0);
	__atomic_store_n(&tx.used->idx, 1, __ATOMIC_RELEASE);
	CHECK_EQ(rte_vhost_clr_inflight_desc_split(vid, SIDE_TX, 1, heads[0]), 0);
	CHECK_EQ(inflight.inflight_split->desc[heads[0]].inflight, 0);
	CHECK_EQ(rte_vhost_get_vring_base_from_inflight(vid, SIDE_TX, &index, &index), -1);
	tracked_disconnect(s);
	inflight = tracked_connect(s);
	CHECK_EQ(inflight.resubmit_inflight->resubmit_num, 1);
	CHECK_EQ(inflight.resubmit_inflight->resubmit_list[0].index, heads[1]);
	rig_end(s);
}

static void
test_what_was_in_flight_comes_again_packed(void)
{
	struct rte_vhost_ring_inflight inflight;
	struct side *s = tracked_side(FEATURE(F_RING_PACKED));
	uint16_t entries[2], avail, used;
	int vid;

	inflight = tracked_connect(s);
	vid = heard_vid;
	CHECK_EQ(inflight.resubmit_inflight->resubmit_num, 0);
	side_send(s, "0123456789abcdef", 16);
	side_send(s, "0123456789abcdef", 16);
	for (uint16_t i = 0; i < 2; i++) {
		CHECK_EQ(rte_vhost_set_inflight_desc_packed(vid, SIDE_TX, i, i, &entries[i]), 0);
		CHECK_EQ(inflight.inflight_packed->desc[entries[i]].inflight, 1);
	}
	CHECK_EQ(rte_vhost_set_inflight_desc_packed(vid, SIDE_TX, SIDE_RING_SIZE, 0, &avail), -1);
	CHECK_EQ(rte_vhost_set_inflight_desc_packed(vid, SIDE_TX, 0, 0, NULL), -1);
	CHECK_EQ(rte_vhost_set_inflight_desc_split(vid, SIDE_TX, 0), -1);
	CHECK_EQ(rte_vhost_set_last_inflight_io_packed(vid, SIDE_TX, entries[0]), 0);
	CHECK_EQ(rte_vhost_clr_inflight_desc_packed(vid, SIDE_TX, entries[0]), 0);
	CHECK_EQ(inflight.inflight_packed->desc[entries[0]].inflight, 0);
	CHECK_EQ(rte_vhost_get_vring_base_from_inflight(vid, SIDE_TX, &avail, &used), 0);
	CHECK_EQ(used, avail);
	CHECK_EQ(rte_vhost_get_vring_base_from_inflight(vid, SIDE_TX, NULL, &used), -1);
	tracked_disconnect(s);
	inflight = tracked_connect(s);
	CHECK_EQ(inflight.resubmit_inflight->resubmit_num, 1);
	CHECK_EQ(inflight.resubmit_inflight->resubmit_list[0].index, entries[1]);
	rig_end(s);
}

/* ---- messages ------------------------------------------------------------------------------- */

/* As handlers of other programs declare it. */
struct seen_message {
	uint32_t request, flags, size;
	uint8_t payload[632];
	int fds[8];
	int nr_fds;
} __attribute__((packed));

static struct seen_message seen;
static int pre_result;

static enum rte_vhost_msg_result
on_pre(int vid, void *raw)
{
	struct seen_message *message = raw;

	CHECK_EQ(vid, heard_vid);
	if (message->request != OWN_REQUEST)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	seen = *message;
	message->size = 8;
	memcpy(message->payload, "answered", 8);
	message->nr_fds = 0;
	return (enum rte_vhost_msg_result)pre_result;
}

static int
register_handlers(int vid)
{
	const struct rte_vhost_user_extern_ops ops = { .pre_msg_handle = on_pre };

	CHECK_EQ(rte_vhost_extern_callback_register(vid, &ops, NULL), 0);
	CHECK_EQ(rte_vhost_extern_callback_register(vid, NULL, NULL), -1);
	CHECK_EQ(rte_vhost_extern_callback_register(-1, &ops, NULL), -1);
	return on_new_connection(vid);
}

static void
test_a_request_of_the_applications_own(void)
{
	const uint64_t payload = 0x1122334455667788;
	uint64_t reply;
	struct side *s;

	rig_ops.new_connection = register_handlers;
	raw_start();
	s = raw_connect();
	pre_result = RTE_VHOST_MSG_RESULT_REPLY;
	side_say(s, OWN_REQUEST, &payload, sizeof(payload), &reply);
	CHECK(memcmp(&reply, "answered", 8) == 0);
	CHECK_EQ(seen.size, 8);
	CHECK(memcmp(seen.payload, &payload, 8) == 0);
	CHECK_EQ(seen.nr_fds, 0);
	pre_result = RTE_VHOST_MSG_RESULT_OK;
	side_say(s, OWN_REQUEST, &payload, sizeof(payload), NULL);
	side_say(s, 1, NULL, 0, &reply);	/* it is still there */
	rig_end(s);
	rig_ops.new_connection = on_new_connection;
}

static void
test_a_request_that_is_refused_ends_the_connection(void)
{
	const int results[] = { RTE_VHOST_MSG_RESULT_ERR, RTE_VHOST_MSG_RESULT_NOT_HANDLED, 77 };

	rig_ops.new_connection = register_handlers;
	for (unsigned int i = 0; i < RTE_DIM(results); i++) {
		struct side *s;

		raw_start();
		s = raw_connect();
		pre_result = results[i];
		side_say(s, OWN_REQUEST, NULL, 0, NULL);
		for (int k = 0; k < 5000 && !strstr(heard, "destroy_connection"); k++)
			nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
		CHECK_HAS(heard, "destroy_device ");
		CHECK_HAS(heard, "destroy_connection ");
		rig_end(s);
	}
	rig_ops.new_connection = on_new_connection;
}

/* ---- what is not there ---------------------------------------------------------------------- */

static void
test_absent_functions_fail(void)
{
	struct rte_mbuf *m = NULL;
	int nr_inflight = 0;

	CHECK_EQ(rte_vhost_async_channel_register(0, 0), -1);
	CHECK_EQ(rte_vhost_async_channel_unregister(0, 0), -1);
	CHECK_EQ(rte_vhost_async_channel_register_thread_unsafe(0, 0), -1);
	CHECK_EQ(rte_vhost_async_channel_unregister_thread_unsafe(0, 0), -1);
	CHECK_EQ(rte_vhost_submit_enqueue_burst(0, 0, &m, 1, 0, 0), 0);
	CHECK_EQ(rte_vhost_poll_enqueue_completed(0, 0, &m, 1, 0, 0), 0);
	CHECK_EQ(rte_vhost_async_get_inflight(0, 0), -1);
	CHECK_EQ(rte_vhost_async_get_inflight_thread_unsafe(0, 0), -1);
	CHECK_EQ(rte_vhost_clear_queue(0, 0, &m, 1, 0, 0), 0);
	CHECK_EQ(rte_vhost_clear_queue_thread_unsafe(0, 0, &m, 1, 0, 0), 0);
	CHECK_EQ(rte_vhost_async_dma_configure(0, 0), -1);
	CHECK_EQ(rte_vhost_async_dma_unconfigure(0, 0), -1);
	CHECK_EQ(rte_vhost_async_try_dequeue_burst(0, 1, NULL, &m, 1, &nr_inflight, 0, 0), 0);
	CHECK_EQ(nr_inflight, -1);
	CHECK_EQ(rte_vhost_crypto_driver_start(rig_path), -1);
	CHECK_EQ(rte_vhost_crypto_create(0, 0, NULL, 0), -1);
	CHECK_EQ(rte_vhost_crypto_free(0), -1);
	CHECK_EQ(rte_vhost_crypto_set_zero_copy(0, RTE_VHOST_CRYPTO_ZERO_COPY_DISABLE), -1);
	CHECK_EQ(rte_vhost_crypto_fetch_requests(0, 0, NULL, 0), 0);
	CHECK_EQ(rte_vhost_crypto_finalize_requests(NULL, 0, NULL, NULL), 0);
}

static const struct test tests[] = {
	TEST(test_bursts_are_off),
	TEST(test_a_ring_is_worked_by_hand),
	TEST(test_the_application_says_where_a_ring_stands),
	TEST(test_without_log_and_in_flight_region),
	TEST(test_what_the_application_writes_is_marked),
	TEST(test_a_change_of_the_configuration_is_told),
	TEST(test_what_was_in_flight_comes_again_split),
	TEST(test_what_was_in_flight_comes_again_packed),
	TEST(test_a_request_of_the_applications_own),
	TEST(test_a_request_that_is_refused_ends_the_connection),
	TEST(test_absent_functions_fail),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return rig_main(argv[0], tests, RTE_DIM(tests));
}
