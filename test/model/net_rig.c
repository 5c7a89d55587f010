/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net_rig.c - build a device without a socket, and packets for it.
 */
#include "net_rig.h"

#include <sched.h>
#include <sys/eventfd.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include "base/fd.h"
#include "ring/inflight.h"

#define TX_RING_AT	GUEST_LOW_AT
#define RX_RING_AT	(GUEST_LOW_AT + UINT64_C(0x200000))

/* EAL makes <folder>/dpdk/rte and leaves it behind. */
static char runtime_folder[] = "/tmp/vhostx-unit-XXXXXX";

static void
remove_runtime_folder(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/dpdk/rte", runtime_folder);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/dpdk", runtime_folder);
	rmdir(path);
	rmdir(runtime_folder);
}

/* What the arguments of the program choose: how wide vectors may be. */
static const char *simd_width = "--force-max-simd-bitwidth=256";

void
net_rig_eal(const char *program)
{
	char *args[] = {
		(char *)(uintptr_t)program, "--no-huge", "--no-pci", "--no-shconf", "-m", "128",
		"--no-telemetry", "--log-level=error", "--lcores=0@0",
		(char *)(uintptr_t)simd_width,
	};
	cpu_set_t cpus;

	CHECK(mkdtemp(runtime_folder));
	CHECK_EQ(setenv("RUNTIME_DIRECTORY", runtime_folder, 1), 0);
	CHECK_EQ(atexit(remove_runtime_folder), 0);
	CHECK_EQ(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	CHECK(rte_eal_init((int)VHC_ARRAY_LEN(args), args) >= 0);
	/* EAL has bound this thread to a CPU; a test's other threads want one of their own. */
	CHECK_EQ(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
	CHECK_EQ(vhc_gate_setup(), 0);
}

/* What the arguments of the program add to the features of every modern rig, and to every rig. */
static uint64_t extra_features;
static bool all_are_tracked;

static void
parse_argument(const char *word)
{
	if (strcmp(word, "packed") == 0)
		extra_features |= RIG_PACKED;
	else if (strcmp(word, "in-order") == 0)
		extra_features |= RIG_IN_ORDER;
	else if (strcmp(word, "iommu") == 0)
		extra_features |= RIG_IOMMU;
	else if (strcmp(word, "tracked") == 0)
		all_are_tracked = true;
	else if (strncmp(word, "--force-max-simd-bitwidth=", 26) == 0)
		simd_width = word;
	else
		CHECK_EQ(fprintf(stderr, "no such kind of ring: %s\n", word), 0);
}

bool
net_rig_is_packed(void)
{
	return extra_features & RIG_PACKED;
}

int
net_rig_main(char **argv, const struct test *tests, size_t nr)
{
	int rc;

	for (char **word = argv + 1; *word; word++)
		parse_argument(*word);
	net_rig_eal(argv[0]);
	rc = run_tests(tests, nr);
	rte_eal_cleanup();
	return rc;
}

/* ---- open and close ------------------------------------------------------------------------- */

static int
new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

/* What the messages of a front-end would have led to. */
static void
attach_queue(struct net_rig *rig, struct vhc_queue *q, const struct driver *d)
{
	q->is_inflight_new = true;
	q->claim = driver_claim(d, false);
	if (rig->dev->features & RIG_IOMMU) {
		q->claim.desc.v = d->desc_at;
		q->claim.avail.v = d->avail_at;
		q->claim.used.v = d->used_at;
	}
	q->base = rig->base;
	q->has_num = q->has_addr = q->started = q->enabled = true;
	CHECK(vhc_queue_update(q));
	CHECK(q->running);
	rig_nr_signals(rig->call[q->index]);
}

/* As SET_INFLIGHT_FD would: a fresh file, in which each ring has a piece. */
static void
open_inflight(struct net_rig *rig, uint16_t size)
{
	struct device_inflight *inflight = &rig->dev->inflight;
	int fd;

	vhc_device_drop_inflight(rig->dev);
	CHECK_EQ(vhc_file_create("rig", 3 * vhc_inflight_len(RING_PACKED, size), &fd), 0);
	CHECK_EQ(vhc_file_map(fd, 0, 3 * vhc_inflight_len(RING_PACKED, size), &inflight->view), 0);
	CHECK_EQ(close(fd), 0);
	inflight->num_queues = 2;
	inflight->queue_size = size;
}

static void
open_rings(struct net_rig *rig, uint16_t size, uint16_t first_idx)
{
	uint64_t features = rig->dev->features;
	struct driver_conf conf = {
		.kind = features & RIG_PACKED ? RING_PACKED : RING_SPLIT,
		.size = size,
		.first = first_idx,
		.event_idx = features & RIG_EVENT_IDX,
		.in_order = features & RIG_IN_ORDER,
	};

	if (conf.kind == RING_PACKED)
		conf.first = first_idx % size | DRIVER_PACKED_FRESH;
	driver_init(&rig->tx, &rig->guest, TX_RING_AT, &conf);
	driver_init(&rig->rx, &rig->guest, RX_RING_AT, &conf);
	rig->base = driver_base(&rig->tx);
	if (rig->is_tracked)
		open_inflight(rig, size);
	attach_queue(rig, rig->pull, &rig->tx);
	attach_queue(rig, rig->push, &rig->rx);
}

static void
close_rings(struct net_rig *rig)
{
	vhc_queue_stop(rig->pull);
	vhc_queue_stop(rig->push);
	driver_fini(&rig->tx);
	driver_fini(&rig->rx);
}

void
net_rig_show(struct net_rig *rig, uint64_t at, uint64_t len)
{
	const struct iotlb_claim claim = {
		.iova = at, .size = len, .access = IOTLB_BOTH,
		.user = { len == GUEST_PAGE ? guest_user(at) : GUEST_USER(at) },
	};
	char reason[IOTLB_REASON_LEN];

	vhc_loop_lock(rig->loop);
	CHECK_EQ(vhc_device_translate(rig->dev, &claim, reason), 0);
	vhc_loop_unlock(rig->loop);
}

void
net_rig_show_all(struct net_rig *rig)
{
	for (unsigned int i = 0; i < GUEST_NR_PARTS; i++)
		net_rig_show(rig, rig->guest.parts[i].at, rig->guest.parts[i].len);
	for (uint64_t at = GUEST_LOW_AT; at < GUEST_END_AT; at += GUEST_PAGE)
		if (guest_user(at) != GUEST_USER(at))
			net_rig_show(rig, at, GUEST_PAGE);
}

static void
open_device(struct net_rig *rig, const struct net_rig_conf *conf)
{
	const struct vhc_server_opts opts = {
		.name = "rig", .path = "none", .nr_rings = 2, .cls = vhc_net_class(),
	};

	CHECK_EQ(vhc_loop_get(0, &rig->loop), 0);
	CHECK_EQ(vhc_device_create(&opts, NULL, rig->loop, &rig->dev), 0);
	vhc_map_ref(rig->guest.map);
	vhc_device_set_map(rig->dev, rig->guest.map);
	rig->dev->features = conf->features;
	if (conf->features & RIG_MODERN)
		rig->dev->features |= extra_features;
	rig->dev->has_features = true;
	if (rig->dev->features & RIG_IOMMU) {
		CHECK_EQ(vhc_device_set_iommu(rig->dev, true), 0);
		guest_scatter(&rig->guest);
		net_rig_show_all(rig);
	}
	rig->push = vhc_device_queue(rig->dev, 0);
	rig->pull = vhc_device_queue(rig->dev, 1);
	for (unsigned int i = 0; i < 2; i++) {
		struct vhc_queue *q = vhc_device_queue(rig->dev, (uint16_t)i);

		rig->call[i] = new_eventfd();
		rig->err[i] = new_eventfd();
		if (!conf->no_call_fd)
			vhc_queue_set_call(q, dup(rig->call[i]), NULL);
		vhc_queue_set_err(q, dup(rig->err[i]));
	}
}

void
net_rig_open(struct net_rig *rig, const struct net_rig_conf *conf)
{
	uint16_t room = conf->room ? conf->room : 2048;
	struct vhc_net_pull_conf pull = {
		.port = 7, .csum_flags = conf->csum_flags, .legacy_flags = conf->legacy_flags,
		.linear = conf->linear, .ext_buffers = conf->ext_buffers,
	};

	*rig = (struct net_rig){ .hdr_len = VIRTIO_NET_HDR_LEN_LEGACY };
	if (conf->features & (RIG_MODERN | RIG_MERGEABLE))
		rig->hdr_len = VIRTIO_NET_HDR_LEN;
	guest_init(&rig->guest);
	rig->pool = rte_pktmbuf_pool_create("rig", conf->nr_mbufs ? conf->nr_mbufs : 1023, 32, 0,
					    (uint16_t)(room + RTE_PKTMBUF_HEADROOM), -1);
	CHECK(rig->pool);
	open_device(rig, conf);
	rig->is_tracked = conf->tracked || all_are_tracked;
	pull.pool = rig->pool;
	CHECK_EQ(vhc_net_pull_setup(rig->pull, &pull), 0);
	open_rings(rig, conf->ring_size ? conf->ring_size : 256, conf->first_idx);
}

static int
by_address(const void *a, const void *b)
{
	const uintptr_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Nobody wrote before or behind an mbuf's room: there lies what names its owner. */
static void
check_object(struct rte_mempool *pool, void *arg, void *object, unsigned int i)
{
	const struct rte_mbuf *m = object;

	(void)arg;
	(void)i;
	CHECK(rte_mempool_from_obj(object) == pool);
	CHECK(m->pool == pool);
	CHECK(m->buf_addr == (const void *)(m + 1));
	CHECK_EQ(m->buf_len, rte_pktmbuf_data_room_size(pool));
}

/* A count alone would not notice one lost and another freed twice. */
static void
check_pool_is_whole(struct rte_mempool *pool)
{
	void **mbufs = calloc(pool->size, sizeof(*mbufs));
	unsigned int nr = 0;

	CHECK(mbufs);
	CHECK_EQ(rte_mempool_in_use_count(pool), 0);
	while (nr < pool->size && rte_mempool_get(pool, &mbufs[nr]) == 0)
		nr++;
	CHECK_EQ(nr, pool->size);
	qsort(mbufs, nr, sizeof(*mbufs), by_address);
	for (unsigned int i = 1; i < nr; i++)
		CHECK(mbufs[i - 1] != mbufs[i]);
	rte_mempool_put_bulk(pool, mbufs, nr);
	free(mbufs);
	CHECK_EQ(rte_mempool_obj_iter(pool, check_object, NULL), pool->size);
}

void
net_rig_close(struct net_rig *rig)
{
	close_rings(rig);
	vhc_device_set_map(rig->dev, NULL);
	vhc_device_destroy(rig->dev);
	vhc_loop_put(rig->loop);
	for (unsigned int i = 0; i < 2; i++) {
		fd_close(&rig->call[i]);
		fd_close(&rig->err[i]);
	}
	check_pool_is_whole(rig->pool);
	rte_mempool_free(rig->pool);
	guest_fini(&rig->guest);
}

void
net_rig_restart(struct net_rig *rig)
{
	uint16_t size = rig->tx.size;

	close_rings(rig);
	open_rings(rig, size, 0);
}

void
net_rig_abandon(struct net_rig *rig)
{
	vhc_queue_stop(rig->pull);
	vhc_queue_stop(rig->push);
}

void
net_rig_begin_again(struct net_rig *rig)
{
	attach_queue(rig, rig->pull, &rig->tx);
	attach_queue(rig, rig->push, &rig->rx);
}

/* ---- the guest's side ----------------------------------------------------------------------- */

void
rig_frame(uint8_t *frame, uint32_t seed, uint32_t len)
{
	pattern_fill(frame, seed, len);
	if (len)
		frame[0] &= 0xfe;
}

void
rig_write_packet(struct net_rig *rig, uint64_t at, const struct virtio_net_hdr *hdr, uint32_t seed,
		 uint32_t len)
{
	static const struct virtio_net_hdr no_offload;
	static uint8_t frame[RIG_FRAME_MAX];

	CHECK(len <= sizeof(frame));
	rig_frame(frame, seed, len);
	guest_write(&rig->guest, at, hdr ? hdr : &no_offload, rig->hdr_len);
	guest_write(&rig->guest, at + rig->hdr_len, frame, len);
}

uint16_t
rig_send(struct net_rig *rig, uint32_t seed, uint32_t len)
{
	uint32_t total = rig->hdr_len + len;
	const struct piece piece = { guest_alloc(&rig->guest, total), total, false };

	rig_write_packet(rig, piece.at, NULL, seed, len);
	return driver_post(&rig->tx, &piece, 1);
}

void
rig_offer(struct net_rig *rig, unsigned int nr, uint32_t len)
{
	for (unsigned int i = 0; i < nr; i++) {
		const struct piece piece = { guest_alloc(&rig->guest, len), len, true };

		guest_fill(&rig->guest, piece.at, 0xcc, len);
		driver_post(&rig->rx, &piece, 1);
	}
}

void
rig_offer_pieces(struct net_rig *rig, const struct piece *pieces, unsigned int nr,
		 unsigned int nr_direct)
{
	for (unsigned int i = 0; i < nr; i++)
		guest_fill(&rig->guest, pieces[i].at, 0xcc, pieces[i].len);
	if (nr_direct == nr)
		driver_post(&rig->rx, pieces, nr);
	else
		driver_post_indirect(&rig->rx, pieces, nr, nr_direct,
				     guest_alloc(&rig->guest, nr * sizeof(struct virtq_desc)));
}

/* What one used buffer holds, to `dst`; returns its length. */
static uint32_t
receive_buffer(struct net_rig *rig, uint8_t *dst, bool is_last)
{
	static uint8_t bytes[4 * RIG_FRAME_MAX];
	struct used_entry used;
	uint32_t capacity;

	CHECK(driver_collect(&rig->rx, &used));
	capacity = driver_read_writable(&rig->rx, (uint16_t)used.id, bytes);
	CHECK(capacity <= sizeof(bytes));
	CHECK(used.len <= capacity);
	CHECK(is_last || used.len == capacity);
	for (uint32_t i = used.len; i < capacity && !rig->half_written; i++)
		CHECK_EQ(bytes[i], 0xcc);
	memcpy(dst, bytes, used.len);
	return used.len;
}

uint32_t
rig_receive(struct net_rig *rig, struct virtio_net_hdr *hdr, uint8_t *frame)
{
	static uint8_t packet[5 * RIG_FRAME_MAX];
	uint16_t nr_ready = driver_nr_used(&rig->rx);
	uint32_t len;

	if (!nr_ready)
		return 0;
	*hdr = (struct virtio_net_hdr){ .num_buffers = le16_put(1) };
	len = receive_buffer(rig, packet, true);
	CHECK(len > rig->hdr_len || nr_ready > 1);
	memcpy(hdr, packet, rig->hdr_len);
	CHECK(le16_get(hdr->num_buffers) >= 1 && le16_get(hdr->num_buffers) <= nr_ready);
	for (uint16_t i = 1; i < le16_get(hdr->num_buffers); i++) {
		bool is_last = i + 1 == le16_get(hdr->num_buffers);

		len += receive_buffer(rig, packet + len, is_last);
		CHECK(len < 2 * RIG_FRAME_MAX);
	}
	memcpy(frame, packet + rig->hdr_len, len - rig->hdr_len);
	return len - rig->hdr_len;
}

void
rig_receive_frame(struct net_rig *rig, uint32_t seed, uint32_t len, uint16_t nr_buffers)
{
	static uint8_t expected[RIG_FRAME_MAX], got[2 * RIG_FRAME_MAX];
	struct virtio_net_hdr hdr;
	const struct virtio_net_hdr plain = { .num_buffers = le16_put(nr_buffers) };

	CHECK_EQ(rig_receive(rig, &hdr, got), len);
	CHECK_EQ(memcmp(&hdr, &plain, sizeof(hdr)), 0);
	rig_frame(expected, seed, len);
	CHECK_EQ(memcmp(got, expected, len), 0);
}

/* ---- our side ------------------------------------------------------------------------------- */

void
rig_mbuf_read(const struct rte_mbuf *m, void *dst)
{
	uint32_t left = m->pkt_len, done = 0;
	uint16_t nr_segs = m->nb_segs;

	for (; m; m = m->next, nr_segs--) {
		CHECK(m->data_len <= left);
		CHECK_EQ(rte_mbuf_refcnt_read(m) > 0, 1);
		memcpy((uint8_t *)dst + done, rte_pktmbuf_mtod(m, const void *), m->data_len);
		done += m->data_len;
		left -= m->data_len;
	}
	CHECK_EQ(left, 0);
	CHECK_EQ(nr_segs, 0);
}

void
rig_take_frame(struct rte_mbuf *m, uint32_t seed, uint32_t len)
{
	static uint8_t expected[RIG_FRAME_MAX], got[RIG_FRAME_MAX];

	CHECK_EQ(m->pkt_len, len);
	CHECK_EQ(m->port, 7);
	rig_frame(expected, seed, len);
	rig_mbuf_read(m, got);
	CHECK_EQ(memcmp(got, expected, len), 0);
	rte_pktmbuf_free(m);
}

struct rte_mbuf *
rig_mbuf(struct net_rig *rig, uint32_t seed, uint32_t len, uint32_t seg_len)
{
	static uint8_t frame[RIG_FRAME_MAX];
	uint32_t room = rte_pktmbuf_data_room_size(rig->pool) - RTE_PKTMBUF_HEADROOM, done = 0;
	struct rte_mbuf *first = NULL;

	CHECK(len <= sizeof(frame));
	rig_frame(frame, seed, len);
	if (!seg_len || seg_len > room)
		seg_len = room;
	do {
		uint32_t part = RTE_MIN(seg_len, len - done);
		struct rte_mbuf *m = rte_pktmbuf_alloc(rig->pool);

		CHECK(m);
		memcpy(rte_pktmbuf_append(m, (uint16_t)part), frame + done, part);
		if (first)
			CHECK_EQ(rte_pktmbuf_chain(first, m), 0);
		else
			first = m;
		done += part;
	} while (done < len);
	return first;
}

struct vhc_net_stats
rig_stats(const struct vhc_queue *q)
{
	struct vhc_net_stats stats;

	vhc_net_queue_stats(q, &stats);
	return stats;
}

uint64_t
rig_nr_faults(const struct vhc_queue *q)
{
	uint64_t nr = 0;

	for (unsigned int i = 0; i < vhc_nr_faults(); i++)
		nr += vhc_queue_faults(q, i);
	return nr;
}

uint64_t
rig_nr_signals(int fd)
{
	uint64_t nr;

	return read(fd, &nr, sizeof(nr)) == (ssize_t)sizeof(nr) ? nr : 0;
}
