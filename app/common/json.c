/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * json.c - see json.h.
 */
#include "json.h"

#include <stdbool.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

int
json_open(const char *path, FILE **file)
{
	*file = path ? fopen(path, "w") : NULL;
	if (path && !*file)
		fprintf(stderr, "%s cannot be written: %m\n", path);
	return path && !*file ? -1 : 0;
}

int
json_close(FILE *file, const char *path)
{
	bool was_bad = file && ferror(file);

	if (!file || (fclose(file) == 0 && !was_bad))
		return 0;
	fprintf(stderr, "%s could not be written whole\n", path);
	return -1;
}

void
json_string(FILE *to, const char *text)
{
	fputc('"', to);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', to);
		if ((unsigned char)*text >= ' ')
			fputc(*text, to);
	}
	fputc('"', to);
}

void
json_member(FILE *to, const char *key, const char *text)
{
	fprintf(to, "  \"%s\": ", key);
	json_string(to, text);
	fputs(",\n", to);
}

static void
cpu_model(char *model, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "r");
	char line[256];

	snprintf(model, size, "unknown");
	while (file && fgets(line, sizeof(line), file)) {
		const char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) || !colon)
			continue;
		snprintf(model, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
		break;
	}
	if (file)
		fclose(file);
}

void
json_machine(FILE *to)
{
	char text[256];
	struct utsname kernel;
	time_t now = time(NULL);

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
	json_member(to, "date", text);
	cpu_model(text, sizeof(text));
	json_member(to, "cpu", text);
	if (uname(&kernel) == 0) {
		json_member(to, "machine", kernel.machine);
		json_member(to, "kernel", kernel.release);
	}
	fprintf(to, "  \"cores\": %ld,\n", sysconf(_SC_NPROCESSORS_ONLN));
}

void
json_command(FILE *to, int argc, char **argv)
{
	fputs("  \"command\": [", to);
	for (int i = 0; i < argc; i++) {
		fputs(i ? ", " : "", to);
		json_string(to, argv[i]);
	}
	fputs("],\n", to);
}
