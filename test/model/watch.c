/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * watch.c - write-protect the guest's memory, note what is written, compare.
 */
#define _GNU_SOURCE 1

#include "watch.h"

#include <signal.h>
#include <sys/mman.h>

#define PAGE	UINT64_C(4096)
#define BEHIND	512	/* bytes of the file after the bitmap, nobody's business */

/* One watch at a time: a signal's handler has no other way to it. */
static struct watch *watched;

/* ---- the truth ------------------------------------------------------------------------------ */

static bool
is_in(const struct watch *w, uint64_t page)
{
	return page / 8 < w->size && (w->rings || page * PAGE >= GUEST_BUFFERS_AT);
}

static void
note(struct watch *w, uint64_t page)
{
	if (is_in(w, page))
		w->model[w->offset + page / 8] |= (uint8_t)(1 << page % 8);
}

static uint8_t *
view_of(const struct guest_part *part)
{
	return part->region->host;
}

static void
on_fault(int number, siginfo_t *about, void *context)
{
	(void)context;
	for (unsigned int i = 0; watched && i < GUEST_NR_PARTS; i++) {
		const struct guest_part *part = &watched->rig->guest.parts[i];
		uint64_t at = (uint64_t)((uint8_t *)about->si_addr - view_of(part));

		if (at >= part->len)
			continue;
		note(watched, (part->at + at) / PAGE);
		mprotect(view_of(part) + at / PAGE * PAGE, PAGE, PROT_READ | PROT_WRITE);
		return;
	}
	signal(number, SIG_DFL);	/* happens once more, and ends the test */
}

static void
protect(const struct guest *g, int how)
{
	for (unsigned int i = 0; i < GUEST_NR_PARTS; i++)
		CHECK_EQ(mprotect(view_of(&g->parts[i]), g->parts[i].len, how), 0);
}

void
watch_begin(struct watch *w)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	memset(w->model, 0, w->file_len);
	memset(w->file, 0, w->file_len);
	watched = w;
	CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
	protect(&w->rig->guest, PROT_READ);
}

void
watch_end(struct watch *w, bool on)
{
	protect(&w->rig->guest, PROT_READ | PROT_WRITE);
	signal(SIGSEGV, SIG_DFL);
	watched = NULL;
	if (!on)
		memset(w->model, 0, w->file_len);
	for (uint64_t i = 0; memcmp(w->file, w->model, w->file_len) != 0 && i < w->file_len; i++)
		CHECK_EQ(w->file[i], w->model[i]);
}

/* ---- the log -------------------------------------------------------------------------------- */

void
watch_open(struct watch *w, struct net_rig *rig, uint64_t size, uint64_t offset, bool rings)
{
	*w = (struct watch){
		.rig = rig, .size = size, .offset = offset, .rings = rings,
		.fd = memfd_create("watch", MFD_CLOEXEC), .file_len = offset + size + BEHIND,
	};
	CHECK(w->fd >= 0);
	CHECK_EQ(ftruncate(w->fd, (off_t)w->file_len), 0);
	w->file = mmap(NULL, w->file_len, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
	CHECK(w->file != MAP_FAILED);
	w->model = calloc(1, w->file_len);
	CHECK(w->model);
}

void
watch_close(struct watch *w)
{
	free(w->model);
	munmap(w->file, w->file_len);
	close(w->fd);
}

/* Of a packed ring a front-end names the event structure. */
static void
log_ring(struct vhc_queue *q, const struct driver *d, bool on)
{
	q->is_logged = on;
	q->claim.log_guest = on ? d->used_at : 0;
	vhc_queue_update_log(q);
}

void
watch_switch(struct watch *w, bool on)
{
	struct vhc_device *dev = w->rig->dev;
	char reason[DIRTY_LOG_REASON_LEN];

	vhc_loop_lock(dev->loop);
	if (on) {
		CHECK_EQ(vhc_device_set_log(dev, w->fd, w->size, w->offset, reason), 0);
		dev->features |= BIT64(VHOST_F_LOG_ALL_BIT);
	} else {
		dev->features &= ~BIT64(VHOST_F_LOG_ALL_BIT);
	}
	log_ring(w->rig->push, &w->rig->rx, w->rings && on);
	log_ring(w->rig->pull, &w->rig->tx, w->rings && on);
	vhc_device_update_log(dev);
	vhc_loop_unlock(dev->loop);
	CHECK(w->rig->push->running && w->rig->pull->running);
}
