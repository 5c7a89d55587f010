/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control.c - serve the control ring: take a command, copy it, have the class judge it, answer.
 *
 * Knows:   rings, and that a command is readable bytes with one byte for the answer behind them.
 * Trusts:  nothing in the ring. A command is copied whole before any of it is looked at.
 * Runs on: control thread, under the loop's lock.
 */
#include "control.h"

#include <string.h>

#include "base/log.h"
#include "device.h"
#include "dirty.h"
#include "ring/verbs.h"

/* Room for the longest command: a table of 2,700 addresses. A longer one is refused. */
#define COMMAND_MAX		16384

/* A driver that floods us with commands leaves time for everybody else. */
#define COMMANDS_PER_TURN	32
#define NEXT_TURN_MS		1

/* For a front-end that gave no kick descriptor. */
#define LOOK_MS			20

/* ---- one command ---------------------------------------------------------------------------- */

/* The fault to be counted, or RING_FAULT_NONE. The effects are complete when this returns. */
static enum ring_fault
carry_out(struct vhc_device *dev, const struct chain *c, uint8_t *ack)
{
	uint8_t raw[COMMAND_MAX];
	struct chain_pos from = chain_readable(c);
	struct vhc_command command = {
		.raw = raw,
		.features = dev->features,
		.nr_rings = dev->nr_data_rings,
	};
	enum ring_fault fault;

	if (c->read_len > sizeof(raw))
		return RING_FAULT_CTRL_BAD;
	command.len = chain_copy_out(&from, raw, c->read_len);
	fault = dev->cls->command(dev->state, &command, ack);
	vhc_device_update(dev);
	return fault;
}

static uint32_t
write_answer(struct vhc_queue *q, struct chain_pos to, uint8_t ack)
{
	struct span at = chain_next(&to, sizeof(ack));

	if (!at.len)
		return 0;
	*at.ptr = ack;
	vhc_device_log_host(q->dev, q->ring.memory, at.ptr, sizeof(ack));
	return sizeof(ack);
}

/* How many bytes were written into the chain. */
static uint32_t
answer(struct vhc_queue *q, const struct chain *c)
{
	struct chain_pos to = chain_writable(c);
	uint8_t ack = 1;	/* in every class: not done */
	enum ring_fault fault = c->write_len ? carry_out(q->dev, c, &ack) : RING_FAULT_CTRL_NO_ACK;

	if (fault != RING_FAULT_NONE)
		vhc_ring_fault(&q->ring, fault);
	log_debug(q->dev->name, "ring %u: a command of %u bytes: %s", q->index, c->read_len,
		  ack ? "refused" : "done");
	return write_answer(q, to, ack);
}

/* False: there is no further command. */
static bool
serve_one(struct vhc_queue *q)
{
	struct ring *r = &q->ring;
	uint16_t from, nr;
	enum take taken;
	struct chain c;

	if (!ring_ready(r, r->kind))
		return false;
	taken = ring_take(r, r->kind, &c);
	if (taken == TAKE_EMPTY)
		return false;
	ring_give(r, r->kind, c.id, taken == TAKE_OK ? answer(q, &c) : 0, c.nr_slots);
	from = r->used.idx;
	nr = r->nr_staged;
	if (ring_publish(r, r->kind))
		ring_call(r);
	vhc_queue_log_entries(q, from, nr);
	return true;
}

/* ---- when to look --------------------------------------------------------------------------- */

static void look_later(struct vhc_queue *q, unsigned int ms);

/* Whether there is work already. */
static bool
want_kicks(struct vhc_queue *q)
{
	bool has_work = ring_kicks(&q->ring, true);

	vhc_queue_log_event(q, true);
	return has_work;
}

/* There is a command, and an address of it is asked for. */
static bool
must_wait(const struct vhc_queue *q)
{
	uint32_t state = q->ring.miss.state;

	return state == MISS_NOTED || state == MISS_ASKED;
}

static void
serve(struct vhc_queue *q)
{
	unsigned int nr = 0;

	if (q->is_untranslated)
		return;		/* vhc_control_look() comes */
	do {
		while (nr < COMMANDS_PER_TURN && serve_one(q))
			nr++;
		if (nr == COMMANDS_PER_TURN) {
			look_later(q, NEXT_TURN_MS);
			return;
		}
	} while (!must_wait(q) && want_kicks(q));
	if (q->kick_fd < 0)
		look_later(q, LOOK_MS);
}

static void
on_look(void *arg)
{
	struct vhc_queue *q = arg;

	q->look_timer = 0;
	serve(q);
}

static void
look_later(struct vhc_queue *q, unsigned int ms)
{
	if (!q->look_timer && vhc_loop_timer(q->dev->loop, ms, on_look, q, &q->look_timer))
		log_err(q->dev->name, "out of memory: commands of the driver wait for a kick");
}

static void
on_kick(uint32_t events, void *arg)
{
	(void)events;
	serve(arg);
}

/* Edge-triggered: a kick descriptor is never read, see queue.c. */
void
vhc_control_watch(struct vhc_queue *q)
{
	if (q->kick_fd >= 0 && vhc_loop_watch(q->dev->loop, q->kick_fd, EPOLLIN | EPOLLET, on_kick,
					      q, &q->kick_watch))
		log_err(q->dev->name, "ring %u: cannot wait for kicks", q->index);
	look_later(q, 0);
}

void
vhc_control_look(struct vhc_queue *q)
{
	look_later(q, 0);
}

void
vhc_control_unwatch(struct vhc_queue *q)
{
	vhc_loop_unwatch(q->dev->loop, &q->kick_watch);
	vhc_loop_cancel(q->dev->loop, &q->look_timer);
}
