/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhostx-net - virtual machines on an Ethernet: a switch that learns, in one thread.
 *
 * Knows:   vhostcore_ring.h, and of virtio-net the header before each frame.
 * Trusts:  nothing a guest sends. A frame is copied once, and only the copy is looked at.
 * Runs on: the main thread; the on_... functions on the library's control thread.
 *
 * Each socket on the command line is a port with two rings: on ring 1 a guest sends, on ring 0 it
 * wants to hear. Everything else - memory, ring layouts, front-ends that come and go - is the
 * library's business, which makes this program the shortest way to read its interface.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vhostcore_ring.h"

#define PORTS_MAX	64
#define BURST		32
#define FRAME_MIN	14
#define FRAME_MAX	9234	/* a jumbo one with a VLAN tag */
#define STATIONS	4096	/* a power of two */
#define IDLE_TURNS	2000	/* with nothing to do before we sleep */

/* virtio 1.2: 6, 5.1.6. */
#define F_VERSION_1	(UINT64_C(1) << 32)
#define F_RING_PACKED	(UINT64_C(1) << 34)
#define HDR_LEN_LEGACY	10
#define HDR_LEN		12

enum { RING_RX, RING_TX, NR_RINGS };	/* as the guest calls them */

struct port {
	const char *path;
	struct vhc_server *server;
	struct vhc_queue *rx;
	struct vhc_queue *tx;

	uint32_t hdr_len;	/* set on the control thread, while the rings are stopped */
	bool has_given;		/* something of rx that is not published */
};

/* Who was heard where last. */
struct station {
	uint8_t mac[6];
	struct port *port;
};

static struct port ports[PORTS_MAX];
static unsigned int nr_ports;
static struct station stations[STATIONS];
static int signal_fd;

/* ---- what the library tells ----------------------------------------------------------------- */

static void
on_features(struct vhc_device *dev, uint64_t features, void *arg)
{
	struct port *port = arg;

	(void)dev;
	port->hdr_len = features & (F_VERSION_1 | F_RING_PACKED) ? HDR_LEN : HDR_LEN_LEGACY;
}

static const struct vhc_device_ops ops = { .features_changed = on_features };

/* ---- to a guest ----------------------------------------------------------------------------- */

/*
 * In front of the frame is room for a header: zeros, and in a long one that this is all of it. A
 * guest that has no buffer, or one too small, does not hear it, as on any Ethernet.
 */
static void
deliver(struct port *port, uint8_t *frame, uint32_t len)
{
	uint8_t *packet = frame - port->hdr_len;
	uint32_t packet_len = len + port->hdr_len, written = 0;
	struct vhc_chain *chain;

	if (!vhc_queue_take(port->rx, &chain, 1))
		return;
	memset(packet, 0, port->hdr_len);
	if (port->hdr_len == HDR_LEN)
		packet[10] = 1;		/* num_buffers */
	if (chain->writable_len >= packet_len)
		written = vhc_chain_write(chain, 0, packet, packet_len);
	vhc_queue_give(port->rx, chain, written);
	port->has_given = true;
}

/* ---- the switch ----------------------------------------------------------------------------- */

static bool
is_group(const uint8_t *mac)
{
	return mac[0] & 1;
}

static struct station *
station_of(const uint8_t *mac)
{
	uint32_t hash = 2166136261u;

	for (unsigned int i = 0; i < 6; i++)
		hash = (hash ^ mac[i]) * 16777619u;
	return &stations[hash % STATIONS];
}

static void
learn(struct port *from, const uint8_t *mac)
{
	struct station *station = station_of(mac);

	if (is_group(mac))
		return;
	memcpy(station->mac, mac, sizeof(station->mac));
	station->port = from;
}

/* To the port where its station was heard, or to all others. */
static void
forward(struct port *from, uint8_t *frame, uint32_t len)
{
	const struct station *station = station_of(frame);

	learn(from, frame + 6);
	if (!is_group(frame) && station->port && !memcmp(station->mac, frame, 6)) {
		if (station->port != from)
			deliver(station->port, frame, len);
		return;
	}
	for (unsigned int i = 0; i < nr_ports; i++)
		if (&ports[i] != from)
			deliver(&ports[i], frame, len);
}

/* All that a port sends now, up to a burst. False: nothing. */
static bool
serve(struct port *port)
{
	static uint8_t bytes[HDR_LEN + FRAME_MAX + 1];
	uint8_t *frame = bytes + HDR_LEN;
	struct vhc_chain *chains[BURST];
	uint16_t nr = vhc_queue_take(port->tx, chains, BURST);

	for (uint16_t i = 0; i < nr; i++) {
		uint32_t len = vhc_chain_read(chains[i], port->hdr_len, frame, FRAME_MAX + 1);

		if (len >= FRAME_MIN && len <= FRAME_MAX)
			forward(port, frame, len);
		vhc_queue_give(port->tx, chains[i], 0);
	}
	if (nr)
		vhc_queue_publish(port->tx);
	return nr;
}

static bool
serve_all(void)
{
	bool any = false;

	for (unsigned int i = 0; i < nr_ports; i++)
		any |= serve(&ports[i]);
	for (unsigned int i = 0; i < nr_ports; i++) {
		if (ports[i].has_given)
			vhc_queue_publish(ports[i].rx);
		ports[i].has_given = false;
	}
	return any;
}

static bool
want_kicks(bool on)
{
	bool has_work = false;

	for (unsigned int i = 0; i < nr_ports; i++)
		has_work |= vhc_queue_want_kicks(ports[i].tx, on);
	return has_work;
}

/* Sleep until a guest has sent something. False: somebody wants us to end. */
static bool
rest(struct pollfd *fds, bool sleeps)
{
	if (sleeps && want_kicks(true))
		sleeps = false;
	if (poll(fds, 1 + nr_ports, sleeps ? -1 : 0) < 0 && errno != EINTR)
		return false;
	want_kicks(false);
	return !fds[0].revents;
}

static void
run(void)
{
	struct pollfd fds[1 + PORTS_MAX] = { { .fd = signal_fd, .events = POLLIN } };
	unsigned int nr_idle = 0, nr_turns = 0;

	for (unsigned int i = 0; i < nr_ports; i++)
		fds[1 + i] = (struct pollfd){ vhc_queue_kick_fd(ports[i].tx), POLLIN, 0 };
	do {
		nr_idle = serve_all() ? 0 : nr_idle + 1;
	} while ((nr_idle < IDLE_TURNS && ++nr_turns % IDLE_TURNS) ||
		 rest(fds, nr_idle >= IDLE_TURNS));
}

/* ---- from the command line ------------------------------------------------------------------ */

static const char usage[] =
	"usage: vhostx-net [--client] SOCKET SOCKET...\n"
	"\n"
	"Joins the virtual machines behind these vhost-user sockets as an Ethernet switch does.\n"
	"\n"
	"  --client   connect to the sockets, which front-ends have made, instead of making them\n"
	"  --help     say this\n"
	"\n"
	"QEMU:         -chardev socket,id=c0,path=SOCKET -netdev vhost-user,id=n0,chardev=c0\n"
	"              -device virtio-net-pci,netdev=n0, and memory with share=on\n"
	"virtio-user:  --vdev=net_virtio_user0,path=SOCKET\n";

static int
open_port(const char *path, enum vhc_role role)
{
	struct port *port = &ports[nr_ports];
	const struct vhc_server_opts opts = {
		.name = path + (strlen(path) < 64 ? 0 : strlen(path) - 63),
		.path = path,
		.role = role,
		.nr_rings = NR_RINGS,
		.nr_vital_rings = NR_RINGS,
		.ops = &ops,
		.ops_arg = port,
	};
	int rc = vhc_server_create(&opts, &port->server);

	if (rc)
		return rc;	/* the library has said why */
	nr_ports++;
	port->rx = vhc_device_queue(vhc_server_device(port->server), RING_RX);
	port->tx = vhc_device_queue(vhc_server_device(port->server), RING_TX);
	return vhc_server_start(port->server);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "client", no_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	enum vhc_role role = VHC_ROLE_SERVER;
	sigset_t ends;
	int option, rc = 0;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'h')
			return printf("%s", usage) < 0;
		if (option != 'c') {
			fprintf(stderr, "vhostx-net: unrecognized option '%s'; --help tells more\n",
				argv[optind - 1]);
			return 2;
		}
		role = VHC_ROLE_CLIENT;
	}
	if (argc - optind < 2 || argc - optind > PORTS_MAX) {
		fprintf(stderr, "vhostx-net: name 2 to %d sockets to join; --help tells more\n",
			PORTS_MAX);
		return 2;
	}
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	signal_fd = signalfd(-1, &ends, SFD_CLOEXEC);
	for (int i = optind; i < argc && rc == 0; i++)
		rc = open_port(argv[i], role);
	if (rc == 0)
		run();
	while (nr_ports)
		vhc_server_destroy(ports[--nr_ports].server);
	return rc ? 1 : 0;
}
