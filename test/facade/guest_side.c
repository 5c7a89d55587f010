/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest_side.c - see guest_side.h.
 */
#define _GNU_SOURCE 1

#include "model/frontend.h"
#include "unit/peer.h"

#include <sys/mman.h>

#include "guest_side.h"

#define BUFFERS_AT 0x100000u	/* bytes into the memory: sent ones, then those to receive */
#define BUFFER_LEN 0x4000u
#define INFLIGHT_LEN 0x10000u	/* more than two rings need, of either layout */

struct side {
	struct frontend front;
	int memory_fd;
	int call[2];
	uint32_t next_buffer;
	uint64_t at[2][SIDE_RING_SIZE];	/* buffer of the chain of this id */
};

struct side *
side_create(uint64_t features, uint64_t protocol_features)
{
	struct side *s = calloc(1, sizeof(*s));
	struct frontend_conf conf = {
		.features = features,
		.protocol_features = protocol_features,
		.ring_size = SIDE_RING_SIZE,
		.memory_len = SIDE_MEMORY_LEN,
	};

	CHECK(s);
	s->memory_fd = memfd_create("side", MFD_CLOEXEC);
	CHECK(s->memory_fd >= 0);
	CHECK_EQ(ftruncate(s->memory_fd, SIDE_MEMORY_LEN), 0);
	conf.memory_fd = s->memory_fd;
	conf.memory = mmap(NULL, SIDE_MEMORY_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, s->memory_fd,
			   0);
	CHECK(conf.memory != MAP_FAILED);
	s->call[0] = s->call[1] = -1;
	frontend_init(&s->front, &conf);
	return s;
}

void
side_destroy(struct side *s)
{
	frontend_fini(&s->front);
	for (unsigned int ring = 0; ring < 2; ring++)
		if (s->call[ring] >= 0)
			close(s->call[ring]);
	if (s->front.conf.inflight_len)
		close(s->front.conf.inflight_fd);
	munmap(s->front.conf.memory, SIDE_MEMORY_LEN);
	close(s->memory_fd);
	free(s);
}

void
side_track(struct side *s)
{
	int fd = memfd_create("side-inflight", MFD_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, INFLIGHT_LEN), 0);
	s->front.conf.inflight_fd = fd;
	s->front.conf.inflight_len = INFLIGHT_LEN;
}

void
side_connect(struct side *s, const char *path)
{
	frontend_connect(&s->front, path);
}

void
side_disconnect(struct side *s)
{
	frontend_disconnect(&s->front);
}

int
side_only_connect(const char *path)
{
	return peer_connect(path);
}

bool
side_is_closed(int sock, int ms)
{
	return peer_is_closed(sock, ms);
}

/* ---- packets -------------------------------------------------------------------------------- */

static struct driver *
driver_of(struct side *s, unsigned int ring)
{
	return ring == SIDE_RX ? &s->front.rx : &s->front.tx;
}

/* They are used again after 256: by then they are the driver's. */
static uint64_t
next_buffer(struct side *s)
{
	uint32_t offset = BUFFERS_AT + s->next_buffer++ % 256 * BUFFER_LEN;

	return FRONTEND_AT + offset;
}

static uint8_t *
host_of(struct side *s, uint64_t at)
{
	return s->front.conf.memory + (at - FRONTEND_AT);
}

static void
post(struct side *s, unsigned int ring, uint64_t at, uint32_t len)
{
	const struct piece piece = { at, len, ring == SIDE_RX };

	s->at[ring][driver_post(driver_of(s, ring), &piece, 1)] = at;
}

void
side_send(struct side *s, const void *frame, uint32_t len)
{
	uint64_t at = next_buffer(s);

	memset(host_of(s, at), 0, SIDE_HDR_LEN);
	memcpy(host_of(s, at) + SIDE_HDR_LEN, frame, len);
	post(s, SIDE_TX, at, SIDE_HDR_LEN + len);
	driver_publish(&s->front.tx);
}

void
side_post(struct side *s, unsigned int n, uint32_t len)
{
	for (unsigned int i = 0; i < n; i++)
		post(s, SIDE_RX, next_buffer(s), SIDE_HDR_LEN + len);
	driver_publish(&s->front.rx);
}

uint32_t
side_receive(struct side *s, void *frame, uint32_t len)
{
	struct used_entry used;

	if (!driver_collect(&s->front.rx, &used))
		return 0;
	CHECK(used.len >= SIDE_HDR_LEN && used.len - SIDE_HDR_LEN <= len);
	memcpy(frame, host_of(s, s->at[SIDE_RX][used.id]) + SIDE_HDR_LEN, used.len - SIDE_HDR_LEN);
	return used.len - SIDE_HDR_LEN;
}

unsigned int
side_reap(struct side *s)
{
	struct used_entry used;
	unsigned int nr = 0;

	while (driver_collect(&s->front.tx, &used))
		nr++;
	return nr;
}

/* ---- notifications -------------------------------------------------------------------------- */

void
side_want_calls(struct side *s, unsigned int ring)
{
	const uint64_t index = ring;
	const struct peer_message m = peer_message(VHOST_USER_SET_VRING_CALL, VHOST_USER_VERSION,
						   &index, sizeof(index));

	if (s->call[ring] < 0)
		s->call[ring] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	peer_send_fds(s->front.sock, &m, sizeof(m.header) + sizeof(index), &s->call[ring], 1);
	side_say(s, VHOST_USER_GET_FEATURES, NULL, 0, &(uint64_t){ 0 });
	driver_want_calls(driver_of(s, ring), true);
	side_nr_calls(s, ring);
}

uint64_t
side_nr_calls(struct side *s, unsigned int ring)
{
	uint64_t nr = 0;

	return read(s->call[ring], &nr, sizeof(nr)) == sizeof(nr) ? nr : 0;
}

bool
side_kicks_refused(struct side *s, unsigned int ring)
{
	return driver_kicks_refused(driver_of(s, ring));
}

/* ---- messages ------------------------------------------------------------------------------- */

static uint64_t
receive_u64(struct side *s, uint32_t request)
{
	struct {
		struct vhost_user_header header;
		uint64_t value;
	} __attribute__((packed)) reply;

	CHECK_EQ(recv(s->front.sock, &reply, sizeof(reply), MSG_WAITALL), sizeof(reply));
	CHECK_EQ(reply.header.request, request);
	return reply.value;
}

void
side_say(struct side *s, uint32_t request, const void *payload, uint32_t size, uint64_t *reply)
{
	peer_request(s->front.sock, request, VHOST_USER_VERSION, payload, size, 0);
	if (reply)
		*reply = receive_u64(s, request);
}

uint64_t
side_ack(struct side *s, uint32_t request, const void *payload, uint32_t size)
{
	peer_request(s->front.sock, request, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY_MASK,
		     payload, size, 0);
	return receive_u64(s, request);
}

void
side_ask(struct side *s, uint32_t request, void *payload, uint32_t size)
{
	struct peer_message m;
	const ssize_t reply_size = (ssize_t)(sizeof(m.header) + size);

	side_say(s, request, payload, size, NULL);
	CHECK_EQ(recv(s->front.sock, &m, (size_t)reply_size, MSG_WAITALL), reply_size);
	CHECK(m.header.request == request && m.header.size == size);
	memcpy(payload, m.payload, size);
}

void
side_say_fd(struct side *s, uint32_t request, const void *payload, uint32_t size, int fd,
	    uint32_t reply_len)
{
	struct peer_message m = peer_message(request, VHOST_USER_VERSION, payload, size);
	const ssize_t reply_size = (ssize_t)(sizeof(m.header) + reply_len);

	peer_send_fds(s->front.sock, &m, sizeof(m.header) + size, &fd, 1);
	if (!reply_len)
		return;
	CHECK_EQ(recv(s->front.sock, &m, (size_t)reply_size, MSG_WAITALL), reply_size);
	CHECK_EQ(m.header.request, request);
}

int
side_open_channel(struct side *s)
{
	int ends[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	side_say_fd(s, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, ends[1], 0);
	close(ends[1]);
	side_say(s, VHOST_USER_GET_FEATURES, NULL, 0, &(uint64_t){ 0 });
	return ends[0];
}

uint32_t
side_serve_channel(int channel, uint64_t result)
{
	struct peer_message m;

	if (!peer_is_readable(channel, 5000))
		return 0;
	CHECK_EQ(recv(channel, &m.header, sizeof(m.header), MSG_WAITALL), sizeof(m.header));
	CHECK(m.header.size <= sizeof(m.payload));
	if (m.header.size)
		CHECK_EQ(recv(channel, m.payload, m.header.size, MSG_WAITALL), m.header.size);
	if (m.header.flags & VHOST_USER_NEED_REPLY_MASK) {
		m = peer_message(m.header.request, VHOST_USER_VERSION | VHOST_USER_REPLY_MASK,
				 &result, sizeof(result));
		peer_send(channel, &m, sizeof(m.header) + sizeof(result), 0);
	}
	return m.header.request;
}

uint32_t
side_stop_ring(struct side *s, uint32_t ring)
{
	const struct vhost_vring_state state = { ring, 0 };
	uint64_t reply;

	side_say(s, VHOST_USER_GET_VRING_BASE, &state, sizeof(state), &reply);
	CHECK_EQ((uint32_t)reply, ring);
	return (uint32_t)(reply >> 32);
}

/* ---- memory --------------------------------------------------------------------------------- */

uint64_t
side_guest_address(struct side *s, uint64_t offset)
{
	(void)s;
	return FRONTEND_AT + offset;
}

uint8_t *
side_memory(struct side *s)
{
	return s->front.conf.memory;
}
