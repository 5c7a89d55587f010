/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packet.c - build packets, sum them, put them where they can be moved.
 */
#include "packet.h"

/* RFC 1071, a byte at a time. */
static uint32_t
sum_bytes(const uint8_t *at, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++) {
		sum += i & 1 ? at[i] : (uint32_t)at[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

/* All but the two bytes of the field, which begins at an even place. */
static uint32_t
sum_around(const uint8_t *at, uint32_t len, uint32_t field, uint32_t sum)
{
	sum = sum_bytes(at, field, sum);
	return sum_bytes(at + field + 2, len - field - 2, sum);
}

uint32_t
pseudo_sum(const struct packet *p)
{
	const uint8_t *ip = p->bytes + p->l2_len;
	uint32_t l4_len = p->len - l4_at(p), sum;

	sum = p->ipv6 ? sum_bytes(ip + 8, 32, 0) : sum_bytes(ip + 12, 8, 0);
	sum += l4_len + p->proto;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

uint32_t
l4_checksum(const struct packet *p)
{
	uint32_t sum = sum_around(p->bytes + l4_at(p), p->len - l4_at(p), p->csum_offset,
				  pseudo_sum(p));
	uint32_t csum = ~sum & 0xffff;

	return csum == 0 && p->proto == PROTO_UDP ? 0xffff : csum;
}

uint32_t
ip_checksum(const struct packet *p)
{
	return ~sum_around(p->bytes + p->l2_len, p->l3_len, 10, 0) & 0xffff;
}

void
packet_put_lengths(struct packet *p)
{
	uint8_t *ip = p->bytes + p->l2_len;

	if (p->ipv6)
		put16(ip + 4, p->len - p->l2_len - 40);
	else
		put16(ip + 2, p->len - p->l2_len);
	if (p->proto == PROTO_UDP)
		put16(p->bytes + l4_at(p) + 4, p->len - l4_at(p));
}

static void
put_l2(struct packet *p, bool vlan)
{
	uint8_t *at = p->bytes + 12;

	if (vlan) {
		put16(at, 0x8100);
		at += 4;
	}
	put16(at, p->ipv6 ? 0x86dd : 0x0800);
}

static void
put_l3(struct packet *p)
{
	uint8_t *ip = p->bytes + p->l2_len;

	if (!p->ipv6) {
		ip[0] = (uint8_t)(0x40 | p->l3_len / 4);
		put16(ip + 6, 0x4000);	/* do not fragment */
		ip[9] = p->proto;
		return;
	}
	ip[0] = 0x60;
	ip[6] = p->proto;
	if (p->l3_len > 40) {
		ip[6] = 60;	/* destination options */
		ip[40] = p->proto;
		ip[41] = (uint8_t)((p->l3_len - 40) / 8 - 1);
	}
}

void
packet_make(struct packet *p, const struct packet_spec *spec)
{
	p->ipv6 = spec->ipv6;
	p->proto = spec->proto;
	p->l2_len = spec->vlan ? 18 : 14;
	p->l3_len = (spec->ipv6 ? 40 : 20) + spec->l3_options;
	p->l4_len = spec->proto == PROTO_TCP ? 20 + spec->l4_options : 8;
	p->csum_offset = spec->proto == PROTO_TCP ? 16 : 6;
	p->len = headers_len(p) + spec->payload_len;
	CHECK(p->len <= PACKET_MAX);
	rig_frame(p->bytes, spec->seed, p->len);
	put_l2(p, spec->vlan);
	put_l3(p);
	if (spec->proto == PROTO_TCP) {
		p->bytes[l4_at(p) + 12] = (uint8_t)(p->l4_len / 4 << 4);
		p->bytes[l4_at(p) + 13] = 0x10;	/* ACK */
	}
	packet_put_lengths(p);
}

static void
make_with_options(struct packet *p, uint8_t proto, bool ipv6, uint32_t options,
		  uint32_t payload_len)
{
	const struct packet_spec spec = {
		.ipv6 = ipv6, .proto = proto, .payload_len = payload_len, .seed = payload_len,
		.vlan = options & 1,
		.l3_options = options & 2 ? 16 : 0,
		.l4_options = options & 4 ? 12 : 0,
	};

	packet_make(p, &spec);
}

void
packet_make_tcp(struct packet *p, bool ipv6, uint32_t options, uint32_t payload_len)
{
	make_with_options(p, PROTO_TCP, ipv6, options, payload_len);
}

void
packet_make_udp(struct packet *p, bool ipv6, uint32_t options, uint32_t payload_len)
{
	make_with_options(p, PROTO_UDP, ipv6, options, payload_len);
}

struct virtio_net_hdr
packet_tso_header(const struct packet *p, uint16_t gso_size)
{
	return packet_gso_header(p, p->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 :
					      VIRTIO_NET_HDR_GSO_TCPV4, gso_size);
}

struct virtio_net_hdr
packet_gso_header(const struct packet *p, uint8_t gso_type, uint16_t gso_size)
{
	return (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = gso_type,
		.gso_size = le16_put(gso_size),
		.hdr_len = le16_put((uint16_t)headers_len(p)),
		.csum_start = le16_put((uint16_t)l4_at(p)),
		.csum_offset = le16_put((uint16_t)p->csum_offset),
	};
}

struct rte_mbuf *
packet_mbuf(struct net_rig *rig, const struct packet *p, uint32_t seg_len)
{
	struct rte_mbuf *m = rig_mbuf(rig, 0, p->len, seg_len);
	uint32_t done = 0;

	for (struct rte_mbuf *seg = m; seg; seg = seg->next) {
		memcpy(rte_pktmbuf_mtod(seg, void *), p->bytes + done, seg->data_len);
		done += seg->data_len;
	}
	m->l2_len = p->l2_len & 0x7f;
	m->l3_len = p->l3_len & 0x1ff;
	m->l4_len = p->l4_len & 0xff;
	m->ol_flags = p->ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
	return m;
}

void
packet_take(struct rte_mbuf *m, const struct packet *p)
{
	static uint8_t got[PACKET_MAX];

	CHECK_EQ(m->pkt_len, p->len);
	rig_mbuf_read(m, got);
	CHECK_EQ(memcmp(got, p->bytes, p->len), 0);
	rte_pktmbuf_free(m);
}

void
packet_send(struct net_rig *rig, const struct virtio_net_hdr *hdr, const struct packet *p,
	    uint32_t cut)
{
	uint32_t total = rig->hdr_len + p->len;
	struct piece pieces[2] = { { guest_alloc(&rig->guest, total), total, false } };

	guest_write(&rig->guest, pieces[0].at, hdr, rig->hdr_len);
	guest_write(&rig->guest, pieces[0].at + rig->hdr_len, p->bytes, p->len);
	if (cut) {
		pieces[1] = (struct piece){ pieces[0].at + cut, total - cut, false };
		pieces[0].len = cut;
	}
	driver_post(&rig->tx, pieces, cut ? 2 : 1);
	driver_publish(&rig->tx);
}

struct rte_mbuf *
packet_pull(struct net_rig *rig, const struct virtio_net_hdr *hdr, const struct packet *p,
	    uint32_t cut)
{
	struct used_entry used;
	struct rte_mbuf *m;
	uint16_t nr;

	packet_send(rig, hdr, p, cut);
	nr = vhc_net_pull(rig->pull, &m, 1);
	CHECK(driver_collect(&rig->tx, &used));
	CHECK_EQ(used.len, 0);
	return nr ? m : NULL;
}

void
packet_refused(struct net_rig *rig, const struct virtio_net_hdr *hdr, const struct packet *p,
	       enum ring_fault fault)
{
	uint64_t before = vhc_queue_faults(rig->pull, fault), all = rig_nr_faults(rig->pull);

	CHECK(!packet_pull(rig, hdr, p, 0));
	CHECK_EQ(vhc_queue_faults(rig->pull, fault), before + 1);
	CHECK_EQ(rig_nr_faults(rig->pull), all + 1);
}

void
packet_push_shared(struct net_rig *rig, const struct packet *p, struct rte_mbuf *m,
		   uint32_t nr_buffers, uint32_t buffer_len)
{
	static struct packet before;
	uint64_t flags = m->ol_flags;

	before = *p;
	for (struct rte_mbuf *seg = m; seg; seg = seg->next)
		rte_mbuf_refcnt_set(seg, 2);
	rig_offer(rig, nr_buffers, buffer_len);
	driver_publish(&rig->rx);
	CHECK_EQ(vhc_net_push(rig->push, &m, 1), 1);
	CHECK_EQ(m->ol_flags, flags);
	packet_take(m, &before);
}

void
packet_dropped(struct net_rig *rig, struct rte_mbuf *m)
{
	uint64_t before = rig_stats(rig->push).bad_offload;

	CHECK_EQ(vhc_net_push(rig->push, &m, 1), 1);
	CHECK_EQ(rig_stats(rig->push).bad_offload, before + 1);
	CHECK_EQ(driver_nr_used(&rig->rx), 0);
}
