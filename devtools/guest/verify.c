/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * verify {write|check|both} DEVICE STATE [NAME=VALUE...]
 *     write   fill cells (cell.h) all over the disk, then rewrite and read them back for a while,
 *             many at once; remember in the file STATE what the disk said it had done
 *     check   read every cell and compare with STATE
 *     both    one after the other
 *   seconds=10   how long to write          threads=16   requests at a time
 *   seed=1       of places and order        flush=64     about every so many requests a flush
 *   patience=60  seconds until a request counts as stuck
 *   as=verify    name of the step in what is printed
 *   fault=KIND   now and then be a bad disk: lost, stale, torn, misplaced, error, slow, stuck
 *
 * The guest's test of disks. No two requests at once are for one cell, so what must be found there
 * is always known. Prints GUEST-RUNNING when every cell is written once, a GUEST-NOTE for what is
 * wrong, and at last GUEST-RESULT with the sums, also where a request never came back.
 *
 * Knows:   requests on a block device or a plain file, and who may be at which cell.
 * Trusts:  its arguments and STATE; nothing of the disk.
 * Runs on: the guest of guest-image.sh, linked statically; and on the host, to be tested itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cell_set.h"
#include "mix.h"

#define NR_THREADS_MAX	128
#define NR_NOTES_MAX	20
#define NR_HOT		32	/* cells that are rewritten more often than others */
#define FAULT_EVERY	29
#define SLOW_US		400000
#define PAGE		4096
#define SHIFTS		8	/* buffers start at so many places within a page */

enum count {
	COUNT_WRITES,
	COUNT_READS,
	COUNT_FLUSHES,
	COUNT_BYTES,
	COUNT_ERRORS,
	COUNT_LOST,
	COUNT_STALE,
	COUNT_TORN,
	COUNT_MISPLACED,
	NR_SUMS,
	COUNT_LONGEST_US = NR_SUMS,
	NR_COUNTS,
};

static const char *const sum_names[NR_SUMS] = {
	"writes", "reads", "flushes", "bytes", "errors", "lost", "stale", "torn", "misplaced",
};

enum fault {
	FAULT_NONE,
	FAULT_LOST,
	FAULT_STALE,
	FAULT_TORN,
	FAULT_MISPLACED,
	FAULT_ERROR,
	FAULT_SLOW,
	FAULT_STUCK,
	NR_FAULTS,
};

static const char *const fault_names[NR_FAULTS] = {
	"none", "lost", "stale", "torn", "misplaced", "error", "slow", "stuck",
};

struct worker {
	pthread_t thread;
	unsigned int number;
	uint64_t random;
	unsigned int nr_writes;
	unsigned char *buffer;
	_Atomic uint64_t began;	/* of the request that runs, 0: none */
	atomic_bool is_over;
};

static struct {
	unsigned int seconds, nr_threads, seed, flush_every, patience;
	const char *as;
	enum fault fault;
} opts = {
	.seconds = 10, .nr_threads = 16, .flush_every = 64, .patience = 60, .seed = 1,
	.as = "verify",
};

static struct cell_set set;
static _Atomic uint64_t counts[NR_COUNTS];
static atomic_bool is_taken[CELL_SET_MAX];
static struct worker workers[NR_THREADS_MAX];
static atomic_uint nr_notes;
static void (*each_cell)(struct worker *worker, struct cell *cell);	/* for do_each() */
static int disk;
static uint64_t ends_at;

static uint64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void
note_longest(uint64_t us)
{
	uint64_t longest = counts[COUNT_LONGEST_US];

	while (us > longest &&
	       !atomic_compare_exchange_weak(&counts[COUNT_LONGEST_US], &longest, us))
		;
}

static void
complain(const struct cell *cell, const char *what, uint32_t found)
{
	if (atomic_fetch_add(&nr_notes, 1) >= NR_NOTES_MAX)
		return;
	printf("GUEST-NOTE %s: %u sectors at %llu: %s, acknowledged %u, found %u, seen %u\n",
	       opts.as, cell->nr_sectors, (unsigned long long)cell->sector, what, cell->acked,
	       found, cell->seen);
	fflush(stdout);
}

/* -- requests, timed ------------------------------------------------------------------------- */

enum request { REQUEST_READ, REQUEST_WRITE, REQUEST_FLUSH };

static bool
call(enum request request, const struct cell *cell, void *buffer)
{
	size_t len = (size_t)cell->nr_sectors * CELL_SECTOR;
	off_t at = (off_t)(cell->sector * CELL_SECTOR);

	switch (request) {
	case REQUEST_READ:
		return pread(disk, buffer, len, at) == (ssize_t)len;
	case REQUEST_WRITE:
		return pwrite(disk, buffer, len, at) == (ssize_t)len;
	default:
		return fdatasync(disk) == 0;
	}
}

/* A bad disk instead of the real one. It also reads back, so that what it takes away was seen. */
static bool
call_badly(struct worker *worker, struct cell *cell)
{
	struct cell half = *cell;
	uint32_t found;

	switch (opts.fault) {
	case FAULT_STALE:
		if (!call(REQUEST_WRITE, cell, worker->buffer) ||
		    !call(REQUEST_READ, cell, worker->buffer))
			return false;
		cell_judge(cell, &set.owner, worker->buffer, &found);
		cell_fill(cell, &set.owner, cell->tried - 1, worker->buffer);
		return call(REQUEST_WRITE, cell, worker->buffer);
	case FAULT_TORN:
		if (cell->nr_sectors == 1)
			memset(worker->buffer + CELL_SECTOR / 2, 0, CELL_SECTOR / 2);
		half.nr_sectors -= cell->nr_sectors / 2;
		return call(REQUEST_WRITE, &half, worker->buffer);
	case FAULT_MISPLACED:
		half.sector += cell->nr_sectors;
		cell_fill(&half, &set.owner, cell->tried, worker->buffer);
		return call(REQUEST_WRITE, cell, worker->buffer);
	case FAULT_SLOW:
		usleep(SLOW_US);
		return call(REQUEST_WRITE, cell, worker->buffer);
	case FAULT_STUCK:
		pause();
		return true;
	default:
		errno = EIO;
		return opts.fault == FAULT_LOST;
	}
}

static bool
timed(struct worker *worker, enum request request, struct cell *cell)
{
	bool is_bad_one = request == REQUEST_WRITE && opts.fault != FAULT_NONE &&
			  cell->tried > 1 && ++worker->nr_writes % FAULT_EVERY == 0;
	bool is_done;

	worker->began = now_us();
	is_done = is_bad_one ? call_badly(worker, cell) : call(request, cell, worker->buffer);
	note_longest(now_us() - worker->began);
	worker->began = 0;
	if (is_done)
		return true;
	counts[COUNT_ERRORS]++;
	complain(cell, strerror(errno), 0);
	return false;
}

/* -- what is done to a cell ------------------------------------------------------------------ */

static void
write_cell(struct worker *worker, struct cell *cell)
{
	cell_fill(cell, &set.owner, ++cell->tried, worker->buffer);
	if (!timed(worker, REQUEST_WRITE, cell))
		return;
	cell->acked = cell->tried;
	counts[COUNT_WRITES]++;
	counts[COUNT_BYTES] += (uint64_t)cell->nr_sectors * CELL_SECTOR;
}

static void
read_cell(struct worker *worker, struct cell *cell)
{
	static const enum count count_of[NR_CELL_VERDICTS] = {
		[CELL_LOST] = COUNT_LOST,
		[CELL_STALE] = COUNT_STALE,
		[CELL_TORN] = COUNT_TORN,
		[CELL_MISPLACED] = COUNT_MISPLACED,
	};
	enum cell_verdict verdict;
	uint32_t found;

	if (!timed(worker, REQUEST_READ, cell))
		return;
	counts[COUNT_READS]++;
	verdict = cell_judge(cell, &set.owner, worker->buffer, &found);
	if (verdict == CELL_GOOD)
		return;
	counts[count_of[verdict]]++;
	cell->is_bad = 1;
	complain(cell, cell_verdict_name(verdict), found);
}

static void
check_cell(struct worker *worker, struct cell *cell)
{
	if (!cell->is_bad && cell->tried > 0)
		read_cell(worker, cell);
}

/* One that nobody else works on; NULL: try again. */
static struct cell *
take_cell(uint64_t random)
{
	uint64_t among = random & 1 && set.nr_cells > NR_HOT ? NR_HOT : set.nr_cells;
	uint64_t number = (random >> 1) % among;

	if (atomic_exchange(&is_taken[number], true))
		return NULL;
	if (!set.cells[number].is_bad)
		return &set.cells[number];
	is_taken[number] = false;
	return NULL;
}

/* Mostly writes, half of them read back at once; some reads of what was written long ago. */
static void
some_request(struct worker *worker)
{
	uint64_t random = next_word(&worker->random);
	struct cell *cell = take_cell(random >> 16);

	if (cell == NULL) {
		sched_yield();
		return;
	}
	if (opts.flush_every > 0 && (random >> 8) % opts.flush_every == 0) {
		if (timed(worker, REQUEST_FLUSH, cell))
			counts[COUNT_FLUSHES]++;
	} else if (random % 4 == 0) {
		read_cell(worker, cell);
	} else {
		write_cell(worker, cell);
		if (random % 4 == 1 && cell->acked == cell->tried)
			read_cell(worker, cell);
	}
	is_taken[cell - set.cells] = false;
}

/* -- phases: each a start of all workers ------------------------------------------------------ */

static void
begin(struct worker *worker)
{
	cpu_set_t cpus;

	/* So that each processor's queue is used. */
	CPU_ZERO(&cpus);
	CPU_SET(worker->number % (unsigned int)sysconf(_SC_NPROCESSORS_ONLN), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

static void *
do_each(void *context)
{
	struct worker *worker = context;

	begin(worker);
	for (uint32_t i = worker->number; i < set.nr_cells; i += opts.nr_threads)
		each_cell(worker, &set.cells[i]);
	worker->is_over = true;
	return NULL;
}

static void *
rewrite(void *context)
{
	struct worker *worker = context;

	begin(worker);
	while (now_us() < ends_at)
		some_request(worker);
	worker->is_over = true;
	return NULL;
}

static unsigned int
count_stuck(void)
{
	uint64_t now = now_us(), limit = (uint64_t)opts.patience * 1000000;
	unsigned int nr_stuck = 0;

	for (unsigned int i = 0; i < opts.nr_threads; i++) {
		uint64_t began = workers[i].began;

		nr_stuck += !workers[i].is_over && began > 0 && now > began + limit;
	}
	return nr_stuck;
}

static unsigned int
count_at_work(void)
{
	unsigned int nr_at_work = 0;

	for (unsigned int i = 0; i < opts.nr_threads; i++)
		nr_at_work += !workers[i].is_over;
	return nr_at_work;
}

/* @return how many are stuck in a request, and cannot be waited for. */
static unsigned int
run_phase(void *(*phase)(void *))
{
	unsigned int nr_at_work;

	for (unsigned int i = 0; i < opts.nr_threads; i++) {
		workers[i].is_over = false;
		if (pthread_create(&workers[i].thread, NULL, phase, &workers[i]) != 0) {
			perror("verify: pthread_create");
			exit(2);
		}
	}
	while ((nr_at_work = count_at_work()) > 0) {
		if (nr_at_work == count_stuck())
			return nr_at_work;
		usleep(20000);
	}
	for (unsigned int i = 0; i < opts.nr_threads; i++)
		pthread_join(workers[i].thread, NULL);
	return 0;
}

static unsigned int
run_writes(void)
{
	unsigned int nr_stuck;

	each_cell = write_cell;
	nr_stuck = run_phase(do_each);
	if (nr_stuck > 0)
		return nr_stuck;
	printf("GUEST-RUNNING %s\n", opts.as);
	fflush(stdout);
	ends_at = now_us() + (uint64_t)opts.seconds * 1000000;
	return run_phase(rewrite);
}

/* -- set-up ----------------------------------------------------------------------------------- */

static unsigned int
run_reads(void)
{
	each_cell = check_cell;
	return run_phase(do_each);
}

static int
open_disk(const char *path)
{
	int fd = open(path, O_RDWR | O_DIRECT);

	/* A plain file on tmpfs, in the test of this program. */
	return fd < 0 && errno == EINVAL ? open(path, O_RDWR) : fd;
}

/* The sums go on from one run to the next, the longest request does not. */
static int
load_or_place(const char *path, bool may_place)
{
	int loaded = cell_set_load(&set, path);

	if (loaded == 0 && may_place)
		return cell_set_place(&set, disk, opts.seed);
	for (int i = 0; i < NR_SUMS; i++)
		counts[i] = set.sums[i];
	return loaded > 0 ? 0 : -1;
}

static int
save(const char *path)
{
	for (int i = 0; i < NR_SUMS; i++)
		set.sums[i] = counts[i];
	return cell_set_save(&set, path);
}

static int
make_workers(void)
{
	for (unsigned int i = 0; i < opts.nr_threads; i++) {
		unsigned char *memory = aligned_alloc(PAGE, CELL_BYTES_MAX + PAGE);

		if (memory == NULL)
			return -1;
		workers[i].number = i;
		workers[i].random = mix(opts.seed, set.owner.run + i);
		workers[i].buffer = memory + (size_t)(i % SHIFTS) * CELL_SECTOR;
	}
	return 0;
}

static bool
take_number(const char *name, const char *value)
{
	static const struct {
		const char *name;
		unsigned int *value;
	} numbers[] = {
		{ "seconds", &opts.seconds }, { "threads", &opts.nr_threads },
		{ "seed", &opts.seed }, { "flush", &opts.flush_every },
		{ "patience", &opts.patience },
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (strcmp(name, numbers[i].name) == 0) {
			*numbers[i].value = (unsigned int)strtoul(value, NULL, 0);
			return true;
		}
	}
	return false;
}

static bool
take_fault(const char *name)
{
	for (int i = 0; i < NR_FAULTS; i++) {
		if (strcmp(name, fault_names[i]) == 0) {
			opts.fault = (enum fault)i;
			return true;
		}
	}
	return false;
}

static bool
take_word(char *word)
{
	char *value = strchr(word, '=');

	if (value == NULL)
		return false;
	*value++ = '\0';
	if (strcmp(word, "as") == 0) {
		opts.as = value;
		return true;
	}
	return strcmp(word, "fault") == 0 ? take_fault(value) : take_number(word, value);
}

static bool
take_words(int argc, char **argv)
{
	static const char *const phases[] = { "write", "check", "both" };
	bool is_phase = false;

	for (int i = 0; argc >= 4 && i < 3; i++)
		is_phase |= strcmp(argv[1], phases[i]) == 0;
	for (int i = 4; i < argc; i++) {
		if (!take_word(argv[i]))
			return false;
	}
	return is_phase && opts.nr_threads > 0 && opts.nr_threads <= NR_THREADS_MAX;
}

static void
print_result(unsigned int nr_stuck)
{
	printf("GUEST-RESULT %s", opts.as);
	for (int i = 0; i < NR_SUMS; i++)
		printf(" %s=%llu", sum_names[i], (unsigned long long)counts[i]);
	printf(" stuck=%u cells=%u longest_ms=%llu\n", nr_stuck, set.nr_cells,
	       (unsigned long long)counts[COUNT_LONGEST_US] / 1000);
	fflush(stdout);
}

static int
give_up(const char *what)
{
	printf("GUEST-RESULT error %s: %s: %s\n", opts.as, what, strerror(errno));
	return 2;
}

int
main(int argc, char **argv)
{
	unsigned int nr_stuck = 0;
	bool writes, checks;

	if (!take_words(argc, argv)) {
		fputs("usage: verify {write|check|both} DEVICE STATE [NAME=VALUE...]\n", stderr);
		return 2;
	}
	writes = strcmp(argv[1], "check") != 0;
	checks = strcmp(argv[1], "write") != 0;
	disk = open_disk(argv[2]);
	if (disk < 0)
		return give_up(argv[2]);
	if (load_or_place(argv[3], writes) < 0)
		return give_up(argv[3]);
	if (make_workers() < 0)
		return give_up("memory");
	if (writes)
		nr_stuck = run_writes();
	if (checks && nr_stuck == 0)
		nr_stuck = run_reads();
	if (nr_stuck == 0 && save(argv[3]) < 0)
		return give_up(argv[3]);
	print_result(nr_stuck);
	_exit(nr_stuck > 0);	/* exit() might wait for them */
}
