/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * schema.h - what each request must look like, as one table.
 *
 * Knows:   name, payload size, descriptors, kind of reply and feature gate of every request.
 * Trusts:  nothing of a message; frame.h's promise that `size` bytes of payload arrived.
 * Runs on: control thread; the table is constant.
 *
 * vhc_frame_check() is the only judge of sizes and descriptor counts: a handler that is called may
 * read the payload its request has, and take the descriptors its request has.
 */
#ifndef VHC_WIRE_SCHEMA_H
#define VHC_WIRE_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

enum schema_size {
	SIZE_EXACT,		/* `bytes` bytes, which may be 0 */
	SIZE_MEM_TABLE,		/* 8 + 32 a region, room for as many as the table itself says */
	SIZE_CONFIG,		/* 12 + as many bytes as it says, which must lie in the first 256 */
};

enum schema_fds {
	FDS_NONE,
	FDS_ONE,
	FDS_ONE_UNLESS_NOFD,	/* one, or none when the payload's NOFD bit is set */
	FDS_ONE_PER_REGION,
	FDS_AT_MOST_ONE,	/* tolerated, and closed unused */
};

enum schema_reply {
	REPLY_ACK,		/* a u64, and only if the front-end set NEED_REPLY */
	REPLY_BODY,		/* always, with a payload of its own */
};

#define SCHEMA_NO_GATE (-1)

struct schema_entry {
	const char *name;		/* as in the specification, without VHOST_USER_ */
	enum schema_size size;
	uint32_t bytes;
	enum schema_fds fds;
	enum schema_reply reply;
	int gate;			/* protocol feature bit to agree on, or SCHEMA_NO_GATE */
	bool needs_protocol_features;	/* legal only if we offered F_PROTOCOL_FEATURES */
};

/*
 * Not a request: in postcopy, front-ends acknowledge our answer to the last request about memory by
 * its number - or 0 - with a u64. Only who knows that one is due can tell it from a wrong request.
 */
extern const struct schema_entry vhc_memory_ack;
bool vhc_schema_is_memory_ack(const struct msg *msg);

/* The entry of a request, or NULL if we do not know it. */
const struct schema_entry *vhc_schema_find(uint32_t request);

/* Name for log lines; "unknown request" for what is not in the table. */
const char *vhc_schema_name(uint32_t request);

/*
 * Judge a message. 0 and its entry; -EOPNOTSUPP unknown request; -EPROTO wrong size or descriptors,
 * with a sentence in `reason` (FRAME_REASON_LEN bytes), which names the request. The entry is set
 * for -EPROTO too.
 */
int vhc_frame_check(const struct msg *msg, const struct schema_entry **entry, char *reason)
	VHC_MUST_USE;

#endif
