/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control.c - commands of the driver, and the configuration space it reads.
 *
 * Knows:   virtio 1.2 sections 5.1.4 and 5.1.6.5; no mbufs.
 * Trusts:  nothing of a command but its length.
 * Runs on: control thread, under the loop's lock.
 *
 * What the guest wants filtered is kept to be shown, and nothing is filtered: 5.1.6.5.1 to
 * 5.1.6.5.3 call that best effort, and the switch behind us decides what it sends to whom. So there
 * are only commands that are honoured by passing everything; CTRL_RX_EXTRA, which forbids whole
 * kinds of packets, is not offered.
 */
#include "control.h"

#include <string.h>

#include "../spec/virtio_net.h"
#include "../vhostcore_net.h"

#define BIT64(n) (UINT64_C(1) << (n))

#define MAC_LEN		6
#define VLAN_IDS	4096
#define RINGS_NAMED	256	/* a message names a ring with eight bits */
#define MTU_DEFAULT	1500

#define CONTROL_FEATURES \
	(BIT64(VIRTIO_NET_F_CTRL_VQ_BIT) | BIT64(VIRTIO_NET_F_CTRL_RX_BIT) | \
	 BIT64(VIRTIO_NET_F_CTRL_VLAN_BIT) | BIT64(VIRTIO_NET_F_CTRL_MAC_ADDR_BIT) | \
	 BIT64(VIRTIO_NET_F_GUEST_ANNOUNCE_BIT))

/* With 256 data rings no message could name one more. */
uint64_t
vhc_net_control_features(uint16_t nr_rings)
{
	return nr_rings < RINGS_NAMED ? CONTROL_FEATURES : 0;
}

/* 5.1.2: behind all pairs there may be, or behind the first if MQ is not agreed on. */
uint16_t
vhc_net_control_ring(uint64_t features, uint16_t nr_rings)
{
	if (!(features & BIT64(VIRTIO_NET_F_CTRL_VQ_BIT)))
		return VHC_NO_RING;
	return features & BIT64(VIRTIO_NET_F_MQ_BIT) ? nr_rings : 2;
}

/* Pulling goes on everywhere: what the driver sent before it gave up a pair shall arrive. */
bool
vhc_net_ring_in_use(const void *state, uint16_t index)
{
	const struct net_state *s = state;
	uint16_t nr_pairs = s->nr_pairs ? s->nr_pairs : 1;

	return (index & 1) || index / 2 < nr_pairs;
}

/* ---- commands ------------------------------------------------------------------------------- */

static uint16_t
read16(const uint8_t *raw)
{
	le16 value;

	memcpy(&value, raw, sizeof(value));
	return le16_get(value);
}

static uint32_t
read32(const uint8_t *raw)
{
	le32 value;

	memcpy(&value, raw, sizeof(value));
	return le32_get(value);
}

/* Each carries out what the bytes behind the header say, or returns false if they make no sense. */
typedef bool (*command_fn)(struct net_state *s, const struct vhc_command *data);

/* 5.1.6.5.1 */
static bool
set_switch(bool *is_on, const struct vhc_command *data)
{
	if (data->len != 1 || data->raw[0] > 1)
		return false;
	*is_on = data->raw[0];
	return true;
}

static bool
set_promisc(struct net_state *s, const struct vhc_command *data)
{
	return set_switch(&s->is_promisc, data);
}

static bool
set_allmulti(struct net_state *s, const struct vhc_command *data)
{
	return set_switch(&s->is_allmulti, data);
}

/* A count and as many addresses at `*at`; moves behind them. */
static bool
read_addresses(const struct vhc_command *data, uint32_t *at, uint32_t *nr)
{
	uint32_t rest = data->len - *at;

	if (rest < sizeof(le32))
		return false;
	*nr = read32(data->raw + *at);
	if (*nr > (rest - sizeof(le32)) / MAC_LEN)
		return false;
	*at += (uint32_t)sizeof(le32) + *nr * MAC_LEN;
	return true;
}

/* 5.1.6.5.2 */
static bool
set_mac_table(struct net_state *s, const struct vhc_command *data)
{
	uint32_t at = 0, nr_unicast, nr_multicast;

	if (!read_addresses(data, &at, &nr_unicast) || !read_addresses(data, &at, &nr_multicast) ||
	    at != data->len)
		return false;
	s->nr_unicast = nr_unicast;
	s->nr_multicast = nr_multicast;
	return true;
}

static bool
set_mac(struct net_state *s, const struct vhc_command *data)
{
	if (data->len != MAC_LEN || (data->raw[0] & 1))
		return false;	/* a group is nobody's own address */
	memcpy(s->mac, data->raw, MAC_LEN);
	s->has_mac = true;
	return true;
}

/* 5.1.6.5.3 */
static bool
set_vlan(struct net_state *s, const struct vhc_command *data, bool on)
{
	uint16_t id;

	if (data->len != sizeof(le16))
		return false;
	id = read16(data->raw);
	if (id >= VLAN_IDS)
		return false;
	if (on)
		s->vlans[id / 8] |= (uint8_t)(1u << id % 8);
	else
		s->vlans[id / 8] &= (uint8_t)~(1u << id % 8);
	return true;
}

static bool
add_vlan(struct net_state *s, const struct vhc_command *data)
{
	return set_vlan(s, data, true);
}

static bool
delete_vlan(struct net_state *s, const struct vhc_command *data)
{
	return set_vlan(s, data, false);
}

/* 5.1.6.5.4: we never ask for it, so there is nothing that this ends. */
static bool
ack_announce(struct net_state *s, const struct vhc_command *data)
{
	if (data->len != 0)
		return false;
	s->nr_announced++;
	return true;
}

/* 5.1.6.5.5 */
static bool
set_pairs(struct net_state *s, const struct vhc_command *data)
{
	uint16_t nr;

	if (data->len != sizeof(le16))
		return false;
	nr = read16(data->raw);
	if (nr < 1 || nr > data->nr_rings / 2)
		return false;
	s->nr_pairs = nr;
	return true;
}

static const struct row {
	struct virtio_net_ctrl_hdr hdr;
	unsigned int feature;	/* that makes it legal */
	command_fn fn;
} rows[] = {
	{ { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC },
	  VIRTIO_NET_F_CTRL_RX_BIT, set_promisc },
	{ { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI },
	  VIRTIO_NET_F_CTRL_RX_BIT, set_allmulti },
	{ { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET },
	  VIRTIO_NET_F_CTRL_RX_BIT, set_mac_table },
	{ { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET },
	  VIRTIO_NET_F_CTRL_MAC_ADDR_BIT, set_mac },
	{ { VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD },
	  VIRTIO_NET_F_CTRL_VLAN_BIT, add_vlan },
	{ { VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL },
	  VIRTIO_NET_F_CTRL_VLAN_BIT, delete_vlan },
	{ { VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK },
	  VIRTIO_NET_F_GUEST_ANNOUNCE_BIT, ack_announce },
	{ { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET },
	  VIRTIO_NET_F_MQ_BIT, set_pairs },
};

static const struct row *
find_row(const struct vhc_command *command)
{
	for (size_t i = 0; i < VHC_ARRAY_LEN(rows); i++)
		if (memcmp(&rows[i].hdr, command->raw, sizeof(rows[i].hdr)) == 0)
			return command->features & BIT64(rows[i].feature) ? &rows[i] : NULL;
	return NULL;
}

/* A command we do not have is refused, and that is all: drivers may try. */
static enum ring_fault
carry_out(struct net_state *s, const struct vhc_command *command, uint8_t *ack)
{
	struct vhc_command data = *command;
	const struct row *row;

	if (command->len < sizeof(row->hdr))
		return RING_FAULT_CTRL_BAD;
	row = find_row(command);
	if (!row)
		return RING_FAULT_NONE;
	data.raw += sizeof(row->hdr);
	data.len -= (uint32_t)sizeof(row->hdr);
	if (!row->fn(s, &data))
		return RING_FAULT_CTRL_BAD;
	*ack = VIRTIO_NET_OK;
	return RING_FAULT_NONE;
}

enum ring_fault
vhc_net_command(void *state, const struct vhc_command *command, uint8_t *ack)
{
	struct net_state *s = state;
	enum ring_fault fault;

	*ack = VIRTIO_NET_ERR;
	fault = carry_out(s, command, ack);
	s->nr_commands++;
	s->nr_refused += *ack != VIRTIO_NET_OK;
	return fault;
}

/* ---- what the driver and the application read ----------------------------------------------- */

/* 5.1.4. Who announced no MTU is given the usual one: the field must hold a legal one. */
void
vhc_net_config(const void *state, uint16_t nr_rings, uint16_t mtu, uint8_t *bytes)
{
	const struct net_state *s = state;
	struct virtio_net_config config = {
		.status = le16_put(VIRTIO_NET_S_LINK_UP),
		.max_virtqueue_pairs = le16_put(nr_rings / 2),
		.mtu = le16_put(mtu ? mtu : MTU_DEFAULT),
	};

	memcpy(config.mac, s->mac, sizeof(config.mac));
	memcpy(bytes, &config, sizeof(config));
}

static uint16_t
count_vlans(const struct net_state *s)
{
	uint16_t nr = 0;

	for (size_t i = 0; i < sizeof(s->vlans); i++)
		nr += (uint16_t)__builtin_popcount(s->vlans[i]);
	return nr;
}

VHC_API void
vhc_net_control(struct vhc_device *dev, struct vhc_net_control *control)
{
	struct net_state s;

	vhc_class_state(dev, &s);
	*control = (struct vhc_net_control){
		.nr_pairs = s.nr_pairs,
		.is_promisc = s.is_promisc,
		.is_allmulti = s.is_allmulti,
		.has_mac = s.has_mac,
		.nr_unicast = s.nr_unicast,
		.nr_multicast = s.nr_multicast,
		.nr_vlans = count_vlans(&s),
		.nr_announced = s.nr_announced,
		.nr_commands = s.nr_commands,
		.nr_refused = s.nr_refused,
	};
	memcpy(control->mac, s.mac, sizeof(control->mac));
}
