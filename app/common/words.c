/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * words.c - see words.h.
 */
#include "words.h"

#include <stdio.h>
#include <stdlib.h>

int
number_of(const char *text, unsigned int least, unsigned int most, const char *what,
	  unsigned int *value)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || n < least || n > most) {
		fprintf(stderr, "%s: \"%s\" is not a number from %u to %u\n", what, text, least,
			most);
		return -1;
	}
	*value = (unsigned int)n;
	return 0;
}
