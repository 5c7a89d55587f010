/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log.c - format a line and hand it to the sink.
 *
 * Knows:   stderr as the sink of last resort.
 * Trusts:  nothing to trust.
 * Runs on: any thread.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define LINE_MAX_LEN	512
#define LINES_PER_SECOND 10

static const char *const level_names[] = {
	[VHC_LOG_ERR] = "error",
	[VHC_LOG_WARNING] = "warning",
	[VHC_LOG_NOTICE] = "notice",
	[VHC_LOG_INFO] = "info",
	[VHC_LOG_DEBUG] = "debug",
};

static void
write_to_stderr(enum vhc_log_level level, const char *line, void *arg)
{
	(void)arg;
	if (level <= VHC_LOG_NOTICE)
		fprintf(stderr, "vhostcore %s: %s\n", level_names[level], line);
}

static vhc_log_sink_t sink = write_to_stderr;
static void *sink_arg;

VHC_API void
vhc_log_set_sink(vhc_log_sink_t fn, void *arg)
{
	sink = fn ? fn : write_to_stderr;
	sink_arg = fn ? arg : NULL;
}

VHC_API void
vhc_log(enum vhc_log_level level, const char *tag, const char *format, ...)
{
	char line[LINE_MAX_LEN];
	int used = tag ? snprintf(line, sizeof(line), "%s: ", tag) : 0;
	va_list args;

	if (used < 0 || used >= (int)sizeof(line))
		used = 0;
	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - (size_t)used, format, args);
	va_end(args);
	sink(level, line, sink_arg);
}

int
vhc_log_allows(struct log_limit *limit, const char *tag)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec != limit->second) {
		unsigned int nr_dropped = limit->nr_dropped;

		*limit = (struct log_limit){ .second = now.tv_sec };
		if (nr_dropped)
			log_warn(tag, "%u more lines like these were left out", nr_dropped);
	}
	if (limit->nr_passed < LINES_PER_SECOND) {
		limit->nr_passed++;
		return 1;
	}
	limit->nr_dropped++;
	return 0;
}
