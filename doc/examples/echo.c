/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that answers each request with the bytes it came with. usage: echo SOCKET */
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "vhostcore_ring.h"

static volatile sig_atomic_t is_ending;

static void
end(int signal)
{
	(void)signal;
	is_ending = 1;
}

static uint32_t
echo(struct vhc_chain *chain)
{
	uint8_t bytes[4096];
	uint32_t done = 0, len;

	while ((len = vhc_chain_read(chain, done, bytes, sizeof(bytes))) &&
	       (len = vhc_chain_write(chain, done, bytes, len)))
		done += len;
	return done;
}

int
main(int argc, char **argv)
{
	struct vhc_server_opts opts = { .name = "echo", .path = argv[1], .nr_rings = 1 };
	struct vhc_server *server;
	struct vhc_chain *chains[32];
	struct vhc_queue *q;
	struct pollfd fd;
	uint16_t n;

	if (argc != 2 || vhc_server_create(&opts, &server)) {
		fprintf(stderr, "usage: echo SOCKET\n");
		return 2;
	}
	q = vhc_device_queue(vhc_server_device(server), 0);
	fd = (struct pollfd){ vhc_queue_kick_fd(q), POLLIN, 0 };
	signal(SIGTERM, end);
	if (vhc_server_start(server))	/* the library has said why not */
		is_ending = 1;
	while (!is_ending) {
		while ((n = vhc_queue_take(q, chains, 32)) > 0) {
			for (uint16_t i = 0; i < n; i++)
				vhc_queue_give(q, chains[i], echo(chains[i]));
			vhc_queue_publish(q);
		}
		if (!vhc_queue_want_kicks(q, true))
			poll(&fd, 1, 1000);
	}
	vhc_server_destroy(server);
	return 0;
}
