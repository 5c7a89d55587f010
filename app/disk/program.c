/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * program.c - from the command line to a disk on a socket, and to its end.
 *
 * Knows:   options, signals, the server.
 * Trusts:  the command line no further than checked.
 * Runs on: the main thread.
 */
#include "program.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "say.h"
#include "worker.h"

#define POLL_US_DEFAULT	50
#define POLL_US_MAX	1000000
#define EXIT_USAGE	2

/* virtio 1.2 6. A disk answers what is done first: to wait for the slow ones would be a pity. */
#define F_IN_ORDER	(UINT64_C(1) << 35)

struct run {
	const struct program *program;
	struct program_opts opts;
	struct image images[IMAGES_MAX];
	unsigned int nr_images;
	void *state;
	struct vhc_server *server;
	int signal_fd;
	int hang_up_fd;		/* --fd is connected: our copy of it; -1: front-ends come and go */
};

/* ---- options -------------------------------------------------------------------------------- */

static const struct option long_options[] = {
	{ "socket-path", required_argument, NULL, 's' },
	{ "fd", required_argument, NULL, 'f' },
	{ "blk-file", required_argument, NULL, 'b' },
	{ "memory", required_argument, NULL, 'm' },
	{ "read-only", no_argument, NULL, 'r' },
	{ "num-queues", required_argument, NULL, 'q' },
	{ "serial", required_argument, NULL, 'S' },
	{ "poll-us", required_argument, NULL, 'p' },
	{ "print-capabilities", no_argument, NULL, 'c' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int
refuse(const char *what, const char *value)
{
	disk_say("%s%s%s; --help tells more", what, value ? ": " : "", value ? value : "");
	return EXIT_USAGE;
}

static bool
parse_number(const char *text, unsigned long max, unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(text, &end, 10);
	return !errno && end != text && !*end && *text != '-' && *number <= max;
}

/* Bytes, with K, M, G or T behind them. */
static bool
parse_size(const char *text, uint64_t *size)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;

	errno = 0;
	*size = strtoull(text, &end, 10);
	if (errno || end == text || *text == '-')
		return false;
	if (!*end)
		return true;
	unit = strchr(units, *end);
	if (!unit || end[1] || *size > UINT64_MAX >> (10 * (unit - units + 1)))
		return false;
	*size <<= 10 * (unit - units + 1);
	return true;
}

static int
add_file(struct run *run, const char *path)
{
	if (run->opts.nr_files == run->program->nr_files_max)
		return refuse("that is one --blk-file too many", path);
	run->opts.files[run->opts.nr_files++] = path;
	return 0;
}

static int
take_number(struct run *run, int option, const char *text)
{
	unsigned long number;

	if (option == 'q') {
		if (!parse_number(text, DISK_WORKERS_MAX, &number) || !number)
			return refuse("--num-queues must be 1 to 128", text);
		run->opts.nr_queues = (uint16_t)number;
	} else if (option == 'p') {
		if (!parse_number(text, POLL_US_MAX, &number))
			return refuse("--poll-us must be 0 to 1000000", text);
		run->opts.poll_us = (unsigned int)number;
	} else {
		if (!parse_number(text, INT_MAX, &number))
			return refuse("--fd must be the number of an open descriptor", text);
		run->opts.socket_fd = (int)number;
	}
	return 0;
}

static int
take_option(struct run *run, int option, const char *text)
{
	switch (option) {
	case 's':
		run->opts.socket_path = text;
		return 0;
	case 'b':
		return add_file(run, text);
	case 'm':
		if (!parse_size(text, &run->opts.memory_size) || !run->opts.memory_size)
			return refuse("--memory must be a size such as 256M", text);
		return 0;
	case 'r':
		run->opts.is_read_only = true;
		return 0;
	case 'S':
		run->opts.serial = text;
		return 0;
	default:
		return take_number(run, option, text);
	}
}

static int
check_opts(const struct run *run)
{
	const struct program_opts *opts = &run->opts;

	if (!opts->socket_path == (opts->socket_fd < 0))
		return refuse("say where front-ends connect: --socket-path PATH or --fd N", NULL);
	if (!opts->nr_files == !opts->memory_size)
		return refuse("say what the disk is: --blk-file FILE or --memory SIZE", NULL);
	return 0;
}

/* Whoever asks what we can do gets an answer, whatever else there is on the line. */
static bool
is_asked_for_capabilities(int argc, char **argv)
{
	bool is_asked = false;
	int option;

	while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1)
		is_asked |= option == 'c';
	optind = 0;	/* from the start again */
	return is_asked;
}

static int
refuse_word(int option, const char *word)
{
	if (option == ':')
		return refuse("a value is missing after", word);
	return refuse("no such option, or not with that value", word);
}

/* 0: go on; -1: all was said already; else the exit code. */
static int
parse(struct run *run, int argc, char **argv)
{
	int option, rc = 0, at = 1;

	run->opts = (struct program_opts){
		.socket_fd = -1, .nr_queues = 1, .poll_us = POLL_US_DEFAULT,
	};
	opterr = 0;
	if (is_asked_for_capabilities(argc, argv)) {
		printf("%s", run->program->capabilities);
		return -1;
	}
	while (rc == 0 && (option = getopt_long(argc, argv, "+:", long_options, NULL)) != -1) {
		if (option == 'h') {
			printf("%s", run->program->usage);
			return -1;
		}
		rc = option == '?' || option == ':' ? refuse_word(option, argv[at]) :
		     take_option(run, option, optarg);
		at = optind;
	}
	if (rc)
		return rc;
	if (optind < argc)
		return refuse("what is this", argv[optind]);
	return check_opts(run);
}

/* ---- the disk ------------------------------------------------------------------------------- */

static int
open_images(struct run *run)
{
	int rc;

	if (run->opts.memory_size) {
		run->nr_images = 1;
		return disk_image_allocate(&run->images[0], run->opts.memory_size);
	}
	for (unsigned int i = 0; i < run->opts.nr_files; i++) {
		rc = disk_image_open(&run->images[i], run->opts.files[i], run->opts.is_read_only);
		if (rc)
			return rc;
		run->nr_images++;
	}
	return 0;
}

static int
create_server(struct run *run)
{
	const struct program *program = run->program;
	const struct program_opts *opts = &run->opts;

	return vhc_server_create(&(struct vhc_server_opts){
		.name = program->name,
		.path = opts->socket_path ? opts->socket_path : "--fd",
		.nr_rings = (uint16_t)(program->nr_fixed_rings + opts->nr_queues),
		.features_on = program->features(run->state),
		.features_off = F_IN_ORDER,
		.ops = program->ops,
		.ops_arg = run->state,
	}, &run->server);
}

static int
start_server(struct run *run)
{
	if (run->opts.socket_path)
		return vhc_server_start(run->server);
	run->hang_up_fd = dup(run->opts.socket_fd);
	return vhc_server_start_fd(run->server, run->opts.socket_fd);
}

static int
start(struct run *run)
{
	const struct program *program = run->program;
	int rc = open_images(run);

	if (rc)
		return rc;
	run->state = program->create(&run->opts, run->images, run->nr_images);
	if (!run->state)
		return -ENOMEM;
	rc = create_server(run);
	if (rc)
		return rc;
	rc = program->start(run->state, vhc_server_device(run->server));
	if (rc)
		return rc;
	return start_server(run);
}

static void
stop(struct run *run)
{
	if (run->state)
		run->program->stop(run->state);
	if (run->server)
		vhc_server_destroy(run->server);
	if (run->state)
		run->program->destroy(run->state);
	for (unsigned int i = 0; i < run->nr_images; i++)
		disk_image_close(&run->images[i]);
}

/* ---- signals -------------------------------------------------------------------------------- */

/* Before the first thread: all of them inherit it. */
static int
open_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	/* Nobody reads our words, or a file must not grow: a call fails, and that will do. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

static void
look_at_images(struct run *run)
{
	for (unsigned int i = 0; i < run->nr_images; i++)
		if (disk_image_look_again(&run->images[i]))
			run->program->resized(run->state, &run->images[i]);
}

/* Until somebody wants us to end, or the one front-end that --fd stands for has gone. */
static void
serve_signals(struct run *run)
{
	struct pollfd fds[] = {
		{ run->signal_fd, POLLIN, 0 }, { run->hang_up_fd, POLLRDHUP, 0 },
	};
	struct signalfd_siginfo signal;

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		if (fds[1].revents)
			return;
		if (read(run->signal_fd, &signal, sizeof(signal)) != sizeof(signal))
			continue;
		if (signal.ssi_signo != SIGHUP)
			return;
		look_at_images(run);
	}
}

void
disk_config_copy(uint8_t *bytes, uint32_t offset, uint32_t len, const void *config, size_t size)
{
	if (offset < size)
		memcpy(bytes, (const uint8_t *)config + offset,
		       len < size - offset ? len : size - offset);
}

int
disk_program_main(const struct program *program, int argc, char **argv)
{
	struct run run = { .program = program, .hang_up_fd = -1 };
	int rc;

	disk_say_as(program->name);
	rc = parse(&run, argc, argv);
	if (rc)
		return rc < 0 ? 0 : rc;
	run.signal_fd = open_signals();
	rc = start(&run);
	if (rc == 0)
		serve_signals(&run);
	stop(&run);
	return rc ? 1 : 0;
}
