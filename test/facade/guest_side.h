/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest_side.h - the front-end of tests that are written against rte_vhost.h, whose headers and the
 * library's own must not meet in one file.
 *
 * Knows:   test/model.
 * Trusts:  nothing to trust: what goes wrong ends the test.
 * Runs on: the test's thread.
 */
#ifndef TEST_FACADE_GUEST_SIDE_H
#define TEST_FACADE_GUEST_SIDE_H

#include <stdbool.h>
#include <stdint.h>

#define SIDE_RING_SIZE 64
#define SIDE_MEMORY_LEN UINT64_C(0x800000)
#define SIDE_HDR_LEN 12

/* Rings by number, as the back-end has them. */
enum { SIDE_RX = 0, SIDE_TX = 1 };

struct side;

struct side *side_create(uint64_t features, uint64_t protocol_features);
void side_destroy(struct side *s);

/* Before it connects: requests in flight are noted, in one file for all connections. */
void side_track(struct side *s);

/* Up to enabled rings; all of it was handled on return. */
void side_connect(struct side *s, const char *path);
void side_disconnect(struct side *s);

/* A connection that says nothing. */
int side_only_connect(const char *path);
bool side_is_closed(int sock, int ms);

/* One packet of the guest. Or `n` buffers for packets to it, with room for `len` bytes each. */
void side_send(struct side *s, const void *frame, uint32_t len);
void side_post(struct side *s, unsigned int n, uint32_t len);

/* The next packet to the guest; its length without the header, 0: none. */
uint32_t side_receive(struct side *s, void *frame, uint32_t len);

/* Used buffers that came back of what was sent. */
unsigned int side_reap(struct side *s);

/* Interrupts: give the ring a new descriptor and want calls on it; how often it was signalled. */
void side_want_calls(struct side *s, unsigned int ring);
uint64_t side_nr_calls(struct side *s, unsigned int ring);

bool side_kicks_refused(struct side *s, unsigned int ring);

/* A message; `reply` not NULL: with a reply of 64 bits, else an acknowledgement, checked. */
void side_say(struct side *s, uint32_t request, const void *payload, uint32_t size,
	      uint64_t *reply);
uint64_t side_ack(struct side *s, uint32_t request, const void *payload, uint32_t size);

/* A question whose answer is as long, and takes its place. */
void side_ask(struct side *s, uint32_t request, void *payload, uint32_t size);

/* A message that brings a descriptor; `reply_len` bytes of answer are read and dropped. */
void side_say_fd(struct side *s, uint32_t request, const void *payload, uint32_t size, int fd,
		 uint32_t reply_len);

/* The channel for requests of the back-end's: our end of it. */
int side_open_channel(struct side *s);

/* The next request there, within 5 s; 0: none. It is answered with `result` if it wants that. */
uint32_t side_serve_channel(int channel, uint64_t result);

/* GET_VRING_BASE: stops the ring, and says where it is. */
uint32_t side_stop_ring(struct side *s, uint32_t ring);

/* Guest address and our own of a byte of the memory. */
uint64_t side_guest_address(struct side *s, uint64_t offset);
uint8_t *side_memory(struct side *s);

#endif
