/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * postcopy.c - see postcopy.h.
 *
 * Knows:   the device, sources of pages, for how long control has been at one thing.
 * Trusts:  nothing of the front-end.
 * Runs on: control thread, under the loop's lock; the watcher on its own thread.
 *
 * Locks are taken in this order: a loop's, life_lock, watcher.lock, that of mem/pages.c. The
 * watcher never takes the first two: whoever has one may be asleep, or wait for the watcher.
 */
#include "postcopy.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

#include "base/log.h"
#include "base/order.h"
#include "base/thread.h"
#include "ctl/session.h"
#include "mem/pages.h"

#define LOOK_NS		100000000L
#define LOOK_MS		100

/* ---- the watcher ---------------------------------------------------------------------------- */

/* One at a time begins and ends the thread. */
static pthread_mutex_t life_lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
	pthread_mutex_t lock;	/* guards the next two; the thread holds it as it looks */
	pthread_cond_t changed;
	struct vhc_device *first;	/* those that listen */
	pthread_t thread;	/* runs while there are any */
} watcher = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static bool
is_gone(int sock)
{
	struct pollfd p = { .fd = sock };

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

/* Control hears of it as of a front-end that left, when it has woken. */
static void
look_at(struct vhc_device *dev)
{
	unsigned int ms = vhc_loop_held_ms(dev->loop);
	int sock = dev->session->sock;

	if (ms < LOOK_MS || !vhc_pages_are_awaited(dev->postcopy.source))
		return;
	if (ms < POSTCOPY_PATIENCE_MS && !is_gone(sock))
		return;
	st_relaxed(&dev->postcopy.is_late, !is_gone(sock));
	shutdown(sock, SHUT_RDWR);
	vhc_pages_give_up(dev->postcopy.source);
}

static void *
run(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&watcher.lock);
	while (watcher.first) {
		struct timespec until;

		for (struct vhc_device *dev = watcher.first; dev; dev = dev->postcopy.next_watched)
			look_at(dev);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += LOOK_NS;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		pthread_cond_timedwait(&watcher.changed, &watcher.lock, &until);
	}
	pthread_mutex_unlock(&watcher.lock);
	return NULL;
}

static int
watcher_begin(struct vhc_device *dev)
{
	int rc = 0;

	pthread_mutex_lock(&life_lock);
	pthread_mutex_lock(&watcher.lock);
	if (!watcher.first)
		rc = vhc_thread_start(&watcher.thread, "vhostcore-pages", run, NULL);
	dev->postcopy.next_watched = watcher.first;
	if (rc == 0)
		watcher.first = dev;
	pthread_mutex_unlock(&watcher.lock);
	pthread_mutex_unlock(&life_lock);
	return rc;
}

static void
watcher_end(struct vhc_device *dev)
{
	struct vhc_device **link = &watcher.first;
	bool is_last;

	pthread_mutex_lock(&life_lock);
	pthread_mutex_lock(&watcher.lock);
	while (*link != dev)
		link = &(*link)->postcopy.next_watched;
	*link = dev->postcopy.next_watched;
	is_last = !watcher.first;
	if (is_last)
		pthread_cond_signal(&watcher.changed);
	pthread_mutex_unlock(&watcher.lock);
	if (is_last)
		pthread_join(watcher.thread, NULL);
	pthread_mutex_unlock(&life_lock);
}

/* ---- one device ----------------------------------------------------------------------------- */

int
vhc_postcopy_probe(bool by_program_only, char *reason)
{
	struct page_source *source;
	int rc = vhc_pages_create(by_program_only, &source, reason);

	if (rc == 0)
		vhc_pages_destroy(source);
	return rc;
}

/* Bursts copy by themselves; what an application does with chains and rings is its own business. */
int
vhc_postcopy_advise(struct vhc_device *dev, char *reason)
{
	bool by_program_only = !dev->has_chains && !dev->raw_rings;
	int rc = vhc_pages_create(by_program_only, &dev->postcopy.source, reason);

	return rc ? rc : vhc_pages_share(dev->postcopy.source);
}

int
vhc_postcopy_listen(struct vhc_device *dev)
{
	int rc = watcher_begin(dev);

	dev->postcopy.is_listening = rc == 0;
	return rc;
}

void
vhc_postcopy_propose(struct vhc_device *dev, struct map *map)
{
	vhc_map_unref(dev->postcopy.next);
	dev->postcopy.next = map;
}

void
vhc_postcopy_acknowledged(struct vhc_device *dev)
{
	struct map *map = dev->postcopy.next;

	dev->postcopy.owes_ack = false;
	dev->postcopy.next = NULL;
	if (map)
		vhc_device_set_map(dev, map);
}

struct map *
vhc_postcopy_latest_map(const struct vhc_device *dev)
{
	return dev->postcopy.next ? dev->postcopy.next : dev->map;
}

static void
stop_listening(struct vhc_device *dev)
{
	if (dev->postcopy.is_listening)
		watcher_end(dev);
	dev->postcopy.is_listening = false;
}

static void
close_source(struct vhc_device *dev)
{
	if (dev->postcopy.source)
		vhc_pages_destroy(dev->postcopy.source);
	dev->postcopy.source = NULL;
}

void
vhc_postcopy_end(struct vhc_device *dev)
{
	stop_listening(dev);
	close_source(dev);
	log_notice(dev->name, "postcopy is over: all of the guest's memory has come");
}

void
vhc_postcopy_abandon(struct vhc_device *dev)
{
	stop_listening(dev);
	if (dev->postcopy.source)
		vhc_pages_give_up(dev->postcopy.source);
	close_source(dev);
	vhc_map_unref(dev->postcopy.next);
	dev->postcopy = (struct device_postcopy){ 0 };
}
