/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * options.c - the command line.
 *
 * Knows:   what can be asked for.
 * Trusts:  nobody: every word is checked before anybody is connected to.
 * Runs on: the main thread.
 */
#include "blk_bench.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "common/words.h"

static const char usage[] =
	"usage: vhostx-blk-bench [OPTION...] NAME=SOCKET [NAME=SOCKET...]\n"
	"\n"
	"Disks of vhost-user-blk back-ends, rounds alternating. What is on them is LOST.\n"
	"\n"
	"Before, the part of each disk that is used is written and read back, every byte; each\n"
	"read that is measured is checked for what was written last, as is the disk at the end.\n"
	"A ratio says how many times faster the first back-end is than this one; \"cpu us\" is\n"
	"what a request costs the back-end's process, \"kicks\" how many it takes to be served.\n"
	"\n"
	"The driver (of two, both are measured, one after the other):\n"
	"  --split        split rings (default)\n"
	"  --packed       packed rings; with a back-end that does not offer them: split, as the\n"
	"                 column \"ring\" says\n"
	"  --poll         look at the ring for answers, as SPDK's clients do\n"
	"  --wait         sleep until interrupted, as a kernel does (default: --poll and --wait)\n"
	"  --direct       three descriptors a request (default with --poll)\n"
	"  --indirect     one that names a table of three, as Linux does (default with --wait)\n"
	"  --no-event-idx kicks and interrupts by flags\n"
	"\n"
	"What:\n"
	"  --patterns A,B some of those below (default: all)\n"
	"  --span MIB     how much of each disk, from its start, 8 to 65536 (default 256)\n"
	"\n"
	"How long:\n"
	"  --rounds N     1 to 1000 (default 11)\n"
	"  --millis N     of a round of one back-end, 1 to 10000 (default 200)\n"
	"\n"
	"  --json FILE    rows, rounds and the machine's description\n"
	"  --help         say this\n"
	"\n"
	"patterns, by bytes of a request and how many are under way at a time:\n";

static const struct option longs[] = {
	{ "split", no_argument, NULL, 's' },
	{ "packed", no_argument, NULL, 'k' },
	{ "poll", no_argument, NULL, 'P' },
	{ "wait", no_argument, NULL, 'w' },
	{ "direct", no_argument, NULL, 'd' },
	{ "indirect", no_argument, NULL, 'i' },
	{ "no-event-idx", no_argument, NULL, 'e' },
	{ "patterns", required_argument, NULL, 'p' },
	{ "span", required_argument, NULL, 'S' },
	{ "rounds", required_argument, NULL, 'r' },
	{ "millis", required_argument, NULL, 't' },
	{ "json", required_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static void
print_usage(void)
{
	fputs(usage, stdout);
	for (unsigned int i = 0; i < nr_patterns; i++)
		printf("  %s", patterns[i].name);
	putchar('\n');
}

static int
add_pattern(const char *name, struct options *o)
{
	unsigned int i = 0;

	while (i < nr_patterns && strcmp(patterns[i].name, name))
		i++;
	if (i == nr_patterns || o->nr_patterns == MOST_PATTERNS) {
		fprintf(stderr, i == nr_patterns ? "--patterns: there is no pattern \"%s\"\n"
						 : "--patterns: %s is one too many\n", name);
		return -1;
	}
	o->patterns[o->nr_patterns++] = &patterns[i];
	return 0;
}

static int
some_patterns(const char *text, struct options *o)
{
	char *copy = strdup(text);
	int rc = copy ? 0 : -1;

	o->nr_patterns = 0;
	for (char *item = strtok(copy, ","); item && rc == 0; item = strtok(NULL, ","))
		rc = add_pattern(item, o);
	free(copy);
	if (rc == 0 && !o->nr_patterns) {
		fprintf(stderr, "--patterns: which?\n");
		rc = -1;
	}
	return rc;
}

static int
take_word(struct options *o, int c)
{
	switch (c) {
	case 's':
		o->split = true;
		return 0;
	case 'k':
		o->packed = true;
		return 0;
	case 'P':
		o->polls = true;
		return 0;
	case 'w':
		o->sleeps = true;
		return 0;
	case 'd':
		o->direct = true;
		return 0;
	case 'i':
		o->indirect = true;
		return 0;
	case 'e':
		o->no_event_idx = true;
		return 0;
	case 'p':
		return some_patterns(optarg, o);
	case 'S':
		return number_of(optarg, 8, 65536, "--span", &o->span_mib);
	case 'r':
		return number_of(optarg, 1, MOST_ROUNDS, "--rounds", &o->nr_rounds);
	case 't':
		return number_of(optarg, 1, 10000, "--millis", &o->millis);
	case 'j':
		o->json = optarg;
		return 0;
	case 'h':
		print_usage();
		exit(0);
	default:
		return -1;
	}
}

static bool
is_taken(const struct options *o, const char *name, const char *path)
{
	for (unsigned int i = 0; i < o->nr_backends; i++)
		if (!strcmp(o->backends[i].name, name) || !strcmp(o->backends[i].path, path))
			return true;
	return false;
}

static int
add_backend(char *word, struct options *o)
{
	char *equals = strchr(word, '=');

	if (!equals || equals == word || !equals[1]) {
		fprintf(stderr, "\"%s\" is not NAME=SOCKET\n", word);
		return -1;
	}
	if (o->nr_backends == MOST_BACKENDS) {
		fprintf(stderr, "more than %d back-ends\n", MOST_BACKENDS);
		return -1;
	}
	word = strndup(word, (size_t)(equals - word));
	if (!word || is_taken(o, word, equals + 1)) {
		fprintf(stderr, "%s: each back-end has a name and a socket of its own\n", word);
		return -1;
	}
	o->backends[o->nr_backends++] = (struct backend){ .name = word, .path = equals + 1 };
	return 0;
}

static void
default_words(struct options *o)
{
	if (!o->packed)
		o->split = true;
	if (!o->polls && !o->sleeps)
		o->polls = o->sleeps = true;
	for (unsigned int i = 0; i < nr_patterns && o->nr_patterns <= i; i++)
		o->patterns[o->nr_patterns++] = &patterns[i];
}

int
options_parse(int argc, char **argv, struct options *o)
{
	int c;

	*o = (struct options){ .nr_rounds = 11, .millis = 200, .span_mib = 256 };
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0)
		if (take_word(o, c))
			return -1;
	for (int i = optind; i < argc; i++)
		if (add_backend(argv[i], o))
			return -1;
	if (!o->nr_backends || (o->direct && o->indirect)) {
		fprintf(stderr, o->nr_backends ? "--direct and --indirect: one at a time\n"
					       : "whom to measure? NAME=SOCKET is missing\n");
		return -1;
	}
	default_words(o);
	return 0;
}
