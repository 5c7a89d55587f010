/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * announce.c - a frame in the guest's name, so that switches learn where it is now.
 *
 * Knows:   RARP (RFC 903), which every switch forwards and no host answers without need.
 * Trusts:  the address, which control judged; the application's pool.
 * Runs on: polling lcore inside the queue's gate, once an announcement.
 */
#include "net.h"

#include <rte_arp.h>

#define RARP_LEN 60	/* the shortest frame there is, without its check sequence */

static void
fill_rarp(uint8_t *frame, const struct rte_ether_addr *mac)
{
	struct rte_ether_hdr *eth = (void *)frame;
	struct rte_arp_hdr *rarp = (void *)(eth + 1);

	/* All of it: what an mbuf held before is nobody's business. */
	memset(frame, 0, RARP_LEN);
	memset(&eth->dst_addr, 0xff, sizeof(eth->dst_addr));
	eth->src_addr = *mac;
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_RARP);
	rarp->arp_hardware = rte_cpu_to_be_16(RTE_ARP_HRD_ETHER);
	rarp->arp_protocol = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	rarp->arp_hlen = RTE_ETHER_ADDR_LEN;
	rarp->arp_plen = sizeof(rarp->arp_data.arp_sip);
	rarp->arp_opcode = rte_cpu_to_be_16(RTE_ARP_OP_REVREQUEST);
	rarp->arp_data.arp_sha = *mac;
	rarp->arp_data.arp_tha = *mac;
}

struct rte_mbuf *
vhc_net_announcement(struct net_queue *nq)
{
	struct rte_mbuf *m;
	uint8_t *frame;

	if (nq->room < RARP_LEN)
		return NULL;
	m = rte_pktmbuf_alloc(nq->pool);
	if (!m)
		return NULL;
	m->data_len = m->pkt_len = RARP_LEN;
	frame = rte_pktmbuf_mtod(m, uint8_t *);
	fill_rarp(frame, &nq->mac);
	m->port = nq->port;
	stats_one(&nq->stats, frame, RARP_LEN);
	return m;
}
