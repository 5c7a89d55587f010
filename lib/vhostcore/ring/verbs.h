/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * verbs.h - what can be done with a ring, whatever its layout.
 *
 * Knows:   that there are two layouts. `kind` is a constant on the polling path, so that each burst
 *          is compiled for one of them.
 * Trusts:  split.h and packed.h.
 * Runs on: polling lcore inside the queue's gate; control thread while the gate is closed.
 *
 *   idle        nothing can be new: no burst is needed
 *   ready       look for new chains; must come first in a burst
 *   more        is there a chain we have not taken
 *   window      the next `n` entries or fewer, for a look at them
 *   look        a copy of the descriptor of one of them; nothing is taken. False: not one buffer
 *   used        what gives it back; used_id: whom
 *   skip        take the first `n` of what was looked at
 *   take        the next chain of any shape: copied, checked, translated
 *   mark/untake go back to where a mark was made: nothing after it was taken, or given
 *   give        stage one used entry; not to be undone
 *   give_run    stage the first `n` of a window
 *   give_batch  stage `n` used entries at once, without lengths (IN_ORDER)
 *   publish     make what is staged visible, and say whether the driver wants an interrupt
 *   kicks       ask for, or refuse, kicks; true: work is there already
 *   call        interrupt the driver
 */
#ifndef VHC_RING_VERBS_H
#define VHC_RING_VERBS_H

#include "../base/fd.h"
#include "packed.h"
#include "split.h"
#include "window.h"

/* One load and a comparison. */
static VHC_HOT bool
ring_idle(const struct ring *r, uint8_t how)
{
	if (vhc_likely(how == RING_IDLE_SPLIT))
		return split_idle(r);
	return how == RING_IDLE_PACKED && packed_idle(r);
}

static VHC_HOT bool
ring_ready(struct ring *r, enum ring_kind kind)
{
	return kind == RING_PACKED ? packed_ready(r) : split_ready(r);
}

static VHC_HOT bool
ring_more(struct ring *r, enum ring_kind kind)
{
	return kind == RING_PACKED ? packed_more(r) : split_more(r);
}

static VHC_HOT struct ring_window
ring_window(const struct ring *r, enum ring_kind kind, uint32_t n)
{
	return kind == RING_PACKED ? packed_window(r, n) : split_window(r, n);
}

static VHC_HOT bool
ring_look(const struct ring_window *w, enum ring_kind kind, uint32_t n, struct ring_look *look)
{
	return kind == RING_PACKED ? packed_look(w, n, look) : split_look(w, n, look);
}

static VHC_HOT uint64_t
ring_used(const struct ring_window *w, enum ring_kind kind, uint16_t id, uint32_t len)
{
	return kind == RING_PACKED ? packed_used(w, id, len) : split_used(id, len);
}

static VHC_HOT uint16_t
ring_used_id(enum ring_kind kind, uint64_t used)
{
	return kind == RING_PACKED ? packed_used_id(used) : split_used_id(used);
}

static VHC_HOT void
ring_skip(struct ring *r, enum ring_kind kind, uint16_t n)
{
	if (kind == RING_PACKED)
		packed_skip(r, n);
	else
		split_skip(r, n);
}

static inline enum take
ring_take(struct ring *r, enum ring_kind kind, struct chain *c)
{
	return kind == RING_PACKED ? packed_take(r, c) : split_take(r, c);
}

static VHC_HOT struct ring_mark
ring_mark(const struct ring *r)
{
	return r->avail;
}

static VHC_HOT void
ring_untake(struct ring *r, struct ring_mark mark)
{
	r->avail = mark;
}

static VHC_HOT void
ring_give(struct ring *r, enum ring_kind kind, uint16_t id, uint32_t len, uint16_t nr_slots)
{
	if (kind == RING_PACKED)
		packed_give(r, id, len, nr_slots);
	else
		split_give(r, id, len);
}

static VHC_HOT void
ring_give_run(struct ring *r, enum ring_kind kind, const uint64_t *used, uint32_t n)
{
	if (kind == RING_PACKED)
		packed_give_run(r, used, n);
	else
		split_give_run(r, used, n);
}

static VHC_HOT void
ring_give_batch(struct ring *r, enum ring_kind kind, uint16_t id, uint16_t n)
{
	if (kind == RING_PACKED)
		packed_give_batch(r, id, n);
	else
		split_give_batch(r, id, n);
}

static VHC_HOT bool
ring_publish(struct ring *r, enum ring_kind kind)
{
	return kind == RING_PACKED ? packed_publish(r) : split_publish(r);
}

static inline bool
ring_kicks(struct ring *r, bool on)
{
	return r->kind == RING_PACKED ? packed_kicks(r, on) : split_kicks(r, on);
}

/* 0; -EBADF: the driver polls; another -errno: the descriptor refused. */
static inline int
ring_call(const struct ring *r)
{
	return r->call_fd >= 0 ? fd_signal(r->call_fd) : -EBADF;
}

#endif
