/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sock.c - the only place that makes, names and moves bytes over sockets.
 *
 * Knows:   AF_UNIX, SCM_RIGHTS, SO_PEERCRED.
 * Trusts:  the kernel.
 * Runs on: control thread, and application threads that hold the loop's lock.
 */
#define _GNU_SOURCE 1	/* accept4(), struct ucred */

#include "sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../base/fd.h"

/* Front-ends come one at a time; a short queue tells the others early that nobody accepts. */
#define BACKLOG 8

static_assert(SOCK_PATH_LEN == sizeof(((struct sockaddr_un *)0)->sun_path), "unix(7)");

static int VHC_PRINTF(3, 4)
refuse(char *reason, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reason, SOCK_REASON_LEN, format, args);
	va_end(args);
	return err;
}

/* ---- what to say ---------------------------------------------------------------------------- */

const char *
vhc_sock_split_path(const char *path, char dir[SOCK_PATH_LEN])
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (!slash)
		strcpy(dir, ".");
	else if (len == 0)
		strcpy(dir, "/");
	else
		snprintf(dir, SOCK_PATH_LEN, "%.*s", (int)len, path);
	return slash ? slash + 1 : path;
}

char *
vhc_sock_peer_text(pid_t peer, char *text)
{
	char path[32], comm[17] = "?";
	FILE *file;

	if (peer <= 0) {
		snprintf(text, SOCK_PEER_LEN, "a process of another pid namespace");
		return text;
	}
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)peer);
	file = fopen(path, "re");
	if (file) {
		if (fgets(comm, sizeof(comm), file))
			comm[strcspn(comm, "\n")] = '\0';
		fclose(file);
	}
	snprintf(text, SOCK_PEER_LEN, "process %d (%s)", (int)peer, comm);
	return text;
}

/* Someone who reads "permission denied" needs to see whose permission, on what. */
static int
explain_denied(char *reason, int err, const char *what, const char *path, const char *object)
{
	struct stat st;

	if (stat(object, &st) < 0)
		return refuse(reason, err, "cannot %s %s: %s: a directory above it is closed to uid"
			      " %u gid %u; run as another user, or open it with chmod", what, path,
			      strerror(-err), (unsigned int)geteuid(), (unsigned int)getegid());
	return refuse(reason, err, "cannot %s %s: %s: we run as uid %u gid %u, but %s belongs to"
		      " uid %u gid %u with mode %04o; run as its owner, or use chown or chmod",
		      what, path, strerror(-err), (unsigned int)geteuid(), (unsigned int)getegid(),
		      object, (unsigned int)st.st_uid, (unsigned int)st.st_gid,
		      (unsigned int)st.st_mode & 07777);
}

static int
explain_bind(char *reason, int err, const char *path)
{
	char dir[SOCK_PATH_LEN], text[FD_ERROR_LEN];

	vhc_sock_split_path(path, dir);
	if (err == -EACCES || err == -EPERM)
		return explain_denied(reason, err, "listen on", path, dir);
	if (err == -ENOENT)
		return refuse(reason, err, "cannot listen on %s: the directory does not exist;"
			      " mkdir -p %s", path, dir);
	return refuse(reason, err, "cannot listen on %s: %s", path, vhc_fd_error_text(err, text));
}

#define START_FRONT_END "start the front-end in server mode" \
	" (QEMU: -chardev socket,...,server=on; virtio-user: server=1)"

static int
explain_connect(char *reason, int err, const char *path)
{
	char text[FD_ERROR_LEN];
	struct stat st;

	if (err == -EACCES || err == -EPERM)
		return explain_denied(reason, err, "connect to", path, path);
	if (err == -EAGAIN)
		return refuse(reason, err, "cannot connect to %s: the front-end does not accept; is"
			      " another back-end attached to it?", path);
	/* connect(2) says "refused" of a file that is no socket, too. */
	if (err == -ECONNREFUSED && stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return refuse(reason, err, "cannot connect to %s: it is not a socket; give the path"
			      " of the front-end's socket", path);
	if (err == -ENOENT || err == -ECONNREFUSED)
		return refuse(reason, err, "cannot connect to %s: %s; " START_FRONT_END, path,
			      strerror(-err));
	return refuse(reason, err, "cannot connect to %s: %s", path, vhc_fd_error_text(err, text));
}

/* ---- addresses ------------------------------------------------------------------------------ */

static int
address_of(const char *path, struct sockaddr_un *addr, char *reason)
{
	if (strlen(path) >= sizeof(addr->sun_path))
		return refuse(reason, -ENAMETOOLONG, "the socket path has %zu bytes, at most %zu"
			      " are possible; choose a shorter one: %.64s...", strlen(path),
			      sizeof(addr->sun_path) - 1, path);
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	strcpy(addr->sun_path, path);
	return 0;
}

static int
open_stream(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static pid_t
peer_of(int sock)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ? 0 : cred.pid;
}

/* A connected socket, or -errno. */
static int
connect_to(const struct sockaddr_un *addr)
{
	int sock = open_stream();

	if (sock < 0)
		return sock;
	if (connect(sock, (const struct sockaddr *)addr, sizeof(*addr)) < 0) {
		int err = -errno;

		close(sock);
		return err;
	}
	return sock;
}

/* ---- listen --------------------------------------------------------------------------------- */

/*
 * Make way for bind(): 0 when nothing is at the path any more. Whether a socket file is stale, only
 * connect() can tell.
 */
static int
clear_path(const struct sockaddr_un *addr, char *reason)
{
	const char *path = addr->sun_path;
	char who[SOCK_PEER_LEN] = "another process", text[FD_ERROR_LEN];
	struct stat st;
	int probe;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : explain_bind(reason, -errno, path);
	if (!S_ISSOCK(st.st_mode))
		return refuse(reason, -ENOTSOCK, "%s exists and is not a socket; it was left alone:"
			      " remove it, or choose another path", path);
	probe = connect_to(addr);
	if (probe == -ECONNREFUSED) {
		if (unlink(path) < 0 && errno != ENOENT)
			return explain_bind(reason, -errno, path);
		return 0;
	}
	if (probe == -EACCES || probe == -EPERM)
		return explain_denied(reason, probe, "examine the socket", path, path);
	if (probe < 0 && probe != -EAGAIN && probe != -EPROTOTYPE)
		return refuse(reason, probe, "cannot examine the socket %s: %s", path,
			      vhc_fd_error_text(probe, text));
	if (probe >= 0) {
		vhc_sock_peer_text(peer_of(probe), who);
		close(probe);
	}
	return refuse(reason, -EADDRINUSE, "%s listens on %s already; stop it, or choose another"
		      " path", who, path);
}

int
vhc_sock_listen(const char *path, struct sock_listener *l, char *reason)
{
	struct sockaddr_un addr;
	struct stat st;
	int rc;

	l->fd = -1;
	rc = address_of(path, &addr, reason);
	if (rc)
		return rc;
	rc = clear_path(&addr, reason);
	if (rc)
		return rc;
	l->fd = open_stream();
	if (l->fd < 0)
		return explain_bind(reason, l->fd, path);
	if (bind(l->fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		rc = explain_bind(reason, -errno, path);
		goto err_socket;
	}
	if (listen(l->fd, BACKLOG) < 0 || lstat(path, &st) < 0) {
		rc = explain_bind(reason, -errno, path);
		goto err_bind;
	}
	strcpy(l->path, path);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;

err_bind:
	unlink(path);
err_socket:
	fd_close(&l->fd);
	return rc;
}

static int
socket_option(int fd, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -errno : value;
}

static bool
is_connected(int fd)
{
	struct sockaddr_un peer;
	socklen_t len = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &len) == 0;
}

int
vhc_sock_adopt(int fd, bool *is_listening, pid_t *peer, char *reason)
{
	int domain = socket_option(fd, SO_DOMAIN);

	if (domain < 0)
		return refuse(reason, domain, "descriptor %d: %s; give that of a Unix socket", fd,
			      strerror(-domain));
	*is_listening = socket_option(fd, SO_ACCEPTCONN) == 1;
	if (domain != AF_UNIX || socket_option(fd, SO_TYPE) != SOCK_STREAM ||
	    (!*is_listening && !is_connected(fd)))
		return refuse(reason, -EINVAL, "descriptor %d is not a Unix stream socket that"
			      " listens or is connected", fd);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return refuse(reason, -errno, "descriptor %d: %s", fd, strerror(errno));
	*peer = *is_listening ? 0 : peer_of(fd);
	return 0;
}

void
vhc_sock_unlisten(struct sock_listener *l)
{
	struct stat st;

	if (l->fd < 0)
		return;
	/* Someone may have put another socket in its place; that one is not ours to remove. */
	if (lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	fd_close(&l->fd);
}

int
vhc_sock_accept(int listen_fd, int *sock, pid_t *peer)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return -errno;
	*sock = fd;
	*peer = peer_of(fd);
	return 0;
}

int
vhc_sock_connect(const char *path, int *sock, pid_t *peer, char *reason)
{
	struct sockaddr_un addr;
	int fd = address_of(path, &addr, reason);

	if (fd)
		return fd;
	fd = connect_to(&addr);
	if (fd < 0)
		return explain_connect(reason, fd, path);
	*sock = fd;
	*peer = peer_of(fd);
	return 0;
}

/* ---- bytes and descriptors ------------------------------------------------------------------ */

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(SOCK_FDS_MAX * sizeof(int))];
};

/* An SCM_RIGHTS without descriptors is legal: virtio-user attaches one to every message. */
static void
collect_fds(struct msghdr *mh, int *fds, unsigned int *nr_fds)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t len = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		/* The control buffer bounds the sum over all headers. */
		vhc_assert(*nr_fds + len / sizeof(int) <= SOCK_FDS_MAX);
		memcpy(fds + *nr_fds, CMSG_DATA(c), len);
		*nr_fds += (unsigned int)(len / sizeof(int));
	}
}

ssize_t
vhc_sock_receive(int sock, void *bytes, size_t want, int *fds, unsigned int *nr_fds)
{
	union control control;
	struct iovec part = { .iov_base = bytes, .iov_len = want };
	struct msghdr mh = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;
	int rc;

	*nr_fds = 0;
	do {
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	collect_fds(&mh, fds, nr_fds);
	if (!(mh.msg_flags & MSG_CTRUNC))
		return n;
	/* The kernel stops where there is no room: in our array, or among our open files. */
	rc = *nr_fds < SOCK_FDS_MAX ? -EMFILE : -EMSGSIZE;
	while (*nr_fds)
		fd_close(&fds[--*nr_fds]);
	return rc;
}

static void
attach_fds(struct msghdr *mh, union control *control, const int *fds, unsigned int nr_fds)
{
	struct cmsghdr *c;

	vhc_assert(nr_fds <= SOCK_FDS_MAX);
	if (nr_fds == 0)
		return;
	memset(control, 0, sizeof(*control));
	mh->msg_control = control;
	mh->msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
	c = CMSG_FIRSTHDR(mh);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
	memcpy(CMSG_DATA(c), fds, nr_fds * sizeof(int));
}

int
vhc_sock_send(int sock, struct iovec *parts, unsigned int nr_parts, const int *fds,
	      unsigned int nr_fds)
{
	union control control;
	struct msghdr mh = { .msg_iov = parts, .msg_iovlen = nr_parts };
	size_t want = 0;
	ssize_t n;

	for (unsigned int i = 0; i < nr_parts; i++)
		want += parts[i].iov_len;
	attach_fds(&mh, &control, fds, nr_fds);
	do {
		n = sendmsg(sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == want ? 0 : -EAGAIN;
}
