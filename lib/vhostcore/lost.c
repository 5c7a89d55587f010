/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lost.c - a front-end took memory away that it had shared with us: name it, and drop it.
 *
 * Knows:   what of a device is mapped; mem/guard.h has put zeros where something is missing.
 * Trusts:  nothing: by now its queues may have read any number of zeros.
 * Runs on: control thread, under the loop's lock.
 */
#include "lost.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/fd.h"
#include "base/log.h"
#include "device.h"
#include "mem/guard.h"

#define ORDINARY_PAGE 4096

/* Huge pages are few, and a front-end need not have all that it shares. */
static const char *
how(uint64_t page_size)
{
	return page_size > ORDINARY_PAGE ? "was truncated by the front-end, or there was no huge"
					   " page left for it (SIGBUS)" :
					   "was truncated by the front-end (SIGBUS)";
}

/* One in pieces is mapped once more. */
static bool
has_lost_ring(const struct vhc_device *dev)
{
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		for (unsigned int part = 0; part < RING_PARTS; part++)
			if (vhc_guard_is_lost(dev->queues[i]->ring.views[part].guard))
				return true;
	return false;
}

/* What is missing, or false. */
static bool
find_loss(const struct vhc_device *dev, char *what)
{
	const struct dirty_map *log = vhc_dirty_log_map_of(&dev->dirty);
	const struct region *region = vhc_map_lost(dev->map);
	bool is_ring = has_lost_ring(dev);
	const char *file = log && vhc_guard_is_lost(log->guard) ? "SET_LOG_BASE" :
			   vhc_guard_is_lost(dev->inflight.view.guard) ? "SET_INFLIGHT_FD" :
			   is_ring ? "a ring" : NULL;

	if (region)
		snprintf(what, VHC_WHY_LEN, "the memory behind region at guest 0x%" PRIx64 " %s",
			 region->claim.guest.v, how(region->page_size));
	else if (file)
		snprintf(what, VHC_WHY_LEN, "the file of %s %s", file, how(0));
	return region || file;
}

static void
look(struct vhc_device *dev)
{
	char what[VHC_WHY_LEN];

	if (!dev->session || !find_loss(dev, what))
		return;
	log_err(dev->name, "dropped: %s", what);
	vhc_device_detach(dev, what);
}

/* ---- who hears of it ------------------------------------------------------------------------ */

/* A loop, and the devices on it: those are guarded by its lock. */
struct post {
	struct loop *loop;
	int fd;			/* a handler signals it, whoever's memory it was */
	uint64_t watch;
	struct vhc_device *devices;
	struct post *next;
};

/* Loops may have threads of their own. Taken with a loop's lock held, never the other way. */
static pthread_mutex_t posts_lock = PTHREAD_MUTEX_INITIALIZER;
static struct post *posts;

/* Each signal is an edge, so the eventfd need not be read. */
static void
on_loss(uint32_t events, void *arg)
{
	struct post *post = arg;

	(void)events;
	for (struct vhc_device *dev = post->devices, *next; dev; dev = next) {
		next = dev->next_watched;
		look(dev);
	}
}

static struct post *
find_post(const struct loop *loop)
{
	struct post *post;

	pthread_mutex_lock(&posts_lock);
	post = posts;
	while (post && post->loop != loop)
		post = post->next;
	pthread_mutex_unlock(&posts_lock);
	return post;
}

static void
end_post(struct post *post)
{
	struct post **link = &posts;

	pthread_mutex_lock(&posts_lock);
	while (*link && *link != post)
		link = &(*link)->next;
	if (*link)
		*link = post->next;
	pthread_mutex_unlock(&posts_lock);
	vhc_loop_unwatch(post->loop, &post->watch);
	vhc_guard_unlisten(post->fd);
	fd_close(&post->fd);
	free(post);
}

static int
open_post(struct post *post)
{
	int rc;

	post->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (post->fd < 0)
		return -errno;
	rc = vhc_guard_listen(post->fd);
	return rc ? rc : vhc_loop_watch(post->loop, post->fd, EPOLLIN | EPOLLET, on_loss, post,
					&post->watch);
}

static struct post *
make_post(struct loop *loop)
{
	struct post *post = calloc(1, sizeof(*post));

	if (!post)
		return NULL;
	post->loop = loop;
	if (open_post(post)) {
		end_post(post);
		return NULL;
	}
	pthread_mutex_lock(&posts_lock);
	post->next = posts;
	posts = post;
	pthread_mutex_unlock(&posts_lock);
	return post;
}

int
vhc_losses_watch(struct vhc_device *dev)
{
	struct post *post = find_post(dev->loop);

	if (!post)
		post = make_post(dev->loop);
	if (!post)
		return -ENOMEM;
	dev->next_watched = post->devices;
	dev->link_watched = &post->devices;
	if (post->devices)
		post->devices->link_watched = &dev->next_watched;
	post->devices = dev;
	return 0;
}

void
vhc_losses_unwatch(struct vhc_device *dev)
{
	struct post *post = find_post(dev->loop);

	if (!dev->link_watched)
		return;
	*dev->link_watched = dev->next_watched;
	if (dev->next_watched)
		dev->next_watched->link_watched = dev->link_watched;
	dev->link_watched = NULL;
	if (!post->devices)
		end_post(post);
}
