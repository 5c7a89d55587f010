/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log.h - one log call for the whole library; where lines go is the application's choice.
 *
 * Knows:   levels and a sink (vhc_log_set_sink() in vhostcore.h).
 * Trusts:  nothing to trust.
 * Runs on: any thread. Nothing on the polling path logs.
 */
#ifndef VHC_BASE_LOG_H
#define VHC_BASE_LOG_H

#include "compiler.h"
#include "../vhostcore.h"

/* `tag` names the object a line is about (a device's name), or is NULL for the library itself. */
void vhc_log(enum vhc_log_level level, const char *tag, const char *format, ...) VHC_PRINTF(3, 4);

#define log_err(tag, ...)	vhc_log(VHC_LOG_ERR, (tag), __VA_ARGS__)
#define log_warn(tag, ...)	vhc_log(VHC_LOG_WARNING, (tag), __VA_ARGS__)
#define log_notice(tag, ...)	vhc_log(VHC_LOG_NOTICE, (tag), __VA_ARGS__)
#define log_info(tag, ...)	vhc_log(VHC_LOG_INFO, (tag), __VA_ARGS__)
#define log_debug(tag, ...)	vhc_log(VHC_LOG_DEBUG, (tag), __VA_ARGS__)

/*
 * A limit for lines a peer can cause: at most `BURST` lines a second, then one line that counts
 * what was left out. One limiter an object; zero-initialised.
 */
struct log_limit {
	long second;
	unsigned int nr_passed;
	unsigned int nr_dropped;
};

/* True when the line may be written. Control thread only. */
int vhc_log_allows(struct log_limit *limit, const char *tag);

#endif
