/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * abi.c - refuse a DPDK other than the one this driver was built for.
 *
 * Knows:   how DPDK numbers its releases and its ABI.
 * Trusts:  rte_version() to tell the truth.
 * Runs on: the thread that loads the plugin or probes a port.
 *
 * A driver uses DPDK's internal structures, whose layout may change from one release to the next
 * even while the ABI number of applications stays; only the third number (22.11.*x*) is harmless.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>

#include <rte_common.h>
#include <rte_version.h>

#include "vhostpmd.h"

/* The ABI number is raised each November: 22.11 to 23.07 have 23. */
static unsigned int
abi_of(unsigned int year, unsigned int month)
{
	return month >= 11 ? year + 1 : year;
}

int
vhostx_abi_check(const char *running)
{
	unsigned int year = 0, month = 0;

	if (sscanf(running, "%*[^0-9]%u.%u", &year, &month) == 2 &&
	    year == RTE_VER_YEAR && month == RTE_VER_MONTH)
		return 0;
	PORT_LOG(ERR, "net_vhostx",
		 "this driver was built for DPDK %u.%02u (ABI %u) but the program runs "
		 "%s (ABI %u): build it again with that version's libdpdk-dev",
		 RTE_VER_YEAR, RTE_VER_MONTH, abi_of(RTE_VER_YEAR, RTE_VER_MONTH),
		 running, abi_of(year, month));
	return -ENOTSUP;
}

/*
 * A plugin that needs librte_eal.so.23 drags a second EAL into a program that runs on
 * librte_eal.so.24, and registers there: the program would only say "no driver found". Symbol
 * versions keep the two apart, so two different rte_version() tell that this has happened.
 */
RTE_INIT(vhostx_abi_check_at_load)
{
	const char *(*version)(void);

	*(void **)&version = dlsym(RTLD_DEFAULT, "rte_version");	/* as dlsym(3) suggests */
	if (version && version != rte_version)
		vhostx_abi_check(version());
}
