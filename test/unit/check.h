/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check.h - all a unit test needs: CHECK, SKIP and a list of tests to run.
 *
 * A test program exits with 0 when all passed, 1 at the first check that does not hold, 77 when it
 * cannot run here. It names each test as it starts, and ends itself if it hangs.
 */
#ifndef TEST_CHECK_H
#define TEST_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEST_SECONDS_MAX 60

#define CHECK(cond) do { \
	if (!(cond)) { \
		fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond); \
		exit(1); \
	} \
} while (0)

/* Two integers; shows both when they differ. */
#define CHECK_EQ(a, b) do { \
	long long check_a = (long long)(a), check_b = (long long)(b); \
	if (check_a != check_b) { \
		fprintf(stderr, "%s:%d: %s is %lld, not %lld (%s)\n", __FILE__, __LINE__, #a, \
			check_a, check_b, #b); \
		exit(1); \
	} \
} while (0)

/* `part` occurs in `text`; shows the text when it does not. */
#define CHECK_HAS(text, part) do { \
	if (!strstr((text), (part))) { \
		fprintf(stderr, "%s:%d: no \"%s\" in: %s\n", __FILE__, __LINE__, (part), (text)); \
		exit(1); \
	} \
} while (0)

/* Nothing of this program can run here; `why` says what would make it run. */
#define SKIP(why) do { \
	fprintf(stderr, "skipped: %s\n", (why)); \
	exit(77); \
} while (0)

struct test {
	const char *name;
	void (*run)(void);
};

#define TEST(fn) { #fn, fn }

static inline int
run_tests(const struct test *tests, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		printf("%s\n", tests[i].name);
		fflush(stdout);
		alarm(TEST_SECONDS_MAX);
		tests[i].run();
	}
	return 0;
}

#define RUN_TESTS(tests) run_tests((tests), sizeof(tests) / sizeof((tests)[0]))

#endif
