/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend.c - a back-end process to play front-end against: ports as told, questions on stdin.
 *
 * Knows:   the public headers only. No EAL runs: packets.c has the mbufs.
 * Trusts:  the test that started it; it ends when that one does (end of stdin) or after LIFETIME_S.
 * Runs on: the main thread; log lines and events come from the control thread, on stderr.
 *
 * usage: backend server|client|tracked|tracked-client|iommu|plain|vdpa:RINGS:PATH...
 *
 * The first five are network devices; tracked ones note what is in flight, and iommu ones, which
 * listen, offer ACCESS_PLATFORM. A plain one has no class and works its rings itself, which means
 * here that nobody does; a vdpa one has a vDPA device made of software.
 *
 * One line of JSON a question: "info PORT", "control PORT", "iommu PORT", "queue PORT RING",
 * "push PORT RING COUNT [NUMBER]", "pull PORT RING COUNT", "changed PORT WAIT",
 * "notifier PORT RING SIZE", "quit".
 * Packets without a pause, on one ring at a time: "traffic PORT RING", "seen", "quiet PORT RING".
 * Of the dirty log: "log PORT", "mark PORT ADDRESS LENGTH", "used PORT RING OFFSET LENGTH".
 * Of a vdpa port: "vdpa PORT", "stats PORT RING", "reset PORT RING", "fail PORT ERRNO".
 */
#define _GNU_SOURCE 1	/* memfd_create() */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/soft_vdpa.h"
#include "vhostcore_features.h"
#include "vhostcore_memory.h"
#include "vhostcore_message.h"
#include "packets.h"
#include "traffic.h"

#define PORTS_MAX	16
#define LIFETIME_S	3600	/* life histories, in their full number, take half an hour */

/* An MTU on which the callback waits for the front-end, which it must not. */
#define MTU_THAT_WAITS	1234

static struct vhc_server *servers[PORTS_MAX];
static char names[PORTS_MAX][16];
static struct soft_vdpa *vdpas[PORTS_MAX];
static unsigned int nr_servers;

/* ---- what the control thread says ----------------------------------------------------------- */

static void
print_log(enum vhc_log_level level, const char *line, void *arg)
{
	static const char *const levels[] = { "error", "warning", "notice", "info", "debug" };

	(void)arg;
	fprintf(stderr, "log %s %s\n", levels[level], line);
}

static void
on_running(struct vhc_device *dev, bool running, void *arg)
{
	(void)dev;
	fprintf(stderr, "event %s running %d\n", (const char *)arg, running);
}

static void
on_queue_changed(struct vhc_device *dev, uint16_t ring, bool usable, void *arg)
{
	(void)dev;
	fprintf(stderr, "event %s queue %u usable %d\n", (const char *)arg, ring, usable);
}

static void
on_mtu_changed(struct vhc_device *dev, uint16_t mtu, void *arg)
{
	fprintf(stderr, "event %s mtu %u\n", (const char *)arg, mtu);
	if (mtu == MTU_THAT_WAITS)
		fprintf(stderr, "event %s waited %d\n", (const char *)arg,
			vhc_device_config_changed(dev, true));
}

static const struct vhc_device_ops ops = {
	.running = on_running,
	.queue_changed = on_queue_changed,
	.mtu_changed = on_mtu_changed,
};

/* ---- JSON ----------------------------------------------------------------------------------- */

static void
print_text(const char *key, const char *text)
{
	printf("\"%s\":\"", key);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
	printf("\",");
}

static void
print_number(const char *key, uint64_t value)
{
	printf("\"%s\":%" PRIu64 ",", key, value);
}

/* 0 or -errno of what the library was asked to do. */
static void
print_error_code(int rc)
{
	printf("\"rc\":%d,", rc);
}

static void
print_bool(const char *key, bool value)
{
	printf("\"%s\":%s,", key, value ? "true" : "false");
}

static void
print_info(struct vhc_device *dev)
{
	struct vhc_device_info info;

	vhc_device_info(dev, &info);
	print_text("name", info.name);
	print_text("path", info.path);
	print_text("stage", vhc_stage_name(info.stage));
	print_text("why", info.why);
	print_number("features", info.features);
	print_number("offered", info.offered);
	print_number("protocol_features", info.protocol_features);
	print_number("mtu", info.mtu);
	print_number("status", info.status);
	print_number("nr_rings", info.nr_rings);
	print_number("control_ring", info.control_ring);
	print_number("nr_regions", info.nr_regions);
	print_number("nr_connects", info.nr_connects);
}

static void
print_iommu(struct vhc_device *dev)
{
	struct vhc_iommu_info info;

	vhc_device_iommu(dev, &info);
	print_bool("on", info.is_on);
	print_number("readable", info.nr_readable);
	print_number("writable", info.nr_writable);
	print_number("misses", info.nr_misses);
	print_number("refused", info.nr_refused);
	print_number("updates", info.nr_updates);
	print_number("invalidations", info.nr_invalidations);
}

static void
print_control(struct vhc_device *dev)
{
	struct vhc_net_control control;
	char mac[18];

	vhc_net_control(dev, &control);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", control.mac[0], control.mac[1],
		 control.mac[2], control.mac[3], control.mac[4], control.mac[5]);
	print_number("pairs", control.nr_pairs);
	print_bool("promisc", control.is_promisc);
	print_bool("allmulti", control.is_allmulti);
	print_text("mac", control.has_mac ? mac : "");
	print_number("unicast", control.nr_unicast);
	print_number("multicast", control.nr_multicast);
	print_number("vlans", control.nr_vlans);
	print_number("announced", control.nr_announced);
	print_number("commands", control.nr_commands);
	print_number("refused", control.nr_refused);
}

static void
print_faults(const struct vhc_queue *q)
{
	const char *before = "";

	printf("\"faults\":{");
	for (unsigned int i = 0; i < vhc_nr_faults(); i++) {
		uint64_t nr = vhc_queue_faults(q, i);

		if (!nr)
			continue;
		printf("%s\"%s\":%" PRIu64, before, vhc_fault_name(i), nr);
		before = ",";
	}
	printf("},");
}

static void
print_queue(struct vhc_queue *q)
{
	struct vhc_queue_info info;
	struct vhc_queue_fill fill;

	vhc_queue_info(q, &info);
	vhc_queue_fill(q, &fill);
	print_number("index", info.index);
	print_number("size", info.size);
	print_bool("started", info.started);
	print_bool("enabled", info.enabled);
	print_bool("running", info.running);
	print_bool("broken", info.broken);
	print_bool("control", info.control);
	print_bool("event_idx", info.event_idx);
	print_bool("indirect", info.indirect);
	print_number("avail_idx", info.avail_idx);
	print_number("used_idx", info.used_idx);
	print_number("available", fill.available);
	print_text("last_fault", info.last_fault ? info.last_fault : "");
	print_faults(q);
}

/* ---- packets -------------------------------------------------------------------------------- */

static void
print_push(struct vhc_queue *q, unsigned int count, uint32_t number)
{
	print_number("pushed", packets_push(q, count, number));
}

static void
print_pull(struct vhc_queue *q, unsigned int count)
{
	uint32_t numbers[PACKETS_MAX];
	uint16_t nr = packets_pull(q, count, numbers);

	printf("\"pulled\":[");
	for (uint16_t i = 0; i < nr; i++)
		printf("%s%" PRIu32, i ? "," : "", numbers[i]);
	printf("],");
}

static void
print_traffic(void)
{
	struct traffic_seen seen;

	traffic_look(&seen);
	print_number("thread", (uint64_t)seen.thread);
	print_number("packets", seen.nr_packets);
	print_number("bursts", seen.nr_bursts);
	print_number("turned_away", seen.nr_turned_away);
}

/* ---- requests of ours ----------------------------------------------------------------------- */

/* A page of ours for the guest to kick; `size` 0: no longer. */
static void
print_notifier(struct vhc_device *dev, uint16_t ring, unsigned int size)
{
	int fd = size ? memfd_create("vhostx-test-notifier", MFD_CLOEXEC) : -1;
	int rc = vhc_device_host_notifier(dev, ring, fd, 2 * size, size);

	if (fd >= 0)
		close(fd);
	print_error_code(rc);
}

/* ---- the dirty log -------------------------------------------------------------------------- */

static void
print_log_place(struct vhc_device *dev)
{
	uint64_t size;
	void *base;

	print_error_code(vhc_device_log(dev, &base, &size));
	print_number("size", size);
	print_bool("mapped", base);
}

static void
mark(struct vhc_device *dev, const char *line)
{
	uint64_t at = 0, len = 0;

	sscanf(line, "%*s %*u %" SCNu64 " %" SCNu64, &at, &len);
	vhc_device_log_write(dev, at, len);
}

static void
mark_used(struct vhc_device *dev, uint16_t ring, const char *line)
{
	uint64_t offset = 0, len = 0;

	sscanf(line, "%*s %*u %*u %" SCNu64 " %" SCNu64, &offset, &len);
	vhc_device_log_used(dev, ring, offset, len);
}

/* ---- the vDPA device ------------------------------------------------------------------------ */

static void
print_vdpa(struct soft_vdpa *soft)
{
	struct soft_vdpa_seen seen;

	soft_vdpa_look(soft, &seen);
	print_number("conf", seen.nr_conf);
	print_number("close", seen.nr_close);
	print_number("state_changes", seen.nr_state_changes);
	print_number("migrations", seen.nr_migrations);
	print_number("features", seen.features);
	print_number("rings_on", seen.rings_on);
	print_error_code(seen.notify_rc);
}

static void
print_stats(struct soft_vdpa *soft, uint16_t ring)
{
	struct vhc_vdpa *vdpa = soft_vdpa_device(soft);
	struct vhc_vdpa_stat_name known[4];
	struct vhc_vdpa_stat stats[4];
	int nr = vhc_vdpa_stats_names(vdpa, known, 4);
	int rc = vhc_vdpa_stats(vdpa, ring, stats, 4);

	print_error_code(rc);
	for (int i = 0; i < rc && i < nr; i++)
		print_number(known[stats[i].id].name, stats[i].value);
}

/* False: there is no such question. */
static bool
answer_of_vdpa(struct soft_vdpa *soft, const char *verb, unsigned int number)
{
	if (!strcmp(verb, "vdpa"))
		print_vdpa(soft);
	else if (!strcmp(verb, "stats"))
		print_stats(soft, (uint16_t)number);
	else if (!strcmp(verb, "reset"))
		print_error_code(vhc_vdpa_stats_reset(soft_vdpa_device(soft), (uint16_t)number));
	else if (!strcmp(verb, "fail"))
		soft_vdpa_refuse(soft, -(int)number);
	else
		return false;
	return true;
}

/* ---- questions ------------------------------------------------------------------------------ */

static void
answer(const char *line)
{
	char verb[16] = "";
	unsigned int port = 0, ring = 0, count = 0, number = PACKETS_PLAIN;
	struct vhc_device *dev;
	struct vhc_queue *q;

	sscanf(line, "%15s %u %u %u %u", verb, &port, &ring, &count, &number);
	dev = port < nr_servers ? vhc_server_device(servers[port]) : NULL;
	q = dev ? vhc_device_queue(dev, (uint16_t)ring) : NULL;
	printf("{");
	if (!strcmp(verb, "info") && dev)
		print_info(dev);
	else if (!strcmp(verb, "control") && dev)
		print_control(dev);
	else if (!strcmp(verb, "iommu") && dev)
		print_iommu(dev);
	else if (!strcmp(verb, "queue") && q)
		print_queue(q);
	else if (!strcmp(verb, "push") && q)
		print_push(q, count, number);
	else if (!strcmp(verb, "pull") && q)
		print_pull(q, count);
	else if (!strcmp(verb, "traffic") && q)
		print_error_code(traffic_start(q));
	else if (!strcmp(verb, "seen"))
		print_traffic();
	else if (!strcmp(verb, "quiet") && q)
		traffic_stop();
	else if (!strcmp(verb, "changed") && dev)
		print_error_code(vhc_device_config_changed(dev, ring));
	else if (!strcmp(verb, "notifier") && dev)
		print_notifier(dev, (uint16_t)ring, count);
	else if (!strcmp(verb, "log") && dev)
		print_log_place(dev);
	else if (!strcmp(verb, "mark") && dev)
		mark(dev, line);
	else if (!strcmp(verb, "used") && dev)
		mark_used(dev, (uint16_t)ring, line);
	else if (!dev || !vdpas[port] || !answer_of_vdpa(vdpas[port], verb, ring))
		print_text("error", "no such question, port or ring");
	printf("\"ok\":true}\n");
	fflush(stdout);
}

/* ---- ports ---------------------------------------------------------------------------------- */

/* A plain device keeps bytes of its driver: any but those that begin with '!'. */
static uint8_t own_state[1 << 20];
static uint32_t own_state_len;

static int
save_state(struct vhc_device *dev, void *bytes, uint32_t room, uint32_t *len, void *arg)
{
	(void)dev;
	(void)arg;
	if (own_state_len > room)
		return -EFBIG;
	memcpy(bytes, own_state, own_state_len);
	*len = own_state_len;
	return 0;
}

static int
load_state(struct vhc_device *dev, const void *bytes, uint32_t len, void *arg)
{
	(void)dev;
	(void)arg;
	if (len > sizeof(own_state) || (len && *(const char *)bytes == '!'))
		return -EINVAL;
	memcpy(own_state, bytes, len);
	own_state_len = len;
	return 0;
}

static const struct vhc_device_ops plain_ops = {
	.running = on_running,
	.queue_changed = on_queue_changed,
	.mtu_changed = on_mtu_changed,
	.state_save = save_state,
	.state_load = load_state,
};

static int
let_pull(struct vhc_device *dev, uint16_t nr_rings)
{
	static struct vhc_net_pull_conf conf;
	int rc = 0;

	if (!conf.pool)
		conf.pool = packets_pool();
	if (!conf.pool)
		return -1;
	for (uint16_t ring = 1; ring < nr_rings && rc == 0; ring += 2)
		rc = vhc_net_pull_setup(vhc_device_queue(dev, ring), &conf);
	return rc;
}

static int
start_port(char *spec)
{
	char role[16], path[128];
	unsigned int nr_rings;
	struct vhc_server_opts opts = {
		.ops = &ops,
		.path = path,
	};
	int rc;

	if (nr_servers == PORTS_MAX ||
	    sscanf(spec, "%15[a-z-]:%u:%127s", role, &nr_rings, path) != 3)
		return -1;
	snprintf(names[nr_servers], sizeof(names[0]), "port%u", nr_servers);
	opts.name = opts.ops_arg = names[nr_servers];
	opts.role = !strstr(role, "client") ? VHC_ROLE_SERVER : VHC_ROLE_CLIENT;
	opts.nr_rings = (uint16_t)nr_rings;
	opts.inflight = !strncmp(role, "tracked", 7);
	opts.raw_rings = !strcmp(role, "plain");
	opts.features_on = opts.raw_rings ? VHC_FEATURE_LOG_ALL : 0;
	if (opts.raw_rings)
		opts.ops = &plain_ops;
	if (!strcmp(role, "vdpa")) {
		vdpas[nr_servers] = soft_vdpa_create(opts.name, opts.nr_rings);
		opts.vdpa = vdpas[nr_servers] ? soft_vdpa_device(vdpas[nr_servers]) : NULL;
	} else if (!opts.raw_rings) {
		opts.cls = vhc_net_class();
		opts.postcopy = true;
		opts.features_on = strcmp(role, "iommu") ? 0 : VHC_FEATURE_ACCESS_PLATFORM;
	}
	rc = vhc_server_create(&opts, &servers[nr_servers]);
	if (rc == 0 && opts.cls)
		rc = let_pull(vhc_server_device(servers[nr_servers]), opts.nr_rings);
	return rc ? rc : vhc_server_start(servers[nr_servers++]);
}

int
main(int argc, char **argv)
{
	char line[128];

	alarm(LIFETIME_S);
	setvbuf(stderr, NULL, _IOLBF, 0);
	vhc_log_set_sink(print_log, NULL);
	for (int i = 1; i < argc; i++) {
		if (start_port(argv[i])) {
			fprintf(stderr, "backend: cannot start port %s\n", argv[i]);
			return 1;
		}
	}
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4))
		answer(line);
	for (unsigned int i = 0; i < nr_servers; i++) {
		vhc_server_destroy(servers[i]);
		if (vdpas[i])
			soft_vdpa_destroy(vdpas[i]);
	}
	return 0;
}
