/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_loop.c - the control thread: what runs, what does not run any more, who gets the lock.
 */
#define _GNU_SOURCE 1

#include "../peer.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/order.h"
#include "ctl/loop.h"

#define MANY 3000

static struct loop *loop;

struct seen {
	int fd;
	uint64_t id;
	unsigned int nr;
	struct seen *other;
};

static unsigned int
nr_seen(const struct seen *s)
{
	return ld_acquire(&s->nr);
}

/* Wait for `nr` calls, at most five seconds. */
static void
wait_seen(const struct seen *s, unsigned int nr)
{
	double end = peer_now() + 5;

	while (nr_seen(s) < nr && peer_now() < end)
		peer_sleep_ms(1);
	CHECK(nr_seen(s) >= nr);
}

static int
new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

static void
watch(struct seen *s, loop_watch_fn fn)
{
	vhc_loop_lock(loop);
	CHECK_EQ(vhc_loop_watch(loop, s->fd, EPOLLIN, fn, s, &s->id), 0);
	CHECK(s->id != 0);
	vhc_loop_unlock(loop);
}

static void
unwatch(struct seen *s)
{
	vhc_loop_lock(loop);
	vhc_loop_unwatch(loop, &s->id);
	vhc_loop_unlock(loop);
	CHECK_EQ(s->id, 0);
}

static void
drain(uint32_t events, void *arg)
{
	struct seen *s = arg;
	eventfd_t value;

	CHECK(events & EPOLLIN);
	CHECK(vhc_loop_is_current(loop));
	CHECK_EQ(eventfd_read(s->fd, &value), 0);
	st_release(&s->nr, s->nr + 1);
}

static void
test_watch_runs_on_the_loop_until_unwatched(void)
{
	struct seen s = { .fd = new_eventfd() };

	CHECK(!vhc_loop_is_current(loop));
	watch(&s, drain);
	eventfd_write(s.fd, 1);
	wait_seen(&s, 1);
	unwatch(&s);
	eventfd_write(s.fd, 1);
	peer_sleep_ms(20);
	CHECK_EQ(nr_seen(&s), 1);
	unwatch(&s);
	close(s.fd);
}

static void
remove_other(uint32_t events, void *arg)
{
	struct seen *s = arg;

	drain(events, arg);
	if (!s->other)
		return;
	vhc_loop_unwatch(loop, &s->other->id);
	s->other->other = NULL;
	s->other = NULL;
}

/* Both are ready at once; whichever runs first removes the other, which then must not run. */
static void
test_watch_removed_before_dispatch_does_not_run(void)
{
	struct seen plug = { .fd = new_eventfd() };

	watch(&plug, drain);
	for (int i = 0; i < 50; i++) {
		struct seen *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));

		CHECK(a && b);
		*a = (struct seen){ .fd = new_eventfd(), .other = b };
		*b = (struct seen){ .fd = new_eventfd(), .other = a };
		vhc_loop_lock(loop);
		watch(a, remove_other);
		watch(b, remove_other);
		eventfd_write(plug.fd, 1);
		peer_sleep_ms(2);	/* the loop waits for the lock: it finds both together */
		eventfd_write(a->fd, 1);
		eventfd_write(b->fd, 1);
		vhc_loop_unlock(loop);
		while (nr_seen(a) + nr_seen(b) == 0)
			peer_sleep_ms(1);
		unwatch(a);
		unwatch(b);
		CHECK_EQ(a->nr + b->nr, 1);
		close(a->fd);
		close(b->fd);
		free(a);
		free(b);
	}
	unwatch(&plug);
	close(plug.fd);
}

/* The slot is used again before the stale event is dispatched: it must not reach the newcomer. */
static void
test_stale_event_does_not_reach_the_next_user_of_the_slot(void)
{
	struct seen gone = { .fd = new_eventfd() }, next = { .fd = new_eventfd() };

	watch(&gone, drain);
	vhc_loop_lock(loop);
	eventfd_write(gone.fd, 1);
	peer_sleep_ms(20);	/* the loop has the event, and waits for the lock */
	unwatch(&gone);
	watch(&next, drain);
	vhc_loop_unlock(loop);
	peer_sleep_ms(20);
	CHECK_EQ(nr_seen(&gone), 0);
	CHECK_EQ(nr_seen(&next), 0);
	unwatch(&next);
	close(gone.fd);
	close(next.fd);
}

static void
test_thousands_of_watches(void)
{
	struct rlimit limit;
	struct seen *s = calloc(MANY, sizeof(*s));

	CHECK(s);
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_cur < MANY + 100 ? MANY + 100 : limit.rlim_cur;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	vhc_loop_lock(loop);
	for (int i = 0; i < MANY; i++) {
		s[i].fd = new_eventfd();
		watch(&s[i], drain);
		eventfd_write(s[i].fd, 1);
	}
	vhc_loop_unlock(loop);
	for (int i = 0; i < MANY; i++)
		wait_seen(&s[i], 1);
	for (int i = 0; i < MANY; i++) {
		unwatch(&s[i]);
		close(s[i].fd);
		CHECK_EQ(s[i].nr, 1);
	}
	free(s);
}

static double fired_at[3];
static unsigned int nr_fired;

static void
fire(void *arg)
{
	CHECK(vhc_loop_is_current(loop));
	CHECK_EQ((intptr_t)arg, nr_fired);	/* in the order of their deadlines */
	fired_at[nr_fired] = peer_now();
	st_release(&nr_fired, nr_fired + 1);
}

static void
test_timers_fire_once_in_order_and_not_early(void)
{
	double start = peer_now();
	uint64_t ids[3], cancelled;

	vhc_loop_lock(loop);
	CHECK_EQ(vhc_loop_timer(loop, 60, fire, (void *)2, &ids[2]), 0);
	CHECK_EQ(vhc_loop_timer(loop, 0, fire, (void *)0, &ids[0]), 0);
	CHECK_EQ(vhc_loop_timer(loop, 20, fire, (void *)9, &cancelled), 0);
	CHECK_EQ(vhc_loop_timer(loop, 30, fire, (void *)1, &ids[1]), 0);
	vhc_loop_cancel(loop, &cancelled);
	CHECK_EQ(cancelled, 0);
	vhc_loop_unlock(loop);
	while (ld_acquire(&nr_fired) < 3)
		peer_sleep_ms(1);
	peer_sleep_ms(50);
	CHECK_EQ(ld_acquire(&nr_fired), 3);
	CHECK(fired_at[1] - start >= 0.030 && fired_at[2] - start >= 0.060);
	/* An id that has fired may be cancelled: nothing happens, to a newer timer neither. */
	vhc_loop_lock(loop);
	nr_fired = 0;
	CHECK_EQ(vhc_loop_timer(loop, 5, fire, (void *)0, &cancelled), 0);
	for (int i = 0; i < 3; i++)
		vhc_loop_cancel(loop, &ids[i]);
	vhc_loop_unlock(loop);
	while (ld_acquire(&nr_fired) < 1)
		peer_sleep_ms(1);
}

struct chain {
	unsigned int nr;
	uint64_t id;
	bool is_over;
};

static void
fire_again(void *arg)
{
	struct chain *c = arg;

	st_release(&c->nr, c->nr + 1);
	if (!c->is_over)
		CHECK_EQ(vhc_loop_timer(loop, 0, fire_again, c, &c->id), 0);
}

/* A timer that sets itself again at once starves neither watches nor callers of the API. */
static void
test_self_arming_timer_leaves_room(void)
{
	struct chain c = { 0 };
	struct seen s = { .fd = new_eventfd() };

	watch(&s, drain);
	vhc_loop_lock(loop);
	fire_again(&c);
	vhc_loop_unlock(loop);
	for (unsigned int i = 1; i <= 20; i++) {
		eventfd_write(s.fd, 1);
		wait_seen(&s, i);
	}
	vhc_loop_lock(loop);
	CHECK(c.nr > 1);
	c.is_over = true;
	vhc_loop_cancel(loop, &c.id);
	vhc_loop_unlock(loop);
	unwatch(&s);
	close(s.fd);
}

static void
be_busy(uint32_t events, void *arg)
{
	struct seen *s = arg;

	(void)events;
	peer_sleep_ms(2);	/* stays readable: runs again at once */
	st_release(&s->nr, s->nr + 1);
}

/* A descriptor that is always ready keeps the loop busy; a caller waits for one handler only. */
static void
test_caller_gets_in_between_two_handlers(void)
{
	struct seen s = { .fd = new_eventfd() };

	eventfd_write(s.fd, 1);
	watch(&s, be_busy);
	wait_seen(&s, 3);
	for (int i = 0; i < 50; i++) {
		unsigned int before = nr_seen(&s);

		vhc_loop_lock(loop);
		CHECK(nr_seen(&s) - before <= 2);
		vhc_loop_lock(loop);	/* recursive */
		vhc_loop_unlock(loop);
		vhc_loop_unlock(loop);
	}
	unwatch(&s);
	close(s.fd);
}

static unsigned int guarded;

static void *
add_under_lock(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20000; i++) {
		vhc_loop_lock(loop);
		guarded++;
		vhc_loop_unlock(loop);
	}
	return NULL;
}

static void
test_lock_excludes(void)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, add_under_lock, NULL), 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	CHECK_EQ(guarded, 80000);
}

static void
examine_thread(uint32_t events, void *arg)
{
	char name[32];
	sigset_t blocked;

	CHECK_EQ(pthread_getname_np(pthread_self(), name, sizeof(name)), 0);
	CHECK(strcmp(name, "vhostcore") == 0);
	CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
	CHECK(sigismember(&blocked, SIGINT) && sigismember(&blocked, SIGTERM) &&
	      sigismember(&blocked, SIGUSR1) && sigismember(&blocked, SIGALRM));
	drain(events, arg);
}

static void
test_thread_has_a_name_and_takes_no_signals(void)
{
	struct seen s = { .fd = new_eventfd() };

	peer_sleep_ms(10);	/* the name is set by the thread that starts it */
	watch(&s, examine_thread);
	eventfd_write(s.fd, 1);
	wait_seen(&s, 1);
	unwatch(&s);
	close(s.fd);
}

static void
test_loop_is_shared_and_ends_with_its_last_user(void)
{
	struct loop *second;
	int nr_fds;

	CHECK_EQ(vhc_loop_get(0, &second), 0);
	CHECK(second == loop);
	vhc_loop_put(second);
	vhc_loop_put(loop);
	nr_fds = peer_nr_open_fds();
	CHECK_EQ(vhc_loop_get(0, &loop), 0);
	CHECK(peer_nr_open_fds() > nr_fds);
	vhc_loop_put(loop);
	CHECK_EQ(peer_nr_open_fds(), nr_fds);
	CHECK_EQ(vhc_loop_get(0, &loop), 0);
}

static const struct test tests[] = {
	TEST(test_watch_runs_on_the_loop_until_unwatched),
	TEST(test_watch_removed_before_dispatch_does_not_run),
	TEST(test_stale_event_does_not_reach_the_next_user_of_the_slot),
	TEST(test_thousands_of_watches),
	TEST(test_timers_fire_once_in_order_and_not_early),
	TEST(test_self_arming_timer_leaves_room),
	TEST(test_caller_gets_in_between_two_handlers),
	TEST(test_lock_excludes),
	TEST(test_thread_has_a_name_and_takes_no_signals),
	TEST(test_loop_is_shared_and_ends_with_its_last_user),
};

int
main(void)
{
	int rc;

	CHECK_EQ(vhc_loop_get(0, &loop), 0);
	rc = RUN_TESTS(tests);
	vhc_loop_put(loop);
	return rc;
}
