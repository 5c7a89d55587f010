/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_sigbus.c - DPDK has a handler of SIGBUS, for PCI devices that were pulled out: with ours.
 */
#define _GNU_SOURCE 1
#define ALLOW_EXPERIMENTAL_API

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <rte_dev.h>

#include "mem/guard.h"
#include "mem/region.h"
#include "model/net_rig.h"

#define PAGE 4096u

static void
lose_a_page(void)
{
	const struct region_claim claim = { { 0x100000 }, { 0x700000 }, PAGE, 0 };
	int fd = memfd_create("guarded", MFD_CLOEXEC);
	char reason[REGION_REASON_LEN];
	struct region *region;

	CHECK_EQ(ftruncate(fd, PAGE), 0);
	CHECK_EQ(vhc_region_map(&claim, fd, &region, reason), 0);
	CHECK_EQ(ftruncate(fd, 0), 0);
	*(volatile uint8_t *)region->host = 1;
	CHECK(vhc_guard_is_lost(region->guard));
	vhc_region_unref(region);
	close(fd);
}

/* What belongs to nobody. */
static void
touch_a_hole(void)
{
	int fd = memfd_create("other", MFD_CLOEXEC);
	volatile uint8_t *at;

	CHECK_EQ(ftruncate(fd, PAGE), 0);
	at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK_EQ(ftruncate(fd, 0), 0);
	*at = 1;
}

static bool
ends_well(void (*run)(void))
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (pid == 0) {
		/* Sanitizers have a handler, which makes a report of what is meant to happen. */
		signal(SIGBUS, SIG_DFL);
		alarm(20);
		run();
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(!WIFSIGNALED(status) || WTERMSIG(status) != SIGALRM);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void
dpdk_first(void)
{
	CHECK_EQ(rte_dev_hotplug_handle_enable(), 0);
	lose_a_page();
	CHECK_EQ(rte_dev_hotplug_handle_disable(), 0);
	lose_a_page();
}

static void
dpdk_second(void)
{
	lose_a_page();
	CHECK_EQ(rte_dev_hotplug_handle_enable(), 0);
	lose_a_page();
	CHECK_EQ(rte_dev_hotplug_handle_disable(), 0);
	lose_a_page();
	CHECK_EQ(rte_dev_hotplug_handle_enable(), 0);
	lose_a_page();
}

static void
dpdk_first_and_a_hole(void)
{
	dpdk_first();
	touch_a_hole();
}

static void
dpdk_second_and_a_hole(void)
{
	dpdk_second();
	touch_a_hole();
}

static void
test_both_orders(void)
{
	CHECK(ends_well(dpdk_first));
	CHECK(ends_well(dpdk_second));
}

static void
test_what_is_nobody_s_ends_the_process(void)
{
	CHECK(!ends_well(dpdk_first_and_a_hole));
	CHECK(!ends_well(dpdk_second_and_a_hole));
}

static const struct test tests[] = {
	TEST(test_both_orders),
	TEST(test_what_is_nobody_s_ends_the_process),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
