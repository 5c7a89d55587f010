/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - vhostx-bench: what a packet costs in a back-end, two drivers side by side.
 *
 * Knows:   the order of things.
 * Trusts:  whoever runs it.
 * Runs on: the main thread.
 */
#include "bench.h"

#include <stdio.h>

#include <rte_eal.h>
#include <rte_lcore.h>

int
main(int argc, char **argv)
{
	static struct bench_options o;	/* whose words stay to the end */
	int used = bench_parse(argc, argv, &o), rc;

	if (used < 0) {
		fprintf(stderr, "vhostx-bench --help tells more\n");
		return 2;
	}
	if (bench_eal_start(&o, argv[0], argc - used, argv + used))
		return 1;
	if (rte_lcore_count() < o.mode->nr_lcores) {
		fprintf(stderr, "--%s needs %u lcores, e.g. -- -l 0,1\n", o.mode->name,
			o.mode->nr_lcores);
		return 1;
	}
	if (bench_report_open(&o, argc, argv))
		return 1;
	rc = o.mode->on_library && bench_library_start(&o) ? -1 : bench_run(&o);
	if (bench_report_close())
		rc = -1;
	if (o.mode->on_library)
		bench_library_stop();
	rte_eal_cleanup();
	return rc ? 1 : 0;
}
