/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dirty.c - the log of a migration.
 *
 * Knows:   that the library ignores what nobody logs, and what lies outside of the log.
 * Trusts:  nothing to trust.
 * Runs on: any thread; marking waits for nobody.
 */
#include "facade.h"

FACADE_API void
rte_vhost_log_write(int vid, uint64_t addr, uint64_t len)
{
	struct facade_port *port = facade_port_of(vid);

	if (port)
		vhc_device_log_write(port->device, addr, len);
}

FACADE_API void
rte_vhost_log_used_vring(int vid, uint16_t vring_idx, uint64_t offset, uint64_t len)
{
	struct facade_port *port = facade_port_of(vid);

	if (port && vring_idx < FACADE_RINGS)
		vhc_device_log_used(port->device, vring_idx, offset, len);
}

FACADE_API int
rte_vhost_get_log_base(int vid, uint64_t *log_base, uint64_t *log_size)
{
	struct facade_port *port = facade_port_of(vid);
	void *base;

	if (!port || !log_base || !log_size)
		return -1;
	if (vhc_device_log(port->device, &base, log_size) != 0) {
		*log_base = *log_size = 0;
		return 0;
	}
	*log_base = (uintptr_t)base;
	return 0;
}
