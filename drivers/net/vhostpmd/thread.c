/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * thread.c - where the library's threads run: where EAL has its own, off the polling cores.
 *
 * Knows:   that a new thread may run where the one that makes it may.
 * Trusts:  EAL to know the cores that nobody polls on.
 * Runs on: the thread that probes a port; it holds no lock of the library.
 */
#include "vhostpmd.h"

struct errand {
	int (*run)(struct port *port);
	struct port *port;
	int rc;
};

static void *
carry_out(void *arg)
{
	struct errand *errand = arg;

	errand->rc = errand->run(errand->port);
	return NULL;
}

/* Made on the main lcore, which may poll, the library's threads would never leave it. */
int
vhostx_run_off_lcores(int (*run)(struct port *port), struct port *port)
{
	struct errand errand = { .run = run, .port = port };
	pthread_t thread;

	if (rte_ctrl_thread_create(&thread, "vhostx-start", NULL, carry_out, &errand) != 0)
		return run(port);
	pthread_join(thread, NULL);
	return errand.rc;
}
