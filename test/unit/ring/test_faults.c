/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_faults.c - every way a guest can lie, each told exactly once.
 *
 * One test a name of ring/fault.h; a name without a lie does not pass. Each lie is told between
 * honest packets, in a ring whose neighbour must not notice. It must be counted once under its
 * name and under no other; the chain comes back with length 0 and the ring goes on, or, where no
 * chain can be told, the ring is broken, says so, and stays so until it is set up again.
 */
#define _GNU_SOURCE 1

#include "model/net_rig.h"
#include "ring/chain.h"
#include "ring/fault.h"

#define FRAME_LEN 100
#define NR_CHAINS 4	/* one of them a lie */

static struct net_rig rig;

/* The ring that is lied to, and how its honest pieces look. */
static struct driver *liar;
static bool writable;

/* ---- lies ----------------------------------------------------------------------------------- */

/* Each posts one chain; the breaking ones, one entry. */

static struct piece
piece_of(uint32_t len)
{
	return (struct piece){ guest_alloc(&rig.guest, len), len, writable };
}

/* Two honest descriptors, to be spoiled. */
static struct virtq_desc *
post_two(struct virtq_desc **second)
{
	const struct piece pieces[] = { piece_of(60), piece_of(60) };
	uint16_t head = driver_post(liar, pieces, 2);

	*second = &liar->desc[le16_get(liar->desc[head].next)];
	return &liar->desc[head];
}

static struct virtq_desc *
post_one(uint32_t len)
{
	const struct piece piece = piece_of(len);

	return &liar->desc[driver_post(liar, &piece, 1)];
}

#define TABLE_AT (GUEST_LOW_AT + UINT64_C(0x3f0000))

/* An honest indirect table of `nr` one-byte pieces, and the descriptor that names it. */
static struct virtq_desc *
post_table(unsigned int nr)
{
	static struct piece pieces[2048];

	for (unsigned int i = 0; i < nr; i++)
		pieces[i] = piece_of(1);
	return &liar->desc[driver_post_indirect(liar, pieces, nr, 0, TABLE_AT)];
}

static struct virtq_desc *
table_entry(unsigned int i)
{
	return guest_ptr(&rig.guest, TABLE_AT + i * sizeof(struct virtq_desc),
			 sizeof(struct virtq_desc));
}

static void
set_flag(struct virtq_desc *d, uint16_t flag)
{
	d->flags = le16_put(le16_get(d->flags) | flag);
}

static void
avail_idx_one_too_many(void)
{
	liar->avail_idx = (uint16_t)(liar->seen_idx + liar->size + 1);
}

static void
avail_idx_backwards(void)
{
	liar->avail_idx = (uint16_t)(liar->seen_idx - 1);
}

static void
head_just_outside(void)
{
	driver_make_available(liar, liar->size);
}

static void
head_far_outside(void)
{
	driver_make_available(liar, 0xffff);
}

static void
next_outside(void)
{
	struct virtq_desc *second, *first = post_two(&second);

	first->next = le16_put(liar->size);
}

static void
next_outside_table(void)
{
	post_table(4);
	table_entry(1)->next = le16_put(4);
}

static void
loop_to_head(void)
{
	struct virtq_desc *second, *first = post_two(&second);

	set_flag(second, VIRTQ_DESC_F_NEXT);
	second->next = le16_put((uint16_t)(first - liar->desc));
}

static void
loop_to_itself(void)
{
	struct virtq_desc *first = post_one(1);

	set_flag(first, VIRTQ_DESC_F_NEXT);
	first->next = le16_put((uint16_t)(first - liar->desc));
}

static void
loop_of_empty_ones(void)
{
	post_table(2);
	table_entry(0)->len = table_entry(1)->len = le32_put(0);
	set_flag(table_entry(1), VIRTQ_DESC_F_NEXT);
	table_entry(1)->next = le16_put(0);
}

static void
spans_one_too_many(void)
{
	post_table(CHAIN_SPANS_MAX + 1);
}

static void
spans_by_the_seam(void)
{
	post_table(CHAIN_SPANS_MAX);
	table_entry(500)->addr = le64_put(GUEST_SEAM_AT - 1);
	table_entry(500)->len = le32_put(2);
}

static void
empty_one_descriptor(void)
{
	post_one(0);
}

static void
empty_other_direction_only(void)
{
	post_one(100)->flags = le16_put(writable ? 0 : VIRTQ_DESC_F_WRITE);
}

static void
readable_after_writable(void)
{
	struct virtq_desc *second, *first = post_two(&second);

	set_flag(first, VIRTQ_DESC_F_WRITE);
	second->flags = le16_put(0);
}

/* 64 MiB are mapped from GUEST_LOW_AT on. */
static void
bytes_just_4_gib(void)
{
	const uint32_t len = (uint32_t)(GUEST_END_AT - GUEST_LOW_AT);
	struct piece pieces[64];

	for (unsigned int i = 0; i < 64; i++)
		pieces[i] = (struct piece){ GUEST_LOW_AT, len, writable };
	driver_post(liar, pieces, 64);
}

static void
bytes_wrap(void)
{
	struct virtq_desc *second;

	post_two(&second);
	second->len = le32_put(UINT32_MAX);
}

static void
desc_wraps(void)
{
	post_one(100)->addr = le64_put(UINT64_MAX - 98);
}

static void
unmapped_hole(void)
{
	post_one(100)->addr = le64_put(GUEST_END_AT);
}

static void
unmapped_null(void)
{
	post_one(100)->addr = le64_put(0);
}

static void
unmapped_last_byte(void)
{
	post_one(100)->addr = le64_put(GUEST_END_AT - 99);
}

static void
unmapped_second(void)
{
	struct virtq_desc *second;

	post_two(&second);
	second->addr = le64_put(GUEST_FAR_END_AT - 59);
}

static void
table_of_one(void)
{
	post_table(1);
}

static void
table_in_table(void)
{
	post_table(3);
	set_flag(table_entry(1), VIRTQ_DESC_F_INDIRECT);
	table_entry(1)->len = le32_put(16);
}

static void
table_and_next(void)
{
	set_flag(post_table(2), VIRTQ_DESC_F_NEXT);
}

static void
table_len_zero(void)
{
	post_table(2)->len = le32_put(0);
}

static void
table_len_odd(void)
{
	post_table(2)->len = le32_put(17);
}

static void
table_len_over_the_limit(void)
{
	post_table(2)->len = le32_put((VIRTQ_SIZE_MAX + 1) * 16);
}

static void
table_wraps(void)
{
	post_table(2)->addr = le64_put(UINT64_MAX - 30);
}

static void
table_unmapped(void)
{
	post_table(2)->addr = le64_put(GUEST_END_AT);
}

/* Its first entry is there, and honest; the second is not. */
static void
table_half_unmapped(void)
{
	struct virtq_desc *d = post_table(2);

	guest_write(&rig.guest, GUEST_END_AT - 16, table_entry(0), 16);
	d->addr = le64_put(GUEST_END_AT - 16);
}

static void
header_missing_a_byte(void)
{
	post_one(rig.hdr_len - 1u);
}

static void
header_missing_a_byte_in_pieces(void)
{
	struct virtq_desc *second, *first = post_two(&second);

	first->len = le32_put(1);
	second->len = le32_put(rig.hdr_len - 2u);
}

static void
frame_missing_a_byte(void)
{
	post_one(rig.hdr_len + NET_FRAME_MIN - 1u);
}

static void
frame_none(void)
{
	post_one(rig.hdr_len);
}

static void
frame_of_a_byte_too_many(void)
{
	post_one(rig.hdr_len + NET_FRAME_MAX + 1u);
}

static void
frame_of_64_mib(void)
{
	const struct piece piece = { GUEST_LOW_AT, (uint32_t)(GUEST_END_AT - GUEST_LOW_AT), false };

	driver_post(liar, &piece, 1);
}

static void
post_with_header(const struct virtio_net_hdr *hdr)
{
	const struct piece piece = piece_of(rig.hdr_len + FRAME_LEN);

	rig_write_packet(&rig, piece.at, hdr, 0, FRAME_LEN);
	driver_post(liar, &piece, 1);
}

static void
csum_one_past_the_end(void)
{
	post_with_header(&(struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = le16_put(FRAME_LEN - 17), .csum_offset = le16_put(16),
	});
}

static void
csum_sum_overflows(void)
{
	post_with_header(&(struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = le16_put(0xffff), .csum_offset = le16_put(16),
	});
}

static void
gso_tcp(void)
{
	post_with_header(&(struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = 1, .gso_size = le16_put(10),
		.csum_start = le16_put(34), .csum_offset = le16_put(16),
	});
}

static void
gso_nonsense(void)
{
	post_with_header(&(struct virtio_net_hdr){ .gso_type = 0xff });
}

/* ---- which lie is which --------------------------------------------------------------------- */

enum to_whom { TO_BOTH, TO_PULL };

static const struct lie {
	enum ring_fault fault;
	enum to_whom to;
	void (*tell)(void);
	const char *name;
} lies[] = {
#define LIE(FAULT, to, fn) { RING_FAULT_##FAULT, to, fn, #fn }
	LIE(AVAIL_IDX, TO_BOTH, avail_idx_one_too_many),
	LIE(AVAIL_IDX, TO_BOTH, avail_idx_backwards),
	LIE(HEAD_RANGE, TO_BOTH, head_just_outside),
	LIE(HEAD_RANGE, TO_BOTH, head_far_outside),
	LIE(NEXT_RANGE, TO_BOTH, next_outside),
	LIE(NEXT_RANGE, TO_BOTH, next_outside_table),
	LIE(CHAIN_LOOP, TO_BOTH, loop_to_head),
	LIE(CHAIN_LOOP, TO_BOTH, loop_to_itself),
	LIE(CHAIN_LOOP, TO_BOTH, loop_of_empty_ones),
	LIE(CHAIN_SPANS, TO_BOTH, spans_one_too_many),
	LIE(CHAIN_SPANS, TO_BOTH, spans_by_the_seam),
	LIE(CHAIN_EMPTY, TO_BOTH, empty_one_descriptor),
	LIE(CHAIN_EMPTY, TO_BOTH, empty_other_direction_only),
	LIE(CHAIN_ORDER, TO_BOTH, readable_after_writable),
	LIE(CHAIN_BYTES, TO_BOTH, bytes_just_4_gib),
	LIE(CHAIN_BYTES, TO_BOTH, bytes_wrap),
	LIE(DESC_WRAP, TO_BOTH, desc_wraps),
	LIE(DESC_WRAP, TO_BOTH, table_wraps),
	LIE(DESC_UNMAPPED, TO_BOTH, unmapped_hole),
	LIE(DESC_UNMAPPED, TO_BOTH, unmapped_null),
	LIE(DESC_UNMAPPED, TO_BOTH, unmapped_last_byte),
	LIE(DESC_UNMAPPED, TO_BOTH, unmapped_second),
	LIE(INDIRECT_OFF, TO_BOTH, table_of_one),
	LIE(INDIRECT_NESTED, TO_BOTH, table_in_table),
	LIE(INDIRECT_NEXT, TO_BOTH, table_and_next),
	LIE(INDIRECT_LEN, TO_BOTH, table_len_zero),
	LIE(INDIRECT_LEN, TO_BOTH, table_len_odd),
	LIE(INDIRECT_LEN, TO_BOTH, table_len_over_the_limit),
	LIE(INDIRECT_UNMAPPED, TO_BOTH, table_unmapped),
	LIE(INDIRECT_UNMAPPED, TO_BOTH, table_half_unmapped),
	LIE(HDR_SHORT, TO_BOTH, header_missing_a_byte),
	LIE(HDR_SHORT, TO_BOTH, header_missing_a_byte_in_pieces),
	LIE(FRAME_SHORT, TO_PULL, frame_missing_a_byte),
	LIE(FRAME_SHORT, TO_PULL, frame_none),
	LIE(FRAME_LONG, TO_PULL, frame_of_a_byte_too_many),
	LIE(FRAME_LONG, TO_PULL, frame_of_64_mib),
	LIE(CSUM_RANGE, TO_PULL, csum_one_past_the_end),
	LIE(CSUM_RANGE, TO_PULL, csum_sum_overflows),
	LIE(GSO_OFF, TO_PULL, gso_tcp),
	LIE(GSO_OFF, TO_PULL, gso_nonsense),
#undef LIE
};

#define X(NAME, name, sentence) + 1
enum { NR_BREAKING = 0 RING_FAULTS_BREAKING(X) };
#undef X

static bool
is_breaking(enum ring_fault fault)
{
	return (unsigned int)fault < NR_BREAKING;
}

/* ---- telling them --------------------------------------------------------------------------- */

/* One honest packet or buffer. */
static void
post_honest(uint32_t seed)
{
	if (writable)
		rig_offer(&rig, 1, rig.hdr_len + FRAME_LEN);
	else
		rig_send(&rig, seed, FRAME_LEN);
}

/* Move up to `nr` packets through the ring that is lied to. Returns how many went. */
static unsigned int
move(unsigned int nr, uint32_t seed)
{
	struct rte_mbuf *mbufs[8];
	uint16_t done;

	CHECK(nr <= 8);
	if (!writable) {
		done = vhc_net_pull(rig.pull, mbufs, (uint16_t)nr);
		for (unsigned int i = 0; i < done; i++)
			rig_take_frame(mbufs[i], seed + i, FRAME_LEN);
		return done;
	}
	for (unsigned int i = 0; i < nr; i++)
		mbufs[i] = rig_mbuf(&rig, seed + i, FRAME_LEN, 0);
	done = vhc_net_push(rig.push, mbufs, (uint16_t)nr);
	rte_pktmbuf_free_bulk(mbufs + done, nr - done);
	return done;
}

static void
check_counted_once(struct vhc_queue *q, enum ring_fault fault)
{
	struct vhc_queue_info about;

	for (unsigned int i = 0; i < RING_NR_FAULTS; i++)
		CHECK_EQ(vhc_queue_faults(q, i), i == (unsigned int)fault);
	vhc_queue_info(q, &about);
	CHECK_EQ(strcmp(about.last_fault, vhc_fault_name(fault)), 0);
}

static void
choose_ring(bool is_push)
{
	writable = is_push;
	liar = is_push ? &rig.rx : &rig.tx;
}

/* A packet through each ring; ends with the ring that was lied to. */
static void
check_both_work(void)
{
	bool was_writable = writable;

	for (unsigned int i = 0; i < 2; i++) {
		struct used_entry used;

		choose_ring(i ? was_writable : !was_writable);
		post_honest(50);
		driver_publish(liar);
		CHECK_EQ(move(1, 50), 1);
		CHECK(driver_collect(liar, &used));
		CHECK_EQ(used.len, writable ? rig.hdr_len + FRAME_LEN : 0);
	}
}

static void
check_chain_came_back_unused(uint16_t position)
{
	struct used_entry used;

	for (uint16_t i = 0; i < NR_CHAINS; i++) {
		CHECK(driver_collect(liar, &used));
		CHECK_EQ(used.len, writable && i != position ? rig.hdr_len + FRAME_LEN : 0);
	}
	CHECK(!driver_collect(liar, &used));
	CHECK_EQ(liar->nr_free, liar->size);
	check_both_work();
}

/* It says so once, stays so whatever the guest does, and ends when the ring is set up again. */
static void
check_broken(struct vhc_queue *q, enum ring_fault fault)
{
	struct vhc_queue_info about;

	CHECK_EQ(rig_nr_signals(rig.err[q->index]), 1);
	vhc_queue_info(q, &about);
	CHECK(about.broken);
	liar->avail_idx = (uint16_t)(liar->seen_idx + 1);
	driver_publish(liar);
	CHECK_EQ(move(NR_CHAINS, 0), 0);
	check_counted_once(q, fault);
	CHECK_EQ(rig_nr_signals(rig.err[q->index]), 0);
	net_rig_restart(&rig);
	check_both_work();
}

/* `position` honest packets before the lie, and as many after it as the ring still takes. */
static void
tell_one(const struct lie *lie, uint16_t position)
{
	struct vhc_queue *q = writable ? rig.push : rig.pull;
	const struct vhc_queue *other = writable ? rig.pull : rig.push;
	unsigned int nr_honest = 0;

	for (uint16_t i = 0; i < NR_CHAINS; i++) {
		if (i == position)
			lie->tell();
		else if (!is_breaking(lie->fault) || i < position)
			post_honest(nr_honest++);
	}
	driver_publish(liar);
	/* An index out of bounds leaves nothing of the ring to believe. */
	CHECK_EQ(move(NR_CHAINS, 0), lie->fault == RING_FAULT_AVAIL_IDX ? 0 : nr_honest);
	check_counted_once(q, lie->fault);
	CHECK_EQ(rig_nr_faults(other), 0);
	if (is_breaking(lie->fault))
		check_broken(q, lie->fault);
	else
		check_chain_came_back_unused(position);
	check_counted_once(q, lie->fault);
	CHECK_EQ(rig_nr_faults(other), 0);
}

static void
tell_everywhere(const struct lie *lie, bool is_push)
{
	uint64_t indirect = lie->fault == RING_FAULT_INDIRECT_OFF ? 0 : RIG_INDIRECT;
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_CSUM | indirect };

	printf("  %s %s\n", is_push ? "push" : "pull", lie->name);
	fflush(stdout);
	for (uint16_t position = 0; position < NR_CHAINS; position++) {
		net_rig_open(&rig, &conf);
		choose_ring(is_push);
		tell_one(lie, position);
		net_rig_close(&rig);
	}
}

static void
tell(enum ring_fault fault)
{
	unsigned int nr_told = 0;

	for (size_t i = 0; i < VHC_ARRAY_LEN(lies); i++) {
		if (lies[i].fault != fault)
			continue;
		tell_everywhere(&lies[i], false);
		if (lies[i].to == TO_BOTH)
			tell_everywhere(&lies[i], true);
		nr_told++;
	}
	/* A fault without a lie is one nobody has seen counted. */
	CHECK(nr_told > 0);
}

#define X(NAME, name, sentence) \
static void \
test_##name(void) \
{ \
	tell(RING_FAULT_##NAME); \
}
RING_FAULTS(X)
#undef X

static const struct test tests[] = {
#define X(NAME, name, sentence) { #name, test_##name },
	RING_FAULTS(X)
#undef X
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
