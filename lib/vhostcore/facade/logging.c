/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * logging.c - the library's lines in DPDK's log, under the name that has rte_vhost's.
 *
 * Knows:   rte_log.
 * Trusts:  nothing to trust.
 * Runs on: any thread.
 */
#include "facade.h"

RTE_LOG_REGISTER(vhc_facade_logtype, lib.vhost.config, INFO);

static void
log_line(enum vhc_log_level level, const char *line, void *arg)
{
	static const uint32_t levels[] = {
		[VHC_LOG_ERR] = RTE_LOG_ERR,
		[VHC_LOG_WARNING] = RTE_LOG_WARNING,
		[VHC_LOG_NOTICE] = RTE_LOG_NOTICE,
		[VHC_LOG_INFO] = RTE_LOG_INFO,
		[VHC_LOG_DEBUG] = RTE_LOG_DEBUG,
	};

	(void)arg;
	rte_log(levels[level], vhc_facade_logtype, "VHOST_CONFIG: %s\n", line);
}

void
vhc_facade_set_log(void)
{
	vhc_log_set_sink(log_line, NULL);
}
