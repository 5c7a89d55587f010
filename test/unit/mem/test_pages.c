/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_pages.c - memory whose pages come one by one: who waits, who brings, and who gives up.
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "mem/pages.h"
#include "unit/check.h"

#define PAGE UINT64_C(4096)
#define HUGE (UINT64_C(2) << 20)
#define NR_PAGES 4

struct rig {
	uint64_t page;
	int fd;
	struct page_source *source;
	struct region *region;
	pthread_t thread;
	const volatile uint8_t *at;
	uint8_t seen;
};

static struct rig rig;
static char reason[REGION_REASON_LEN];

static bool
has_pages(void)
{
	void *all;

	if (rig.page == PAGE)
		return true;
	all = mmap(NULL, NR_PAGES * rig.page, PROT_READ, MAP_SHARED, rig.fd, 0);

	return all != MAP_FAILED && munmap(all, NR_PAGES * rig.page) == 0;
}

static void
setup(uint64_t page, unsigned int flags)
{
	const struct region_claim claim = { { 0 }, { 0 }, NR_PAGES * page, 0 };

	rig = (struct rig){ .page = page, .fd = memfd_create("pages", MFD_CLOEXEC | flags) };
	if (rig.fd < 0 || ftruncate(rig.fd, (off_t)(NR_PAGES * page)) < 0 || !has_pages())
		SKIP("no free 2 MiB pages; sysctl vm.nr_hugepages=4 gives some");
	CHECK_EQ(vhc_pages_create(false, &rig.source, reason), 0);
	CHECK_EQ(vhc_region_await(&claim, rig.fd, rig.source, &rig.region, reason), 0);
}

static void
teardown(void)
{
	vhc_region_unref(rig.region);
	if (rig.source)
		vhc_pages_destroy(rig.source);
	close(rig.fd);
}

static long
nr_blocks(void)
{
	struct stat st;

	CHECK_EQ(fstat(rig.fd, &st), 0);
	return (long)st.st_blocks;
}

static void *
touch(void *arg)
{
	(void)arg;
	rig.seen = *rig.at;
	return NULL;
}

/* Returns when the thread sleeps on the page. */
static void
touch_page(unsigned int nr)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	rig.at = rig.region->host + nr * rig.page + 5;
	rig.seen = 99;
	CHECK_EQ(pthread_create(&rig.thread, NULL, touch, NULL), 0);
	for (int i = 0; i < 10000 && !vhc_pages_are_awaited(rig.source); i++)
		nanosleep(&pause, NULL);
	CHECK(vhc_pages_are_awaited(rig.source));
}

/* As the front-end does it: with its copy of the descriptor, and the file. */
static void
bring_page(int fd)
{
	struct uffd_msg msg;
	struct uffdio_range range;
	uint64_t offset;
	uint8_t *all = mmap(NULL, NR_PAGES * rig.page, PROT_READ | PROT_WRITE, MAP_SHARED, rig.fd,
			    0);

	CHECK(all != MAP_FAILED);
	CHECK_EQ(read(fd, &msg, sizeof(msg)), (ssize_t)sizeof(msg));
	CHECK_EQ(msg.event, UFFD_EVENT_PAGEFAULT);
	offset = (msg.arg.pagefault.address - (uintptr_t)rig.region->host) & ~(rig.page - 1);
	memset(all + offset, 7, rig.page);
	range = (struct uffdio_range){ (uintptr_t)rig.region->host + offset, rig.page };
	CHECK_EQ(ioctl(fd, UFFDIO_WAKE, &range), 0);
	munmap(all, NR_PAGES * rig.page);
}

static void
check_brought(void)
{
	int fd = vhc_pages_share(rig.source);

	CHECK(fd >= 0);
	CHECK_EQ(nr_blocks(), 0);
	touch_page(2);
	bring_page(fd);
	pthread_join(rig.thread, NULL);
	CHECK_EQ(rig.seen, 7);
	CHECK(!vhc_pages_are_awaited(rig.source));
	close(fd);
	teardown();
}

static void
test_page_is_brought(void)
{
	setup(PAGE, 0);
	check_brought();
}

static void
test_huge_page_is_brought(void)
{
	setup(HUGE, MFD_HUGETLB | MFD_HUGE_2MB);
	check_brought();
}

/* The front-end has its copy still: closing ours would wake nobody. */
static void
check_given_up(uint64_t page, unsigned int flags)
{
	int fd;

	setup(page, flags);
	fd = vhc_pages_share(rig.source);
	touch_page(1);
	vhc_pages_give_up(rig.source);
	pthread_join(rig.thread, NULL);
	CHECK_EQ(rig.seen, 0);
	rig.region->host[0] = 3;
	/* Nothing of that is in the guest's memory, whose pages may still come. */
	CHECK_EQ(nr_blocks(), 0);
	close(fd);
	teardown();
}

static void
test_given_up(void)
{
	check_given_up(PAGE, 0);
}

static void
test_huge_given_up(void)
{
	check_given_up(HUGE, MFD_HUGETLB | MFD_HUGE_2MB);
}

static void
test_end_wakes_who_waits(void)
{
	int fd;

	setup(PAGE, 0);
	fd = vhc_pages_share(rig.source);
	touch_page(3);
	vhc_pages_destroy(rig.source);
	rig.source = NULL;
	pthread_join(rig.thread, NULL);
	CHECK_EQ(rig.seen, 0);
	rig.region->host[PAGE] = 4;	/* nobody is asked any more */
	close(fd);
	teardown();
}

/* What is unmapped must not be replaced: something else may be there. */
static void
test_region_that_went_before(void)
{
	setup(PAGE, 0);
	vhc_region_ref(rig.region);
	vhc_region_unref(rig.region);
	CHECK(rig.region->source == rig.source);
	vhc_region_unref(rig.region);
	vhc_pages_give_up(rig.source);
	vhc_pages_destroy(rig.source);
	close(rig.fd);
}

/* mlockall(2) fetches what is mapped, and so makes it: after that no page would be missing. */
static void
test_locked_memory_is_not_touched(void)
{
	if (mlockall(MCL_FUTURE))
		SKIP("this user may not lock memory");
	setup(PAGE, 0);
	CHECK_EQ(nr_blocks(), 0);
	touch_page(0);
	vhc_pages_give_up(rig.source);
	pthread_join(rig.thread, NULL);
	munlockall();
	teardown();
}

static void
test_file_of_another_kind(void)
{
	const struct region_claim claim = { { 0 }, { 0 }, PAGE, 0 };
	struct page_source *source;
	struct region *region;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	CHECK_EQ(vhc_pages_create(false, &source, reason), 0);
	CHECK(vhc_region_await(&claim, fd, source, &region, reason) < 0);
	vhc_pages_destroy(source);
	close(fd);
}

/* In a process of its own, which becomes nobody. */
static int
as_nobody(void)
{
	struct page_source *source;
	int rc;

	if (setgid(65534) || setuid(65534))
		return 1;
	rc = vhc_pages_create(false, &source, reason);
	if (rc == 0)
		return 0;	/* this system allows it to everyone */
	if (rc != -EPERM || !strstr(reason, "vm.unprivileged_userfaultfd=1"))
		return 2;
	if (vhc_pages_create(true, &source, reason))
		return 3;
	vhc_pages_destroy(source);
	return 0;
}

static void
test_rights(void)
{
	pid_t pid;
	int status;

	if (geteuid() != 0)
		SKIP("only root can become somebody else");
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		_exit(as_nobody());
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static const struct test tests[] = {
	TEST(test_page_is_brought),
	TEST(test_given_up),
	TEST(test_end_wakes_who_waits),
	TEST(test_region_that_went_before),
	TEST(test_locked_memory_is_not_touched),
	TEST(test_file_of_another_kind),
	TEST(test_rights),
	TEST(test_huge_page_is_brought),
	TEST(test_huge_given_up),
};

int
main(void)
{
	struct page_source *source;
	int rc = vhc_pages_create(false, &source, reason);

	if (rc == -EPERM || rc == -ENOSYS)
		SKIP(reason);
	CHECK_EQ(rc, 0);
	vhc_pages_destroy(source);
	return RUN_TESTS(tests);
}
