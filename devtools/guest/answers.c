/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * answers PEER SECONDS INTERVAL_US
 *     until a datagram comes to port 5002, or for so long: send an echo request every so often,
 *     leave the answers where the device put them, for a second and a half each time, then compare
 *     them; meanwhile stamp and compare memory of our own
 *
 * The guest's test of its memory while it is moved from one machine to another. What arrives lies
 * in pages that only the device wrote, since nothing reads it before the kernel hands it out: where
 * such a page was not marked in the dirty log, its old contents are found after the move. Prints
 * GUEST-RESULT answers with what was sent and received, how many answers were wrong, how many were
 * lost, at most how many in a row, and how many of our own pages were wrong.
 *
 * Knows:   ICMP echo on a raw socket.
 * Trusts:  its arguments; not what arrives.
 * Runs on: the guest of guest-image.sh, linked statically.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "mix.h"

#define NR_WORDS	175	/* 1400 bytes: too long to be copied when it arrives */
#define NR_MAX		(1u << 20)
#define BUFFER_BYTES	(64 << 20)
#define HOLD_US		1500000
#define NR_PAGES	1024
#define PAGE_WORDS	512
#define OUR_ID		0x5648
#define END_PORT	5002

struct echo {
	struct icmphdr head;
	uint64_t words[NR_WORDS];	/* the first is the number, the others follow from it */
};

static unsigned char arrived[NR_MAX];
static uint64_t area[NR_PAGES][PAGE_WORDS];
static uint32_t area_round[NR_PAGES];
static uint32_t nr_sent, nr_received, nr_wrong, nr_area_wrong;

static uint16_t
checksum(const void *from, size_t len)
{
	const uint16_t *words = from;
	uint32_t sum = 0;

	for (size_t i = 0; i < len / 2; i++)
		sum += words[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void
ask(int sock, const struct sockaddr_in *peer)
{
	static struct echo echo;

	if (nr_sent == NR_MAX)
		return;
	memset(&echo.head, 0, sizeof(echo.head));
	echo.head.type = ICMP_ECHO;
	echo.head.un.echo.id = htons(OUR_ID);
	echo.head.un.echo.sequence = htons((uint16_t)nr_sent);
	echo.words[0] = nr_sent;
	for (uint64_t i = 1; i < NR_WORDS; i++)
		echo.words[i] = mix(nr_sent, i);
	echo.head.checksum = checksum(&echo, sizeof(echo));
	if (sendto(sock, &echo, sizeof(echo), 0, (const void *)peer, sizeof(*peer)) ==
	    (ssize_t)sizeof(echo))
		nr_sent++;
}

/* One of these comes once. What is in a page whose mark was forgotten came before, or is zeros. */
static bool
is_awaited(const struct echo *echo)
{
	uint64_t number = echo->words[0];

	if (echo->head.type != ICMP_ECHOREPLY || echo->head.un.echo.id != htons(OUR_ID) ||
	    number >= nr_sent || arrived[number])
		return false;
	for (uint64_t i = 1; i < NR_WORDS; i++)
		if (echo->words[i] != mix(number, i))
			return false;
	return true;
}

/* By its length it is an answer to us. */
static void
judge(const struct echo *echo)
{
	if (!is_awaited(echo)) {
		nr_wrong++;
		return;
	}
	arrived[echo->words[0]] = 1;
	nr_received++;
}

static void
take_all(int sock)
{
	static unsigned char packet[65536];
	ssize_t len;

	while ((len = recv(sock, packet, sizeof(packet), MSG_DONTWAIT)) > 0) {
		size_t head = 4 * ((const struct iphdr *)packet)->ihl;
		struct echo echo;

		if ((size_t)len != head + sizeof(echo))
			continue;
		memcpy(&echo, packet + head, sizeof(echo));
		judge(&echo);
	}
}

/* One page of our own: is it as we left it? Then stamp it anew. */
static void
visit(uint32_t turn)
{
	uint32_t page = turn % NR_PAGES, round = area_round[page];

	for (uint64_t i = 0; round && i < PAGE_WORDS; i++) {
		if (area[page][i] != mix(page + ((uint64_t)round << 32), i)) {
			nr_area_wrong++;
			break;
		}
	}
	area_round[page] = ++round;
	for (uint64_t i = 0; i < PAGE_WORDS; i++)
		area[page][i] = mix(page + ((uint64_t)round << 32), i);
}

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
sleep_us(uint64_t us)
{
	struct timespec t = {
		.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000,
	};

	nanosleep(&t, NULL);
}

static void
report(void)
{
	uint32_t row = 0, longest = 0;

	for (uint32_t i = 0; i < nr_sent; i++) {
		row = arrived[i] ? 0 : row + 1;
		longest = row > longest ? row : longest;
	}
	printf("GUEST-RESULT answers sent=%u received=%u wrong=%u lost=%u in_a_row=%u "
	       "area_wrong=%u\n",
	       nr_sent, nr_received, nr_wrong, nr_sent - nr_received, longest, nr_area_wrong);
}

static int
listen_for_end(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(END_PORT) };
	int sock = socket(AF_INET, SOCK_DGRAM, 0);

	return bind(sock, (const void *)&at, sizeof(at)) == 0 ? sock : -1;
}

static int
is_told_to_end(int sock)
{
	char word[16];

	return recv(sock, word, sizeof(word), MSG_DONTWAIT) >= 0;
}

static void
run(int sock, const struct sockaddr_in *peer, uint64_t us, uint64_t interval)
{
	uint64_t end = now_us() + us, next_take = now_us() + HOLD_US;
	int end_sock = listen_for_end();

	for (uint32_t turn = 0; now_us() < end && !is_told_to_end(end_sock); turn++) {
		ask(sock, peer);
		visit(turn);
		if (now_us() >= next_take) {
			take_all(sock);
			next_take = now_us() + HOLD_US;
		}
		sleep_us(interval);
	}
	sleep_us(HOLD_US);
	take_all(sock);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in peer = { .sin_family = AF_INET };
	int sock = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), bytes = BUFFER_BYTES;

	if (argc != 4 || inet_pton(AF_INET, argv[1], &peer.sin_addr) != 1 || sock < 0 ||
	    setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0) {
		printf("GUEST-RESULT error answers\n");
		return 1;
	}
	printf("GUEST-RUNNING answers\n");
	fflush(stdout);
	run(sock, &peer, strtoull(argv[2], NULL, 10) * 1000000, strtoull(argv[3], NULL, 10));
	report();
	return 0;
}
