/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * appear.c - see appear.h.
 *
 * Knows:   inotify.
 * Trusts:  nothing of who writes into the directories.
 * Runs on: with the loop's lock held; events on the control thread.
 *
 * A user has 128 inotify instances on most machines, and many more watches: so all who wait in one
 * loop share an instance. Directories are found by the watch's number, waits by that and the name.
 */
#define _GNU_SOURCE 1	/* inotify_init1() */

#include "appear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "../base/fd.h"
#include "../base/log.h"
#include "../wire/sock.h"

#define NR_BUCKETS	1024
#define EVENTS_LEN	16384

struct appear_dir {
	int wd;
	struct appear_wait *waits;
	struct appear_dir *next;	/* in its bucket */
};

/* One a loop, while anybody waits. */
struct appear {
	struct loop *loop;
	int fd;
	uint64_t watch;
	unsigned int nr_dirs;
	struct appear_dir *dirs[NR_BUCKETS];
	struct appear_wait *waits[NR_BUCKETS];
};

/* ---- tables --------------------------------------------------------------------------------- */

static struct appear_dir **
dirs_of(struct appear *a, int wd)
{
	return &a->dirs[(unsigned int)wd % NR_BUCKETS];
}

static struct appear_dir *
find_dir(struct appear *a, int wd)
{
	struct appear_dir *dir = *dirs_of(a, wd);

	while (dir && dir->wd != wd)
		dir = dir->next;
	return dir;
}

static struct appear_wait **
waits_of(struct appear *a, int wd, const char *file)
{
	uint32_t hash = 2166136261u ^ (uint32_t)wd;	/* FNV-1a */

	for (; *file; file++)
		hash = (hash ^ (uint8_t)*file) * 16777619u;
	return &a->waits[hash % NR_BUCKETS];
}

static const char *
file_of(const char *path)
{
	char dir[SOCK_PATH_LEN];

	return vhc_sock_split_path(path, dir);
}

/* ---- letting go ---------------------------------------------------------------------------- */

static void
unlist(struct appear *a, struct appear_wait *w)
{
	struct appear_wait **link = waits_of(a, w->dir->wd, file_of(w->path));

	while (*link != w)
		link = &(*link)->next_of_name;
	*link = w->next_of_name;
	*w->link_of_dir = w->next_of_dir;
	if (w->next_of_dir)
		w->next_of_dir->link_of_dir = w->link_of_dir;
	w->dir = NULL;
}

static void
put_dir(struct appear *a, struct appear_dir *dir)
{
	struct appear_dir **link = dirs_of(a, dir->wd);

	if (dir->waits)
		return;
	while (*link != dir)
		link = &(*link)->next;
	*link = dir->next;
	inotify_rm_watch(a->fd, dir->wd);	/* may be gone already */
	free(dir);
	a->nr_dirs--;
}

static void
put_instance(struct appear *a)
{
	if (a->nr_dirs)
		return;
	*vhc_loop_appear(a->loop) = NULL;
	vhc_loop_unwatch(a->loop, &a->watch);
	fd_close(&a->fd);
	free(a);
}

/* ---- events --------------------------------------------------------------------------------- */

static void
call_all(struct appear *a)
{
	for (unsigned int i = 0; i < NR_BUCKETS; i++)
		for (struct appear_wait *w = a->waits[i]; w; w = w->next_of_name)
			w->fn(w->arg);
}

static void
call_named(struct appear *a, const struct appear_dir *dir, const char *file)
{
	for (struct appear_wait *w = *waits_of(a, dir->wd, file); w; w = w->next_of_name)
		if (w->dir == dir && strcmp(file_of(w->path), file) == 0)
			w->fn(w->arg);
}

/* Those who wait there look now, and wait anew where another directory takes the place. */
static void
call_of_dir(struct appear *a, struct appear_dir *dir)
{
	struct appear_wait *w;

	while ((w = dir->waits)) {
		unlist(a, w);
		w->fn(w->arg);
	}
	put_dir(a, dir);
}

static void
take_event(struct appear *a, const struct inotify_event *e)
{
	struct appear_dir *dir = find_dir(a, e->wd);

	if (e->mask & IN_Q_OVERFLOW)
		call_all(a);
	else if (dir && (e->mask & (IN_IGNORED | IN_MOVE_SELF)))
		call_of_dir(a, dir);
	else if (dir && e->len)
		call_named(a, dir, e->name);
}

static void
on_events(uint32_t events, void *arg)
{
	struct appear *a = arg;
	char buffer[EVENTS_LEN] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t len = read(a->fd, buffer, sizeof(buffer));

	(void)events;
	for (ssize_t at = 0; at < len;) {
		const struct inotify_event *e = (const void *)(buffer + at);

		take_event(a, e);
		at += (ssize_t)sizeof(*e) + e->len;
	}
	put_instance(a);
}

/* ---- the instance --------------------------------------------------------------------------- */

static int
open_instance(struct loop *loop, struct appear *a)
{
	int rc;

	a->loop = loop;
	a->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (a->fd < 0)
		return -errno;
	rc = vhc_loop_watch(loop, a->fd, EPOLLIN, on_events, a, &a->watch);
	if (rc)
		fd_close(&a->fd);
	return rc;
}

static struct appear *
get_instance(struct loop *loop)
{
	struct appear **a = vhc_loop_appear(loop);

	if (*a)
		return *a;
	*a = calloc(1, sizeof(**a));
	if (*a && open_instance(loop, *a)) {
		free(*a);
		*a = NULL;
	}
	return *a;
}

/* ---- directories ---------------------------------------------------------------------------- */

/* Asking twice gives the same number, and changes nothing. */
static struct appear_dir *
get_dir(struct appear *a, const char *path)
{
	struct appear_dir *dir;
	int wd = inotify_add_watch(a->fd, path, IN_CREATE | IN_MOVED_TO | IN_ATTRIB |
				   IN_MOVE_SELF | IN_ONLYDIR);

	if (wd < 0 && errno == ENOSPC)
		log_info(NULL, "no inotify watch is left for %s: sockets there are found by"
			 " trying; raise fs.inotify.max_user_watches", path);
	if (wd < 0)
		return NULL;
	dir = find_dir(a, wd);
	if (dir)
		return dir;
	dir = calloc(1, sizeof(*dir));
	if (!dir) {
		inotify_rm_watch(a->fd, wd);
		return NULL;
	}
	dir->wd = wd;
	dir->next = *dirs_of(a, wd);
	*dirs_of(a, wd) = dir;
	a->nr_dirs++;
	return dir;
}

/* ---- waits ---------------------------------------------------------------------------------- */

static void
list(struct appear *a, struct appear_dir *dir, struct appear_wait *w, const char *file)
{
	struct appear_wait **bucket = waits_of(a, dir->wd, file);

	w->next_of_name = *bucket;
	*bucket = w;
	w->next_of_dir = dir->waits;
	w->link_of_dir = &dir->waits;
	if (dir->waits)
		dir->waits->link_of_dir = &w->next_of_dir;
	dir->waits = w;
	w->dir = dir;
}

void
vhc_appear_begin(struct loop *loop, struct appear_wait *w)
{
	char path[SOCK_PATH_LEN];
	const char *file = vhc_sock_split_path(w->path, path);
	struct appear *a;
	struct appear_dir *dir;

	if (w->dir)
		return;
	a = get_instance(loop);
	dir = a ? get_dir(a, path) : NULL;
	if (dir)
		list(a, dir, w, file);
	else if (a)
		put_instance(a);
}

void
vhc_appear_end(struct loop *loop, struct appear_wait *w)
{
	struct appear *a = *vhc_loop_appear(loop);
	struct appear_dir *dir = w->dir;

	if (!dir)
		return;
	unlist(a, w);
	put_dir(a, dir);
	put_instance(a);
}
