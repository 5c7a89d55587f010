/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dirty_log.c - the bitmap against a model of it, hostile sizes, and marks that race control.
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "base/gate.h"
#include "mem/dirty_log.h"
#include "model/guest.h"
#include "unit/check.h"

#define PAGE 4096u
#define FILE_LEN (16 * PAGE)

static char reason[DIRTY_LOG_REASON_LEN];

/* A file, and our own view of it. */
struct file {
	int fd;
	uint8_t *bytes;
};

static struct file
new_file(void)
{
	struct file f = { .fd = memfd_create("dirty_test", MFD_CLOEXEC) };

	CHECK(f.fd >= 0);
	CHECK_EQ(ftruncate(f.fd, FILE_LEN), 0);
	f.bytes = mmap(NULL, FILE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, 0);
	CHECK(f.bytes != MAP_FAILED);
	return f;
}

static void
end_file(const struct file *f)
{
	munmap(f->bytes, FILE_LEN);
	close(f->fd);
}

static unsigned int
nr_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned int nr = 0;

	CHECK(maps);
	while (fgets(line, sizeof(line), maps))
		nr += strstr(line, "memfd:dirty_test") != NULL;
	fclose(maps);
	return nr;
}

static void
mark(struct dirty_log *log, uint64_t guest, uint64_t len)
{
	struct dirty_map *map = dirty_log_hold(log);

	if (!map)
		return;
	vhc_dirty_log_mark(map, (gpa){ guest }, len);
	dirty_log_release(map);
}

/* ---- the bitmap ----------------------------------------------------------------------------- */

/* Page by page, as slowly as can be. */
static void
model_mark(uint8_t *bits, uint64_t size, uint64_t guest, uint64_t len)
{
	for (uint64_t page = guest / PAGE; len && page <= (guest + len - 1) / PAGE; page++)
		if (page / 8 < size)
			bits[page / 8] |= (uint8_t)(1u << page % 8);
}

static void
test_bitmap_is_the_model(void)
{
	struct file f = new_file();

	for (int round = 0; round < 400; round++) {
		uint64_t offset = random_below(3) ? random_below(8 * PAGE) : random_below(9) * PAGE;
		uint64_t size = 1 + random_below(random_below(2) ? 40 : 8 * PAGE);
		struct dirty_log log = { 0 };
		static uint8_t model[FILE_LEN];

		memset(f.bytes, 0, FILE_LEN);
		memset(model, 0, FILE_LEN);
		CHECK_EQ(vhc_dirty_log_map(&log, f.fd, size, offset, reason), 0);
		vhc_dirty_log_set(&log, true);
		for (int i = 0; i < 50; i++) {
			uint64_t guest = random_below((uint32_t)(size * 8 + 20)) * (uint64_t)PAGE +
					 random_below(PAGE);
			uint64_t len = random_below(random_below(2) ? 3 * PAGE : 40 * PAGE);

			mark(&log, guest, len);
			model_mark(model + offset, size, guest, len);
		}
		CHECK(memcmp(f.bytes, model, FILE_LEN) == 0);
		vhc_dirty_log_unmap(&log);
	}
	CHECK_EQ(nr_mappings(), 1);
	end_file(&f);
}

static void
test_ends_of_all_there_is(void)
{
	struct file f = new_file();
	struct dirty_log log = { 0 };

	CHECK_EQ(vhc_dirty_log_map(&log, f.fd, 8, 0, reason), 0);
	vhc_dirty_log_set(&log, true);
	mark(&log, UINT64_MAX, 1);
	mark(&log, UINT64_MAX, UINT64_MAX);
	mark(&log, 64 * PAGE, UINT64_MAX);
	mark(&log, 0, 0);
	for (unsigned int i = 0; i < FILE_LEN; i++)
		CHECK_EQ(f.bytes[i], 0);
	mark(&log, 63 * PAGE + PAGE - 1, UINT64_MAX);
	CHECK_EQ(f.bytes[7], 0x80);
	mark(&log, PAGE, UINT64_MAX);
	CHECK_EQ(f.bytes[0], 0xfe);
	for (int i = 1; i < 8; i++)
		CHECK_EQ(f.bytes[i], 0xff);
	CHECK_EQ(f.bytes[8], 0);
	vhc_dirty_log_unmap(&log);
	end_file(&f);
}

static void
test_on_and_off(void)
{
	struct file f = new_file();
	struct dirty_log log = { 0 };

	vhc_dirty_log_set(&log, true);	/* there is none */
	mark(&log, 0, 1);
	CHECK(!vhc_dirty_log_map_of(&log));
	CHECK_EQ(vhc_dirty_log_map(&log, f.fd, 8, 0, reason), 0);
	CHECK(vhc_dirty_log_map_of(&log));
	mark(&log, 0, 1);
	CHECK_EQ(f.bytes[0], 0);
	vhc_dirty_log_set(&log, true);
	mark(&log, 0, 1);
	CHECK_EQ(f.bytes[0], 1);
	vhc_dirty_log_set(&log, false);
	mark(&log, PAGE, 1);
	CHECK_EQ(f.bytes[0], 1);
	/* A new one does not begin by itself. */
	CHECK_EQ(vhc_dirty_log_map(&log, f.fd, 8, 8, reason), 0);
	CHECK_EQ(nr_mappings(), 3);
	vhc_dirty_log_drop_old(&log);
	mark(&log, PAGE, 1);
	CHECK_EQ(f.bytes[8], 0);
	vhc_dirty_log_set(&log, true);
	mark(&log, PAGE, 1);
	CHECK_EQ(f.bytes[8], 2);
	CHECK_EQ(nr_mappings(), 2);
	vhc_dirty_log_unmap(&log);
	vhc_dirty_log_unmap(&log);
	mark(&log, PAGE, 1);
	CHECK_EQ(nr_mappings(), 1);
	end_file(&f);
}

/* ---- what cannot be mapped ------------------------------------------------------------------ */

static void
test_hostile_sizes(void)
{
	static const struct {
		uint64_t size, offset;
		const char *why;
	} lies[] = {
		{ 0, 0, "empty" },
		{ 0, UINT64_MAX, "empty" },
		{ FILE_LEN + 1, 0, "too small" },
		{ 1, FILE_LEN, "too small" },
		{ FILE_LEN, 1, "too small" },
		{ UINT64_MAX, 0, "too small" },
		{ UINT64_MAX, 1, "overflows" },
		{ 1, UINT64_MAX, "overflows" },
		{ UINT64_MAX, UINT64_MAX, "overflows" },
		{ UINT64_C(1) << 63, UINT64_C(1) << 63, "overflows" },
		{ PAGE, UINT64_MAX - PAGE + 1, "overflows" },
		{ PAGE, UINT64_MAX - PAGE, "too small" },
	};
	struct file f = new_file();
	struct dirty_log log = { 0 };

	CHECK_EQ(vhc_dirty_log_map(&log, f.fd, 8, 3, reason), 0);
	vhc_dirty_log_set(&log, true);
	for (size_t i = 0; i < VHC_ARRAY_LEN(lies); i++) {
		CHECK_EQ(vhc_dirty_log_map(&log, f.fd, lies[i].size, lies[i].offset, reason),
			 -EINVAL);
		CHECK_HAS(reason, lies[i].why);
	}
	CHECK_EQ(vhc_dirty_log_map(&log, -1, 8, 0, reason), -EBADF);
	/* The old one is as it was. */
	mark(&log, 0, 1);
	CHECK_EQ(f.bytes[3], 1);
	CHECK_EQ(nr_mappings(), 2);
	vhc_dirty_log_unmap(&log);
	end_file(&f);
}

/* A file larger than anything can map. */
static void
test_a_log_of_a_planet(void)
{
	struct dirty_log log = { 0 };
	int fd = memfd_create("dirty_test", MFD_CLOEXEC);

	CHECK(fd >= 0);
	if (ftruncate(fd, (off_t)1 << 62) == 0) {
		CHECK_EQ(vhc_dirty_log_map(&log, fd, UINT64_C(1) << 61, 4097, reason), -ENOMEM);
		CHECK_EQ(vhc_dirty_log_map(&log, fd, UINT64_C(1) << 40, UINT64_C(1) << 61, reason),
			 0);
		vhc_dirty_log_set(&log, true);
		mark(&log, UINT64_MAX - 10, 5);
		mark(&log, UINT64_C(1) << 54, 4096);
		vhc_dirty_log_unmap(&log);
	}
	CHECK_EQ(nr_mappings(), 0);
	close(fd);
}

/* ---- races ---------------------------------------------------------------------------------- */

#define RACERS 4
#define RACE_FILES 3
#define RACE_PAGES (PAGE * 8)	/* of each racer: one page of the bitmap */

static struct dirty_log race_log;
static uint32_t nr_racing;

struct racer {
	pthread_t thread;
	unsigned int number;
	unsigned int nr_lost;	/* marks that found no log */
};

/* Bits of all racers lie in the same bytes. */
static void *
race(void *arg)
{
	struct racer *r = arg;

	for (uint64_t i = 0; i < RACE_PAGES; i++) {
		struct dirty_map *map = dirty_log_hold(&race_log);

		r->nr_lost += !map;
		if (!map)
			continue;
		vhc_dirty_log_mark(map, (gpa){ (i * RACERS + r->number) * PAGE }, 1);
		dirty_log_release(map);
	}
	sub_release(&nr_racing, 1);
	return NULL;
}

/*
 * While it is replaced all the time, no mark may be missed, none may come to a log after it was
 * replaced, and nobody may touch what is unmapped.
 */
static void
test_marks_while_the_log_is_replaced(void)
{
	static uint8_t all[RACERS * PAGE], taken[RACERS * PAGE];
	struct racer racers[RACERS] = { 0 };
	struct file files[RACE_FILES];
	unsigned int nr = 0;

	for (int i = 0; i < RACE_FILES; i++)
		files[i] = new_file();
	memset(&race_log, 0, sizeof(race_log));
	CHECK_EQ(vhc_dirty_log_map(&race_log, files[0].fd, RACERS * PAGE, 5, reason), 0);
	vhc_dirty_log_set(&race_log, true);
	st_relaxed(&nr_racing, RACERS);
	for (unsigned int i = 0; i < RACERS; i++) {
		racers[i].number = i;
		CHECK_EQ(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	}
	while (ld_acquire(&nr_racing)) {
		const struct file *old = &files[nr % RACE_FILES], *next = &files[++nr % RACE_FILES];

		CHECK_EQ(vhc_dirty_log_map(&race_log, next->fd, RACERS * PAGE, 5, reason), 0);
		vhc_dirty_log_drop_old(&race_log);
		/* As a front-end does: the last harvest of the old one. */
		memcpy(taken, old->bytes + 5, sizeof(taken));
		for (size_t i = 0; i < sizeof(all); i++)
			all[i] |= taken[i];
		sched_yield();
		CHECK(memcmp(taken, old->bytes + 5, sizeof(taken)) == 0);
		memset(old->bytes, 0, FILE_LEN);
	}
	for (unsigned int i = 0; i < RACERS; i++) {
		CHECK_EQ(pthread_join(racers[i].thread, NULL), 0);
		CHECK_EQ(racers[i].nr_lost, 0);
	}
	vhc_dirty_log_unmap(&race_log);
	for (size_t i = 0; i < sizeof(all); i++)
		CHECK_EQ(all[i] | files[nr % RACE_FILES].bytes[5 + i], 0xff);
	printf("  %u logs\n", nr);
	for (int i = 0; i < RACE_FILES; i++)
		end_file(&files[i]);
	CHECK_EQ(nr_mappings(), 0);
}

/* It comes and goes altogether: marks may find none, but what they find must be there. */
static void
test_marks_while_the_log_comes_and_goes(void)
{
	struct racer racers[RACERS] = { 0 };
	struct file f = new_file();
	unsigned int nr = 0;

	memset(&race_log, 0, sizeof(race_log));
	st_relaxed(&nr_racing, RACERS);
	for (unsigned int i = 0; i < RACERS; i++) {
		racers[i].number = i;
		CHECK_EQ(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	}
	while (ld_acquire(&nr_racing)) {
		CHECK_EQ(vhc_dirty_log_map(&race_log, f.fd, RACERS * PAGE, 0, reason), 0);
		vhc_dirty_log_set(&race_log, true);
		sched_yield();
		vhc_dirty_log_unmap(&race_log);
		nr++;
	}
	for (unsigned int i = 0; i < RACERS; i++)
		CHECK_EQ(pthread_join(racers[i].thread, NULL), 0);
	printf("  %u times\n", nr);
	CHECK_EQ(nr_mappings(), 1);
	end_file(&f);
}

static const struct test tests[] = {
	TEST(test_bitmap_is_the_model),
	TEST(test_ends_of_all_there_is),
	TEST(test_on_and_off),
	TEST(test_hostile_sizes),
	TEST(test_a_log_of_a_planet),
	TEST(test_marks_while_the_log_is_replaced),
	TEST(test_marks_while_the_log_comes_and_goes),
};

int
main(void)
{
	CHECK_EQ(vhc_gate_setup(), 0);
	return RUN_TESTS(tests);
}
