/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * announce.c - a guest has arrived here and cannot say so itself: the class says it.
 *
 * Knows:   Ethernet addresses.
 * Trusts:  nothing of the address.
 * Runs on: control thread, under the loop's lock.
 *
 * A front-end asks after a migration, several times, if the guest did not agree to announce itself
 * (GUEST_ANNOUNCE).
 */
#include "session.h"

#include <string.h>

#include "../base/log.h"

#define MAC_LEN 6

/* Of one station: neither a group's nor none at all. */
static bool
is_station(const uint8_t *mac)
{
	static const uint8_t none[MAC_LEN];

	return !(mac[0] & 1) && memcmp(mac, none, sizeof(none));
}

/* A wrong address harms nobody, and the guest runs already: no reason to end the conversation. */
int
vhc_on_send_rarp(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	uint8_t mac[MAC_LEN];
	bool valid;

	(void)reply;
	memcpy(mac, &msg->payload, sizeof(mac));
	valid = is_station(mac);
	vhc_log(valid ? VHC_LOG_INFO : VHC_LOG_WARNING, dev->name,
		"SEND_RARP: %02x:%02x:%02x:%02x:%02x:%02x %s", mac[0], mac[1], mac[2], mac[3],
		mac[4], mac[5], valid ? "is announced" : "is no station's address: ignored");
	if (valid && dev->cls->announce)
		dev->cls->announce(dev, mac);
	return 0;
}
