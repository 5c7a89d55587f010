/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_state.c - what a device keeps of its driver, carried to another back-end by the front-end.
 *
 * Knows:   pipes and sockets; that the class or the application makes the bytes, and judges them.
 * Trusts:  nothing that arrives, and no front-end to read or write what it said it would.
 * Runs on: control thread, under the loop's lock.
 *
 * The bytes go when there is room for them and come when they are there: a front-end that does not
 * get on with it holds up nobody but itself. CHECK_DEVICE_STATE waits for the end, and tells.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/fd.h"
#include "../base/log.h"

#define STATE_MAX	(UINT32_C(1) << 20)
#define CHUNK		4096
#define PATIENCE_MS	10000

struct state_transfer {
	struct vhc_device *dev;
	int fd;			/* -1: it is over */
	bool is_socket;
	bool is_load;
	uint64_t watch;
	uint64_t timer;
	uint32_t len;
	uint32_t at;		/* sent so far */
	int rc;			/* how it ended */
	uint8_t bytes[STATE_MAX];
};

/* ---- the end -------------------------------------------------------------------------------- */

static void
stop_moving(struct state_transfer *t)
{
	vhc_loop_unwatch(t->dev->loop, &t->watch);
	vhc_loop_cancel(t->dev->loop, &t->timer);
	fd_close(&t->fd);
}

void
vhc_state_transfer_destroy(struct state_transfer *t)
{
	if (!t)
		return;
	stop_moving(t);
	free(t);
}

/* CHECK_DEVICE_STATE may wait for this. May end the session. */
static void
end(struct state_transfer *t, int rc, const char *why)
{
	const char *what = t->is_load ? "loaded" : "saved";

	stop_moving(t);
	t->rc = rc;
	if (rc == 0)
		log_info(t->dev->name, "device state: %s, %u bytes", what, t->len);
	else
		log_warn(t->dev->name, "device state: not %s after %u bytes: %s", what,
			 t->is_load ? t->len : t->at, why);
	vhc_session_resume(t->dev->session);
}

static void
on_timeout(void *arg)
{
	struct state_transfer *t = arg;

	t->timer = 0;
	end(t, -ETIMEDOUT, t->is_load ? "the front-end does not close its end of the pipe" :
		"the front-end does not read the pipe");
}

/* ---- save ----------------------------------------------------------------------------------- */

static int
make_state(struct vhc_device *dev, struct state_transfer *t)
{
	int rc;

	if (dev->cls->state_save) {
		t->len = dev->cls->state_save(dev->state, t->bytes);
		return 0;
	}
	rc = dev->ops.state_save(dev, t->bytes, STATE_MAX, &t->len, dev->ops_arg);
	return rc == 0 && t->len > STATE_MAX ? -EFBIG : rc;
}

/* Into a pipe that nobody reads any more: an error, and no signal. */
static ssize_t
write_quietly(int fd, const uint8_t *from, uint32_t len)
{
	const struct timespec at_once = { 0 };
	sigset_t pipe, old, pending;
	ssize_t done;
	int err;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe, &old);
	done = write(fd, from, len);
	err = errno;
	if (done < 0 && err == EPIPE && !sigismember(&pending, SIGPIPE))
		sigtimedwait(&pipe, NULL, &at_once);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = err;
	return done;
}

static ssize_t
send_some(const struct state_transfer *t)
{
	const uint8_t *from = t->bytes + t->at;
	uint32_t len = t->len - t->at;

	return t->is_socket ? send(t->fd, from, len, MSG_DONTWAIT | MSG_NOSIGNAL) :
			      write_quietly(t->fd, from, len);
}

static void
on_writable(uint32_t events, void *arg)
{
	struct state_transfer *t = arg;
	ssize_t done = t->at < t->len ? send_some(t) : 0;

	(void)events;
	if (done < 0 && errno != EAGAIN && errno != EINTR) {
		end(t, -errno, strerror(errno));
		return;
	}
	t->at += done > 0 ? (uint32_t)done : 0;
	if (t->at == t->len)
		end(t, 0, "");
}

/* ---- load ----------------------------------------------------------------------------------- */

/* NULL: it is the device's now. */
static const char *
take_state(struct vhc_device *dev, const struct state_transfer *t)
{
	int rc;

	if (dev->cls->state_load)
		return dev->cls->state_load(dev->state, dev->nr_data_rings, t->bytes, t->len);
	rc = dev->ops.state_load(dev, t->bytes, t->len, dev->ops_arg);
	return rc ? strerror(-rc) : NULL;
}

static void
end_load(struct state_transfer *t)
{
	const char *why = take_state(t->dev, t);

	t->dev->session->has_loaded_state = !why;
	end(t, why ? -EINVAL : 0, why);
}

static void
on_readable(uint32_t events, void *arg)
{
	struct state_transfer *t = arg;
	uint8_t beyond[CHUNK], *to = t->len < STATE_MAX ? t->bytes + t->len : beyond;
	uint32_t room = t->len < STATE_MAX ? STATE_MAX - t->len : sizeof(beyond);
	ssize_t got = t->is_socket ? recv(t->fd, to, room, MSG_DONTWAIT) : read(t->fd, to, room);

	(void)events;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0)
		end(t, -errno, strerror(errno));
	else if (got == 0)
		end_load(t);
	else if (to == beyond)
		end(t, -EFBIG, "there is more of it than any device has");
	else
		t->len += (uint32_t)got;
}

/* ---- begin ---------------------------------------------------------------------------------- */

/*
 * A descriptor whose flags are ours alone, as the front-end could make the one it shares with us
 * block. A socket needs none: there each call says that it must not.
 */
static int
open_own(struct state_transfer *t, int fd)
{
	char path[32];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	t->is_socket = S_ISSOCK(st.st_mode);
	if (!t->is_socket && !S_ISFIFO(st.st_mode))
		return -EMEDIUMTYPE;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	t->fd = t->is_socket ? fcntl(fd, F_DUPFD_CLOEXEC, 0) :
		open(path, (t->is_load ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_CLOEXEC);
	return t->fd < 0 ? -errno : 0;
}

static int
begin(struct vhc_device *dev, int fd, struct state_transfer *t)
{
	int rc = t->is_load ? 0 : make_state(dev, t);

	if (rc == 0)
		rc = open_own(t, fd);
	if (rc == 0)
		rc = vhc_loop_timer(dev->loop, PATIENCE_MS, on_timeout, t, &t->timer);
	if (rc == 0)
		rc = vhc_loop_watch(dev->loop, t->fd, t->is_load ? EPOLLIN : EPOLLOUT,
				    t->is_load ? on_readable : on_writable, t, &t->watch);
	return rc;
}

/* Why it cannot be, or NULL. */
static const char *
objection(const struct vhc_device *dev, const struct vhost_user_state_fd *raw)
{
	if (raw->direction > VHOST_USER_STATE_LOAD)
		return "there is no such direction: 0 saves, 1 loads";
	if (raw->phase != VHOST_USER_STATE_STOPPED)
		return "there is no such phase: 0, a device that is stopped, is the only one";
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		if (dev->queues[i]->running)
			return "rings run; the front-end must stop them with GET_VRING_BASE first";
	return NULL;
}

static void
answer_error(struct vhc_device *dev, struct reply *reply, const char *why)
{
	log_warn(dev->name, "SET_DEVICE_STATE_FD: %s", why);
	reply->payload.u64 = VHOST_USER_STATE_ERROR | VHOST_USER_VRING_NOFD_MASK;
}

/* No reason to end the conversation: the reply has room for an error. */
int
vhc_on_set_device_state_fd(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	const struct vhost_user_state_fd *raw = &msg->payload.state_fd;
	const char *why = objection(dev, raw);
	struct session *s = dev->session;
	int rc;

	reply->len = sizeof(uint64_t);
	reply->payload.u64 = VHOST_USER_VRING_NOFD_MASK;
	vhc_state_transfer_destroy(s->transfer);
	s->transfer = why ? NULL : malloc(sizeof(*s->transfer));
	if (!s->transfer) {
		answer_error(dev, reply, why ? why : strerror(ENOMEM));
		return 0;
	}
	memset(s->transfer, 0, offsetof(struct state_transfer, bytes));
	s->transfer->dev = dev;
	s->transfer->fd = -1;
	s->transfer->is_load = raw->direction == VHOST_USER_STATE_LOAD;
	rc = begin(dev, msg->fds[0], s->transfer);
	if (rc == 0)
		return 0;
	answer_error(dev, reply, rc == -EMEDIUMTYPE ?
		     "what came with it is neither a pipe nor a socket" : strerror(-rc));
	vhc_state_transfer_destroy(s->transfer);
	s->transfer = NULL;
	return 0;
}

int
vhc_on_check_device_state(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	const struct state_transfer *t = dev->session->transfer;

	(void)msg;
	if (t && t->fd >= 0)
		return -EINPROGRESS;
	if (!t)
		log_warn(dev->name, "CHECK_DEVICE_STATE: no transfer was begun, or it was refused");
	reply->payload.u64 = !t || t->rc ? VHOST_USER_STATE_ERROR : 0;
	reply->len = sizeof(uint64_t);
	return 0;
}
