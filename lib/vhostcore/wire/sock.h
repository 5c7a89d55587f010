/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sock.h - Unix sockets: listen, connect, accept, exact receive and whole send, with descriptors.
 *
 * Knows:   AF_UNIX stream sockets and SCM_RIGHTS; nothing of messages.
 * Trusts:  the kernel. Bytes and descriptors that arrive are the caller's to judge.
 * Runs on: control thread, and application threads that hold the loop's lock. Nothing here blocks:
 *          every descriptor is non-blocking and close-on-exec.
 *
 * Functions with a `reason` write a sentence there (SOCK_REASON_LEN bytes) when they fail: what is
 * wrong and what to change.
 */
#ifndef VHC_WIRE_SOCK_H
#define VHC_WIRE_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "../base/compiler.h"

#define SOCK_PATH_LEN	108	/* struct sockaddr_un.sun_path, with its final NUL */
#define SOCK_REASON_LEN	448
#define SOCK_FDS_MAX	32	/* most descriptors received in one call */
#define SOCK_PEER_LEN	64

/* A listening socket and the file it put on the file system. fd -1: not listening. */
struct sock_listener {
	int fd;
	char path[SOCK_PATH_LEN];
	dev_t dev;		/* identity of our socket file */
	ino_t ino;
};

/*
 * Bind and listen. A socket file nobody listens on is replaced; anything else at `path` stays.
 * -ENAMETOOLONG, -ENOTSOCK, -EADDRINUSE (the reason names who listens), or what bind(2) says.
 */
int vhc_sock_listen(const char *path, struct sock_listener *l, char *reason) VHC_MUST_USE;

/*
 * Whose descriptor `fd` is a Unix stream socket: make it one like ours, and tell which kind it is.
 * -EBADF, -ENOTSOCK, -EINVAL.
 */
int vhc_sock_adopt(int fd, bool *is_listening, pid_t *peer, char *reason) VHC_MUST_USE;

/* Stop listening, and remove the socket file if it is still ours. Idempotent. */
void vhc_sock_unlisten(struct sock_listener *l);

/* Accept one connection. -EAGAIN: none is waiting. `peer` is 0 when the kernel does not tell. */
int vhc_sock_accept(int listen_fd, int *sock, pid_t *peer) VHC_MUST_USE;

/* Connect at once or fail. */
int vhc_sock_connect(const char *path, int *sock, pid_t *peer, char *reason) VHC_MUST_USE;

/*
 * Receive up to `want` bytes, never more, and the descriptors that travel with them; the caller
 * owns those. `fds` has room for SOCK_FDS_MAX. Returns the number of bytes, 0 at end of stream,
 * -EAGAIN, or all descriptors are closed because more than that came (-EMSGSIZE), or more than
 * this process may have open (-EMFILE).
 */
ssize_t vhc_sock_receive(int sock, void *bytes, size_t want, int *fds, unsigned int *nr_fds)
	VHC_MUST_USE;

/*
 * Send all of `parts` in one go, the descriptors (at most SOCK_FDS_MAX, they stay the caller's)
 * with the first byte. -EAGAIN: it did not fit, the peer does not read what we send it; part of it
 * may have gone, so the connection is of no use any more.
 */
int vhc_sock_send(int sock, struct iovec *parts, unsigned int nr_parts, const int *fds,
		  unsigned int nr_fds) VHC_MUST_USE;

/* "process 4711 (qemu-system-x86)" into `text`, SOCK_PEER_LEN bytes. Returns `text`. */
char *vhc_sock_peer_text(pid_t peer, char *text);

/* The directory part of a path (or "." or "/") into `dir`, and where the file's name starts. */
const char *vhc_sock_split_path(const char *path, char dir[SOCK_PATH_LEN]);

#endif
