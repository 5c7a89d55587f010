/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control.h - what a driver says on the control ring, and what we keep of it.
 *
 * Knows:   virtio 1.2 section 5.1.6.5.
 * Trusts:  nothing of a command.
 * Runs on: control thread, under the loop's lock.
 */
#ifndef VHC_NET_CONTROL_H
#define VHC_NET_CONTROL_H

#include "../class.h"

/* All zero: nothing was said. The names are those of struct vhc_net_control. */
struct net_state {
	uint16_t nr_pairs;	/* 0: one, as every driver begins */
	bool is_promisc;
	bool is_allmulti;
	bool has_mac;
	uint8_t mac[6];
	uint32_t nr_unicast;
	uint32_t nr_multicast;
	uint8_t vlans[4096 / 8];
	uint64_t nr_announced;
	uint64_t nr_commands;
	uint64_t nr_refused;
};

/* The class's hooks, see class.h; and the features they stand for. */
uint64_t vhc_net_control_features(uint16_t nr_rings);
uint16_t vhc_net_control_ring(uint64_t features, uint16_t nr_rings);
enum ring_fault vhc_net_command(void *state, const struct vhc_command *command, uint8_t *ack);
bool vhc_net_ring_in_use(const void *state, uint16_t index);
/* state.c */
uint32_t vhc_net_state_save(const void *state, uint8_t *bytes);
const char *vhc_net_state_load(void *state, uint16_t nr_rings, const uint8_t *bytes, uint32_t len);

void vhc_net_config(const void *state, uint16_t nr_rings, uint16_t mtu, uint8_t *bytes);

#endif
