/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * options.c - the command line, and the modes it chooses from.
 *
 * Knows:   what can be measured.
 * Trusts:  nobody: every word is checked before EAL starts.
 * Runs on: the main thread.
 */
#include "bench.h"
#include "common/words.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

enum { SINGLE, LOGGED, LOOP, IDLE, PORTS, DEVICES, MODES };

#define LEAST_SIZE 64
#define MOST_SIZE 1518
#define CYCLES_MOVED { "pull", "cycles" }, { "push", "cycles" }, { "idle", "cycles" }

static const struct bench_mode modes[MODES] = {
	[SINGLE] = {
		.name = "single", .kinds = { CYCLES_MOVED },
		.has_sizes = true, .has_floor = true, .nr_lcores = 1,
		.round = bench_round_single,
	},
	[LOGGED] = {
		.name = "logged", .kinds = { { "pull", "%" }, { "push", "%" }, { "idle", "%" } },
		.has_sizes = true, .nr_lcores = 1,
		.round = bench_round_logged,
	},
	[LOOP] = {
		.name = "loop",
		.kinds = { { "pull", "Mpps" }, { "push", "Mpps" }, { "both", "Mpps" } },
		.has_sizes = true, .more_is_better = true, .nr_lcores = 2,
		.round = bench_round_loop,
	},
	[IDLE] = {
		.name = "idle", .kinds = { { "idle", "cycles" } }, .nr_lcores = 1,
		.round = bench_round_idle,
	},
	[PORTS] = {
		.name = "ports", .kinds = { CYCLES_MOVED },
		.has_sizes = true, .in_blocks = true, .nr_lcores = 1,
		.round = bench_round_single,
	},
	[DEVICES] = {
		.name = "devices", .kinds = { CYCLES_MOVED },
		.has_sizes = true, .on_library = true, .nr_lcores = 1,
	},
};

static const char usage[] =
	"usage: vhostx-bench [MODE] [OPTION...] [-- EAL'S OPTION...]\n"
	"\n"
	"Two drivers, rounds alternating, with virtio-user front-ends in the same process.\n"
	"\n"
	"What is measured (one of them):\n"
	"  --single       cycles a packet inside the back-end's burst of 32, one thread; floor is\n"
	"                 the least work that moves the bytes, f/o its share of ours (default)\n"
	"  --logged       the same while the guest is being moved, so that what is written to it\n"
	"                 must be marked: percent of the cycles it takes without\n"
	"  --loop         two lcores, millions of packets a second: in, out, there and back\n"
	"  --idle         cycles of a poll that finds nothing\n"
	"  --ports N      cycles a packet and an empty poll with 1, 2, 4 ... N ports (at most 14)\n"
	"                 polled in turn\n"
	"  --devices N    the same of 1, 2, 4 ... N devices of the library itself (at most 4096),\n"
	"                 each with a front-end on its socket; floor is as many bare rings, heap,\n"
	"                 resident and attach what one takes. With --drivers or --alone ports of\n"
	"                 theirs instead (at most 14)\n"
	"  --iommu KIB    with --devices: guests have an IOMMU that shows their memory in entries\n"
	"                 of 4 to 2048 KiB, none of which can be joined\n"
	"\n"
	"On what:\n"
	"  --matrix       every path, 64,128,256,512,1024,1518 bytes, 1,2,4 queue pairs\n"
	"  --paths A,B    some of the paths below (default: all; --devices: the mergeable two)\n"
	"  --sizes A,B    bytes, 64 to 1518 (default 64,1518)\n"
	"  --queues A,B   queue pairs of a port, 1 to 4 (default 1)\n"
	"  --regions N    of --devices: each guest's memory is shared as N regions, 1 to 509, and\n"
	"                 packets are spread over all of them (default 1)\n"
	"  --drivers PEER,OURS\n"
	"                 any drivers that take iface= and queues=, more arguments after a colon,\n"
	"                 as net_vhostx:key=1:key=2 (default net_vhost,net_vhostx)\n"
	"  --alone DRIVER one of them only; no ratio then: whoever compares runs does, as\n"
	"                 devtools/bench-facade.py does\n"
	"\n"
	"How long:\n"
	"  --rounds N     1 to 1000 (default 31)\n"
	"  --bursts N     bursts a round (default 300)\n"
	"  --millis N     of each stretch of --loop (default 20)\n"
	"\n"
	"  --json FILE    rows and the machine's description; devtools/bench-chart.py draws them\n"
	"  --csv FILE     rows\n"
	"  --hugepages    use free 2 MB pages (sysctl vm.nr_hugepages=512 makes some)\n"
	"  --help         say this\n"
	"\n"
	"paths:";

static const struct option longs[] = {
	{ "single", no_argument, NULL, 'S' },
	{ "logged", no_argument, NULL, 'G' },
	{ "loop", no_argument, NULL, 'L' },
	{ "idle", no_argument, NULL, 'I' },
	{ "ports", required_argument, NULL, 'P' },
	{ "devices", required_argument, NULL, 'D' },
	{ "iommu", required_argument, NULL, 'i' },
	{ "matrix", no_argument, NULL, 'm' },
	{ "paths", required_argument, NULL, 'p' },
	{ "sizes", required_argument, NULL, 's' },
	{ "queues", required_argument, NULL, 'q' },
	{ "regions", required_argument, NULL, 'R' },
	{ "drivers", required_argument, NULL, 'd' },
	{ "alone", required_argument, NULL, 'a' },
	{ "rounds", required_argument, NULL, 'r' },
	{ "bursts", required_argument, NULL, 'b' },
	{ "millis", required_argument, NULL, 't' },
	{ "json", required_argument, NULL, 'j' },
	{ "csv", required_argument, NULL, 'c' },
	{ "hugepages", no_argument, NULL, 'H' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

void
bench_print_usage(FILE *to)
{
	fputs(usage, to);
	for (unsigned int i = 0; i < bench_nr_paths; i++)
		fprintf(to, "%s%s", i % 3 ? "  " : "\n  ", bench_paths[i].name);
	fputc('\n', to);
}

static int
numbers(char *text, unsigned int least, unsigned int most, const char *what, unsigned int *values,
	unsigned int *nr)
{
	*nr = 0;
	for (char *item = strtok(text, ","); item && *nr < BENCH_MAX_LIST;
	     item = strtok(NULL, ","))
		if (number_of(item, least, most, what, &values[(*nr)++]))
			return -1;
	return *nr ? 0 : -1;
}

static int
some_paths(char *text, struct bench_options *o)
{
	o->nr_paths = 0;
	for (char *item = strtok(text, ","); item && o->nr_paths < BENCH_MAX_LIST;
	     item = strtok(NULL, ",")) {
		unsigned int i = 0;

		while (i < bench_nr_paths && strcmp(bench_paths[i].name, item))
			i++;
		if (i == bench_nr_paths) {
			fprintf(stderr, "--paths: there is no path \"%s\"; see --help\n", item);
			return -1;
		}
		o->paths[o->nr_paths++] = &bench_paths[i];
	}
	return o->nr_paths ? 0 : -1;
}

static int
two_drivers(char *text, struct bench_options *o)
{
	char *comma = strchr(text, ',');

	if (!comma || comma == text || !comma[1] || strchr(comma + 1, ',') || o->drivers[1]) {
		fprintf(stderr, "--drivers: two names are needed, as net_vhost,net_vhostx, "
			"and no --alone\n");
		return -1;
	}
	*comma = '\0';
	o->drivers[0] = text;
	o->drivers[1] = comma + 1;
	return 0;
}

static int
one_driver(char *text, struct bench_options *o)
{
	if (o->drivers[1] || *text == '\0' || strchr(text, ',')) {
		fprintf(stderr, "--alone: one name is needed, and no --drivers\n");
		return -1;
	}
	o->drivers[1] = text;
	return 0;
}

/* 1, 2, 4 and so on up to `most`, and `most`. */
static int
port_counts(const char *text, unsigned int limit, struct bench_options *o)
{
	char word[16];
	unsigned int most = 1;

	snprintf(word, sizeof(word), "--%s", o->mode->name);
	if (number_of(text, 1, limit, word, &most))
		return -1;
	o->nr_ports = 0;
	for (unsigned int nr = 1; nr < most; nr *= 2)
		o->ports[o->nr_ports++] = nr;
	o->ports[o->nr_ports++] = most;
	return 0;
}

/* Paths that differ in what virtio-user does with them say nothing new of the library. */
static int
default_paths(struct bench_options *o)
{
	char two[] = "split-mergeable,packed-mergeable";

	if (o->mode->on_library && !o->matrix)
		return some_paths(two, o);
	while (o->nr_paths < bench_nr_paths) {
		o->paths[o->nr_paths] = &bench_paths[o->nr_paths];
		o->nr_paths++;
	}
	return 0;
}

/* Lists that were not given. */
static int
default_lists(struct bench_options *o)
{
	char all_sizes[] = "64,128,256,512,1024,1518", two_sizes[] = "64,1518";
	char all_queues[] = "1,2,4", one_queue[] = "1";
	bool many_queues = o->matrix && !o->mode->on_library && !o->mode->in_blocks;

	if (!o->nr_ports)
		o->ports[o->nr_ports++] = 1;
	if (!o->nr_sizes && numbers(o->matrix ? all_sizes : two_sizes, LEAST_SIZE, MOST_SIZE,
				    "--sizes", o->sizes, &o->nr_sizes))
		return -1;
	if (!o->nr_queues && numbers(many_queues ? all_queues : one_queue, 1, BENCH_MAX_QUEUES,
				     "--queues", o->queues, &o->nr_queues))
		return -1;
	return o->nr_paths ? 0 : default_paths(o);
}

static void
default_drivers(struct bench_options *o)
{
	o->on_ports = o->mode->on_library && o->drivers[1];
	if (o->drivers[1])
		return;
	if (o->mode->on_library) {
		o->drivers[1] = "libvhostcore";
	} else {
		o->drivers[0] = "net_vhost";
		o->drivers[1] = "net_vhostx";
	}
}

static int
check_iommu(const struct bench_options *o)
{
	if (!o->iommu_kib)
		return 0;
	if (!o->mode->on_library || (o->iommu_kib & (o->iommu_kib - 1))) {
		fprintf(stderr, "--iommu: a power of two, and with --devices only\n");
		return -1;
	}
	if (o->nr_regions) {
		fprintf(stderr, "--iommu and --regions: one of them\n");
		return -1;
	}
	return 0;
}

static int
check_library(const struct bench_options *o)
{
	if (check_iommu(o))
		return -1;
	if (!o->mode->on_library && o->nr_regions) {
		fprintf(stderr, "--regions: only with --devices; virtio-user chooses its own\n");
		return -1;
	}
	if (!o->mode->on_library)
		return 0;
	if (o->nr_queues > 1 || o->queues[0] > 1) {
		fprintf(stderr, "--devices: each has one pair of queues\n");
		return -1;
	}
	if (o->drivers[1] && o->ports[o->nr_ports - 1] > BENCH_MAX_PORTS) {
		fprintf(stderr, "--devices: of drivers there may be %d\n", BENCH_MAX_PORTS);
		return -1;
	}
	if (o->drivers[0] && o->nr_regions > BENCH_TABLE_REGIONS) {
		fprintf(stderr, "--regions: with --drivers at most %d; net_vhost takes no more\n",
			BENCH_TABLE_REGIONS);
		return -1;
	}
	return 0;
}

static int
choose_mode(struct bench_options *o, unsigned int mode)
{
	if (o->mode) {
		fprintf(stderr, "--%s and --%s: one at a time\n", o->mode->name, modes[mode].name);
		return -1;
	}
	o->mode = &modes[mode];
	return 0;
}

static int
take_word(struct bench_options *o, int c)
{
	switch (c) {
	case 'S':
		return choose_mode(o, SINGLE);
	case 'G':
		return choose_mode(o, LOGGED);
	case 'L':
		return choose_mode(o, LOOP);
	case 'I':
		return choose_mode(o, IDLE);
	case 'P':
		return choose_mode(o, PORTS) ? -1 : port_counts(optarg, BENCH_MAX_PORTS, o);
	case 'D':
		return choose_mode(o, DEVICES) ? -1 : port_counts(optarg, BENCH_MAX_DEVICES, o);
	case 'i':
		return number_of(optarg, 4, 2048, "--iommu", &o->iommu_kib);
	case 'm':
		o->matrix = true;
		return 0;
	case 'p':
		return some_paths(optarg, o);
	case 's':
		return numbers(optarg, LEAST_SIZE, MOST_SIZE, "--sizes", o->sizes, &o->nr_sizes);
	case 'q':
		return numbers(optarg, 1, BENCH_MAX_QUEUES, "--queues", o->queues, &o->nr_queues);
	case 'R':
		return number_of(optarg, 1, BENCH_MAX_REGIONS, "--regions", &o->nr_regions);
	case 'd':
		return two_drivers(optarg, o);
	case 'a':
		return one_driver(optarg, o);
	case 'r':
		return number_of(optarg, 1, BENCH_MAX_ROUNDS, "--rounds", &o->nr_rounds);
	case 'b':
		return number_of(optarg, 1, 1000000, "--bursts", &o->nr_bursts);
	case 't':
		return number_of(optarg, 1, 10000, "--millis", &o->millis);
	case 'j':
		o->json = optarg;
		return 0;
	case 'c':
		o->csv = optarg;
		return 0;
	case 'H':
		o->hugepages = true;
		return 0;
	case 'h':
		bench_print_usage(stdout);
		exit(0);
	default:
		return -1;
	}
}

/* Number of words used, or -1 after a sentence. */
int
bench_parse(int argc, char **argv, struct bench_options *o)
{
	int c;

	*o = (struct bench_options){
		.nr_rounds = 31, .nr_bursts = 300, .millis = 20,
	};
	while ((c = getopt_long(argc, argv, "+h", longs, NULL)) >= 0) {
		/* Lists are cut up; the report tells the words as they were. */
		if (optarg && !(optarg = strdup(optarg)))
			return -1;
		if (take_word(o, c)) {
			free(optarg);
			return -1;
		}
	}
	if (optind < argc && strcmp(argv[optind - 1], "--") != 0) {
		fprintf(stderr, "\"%s\" is not an option; EAL's options go behind --\n",
			argv[optind]);
		return -1;
	}
	if (!o->mode)
		o->mode = &modes[SINGLE];
	if (default_lists(o) || check_library(o))
		return -1;
	default_drivers(o);
	return optind;
}
