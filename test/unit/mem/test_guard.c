/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_guard.c - files that become shorter under us, and handlers of others for the same signal.
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/gate.h"
#include "base/order.h"
#include "mem/dirty_log.h"
#include "mem/file.h"
#include "mem/guard.h"
#include "mem/region.h"
#include "unit/check.h"

#define PAGE	4096u
#define MIB	(1u << 20)
#define HUGE	(2 * MIB)

/* A file, and what was mapped of it by us. */
struct shared {
	int fd;
	struct region *region;
	volatile uint8_t *at;
};

static struct shared
share(uint64_t len, unsigned int flags)
{
	const struct region_claim claim = { { 0x100000 }, { 0x700000 }, len, 0 };
	struct shared s = { .fd = memfd_create("guarded", MFD_CLOEXEC | flags) };
	char reason[REGION_REASON_LEN];

	CHECK(s.fd >= 0);
	CHECK_EQ(ftruncate(s.fd, (off_t)len), 0);
	CHECK_EQ(vhc_region_map(&claim, s.fd, &s.region, reason), 0);
	s.at = s.region->host;
	return s;
}

static void
unshare_it(struct shared *s)
{
	vhc_region_unref(s->region);
	close(s->fd);
}

static unsigned int
nr_mappings(const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned int nr = 0;

	CHECK(maps);
	while (fgets(line, sizeof(line), maps))
		nr += strstr(line, name) != NULL;
	fclose(maps);
	return nr;
}

/* ---- what is missing ------------------------------------------------------------------------ */

static void
test_zeros_where_the_file_has_gone(void)
{
	struct shared s = share(8 * MIB, 0);

	s.at[0] = 1;
	s.at[5 * MIB] = 2;
	CHECK_EQ(ftruncate(s.fd, 3 * PAGE), 0);
	CHECK(!vhc_guard_is_lost(s.region->guard));
	CHECK_EQ(s.at[5 * MIB], 0);
	CHECK(vhc_guard_is_lost(s.region->guard));
	s.at[5 * MIB] = 3;
	s.at[3 * PAGE] = 4;
	s.at[8 * MIB - 1] = 5;
	CHECK_EQ(s.at[5 * MIB] + s.at[3 * PAGE] + s.at[8 * MIB - 1], 12);
	/* What is there still is the file's. */
	CHECK_EQ(s.at[0], 1);
	CHECK(nr_mappings("guarded") > 0);
	unshare_it(&s);
	CHECK_EQ(nr_mappings("guarded"), 0);
}

/* Every page, from the end: each is one that is missing. */
static void
test_every_page(void)
{
	struct shared s = share(4 * MIB, 0);

	CHECK_EQ(ftruncate(s.fd, 0), 0);
	for (uint32_t at = 4 * MIB; at; at -= PAGE) {
		s.at[at - PAGE] = (uint8_t)(at / PAGE);
		CHECK_EQ(s.at[at - PAGE], (uint8_t)(at / PAGE));
	}
	unshare_it(&s);
}

static void
test_huge_pages(void)
{
	struct shared s;
	int probe = memfd_create("guarded", MFD_HUGETLB | MFD_HUGE_2MB);
	void *at = MAP_FAILED;

	if (probe >= 0 && ftruncate(probe, 3 * HUGE) == 0)
		at = mmap(NULL, 3 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, probe, 0);
	if (at == MAP_FAILED)
		SKIP("no three free 2 MiB pages; sysctl vm.nr_hugepages=4 gives some");
	munmap(at, 3 * HUGE);
	close(probe);
	s = share(3 * HUGE, MFD_HUGETLB | MFD_HUGE_2MB);
	s.at[7] = 7;
	CHECK_EQ(ftruncate(s.fd, HUGE), 0);
	s.at[2 * HUGE + 5 * PAGE + 1] = 1;
	s.at[HUGE] = 2;
	CHECK_EQ(s.at[2 * HUGE + 5 * PAGE + 1], 1);
	CHECK_EQ(s.at[HUGE], 2);
	CHECK_EQ(s.at[7], 7);
	CHECK(vhc_guard_is_lost(s.region->guard));
	unshare_it(&s);
	CHECK_EQ(nr_mappings("guarded"), 0);
}

/* A dirty log and an in-flight file are shared in the same way. */
static void
test_other_files(void)
{
	int fd = memfd_create("guarded", MFD_CLOEXEC);
	char reason[DIRTY_LOG_REASON_LEN];
	struct dirty_log log = { 0 };
	struct file_view view;
	struct dirty_map *map;

	CHECK_EQ(ftruncate(fd, 4 * PAGE), 0);
	CHECK_EQ(vhc_dirty_log_map(&log, fd, 2 * PAGE, PAGE, reason), 0);
	CHECK_EQ(vhc_file_map(fd, 3 * PAGE, 100, &view), 0);
	vhc_dirty_log_set(&log, true);
	CHECK_EQ(ftruncate(fd, 0), 0);
	map = dirty_log_hold(&log);
	vhc_dirty_log_mark(map, (gpa){ 0x1000 }, 1);
	CHECK_EQ(map->bits[0], 2);
	CHECK(vhc_guard_is_lost(map->guard));
	dirty_log_release(map);
	CHECK(!vhc_guard_is_lost(view.guard));
	*view.host = 1;
	CHECK(vhc_guard_is_lost(view.guard));
	vhc_dirty_log_unmap(&log);
	vhc_file_unmap(&view);
	CHECK_EQ(nr_mappings("guarded"), 0);
	close(fd);
}

/* A loan outlives its region: whose pages they are by then makes no difference. */
static void
test_lent_and_lost(void)
{
	struct shared s = share(4 * PAGE, 0);
	struct region_loan loan = { 0 };
	volatile uint8_t *at = s.at + PAGE;

	vhc_region_lend(&loan, s.region->host + PAGE, 2);
	CHECK_EQ(ftruncate(s.fd, 0), 0);
	*at = 9;
	unshare_it(&s);
	CHECK_EQ(*at, 0);
	vhc_region_end_loan(&loan);
}

static void
test_listeners_are_told(void)
{
	struct shared s = share(PAGE, 0);
	int fds[3];
	eventfd_t nr;

	for (int i = 0; i < 3; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		CHECK_EQ(vhc_guard_listen(fds[i]), 0);
	}
	vhc_guard_unlisten(fds[1]);
	CHECK_EQ(ftruncate(s.fd, 0), 0);
	*s.at = 1;
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(eventfd_read(fds[i], &nr), i == 1 ? -1 : 0);
		vhc_guard_unlisten(fds[i]);
		close(fds[i]);
	}
	unshare_it(&s);
}

/* ---- core dumps ----------------------------------------------------------------------------- */

/* Mappings with this name in /proc/self/smaps, and those of them that a core dump leaves out. */
static void
count_dumped(const char *name, unsigned int *nr, unsigned int *nr_left_out)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	bool is_named = false;
	char line[512];

	*nr = *nr_left_out = 0;
	CHECK(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		if (strchr(line, '-') && strstr(line, " rw"))
			*nr += is_named = strstr(line, name) != NULL;
		if (is_named && !strncmp(line, "VmFlags:", 8))
			*nr_left_out += strstr(line, " dd") != NULL;
	}
	fclose(smaps);
}

static void
test_core_dumps_leave_it_out(void)
{
	struct shared s = share(8 * MIB, 0);
	char reason[DIRTY_LOG_REASON_LEN];
	struct dirty_log log = { 0 };
	unsigned int nr, nr_left_out;

	CHECK_EQ(vhc_dirty_log_map(&log, s.fd, PAGE, 0, reason), 0);
	count_dumped("guarded", &nr, &nr_left_out);
	CHECK_EQ(nr, 2);
	CHECK_EQ(nr_left_out, 2);
	vhc_dirty_log_unmap(&log);
	unshare_it(&s);
}

/* ---- handlers of others --------------------------------------------------------------------- */

static void *not_ours;		/* a page without a file behind it */
static volatile unsigned int nr_seen;

static void
make_not_ours(void)
{
	int fd = memfd_create("other", MFD_CLOEXEC);

	CHECK_EQ(ftruncate(fd, PAGE), 0);
	not_ours = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(not_ours != MAP_FAILED);
	CHECK_EQ(ftruncate(fd, 0), 0);
	close(fd);
}

static void
touch_not_ours(void)
{
	*(volatile uint8_t *)not_ours = 1;
}

static void
repair_not_ours(void)
{
	mmap(not_ours, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1,
	     0);
	nr_seen++;
}

static void
on_info(int number, siginfo_t *info, void *context)
{
	if (number == SIGBUS && info->si_addr == not_ours && context)
		repair_not_ours();
}

static void
on_number(int number)
{
	if (number == SIGBUS)
		repair_not_ours();
}

static void
set_handler(void (*info)(int, siginfo_t *, void *), void (*number)(int))
{
	struct sigaction action = { .sa_flags = info ? SA_SIGINFO : 0 };

	if (info)
		action.sa_sigaction = info;
	else
		action.sa_handler = number;
	CHECK_EQ(sigaction(SIGBUS, &action, NULL), 0);
}

static void
lose_a_page(void)
{
	struct shared s = share(PAGE, 0);

	CHECK_EQ(ftruncate(s.fd, 0), 0);
	*s.at = 1;
	CHECK(vhc_guard_is_lost(s.region->guard));
	unshare_it(&s);
}

/* The signal that this ends by, in a process of its own; 0: it ends well. */
static int
ends_by(void (*run)(void))
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (pid == 0) {
		alarm(20);
		run();
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void
run_alone(void)
{
	lose_a_page();
	touch_not_ours();
}

static void
run_sent(void)
{
	lose_a_page();
	raise(SIGBUS);
}

static void
run_ignored(void)
{
	signal(SIGBUS, SIG_IGN);
	lose_a_page();
	raise(SIGBUS);
	lose_a_page();
}

static void
run_ignored_and_touched(void)
{
	signal(SIGBUS, SIG_IGN);
	run_alone();
}

static void
test_what_is_not_ours_has_its_effect(void)
{
	make_not_ours();
	CHECK_EQ(ends_by(run_alone), SIGBUS);
	CHECK_EQ(ends_by(run_sent), SIGBUS);
	CHECK_EQ(ends_by(run_ignored), 0);
	CHECK_EQ(ends_by(run_ignored_and_touched), SIGBUS);
}

static void
run_one_before(void)
{
	set_handler(on_info, NULL);
	lose_a_page();
	CHECK_EQ(nr_seen, 0);
	touch_not_ours();
	CHECK_EQ(nr_seen, 1);
	lose_a_page();
	CHECK_EQ(nr_seen, 1);
}

static void
run_plain_one_before(void)
{
	set_handler(NULL, on_number);
	lose_a_page();
	touch_not_ours();
	CHECK_EQ(nr_seen, 1);
}

/* As DPDK's does: what is not his goes on to who was there before, without the arguments. */
static struct sigaction below;
static bool is_mine;

static void
on_info_or_below(int number, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	nr_seen++;
	if (is_mine)
		repair_not_ours();
	else
		below.sa_handler(number);
}

static void
set_on_top(void)
{
	struct sigaction action = { .sa_flags = SA_SIGINFO, .sa_sigaction = on_info_or_below };

	CHECK_EQ(sigaction(SIGBUS, &action, &below), 0);
}

/* It was set after us; the next mapping puts us above it. */
static void
run_one_after(void)
{
	lose_a_page();
	set_on_top();
	lose_a_page();
	CHECK_EQ(nr_seen, 0);
	is_mine = true;
	touch_not_ours();
	CHECK_EQ(nr_seen, 2);
	lose_a_page();
	CHECK_EQ(nr_seen, 2);
}

static void
run_one_after_that_hands_back(void)
{
	lose_a_page();
	set_on_top();
	lose_a_page();
	touch_not_ours();
}

static void
run_one_between(void)
{
	set_handler(on_info, NULL);
	lose_a_page();
	set_on_top();
	lose_a_page();
	CHECK_EQ(nr_seen, 0);
	touch_not_ours();
	CHECK_EQ(nr_seen, 2);	/* ours, the one after us, ours, the one before us */
	CHECK_EQ(vhc_guard_set(true), 0);
	lose_a_page();
	CHECK_EQ(nr_seen, 2);
}

static void
test_handlers_of_others(void)
{
	make_not_ours();
	CHECK_EQ(ends_by(run_one_before), 0);
	CHECK_EQ(ends_by(run_plain_one_before), 0);
	CHECK_EQ(ends_by(run_one_after), 0);
	CHECK_EQ(ends_by(run_one_after_that_hands_back), SIGBUS);
	CHECK_EQ(ends_by(run_one_between), 0);
}

static void
on_info_with_mend(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	nr_seen++;
	if (!vhc_guard_mend(info->si_addr))
		_exit(1);
}

static void
run_off_and_own(void)
{
	struct sigaction now;

	CHECK_EQ(vhc_guard_set(false), 0);
	set_handler(on_info_with_mend, NULL);
	lose_a_page();
	CHECK_EQ(nr_seen, 1);
	CHECK_EQ(sigaction(SIGBUS, NULL, &now), 0);
	CHECK(now.sa_sigaction == on_info_with_mend);
	CHECK_EQ(vhc_guard_set(true), 0);
	lose_a_page();
	CHECK_EQ(nr_seen, 1);
	CHECK_EQ(vhc_guard_set(false), 0);
	CHECK_EQ(sigaction(SIGBUS, NULL, &now), 0);
	CHECK(now.sa_sigaction == on_info_with_mend);
}

static void
run_off(void)
{
	CHECK_EQ(vhc_guard_set(false), 0);
	lose_a_page();
}

static void
test_switched_off(void)
{
	CHECK_EQ(ends_by(run_off), SIGBUS);
	CHECK_EQ(ends_by(run_off_and_own), 0);
}

/* ---- all at once ---------------------------------------------------------------------------- */

#define RACERS	4
#define ROUNDS	200
#define ENOUGH	(2 * 256 + 10)	/* guards, so that the table grows */

/* Each loses its own, while the table changes under the handlers of the others. */
static void *
race(void *arg)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct shared s = share(4 * PAGE, 0), other = share(PAGE, 0);

		CHECK_EQ(ftruncate(s.fd, 0), 0);
		s.at[3 * PAGE] = 7;
		CHECK_EQ(s.at[3 * PAGE], 7);
		s.at[0] = 8;
		CHECK_EQ(s.at[0], 8);
		CHECK(!vhc_guard_is_lost(other.region->guard));
		unshare_it(&other);
		unshare_it(&s);
	}
	return arg;
}

static void
test_many_at_once(void)
{
	static struct shared many[ENOUGH];
	pthread_t threads[RACERS];

	for (unsigned int i = 0; i < ENOUGH; i++)
		many[i] = share(PAGE, 0);
	for (unsigned int i = 0; i < RACERS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, race, NULL), 0);
	for (unsigned int i = 0; i < RACERS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	for (unsigned int i = 0; i < ENOUGH; i++) {
		CHECK(!vhc_guard_is_lost(many[i].region->guard));
		CHECK_EQ(ftruncate(many[i].fd, 0), 0);
		many[i].at[1] = 1;
		CHECK(vhc_guard_is_lost(many[i].region->guard));
		unshare_it(&many[i]);
	}
	CHECK_EQ(nr_mappings("guarded"), 0);
}

static const struct test tests[] = {
	/* These begin without our handler. */
	TEST(test_what_is_not_ours_has_its_effect),
	TEST(test_handlers_of_others),
	TEST(test_switched_off),
	TEST(test_zeros_where_the_file_has_gone),
	TEST(test_every_page),
	TEST(test_other_files),
	TEST(test_lent_and_lost),
	TEST(test_listeners_are_told),
	TEST(test_core_dumps_leave_it_out),
	TEST(test_many_at_once),
	TEST(test_huge_pages),	/* may be skipped, and what follows with it */
};

int
main(void)
{
	/* Sanitizers have a handler, which is about to die in its own way. */
	signal(SIGBUS, SIG_DFL);
	CHECK_EQ(vhc_gate_setup(), 0);
	return RUN_TESTS(tests);
}
