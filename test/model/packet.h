/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packet.h - TCP and UDP packets whose headers agree, and their checksums computed the slow way.
 *
 * Knows:   Ethernet, 802.1Q, IPv4, IPv6, TCP, UDP; RFC 1071 a byte at a time.
 * Trusts:  nothing to trust.
 * Runs on: the test's thread.
 */
#ifndef TEST_MODEL_PACKET_H
#define TEST_MODEL_PACKET_H

#include "net_rig.h"

#define PACKET_MAX	RIG_FRAME_MAX
#define PROTO_TCP	6
#define PROTO_UDP	17

struct packet_spec {
	bool ipv6;
	bool vlan;
	uint8_t proto;
	uint8_t l3_options;	/* bytes: IPv4 options, or one IPv6 extension header */
	uint8_t l4_options;	/* bytes: TCP options */
	uint32_t payload_len;
	uint32_t seed;		/* of the pattern that fills the rest */
};

struct packet {
	uint8_t bytes[PACKET_MAX];
	uint32_t len;
	uint32_t l2_len;
	uint32_t l3_len;
	uint32_t l4_len;
	uint32_t csum_offset;	/* in the L4 header */
	bool ipv6;
	uint8_t proto;
};

static inline void
put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline uint32_t
get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static inline void
put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

static inline uint32_t
get32(const uint8_t *at)
{
	return get16(at) << 16 | get16(at + 2);
}

static inline uint32_t
l4_at(const struct packet *p)
{
	return p->l2_len + p->l3_len;
}

static inline uint32_t
field_at(const struct packet *p)
{
	return l4_at(p) + p->csum_offset;
}

static inline uint32_t
headers_len(const struct packet *p)
{
	return l4_at(p) + p->l4_len;
}

/* Both checksums are junk. */
void packet_make(struct packet *p, const struct packet_spec *spec);

/* TCP, with what the bits of `options` say: 1 a VLAN tag, 2 IP options, 4 TCP options. */
void packet_make_tcp(struct packet *p, bool ipv6, uint32_t options, uint32_t payload_len);

/* UDP, the same; it has no options. */
void packet_make_udp(struct packet *p, bool ipv6, uint32_t options, uint32_t payload_len);

/* The header to ask with that it be cut; all of it is true. */
struct virtio_net_hdr packet_tso_header(const struct packet *p, uint16_t gso_size);
struct virtio_net_hdr packet_gso_header(const struct packet *p, uint8_t gso_type,
					uint16_t gso_size);

/* The length fields of the headers say what `p->len` is. */
void packet_put_lengths(struct packet *p);

/* The sum of the pseudo header; what the field holds while the rest is to be done. */
uint32_t pseudo_sum(const struct packet *p);

/* The checksums a receiver expects. */
uint32_t l4_checksum(const struct packet *p);
uint32_t ip_checksum(const struct packet *p);

/* An mbuf with this packet, in segments of `seg_len` (0: few), its lengths and IP version set. */
struct rte_mbuf *packet_mbuf(struct net_rig *rig, const struct packet *p, uint32_t seg_len);

/* The mbuf holds exactly these bytes and is freed. */
void packet_take(struct rte_mbuf *m, const struct packet *p);

/* Make the packet available to pull, behind this header; cut in two descriptors if `cut`. */
void packet_send(struct net_rig *rig, const struct virtio_net_hdr *hdr, const struct packet *p,
		 uint32_t cut);

/* ... and pull it: the mbuf, or NULL if it was refused. */
struct rte_mbuf *packet_pull(struct net_rig *rig, const struct virtio_net_hdr *hdr,
			     const struct packet *p, uint32_t cut);

/* ... which it must be, for this. */
void packet_refused(struct net_rig *rig, const struct virtio_net_hdr *hdr, const struct packet *p,
		    enum ring_fault fault);

/*
 * Push an mbuf with this packet that somebody else has, too; afterwards it must be as it was. Frees
 * it. The guest offers buffers before.
 */
void packet_push_shared(struct net_rig *rig, const struct packet *p, struct rte_mbuf *m,
			uint32_t nr_buffers, uint32_t buffer_len);

/* Push an mbuf whose request makes no sense: it is dropped and counted, no buffer is used. */
void packet_dropped(struct net_rig *rig, struct rte_mbuf *m);

#endif
