/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * telemetry.c - answers to "why is my link down?" and to what the front-end agreed to.
 *
 * Knows:   DPDK's telemetry values; the facts of a port, which are the same in every process.
 * Trusts:  nothing that was typed after the comma.
 * Runs on: EAL's telemetry thread, of whichever process; dump on application threads.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_telemetry.h>

#include "vhostcore_features.h"
#include "vhostpmd.h"

#define RINGS_IN_INFO	64	/* an answer has at most 16 KiB; /vhostx/queue has the others */

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

static int
fill_queue(struct rte_tel_data *d, struct rte_eth_dev *dev, uint16_t ring)
{
	struct ring_facts facts;
	struct vhc_queue_info state;
	struct vhc_queue_fill fill;
	int rc = vhostx_ring_facts(dev, ring, &facts);

	if (rc != 0)
		return rc;
	state = facts.state;
	fill = facts.fill;
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
	rte_tel_data_add_dict_string(d, "last_fault", facts.last_fault);
	rte_tel_data_add_dict_int(d, "avail_idx", state.avail_idx);
	rte_tel_data_add_dict_int(d, "used_idx", state.used_idx);
	return 0;
}

static void
add_queue(struct rte_tel_data *queues, struct rte_eth_dev *dev, uint16_t ring)
{
	struct rte_tel_data *queue = rte_tel_data_alloc();
	char key[8];

	if (!queue)
		return;
	rte_tel_data_start_dict(queue);
	fill_queue(queue, dev, ring);
	snprintf(key, sizeof(key), "%u", ring);
	if (rte_tel_data_add_dict_container(queues, key, queue, 0) != 0)
		rte_tel_data_free(queue);
}

static void
add_queues(struct rte_tel_data *d, struct rte_eth_dev *dev, uint16_t nr_rings)
{
	struct rte_tel_data *queues = rte_tel_data_alloc();

	if (!queues)
		return;
	rte_tel_data_start_dict(queues);
	for (uint16_t ring = 0; ring < RTE_MIN(nr_rings, RINGS_IN_INFO); ring++)
		add_queue(queues, dev, ring);
	if (rte_tel_data_add_dict_container(d, "queues", queues, 0) != 0)
		rte_tel_data_free(queues);
}

/* What the guest commanded; a front-end that keeps its commands leaves this out. */
static void
add_control(struct rte_tel_data *d, const struct port_facts *facts)
{
	struct rte_tel_data *control = rte_tel_data_alloc();
	struct vhc_net_control said = facts->control;
	char mac[RTE_ETHER_ADDR_FMT_SIZE] = "";

	if (!control)
		return;
	if (said.has_mac)
		rte_ether_format_addr(mac, sizeof(mac), (struct rte_ether_addr *)said.mac);
	rte_tel_data_start_dict(control);
	rte_tel_data_add_dict_int(control, "ring", facts->device.control_ring);
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
add_iommu(struct rte_tel_data *d, const struct vhc_iommu_info *state)
{
	struct rte_tel_data *iommu = rte_tel_data_alloc();

	if (!iommu)
		return;
	rte_tel_data_start_dict(iommu);
	rte_tel_data_add_dict_int(iommu, "on", state->is_on);
	rte_tel_data_add_dict_u64(iommu, "readable_entries", state->nr_readable);
	rte_tel_data_add_dict_u64(iommu, "writable_entries", state->nr_writable);
	rte_tel_data_add_dict_u64(iommu, "misses", state->nr_misses);
	rte_tel_data_add_dict_u64(iommu, "refused", state->nr_refused);
	rte_tel_data_add_dict_u64(iommu, "updates", state->nr_updates);
	rte_tel_data_add_dict_u64(iommu, "invalidations", state->nr_invalidations);
	if (rte_tel_data_add_dict_container(d, "iommu", iommu, 0) != 0)
		rte_tel_data_free(iommu);
}

static void
add_reason(struct rte_tel_data *d, const struct rte_eth_dev *dev, const struct port_facts *facts)
{
	rte_tel_data_add_dict_int(d, "port", dev->data->port_id);
	rte_tel_data_add_dict_string(d, "state", vhc_stage_name(facts->device.stage));
	add_text(d, "why", facts->device.why);
}

/* ---- commands ------------------------------------------------------------------------------- */

static void
answer_why(struct rte_eth_dev *dev, struct port_facts *facts, struct rte_tel_data *d)
{
	add_reason(d, dev, facts);
}

static void
answer_info(struct rte_eth_dev *dev, struct port_facts *facts, struct rte_tel_data *d)
{
	const struct vhc_device_info *state = &facts->device;

	add_reason(d, dev, facts);
	rte_tel_data_add_dict_string(d, "name", dev->data->name);
	rte_tel_data_add_dict_string(d, "iface", state->path);
	rte_tel_data_add_dict_string(d, "role",
				     state->role == VHC_ROLE_CLIENT ? "client" : "server");
	rte_tel_data_add_dict_string(d, "link", dev->data->dev_link.link_status ? "up" : "down");
	add_words(d, "features", facts->features);
	add_words(d, "protocol_features", facts->protocol_features);
	rte_tel_data_add_dict_int(d, "mtu", state->mtu);
	rte_tel_data_add_dict_int(d, "regions", state->nr_regions);
	rte_tel_data_add_dict_int(d, "memory_node", facts->memory_node);
	rte_tel_data_add_dict_u64(d, "connects", state->nr_connects);
	if (state->control_ring != VHC_NO_RING)
		add_control(d, facts);
	if (state->offered & VHC_FEATURE_ACCESS_PLATFORM)
		add_iommu(d, &facts->iommu);
	add_queues(d, dev, state->nr_rings);
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

typedef void (*answer_fn)(struct rte_eth_dev *dev, struct port_facts *facts,
			  struct rte_tel_data *d);

static int
with_facts(struct rte_eth_dev *dev, answer_fn answer, struct rte_tel_data *d)
{
	struct port_facts facts;
	int rc = vhostx_facts(dev, &facts);

	if (rc != 0)
		return rc;
	rte_tel_data_start_dict(d);
	answer(dev, &facts, d);
	return 0;
}

static int
with_port(const char *params, answer_fn answer, struct rte_tel_data *d)
{
	struct rte_eth_dev *dev;
	unsigned long port_id;
	const char *rest;
	int rc;

	if (!read_number(params, RTE_MAX_ETHPORTS, &port_id, &rest) || *rest)
		return -EINVAL;
	dev = vhostx_port_hold(port_id);
	if (!dev)
		return -EINVAL;
	rc = with_facts(dev, answer, d);
	vhostx_port_release();
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
has_ring(struct rte_eth_dev *dev, unsigned long ring)
{
	struct port_facts facts;

	return vhostx_facts(dev, &facts) == 0 &&
	       (ring < facts.device.nr_rings || ring == facts.device.control_ring);
}

static int
on_queue(const char *command, const char *params, struct rte_tel_data *d)
{
	unsigned long port_id, ring;
	struct rte_eth_dev *dev;
	const char *rest;
	int rc = -EINVAL;

	(void)command;
	if (!read_number(params, RTE_MAX_ETHPORTS, &port_id, &rest) || *rest != ',' ||
	    !read_number(rest + 1, UINT16_MAX, &ring, &rest) || *rest)
		return rc;
	dev = vhostx_port_hold(port_id);
	if (!dev)
		return rc;
	if (has_ring(dev, ring)) {
		rte_tel_data_start_dict(d);
		rc = fill_queue(d, dev, (uint16_t)ring);
	}
	vhostx_port_release();
	return rc;
}

static void
list_port(uint16_t port_id, void *d)
{
	rte_tel_data_add_array_int(d, port_id);
}

static int
on_list(const char *command, const char *params, struct rte_tel_data *d)
{
	(void)command;
	(void)params;
	rte_tel_data_start_array(d, RTE_TEL_INT_VAL);
	vhostx_ports_each(list_port, d);
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
dump_control(const struct vhc_net_control *said, FILE *file)
{
	fprintf(file, "commands of the guest: %" PRIu64 ", refused %" PRIu64 "; queue pairs %u, "
		"promisc %d, allmulti %d, %u unicast and %u multicast addresses, %u VLANs\n",
		said->nr_commands, said->nr_refused, said->nr_pairs, said->is_promisc,
		said->is_allmulti, said->nr_unicast, said->nr_multicast, said->nr_vlans);
}

int
vhostx_dump(struct rte_eth_dev *dev, FILE *file)
{
	struct port_facts facts;
	int rc = vhostx_facts(dev, &facts);

	if (rc != 0)
		return rc;
	fprintf(file, "%s on %s: %s: %s\n", dev->data->name, facts.device.path,
		vhc_stage_name(facts.device.stage), facts.device.why);
	fprintf(file, "features: %s\n", facts.features);
	if (facts.device.control_ring != VHC_NO_RING)
		dump_control(&facts.control, file);
	return 0;
}
