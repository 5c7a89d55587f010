/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - vhostx-bench: cycles a packet costs inside a back-end's burst, two drivers side by side.
 *
 * Knows:   options, medians, a table.
 * Trusts:  whoever runs it.
 * Runs on: one thread.
 *
 * Rounds of the two drivers alternate within one process and the medians are compared: this way a
 * noisy machine disturbs both alike. Only ratios mean anything.
 */
#include "bench.h"

#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_version.h>

#define MAX_ROUNDS 1000

static const char usage[] =
	"usage: vhostx-bench [--paths A,B] [--sizes 64,1518] [--rounds N] [--bursts N]\n"
	"                    [--drivers PEER,OURS] [--json FILE] [-- EAL options]\n"
	"Measures cycles per packet inside the back-end's burst of 32, on one thread, with a\n"
	"virtio-user front-end in the same process; rounds of the two drivers alternate.\n"
	"  --drivers  default net_vhost,net_vhostx\n"
	"  --paths    default all of:";

static unsigned int
split_list(char *text, const char **items, unsigned int max)
{
	unsigned int nr = 0;

	for (char *item = strtok(text, ","); item && nr < max; item = strtok(NULL, ","))
		items[nr++] = item;
	return nr;
}

static void
print_usage(FILE *to)
{
	fputs(usage, to);
	for (unsigned int i = 0; i < bench_nr_paths; i++)
		fprintf(to, " %s", bench_paths[i].name);
	fputc('\n', to);
}

/* Number of words used, or -1. */
static int
parse(int argc, char **argv, struct bench_options *o)
{
	static const struct option longs[] = {
		{ "paths", required_argument, NULL, 'p' },
		{ "sizes", required_argument, NULL, 's' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "bursts", required_argument, NULL, 'b' },
		{ "drivers", required_argument, NULL, 'd' },
		{ "json", required_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *sizes[BENCH_MAX_LIST];
	int c;

	while ((c = getopt_long(argc, argv, "+h", longs, NULL)) >= 0) {
		switch (c) {
		case 'p':
			o->nr_paths = split_list(optarg, o->paths, BENCH_MAX_LIST);
			break;
		case 's':
			o->nr_sizes = split_list(optarg, sizes, BENCH_MAX_LIST);
			for (unsigned int i = 0; i < o->nr_sizes; i++)
				o->sizes[i] = (uint32_t)strtoul(sizes[i], NULL, 0);
			break;
		case 'r':
			o->nr_rounds = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 'b':
			o->nr_bursts = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 'd':
			if (split_list(optarg, o->drivers, 2) != 2)
				return -1;
			break;
		case 'j':
			o->json = optarg;
			break;
		case 'h':
			print_usage(stdout);
			exit(0);
		default:
			return -1;
		}
	}
	for (unsigned int i = 0; i < o->nr_sizes; i++)
		if (o->sizes[i] < 64 || o->sizes[i] > 1518)
			return -1;
	return o->nr_rounds && o->nr_rounds <= MAX_ROUNDS && o->nr_bursts && o->nr_sizes ? optind
											 : -1;
}

/* Our plug-in lies beside us in the build folder; an installed one is found by EAL itself. */
static void
eal_start(const char *self, int argc, char **argv)
{
	static char plugin[512], prefix[64], here[400];
	char *args[64] = { (char *)(uintptr_t)self, (char *)(uintptr_t)"--no-pci",
			   (char *)(uintptr_t)"--lcores=0", prefix,
			   (char *)(uintptr_t)"--log-level=lib.vhost.config:error" };
	int nr = 5;
	ssize_t len = readlink("/proc/self/exe", here, sizeof(here) - 1);

	snprintf(prefix, sizeof(prefix), "--file-prefix=vhostx-bench-%d", (int)getpid());
	snprintf(plugin, sizeof(plugin), "%s/../drivers/net/vhostpmd/librte_net_vhostx.so",
		 len > 0 ? dirname(here) : ".");
	if (access(plugin, R_OK) == 0) {
		args[nr++] = (char *)(uintptr_t)"-d";
		args[nr++] = plugin;
	}
	if (argc == 0) {
		args[nr++] = (char *)(uintptr_t)"--no-huge";
		args[nr++] = (char *)(uintptr_t)"-m256";
	}
	for (int i = 0; i < argc && nr < 63; i++)
		args[nr++] = argv[i];
	if (rte_eal_init(nr, args) < 0) {
		fprintf(stderr, "EAL did not start; see above\n");
		exit(1);
	}
}

/* ---- figures -------------------------------------------------------------------------------- */

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Sorts `values`. `*spread`: half of the middle half, as a share of the median. */
static double
median(double *values, unsigned int nr, double *spread)
{
	qsort(values, nr, sizeof(*values), by_value);
	*spread = (values[nr * 3 / 4] - values[nr / 4]) / 2 / values[nr / 2];
	return values[nr / 2];
}

struct figure {
	double median[2];	/* of each driver, cycles */
	double spread[2];
	double ratio;		/* median of the rounds' own ratios */
};

static struct figure
figure_of(const struct bench_sample (*samples)[2], unsigned int nr, size_t field)
{
	double values[2][MAX_ROUNDS], ratios[MAX_ROUNDS], ignored;
	struct figure f;

	for (unsigned int i = 0; i < nr; i++) {
		for (int d = 0; d < 2; d++)
			values[d][i] = *(const double *)((const char *)&samples[i][d] + field);
		ratios[i] = values[0][i] / values[1][i];
	}
	for (int d = 0; d < 2; d++)
		f.median[d] = median(values[d], nr, &f.spread[d]);
	f.ratio = median(ratios, nr, &ignored);
	return f;
}

static void
report(const struct bench_path *path, uint32_t size, const struct bench_sample (*samples)[2],
       unsigned int nr, FILE *json)
{
	static const struct { const char *name; size_t field; } kinds[] = {
		{ "pull", offsetof(struct bench_sample, pull) },
		{ "push", offsetof(struct bench_sample, push) },
		{ "idle", offsetof(struct bench_sample, idle) },
	};
	static bool is_first = true;

	for (unsigned int k = 0; k < RTE_DIM(kinds); k++) {
		struct figure f = figure_of(samples, nr, kinds[k].field);

		printf("%-27s %5u %-5s %8.1f ±%2.0f%% %8.1f ±%2.0f%% %7.2f\n", path->name, size,
		       kinds[k].name, f.median[0], 100 * f.spread[0], f.median[1],
		       100 * f.spread[1], f.ratio);
		if (json)
			fprintf(json,
				"%s\n  {\"path\":\"%s\",\"size\":%u,\"kind\":\"%s\",\"peer\":%.2f,"
				"\"ours\":%.2f,\"ratio\":%.3f,\"rounds\":%u}",
				is_first ? "" : ",", path->name, size, kinds[k].name, f.median[0],
				f.median[1], f.ratio, nr);
		is_first = false;
	}
	fflush(stdout);
}

/* ---- the run -------------------------------------------------------------------------------- */

static bool
wants_path(const struct bench_options *o, const char *name)
{
	for (unsigned int i = 0; i < o->nr_paths; i++)
		if (strcmp(o->paths[i], name) == 0)
			return true;
	return o->nr_paths == 0;
}

static int
measure(const struct bench_options *o, const struct bench_pair *pairs,
	const struct bench_path *path, FILE *json)
{
	static struct bench_sample samples[MAX_ROUNDS][2];
	struct bench_sample warm_up;

	for (unsigned int s = 0; s < o->nr_sizes; s++) {
		for (int d = 0; d < 2; d++)
			if (bench_round(&pairs[d], o->sizes[s], o->nr_bursts, &warm_up))
				return -1;
		for (unsigned int i = 0; i < o->nr_rounds; i++)
			for (int d = 0; d < 2; d++)
				/* Who goes first alternates too. */
				if (bench_round(&pairs[(i + d) & 1], o->sizes[s],
						o->nr_bursts, &samples[i][(i + d) & 1]))
					return -1;
		report(path, o->sizes[s], (const struct bench_sample(*)[2])samples, o->nr_rounds,
		       json);
	}
	return 0;
}

static int
run_path(const struct bench_options *o, const struct bench_path *path, FILE *json)
{
	struct bench_pair pairs[2];
	int rc = 0;

	for (int d = 0; d < 2 && rc == 0; d++)
		rc = bench_pair_open(&pairs[d], o->drivers[d], path);
	if (rc)
		return rc;
	rc = measure(o, pairs, path, json);
	for (int d = 0; d < 2; d++)
		bench_pair_close(&pairs[d]);
	return rc;
}

static int
run(const struct bench_options *o, FILE *json)
{
	int rc = 0;

	printf("%s; cycles a packet in a burst of %d, median of %u rounds\n"
	       "%-27s %5s %-5s %13s %13s %7s\n", rte_version(), BENCH_BURST, o->nr_rounds, "path",
	       "bytes", "kind", o->drivers[0], o->drivers[1], "ratio");
	for (unsigned int i = 0; i < bench_nr_paths && rc == 0; i++)
		if (wants_path(o, bench_paths[i].name))
			rc = run_path(o, &bench_paths[i], json);
	return rc;
}

int
main(int argc, char **argv)
{
	struct bench_options o = {
		.drivers = { "net_vhost", "net_vhostx" },
		.sizes = { 64, 1518 },
		.nr_sizes = 2,
		.nr_rounds = 31,
		.nr_bursts = 300,
	};
	int used = parse(argc, argv, &o), rc;
	FILE *json = NULL;

	if (used < 0) {
		print_usage(stderr);
		return 2;
	}
	if (o.json && !(json = fopen(o.json, "w"))) {
		fprintf(stderr, "%s cannot be written\n", o.json);
		return 2;
	}
	eal_start(argv[0], argc - used, argv + used);
	if (json)
		fputs("[", json);
	rc = run(&o, json);
	if (json) {
		fputs("\n]\n", json);
		fclose(json);
	}
	rte_eal_cleanup();
	return rc ? 1 : 0;
}
