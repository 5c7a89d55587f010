/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guard.c - a table that a signal handler may read, and the handler.
 *
 * Knows:   sigaction, mmap.
 * Trusts:  the kernel's word on which address it was.
 * Runs on: see guard.h. What the handler calls allocates nothing and takes no lock.
 */
#define _GNU_SOURCE 1	/* MAP_ANONYMOUS, BUS_MCEERR_AR */

#include "guard.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/fd.h"
#include "../base/order.h"
#include "../base/range.h"

#define GUARDS_PER_BLOCK	256
#define LISTENERS_MAX		64

/*
 * So much is replaced at a time: little enough not to matter where all memory is locked, much
 * enough that a guest of any size does not cost more mappings than a process may have.
 */
#define MEND_SIZE		(UINT64_C(2) << 20)

struct guard {
	uintptr_t start;	/* 0: not in use. Stored last, cleared first */
	uintptr_t end;
	uint64_t page_size;
	uint32_t is_lost;
	struct guard *next_free;
};

/* Blocks are never freed, so a handler may walk over them at any time. */
struct guard_block {
	struct guard guards[GUARDS_PER_BLOCK];
	struct guard_block *next;
};

static struct guard_block first_block;
static int32_t listeners[LISTENERS_MAX];	/* descriptor plus one; 0: none */
static uint32_t nr_inside;			/* handlers at work */

/* Guards what follows, and who changes the above. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct guard *free_guards;
static unsigned int nr_fresh;		/* of the newest block: in use before, or now */
static struct guard_block *newest = &first_block;
static bool is_off;

static int install(void);

/* ---- the table ------------------------------------------------------------------------------ */

static struct guard *
fresh_guard(void)
{
	struct guard_block *block;

	if (nr_fresh == GUARDS_PER_BLOCK) {
		block = calloc(1, sizeof(*block));
		if (!block)
			return NULL;
		st_release(&newest->next, block);
		newest = block;
		nr_fresh = 0;
	}
	return &newest->guards[nr_fresh++];
}

struct guard *
vhc_guard_add(void *mapping, uint64_t len, uint64_t page_size)
{
	struct guard *guard;

	pthread_mutex_lock(&lock);
	(void)install();	/* sigaction() knows this signal, so it cannot fail */
	guard = free_guards;
	if (guard)
		free_guards = guard->next_free;
	else
		guard = fresh_guard();
	pthread_mutex_unlock(&lock);
	if (!guard)
		return NULL;
	guard->page_size = page_size;
	guard->end = (uintptr_t)mapping + len;
	st_relaxed(&guard->is_lost, 0);
	st_release(&guard->start, (uintptr_t)mapping);
	return guard;
}

/* [T] A handler that begins now sees what the caller has cleared, or we see the handler. */
static void
wait_for_handlers(void)
{
	fence_full();
	while (ld_acquire(&nr_inside))
		sched_yield();
}

void
vhc_guard_remove(struct guard *guard)
{
	if (!guard)
		return;
	st_relaxed(&guard->start, 0);
	wait_for_handlers();
	pthread_mutex_lock(&lock);
	guard->next_free = free_guards;
	free_guards = guard;
	pthread_mutex_unlock(&lock);
}

bool
vhc_guard_is_lost(const struct guard *guard)
{
	return guard && ld_acquire(&guard->is_lost);
}

/* ---- who listens ---------------------------------------------------------------------------- */

static bool
change_listener(int32_t from, int32_t to)
{
	bool is_found = false;

	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; i < LISTENERS_MAX && !is_found; i++) {
		is_found = listeners[i] == from;
		if (is_found)
			st_release(&listeners[i], to);
	}
	pthread_mutex_unlock(&lock);
	return is_found;
}

int
vhc_guard_listen(int fd)
{
	return change_listener(0, fd + 1) ? 0 : -ENOSPC;
}

void
vhc_guard_unlisten(int fd)
{
	if (change_listener(fd + 1, 0))
		wait_for_handlers();
}

/* ---- mending -------------------------------------------------------------------------------- */

static struct guard *
find_guard(uintptr_t at)
{
	struct guard_block *block = &first_block;

	while (block) {
		for (unsigned int i = 0; i < GUARDS_PER_BLOCK; i++) {
			struct guard *guard = &block->guards[i];
			uintptr_t start = ld_acquire(&guard->start);

			if (start && at >= start && at < guard->end)
				return guard;
		}
		block = ld_acquire(&block->next);
	}
	return NULL;
}

/* What others may have put into zero pages behind `from` since is lost once more. */
static bool
put_zeros(uintptr_t from, uintptr_t to)
{
	void *at = (void *)from;

	if (mmap(at, to - from, PROT_READ | PROT_WRITE,
		 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		return false;
	madvise(at, to - from, MADV_DONTDUMP);
	return true;
}

/* A file's pages, which may be huge, can only go as a whole. */
static bool
mend(const struct guard *guard, uintptr_t at)
{
	uint64_t page = guard->page_size, size = page > MEND_SIZE ? page : MEND_SIZE;
	uintptr_t from = range_align_down(at, page), to = range_align_up(at + 1, size);

	if (to == 0 || to > guard->end)
		to = range_align_up(guard->end, page);
	return put_zeros(from, to) || put_zeros(from, from + page);
}

static void
tell_listeners(void)
{
	for (unsigned int i = 0; i < LISTENERS_MAX; i++) {
		int32_t listener = ld_acquire(&listeners[i]);

		if (listener)
			(void)fd_signal(listener - 1);
	}
}

bool
vhc_guard_mend(const void *at)
{
	struct guard *guard;
	int saved = errno;
	bool is_mended;

	add_then_fence(&nr_inside, 1);	/* [T] */
	guard = find_guard((uintptr_t)at);
	is_mended = guard && mend(guard, (uintptr_t)at);
	if (is_mended) {
		st_release(&guard->is_lost, 1);
		tell_listeners();
	}
	sub_release(&nr_inside, 1);	/* [T] */
	errno = saved;
	return is_mended;
}

/* ---- the signal ----------------------------------------------------------------------------- */

/* A signal on its way to another handler. */
struct passing {
	siginfo_t *info;
	void *context;
};

static struct sigaction first_before;	/* what was there when we came */
static struct sigaction before;		/* ... when we came again: it may hand on to us */
static __thread const struct passing *passing __attribute__((tls_model("initial-exec")));

/* It comes again as soon as we return: then it does what it does by default. */
static void
die_of(const siginfo_t *info, const struct sigaction *action)
{
	bool is_sent = info->si_code <= 0;

	if (is_sent && action->sa_handler == SIG_IGN)
		return;
	signal(SIGBUS, SIG_DFL);
	if (is_sent)
		raise(SIGBUS);
}

static void
hand_to(const struct sigaction *action, const struct passing *what)
{
	if (action->sa_flags & SA_SIGINFO)
		action->sa_sigaction(SIGBUS, what->info, what->context);
	else if (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN)
		action->sa_handler(SIGBUS);
	else
		die_of(what->info, action);
}

/*
 * Who was set after us and is below us since we came again may hand on to us what is not his: then
 * it is for who was first. DPDK's handler does, and leaves out the arguments.
 */
static void
hand_on(siginfo_t *info, void *context)
{
	struct passing what = { info, context };

	passing = &what;
	hand_to(&before, &what);
	passing = NULL;
}

/* The only causes that have to do with a file, or with the page behind it. */
static bool
is_about_a_page(const siginfo_t *info)
{
	return info->si_code == BUS_ADRERR || info->si_code == BUS_MCEERR_AR;
}

static void
on_sigbus(int number, siginfo_t *info, void *context)
{
	(void)number;
	if (passing)
		hand_to(&first_before, passing);
	else if (!is_about_a_page(info) || !vhc_guard_mend(info->si_addr))
		hand_on(info, context);
}

static bool
is_ours(const struct sigaction *action)
{
	return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_sigbus;
}

static int
install(void)
{
	struct sigaction ours = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	static bool has_come;
	struct sigaction now;

	if (is_off)
		return 0;
	if (sigaction(SIGBUS, NULL, &now))
		return -errno;
	if (is_ours(&now))
		return 0;
	if (!has_come)
		first_before = now;
	has_come = true;
	before = now;
	/* Who had it blocks the same signals as before while it is handed on. */
	ours.sa_mask = now.sa_mask;
	return sigaction(SIGBUS, &ours, NULL) ? -errno : 0;
}

/* Where another handler lies above ours, ours stays below it, and hands everything on. */
static int
uninstall(void)
{
	struct sigaction now;

	if (sigaction(SIGBUS, NULL, &now))
		return -errno;
	return is_ours(&now) && sigaction(SIGBUS, &before, NULL) ? -errno : 0;
}

int
vhc_guard_set(bool on)
{
	int rc;

	pthread_mutex_lock(&lock);
	is_off = !on;
	rc = on ? install() : uninstall();
	pthread_mutex_unlock(&lock);
	return rc;
}
