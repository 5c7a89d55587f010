/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * say.c - see say.h. A line is one write, so that those of several threads do not mix.
 *
 * Knows:   stderr, and where the library's lines go.
 * Trusts:  nothing to trust.
 * Runs on: any thread.
 */
#include "say.h"

#include <stdarg.h>
#include <stdio.h>

#include "vhostcore.h"

#define LINE_LEN 1024

static const char *speaker = "disk";

/* The library's lines begin with the name of the server, which is the program's. */
static void
say_for_library(enum vhc_log_level level, const char *line, void *arg)
{
	(void)arg;
	if (level <= VHC_LOG_NOTICE)
		fprintf(stderr, "%s\n", line);
}

void
disk_say_as(const char *name)
{
	speaker = name;
	vhc_log_set_sink(say_for_library, NULL);
}

void
disk_say(const char *format, ...)
{
	char line[LINE_LEN];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "%s: %s\n", speaker, line);
}
