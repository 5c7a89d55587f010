/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * words.h - words of a command line.
 *
 * Knows:   numbers.
 * Trusts:  nobody.
 * Runs on: the main thread.
 */
#ifndef APP_COMMON_WORDS_H
#define APP_COMMON_WORDS_H

/* A number from `least` to `most` and nothing behind it, or -1 after a sentence on stderr. */
int number_of(const char *text, unsigned int least, unsigned int most, const char *what,
	      unsigned int *value);

#endif
