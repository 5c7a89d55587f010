/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * args.c - the port's arguments: iface=/run/vm.sock,queues=2,client=1.
 *
 * Knows:   every key of Debian's net_vhost, so that a script needs only the driver's name changed.
 * Trusts:  nothing; a person typed this.
 * Runs on: the thread that probes the port.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_kvargs.h>
#include <rte_string_fns.h>

#include "vhostpmd.h"

/* One key. `name` is the port's, for messages; 0 or -EINVAL. */
struct arg {
	const char *key;
	int (*set)(const char *name, const struct arg *arg, const char *value,
		   struct port_args *args);
	size_t offset;		/* of a switch or number in struct port_args */
	const char *values;	/* of a switch */
	uint16_t least, most;	/* of a number */
};

static int
set_iface(const char *name, const struct arg *arg, const char *value, struct port_args *args)
{
	size_t len = strlen(value);

	if (len == 0 || len > VHOSTX_PATH_MAX) {
		PORT_LOG(ERR, name, "%s: a socket path has 1 to %d bytes, this one has %zu: "
			 "use a shorter folder name, or a symbolic link to the folder",
			 arg->key, VHOSTX_PATH_MAX, len);
		return -EINVAL;
	}
	memcpy(args->path, value, len + 1);
	return 0;
}

static int
set_number(const char *name, const struct arg *arg, const char *value, struct port_args *args)
{
	char *end;
	long count = strtol(value, &end, 10);

	if (end == value || *end || count < arg->least || count > arg->most) {
		PORT_LOG(ERR, name, "%s=%s: must be a number from %u to %u", arg->key, value,
			 arg->least, arg->most);
		return -EINVAL;
	}
	*(uint16_t *)((char *)args + arg->offset) = (uint16_t)count;
	return 0;
}

static bool
is_switch(const char *value)
{
	return (value[0] == '0' || value[0] == '1') && !value[1];
}

static int
set_switch(const char *name, const struct arg *arg, const char *value, struct port_args *args)
{
	if (!is_switch(value)) {
		PORT_LOG(ERR, name, "%s=%s: must be %s", arg->key, value, arg->values);
		return -EINVAL;
	}
	*(bool *)((char *)args + arg->offset) = value[0] == '1';
	return 0;
}

static int
set_notify(const char *name, const struct arg *arg, const char *value, struct port_args *args)
{
	args->notify_is_deferred = strcmp(value, "deferred") == 0;
	if (args->notify_is_deferred || strcmp(value, "inline") == 0)
		return 0;
	PORT_LOG(ERR, name, "%s=%s: must be inline (the polling core interrupts the guest, at "
		 "once) or deferred (a thread does, once every notify-us)", arg->key, value);
	return -EINVAL;
}

#define SWITCH(key, member, values) \
	{ key, set_switch, offsetof(struct port_args, member), values, 0, 0 }
#define NUMBER(key, member, least, most) \
	{ key, set_number, offsetof(struct port_args, member), NULL, least, most }

static const struct arg known[] = {
	{ .key = "iface", .set = set_iface },
	NUMBER("queues", nr_queues, 1, VHOSTX_QUEUES_MAX),
	SWITCH("client", is_client, "0 (we listen) or 1 (we connect)"),
	SWITCH("tso", has_tso, "0 or 1 (TCP and UDP packets of up to 64 KiB, both ways)"),
	SWITCH("linear-buffer", is_linear, "0 or 1 (a packet that spans mbufs is dropped)"),
	SWITCH("ext-buffer", has_ext_buffers, "0 or 1 (a long packet gets a buffer of its own)"),
	SWITCH("legacy-ol-flags", has_legacy_flags,
	       "0 or 1 (received packets carry requests, RTE_MBUF_F_TX_*)"),
	SWITCH("inflight", has_inflight, "0 or 1 (what is taken from the guest is noted, for who"
	       " comes after this process)"),
	SWITCH("postcopy-support", has_postcopy,
	       "0 or 1 (a guest may be moved here before its memory: cores that poll may wait)"),
	{ .key = "notify", .set = set_notify },
	NUMBER("notify-us", notify_us, 1, VHOSTX_NOTIFY_US_MAX),
	NUMBER("control-thread", control_thread, 0, VHC_CONTROL_THREADS_MAX - 1),
	SWITCH("iommu-support", has_iommu,
	       "0 or 1 (a guest's IOMMU decides what the port may reach)"),
};

static int
set_one(const char *name, const struct rte_kvargs_pair *pair, struct port_args *args)
{
	for (unsigned int i = 0; i < RTE_DIM(known); i++)
		if (strcmp(known[i].key, pair->key) == 0)
			return known[i].set(name, &known[i], pair->value ? pair->value : "", args);
	PORT_LOG(ERR, name, "\"%s\" is not an argument of this driver; valid are: " VHOSTX_PARAMS,
		 pair->key);
	return -EINVAL;
}

static int
set_all(const char *name, const struct rte_kvargs *pairs, struct port_args *args)
{
	for (unsigned int i = 0; i < pairs->count; i++) {
		const char *key = pairs->pairs[i].key;

		if (rte_kvargs_count(pairs, key) > 1) {
			PORT_LOG(ERR, name, "%s is given more than once", key);
			return -EINVAL;
		}
		if (set_one(name, &pairs->pairs[i], args) != 0)
			return -EINVAL;
	}
	if (args->notify_us && !args->notify_is_deferred) {
		PORT_LOG(ERR, name, "notify-us means something with notify=deferred only: "
			 "add that, or leave notify-us out");
		return -EINVAL;
	}
	if (args->notify_is_deferred && !args->notify_us)
		args->notify_us = VHOSTX_NOTIFY_US;
	if (!args->path[0]) {
		PORT_LOG(ERR, name, "the socket path is missing: add iface=<path>; valid are: "
			 VHOSTX_PARAMS);
		return -EINVAL;
	}
	return 0;
}

int
vhostx_args_parse(const char *name, const char *devargs, struct port_args *args)
{
	struct rte_kvargs *pairs = rte_kvargs_parse(devargs, NULL);
	int rc;

	*args = (struct port_args){ .nr_queues = 1 };
	if (!pairs) {
		PORT_LOG(ERR, name, "\"%s\" is not a list of key=value; valid are: " VHOSTX_PARAMS,
			 devargs);
		return -EINVAL;
	}
	rc = set_all(name, pairs, args);
	rte_kvargs_free(pairs);
	return rc;
}
