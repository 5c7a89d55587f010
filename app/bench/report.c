/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * report.c - a table for people, JSON and CSV for programs, progress for who waits at a terminal.
 *
 * Knows:   where rows go, what describes the machine.
 * Trusts:  its caller's figures.
 * Runs on: the main thread, between measurements.
 */
#include "bench.h"
#include "common/json.h"

#include <link.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_version.h>

#define ERASE_LINE "\r\033[K"

static struct {
	const struct bench_options *options;
	FILE *json;
	FILE *csv;
	unsigned int nr_rows;
	unsigned int nr_measured;
	unsigned int nr_planned;
	time_t start;
	bool has_terminal;
} report;

static void
json_name(const char *name)
{
	if (name)
		json_string(report.json, name);
	else
		fputs("null", report.json);
}

static void
describe_machine(void)
{
	json_machine(report.json);
	json_member(report.json, "dpdk", rte_version());
	fprintf(report.json, "  \"hugepages\": %s,\n  \"tsc_mhz\": %.0f,\n",
		rte_eal_has_hugepages() ? "true" : "false", (double)rte_get_tsc_hz() / 1e6);
}

static int
name_library(struct dl_phdr_info *object, size_t size, void *arg)
{
	const char *base = strrchr(object->dlpi_name, '/');
	unsigned int *nr = arg;

	(void)size;
	if (!base || !strstr(base, "vhost"))
		return 0;
	fputs((*nr)++ ? ", " : "", report.json);
	json_string(report.json, object->dlpi_name);
	return 0;
}

/* Who compares runs of one driver wants to know what it ran on: the search path may have a say. */
static void
describe_libraries(void)
{
	const struct bench_options *o = report.options;
	unsigned int nr = 0;

	if (o->drivers[0] || (o->mode->on_library && !o->on_ports))
		return;
	fputs("  \"libraries\": [", report.json);
	dl_iterate_phdr(name_library, &nr);
	fputs("],\n", report.json);
}

static void
describe_run(int argc, char **argv)
{
	const struct bench_options *o = report.options;

	json_member(report.json, "mode", o->mode->name);
	json_command(report.json, argc, argv);
	fputs("  \"drivers\": [", report.json);
	for (int d = 0; d < 2; d++) {
		fputs(d ? ", " : "", report.json);
		json_name(o->drivers[d]);
	}
	fputs("],\n", report.json);
	describe_libraries();
	fprintf(report.json,
		"  \"burst\": %d,\n  \"rounds\": %u,\n  \"bursts_a_round\": %u,\n"
		"  \"millis_a_stretch\": %u,\n  \"rows\": [",
		BENCH_BURST, o->nr_rounds, o->nr_bursts, o->millis);
}

int
bench_report_open(const struct bench_options *o, int argc, char **argv)
{
	report.options = o;
	report.has_terminal = isatty(STDERR_FILENO);
	if (json_open(o->json, &report.json) || json_open(o->csv, &report.csv))
		return -1;
	if (report.json) {
		fputs("{\n", report.json);
		describe_machine();
		describe_run(argc, argv);
	}
	if (report.csv)
		fputs("mode,path,size,queues,ports,kind,unit,peer,peer_spread,ours,ours_spread,"
		      "ratio,ratio_spread,floor,distance\n", report.csv);
	printf("%s, --%s; burst of %d, median of %u rounds ± half of their middle half\n"
	       "%-27s %5s %-3s %-5s %-8s %-6s %15s %15s %12s %7s %5s\n", rte_version(),
	       o->mode->name, BENCH_BURST, o->nr_rounds, "path", "bytes", "q",
	       o->mode->on_library ? "devs" : "ports", "kind", "unit",
	       o->drivers[0] ? o->drivers[0] : "-", o->drivers[1], "ratio", "floor", "f/o");
	return 0;
}

/* A figure and its spread in `width` columns; a dash for what there is not. */
static void
table_cell(int width, double value, double spread)
{
	if (value > 0 && spread == 0)
		printf(" %*.2f      ", width - 6, value);
	else if (value > 0)
		printf(" %*.2f ±%3.0f%%", width - 6, value, 100 * spread);
	else
		printf(" %*s", width, "-");
}

static void
table_row(const struct bench_row *row, const struct bench_kind *kind, const struct bench_figure *f)
{
	printf("%-27s %5u %-3u %-5u %-8s %-6s", row->path->name, row->size, row->nr_queues,
	       row->nr_ports, kind->name, kind->unit);
	table_cell(15, f->median[BENCH_PEER], f->spread[BENCH_PEER]);
	table_cell(15, f->median[BENCH_OURS], f->spread[BENCH_OURS]);
	table_cell(12, f->ratio, f->ratio_spread);
	if (f->distance > 0)
		printf(" %7.2f %5.2f\n", f->median[BENCH_FLOOR], f->distance);
	else
		printf(" %7s %5s\n", "-", "-");
	fflush(stdout);
}

/* The numbers of a row, in the order of the columns of CSV; 0: there is none. */
struct member {
	const char *key;
	double value;
	double of;	/* what `value` belongs to: without it, it means nothing */
};

#define MEMBERS 8

static void
members_of(const struct bench_figure *f, struct member members[MEMBERS])
{
	const double peer = f->median[BENCH_PEER], ours = f->median[BENCH_OURS];
	const struct member all[MEMBERS] = {
		{ "peer", peer, peer }, { "peer_spread", f->spread[BENCH_PEER], peer },
		{ "ours", ours, ours }, { "ours_spread", f->spread[BENCH_OURS], ours },
		{ "ratio", f->ratio, f->ratio }, { "ratio_spread", f->ratio_spread, f->ratio },
		{ "floor", f->median[BENCH_FLOOR], f->distance },
		{ "distance", f->distance, f->distance },
	};

	memcpy(members, all, sizeof(all));
}

static void
json_row(const struct bench_row *row, const struct bench_kind *kind, const struct bench_figure *f)
{
	struct member members[MEMBERS];

	members_of(f, members);
	fprintf(report.json,
		"%s\n    {\"mode\": \"%s\", \"path\": \"%s\", \"size\": %u, \"queues\": %u, "
		"\"ports\": %u, \"kind\": \"%s\", \"unit\": \"%s\"",
		report.nr_rows ? "," : "", row->mode->name, row->path->name, row->size,
		row->nr_queues, row->nr_ports, kind->name, kind->unit);
	for (unsigned int i = 0; i < MEMBERS; i++) {
		fprintf(report.json, ", \"%s\": ", members[i].key);
		if (members[i].of > 0)
			fprintf(report.json, "%.3f", members[i].value);
		else
			fputs("null", report.json);
	}
	fputc('}', report.json);
}

static void
csv_row(const struct bench_row *row, const struct bench_kind *kind, const struct bench_figure *f)
{
	struct member members[MEMBERS];

	members_of(f, members);
	fprintf(report.csv, "%s,%s,%u,%u,%u,%s,%s", row->mode->name, row->path->name, row->size,
		row->nr_queues, row->nr_ports, kind->name, kind->unit);
	for (unsigned int i = 0; i < MEMBERS; i++) {
		fputc(',', report.csv);
		if (members[i].of > 0)
			fprintf(report.csv, "%.3f", members[i].value);
	}
	fputc('\n', report.csv);
}

void
bench_report_row(const struct bench_row *row, const struct bench_kind *kind,
		 const struct bench_figure *f)
{
	if (report.has_terminal)
		fputs(ERASE_LINE, stderr);
	table_row(row, kind, f);
	if (report.json)
		json_row(row, kind, f);
	if (report.csv)
		csv_row(row, kind, f);
	report.nr_rows++;
}

/* ---- progress ------------------------------------------------------------------------------- */

void
bench_report_plan(unsigned int nr_measurements)
{
	report.nr_planned = nr_measurements;
	report.start = time(NULL);
}

/* Minutes the rest takes, if it goes on as it did so far. */
static unsigned int
minutes_left(void)
{
	double so_far = difftime(time(NULL), report.start);
	unsigned int nr_left = report.nr_planned - report.nr_measured;

	return (unsigned int)(so_far * nr_left / report.nr_measured / 60 + 0.5);
}

/* Who does not sit at a terminal hears once how long it will be. */
void
bench_report_measured(void)
{
	report.nr_measured++;
	if (report.nr_measured == 1 && minutes_left() > 0)
		fprintf(stderr, "%u of %u measured, %u minutes to go\n", report.nr_measured,
			report.nr_planned, minutes_left());
}

void
bench_report_progress(const struct bench_row *row, unsigned int nr_done, unsigned int nr)
{
	if (!report.has_terminal)
		return;
	fprintf(stderr,
		ERASE_LINE "%u of %u; %s, %u bytes, %u queues, %u %s: round %u of %u",
		report.nr_measured + 1, report.nr_planned, row->path->name, row->size,
		row->nr_queues, row->nr_ports, row->mode->on_library ? "devices" : "ports",
		nr_done + 1, nr);
	if (report.nr_measured)
		fprintf(stderr, ", %u minutes to go", minutes_left());
	fflush(stderr);
}

int
bench_report_close(void)
{
	int rc;

	if (report.has_terminal)
		fputs(ERASE_LINE, stderr);
	if (report.json)
		fputs("\n  ]\n}\n", report.json);
	rc = json_close(report.json, report.options->json);
	return json_close(report.csv, report.options->csv) || rc ? -1 : 0;
}
