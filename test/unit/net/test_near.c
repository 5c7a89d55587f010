/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_near.c - NUMA: queues go where the guest's memory is, pollers far from it are told so.
 *
 * The machine is invented (mem/node.h), for few have two nodes: what is asked of it, and what we do
 * with its answers, is tried here. That the kernel moves pages is tried in test_node.
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>

#include "mem/node.h"
#include "model/frontend.h"
#include "model/packet.h"
#include "near.h"
#include "unit/kept_log.h"
#include "unit/peer.h"

#define PAGE 4096
#define NR_MOVES_MAX 16
#define MEMORY_LEN (2 * FRONTEND_RINGS_LEN)

static struct net_rig rig;
static const struct net_rig_conf modern = { .features = RIG_MODERN };

static struct {
	bool is_single;
	int guest_node;
	int poller_node;
	int move_fails;		/* an errno */
	int cpu_asked;
	unsigned int nr_moves;
	unsigned int nr_released;
	struct move { const uint8_t *start; size_t len; int node; } moves[NR_MOVES_MAX];
} machine;

static bool
fake_has_many(void)
{
	return !machine.is_single;
}

/* What was moved is where it was moved to, the rest of ours on node 0, guests on theirs. */
static int
fake_of_memory(const void *at)
{
	bool is_ours = false;

	for (uint16_t i = 0; i < rig.dev->nr_rings; i++)
		is_ours = is_ours || at == rig.dev->queues[i];
	if (!is_ours)
		return machine.guest_node;
	for (unsigned int i = machine.nr_moves; i-- > 0; )
		if (machine.moves[i].start == at)
			return machine.moves[i].node;
	return 0;
}

static int
fake_of_cpu(int cpu)
{
	machine.cpu_asked = cpu;
	return machine.poller_node;
}

static int
fake_move(void *start, size_t len, int node)
{
	CHECK(machine.nr_moves < NR_MOVES_MAX);
	if (machine.move_fails)
		return -machine.move_fails;
	machine.moves[machine.nr_moves++] = (struct move){ start, len, node };
	return 0;
}

static void
fake_release(void *start, size_t len)
{
	CHECK_EQ((uintptr_t)start % PAGE, 0);
	CHECK_EQ(len % PAGE, 0);
	machine.nr_released++;
}

static const struct node_machine fake = {
	.has_many = fake_has_many,
	.of_memory = fake_of_memory,
	.of_cpu = fake_of_cpu,
	.move = fake_move,
	.release = fake_release,
};

static void
invent(int guest_node, int poller_node)
{
	memset(&machine, 0, sizeof(machine));
	machine.guest_node = guest_node;
	machine.poller_node = poller_node;
	machine.cpu_asked = -1;
	vhc_machine = &fake;
	log_forget();
}

static void
open_rig(int guest_node, int poller_node)
{
	invent(guest_node, poller_node);
	net_rig_open(&rig, &modern);
}

static void
close_rig(void)
{
	unsigned int nr = rig.dev->nr_rings;

	net_rig_close(&rig);
	CHECK_EQ(machine.nr_released, machine.is_single ? 0 : nr);
	vhc_machine = &vhc_machine_real;
}

static void
move_packets(void)
{
	struct rte_mbuf *m = rig_mbuf(&rig, 2, 100, 0);

	rig_send(&rig, 1, 100);
	rig_offer(&rig, 1, 256);
	driver_publish(&rig.tx);
	driver_publish(&rig.rx);
	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	rig_take_frame(m, 1, 100);
	rig_receive_frame(&rig, 2, 100, 1);
}

/* ---- where queues are ----------------------------------------------------------------------- */

static void
check_move(const struct vhc_queue *q)
{
	const struct move *move = machine.moves;

	if (move->start != (const uint8_t *)q)
		move++;
	CHECK(move->start == (const uint8_t *)q);
	CHECK_EQ((uintptr_t)move->start % PAGE, 0);
	CHECK_EQ(move->len % PAGE, 0);
	CHECK(move->len >= sizeof(struct net_queue));
	CHECK(move->len < sizeof(struct net_queue) + PAGE);
	CHECK_EQ(move->node, 1);
}

/* Whole pages that are the queue's own, once; it goes on where it is, and so does its user. */
static void
test_queues_move_to_the_guests_node(void)
{
	struct vhc_queue *pull, *push;

	open_rig(1, 1);
	pull = rig.pull, push = rig.push;
	CHECK_EQ(machine.nr_moves, 2);
	check_move(push);
	check_move(pull);
	move_packets();
	net_rig_restart(&rig);
	CHECK_EQ(machine.nr_moves, 2);
	CHECK(pull == rig.pull && push == rig.push);
	move_packets();
	CHECK_EQ(rig_stats(rig.pull).packets, 2);
	close_rig();
}

/* The next guest may be elsewhere. */
static void
test_queues_move_again(void)
{
	open_rig(1, 1);
	machine.guest_node = 0;
	net_rig_restart(&rig);
	CHECK_EQ(machine.nr_moves, 4);
	CHECK_EQ(machine.moves[2].node, 0);
	CHECK_EQ(machine.moves[3].node, 0);
	close_rig();
}

static void
test_queues_stay_where_the_guest_is_already(void)
{
	open_rig(0, 0);
	CHECK_EQ(machine.nr_moves, 0);
	move_packets();
	close_rig();
}

/* Nobody knows where it is, or the kernel cannot: the guest runs all the same. */
static void
test_what_cannot_be_is_not_needed(void)
{
	open_rig(-1, 1);
	CHECK_EQ(machine.nr_moves, 0);
	move_packets();
	CHECK(!vhc_near_judge_pollers(rig.dev));
	CHECK_EQ(log_count("NUMA"), 0);
	close_rig();

	open_rig(0, 0);
	machine.guest_node = 1;
	machine.move_fails = ENOMEM;
	net_rig_restart(&rig);
	CHECK_EQ(log_count("its state stays where it is"), 2);
	move_packets();
	close_rig();
}

/* ---- who polls ------------------------------------------------------------------------------ */

static void
test_a_far_poller_is_told_once(void)
{
	char words[96];

	open_rig(1, 0);
	CHECK(vhc_near_judge_pollers(rig.dev));	/* nobody has polled yet */
	CHECK_EQ(log_count("NUMA"), 0);
	move_packets();
	CHECK(!vhc_near_judge_pollers(rig.dev));
	CHECK_EQ(machine.cpu_asked, sched_getcpu());
	snprintf(words, sizeof(words), "ring 0 is polled on CPU %d of NUMA node 0, but the guest's "
		 "memory is on node 1", sched_getcpu());
	CHECK_EQ(log_count(words), 1);
	net_rig_restart(&rig);
	move_packets();
	CHECK(!vhc_near_judge_pollers(rig.dev));
	CHECK_EQ(log_count("is polled on"), 1);
	close_rig();
}

static void
test_a_near_poller_is_left_alone(void)
{
	open_rig(1, 1);
	move_packets();
	CHECK(!vhc_near_judge_pollers(rig.dev));
	CHECK(machine.cpu_asked >= 0);
	CHECK_EQ(log_count("is polled on"), 0);
	close_rig();
}

/* One burst notes where it runs; those that follow are the plain ones. */
static void
test_the_poller_is_asked_once_a_start(void)
{
	vhc_burst_t noting, plain;

	open_rig(1, 1);
	noting = rig.pull->burst;
	CHECK(rig.push->burst == noting);
	move_packets();
	plain = rig.pull->burst;
	CHECK(plain != noting && rig.push->burst != noting);
	move_packets();
	CHECK(rig.pull->burst == plain);
	vhc_net_vlan_strip(rig.pull, true);
	CHECK(rig.pull->burst != noting);
	vhc_net_vlan_strip(rig.pull, false);
	CHECK(rig.pull->burst == plain);
	net_rig_restart(&rig);
	CHECK(rig.pull->burst == noting);
	move_packets();
	CHECK(rig.pull->burst == plain);
	close_rig();
}

/* An announcement is around the plain burst, and is not lost by being noted. */
static void
test_noting_and_announcing(void)
{
	static const uint8_t mac[] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
	struct rte_mbuf *m;

	open_rig(1, 1);
	vhc_net_class()->announce(rig.dev, mac);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	CHECK_EQ(m->pkt_len, 60);
	rte_pktmbuf_free(m);
	CHECK(rig.pull->poll_cpu >= 0);
	move_packets();
	close_rig();
}

static void
serve(struct frontend *front, const char *path)
{
	struct vhc_server *server;

	CHECK_EQ(vhc_server_create(&(struct vhc_server_opts){
		.name = "port", .path = path, .nr_rings = 2, .cls = vhc_net_class(),
	}, &server), 0);
	rig.dev = vhc_server_device(server);
	CHECK_EQ(vhc_server_start(server), 0);
	for (unsigned int guest = 1; guest <= 2; guest++) {
		frontend_connect(front, path);
		vhc_net_push(vhc_device_queue(rig.dev, 0), NULL, 0);
		for (int tries = 0; tries < 3000 && log_count("is polled on") < guest; tries++)
			usleep(10000);
		CHECK_EQ(log_count("port: ring 0 is polled on"), guest);
		frontend_disconnect(front);
	}
	vhc_server_destroy(server);
}

/* Nobody asks: it is looked at a while after the guest has started; and again for the next. */
static void
test_the_warning_comes_by_itself(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct frontend front;
	uint8_t *memory;

	CHECK_EQ(ftruncate(fd, MEMORY_LEN), 0);
	memory = mmap(NULL, MEMORY_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(memory != MAP_FAILED);
	frontend_init(&front, &(struct frontend_conf){
		.features = RIG_MODERN, .ring_size = 256, .memory_fd = fd, .memory = memory,
		.memory_len = MEMORY_LEN,
	});
	invent(1, 0);
	peer_make_folder();
	serve(&front, peer_path("near").text);
	peer_remove_folder();
	vhc_machine = &vhc_machine_real;
	frontend_fini(&front);
	munmap(memory, MEMORY_LEN);
	close(fd);
}

/* ---- one node ------------------------------------------------------------------------------- */

static void
test_one_node_costs_nothing(void)
{
	vhc_burst_t burst;

	invent(1, 1);
	machine.is_single = true;
	net_rig_open(&rig, &modern);
	burst = rig.pull->burst;
	move_packets();
	CHECK(rig.pull->burst == burst);
	CHECK(!vhc_near_judge_pollers(rig.dev));
	CHECK_EQ(machine.nr_moves, 0);
	CHECK_EQ(machine.cpu_asked, -1);
	close_rig();
}

static const struct test tests[] = {
	TEST(test_queues_move_to_the_guests_node),
	TEST(test_queues_move_again),
	TEST(test_queues_stay_where_the_guest_is_already),
	TEST(test_what_cannot_be_is_not_needed),
	TEST(test_a_far_poller_is_told_once),
	TEST(test_a_near_poller_is_left_alone),
	TEST(test_the_poller_is_asked_once_a_start),
	TEST(test_noting_and_announcing),
	TEST(test_the_warning_comes_by_itself),
	TEST(test_one_node_costs_nothing),
};

int
main(int argc, char **argv)
{
	(void)argc;
	vhc_log_set_sink(keep_line, NULL);
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
