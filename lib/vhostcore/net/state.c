/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * state.c - what a driver has commanded, as bytes that go to another back-end.
 *
 * Knows:   struct net_state; the layout of its first version.
 * Trusts:  nothing of the bytes: whatever they say, a driver could have said.
 * Runs on: control thread, under the loop's lock.
 */
#include "control.h"

#include <string.h>

#include "../spec/le.h"

#define MAGIC	UINT32_C(0x5458564e)	/* "NVXT" */
#define VERSION	1

enum {
	FLAG_PROMISC = 1,
	FLAG_ALLMULTI = 2,
	FLAG_HAS_MAC = 4,
	FLAGS_ALL = 7,
};

/* Counters stay behind: they are of this port. */
struct saved {
	le32 magic;
	le16 version;
	le16 nr_pairs;
	le32 flags;
	le32 nr_unicast;
	le32 nr_multicast;
	uint8_t mac[6];
	uint8_t padding[6];
	uint8_t vlans[4096 / 8];
};

_Static_assert(sizeof(struct saved) == 544, "state of a network device");

uint32_t
vhc_net_state_save(const void *state, uint8_t *bytes)
{
	const struct net_state *s = state;
	struct saved out = {
		.magic = le32_put(MAGIC),
		.version = le16_put(VERSION),
		.nr_pairs = le16_put(s->nr_pairs),
		.flags = le32_put((s->is_promisc ? FLAG_PROMISC : 0u) |
				  (s->is_allmulti ? FLAG_ALLMULTI : 0u) |
				  (s->has_mac ? FLAG_HAS_MAC : 0u)),
		.nr_unicast = le32_put(s->nr_unicast),
		.nr_multicast = le32_put(s->nr_multicast),
	};

	memcpy(out.mac, s->mac, sizeof(out.mac));
	memcpy(out.vlans, s->vlans, sizeof(out.vlans));
	memcpy(bytes, &out, sizeof(out));
	return sizeof(out);
}

static const char *
judge(const struct saved *raw, uint32_t len, uint16_t nr_rings)
{
	if (len < sizeof(*raw) || le32_get(raw->magic) != MAGIC)
		return "it is no state of a network device";
	if (le16_get(raw->version) != VERSION || len != sizeof(*raw))
		return "it is of another version";
	if (le16_get(raw->nr_pairs) > nr_rings / 2)
		return "the driver uses more queue pairs than this port has: queues=";
	if (le32_get(raw->flags) & ~(uint32_t)FLAGS_ALL)
		return "it has flags that this version has not";
	if ((le32_get(raw->flags) & FLAG_HAS_MAC) && (raw->mac[0] & 1))
		return "the driver's address is a group's";
	return NULL;
}

const char *
vhc_net_state_load(void *state, uint16_t nr_rings, const uint8_t *bytes, uint32_t len)
{
	struct net_state *s = state;
	struct saved raw = { 0 };
	const char *why;

	memcpy(&raw, bytes, len < sizeof(raw) ? len : sizeof(raw));
	why = judge(&raw, len, nr_rings);
	if (why)
		return why;
	s->nr_pairs = le16_get(raw.nr_pairs);
	s->is_promisc = le32_get(raw.flags) & FLAG_PROMISC;
	s->is_allmulti = le32_get(raw.flags) & FLAG_ALLMULTI;
	s->has_mac = le32_get(raw.flags) & FLAG_HAS_MAC;
	s->nr_unicast = le32_get(raw.nr_unicast);
	s->nr_multicast = le32_get(raw.nr_multicast);
	memcpy(s->mac, raw.mac, sizeof(s->mac));
	memcpy(s->vlans, raw.vlans, sizeof(s->vlans));
	return NULL;
}
