/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * json.h - files of figures, and what every one of them says of the machine.
 *
 * Knows:   JSON's strings, where a kernel tells what it runs on.
 * Trusts:  its caller for the order of things.
 * Runs on: the main thread, between measurements.
 */
#ifndef APP_COMMON_JSON_H
#define APP_COMMON_JSON_H

#include <stdio.h>

/* A file to write; NULL for no path. -1 after a sentence. */
int json_open(const char *path, FILE **file);

/* 0 if all of it was written; -1 after a sentence. */
int json_close(FILE *file, const char *path);

void json_string(FILE *to, const char *text);

/* The rest writes members of the outermost object, each with its comma. */
void json_member(FILE *to, const char *key, const char *text);

/* When, which processor, machine and kernel, how many cores. */
void json_machine(FILE *to);

void json_command(FILE *to, int argc, char **argv);

#endif
