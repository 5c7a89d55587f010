/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * l2switch.c - a learning switch between virtual machines that works their rings itself, written
 * against rte_vhost.h as for DPDK: it runs on DPDK's librte_vhost and on ours.
 *
 *	cc l2switch.c $(pkg-config --cflags --libs librte_vhost_compat)	# or libdpdk
 *	./a.out [EAL's options] -- /run/vm0.sock /run/vm1.sock ...
 *
 * Split rings, one queue pair, no offloads. The guest is not trusted: every index, length and
 * address that it writes is judged before it is used.
 */
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_vhost.h>

#define NR_PORTS_MAX	16
#define NR_MACS		1024
#define HDR_LEN		12		/* of virtio-net, with VERSION_1 */
#define FRAME_MIN	14
#define FRAME_MAX	1518
#define FEATURES	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VHOST_USER_F_PROTOCOL_FEATURES)

enum { RX, TX };	/* rings by number, in the guest's words */

struct ring {
	struct rte_vhost_vring vring;
	uint16_t next;	/* of the available ring, and of the used one: we use in order */
};

struct port {
	const char *path;
	int vid;
	struct rte_vhost_memory *mem;
	struct ring rings[2];
	atomic_bool is_up;
};

static struct port ports[NR_PORTS_MAX];
static unsigned int nr_ports;
static atomic_uint nr_rounds;	/* of the loop that polls */
static volatile sig_atomic_t is_over;

static struct { uint8_t mac[6]; struct port *port; } table[NR_MACS];

/* ---- the guest's memory --------------------------------------------------------------------- */

/*
 * Copy bytes between a chain and a buffer of ours, header and all. Each descriptor is loaded once.
 * Returns how many bytes; 0: a chain that is wrong, or too short for what is to be written.
 */
static uint32_t
copy_chain(struct port *port, const struct ring *ring, uint16_t head, uint8_t *bytes, uint32_t len,
	   bool writes)
{
	uint16_t size = ring->vring.size;
	uint32_t done = 0;

	for (uint16_t nr = 0; head < size && nr < size; nr++) {
		volatile struct vring_desc *shared = &ring->vring.desc[head];
		const struct vring_desc desc = *shared;
		uint64_t part = desc.len, at = desc.addr;

		if (!(desc.flags & VRING_DESC_F_WRITE) == writes)
			return 0;
		if (!writes && part > len - done)
			return 0;
		if (part > len - done)
			part = len - done;
		while (part) {
			uint64_t there = part;
			uint64_t host_va = rte_vhost_va_from_guest_pa(port->mem, at, &there);
			void *host = (void *)(uintptr_t)host_va;

			if (!host)
				return 0;
			memcpy(writes ? host : bytes + done, writes ? bytes + done : host, there);
			done += there;
			at += there;
			part -= there;
		}
		if (!(desc.flags & VRING_DESC_F_NEXT) || (writes && done == len))
			return writes && done < len ? 0 : done;
		head = desc.next;
	}
	return 0;
}

static bool
has_buffer(const struct ring *ring)
{
	uint16_t idx = __atomic_load_n(&ring->vring.avail->idx, __ATOMIC_ACQUIRE);

	return idx != ring->next;
}

static uint16_t
head_of_next(const struct ring *ring)
{
	return ring->vring.avail->ring[ring->next % ring->vring.size];
}

/* Give the next chain back, with so many bytes written. */
static void
use_next(struct port *port, unsigned int which, uint16_t head, uint32_t written)
{
	struct ring *ring = &port->rings[which];
	struct vring_used *used = ring->vring.used;

	used->ring[ring->next % ring->vring.size] = (struct vring_used_elem){ head, written };
	__atomic_store_n(&used->idx, ++ring->next, __ATOMIC_RELEASE);
	rte_vhost_vring_call(port->vid, (uint16_t)which);
}

/* ---- switching ------------------------------------------------------------------------------ */

static unsigned int
slot_of(const uint8_t *mac)
{
	return (mac[3] << 16 | mac[4] << 8 | mac[5]) % NR_MACS;
}

static void
learn(const uint8_t *mac, struct port *port)
{
	unsigned int slot = slot_of(mac);

	memcpy(table[slot].mac, mac, 6);
	table[slot].port = port;
}

/* NULL: everywhere. */
static struct port *
look_up(const uint8_t *mac)
{
	unsigned int slot = slot_of(mac);

	return memcmp(table[slot].mac, mac, 6) == 0 ? table[slot].port : NULL;
}

/* A guest without a buffer for it loses the frame. */
static void
deliver(struct port *port, uint8_t *bytes, uint32_t len)
{
	struct ring *ring = &port->rings[RX];
	uint16_t head;

	if (!atomic_load(&port->is_up) || !has_buffer(ring))
		return;
	head = head_of_next(ring);
	use_next(port, RX, head, copy_chain(port, ring, head, bytes, len, true));
}

static void
forward(struct port *from, uint8_t *bytes, uint32_t len)
{
	uint8_t *frame = bytes + HDR_LEN;
	struct port *to = look_up(frame);

	if (!(frame[6] & 1))
		learn(frame + 6, from);
	memset(bytes, 0, HDR_LEN);
	bytes[10] = 1;	/* num_buffers */
	for (unsigned int i = 0; i < nr_ports; i++)
		if (&ports[i] != from && (!to || to == &ports[i]))
			deliver(&ports[i], bytes, len);
}

static void
poll_port(struct port *port)
{
	struct ring *ring = &port->rings[TX];
	uint8_t bytes[HDR_LEN + FRAME_MAX];

	for (unsigned int i = 0; i < 32 && has_buffer(ring); i++) {
		uint16_t head = head_of_next(ring);
		uint32_t len = copy_chain(port, ring, head, bytes, sizeof(bytes), false);

		use_next(port, TX, head, 0);
		if (len >= HDR_LEN + FRAME_MIN)
			forward(port, bytes, len);
	}
}

/* ---- callbacks ------------------------------------------------------------------------------ */

static struct port *
port_of(int vid)
{
	char path[108];

	if (rte_vhost_get_ifname(vid, path, sizeof(path)) == 0)
		for (unsigned int i = 0; i < nr_ports; i++)
			if (strcmp(ports[i].path, path) == 0)
				return &ports[i];
	return NULL;
}

static int
new_device(int vid)
{
	struct port *port = port_of(vid);

	if (!port || rte_vhost_get_mem_table(vid, &port->mem) < 0)
		return -1;
	port->vid = vid;
	for (uint16_t i = RX; i <= TX; i++) {
		struct ring *ring = &port->rings[i];

		if (rte_vhost_get_vhost_vring(vid, i, &ring->vring) < 0 || !ring->vring.size) {
			free(port->mem);
			return -1;
		}
		ring->next = ring->vring.used->idx;
		rte_vhost_enable_guest_notification(vid, i, 0);
	}
	atomic_store(&port->is_up, true);
	printf("%s: up\n", port->path);
	return 0;
}

/* When the loop has begun twice since, it has seen that the port is down. */
static void
destroy_device(int vid)
{
	struct port *port = port_of(vid);
	unsigned int before;

	if (!port || !atomic_exchange(&port->is_up, false))
		return;
	before = atomic_load(&nr_rounds);
	while (!is_over && atomic_load(&nr_rounds) - before < 2)
		sched_yield();
	for (uint16_t i = RX; i <= TX; i++)
		rte_vhost_set_vring_base(vid, i, port->rings[i].next, port->rings[i].next);
	free(port->mem);
	printf("%s: down\n", port->path);
}

static const struct rte_vhost_device_ops ops = {
	.new_device = new_device,
	.destroy_device = destroy_device,
};

/* ---- the program ---------------------------------------------------------------------------- */

static void
on_signal(int number)
{
	(void)number;
	is_over = 1;
}

static bool
open_port(const char *path)
{
	ports[nr_ports++].path = path;
	return rte_vhost_driver_register(path, 0) == 0 &&
	       rte_vhost_driver_set_features(path, FEATURES) == 0 &&
	       rte_vhost_driver_callback_register(path, &ops) == 0 &&
	       rte_vhost_driver_start(path) == 0;
}

int
main(int argc, char **argv)
{
	int nr_words = rte_eal_init(argc, argv);
	bool is_ok = nr_words >= 0 && argc - nr_words > 1 && argc - nr_words - 1 <= NR_PORTS_MAX;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	for (int i = nr_words + 1; is_ok && i < argc; i++)
		is_ok = open_port(argv[i]);
	if (is_ok)
		printf("%u ports\n", nr_ports);
	while (is_ok && !is_over) {
		atomic_fetch_add(&nr_rounds, 1);
		for (unsigned int i = 0; i < nr_ports; i++)
			if (atomic_load(&ports[i].is_up))
				poll_port(&ports[i]);
	}
	is_over = 1;
	for (unsigned int i = 0; i < nr_ports; i++)
		rte_vhost_driver_unregister(ports[i].path);
	rte_eal_cleanup();
	return is_ok ? 0 : 1;
}
