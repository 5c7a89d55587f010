/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * talk.c - see talk.h.
 */
#include "talk.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* Whoever called listen(), as the kernel noted it then. */
static int
find_cpu_clock(struct backend *b)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(b->sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	    clock_getcpuclockid(peer.pid, &b->cpu_clock) == 0)
		return 0;
	fprintf(stderr, "%s: whose process it is cannot be told, so nor what CPU time it takes\n",
		b->name);
	return -1;
}

int
talk_connect(struct backend *b)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(b->path) >= sizeof(addr.sun_path)) {
		fprintf(stderr, "%s: a socket's path has at most %zu bytes\n", b->name,
			sizeof(addr.sun_path) - 1);
		return -1;
	}
	memcpy(addr.sun_path, b->path, strlen(b->path));
	b->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (b->sock < 0 ||
	    setsockopt(b->sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    setsockopt(b->sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience))) {
		fprintf(stderr, "%s: no socket: %m\n", b->name);
		return -1;
	}
	if (connect(b->sock, (struct sockaddr *)&addr, sizeof(addr))) {
		fprintf(stderr, "%s: nobody to talk to at %s: %m\n", b->name, b->path);
		return -1;
	}
	return find_cpu_clock(b);
}

static int
lost(const struct backend *b, struct request_name request)
{
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		fprintf(stderr, "%s has not answered %s for %d seconds\n", b->name, request.text,
			PATIENCE_S);
	else
		fprintf(stderr, "%s has closed the connection at %s\n", b->name, request.text);
	return -1;
}

static int
say(const struct backend *b, struct request_name request, uint32_t flags, const void *payload,
    uint32_t size, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(16))) = { 0 };
	struct vhost_user_header header = { request.id, VHOST_USER_VERSION | flags, size };
	struct iovec parts[] = {
		{ &header, sizeof(header) }, { (void *)(uintptr_t)payload, size },
	};
	struct msghdr mh = { .msg_iov = parts, .msg_iovlen = 2 };

	if (fd >= 0) {
		struct cmsghdr *c;

		mh.msg_control = control;
		mh.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&mh);
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
				       .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(b->sock, &mh, MSG_NOSIGNAL) == (ssize_t)(sizeof(header) + size)
		? 0 : lost(b, request);
}

static int
hear(const struct backend *b, struct request_name request, void *answer, uint32_t size)
{
	struct vhost_user_header header;

	errno = 0;
	if (recv(b->sock, &header, sizeof(header), MSG_WAITALL) != sizeof(header))
		return lost(b, request);
	if (header.request != request.id || !(header.flags & VHOST_USER_REPLY_MASK) ||
	    header.size != size) {
		fprintf(stderr, "%s: the answer to %s is request %u with %u bytes\n", b->name,
			request.text, header.request, header.size);
		return -1;
	}
	return recv(b->sock, answer, size, MSG_WAITALL) == (ssize_t)size ? 0 : lost(b, request);
}

int
talk_tell(const struct backend *b, struct request_name request, const void *payload, uint32_t size,
	  int fd)
{
	uint64_t refusal;

	if (say(b, request, b->acks ? VHOST_USER_NEED_REPLY_MASK : 0, payload, size, fd))
		return -1;
	if (!b->acks)
		return 0;
	if (hear(b, request, &refusal, sizeof(refusal)))
		return -1;
	if (refusal)
		fprintf(stderr, "%s refuses %s\n", b->name, request.text);
	return refusal ? -1 : 0;
}

int
talk_tell_u64(const struct backend *b, struct request_name request, uint64_t value)
{
	return talk_tell(b, request, &value, sizeof(value), -1);
}

int
talk_ask(const struct backend *b, struct request_name request, const void *payload, uint32_t size,
	 void *answer, uint32_t answer_size)
{
	return say(b, request, 0, payload, size, -1) ? -1 : hear(b, request, answer, answer_size);
}

int
talk_ask_u64(const struct backend *b, struct request_name request, uint64_t *value)
{
	return talk_ask(b, request, NULL, 0, value, sizeof(*value));
}
