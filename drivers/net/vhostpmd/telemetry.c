/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * telemetry.c - answers to "why is my link down?" and to what the front-end agreed to.
 *
 * Knows:   DPDK's telemetry values; the library's snapshots.
 * Trusts:  nothing that was typed after the comma.
 * Runs on: EAL's telemetry thread; add, remove and dump on application threads.
 *
 * ports_lock keeps a port alive while it is being described. The control thread never takes it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_telemetry.h>

#include "vhostcore_features.h"
#include "vhostcore_memory.h"
#include "vhostpmd.h"

#define FEATURES_LEN	1024
#define RINGS_IN_INFO	64	/* an answer has at most 16 KiB; /vhostx/queue has the others */

static pthread_mutex_t ports_lock = PTHREAD_MUTEX_INITIALIZER;
static struct port *ports[RTE_MAX_ETHPORTS];

void
vhostx_telemetry_add(struct port *port)
{
	pthread_mutex_lock(&ports_lock);
	ports[port->dev->data->port_id] = port;
	pthread_mutex_unlock(&ports_lock);
}

void
vhostx_telemetry_remove(struct port *port)
{
	pthread_mutex_lock(&ports_lock);
	ports[port->dev->data->port_id] = NULL;
	pthread_mutex_unlock(&ports_lock);
}

/* ---- pieces of an answer -------------------------------------------------------------------- */

/*
 * A telemetry string has at most 127 characters: the rest of a longer text goes into a second key,
 * named like the first with "_more" behind it.
 */
static void
add_text(struct rte_tel_data *d, const char *key, const char *text)
{
	char more[64];

	rte_tel_data_add_dict_string(d, key, text);
	if (strlen(text) < RTE_TEL_MAX_STRING_LEN)
		return;
	snprintf(more, sizeof(more), "%s_more", key);
	rte_tel_data_add_dict_string(d, more, text + RTE_TEL_MAX_STRING_LEN - 1);
}

/* The words of `text` as an array; a list of features is longer than a string may be. */
static void
add_words(struct rte_tel_data *d, const char *key, char *text)
{
	struct rte_tel_data *words = rte_tel_data_alloc();
	char *rest = NULL;

	if (!words)
		return;
	rte_tel_data_start_array(words, RTE_TEL_STRING_VAL);
	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		rte_tel_data_add_array_string(words, word);
	if (rte_tel_data_add_dict_container(d, key, words, 0) != 0)
		rte_tel_data_free(words);
}

static void
add_features(struct rte_tel_data *d, const struct port *port, const struct vhc_device_info *state)
{
	char text[FEATURES_LEN];

	add_words(d, "features",
		  vhc_device_features_text(port->device, state->features, text, sizeof(text)));
	add_words(d, "protocol_features",
		  vhc_protocol_features_text(state->protocol_features, text, sizeof(text)));
}

static void
fill_queue(struct rte_tel_data *d, const struct port *port, uint16_t ring)
{
	struct vhc_queue *q = vhc_device_queue(port->device, ring);
	struct vhc_queue_info state;
	struct vhc_queue_fill fill;

	vhc_queue_info(q, &state);
	vhc_queue_fill(q, &fill);
	rte_tel_data_add_dict_int(d, "index", ring);
	rte_tel_data_add_dict_string(d, "direction",
				     state.control ? "control" : ring & 1 ? "rx" : "tx");
	rte_tel_data_add_dict_string(d, "kind", state.packed ? "packed" : "split");
	rte_tel_data_add_dict_int(d, "in_order", state.in_order);
	rte_tel_data_add_dict_int(d, "size", state.size);
	rte_tel_data_add_dict_int(d, "available", fill.available);
	rte_tel_data_add_dict_int(d, "used", fill.size - fill.available);
	rte_tel_data_add_dict_int(d, "started", state.started);
	rte_tel_data_add_dict_int(d, "enabled", state.enabled);
	rte_tel_data_add_dict_int(d, "running", state.running);
	rte_tel_data_add_dict_int(d, "broken", state.broken);
	rte_tel_data_add_dict_string(d, "last_fault", state.last_fault ? state.last_fault : "");
	rte_tel_data_add_dict_int(d, "avail_idx", state.avail_idx);
	rte_tel_data_add_dict_int(d, "used_idx", state.used_idx);
}

static void
add_queue(struct rte_tel_data *queues, const struct port *port, uint16_t ring)
{
	struct rte_tel_data *queue = rte_tel_data_alloc();
	char key[8];

	if (!queue)
		return;
	rte_tel_data_start_dict(queue);
	fill_queue(queue, port, ring);
	snprintf(key, sizeof(key), "%u", ring);
	if (rte_tel_data_add_dict_container(queues, key, queue, 0) != 0)
		rte_tel_data_free(queue);
}

static void
add_queues(struct rte_tel_data *d, const struct port *port)
{
	struct rte_tel_data *queues = rte_tel_data_alloc();

	if (!queues)
		return;
	rte_tel_data_start_dict(queues);
	for (uint16_t ring = 0; ring < RTE_MIN(2 * port->args.nr_queues, RINGS_IN_INFO); ring++)
		add_queue(queues, port, ring);
	if (rte_tel_data_add_dict_container(d, "queues", queues, 0) != 0)
		rte_tel_data_free(queues);
}

/* What the guest commanded; a front-end that keeps its commands leaves this out. */
static void
add_control(struct rte_tel_data *d, const struct port *port, const struct vhc_device_info *state)
{
	struct rte_tel_data *control = rte_tel_data_alloc();
	struct vhc_net_control said;
	char mac[RTE_ETHER_ADDR_FMT_SIZE] = "";

	if (!control)
		return;
	vhc_net_control(port->device, &said);
	if (said.has_mac)
		rte_ether_format_addr(mac, sizeof(mac), (struct rte_ether_addr *)said.mac);
	rte_tel_data_start_dict(control);
	rte_tel_data_add_dict_int(control, "ring", state->control_ring);
	rte_tel_data_add_dict_u64(control, "commands", said.nr_commands);
	rte_tel_data_add_dict_u64(control, "refused", said.nr_refused);
	rte_tel_data_add_dict_int(control, "pairs", said.nr_pairs);
	rte_tel_data_add_dict_int(control, "promisc", said.is_promisc);
	rte_tel_data_add_dict_int(control, "allmulti", said.is_allmulti);
	rte_tel_data_add_dict_string(control, "mac", mac);
	rte_tel_data_add_dict_u64(control, "unicast", said.nr_unicast);
	rte_tel_data_add_dict_u64(control, "multicast", said.nr_multicast);
	rte_tel_data_add_dict_int(control, "vlans", said.nr_vlans);
	if (rte_tel_data_add_dict_container(d, "control", control, 0) != 0)
		rte_tel_data_free(control);
}

static void
add_iommu(struct rte_tel_data *d, const struct port *port)
{
	struct rte_tel_data *iommu = rte_tel_data_alloc();
	struct vhc_iommu_info state;

	if (!iommu)
		return;
	vhc_device_iommu(port->device, &state);
	rte_tel_data_start_dict(iommu);
	rte_tel_data_add_dict_int(iommu, "on", state.is_on);
	rte_tel_data_add_dict_u64(iommu, "readable_entries", state.nr_readable);
	rte_tel_data_add_dict_u64(iommu, "writable_entries", state.nr_writable);
	rte_tel_data_add_dict_u64(iommu, "misses", state.nr_misses);
	rte_tel_data_add_dict_u64(iommu, "refused", state.nr_refused);
	rte_tel_data_add_dict_u64(iommu, "updates", state.nr_updates);
	rte_tel_data_add_dict_u64(iommu, "invalidations", state.nr_invalidations);
	if (rte_tel_data_add_dict_container(d, "iommu", iommu, 0) != 0)
		rte_tel_data_free(iommu);
}

static void
add_reason(struct rte_tel_data *d, const struct port *port, const struct vhc_device_info *state)
{
	rte_tel_data_add_dict_int(d, "port", port->dev->data->port_id);
	rte_tel_data_add_dict_string(d, "state", vhc_stage_name(state->stage));
	add_text(d, "why", state->why);
}

/* ---- commands ------------------------------------------------------------------------------- */

static void
answer_why(struct port *port, struct rte_tel_data *d)
{
	struct vhc_device_info state;

	vhc_device_info(port->device, &state);
	add_reason(d, port, &state);
}

static void
answer_info(struct port *port, struct rte_tel_data *d)
{
	struct vhc_device_info state;

	vhc_device_info(port->device, &state);
	add_reason(d, port, &state);
	rte_tel_data_add_dict_string(d, "name", port->dev->data->name);
	rte_tel_data_add_dict_string(d, "iface", port->args.path);
	rte_tel_data_add_dict_string(d, "role", port->args.is_client ? "client" : "server");
	rte_tel_data_add_dict_string(d, "link",
				     port->dev->data->dev_link.link_status ? "up" : "down");
	add_features(d, port, &state);
	rte_tel_data_add_dict_int(d, "mtu", state.mtu);
	rte_tel_data_add_dict_int(d, "regions", state.nr_regions);
	rte_tel_data_add_dict_u64(d, "connects", state.nr_connects);
	if (state.control_ring != VHC_NO_RING)
		add_control(d, port, &state);
	if (port->args.has_iommu)
		add_iommu(d, port);
	add_queues(d, port);
}

/* A number at the start of `text`, and what follows it; false if there is none below `limit`. */
static bool
read_number(const char *text, unsigned long limit, unsigned long *number, const char **rest)
{
	char *end = NULL;

	if (!text || *text < '0' || *text > '9')
		return false;
	*number = strtoul(text, &end, 10);
	*rest = end;
	return *number < limit;
}

static int
with_port(const char *params, void (*answer)(struct port *, struct rte_tel_data *),
	  struct rte_tel_data *d)
{
	unsigned long port_id;
	const char *rest;
	int rc = -EINVAL;

	if (!read_number(params, RTE_MAX_ETHPORTS, &port_id, &rest) || *rest)
		return rc;
	pthread_mutex_lock(&ports_lock);
	if (ports[port_id]) {
		rte_tel_data_start_dict(d);
		answer(ports[port_id], d);
		rc = 0;
	}
	pthread_mutex_unlock(&ports_lock);
	return rc;
}

static int
on_info(const char *command, const char *params, struct rte_tel_data *d)
{
	(void)command;
	return with_port(params, answer_info, d);
}

static int
on_why(const char *command, const char *params, struct rte_tel_data *d)
{
	(void)command;
	return with_port(params, answer_why, d);
}

/* The one for commands is there once it was agreed on. */
static bool
has_ring(const struct port *port, unsigned long ring)
{
	struct vhc_device_info state;

	vhc_device_info(port->device, &state);
	return ring < state.nr_rings || ring == state.control_ring;
}

static int
on_queue(const char *command, const char *params, struct rte_tel_data *d)
{
	unsigned long port_id, ring;
	const char *rest;
	int rc = -EINVAL;

	(void)command;
	if (!read_number(params, RTE_MAX_ETHPORTS, &port_id, &rest) || *rest != ',' ||
	    !read_number(rest + 1, UINT16_MAX, &ring, &rest) || *rest)
		return rc;
	pthread_mutex_lock(&ports_lock);
	if (ports[port_id] && has_ring(ports[port_id], ring)) {
		rte_tel_data_start_dict(d);
		fill_queue(d, ports[port_id], (uint16_t)ring);
		rc = 0;
	}
	pthread_mutex_unlock(&ports_lock);
	return rc;
}

static int
on_list(const char *command, const char *params, struct rte_tel_data *d)
{
	(void)command;
	(void)params;
	rte_tel_data_start_array(d, RTE_TEL_INT_VAL);
	pthread_mutex_lock(&ports_lock);
	for (int port_id = 0; port_id < RTE_MAX_ETHPORTS; port_id++)
		if (ports[port_id])
			rte_tel_data_add_array_int(d, port_id);
	pthread_mutex_unlock(&ports_lock);
	return 0;
}

RTE_INIT(vhostx_telemetry_init)
{
	rte_telemetry_register_cmd("/vhostx/list", on_list,
		"Port numbers of the net_vhostx ports. No parameters");
	rte_telemetry_register_cmd("/vhostx/info", on_info,
		"State, agreed features and rings of a port. Parameters: port number");
	rte_telemetry_register_cmd("/vhostx/queue", on_queue,
		"State of one ring of a port. Parameters: port number,ring number");
	rte_telemetry_register_cmd("/vhostx/why", on_why,
		"Why a port's link is up or down, in one sentence. Parameters: port number");
}

/* ---- /ethdev/dump_priv ---------------------------------------------------------------------- */

static void
dump_control(const struct port *port, FILE *file)
{
	struct vhc_net_control said;

	vhc_net_control(port->device, &said);
	fprintf(file, "commands of the guest: %" PRIu64 ", refused %" PRIu64 "; queue pairs %u, "
		"promisc %d, allmulti %d, %u unicast and %u multicast addresses, %u VLANs\n",
		said.nr_commands, said.nr_refused, said.nr_pairs, said.is_promisc,
		said.is_allmulti, said.nr_unicast, said.nr_multicast, said.nr_vlans);
}

int
vhostx_dump(struct rte_eth_dev *dev, FILE *file)
{
	const struct port *port = port_of(dev);
	struct vhc_device_info state;
	char text[FEATURES_LEN];

	vhc_device_info(port->device, &state);
	fprintf(file, "%s on %s: %s: %s\n", dev->data->name, port->args.path,
		vhc_stage_name(state.stage), state.why);
	fprintf(file, "features: %s\n",
		vhc_device_features_text(port->device, state.features, text, sizeof(text)));
	if (state.control_ring != VHC_NO_RING)
		dump_control(port, file);
	return 0;
}
