/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_net.h - the network device as virtio 1.2 section 5.1 lays it out, in its spelling.
 *
 * Knows:   feature bits, the per-packet header, control commands, the configuration space.
 * Trusts:  nothing to trust: no code.
 * Runs on: everywhere.
 */
#ifndef VHC_SPEC_VIRTIO_NET_H
#define VHC_SPEC_VIRTIO_NET_H

#include <assert.h>
#include <stddef.h>

#include "le.h"

/* 5.1.3 feature bits */
#define VIRTIO_NET_F_CSUM_BIT		0
#define VIRTIO_NET_F_GUEST_CSUM_BIT	1
#define VIRTIO_NET_F_MTU_BIT		3
#define VIRTIO_NET_F_MAC_BIT		5
#define VIRTIO_NET_F_GUEST_TSO4_BIT	7
#define VIRTIO_NET_F_GUEST_TSO6_BIT	8
#define VIRTIO_NET_F_GUEST_ECN_BIT	9
#define VIRTIO_NET_F_GUEST_UFO_BIT	10
#define VIRTIO_NET_F_HOST_TSO4_BIT	11
#define VIRTIO_NET_F_HOST_TSO6_BIT	12
#define VIRTIO_NET_F_HOST_ECN_BIT	13
#define VIRTIO_NET_F_HOST_UFO_BIT	14
#define VIRTIO_NET_F_MRG_RXBUF_BIT	15
#define VIRTIO_NET_F_STATUS_BIT		16
#define VIRTIO_NET_F_CTRL_VQ_BIT	17
#define VIRTIO_NET_F_CTRL_RX_BIT	18
#define VIRTIO_NET_F_CTRL_VLAN_BIT	19
#define VIRTIO_NET_F_CTRL_RX_EXTRA_BIT	20
#define VIRTIO_NET_F_GUEST_ANNOUNCE_BIT	21
#define VIRTIO_NET_F_MQ_BIT		22
#define VIRTIO_NET_F_CTRL_MAC_ADDR_BIT	23
#define VIRTIO_NET_F_GUEST_USO4_BIT	54	/* virtio 1.3 */
#define VIRTIO_NET_F_GUEST_USO6_BIT	55
#define VIRTIO_NET_F_HOST_USO_BIT	56

/* 5.1.6 struct virtio_net_hdr.flags */
#define VIRTIO_NET_HDR_F_NEEDS_CSUM	1
#define VIRTIO_NET_HDR_F_DATA_VALID	2

/* 5.1.6 struct virtio_net_hdr.gso_type */
#define VIRTIO_NET_HDR_GSO_NONE		0
#define VIRTIO_NET_HDR_GSO_TCPV4	1
#define VIRTIO_NET_HDR_GSO_UDP		3	/* one datagram, in IP fragments */
#define VIRTIO_NET_HDR_GSO_TCPV6	4
#define VIRTIO_NET_HDR_GSO_UDP_L4	5	/* virtio 1.3: many datagrams */
#define VIRTIO_NET_HDR_GSO_ECN		0x80	/* added to one of the others */

struct virtio_net_hdr {
	uint8_t flags;
	uint8_t gso_type;
	le16 hdr_len;
	le16 gso_size;
	le16 csum_start;
	le16 csum_offset;
	le16 num_buffers;	/* absent in the 10-byte form */
};

/* 5.1.6.1: the legacy header without MRG_RXBUF ends before num_buffers. */
#define VIRTIO_NET_HDR_LEN_LEGACY	10
#define VIRTIO_NET_HDR_LEN		12

static_assert(sizeof(struct virtio_net_hdr) == VIRTIO_NET_HDR_LEN, "5.1.6");
static_assert(offsetof(struct virtio_net_hdr, csum_start) == 6, "5.1.6");
static_assert(offsetof(struct virtio_net_hdr, num_buffers) == VIRTIO_NET_HDR_LEN_LEGACY, "5.1.6.1");

/* 5.1.6.5 struct virtio_net_ctrl, up to its data; and the answer */
struct virtio_net_ctrl_hdr {
	uint8_t class;
	uint8_t command;
};

#define VIRTIO_NET_OK			0
#define VIRTIO_NET_ERR			1

#define VIRTIO_NET_CTRL_RX		0
#define VIRTIO_NET_CTRL_RX_PROMISC	0
#define VIRTIO_NET_CTRL_RX_ALLMULTI	1

#define VIRTIO_NET_CTRL_MAC		1
#define VIRTIO_NET_CTRL_MAC_TABLE_SET	0
#define VIRTIO_NET_CTRL_MAC_ADDR_SET	1

#define VIRTIO_NET_CTRL_VLAN		2
#define VIRTIO_NET_CTRL_VLAN_ADD	0
#define VIRTIO_NET_CTRL_VLAN_DEL	1

#define VIRTIO_NET_CTRL_ANNOUNCE	3
#define VIRTIO_NET_CTRL_ANNOUNCE_ACK	0

#define VIRTIO_NET_CTRL_MQ		4
#define VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET	0

static_assert(sizeof(struct virtio_net_ctrl_hdr) == 2, "5.1.6.5");

/* 5.1.4 the configuration space */
struct virtio_net_config {
	uint8_t mac[6];
	le16 status;
	le16 max_virtqueue_pairs;
	le16 mtu;
};

#define VIRTIO_NET_S_LINK_UP		1

static_assert(offsetof(struct virtio_net_config, max_virtqueue_pairs) == 8, "5.1.4");
static_assert(sizeof(struct virtio_net_config) == 12, "5.1.4, as far as we fill it");

/* 5.1.4.1 limits of the mtu field */
#define VIRTIO_NET_MTU_MIN		68
#define VIRTIO_NET_MTU_MAX		65535

#endif
