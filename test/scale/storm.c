/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * storm.c - front-ends that all come in the same instant, and a port beside them that must not
 * notice.
 */
#define _GNU_SOURCE 1

#include "farm.h"

#include "base/order.h"
#include "unit/peer.h"

#define STACK_LEN (256 * 1024)
#define ANSWER_LEN 20	/* of GET_FEATURES */

struct guest_thread {
	pthread_t thread;
	struct farm_device *device;
	bool is_served;
};

static pthread_barrier_t start_line;
static uint32_t nr_arrived;

static void
start_threads(struct guest_thread *guests, unsigned int nr, void *(*run)(void *arg))
{
	pthread_attr_t attr;

	nr_arrived = 0;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_LEN);
	pthread_barrier_init(&start_line, NULL, nr + 1);
	for (unsigned int i = 0; i < nr; i++)
		CHECK_EQ(pthread_create(&guests[i].thread, &attr, run, &guests[i]), 0);
	pthread_attr_destroy(&attr);
	pthread_barrier_wait(&start_line);
}

static void
join_threads(struct guest_thread *guests, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		CHECK_EQ(pthread_join(guests[i].thread, NULL), 0);
	pthread_barrier_destroy(&start_line);
}

/* ---- the port beside them ------------------------------------------------------------------- */

struct bystander {
	struct farm farm;
	unsigned int nr_moved;
	unsigned int nr_refused;	/* bursts that found nothing where something was */
};

static void
bystander_begin(struct bystander *b, uint64_t features)
{
	*b = (struct bystander){ 0 };
	farm_make(&b->farm, 1, 1, features);
	b->farm.each[0].path = farm_path("bystander");
	farm_serve(&b->farm);
	farm_connect(&b->farm);
}

/* Until all have arrived, and as many more. */
static void
bystander_move(struct bystander *b, unsigned int nr_guests)
{
	while (ld_acquire(&nr_arrived) < nr_guests) {
		if (farm_pull_packet(&b->farm.each[0]))
			b->nr_moved++;
		else
			b->nr_refused++;
	}
}

/* ---- a socket each -------------------------------------------------------------------------- */

static void *
come(void *arg)
{
	struct guest_thread *guest = arg;

	pthread_barrier_wait(&start_line);
	frontend_connect(&guest->device->front, guest->device->path.text);
	add_then_fence(&nr_arrived, 1);
	return NULL;
}

/* FRONT-ENDS, CONTROL THREADS */
void
scale_storm(const unsigned int *words)
{
	const uint64_t features = BIT64(VIRTIO_F_VERSION_1_BIT);
	unsigned int nr = words[0];
	struct guest_thread *guests = calloc(nr, sizeof(*guests));
	struct bystander b;
	struct farm farm;
	double start, seconds;

	CHECK(guests);
	farm_begin(nr + 1);
	bystander_begin(&b, features);
	farm_make(&farm, nr, words[1], features);
	farm_serve(&farm);
	for (unsigned int i = 0; i < nr; i++)
		guests[i].device = &farm.each[i];
	start_threads(guests, nr, come);
	start = peer_now();
	bystander_move(&b, nr);
	seconds = peer_now() - start;
	join_threads(guests, nr);
	farm_check_running(&farm);
	for (unsigned int i = 0; i < nr; i++)
		farm_move_packet(&farm.each[i]);
	printf("{\"seconds\": %.3f, \"bystander_moved\": %u, \"bystander_refused\": %u}\n",
	       seconds, b.nr_moved, b.nr_refused);
	farm_drop(&farm);
	farm_drop(&b.farm);
	free(guests);
	farm_end();
}

/* ---- one socket ----------------------------------------------------------------------------- */

/* Who is served gets an answer, and stays until all others have had theirs. */
static void *
come_to_the_one(void *arg)
{
	const struct vhost_user_header ask = { VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0 };
	struct guest_thread *guest = arg;
	char answer[ANSWER_LEN];
	int sock;

	pthread_barrier_wait(&start_line);
	sock = peer_connect(guest->device->path.text);
	(void)!send(sock, &ask, sizeof(ask), MSG_NOSIGNAL);
	guest->is_served = recv(sock, answer, sizeof(answer), MSG_WAITALL) == ANSWER_LEN;
	add_then_fence(&nr_arrived, 1);
	pthread_barrier_wait(&start_line);
	close(sock);
	return NULL;
}

/* FRONT-ENDS, all of them to one socket */
void
scale_crowd(const unsigned int *words)
{
	const uint64_t features = BIT64(VIRTIO_F_VERSION_1_BIT);
	unsigned int nr = words[0], nr_served = 0;
	struct guest_thread *guests = calloc(nr, sizeof(*guests));
	struct bystander b;
	struct farm farm;
	double start, seconds;

	CHECK(guests);
	farm_begin(nr + 2);
	bystander_begin(&b, features);
	farm_make(&farm, 1, 1, features);
	farm_serve(&farm);
	for (unsigned int i = 0; i < nr; i++)
		guests[i].device = &farm.each[0];
	farm_log_forget();
	start_threads(guests, nr, come_to_the_one);
	start = peer_now();
	bystander_move(&b, nr);
	seconds = peer_now() - start;
	pthread_barrier_wait(&start_line);
	join_threads(guests, nr);
	for (unsigned int i = 0; i < nr; i++)
		nr_served += guests[i].is_served;
	/* The socket is free again for who comes next. */
	frontend_connect(&farm.each[0].front, farm.each[0].path.text);
	farm_move_packet(&farm.each[0]);
	printf("{\"seconds\": %.3f, \"served\": %u, \"lines\": %u, \"named\": %u,"
	       " \"bystander_refused\": %u}\n", seconds, nr_served, farm_log_count("turned away"),
	       farm_log_count("(scale) connected to"), b.nr_refused);
	farm_drop(&farm);
	farm_drop(&b.farm);
	free(guests);
	farm_end();
}
