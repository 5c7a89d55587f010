/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lying_disk.c - a vhost-user-blk back-end in memory that can be bad in one way.
 *
 *	lying_disk SOCKET MODE [WHEN]
 *
 * MODE is what becomes of request number WHEN (default 100) and all after it: `honest`; `forgets`:
 * writes are answered and not done; `mixes`: reads are of the block behind; `fails`: answered with
 * an error; `hangs`: not answered; `dies`: the process ends. From the start: `small`: a disk of
 * 1 MiB; `read-only`: a disk that says so; `no-config`: one that has no configuration space.
 *
 * Knows:   vhostcore_ring.h as any application does.
 * Trusts:  its front-end: it is a test's.
 * Runs on: the main thread; the library's control thread serves the socket.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vhostcore_ring.h"

#define DISK_LEN	(UINT64_C(64) << 20)
#define SMALL_LEN	(UINT64_C(1) << 20)
#define SECTOR		512
#define BLOCK		4096
#define F_RO		(UINT64_C(1) << 5)
#define F_FLUSH		(UINT64_C(1) << 9)
#define T_OUT		1
#define S_IOERR		1

static uint8_t disk[DISK_LEN];
static uint64_t capacity = DISK_LEN;
static const char *mode;
static unsigned long when = 100, nr_requests;

static bool
lies(const char *how)
{
	return !strcmp(mode, how) && nr_requests >= when;
}

static int
config_get(struct vhc_device *dev, uint8_t *bytes, uint32_t offset, uint32_t len, void *arg)
{
	uint64_t sectors = capacity / SECTOR;

	(void)dev;
	(void)arg;
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = offset + i < 8 ? (uint8_t)(sectors >> 8 * (offset + i)) : 0;
	return 0;
}

/* Bytes written to the answer, status and all; -1: there is to be no answer. */
static int64_t
serve(struct vhc_chain *chain)
{
	struct { uint32_t type, reserved; uint64_t sector; } header;
	uint32_t len = chain->writable_len - 1;
	uint64_t at;
	uint8_t status = 0;

	nr_requests++;
	if (lies("dies"))
		exit(0);
	if (vhc_chain_read(chain, 0, &header, sizeof(header)) != sizeof(header) || lies("hangs"))
		return -1;
	at = header.sector * SECTOR + (header.type != T_OUT && lies("mixes") ? BLOCK : 0);
	if (at > capacity - len || lies("fails"))
		status = S_IOERR;
	else if (header.type != T_OUT)
		vhc_chain_write(chain, 0, disk + at, len);
	else if (!lies("forgets"))
		vhc_chain_read(chain, sizeof(header), disk + at,
			       chain->readable_len - (uint32_t)sizeof(header));
	vhc_chain_write(chain, len, &status, 1);
	return len + 1;
}

static void
serve_all(struct vhc_queue *q)
{
	struct vhc_chain *chains[32];
	uint16_t n;

	while ((n = vhc_queue_take(q, chains, 32)) > 0) {
		for (uint16_t i = 0; i < n; i++) {
			int64_t written = serve(chains[i]);

			if (written >= 0)
				vhc_queue_give(q, chains[i], (uint32_t)written);
		}
		vhc_queue_publish(q);
	}
}

int
main(int argc, char **argv)
{
	struct vhc_device_ops ops = { .config_get = config_get };
	struct vhc_server_opts opts = { .name = "disk", .path = argv[1], .nr_rings = 1,
					.ops = &ops, .features_on = F_FLUSH };
	struct vhc_server *server;
	struct vhc_queue *q;
	struct pollfd fd;

	if (argc < 3)
		return 2;
	mode = argv[2];
	if (argc > 3)
		when = strtoul(argv[3], NULL, 10);
	if (!strcmp(mode, "small"))
		capacity = SMALL_LEN;
	if (!strcmp(mode, "read-only"))
		opts.features_on |= F_RO;
	if (!strcmp(mode, "no-config"))
		ops.config_get = NULL;
	if (vhc_server_create(&opts, &server) || vhc_server_start(server))
		return 1;
	q = vhc_device_queue(vhc_server_device(server), 0);
	fd = (struct pollfd){ vhc_queue_kick_fd(q), POLLIN, 0 };
	for (;;) {
		serve_all(q);
		if (!vhc_queue_want_kicks(q, true))
			poll(&fd, 1, 1000);
	}
}
