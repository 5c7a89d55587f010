/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_figures.c - medians and quantiles, against values sorted by hand or by force.
 */
#define _GNU_SOURCE 1

#include "../check.h"

#include <math.h>

#include "blk-bench/latency.h"
#include "common/median.h"
#include "model/guest.h"

#define MANY 20000

static struct latency latency;

static void
check_near(double a, double b, double share)
{
	if (fabs(a - b) > share * b)
		fprintf(stderr, "%f is not %f\n", a, b);
	CHECK(fabs(a - b) <= share * b);
}

static void
test_median(void)
{
	double values[] = { 5, 1, 9, 3, 7 }, one[] = { 42 }, spread;

	check_near(median_of(values, 5, &spread), 5, 0);
	check_near(spread, (7 - 3) / 2. / 5, 1e-9);	/* the quarters are 3 and 7 */
	check_near(median_of(one, 1, &spread), 42, 0);
	check_near(spread, 0, 0);
}

static void
test_no_latency(void)
{
	latency_clear(&latency);
	check_near(latency_quantile(&latency, 0.5), 0, 0);
}

/* To the nanosecond while they are few, to a class from there on. */
static void
test_one_latency(void)
{
	for (uint64_t ns = 0; ns < UINT64_C(1) << 40; ns = ns * 17 / 16 + 1) {
		latency_clear(&latency);
		latency_note(&latency, ns);
		CHECK_EQ(latency.total, 1);
		check_near(latency_quantile(&latency, 0.5), (double)ns / 1000,
			   ns < 64 ? 1e-9 : 1. / 128);
		check_near(latency_quantile(&latency, 1), latency_quantile(&latency, 0), 0);
	}
}

static void
test_longest(void)
{
	latency_clear(&latency);
	latency_note(&latency, UINT64_MAX);
	latency_note(&latency, 100);
	CHECK_EQ(latency.total, 2);
	CHECK(latency_quantile(&latency, 1) > 3600e6);
	check_near(latency_quantile(&latency, 0), 0.1, 1. / 64);
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
test_many_latencies(void)
{
	static const double shares[] = { 0.01, 0.25, 0.5, 0.9, 0.99, 0.999 };
	static uint64_t values[MANY];

	latency_clear(&latency);
	for (unsigned int i = 0; i < MANY; i++) {
		values[i] = 1 + random_below(1u << (4 + random_below(24)));
		latency_note(&latency, values[i]);
	}
	qsort(values, MANY, sizeof(values[0]), by_value);
	for (unsigned int i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
		check_near(latency_quantile(&latency, shares[i]),
			   (double)values[(unsigned int)(shares[i] * MANY)] / 1000, 1. / 64);
}

int
main(void)
{
	static const struct test tests[] = {
		TEST(test_median),
		TEST(test_no_latency),
		TEST(test_one_latency),
		TEST(test_longest),
		TEST(test_many_latencies),
	};

	return RUN_TESTS(tests);
}
