/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * report.c - a table for people, JSON for programs.
 *
 * Knows:   which medians mean something.
 * Trusts:  its caller for at least one round.
 * Runs on: the main thread, between measurements.
 */
#include "blk_bench.h"

#include "common/json.h"
#include "common/median.h"

#define MIB (1024.0 * 1024.0)

static FILE *json;
static unsigned int nr_rows;

/* What came out for one back-end. */
struct figure {
	double rate;		/* requests a second */
	double rate_spread;
	double p50_us;
	double p99_us;
	double cpu_us;		/* a request, of the back-end's */
	double kicks;		/* a request */
	double ratio;		/* the first back-end's rate by this one's; 0: it is the first */
	double ratio_spread;
};

/* ---- figures -------------------------------------------------------------------------------- */

enum what { RATE, P50, P99, CPU, KICKS };

static double
value_of(const struct sample *s, enum what what)
{
	switch (what) {
	case RATE:
		return (double)s->nr_requests / s->seconds;
	case P50:
		return s->p50_us;
	case P99:
		return s->p99_us;
	case CPU:
		return s->cpu_seconds * 1e6 / (double)s->nr_requests;
	default:
		return (double)s->nr_kicks / (double)s->nr_requests;
	}
}

static double
median_sample(const struct sample *samples, unsigned int nr, enum what what, double *spread)
{
	double values[MOST_ROUNDS];

	for (unsigned int i = 0; i < nr; i++)
		values[i] = value_of(&samples[i], what);
	return median_of(values, nr, spread);
}

/* Round by round: what disturbs a round disturbs all of its parts. */
static double
median_ratio(const struct sample *first, const struct sample *other, unsigned int nr,
	     double *spread)
{
	double values[MOST_ROUNDS];

	for (unsigned int i = 0; i < nr; i++)
		values[i] = value_of(&first[i], RATE) / value_of(&other[i], RATE);
	return median_of(values, nr, spread);
}

static struct figure
figure_of(const struct sample *first, const struct sample *samples, unsigned int nr)
{
	double ignored;
	struct figure f = {
		.p50_us = median_sample(samples, nr, P50, &ignored),
		.p99_us = median_sample(samples, nr, P99, &ignored),
		.cpu_us = median_sample(samples, nr, CPU, &ignored),
		.kicks = median_sample(samples, nr, KICKS, &ignored),
	};

	f.rate = median_sample(samples, nr, RATE, &f.rate_spread);
	if (first != samples)
		f.ratio = median_ratio(first, samples, nr, &f.ratio_spread);
	return f;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void
json_head(const struct options *o, int argc, char **argv)
{
	fputs("{\n", json);
	json_machine(json);
	json_command(json, argc, argv);
	fputs("  \"backends\": [", json);
	for (unsigned int i = 0; i < o->nr_backends; i++) {
		fputs(i ? ", " : "", json);
		json_string(json, o->backends[i].name);
	}
	fprintf(json, "],\n  \"rounds\": %u,\n  \"millis_a_round\": %u,\n  \"span_mib\": %u,\n"
		"  \"rows\": [", o->nr_rounds, o->millis, o->span_mib);
}

static void
json_rounds(const struct sample *samples, unsigned int nr)
{
	fputs(", \"samples\": [", json);
	for (unsigned int i = 0; i < nr; i++)
		fprintf(json, "%s{\"requests\": %llu, \"seconds\": %.6f, \"kicks\": %llu, "
			"\"cpu_seconds\": %.9f, \"p50_us\": %.3f, \"p99_us\": %.3f}", i ? ", " : "",
			(unsigned long long)samples[i].nr_requests, samples[i].seconds,
			(unsigned long long)samples[i].nr_kicks, samples[i].cpu_seconds,
			samples[i].p50_us, samples[i].p99_us);
	fputs("]}", json);
}

static const char *
ring_text(const struct backend *b)
{
	return b->ring.kind == RING_PACKED ? "packed" : "split";
}

static void
json_row(const struct backend *b, const struct pattern *p, const struct figure *f)
{
	fprintf(json, "%s\n    {\"pattern\": \"%s\", \"size\": %u, \"depth\": %u, \"backend\": ",
		nr_rows ? "," : "", p->name, p->size, p->depth);
	json_string(json, b->name);
	fprintf(json, ", \"ring\": \"%s\", \"driver\": \"%s\", \"chains\": \"%s\", "
		"\"event_idx\": %s, \"requests_per_second\": %.1f, \"spread\": %.4f, "
		"\"mib_per_second\": %.2f, \"p50_us\": %.3f, \"p99_us\": %.3f, "
		"\"cpu_us_per_request\": %.3f, \"kicks_per_request\": %.4f",
		ring_text(b), b->style->sleeps ? "wait" : "poll",
		b->style->indirect ? "indirect" : "direct", b->ring.event_idx ? "true" : "false",
		f->rate, f->rate_spread, f->rate * p->size / MIB, f->p50_us, f->p99_us,
		f->cpu_us, f->kicks);
	if (f->ratio > 0)
		fprintf(json, ", \"ratio\": %.4f, \"ratio_spread\": %.4f", f->ratio,
			f->ratio_spread);
	else
		fputs(", \"ratio\": null, \"ratio_spread\": null", json);
}

/* ---- table ---------------------------------------------------------------------------------- */

static void
table_head(const struct options *o)
{
	printf("median of %u rounds of %u ms ± half of their middle half; ratio: how many times "
	       "faster %s is\n%-16s %-6s %-4s %-12s %10s %5s %9s %9s %9s %8s %6s %12s\n",
	       o->nr_rounds, o->millis, o->backends[0].name, "pattern", "ring", "by",
	       "back-end", "requests/s", "", "MiB/s", "p50 us", "p99 us", "cpu us",
	       "kicks", "ratio");
}

static void
table_row(const struct backend *b, const struct pattern *p, const struct figure *f)
{
	printf("%-16s %-6s %-4s %-12s %10.0f ±%3.0f%% %9.1f %9.1f %9.1f %8.2f %6.3f", p->name,
	       ring_text(b), b->style->sleeps ? "wait" : "poll", b->name, f->rate,
	       100 * f->rate_spread, f->rate * p->size / MIB, f->p50_us, f->p99_us,
	       f->cpu_us, f->kicks);
	if (f->ratio > 0)
		printf(" %7.2f ±%3.0f%%\n", f->ratio, 100 * f->ratio_spread);
	else
		printf(" %12s\n", "-");
	fflush(stdout);
}

/* ---- all of it ------------------------------------------------------------------------------ */

int
report_open(const struct options *o, int argc, char **argv)
{
	if (json_open(o->json, &json))
		return -1;
	if (json)
		json_head(o, argc, argv);
	return 0;
}

void
report_pattern(const struct options *o, const struct pattern *p,
	       const struct sample samples[][MOST_ROUNDS])
{
	if (!nr_rows)
		table_head(o);
	for (unsigned int i = 0; i < o->nr_backends; i++, nr_rows++) {
		const struct backend *b = &o->backends[i];
		struct figure f = figure_of(samples[0], samples[i], o->nr_rounds);

		table_row(b, p, &f);
		if (!json)
			continue;
		json_row(b, p, &f);
		json_rounds(samples[i], o->nr_rounds);
	}
}

int
report_close(const struct options *o)
{
	if (json)
		fputs("\n  ]\n}\n", json);
	return json_close(json, o->json);
}
