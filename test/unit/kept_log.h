/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kept_log.h - what the library logged, to be looked at by a test. One a program.
 */
#ifndef TEST_UNIT_KEPT_LOG_H
#define TEST_UNIT_KEPT_LOG_H

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "vhostcore.h"

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[65536];

static inline void
keep_line(enum vhc_log_level level, const char *line, void *arg)
{
	size_t used;

	(void)arg;
	if (level > VHC_LOG_INFO)
		return;
	pthread_mutex_lock(&log_lock);
	used = strlen(log_text);
	snprintf(log_text + used, sizeof(log_text) - used, "%s\n", line);
	pthread_mutex_unlock(&log_lock);
}

static inline void
log_forget(void)
{
	pthread_mutex_lock(&log_lock);
	log_text[0] = '\0';
	pthread_mutex_unlock(&log_lock);
}

static inline unsigned int
log_count(const char *words)
{
	unsigned int nr = 0;

	pthread_mutex_lock(&log_lock);
	for (const char *at = log_text; (at = strstr(at, words)); at++)
		nr++;
	pthread_mutex_unlock(&log_lock);
	return nr;
}

#endif
