/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - one part of the tests a run; prints what it measured as one JSON object.
 *
 * It ends with an error at the first thing that does not hold, and after LIFETIME seconds.
 */
#define _GNU_SOURCE 1

#include "farm.h"

#include "unit/check.h"

#define LIFETIME 3000
#define WORDS_MAX 3

static const struct part {
	const char *name;
	unsigned int nr_words;
	void (*run)(const unsigned int *words);
} parts[] = {
	{ "devices", 3, scale_devices },
	{ "churn", 2, scale_churn },
	{ "storm", 2, scale_storm },
	{ "crowd", 1, scale_crowd },
	{ "clients", 2, scale_clients },
};

int
main(int argc, char **argv)
{
	unsigned int words[WORDS_MAX];

	alarm(LIFETIME);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (argc < 2 || strcmp(argv[1], parts[i].name) != 0)
			continue;
		CHECK_EQ(argc, 2 + (int)parts[i].nr_words);
		for (unsigned int k = 0; k < parts[i].nr_words; k++)
			words[k] = (unsigned int)strtoul(argv[2 + k], NULL, 10);
		parts[i].run(words);
		return 0;
	}
	fprintf(stderr, "no such part\n");
	return 2;
}
