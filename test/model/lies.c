/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lies.c - spoil honest chains, each in one way.
 */
#include "lies.h"

#include "base/compiler.h"
#include "guest_split.h"
#include "net/net.h"
#include "ring/chain.h"
#include "unit/check.h"

/* Room for any packet the lies below tell of. */
#define FRAME_LEN 100

static struct piece
piece_of(const struct liar *l, uint32_t len)
{
	return (struct piece){ guest_alloc(l->guest, len), len, l->writable };
}

/* Two honest descriptors, to be spoiled. */
static union driver_desc *
post_two(const struct liar *l, union driver_desc **second)
{
	const struct piece pieces[] = { piece_of(l, 60), piece_of(l, 60) };
	uint16_t id = driver_post(l->driver, pieces, 2);

	*second = driver_desc(l->driver, id, 1);
	return driver_desc(l->driver, id, 0);
}

static union driver_desc *
post_one(const struct liar *l, uint32_t len)
{
	const struct piece piece = piece_of(l, len);

	return driver_desc(l->driver, driver_post(l->driver, &piece, 1), 0);
}

#define TABLE_AT (GUEST_LOW_AT + UINT64_C(0x3f0000))

/* An honest indirect table of `nr` one-byte pieces, and the descriptor that names it. */
static union driver_desc *
post_table(const struct liar *l, unsigned int nr)
{
	static struct piece pieces[2048];
	uint16_t id;

	for (unsigned int i = 0; i < nr; i++)
		pieces[i] = piece_of(l, 1);
	id = driver_post_indirect(l->driver, pieces, nr, 0, TABLE_AT);
	return driver_desc(l->driver, id, 0);
}

static union driver_desc *
table_entry(const struct liar *l, unsigned int i)
{
	return guest_ptr(l->guest, TABLE_AT + i * sizeof(union driver_desc),
			 sizeof(union driver_desc));
}

static void
set_flags(const struct liar *l, union driver_desc *d, uint16_t flags)
{
	*driver_desc_flags(l->driver, d) = le16_put(flags);
}

static void
add_flag(const struct liar *l, union driver_desc *d, uint16_t flag)
{
	set_flags(l, d, le16_get(*driver_desc_flags(l->driver, d)) | flag);
}

static uint16_t
slot_of(const struct liar *l, const union driver_desc *d)
{
	return (uint16_t)(&d->split - l->driver->desc);
}

static void
avail_idx_one_too_many(const struct liar *l)
{
	l->driver->avail_idx = (uint16_t)(l->driver->seen_idx + l->driver->size + 1);
}

static void
avail_idx_backwards(const struct liar *l)
{
	l->driver->avail_idx = (uint16_t)(l->driver->seen_idx - 1);
}

static void
head_just_outside(const struct liar *l)
{
	guest_split_make_available(l->driver, l->driver->size);
}

static void
head_far_outside(const struct liar *l)
{
	guest_split_make_available(l->driver, 0xffff);
}

static void
next_outside(const struct liar *l)
{
	union driver_desc *second, *first = post_two(l, &second);

	first->split.next = le16_put(l->driver->size);
}

static void
next_outside_table(const struct liar *l)
{
	post_table(l, 4);
	table_entry(l, 1)->split.next = le16_put(4);
}

static void
loop_to_head(const struct liar *l)
{
	union driver_desc *second, *first = post_two(l, &second);

	add_flag(l, second, VIRTQ_DESC_F_NEXT);
	second->split.next = le16_put(slot_of(l, first));
}

static void
loop_to_itself(const struct liar *l)
{
	union driver_desc *first = post_one(l, 1);

	add_flag(l, first, VIRTQ_DESC_F_NEXT);
	first->split.next = le16_put(slot_of(l, first));
}

static void
loop_of_empty_ones(const struct liar *l)
{
	post_table(l, 2);
	table_entry(l, 0)->len = table_entry(l, 1)->len = le32_put(0);
	add_flag(l, table_entry(l, 1), VIRTQ_DESC_F_NEXT);
	table_entry(l, 1)->split.next = le16_put(0);
}

/* All that is free of the ring, and the last one has a next: what follows is the device's. */
static void
endless(const struct liar *l, uint32_t len)
{
	static struct piece pieces[VIRTQ_SIZE_MAX];
	uint16_t nr = l->driver->nr_free, id;

	for (uint16_t i = 0; i < nr; i++)
		pieces[i] = piece_of(l, len);
	id = driver_post(l->driver, pieces, nr);
	add_flag(l, driver_desc(l->driver, id, nr - 1), VIRTQ_DESC_F_NEXT);
}

static void
endless_of_bytes(const struct liar *l)
{
	endless(l, 1);
}

/* Neither way of ending it early, being empty or being bad, makes it end. */
static void
endless_of_empty_ones(const struct liar *l)
{
	endless(l, 0);
}

static void
endless_and_bad(const struct liar *l)
{
	uint16_t slot = l->driver->next.idx;

	endless(l, 1);
	l->driver->packed[slot].addr = le64_put(UINT64_MAX);
}

static void
spans_one_too_many(const struct liar *l)
{
	post_table(l, CHAIN_SPANS_MAX + 1);
}

static void
spans_by_the_seam(const struct liar *l)
{
	post_table(l, CHAIN_SPANS_MAX);
	table_entry(l, 500)->addr = le64_put(GUEST_SEAM_AT - 1);
	table_entry(l, 500)->len = le32_put(2);
}

static void
empty_one_descriptor(const struct liar *l)
{
	post_one(l, 0);
}

static void
empty_other_direction_only(const struct liar *l)
{
	set_flags(l, post_one(l, 100), l->writable ? 0 : VIRTQ_DESC_F_WRITE);
}

static void
readable_after_writable(const struct liar *l)
{
	union driver_desc *second, *first = post_two(l, &second);

	add_flag(l, first, VIRTQ_DESC_F_WRITE);
	set_flags(l, second, 0);
}

/* 64 MiB are mapped from GUEST_LOW_AT on. */
static void
bytes_just_4_gib(const struct liar *l)
{
	const uint32_t len = (uint32_t)(GUEST_END_AT - GUEST_LOW_AT);
	struct piece pieces[64];

	for (unsigned int i = 0; i < 64; i++)
		pieces[i] = (struct piece){ GUEST_LOW_AT, len, l->writable };
	driver_post(l->driver, pieces, 64);
}

static void
bytes_wrap(const struct liar *l)
{
	union driver_desc *second;

	post_two(l, &second);
	second->len = le32_put(UINT32_MAX);
}

static void
desc_wraps(const struct liar *l)
{
	post_one(l, 100)->addr = le64_put(UINT64_MAX - 98);
}

static void
unmapped_hole(const struct liar *l)
{
	post_one(l, 100)->addr = le64_put(GUEST_END_AT);
}

static void
unmapped_null(const struct liar *l)
{
	post_one(l, 100)->addr = le64_put(0);
}

static void
unmapped_last_byte(const struct liar *l)
{
	post_one(l, 100)->addr = le64_put(GUEST_END_AT - 99);
}

static void
unmapped_second(const struct liar *l)
{
	union driver_desc *second;

	post_two(l, &second);
	second->addr = le64_put(GUEST_FAR_END_AT - 59);
}

static void
table_of_one(const struct liar *l)
{
	post_table(l, 1);
}

static void
table_in_table(const struct liar *l)
{
	post_table(l, 3);
	add_flag(l, table_entry(l, 1), VIRTQ_DESC_F_INDIRECT);
	table_entry(l, 1)->len = le32_put(16);
}

static void
table_and_next(const struct liar *l)
{
	add_flag(l, post_table(l, 2), VIRTQ_DESC_F_NEXT);
}

static void
table_and_second(const struct liar *l)
{
	union driver_desc *second, *first = post_two(l, &second);

	add_flag(l, first, VIRTQ_DESC_F_INDIRECT);
	first->len = le32_put(32);
	(void)second;
}

static void
table_as_second(const struct liar *l)
{
	union driver_desc *second;

	post_two(l, &second);
	add_flag(l, second, VIRTQ_DESC_F_INDIRECT);
	second->len = le32_put(32);
}

static void
table_len_zero(const struct liar *l)
{
	post_table(l, 2)->len = le32_put(0);
}

static void
table_len_odd(const struct liar *l)
{
	post_table(l, 2)->len = le32_put(17);
}

static void
table_len_over_the_limit(const struct liar *l)
{
	post_table(l, 2)->len = le32_put((VIRTQ_SIZE_MAX + 1) * 16);
}

static void
table_wraps(const struct liar *l)
{
	post_table(l, 2)->addr = le64_put(UINT64_MAX - 30);
}

static void
table_unmapped(const struct liar *l)
{
	post_table(l, 2)->addr = le64_put(GUEST_END_AT);
}

/* Its first entry is there, and honest; the second is not. */
static void
table_half_unmapped(const struct liar *l)
{
	union driver_desc *d = post_table(l, 2);

	guest_write(l->guest, GUEST_END_AT - 16, table_entry(l, 0), 16);
	d->addr = le64_put(GUEST_END_AT - 16);
}

static void
header_missing_a_byte(const struct liar *l)
{
	post_one(l, l->hdr_len - 1u);
}

static void
header_missing_a_byte_in_pieces(const struct liar *l)
{
	union driver_desc *second, *first = post_two(l, &second);

	first->len = le32_put(1);
	second->len = le32_put(l->hdr_len - 2u);
}

static void
frame_missing_a_byte(const struct liar *l)
{
	post_one(l, l->hdr_len + NET_FRAME_MIN - 1u);
}

static void
frame_none(const struct liar *l)
{
	post_one(l, l->hdr_len);
}

static void
frame_of_a_byte_too_many(const struct liar *l)
{
	post_one(l, l->hdr_len + NET_FRAME_MAX + 1u);
}

static void
frame_of_64_mib(const struct liar *l)
{
	const struct piece piece = { GUEST_LOW_AT, (uint32_t)(GUEST_END_AT - GUEST_LOW_AT), false };

	driver_post(l->driver, &piece, 1);
}

static void
post_with_header(const struct liar *l, const struct virtio_net_hdr *hdr)
{
	const struct piece piece = piece_of(l, l->hdr_len + FRAME_LEN);

	guest_write(l->guest, piece.at, hdr, l->hdr_len);
	driver_post(l->driver, &piece, 1);
}

static void
csum_one_past_the_end(const struct liar *l)
{
	post_with_header(l, &(struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = le16_put(FRAME_LEN - 17), .csum_offset = le16_put(16),
	});
}

static void
csum_sum_overflows(const struct liar *l)
{
	post_with_header(l, &(struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = le16_put(0xffff), .csum_offset = le16_put(16),
	});
}

static void
gso_tcp(const struct liar *l)
{
	post_with_header(l, &(struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = 1, .gso_size = le16_put(10),
		.csum_start = le16_put(34), .csum_offset = le16_put(16),
	});
}

static void
gso_nonsense(const struct liar *l)
{
	post_with_header(l, &(struct virtio_net_hdr){ .gso_type = 0xff });
}

/* A request that only its fields, or the pattern it comes with, make a lie. */
static void
post_tso4(const struct liar *l, uint8_t flags, uint16_t gso_size)
{
	post_with_header(l, &(struct virtio_net_hdr){
		.flags = flags, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = le16_put(gso_size), .hdr_len = le16_put(54),
		.csum_start = le16_put(34), .csum_offset = le16_put(16),
	});
}

static void
gso_without_checksum(const struct liar *l)
{
	post_tso4(l, 0, 10);
}

static void
gso_of_size_zero(const struct liar *l)
{
	post_tso4(l, VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
}

static void
gso_of_no_ip_packet(const struct liar *l)
{
	post_tso4(l, VIRTIO_NET_HDR_F_NEEDS_CSUM, 10);
}

/* ---- which lie is which --------------------------------------------------------------------- */

const struct lie lies[] = {
#define LIE(FAULT, to, in, fn) { RING_FAULT_##FAULT, to, in, fn, #fn }
	LIE(AVAIL_IDX, TO_BOTH, IN_SPLIT, avail_idx_one_too_many),
	LIE(AVAIL_IDX, TO_BOTH, IN_SPLIT, avail_idx_backwards),
	LIE(HEAD_RANGE, TO_BOTH, IN_SPLIT, head_just_outside),
	LIE(HEAD_RANGE, TO_BOTH, IN_SPLIT, head_far_outside),
	LIE(NEXT_RANGE, TO_BOTH, IN_SPLIT, next_outside),
	LIE(NEXT_RANGE, TO_BOTH, IN_SPLIT, next_outside_table),
	LIE(CHAIN_LOOP, TO_BOTH, IN_SPLIT, loop_to_head),
	LIE(CHAIN_LOOP, TO_BOTH, IN_SPLIT, loop_to_itself),
	LIE(CHAIN_LOOP, TO_BOTH, IN_SPLIT, loop_of_empty_ones),
	LIE(CHAIN_ENDLESS, TO_BOTH, IN_PACKED, endless_of_bytes),
	LIE(CHAIN_ENDLESS, TO_BOTH, IN_PACKED, endless_of_empty_ones),
	LIE(CHAIN_ENDLESS, TO_BOTH, IN_PACKED, endless_and_bad),
	LIE(CHAIN_SPANS, TO_BOTH, IN_BOTH, spans_one_too_many),
	LIE(CHAIN_SPANS, TO_BOTH, IN_BOTH, spans_by_the_seam),
	LIE(CHAIN_EMPTY, TO_BOTH, IN_BOTH, empty_one_descriptor),
	LIE(CHAIN_EMPTY, TO_BOTH, IN_BOTH, empty_other_direction_only),
	LIE(CHAIN_ORDER, TO_BOTH, IN_BOTH, readable_after_writable),
	LIE(CHAIN_BYTES, TO_BOTH, IN_BOTH, bytes_just_4_gib),
	LIE(CHAIN_BYTES, TO_BOTH, IN_BOTH, bytes_wrap),
	LIE(DESC_WRAP, TO_BOTH, IN_BOTH, desc_wraps),
	LIE(DESC_WRAP, TO_BOTH, IN_BOTH, table_wraps),
	LIE(DESC_UNMAPPED, TO_BOTH, IN_BOTH, unmapped_hole),
	LIE(DESC_UNMAPPED, TO_BOTH, IN_BOTH, unmapped_null),
	LIE(DESC_UNMAPPED, TO_BOTH, IN_BOTH, unmapped_last_byte),
	LIE(DESC_UNMAPPED, TO_BOTH, IN_BOTH, unmapped_second),
	LIE(INDIRECT_OFF, TO_BOTH, IN_BOTH, table_of_one),
	LIE(INDIRECT_NESTED, TO_BOTH, IN_BOTH, table_in_table),
	LIE(INDIRECT_NEXT, TO_BOTH, IN_SPLIT, table_and_next),
	LIE(INDIRECT_NEXT, TO_BOTH, IN_PACKED, table_and_second),
	LIE(INDIRECT_NEXT, TO_BOTH, IN_PACKED, table_as_second),
	LIE(INDIRECT_LEN, TO_BOTH, IN_BOTH, table_len_zero),
	LIE(INDIRECT_LEN, TO_BOTH, IN_BOTH, table_len_odd),
	LIE(INDIRECT_LEN, TO_BOTH, IN_BOTH, table_len_over_the_limit),
	LIE(INDIRECT_UNMAPPED, TO_BOTH, IN_BOTH, table_unmapped),
	LIE(INDIRECT_UNMAPPED, TO_BOTH, IN_BOTH, table_half_unmapped),
	LIE(HDR_SHORT, TO_BOTH, IN_BOTH, header_missing_a_byte),
	LIE(HDR_SHORT, TO_BOTH, IN_BOTH, header_missing_a_byte_in_pieces),
	LIE(FRAME_SHORT, TO_PULL, IN_BOTH, frame_missing_a_byte),
	LIE(FRAME_SHORT, TO_PULL, IN_BOTH, frame_none),
	LIE(FRAME_LONG, TO_PULL, IN_BOTH, frame_of_a_byte_too_many),
	LIE(FRAME_LONG, TO_PULL, IN_BOTH, frame_of_64_mib),
	LIE(CSUM_RANGE, TO_PULL, IN_BOTH, csum_one_past_the_end),
	LIE(CSUM_RANGE, TO_PULL, IN_BOTH, csum_sum_overflows),
	LIE(GSO_OFF, TO_PULL, IN_BOTH, gso_tcp),
	LIE(GSO_OFF, TO_PULL, IN_BOTH, gso_nonsense),
	LIE(GSO_BAD, TO_PULL, IN_BOTH, gso_without_checksum),
	LIE(GSO_BAD, TO_PULL, IN_BOTH, gso_of_size_zero),
	LIE(GSO_BAD, TO_PULL, IN_BOTH, gso_of_no_ip_packet),
#undef LIE
};

const size_t nr_lies = VHC_ARRAY_LEN(lies);

bool
lie_fits(const struct lie *lie, enum ring_kind kind)
{
	return lie->in == IN_BOTH || (lie->in == IN_PACKED) == (kind == RING_PACKED);
}

/* Told where there is one, by unit/net/test_iommu.c and wire/test_iommu.py. */
#define NO_IOMMU \
	[RING_FAULT_IOVA_REFUSED] = "there is no IOMMU that could refuse", \
	[RING_FAULT_IOVA_DENIED] = "there is no IOMMU that could permit one and not the other"

static const char *const impossible[][RING_NR_FAULTS] = {
	[RING_SPLIT] = {
		[RING_FAULT_CHAIN_ENDLESS] = "next may only lead in circles: chain_loop",
		NO_IOMMU,
	},
	[RING_PACKED] = {
		[RING_FAULT_AVAIL_IDX] = "there is no index, each descriptor is available or not",
		[RING_FAULT_HEAD_RANGE] = "nothing names a head, it is the next slot",
		[RING_FAULT_NEXT_RANGE] = "nothing names the next, it is the slot after",
		[RING_FAULT_CHAIN_LOOP] = "slots and entries of a table only go forward",
		NO_IOMMU,
	},
};

const char *
lie_impossible(enum ring_fault fault, enum ring_kind kind)
{
	return impossible[kind][fault];
}
