/* SPDX-License-Identifier: BSD-3-Clause */
/* Random bytes for a guest: a virtio-rng device, until it is killed. usage: entropy SOCKET */
#include <poll.h>
#include <stdio.h>
#include <sys/random.h>

#include "vhostcore_ring.h"

/* Less than there is room for is allowed (virtio 1.2 5.4.6), and so many never take long. */
static uint32_t
answer(struct vhc_chain *chain)
{
	uint8_t bytes[256];
	ssize_t len = getrandom(bytes, sizeof(bytes), 0);

	return len > 0 ? vhc_chain_write(chain, 0, bytes, (uint32_t)len) : 0;
}

int
main(int argc, char **argv)
{
	struct vhc_server_opts opts = { .name = "entropy", .path = argv[1], .nr_rings = 1 };
	struct vhc_server *server;
	struct vhc_chain *chain;
	struct vhc_queue *q;
	struct pollfd fd;

	if (argc != 2 || vhc_server_create(&opts, &server) || vhc_server_start(server)) {
		fprintf(stderr, "usage: entropy SOCKET\n");
		return 2;
	}
	q = vhc_device_queue(vhc_server_device(server), 0);
	fd = (struct pollfd){ vhc_queue_kick_fd(q), POLLIN, 0 };
	for (;;) {
		while (vhc_queue_take(q, &chain, 1))
			vhc_queue_give(q, chain, answer(chain));
		vhc_queue_publish(q);
		if (!vhc_queue_want_kicks(q, true))
			poll(&fd, 1, -1);
	}
}
