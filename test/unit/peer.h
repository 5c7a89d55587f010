/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peer.h - the other side of the socket, for unit tests: plain blocking system calls, made to send
 * what a well-behaved front-end would not.
 */
#ifndef TEST_PEER_H
#define TEST_PEER_H

#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first include"
#endif

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "check.h"
#include "spec/vhost_user.h"

#define PEER_FDS_MAX 64

static inline int
peer_nr_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int nr = 0;

	CHECK(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr - 3;	/* ".", ".." and the directory itself */
}

static char peer_folder[] = "/tmp/vhostx-unit-XXXXXX";

/* main() calls these two around the tests: a folder for sockets. */
static inline void
peer_make_folder(void)
{
	CHECK(mkdtemp(peer_folder));
}

/* Fails if a test left something in it. */
static inline void
peer_remove_folder(void)
{
	CHECK_EQ(rmdir(peer_folder), 0);
}

struct peer_path {
	char text[108];
};

static inline struct peer_path
peer_path(const char *name)
{
	struct peer_path path;

	snprintf(path.text, sizeof(path.text), "%s/%s", peer_folder, name);
	return path;
}

static inline struct sockaddr_un
peer_address(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	CHECK(strlen(path) < sizeof(addr.sun_path));
	memcpy(addr.sun_path, path, strlen(path));
	return addr;
}

static inline int
peer_bind(const char *path)
{
	struct sockaddr_un addr = peer_address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static inline int
peer_listen(const char *path)
{
	int fd = peer_bind(path);

	CHECK_EQ(listen(fd, 4), 0);
	return fd;
}

static inline int
peer_connect(const char *path)
{
	struct sockaddr_un addr = peer_address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* Bytes, with `nr_fds` descriptors if that is not 0. */
static inline void
peer_send_fds(int sock, const void *bytes, size_t len, const int *fds, unsigned int nr_fds)
{
	char control[CMSG_SPACE(PEER_FDS_MAX * sizeof(int))] __attribute__((aligned(16))) = { 0 };
	struct iovec part = { (void *)(uintptr_t)bytes, len };
	struct msghdr mh = { .msg_iov = &part, .msg_iovlen = 1 };

	CHECK(nr_fds <= PEER_FDS_MAX);
	if (nr_fds) {
		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nr_fds * sizeof(int));
	}
	CHECK_EQ(sendmsg(sock, &mh, MSG_NOSIGNAL), (ssize_t)len);
}

/* The same with fresh descriptors. */
static inline void
peer_send(int sock, const void *bytes, size_t len, unsigned int nr_fds)
{
	int fds[PEER_FDS_MAX] = { 0 };
	int fd = nr_fds ? eventfd(0, EFD_CLOEXEC) : -1;

	CHECK(nr_fds <= PEER_FDS_MAX);
	CHECK(!nr_fds || fd >= 0);
	for (unsigned int i = 0; i < nr_fds; i++)
		fds[i] = fd;
	peer_send_fds(sock, bytes, len, fds, nr_fds);
	if (fd >= 0)
		close(fd);
}

struct peer_message {
	struct vhost_user_header header;
	uint8_t payload[sizeof(union vhost_user_payload)];
};

/* NULL: a payload of zeros. */
static inline struct peer_message
peer_message(uint32_t request, uint32_t flags, const void *payload, uint32_t size)
{
	struct peer_message m = { .header = { request, flags, size } };

	CHECK(size <= sizeof(m.payload));
	if (payload)
		memcpy(m.payload, payload, size);
	return m;
}

/* A whole message with fresh descriptors. */
static inline void
peer_request(int sock, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
	     unsigned int nr_fds)
{
	struct peer_message m = peer_message(request, flags, payload, size);

	peer_send(sock, &m, sizeof(m.header) + size, nr_fds);
}

/* Becomes readable (or ends) within `ms`. */
static inline bool
peer_is_readable(int sock, int ms)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* The other side has closed the connection, or does so within `ms`. */
static inline bool
peer_is_closed(int sock, int ms)
{
	char byte;

	return peer_is_readable(sock, ms) && recv(sock, &byte, 1, MSG_DONTWAIT) <= 0;
}

static inline double
peer_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static inline void
peer_sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&ts, NULL);
}

#endif
