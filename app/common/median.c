/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * median.c - sort, and look at the quarters.
 */
#include "median.h"

#include <stdlib.h>

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double
median_of(double *values, unsigned int nr, double *spread)
{
	qsort(values, nr, sizeof(*values), by_value);
	*spread = (values[nr * 3 / 4] - values[nr / 4]) / 2 / values[nr / 2];
	return values[nr / 2];
}
