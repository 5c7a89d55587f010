/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * say.h - lines on stderr, each with the program's name in front.
 *
 * Knows:   nothing else.
 * Trusts:  its caller for the format.
 * Runs on: any thread; disk_say_as() before there are others.
 */
#ifndef DISK_SAY_H
#define DISK_SAY_H

/* Who speaks. Stays the caller's. Lines of the library are said in the same way from now on. */
void disk_say_as(const char *name);

/* One line, without its end. */
void disk_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
