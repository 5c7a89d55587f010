/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_copy.c - what each kernel copies with: every length, every alignment, not a byte too many.
 *
 * Knows:   net/kernel.h.
 * Trusts:  memory protection.
 * Runs on: one thread.
 */
#include "model/net_rig.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net/kernel.h"

#define LENGTH_MAX 2048
#define ALIGNMENTS 64
#define CANARY 0xa5

/* Room for any length at any alignment, and behind it a page that must not be touched. */
struct arena {
	uint8_t *bytes;
	size_t size;
};

static struct arena from, to;

static struct arena
arena_open(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct arena arena = { .size = 2 * page };

	CHECK(LENGTH_MAX + 2 * ALIGNMENTS <= arena.size);
	arena.bytes = mmap(NULL, arena.size + page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(arena.bytes != MAP_FAILED);
	CHECK_EQ(mprotect(arena.bytes + arena.size, page, PROT_NONE), 0);
	return arena;
}

static void
arenas_open(void)
{
	from = arena_open();
	to = arena_open();
	for (size_t i = 0; i < from.size; i++)
		from.bytes[i] = (uint8_t)(i * 7 + (i >> 8));
}

static void
check_copy(const struct net_kernel *kernel, uint8_t *dst, const uint8_t *src, uint32_t len)
{
	size_t before = (size_t)(dst - to.bytes), behind = to.size - before - len;

	before = before < ALIGNMENTS ? before : ALIGNMENTS;
	behind = behind < ALIGNMENTS ? behind : ALIGNMENTS;
	memset(dst - before, CANARY, before + len + behind);
	kernel->copy(dst, src, len);
	CHECK_EQ(memcmp(dst, src, len), 0);
	for (size_t i = 1; i <= before; i++)
		CHECK_EQ(dst[-(ptrdiff_t)i], CANARY);
	for (size_t i = 0; i < behind; i++)
		CHECK_EQ(dst[len + i], CANARY);
}

/* Each alignment of one side with some of the other; both sides change with the length as well. */
static void
every_length(const struct net_kernel *kernel)
{
	for (uint32_t len = 0; len <= LENGTH_MAX; len++)
		for (uint32_t at = 0; at < ALIGNMENTS; at++) {
			uint32_t other = (at * 5 + len) % ALIGNMENTS;

			check_copy(kernel, to.bytes + ALIGNMENTS + at, from.bytes + other, len);
			check_copy(kernel, to.bytes + ALIGNMENTS + other, from.bytes + at, len);
		}
}

/* The first byte behind either side would be a fault. */
static void
up_to_the_guard_page(const struct net_kernel *kernel)
{
	for (uint32_t len = 0; len <= LENGTH_MAX; len++)
		check_copy(kernel, to.bytes + to.size - len, from.bytes + from.size - len, len);
}

static void
test_every_kernel(void)
{
	unsigned int nr_run = 0;

	arenas_open();
	for (unsigned int i = 0; i < vhc_net_nr_kernels; i++) {
		if (!vhc_net_kernel_runs(i)) {
			printf("%s is not copied with: this CPU does not have it\n",
			       vhc_net_kernels[i]->name);
			continue;
		}
		every_length(vhc_net_kernels[i]);
		up_to_the_guard_page(vhc_net_kernels[i]);
		nr_run++;
	}
	CHECK(nr_run > 0);
}

/* EAL was told how wide vectors may be: no other limit holds, and no kernel goes beyond it. */
static void
test_the_best_that_runs_is_chosen(void)
{
	const struct net_kernel *best = vhc_net_kernels[0];

	for (unsigned int i = 0; i < vhc_net_nr_kernels; i++)
		if (vhc_net_kernel_runs(i))
			best = vhc_net_kernels[i];
	CHECK(vhc_net_kernel() == best);
	CHECK(strcmp(vhc_net_kernel_name(), best->name) == 0);
}

static const struct test tests[] = {
	TEST(test_every_kernel),
	TEST(test_the_best_that_runs_is_chosen),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
