/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * farm.c - see farm.h.
 */
#define _GNU_SOURCE 1

#include "farm.h"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "model/net_rig.h"
#include "unit/kept_log.h"
#include "unit/peer.h"

#define FRAME_LEN 64
#define HDR_LEN 12	/* with VERSION_1 */
#define RIG_PORT 7	/* as rig_take_frame() expects */

/* Listener, both ends of the connection, four eventfds. */
#define FILES_A_DEVICE 7

static struct rte_mempool *pool;

/* ---- what we hold --------------------------------------------------------------------------- */

static unsigned int
nr_lines(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned int nr = 0;
	int c;

	CHECK(file);
	while ((c = getc(file)) != EOF)
		nr += c == '\n';
	fclose(file);
	return nr;
}

/* The value behind a name in a file of lines "name: value". */
static unsigned long
value_in(const char *path, const char *name)
{
	FILE *file = fopen(path, "r");
	unsigned long value = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtoul(line + strlen(name) + 1, NULL, 10);
	if (file)
		fclose(file);
	return value;
}

static int
nr_inotify_instances(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int nr = 0;

	CHECK(dir);
	while ((entry = readdir(dir))) {
		char target[64] = "";

		if (readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1) > 0)
			nr += strcmp(target, "anon_inode:inotify") == 0;
	}
	closedir(dir);
	return nr;
}

struct holdings
holdings_now(void)
{
	struct mallinfo2 heap;

	/* What was freed must not hide what comes. */
	malloc_trim(0);
	heap = mallinfo2();
	return (struct holdings){
		.nr_files = peer_nr_open_fds(),
		.nr_inotify = nr_inotify_instances(),
		.nr_maps = nr_lines("/proc/self/maps"),
		.nr_threads = (unsigned int)value_in("/proc/self/status", "Threads"),
		.heap = heap.uordblks + heap.hblkhd,
		.anonymous = value_in("/proc/self/smaps_rollup", "Anonymous") * 1024,
	};
}

/* ---- begin and end -------------------------------------------------------------------------- */

static void
allow_files(rlim_t need)
{
	struct rlimit limit;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur >= need)
		return;
	limit.rlim_cur = need;
	limit.rlim_max = limit.rlim_max < need ? need : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		SKIP("too few open files are allowed: as root, or after ulimit -Hn 40000");
}

void
farm_begin(unsigned int nr_devices)
{
	CHECK(nr_devices <= FARM_MOST);
	allow_files(256 + FILES_A_DEVICE * (rlim_t)nr_devices);
	vhc_log_set_sink(keep_line, NULL);
	net_rig_eal("scale");
	peer_make_folder();
	pool = rte_pktmbuf_pool_create("packets", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	CHECK(pool);
}

void
farm_end(void)
{
	rte_mempool_free(pool);
	peer_remove_folder();
}

/* peer.h and kept_log.h are a folder and a log for each file that includes them. */
struct farm_path
farm_path(const char *name)
{
	struct farm_path path;

	memcpy(path.text, peer_path(name).text, sizeof(path.text));
	return path;
}

unsigned int
farm_log_count(const char *words)
{
	return log_count(words);
}

void
farm_log_forget(void)
{
	log_forget();
}

/* ---- front-ends ----------------------------------------------------------------------------- */

void
farm_make(struct farm *farm, unsigned int nr, unsigned int nr_threads, uint64_t features)
{
	const size_t len = nr * FARM_GUEST_LEN;

	*farm = (struct farm){ .nr = nr, .nr_threads = nr_threads };
	farm->each = calloc(nr, sizeof(*farm->each));
	CHECK(farm->each);
	farm->memory_fd = memfd_create("guests", MFD_CLOEXEC);
	CHECK(farm->memory_fd >= 0);
	CHECK_EQ(ftruncate(farm->memory_fd, (off_t)len), 0);
	farm->memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, farm->memory_fd, 0);
	CHECK(farm->memory != MAP_FAILED);
	for (unsigned int i = 0; i < nr; i++) {
		struct farm_device *d = &farm->each[i];
		char name[16];

		frontend_init(&d->front, &(struct frontend_conf){
			.features = features,
			.ring_size = 256,
			.memory_fd = farm->memory_fd,
			.file_offset = i * FARM_GUEST_LEN,
			.memory = farm->memory + i * FARM_GUEST_LEN,
			.memory_len = FARM_GUEST_LEN,
		});
		snprintf(name, sizeof(name), "%u", i);
		d->path = farm_path(name);
	}
}

void
farm_drop(struct farm *farm)
{
	for (unsigned int i = 0; i < farm->nr; i++) {
		frontend_fini(&farm->each[i].front);
		farm_destroy_one(farm, i);
	}
	munmap(farm->memory, farm->nr * FARM_GUEST_LEN);
	close(farm->memory_fd);
	free(farm->each);
}

/* ---- devices -------------------------------------------------------------------------------- */

void
farm_serve_one(struct farm *farm, unsigned int nr)
{
	struct farm_device *d = &farm->each[nr];
	const struct vhc_net_pull_conf conf = { .pool = pool, .port = RIG_PORT };
	char name[16];

	snprintf(name, sizeof(name), "%u", nr);
	CHECK_EQ(vhc_server_create(&(struct vhc_server_opts){
		.name = name, .path = d->path.text, .nr_rings = 2, .cls = vhc_net_class(),
		.control_thread = (uint16_t)(nr % farm->nr_threads),
	}, &d->server), 0);
	d->push = vhc_device_queue(vhc_server_device(d->server), 0);
	d->pull = vhc_device_queue(vhc_server_device(d->server), 1);
	CHECK_EQ(vhc_net_pull_setup(d->pull, &conf), 0);
	CHECK_EQ(vhc_server_start(d->server), 0);
}

void
farm_serve(struct farm *farm)
{
	for (unsigned int i = 0; i < farm->nr; i++)
		farm_serve_one(farm, i);
}

void
farm_destroy_one(struct farm *farm, unsigned int nr)
{
	if (farm->each[nr].server)
		vhc_server_destroy(farm->each[nr].server);
	farm->each[nr].server = NULL;
}

struct share {
	struct farm *farm;
	unsigned int first;
};

static void *
connect_share(void *arg)
{
	const struct share *share = arg;
	struct farm *farm = share->farm;

	for (unsigned int i = share->first; i < farm->nr; i += farm->nr_threads)
		frontend_connect(&farm->each[i].front, farm->each[i].path.text);
	return NULL;
}

void
farm_connect(struct farm *farm)
{
	pthread_t threads[VHC_CONTROL_THREADS_MAX];
	struct share shares[VHC_CONTROL_THREADS_MAX];

	CHECK(farm->nr_threads <= VHC_CONTROL_THREADS_MAX);
	for (unsigned int i = 0; i < farm->nr_threads; i++) {
		shares[i] = (struct share){ farm, i };
		CHECK_EQ(pthread_create(&threads[i], NULL, connect_share, &shares[i]), 0);
	}
	for (unsigned int i = 0; i < farm->nr_threads; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	farm_check_running(farm);
}

void
farm_check_running(const struct farm *farm)
{
	for (unsigned int i = 0; i < farm->nr; i++) {
		struct vhc_device_info info;

		vhc_device_info(vhc_server_device(farm->each[i].server), &info);
		if (info.stage != VHC_STAGE_RUNNING)
			fprintf(stderr, "device %u: %s\n", i, info.why);
		CHECK_EQ(info.stage, VHC_STAGE_RUNNING);
		CHECK_EQ(info.nr_connects, 1);
	}
}

/* ---- packets -------------------------------------------------------------------------------- */

static struct rte_mbuf *
pull_one(struct farm_device *d)
{
	struct piece piece = { FRONTEND_AT + FRONTEND_RINGS_LEN, HDR_LEN + FRAME_LEN, false };
	struct used_entry used;
	struct rte_mbuf *m;

	memset(guest_ptr(&d->front.guest, piece.at, HDR_LEN), 0, HDR_LEN);
	rig_frame(guest_ptr(&d->front.guest, piece.at + HDR_LEN, FRAME_LEN), 7, FRAME_LEN);
	driver_post(&d->front.tx, &piece, 1);
	driver_publish(&d->front.tx);
	if (vhc_net_pull(d->pull, &m, 1) != 1)
		return NULL;
	CHECK(driver_collect(&d->front.tx, &used));
	return m;
}

bool
farm_pull_packet(struct farm_device *d)
{
	struct rte_mbuf *m = pull_one(d);

	if (m)
		rig_take_frame(m, 7, FRAME_LEN);
	return m;
}

void
farm_move_packet(struct farm_device *d)
{
	struct piece room = { FRONTEND_AT + FRONTEND_RINGS_LEN + 2048, 2048, true };
	struct rte_mbuf *m = pull_one(d);
	struct used_entry used;
	uint8_t frame[FRAME_LEN];

	CHECK(m);
	driver_post(&d->front.rx, &room, 1);
	driver_publish(&d->front.rx);
	CHECK_EQ(vhc_net_push(d->push, &m, 1), 1);
	CHECK(driver_collect(&d->front.rx, &used));
	CHECK_EQ(used.len, HDR_LEN + FRAME_LEN);
	rig_frame(frame, 7, FRAME_LEN);
	CHECK_EQ(memcmp(guest_ptr(&d->front.guest, room.at + HDR_LEN, FRAME_LEN), frame,
			FRAME_LEN), 0);
}
