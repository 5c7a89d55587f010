/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * median.h - what many rounds say together.
 *
 * Knows:   medians and quartiles.
 * Trusts:  its caller for at least one value.
 * Runs on: any thread.
 */
#ifndef APP_COMMON_MEDIAN_H
#define APP_COMMON_MEDIAN_H

/* Sorts `values`. `*spread`: half of the middle half, as a share of the median. */
double median_of(double *values, unsigned int nr, double *spread);

#endif
