/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * talk.h - a front-end's messages, one at a time.
 *
 * Knows:   headers, replies, confirmations.
 * Trusts:  not that the other side answers, nor what.
 * Runs on: the main thread.
 *
 * What returns int gives 0, or -1 after a sentence on stderr.
 */
#ifndef VHOSTX_BLK_BENCH_TALK_H
#define VHOSTX_BLK_BENCH_TALK_H

#include "blk_bench.h"
#include "spec/vhost_user.h"

/* A request, and its name for the sentence. */
struct request_name {
	uint32_t id;
	const char *text;
};

#define REQUEST(name) ((struct request_name){ VHOST_USER_##name, #name })

int talk_connect(struct backend *b);

/* Say it, with a descriptor if `fd` is not -1; wait for the confirmation if there is one. */
int talk_tell(const struct backend *b, struct request_name request, const void *payload,
	      uint32_t size, int fd);
int talk_tell_u64(const struct backend *b, struct request_name request, uint64_t value);

/* Say it, and take an answer of just as many bytes into `answer`. */
int talk_ask(const struct backend *b, struct request_name request, const void *payload,
	     uint32_t size, void *answer, uint32_t answer_size);
int talk_ask_u64(const struct backend *b, struct request_name request, uint64_t *value);

#endif
