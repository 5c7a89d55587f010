/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ask.c - a secondary process asks the primary one about a port, which lives there alone.
 *
 * Knows:   EAL's messages between processes; an answer is a file, for a message has 256 bytes.
 * Trusts:  the other process as far as one must that writes to the same memory; still, lengths and
 *          numbers are looked at.
 * Runs on: answering: EAL's thread for messages, in the primary. Asking: any thread in a secondary
 *          but that one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include "vhostpmd.h"

#define ACTION		"net_vhostx"
#define PATIENCE_S	5

struct question {
	uint32_t layout;
	uint16_t what;		/* enum ask */
	uint16_t port_id;
	uint16_t ring;
};

struct answer {
	int32_t rc;
	uint32_t len;		/* of the file that comes with it; 0: none does */
};

_Static_assert(sizeof(struct question) <= RTE_MP_MAX_PARAM_LEN, "question");

/* ---- the primary answers -------------------------------------------------------------------- */

/* An answer under way. */
struct reply {
	void *bytes;
	size_t len;
};

static int
reply_room(struct reply *reply, size_t len)
{
	reply->bytes = calloc(1, len + 1);
	reply->len = reply->bytes ? len : 0;
	return reply->bytes ? 0 : -ENOMEM;
}

static int
reply_facts(struct rte_eth_dev *dev, uint16_t ring, struct reply *reply)
{
	int rc = reply_room(reply, sizeof(struct port_facts));

	(void)ring;
	if (rc == 0)
		vhostx_gather_facts(port_of(dev), reply->bytes);
	return rc;
}

static int
reply_ring(struct rte_eth_dev *dev, uint16_t ring, struct reply *reply)
{
	int rc = -EINVAL;

	if (vhc_device_queue(port_of(dev)->device, ring))
		rc = reply_room(reply, sizeof(struct ring_facts));
	if (rc == 0)
		vhostx_gather_ring_facts(port_of(dev), ring, reply->bytes);
	return rc;
}

static int
reply_stats(struct rte_eth_dev *dev, uint16_t ring, struct reply *reply)
{
	int rc = reply_room(reply, sizeof(struct rte_eth_stats));

	(void)ring;
	return rc ? rc : vhostx_stats_get(dev, reply->bytes);
}

static int
reply_stats_reset(struct rte_eth_dev *dev, uint16_t ring, struct reply *reply)
{
	(void)ring;
	(void)reply;
	return vhostx_stats_reset(dev);
}

static int
reply_xstats(struct rte_eth_dev *dev, uint16_t ring, struct reply *reply)
{
	unsigned int nr = (unsigned int)vhostx_xstats_get(dev, NULL, 0);
	int rc = reply_room(reply, nr * sizeof(struct rte_eth_xstat));

	(void)ring;
	if (rc == 0 && (unsigned int)vhostx_xstats_get(dev, reply->bytes, nr) != nr)
		rc = -EAGAIN;
	return rc;
}

static int
reply_xstats_reset(struct rte_eth_dev *dev, uint16_t ring, struct reply *reply)
{
	(void)ring;
	(void)reply;
	return vhostx_xstats_reset(dev);
}

static int (*const repliers[])(struct rte_eth_dev *dev, uint16_t ring, struct reply *reply) = {
	[ASK_FACTS] = reply_facts,
	[ASK_RING] = reply_ring,
	[ASK_STATS] = reply_stats,
	[ASK_STATS_RESET] = reply_stats_reset,
	[ASK_XSTATS] = reply_xstats,
	[ASK_XSTATS_RESET] = reply_xstats_reset,
};

static int
find_reply(const struct question *question, struct reply *reply)
{
	struct rte_eth_dev *dev;
	int rc;

	if (question->layout != vhostx_layout())
		return -EPROTO;
	if (question->what >= RTE_DIM(repliers))
		return -EINVAL;
	dev = vhostx_port_hold(question->port_id);
	if (!dev)
		return -ENODEV;
	rc = repliers[question->what](dev, question->ring, reply);
	vhostx_port_release();
	return rc;
}

/* The descriptor of a file that holds the bytes, or -errno. */
static int
file_of(const void *bytes, size_t len)
{
	int fd = memfd_create(ACTION, MFD_CLOEXEC);
	ssize_t written = fd < 0 ? -1 : write(fd, bytes, len);

	if (written == (ssize_t)len)
		return fd;
	if (fd >= 0)
		close(fd);
	return written < 0 ? -errno : -ENOSPC;
}

/* Always answers: who asked would wait for it. */
static int
on_question(const struct rte_mp_msg *msg, const void *peer)
{
	struct rte_mp_msg out = { .len_param = sizeof(struct answer) };
	struct reply reply = { NULL, 0 };
	struct question question;
	struct answer answer = { .rc = -EPROTO };
	int rc;

	memcpy(&question, msg->param, sizeof(question));
	if (msg->len_param == sizeof(question))
		answer.rc = find_reply(&question, &reply);
	if (answer.rc == 0 && reply.len) {
		out.fds[0] = file_of(reply.bytes, reply.len);
		out.num_fds = out.fds[0] >= 0;
		answer.rc = out.num_fds ? 0 : out.fds[0];
		answer.len = (uint32_t)reply.len;
	}
	free(reply.bytes);
	strcpy(out.name, msg->name);
	memcpy(out.param, &answer, sizeof(answer));
	rc = rte_mp_reply(&out, peer);
	if (out.num_fds)
		close(out.fds[0]);
	return rc;
}

/* Where EAL shares nothing (--in-memory, --no-shconf) there is nobody to answer. */
void
vhostx_answer_secondaries(void)
{
	if (rte_mp_action_register(ACTION, on_question) != 0 && rte_errno != ENOTSUP &&
	    rte_errno != EEXIST)
		PORT_LOG(WARNING, ACTION, "secondary processes will not see counters: %s",
			 rte_strerror(rte_errno));
}

/* ---- a secondary asks ----------------------------------------------------------------------- */

/* Bytes of the answer, which goes into `room` bytes; or -errno. */
static int
read_answer(const struct rte_mp_msg *msg, void *into, size_t room)
{
	struct answer answer;

	if (msg->len_param != sizeof(answer))
		return -EPROTO;
	memcpy(&answer, msg->param, sizeof(answer));
	if (answer.rc != 0)
		return answer.rc < 0 ? answer.rc : -EPROTO;
	if (answer.len == 0)
		return 0;
	if (answer.len > room || msg->num_fds != 1)
		return -EPROTO;
	return pread(msg->fds[0], into, answer.len, 0) == (ssize_t)answer.len ? (int)answer.len :
										 -EIO;
}

static int
take_reply(struct rte_mp_reply *reply, void *into, size_t room)
{
	int rc = -ENOTCONN;

	if (reply->nb_received == 1)
		rc = read_answer(&reply->msgs[0], into, room);
	for (int msg = 0; msg < reply->nb_received; msg++)
		for (int i = 0; i < reply->msgs[msg].num_fds; i++)
			close(reply->msgs[msg].fds[i]);
	free(reply->msgs);
	return rc;
}

/* The primary's socket has nobody behind it, or is away already. */
static int
error_of_request(int error)
{
	if (error == ECONNREFUSED || error == ENOENT)
		return -ENOTCONN;
	return error ? -error : -EIO;
}

/* The port's name in this process: where the primary closed the port, the shared one is gone. */
static void
say_why(const struct rte_eth_dev *dev, int rc)
{
	PORT_LOG(ERR, dev->device->name, "the primary process, where this port lives, %s (%s)",
		 rc == -ENOTCONN ? "is not there any more" :
		 rc == -ETIMEDOUT ? "does not answer" :
		 rc == -EPROTO ? "has another version of this driver" :
		 rc == -ENODEV ? "has closed the port" : "answered with an error", strerror(-rc));
}

int
vhostx_ask(const struct rte_eth_dev *dev, enum ask what, uint16_t ring, void *into, size_t room)
{
	const struct question question = {
		.layout = vhostx_layout(),
		.what = (uint16_t)what,
		.port_id = (uint16_t)(dev - rte_eth_devices),
		.ring = ring,
	};
	const struct timespec patience = { .tv_sec = PATIENCE_S };
	struct rte_mp_msg msg = { .name = ACTION, .len_param = sizeof(question) };
	struct rte_mp_reply reply = { 0 };
	int rc;

	memcpy(msg.param, &question, sizeof(question));
	if (rte_mp_request_sync(&msg, &reply, &patience) == 0)
		rc = take_reply(&reply, into, room);
	else
		rc = error_of_request(rte_errno);
	if (rc < 0)
		say_why(dev, rc);
	return rc;
}

int
vhostx_ask_exactly(const struct rte_eth_dev *dev, enum ask what, uint16_t ring, void *into,
		   size_t len)
{
	int rc = vhostx_ask(dev, what, ring, into, len);

	if (rc < 0)
		return rc;
	return (size_t)rc == len ? 0 : -EPROTO;
}
