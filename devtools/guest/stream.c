/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stream serve PORT SEED
 *     accept one TCP connection, compare what arrives with the seed's stream
 * stream send PEER PORT SEED BYTES SECONDS
 *     send the seed's stream until BYTES (0: no limit) or SECONDS are over, or SIGUSR1 comes
 *
 * The guest's TCP test. The stream is pseudo-random without a period, so a lost, swapped or
 * repeated piece shows. Both print what they saw as key=value words: bytes, sum (64-bit FNV-1a),
 * and the server whether the bytes are intact. One program instead of a pipeline of nc and md5sum,
 * because a guest under TCG spends its time in system calls.
 *
 * Knows:   TCP.
 * Trusts:  its arguments; not what arrives.
 * Runs on: the guest of guest-image.sh, linked statically.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "mix.h"

#define CHUNK 65536
#define CONNECT_TRIES 50

struct stream {
	uint64_t state;
	uint64_t sum;
	uint64_t nr_bytes;
};

static uint64_t made[CHUNK / sizeof(uint64_t)];
static unsigned char got[CHUNK];
static volatile sig_atomic_t is_over;

static void
end(int number)
{
	(void)number;
	is_over = 1;
}

static void
make_chunk(struct stream *s)
{
	for (size_t i = 0; i < CHUNK / sizeof(uint64_t); i++)
		made[i] = next_word(&s->state);
}

static void
count(struct stream *s, const unsigned char *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		s->sum = (s->sum ^ from[i]) * 0x100000001b3u;
	s->nr_bytes += len;
}

static int
send_all(int sock, const unsigned char *from, size_t len)
{
	while (len > 0) {
		ssize_t done = send(sock, from, len, MSG_NOSIGNAL);

		if (done <= 0)
			return -1;
		from += done;
		len -= (size_t)done;
	}
	return 0;
}

static int
connect_to(const char *peer, unsigned int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, peer, &to.sin_addr) != 1)
		return -1;
	for (int i = 0; i < CONNECT_TRIES; i++) {
		int sock = socket(AF_INET, SOCK_STREAM, 0);

		if (sock >= 0 && connect(sock, (struct sockaddr *)&to, sizeof(to)) == 0)
			return sock;
		close(sock);
		usleep(200000);
	}
	return -1;
}

static int
accept_one(unsigned int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int door = socket(AF_INET, SOCK_STREAM, 0);

	if (door < 0 || bind(door, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(door, 1) < 0)
		return -1;
	return accept(door, NULL, NULL);
}

/* The receiver closes when it has seen the end: only then has everything arrived. */
static int
run_send(struct stream *s, int sock, uint64_t bytes, time_t seconds)
{
	time_t until = time(NULL) + seconds;

	signal(SIGUSR1, end);
	while (s->nr_bytes < bytes && time(NULL) < until && !is_over) {
		uint64_t left = bytes - s->nr_bytes;
		size_t len = left < CHUNK ? (size_t)left : CHUNK;

		make_chunk(s);
		if (send_all(sock, (unsigned char *)made, len) < 0)
			return -1;
		count(s, (unsigned char *)made, len);
	}
	if (shutdown(sock, SHUT_WR) < 0)
		return -1;
	return recv(sock, got, 1, 0) == 0 ? 0 : -1;
}

static int
run_serve(struct stream *s, int sock)
{
	int intact = 1;
	size_t at = CHUNK;
	ssize_t len;

	while ((len = recv(sock, got, sizeof(got), 0)) > 0) {
		count(s, got, (size_t)len);
		for (size_t done = 0, part; done < (size_t)len; done += part, at += part) {
			if (at == CHUNK) {
				make_chunk(s);
				at = 0;
			}
			part = (size_t)len - done < CHUNK - at ? (size_t)len - done : CHUNK - at;
			if (memcmp(got + done, (unsigned char *)made + at, part) != 0)
				intact = 0;
		}
	}
	return len == 0 && intact ? 0 : -1;
}

int
main(int argc, char **argv)
{
	struct stream s = { .sum = 0xcbf29ce484222325u };
	int sock, result;

	if (argc == 4 && strcmp(argv[1], "serve") == 0) {
		s.state = strtoull(argv[3], NULL, 0);
		sock = accept_one((unsigned int)atoi(argv[2]));
		result = run_serve(&s, sock);
	} else if (argc == 7 && strcmp(argv[1], "send") == 0) {
		uint64_t bytes = strtoull(argv[5], NULL, 0);

		s.state = strtoull(argv[4], NULL, 0);
		sock = connect_to(argv[2], (unsigned int)atoi(argv[3]));
		result = run_send(&s, sock, bytes > 0 ? bytes : UINT64_MAX, atoi(argv[6]));
	} else {
		fputs("usage: stream serve PORT SEED | stream send PEER PORT SEED BYTES SECONDS\n",
		      stderr);
		return 2;
	}
	printf("bytes=%llu sum=%016llx intact=%s\n", (unsigned long long)s.nr_bytes,
	       (unsigned long long)s.sum, result == 0 ? "yes" : "no");
	return result == 0 ? 0 : 1;
}
