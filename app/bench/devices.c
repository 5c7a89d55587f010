/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devices.c - bring up many devices over their sockets, and see what one of the library's takes of
 * memory and time.
 *
 * Knows:   servers, front-ends, limits of the process.
 * Trusts:  its own front-ends.
 * Runs on: the main thread.
 */
#include "devices.h"
#include "vhostcore_features.h"

#include <errno.h>
#include <linux/memfd.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rte_eal.h>

/* Listener, connection of both sides, four eventfds. */
#define FILES_A_DEVICE 7
#define FILES_OF_OURS 128

/*
 * Guests have their rings anywhere. In ours they lie at this step from guest to guest, else all
 * rings would share a few sets of the caches.
 */
#define RINGS_STEP (4096 + 320)
#define RINGS_PLACES 128

static struct bench_devices sides[BENCH_WHO];
static const char *drivers[2];	/* of ports; NULL: the library plays, and no peer */
static uint64_t iommu_entry;	/* bytes; 0: guests have no IOMMU */
static struct vhc_server *first;	/* starts what a process needs once; nobody connects */
static char folder[48];
static unsigned int nr_regions;		/* of each guest */

/* ---- once ----------------------------------------------------------------------------------- */

static void
print_complaint(enum vhc_log_level level, const char *line, void *arg)
{
	(void)arg;
	if (level <= VHC_LOG_WARNING)
		fprintf(stderr, "%s\n", line);
}

static int
allow_files(unsigned int nr_devices)
{
	struct rlimit limit;
	rlim_t need = FILES_OF_OURS + (rlim_t)nr_devices * FILES_A_DEVICE;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= need)
		return 0;
	limit.rlim_cur = need;
	limit.rlim_max = RTE_MAX(limit.rlim_max, need);
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return 0;
	fprintf(stderr, "%u devices need %lu open files: ulimit -n %lu\n", nr_devices,
		(unsigned long)need, (unsigned long)need);
	return -1;
}

static int
server_create(const char *name, const char *path, struct vhc_server **server)
{
	const struct vhc_server_opts opts = {
		.name = name,
		.path = path,
		.role = VHC_ROLE_SERVER,
		.nr_rings = 2,
		.cls = vhc_net_class(),
		.features_off = VHC_NET_FEATURES_GSO,
		.features_on = iommu_entry ? VHC_FEATURE_ACCESS_PLATFORM : 0,
	};

	return vhc_server_create(&opts, server);
}

int
bench_library_start(const struct bench_options *o)
{
	nr_regions = o->nr_regions;
	for (unsigned int i = 0; i < 2 && o->on_ports; i++)
		drivers[i] = o->drivers[i];
	vhc_log_set_sink(print_complaint, NULL);
	iommu_entry = (uint64_t)o->iommu_kib << 10;
	if (allow_files(o->ports[o->nr_ports - 1]))
		return -1;
	snprintf(folder, sizeof(folder), "/tmp/vhostx-bench-%d-XXXXXX", (int)getpid());
	if (!mkdtemp(folder) || server_create("first", folder, &first)) {
		fprintf(stderr, "%s: no folder, or no device: %s\n", folder, strerror(errno));
		return -1;
	}
	return 0;
}

void
bench_library_stop(void)
{
	if (first)
		vhc_server_destroy(first);
	rmdir(folder);
}

/* ---- what a device takes -------------------------------------------------------------------- */

struct footprint {
	double heap_kib;	/* of malloc and its kin */
	double resident_kib;	/* anonymous pages; guests' memory is shared and not among them */
	uint64_t at;
};

static double
anonymous_kib(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "r");
	char line[128];
	double kib = 0;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Anonymous: %lf", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib;
}

static struct footprint
footprint_now(void)
{
	struct mallinfo2 heap = mallinfo2();

	return (struct footprint){
		.heap_kib = (double)(heap.uordblks + heap.hblkhd) / 1024,
		.resident_kib = anonymous_kib(),
		.at = rte_get_tsc_cycles(),
	};
}

static void
report(const struct bench_row *row, const char *name, const char *unit, double value)
{
	const struct bench_kind kind = { name, unit };
	const struct bench_figure figure = { .median[BENCH_OURS] = value };

	bench_report_row(row, &kind, &figure);
}

static void
report_growth(const struct bench_row *row, const struct footprint *before,
	      const struct footprint *after)
{
	double ms = (double)(after->at - before->at) * 1000 / (double)rte_get_tsc_hz();

	report(row, "heap", "KiB", (after->heap_kib - before->heap_kib) / row->nr_ports);
	report(row, "resident", "KiB",
	       (after->resident_kib - before->resident_kib) / row->nr_ports);
	report(row, "attach", "ms", ms / row->nr_ports);
}

/* ---- guests --------------------------------------------------------------------------------- */

static uint8_t *
map_memory(const struct bench_devices *side)
{
	uint8_t *at = mmap(NULL, side->nr * BENCH_GUEST_LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
			   side->memory_fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

static int
memory_open(struct bench_devices *side, bool bare)
{
	unsigned int huge = rte_eal_has_hugepages() ? MFD_HUGETLB | MFD_HUGE_2MB : 0;

	side->memory_fd = memfd_create("guests", MFD_CLOEXEC | huge);
	if (side->memory_fd >= 0 &&
	    ftruncate(side->memory_fd, (off_t)(side->nr * BENCH_GUEST_LEN)) == 0)
		side->memory = map_memory(side);
	if (side->memory && bare)
		side->bare_memory = map_memory(side);
	side->each = aligned_alloc(RTE_CACHE_LINE_SIZE, side->nr * sizeof(*side->each));
	if (side->each && side->memory && (!bare || side->bare_memory)) {
		memset(side->each, 0, side->nr * sizeof(*side->each));
		return 0;
	}
	fprintf(stderr, "no memory for %u guests of %d MB: %s\n", side->nr,
		(int)(BENCH_GUEST_LEN >> 20), strerror(errno));
	return -1;
}

static void
front_open(struct bench_devices *side, unsigned int nr, const struct bench_path *path)
{
	struct bench_device *d = &side->each[nr];
	const struct frontend_conf conf = {
		.features = path->features | (iommu_entry ? VHC_FEATURE_ACCESS_PLATFORM : 0),
		.iommu_entry = iommu_entry,
		.ring_size = BENCH_RING_ENTRIES,
		.memory_fd = side->memory_fd,
		.file_offset = nr * BENCH_GUEST_LEN,
		.memory = side->memory + nr * BENCH_GUEST_LEN,
		.memory_len = BENCH_GUEST_LEN,
		.rings_at = nr % RINGS_PLACES * RINGS_STEP,
		.nr_regions = nr_regions,
		.nr_pieces = bench_buffers.nr,
		.pieces_at = nr % RINGS_PLACES * RINGS_STEP + FRONTEND_RINGS_LEN,
		.piece_len = bench_buffers.step,
		.is_lenient = drivers[BENCH_OURS],	/* net_vhost needs that */
	};

	frontend_init(&d->front, &conf);
	d->buffers_at = FRONTEND_AT + conf.rings_at + FRONTEND_RINGS_LEN;
	bench_device_offer(d, BENCH_RING_ENTRIES);
}

/* ---- the library's side --------------------------------------------------------------------- */

static uint16_t
library_pull(struct bench_device *d, struct rte_mbuf **mbufs)
{
	return vhc_net_pull(d->pull, mbufs, BENCH_BURST);
}

static uint16_t
library_push(struct bench_device *d, struct rte_mbuf **mbufs)
{
	return vhc_net_push(d->push, mbufs, BENCH_BURST);
}

static int
device_attach(struct bench_devices *side, unsigned int nr)
{
	const struct vhc_net_pull_conf conf = { .pool = side->pools.back };
	struct bench_device *d = &side->each[nr];
	struct vhc_device_info info;
	char name[16], path[64];

	snprintf(name, sizeof(name), "%u", nr);
	snprintf(path, sizeof(path), "%s/%u", folder, nr);
	if (server_create(name, path, &d->server) || vhc_server_start(d->server))
		return -1;
	d->push = vhc_device_queue(vhc_server_device(d->server), 0);
	d->pull = vhc_device_queue(vhc_server_device(d->server), 1);
	if (vhc_net_pull_setup(d->pull, &conf))
		return -1;
	frontend_connect(&d->front, path);
	/* It has served its purpose, and a run that is interrupted leaves no heap of them. */
	unlink(path);
	vhc_device_info(vhc_server_device(d->server), &info);
	if (info.stage == VHC_STAGE_RUNNING)
		return 0;
	fprintf(stderr, "device %u does not run: %s\n", nr, info.why);
	return -1;
}

static int
attach_all(struct bench_devices *side, const struct bench_row *row)
{
	struct footprint before, after;

	/* What earlier rows freed must not hide what this one takes. */
	malloc_trim(0);
	before = footprint_now();
	for (unsigned int i = 0; i < side->nr; i++)
		if (device_attach(side, i))
			return -1;
	after = footprint_now();
	report_growth(row, &before, &after);
	return 0;
}

static void
bare_all(struct bench_devices *side)
{
	for (unsigned int i = 0; i < side->nr; i++) {
		struct bench_device *d = &side->each[i];
		uint8_t *memory = side->bare_memory + i * BENCH_GUEST_LEN;

		bare_ring_init(&d->bare_pull, &d->front.tx, memory, side->pools.back);
		bare_ring_init(&d->bare_push, &d->front.rx, memory, side->pools.sent);
	}
	bare_rings_choose(side, side->each[0].front.tx.kind);
}

/* ---- both sides ----------------------------------------------------------------------------- */

static int
side_attach(enum bench_who who, const struct bench_row *row)
{
	struct bench_devices *side = &sides[who];

	if (who == BENCH_FLOOR) {
		bare_all(side);
		return 0;
	}
	if (drivers[who])
		return bench_ports_attach(side, drivers[who], iommu_entry);
	side->pull = library_pull;
	side->push = library_push;
	return attach_all(side, row);
}

static bool
takes_part(enum bench_who who)
{
	return who != BENCH_PEER || drivers[who];
}

static int
side_open(enum bench_who who, const struct bench_row *row)
{
	struct bench_devices *side = &sides[who];

	*side = (struct bench_devices){ .nr = row->nr_ports };
	if (bench_pools_create(&side->pools, 1) || memory_open(side, who == BENCH_FLOOR))
		return -1;
	for (unsigned int i = 0; i < side->nr; i++)
		front_open(side, i, row->path);
	return side_attach(who, row) ? -1 : bench_devices_touch(side);
}

static void
side_close(struct bench_devices *side)
{
	for (unsigned int i = 0; i < side->nr; i++) {
		frontend_fini(&side->each[i].front);
		if (side->each[i].server)
			vhc_server_destroy(side->each[i].server);
	}
	bench_ports_detach(side);
	free(side->each);
	munmap(side->memory, side->nr * BENCH_GUEST_LEN);
	if (side->bare_memory)
		munmap(side->bare_memory, side->nr * BENCH_GUEST_LEN);
	close(side->memory_fd);
	bench_pools_free(&side->pools);
}

int
bench_library_open(const struct bench_row *row)
{
	for (unsigned int who = 0; who < BENCH_WHO; who++)
		if (takes_part(who) && side_open(who, row))
			return -1;
	return 0;
}

void
bench_library_close(void)
{
	for (unsigned int who = 0; who < BENCH_WHO; who++)
		if (takes_part(who))
			side_close(&sides[who]);
}

int
bench_library_round(enum bench_who who, const struct bench_shot *shot, struct bench_sample *sample)
{
	return takes_part(who) ? bench_devices_take(&sides[who], shot, sample) : 0;
}
