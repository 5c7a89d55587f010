/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * logged.c - what it costs a back-end to note what it writes, while a guest is moved.
 *
 * Knows:   the messages that begin and end that, which DPDK's virtio-user never sends.
 * Trusts:  the drivers it loads.
 * Runs on: the main thread.
 *
 * The front-end is in this process, and so is its end of the socket. We overhear what it says, and
 * between two of its messages say what QEMU would. A round is taken twice, without a log and with
 * one; its figures are what the second takes, as a share of the first.
 */
#define _GNU_SOURCE 1

#include "bench.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "spec/vhost_user.h"

/* Guest addresses are virtio-user's own, here: a bitmap for the first 256 GiB of them. */
#define LOG_LEN (UINT64_C(8) << 20)
#define TALKS_MAX 1024
#define RINGS_MAX (2 * BENCH_MAX_QUEUES)

/* What a front-end of this process has said last, by its descriptor. */
static struct talk {
	uint64_t features;
	uint64_t protocol;
	struct vhost_vring_addr rings[RINGS_MAX];
} talks[TALKS_MAX];

static int log_fd = -1;

struct message {
	struct vhost_user_header head;
	union vhost_user_payload payload;
} __attribute__((packed));

/* ---- overhear ------------------------------------------------------------------------------- */

static void
overhear(struct talk *t, const struct message *m)
{
	const struct vhost_vring_addr addr = m->payload.addr;

	if (m->head.request == VHOST_USER_SET_FEATURES)
		t->features = m->payload.u64;
	else if (m->head.request == VHOST_USER_SET_PROTOCOL_FEATURES)
		t->protocol = m->payload.u64;
	else if (m->head.request == VHOST_USER_SET_VRING_ADDR && addr.index < RINGS_MAX)
		t->rings[addr.index] = addr;
}

/* In place of the C library's, for the drivers too: an executable's functions come first. */
ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
	static ssize_t (*real)(int, const struct msghdr *, int);
	struct message m = { 0 };
	size_t len;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "sendmsg");
	if (msg->msg_iovlen == 1 && fd >= 0 && fd < TALKS_MAX) {
		len = msg->msg_iov[0].iov_len;
		memcpy(&m, msg->msg_iov[0].iov_base, len < sizeof(m) ? len : sizeof(m));
		overhear(&talks[fd], &m);
	}
	return real(fd, msg, flags);
}

/* The front-end's end of a pair's socket, or -1. */
static int
socket_of(const struct bench_pair *pair)
{
	for (int fd = 0; fd < TALKS_MAX; fd++) {
		struct sockaddr_un peer = { 0 };
		socklen_t len = sizeof(peer);

		if (talks[fd].features && getpeername(fd, (void *)&peer, &len) == 0 &&
		    strcmp(peer.sun_path, pair->socket_path) == 0)
			return fd;
	}
	return -1;
}

/* ---- speak ---------------------------------------------------------------------------------- */

static int
say(int sock, uint32_t request, const void *payload, uint32_t len, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct message m = { .head = { request, VHOST_USER_VERSION, len } };
	struct iovec part = { &m, sizeof(m.head) + len };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };

	memcpy(&m.payload, payload, len);
	if (fd >= 0) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		*CMSG_FIRSTHDR(&msg) = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &fd, sizeof(fd));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) == (ssize_t)part.iov_len ? 0 : -1;
}

/* What it says does not matter, but that all before it was done. */
static int
hear(int sock)
{
	struct message m;

	if (recv(sock, &m.head, sizeof(m.head), MSG_WAITALL) != sizeof(m.head) ||
	    m.head.size > sizeof(m.payload))
		return -1;
	if (!m.head.size)
		return 0;	/* DPDK's answer to SET_LOG_BASE; to receive nothing would wait */
	return recv(sock, &m.payload, m.head.size, MSG_WAITALL) == (ssize_t)m.head.size ? 0 : -1;
}

static int
say_u64(int sock, uint32_t request, uint64_t value)
{
	return say(sock, request, &value, sizeof(value), -1);
}

static int
name_log(int sock, const struct talk *t)
{
	const struct vhost_user_log log = { .size = LOG_LEN };

	if (log_fd < 0) {
		log_fd = memfd_create("log", MFD_CLOEXEC);
		if (log_fd < 0 || ftruncate(log_fd, (off_t)LOG_LEN) < 0)
			return -1;
	}
	if (say_u64(sock, VHOST_USER_SET_PROTOCOL_FEATURES,
		    t->protocol | RTE_BIT64(VHOST_USER_PROTOCOL_F_LOG_SHMFD_BIT)) ||
	    say(sock, VHOST_USER_SET_LOG_BASE, &log, sizeof(log), log_fd))
		return -1;
	return hear(sock);
}

/* In QEMU's order. */
static int
switch_pair(const struct bench_pair *pair, bool on)
{
	int sock = socket_of(pair);
	struct talk t;

	if (sock < 0)
		return -1;
	t = talks[sock];
	t.features &= ~RTE_BIT64(VHOST_F_LOG_ALL_BIT);
	if (on && name_log(sock, &t))
		return -1;
	if (say_u64(sock, VHOST_USER_SET_FEATURES,
		    t.features | (on ? RTE_BIT64(VHOST_F_LOG_ALL_BIT) : 0)))
		return -1;
	for (unsigned int i = 0; i < RINGS_MAX && t.rings[i].desc_user_addr; i++) {
		struct vhost_vring_addr addr = t.rings[i];

		addr.flags = on ? 1u << VHOST_VRING_F_LOG_BIT : 0;
		addr.log_guest_addr = on ? addr.used_user_addr : 0;
		if (say(sock, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1))
			return -1;
	}
	return say(sock, VHOST_USER_GET_FEATURES, NULL, 0, -1) ? -1 : hear(sock);
}

static int
switch_side(const struct bench_side *side, bool on)
{
	for (unsigned int i = 0; i < side->nr_pairs; i++) {
		if (switch_pair(&side->pairs[i], on)) {
			fprintf(stderr, "%s does not log what it writes\n",
				side->pairs[i].back_name);
			return -1;
		}
	}
	return 0;
}

/* Was anything marked? Else what was measured is not what it is called. */
static bool
has_marks(void)
{
	uint64_t *bits = mmap(NULL, LOG_LEN, PROT_READ, MAP_SHARED, log_fd, 0);
	uint64_t all = 0;

	if (bits == MAP_FAILED)
		return false;
	for (uint64_t i = 0; i < LOG_LEN / sizeof(*bits); i++)
		all |= bits[i];
	munmap(bits, LOG_LEN);
	return all;
}

/* What is touched for the first time since the switch is not what it costs from then on. */
static int
round_warmed_up(const struct bench_side *side, const struct bench_shot *shot,
		struct bench_sample *sample)
{
	struct bench_shot warm = *shot;

	warm.nr_bursts = shot->nr_bursts / 4 + 1;
	return bench_round_single(side, &warm, sample) || bench_round_single(side, shot, sample) ?
	       -1 : 0;
}

int
bench_round_logged(const struct bench_side *side, const struct bench_shot *shot,
		   struct bench_sample *sample)
{
	struct bench_sample plain, logged;

	if (round_warmed_up(side, shot, &plain) || switch_side(side, true) ||
	    round_warmed_up(side, shot, &logged) || switch_side(side, false))
		return -1;
	if (!has_marks()) {
		fprintf(stderr, "%s marked nothing\n", side->pairs[0].back_name);
		return -1;
	}
	for (unsigned int i = 0; i < BENCH_KINDS; i++)
		sample->value[i] = 100 * logged.value[i] / plain.value[i];
	return 0;
}
