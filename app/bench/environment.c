/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * environment.c - start EAL: lcores, memory, our plug-in; words behind `--` go before our choice.
 *
 * Knows:   EAL's options, where the build folder keeps the plug-in.
 * Trusts:  whoever runs it.
 * Runs on: the main thread, once.
 */
#include "bench.h"

#include <libgen.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_eal.h>

#define MAX_WORDS 64
#define LEAST_MB 256U
#define FREE_PAGES "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"

struct command {
	char *words[MAX_WORDS];
	int nr;
};

static void
add(struct command *command, const char *word)
{
	if (command->nr < MAX_WORDS - 1)
		command->words[command->nr++] = (char *)(uintptr_t)word;
}

/* Whether one of the words starts like one of the `starts`. */
static bool
is_asked_for(int argc, char **argv, const char *const *starts)
{
	for (int i = 0; i < argc; i++)
		for (const char *const *start = starts; *start; start++)
			if (strncmp(argv[i], *start, strlen(*start)) == 0)
				return true;
	return false;
}

/* The first CPUs we may run on. Where there is one it is shared, which only shows that it works. */
static void
add_lcores(struct command *command, unsigned int nr_lcores)
{
	static char word[64];
	unsigned int cpus[2] = { 0 }, nr = 0;
	cpu_set_t allowed;

	CPU_ZERO(&allowed);
	sched_getaffinity(0, sizeof(allowed), &allowed);
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE && nr < 2; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			cpus[nr++] = cpu;
	if (nr < 2)
		cpus[1] = cpus[0];
	if (nr_lcores > nr)
		fprintf(stderr, "there is one CPU for two lcores: figures will say nothing\n");
	snprintf(word, sizeof(word), nr_lcores > 1 ? "--lcores=0@%u,1@%u" : "--lcores=0@%u",
		 cpus[0], cpus[1]);
	add(command, word);
}

static unsigned int
megabytes_needed(const struct bench_options *o)
{
	unsigned int nr_queues = 1, nr_pairs = 3, mb;

	if (o->mode->on_library)
		return LEAST_MB;
	for (unsigned int i = 0; i < o->nr_queues; i++)
		nr_queues = RTE_MAX(nr_queues, o->queues[i]);
	for (unsigned int i = 0; i < o->nr_ports; i++)
		nr_pairs = RTE_MAX(nr_pairs, o->ports[i]);
	mb = 192 + nr_pairs * 8 * (2 + nr_queues);
	return RTE_MAX(mb, LEAST_MB);
}

/* Of 2 MB, beside EAL's: guests of the devices, and as many of the floor's and a peer's. */
static unsigned int
pages_of_guests(const struct bench_options *o)
{
	if (!o->mode->on_library)
		return 0;
	return o->ports[o->nr_ports - 1] * (o->on_ports ? 3 : 2) *
	       (unsigned int)(BENCH_GUEST_LEN >> 21);
}

static unsigned int
free_hugepages(void)
{
	FILE *file = fopen(FREE_PAGES, "r");
	unsigned int nr = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%u", &nr) != 1)
		nr = 0;
	fclose(file);
	return nr;
}

/* In memory: no mount is needed, no file stays behind. virtio-user hands over few segments only. */
static int
add_memory(struct command *command, const struct bench_options *o)
{
	static char word[32];
	unsigned int mb = megabytes_needed(o), nr_pages = mb / 2 + pages_of_guests(o);

	snprintf(word, sizeof(word), "-m%u", mb);
	add(command, word);
	if (!o->hugepages) {
		add(command, "--no-huge");
		return 0;
	}
	if (free_hugepages() < nr_pages) {
		fprintf(stderr,
			"--hugepages: %u free pages of 2 MB are needed, there are %u; as root:\n"
			"  sysctl vm.nr_hugepages=%u\n", nr_pages, free_hugepages(), nr_pages);
		return -1;
	}
	add(command, "--in-memory");
	add(command, "--single-file-segments");
	return 0;
}

/* Our plug-in lies beside us in the build folder; an installed one is found by EAL itself. */
static void
add_plugin(struct command *command)
{
	static char plugin[512];
	char here[400] = "";
	ssize_t len = readlink("/proc/self/exe", here, sizeof(here) - 1);

	snprintf(plugin, sizeof(plugin), "%s/../drivers/net/vhostpmd/librte_net_vhostx.so",
		 len > 0 ? dirname(here) : ".");
	if (access(plugin, R_OK) == 0) {
		add(command, "-d");
		add(command, plugin);
	}
}

int
bench_eal_start(const struct bench_options *o, const char *self, int argc, char **argv)
{
	static const char *const lcores[] = { "--lcores", "-l", "-c", NULL };
	static const char *const memory[] = { "-m", "--no-huge", "--huge-", "--socket-mem",
					      "--in-memory", "--single-file", NULL };
	static const char *const prefixes[] = { "--file-prefix", NULL };
	static char prefix[64];
	struct command command = { 0 };

	add(&command, self);
	add(&command, "--no-pci");
	/* What drivers have to say comes between the table's rows. */
	add(&command, "--log-level=*:error");
	add_plugin(&command);
	snprintf(prefix, sizeof(prefix), "--file-prefix=vhostx-bench-%d", (int)getpid());
	if (!is_asked_for(argc, argv, prefixes))
		add(&command, prefix);
	if (!is_asked_for(argc, argv, lcores))
		add_lcores(&command, o->mode->nr_lcores);
	if (!is_asked_for(argc, argv, memory) && add_memory(&command, o))
		return -1;
	for (int i = 0; i < argc; i++)
		add(&command, argv[i]);
	if (rte_eal_init(command.nr, command.words) < 0) {
		fprintf(stderr, "EAL did not start; see above\n");
		return -1;
	}
	return 0;
}
