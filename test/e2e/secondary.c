/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * secondary.c - a secondary process that looks at ports, and tries what it must not.
 *
 * Knows:   ethdev; messages between EAL's processes. test_processes.py types its commands.
 * Trusts:  its command line: EAL arguments with --proc-type=secondary.
 * Runs on: one thread.
 *
 * Says "ready", then answers each line it reads, "done COMMAND" at the end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ethdev_driver.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_version.h>

#define NR_XSTATS_MAX	1024
#define LINE_MAX_LEN	512

static void
show_port(uint16_t port)
{
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;
	struct rte_eth_link link;
	char name[RTE_ETH_NAME_MAX_LEN];
	uint16_t mtu;

	if (rte_eth_dev_get_name_by_port(port, name) || rte_eth_dev_info_get(port, &info) ||
	    rte_eth_macaddr_get(port, &mac) || rte_eth_link_get_nowait(port, &link) ||
	    rte_eth_dev_get_mtu(port, &mtu)) {
		printf("port %u: no answer\n", port);
		return;
	}
	printf("port %u: name %s driver %s mac " RTE_ETHER_ADDR_PRT_FMT
	       " link %d mtu %u rx %u tx %u most %u speed %u\n",
	       port, name, info.driver_name, RTE_ETHER_ADDR_BYTES(&mac), link.link_status, mtu,
	       info.nb_rx_queues, info.nb_tx_queues, info.max_rx_queues, link.link_speed);
}

static void
show_ports(void)
{
	uint16_t port;

	printf("ports: %u\n", rte_eth_dev_count_avail());
	RTE_ETH_FOREACH_DEV(port)
		show_port(port);
}

static void
show_stats(void)
{
	struct rte_eth_stats stats;
	int rc = rte_eth_stats_get(0, &stats);

	printf("stats: %d RX-packets %" PRIu64 " RX-bytes %" PRIu64 " TX-packets %" PRIu64
	       " TX-bytes %" PRIu64 "\n", rc, stats.ipackets, stats.ibytes, stats.opackets,
	       stats.obytes);
}

static void
show_xstats(void)
{
	static struct rte_eth_xstat_name names[NR_XSTATS_MAX];
	static struct rte_eth_xstat values[NR_XSTATS_MAX];
	int nr_names = rte_eth_xstats_get_names(0, names, NR_XSTATS_MAX);
	int nr = rte_eth_xstats_get(0, values, NR_XSTATS_MAX);

	printf("xstats: %d names %d\n", nr, nr_names);
	for (int i = 0; i < nr && i < nr_names; i++)
		printf("%s: %" PRIu64 "\n", names[values[i].id].name, values[i].value);
}

/* Each of these is the primary's business. */
static void
try_to_work(void)
{
	const struct rte_eth_conf conf = { 0 };
	struct rte_ether_addr mac = { { 2, 0, 0, 0, 0, 1 } };
	struct rte_mbuf *mbufs[1] = { NULL };
	struct rte_eth_rxq_info rxq;

	printf("configure: %d\n", rte_eth_dev_configure(0, 1, 1, &conf));
	printf("mtu: %d\n", rte_eth_dev_set_mtu(0, 1400));
	printf("mac: %d\n", rte_eth_dev_default_mac_addr_set(0, &mac));
	printf("vlan: %d\n", rte_eth_dev_set_vlan_offload(0, RTE_ETH_VLAN_STRIP_OFFLOAD));
	printf("interrupt: %d\n", rte_eth_dev_rx_intr_enable(0, 0));
	printf("promiscuous: %d\n", rte_eth_promiscuous_enable(0));
	printf("count: %d\n", rte_eth_rx_queue_count(0, 0));
	printf("descriptor: %d\n", rte_eth_rx_descriptor_status(0, 0, 0));
	printf("received: %u\n", rte_eth_rx_burst(0, 0, mbufs, 1));
	printf("received: %u\n", rte_eth_rx_burst(0, 0, mbufs, 1));
	printf("sent: %u\n", rte_eth_tx_burst(0, 0, mbufs, 1));
	printf("rxq: %d", rte_eth_rx_queue_info_get(0, 0, &rxq));
	printf(" descriptors %u\n", rxq.nb_desc);
	/* Last: ethdev takes the bursts away before it asks. */
	printf("stop: %d\n", rte_eth_dev_stop(0));
}

static void
reset(void)
{
	printf("reset: %d %d\n", rte_eth_stats_reset(0), rte_eth_xstats_reset(0));
}

static void
send_garbage(const void *param, int len)
{
	const struct timespec patience = { .tv_sec = 5 };
	struct rte_mp_msg msg = { .name = "net_vhostx", .len_param = len };
	struct rte_mp_reply reply = { 0 };
	int rc, answer = 0;

	memcpy(msg.param, param, (size_t)len);
	rc = rte_mp_request_sync(&msg, &reply, &patience);
	if (reply.nb_received)
		memcpy(&answer, reply.msgs[0].param, sizeof(answer));
	printf("garbage: %d answers %d with %d\n", rc, reply.nb_received, answer);
	free(reply.msgs);
}

/* Questions nobody should ask: the layout's number, what, port, ring; see ask.c. */
static void
ask_garbage(void)
{
	const uint32_t layout = *(const uint32_t *)rte_eth_devices[0].data->dev_private;
	const struct {
		uint32_t layout;
		uint16_t what, port, ring, pad;
	} bad[] = {
		{ layout + 1, 0, 0, 0, 0 }, { layout, 99, 0, 0, 0 }, { layout, 0, 31, 0, 0 },
		{ layout, 0, UINT16_MAX, 0, 0 }, { layout, 1, 0, UINT16_MAX, 0 },
	};

	send_garbage("", 0);
	send_garbage(bad, RTE_MP_MAX_PARAM_LEN < sizeof(bad) ? RTE_MP_MAX_PARAM_LEN : sizeof(bad));
	for (unsigned int i = 0; i < RTE_DIM(bad); i++)
		send_garbage(&bad[i], sizeof(bad[i]));
}

/* As if the primary had another driver: for the secondary that comes next. */
static void
spoil_layout(void)
{
	++*(uint32_t *)rte_eth_devices[0].data->dev_private;
}

static void
mend_layout(void)
{
	--*(uint32_t *)rte_eth_devices[0].data->dev_private;
}

/* EAL's own: 22.11 starts it in the primary only, other versions in every process. */
extern int rte_telemetry_init(const char *runtime_dir, const char *version, cpu_set_t *cpuset,
			      int (*log)(uint32_t, uint32_t, const char *, ...), uint32_t type);

static void
start_telemetry(void)
{
	cpu_set_t cpus;

	sched_getaffinity(0, sizeof(cpus), &cpus);
	printf("telemetry: %d\n", rte_telemetry_init(rte_eal_get_runtime_dir(), rte_version(),
						      &cpus, rte_log, RTE_LOGTYPE_EAL));
}

static void
plug(char *devargs)
{
	printf("plug: %d\n", rte_dev_probe(devargs));
}

static void
unplug(char *name)
{
	printf("unplug: %d\n", rte_eal_hotplug_remove("vdev", name));
}

static const struct command {
	const char *name;
	void (*run)(void);
	void (*run_with)(char *arg);
} commands[] = {
	{ "ports", show_ports, NULL },
	{ "stats", show_stats, NULL },
	{ "xstats", show_xstats, NULL },
	{ "try", try_to_work, NULL },
	{ "reset", reset, NULL },
	{ "garbage", ask_garbage, NULL },
	{ "spoil", spoil_layout, NULL },
	{ "mend", mend_layout, NULL },
	{ "telemetry", start_telemetry, NULL },
	{ "plug", NULL, plug },
	{ "unplug", NULL, unplug },
};

static void
obey(char *line)
{
	char *arg = line + strcspn(line, " \n");

	if (*arg)
		*arg++ = '\0';
	arg[strcspn(arg, "\n")] = '\0';
	for (unsigned int i = 0; i < RTE_DIM(commands); i++) {
		if (strcmp(commands[i].name, line))
			continue;
		if (commands[i].run)
			commands[i].run();
		else
			commands[i].run_with(arg);
		printf("done %s\n", line);
	}
}

int
main(int argc, char **argv)
{
	char line[LINE_MAX_LEN];

	setlinebuf(stdout);
	if (rte_eal_init(argc, argv) < 0)
		return 1;
	puts("ready");
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "quit\n"))
		obey(line);
	return rte_eal_cleanup() ? 2 : 0;
}
