/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * copy.h - copies of packet size, never reading or writing past the length.
 *
 * Knows:   that most packets are small: up to 256 bytes without a call or a loop over bytes; and
 *          that none has fewer than 8, since a frame has an Ethernet header.
 * Trusts:  both sides to be proven for `len` bytes.
 * Runs on: polling lcore.
 */
#ifndef VHC_NET_COPY_H
#define VHC_NET_COPY_H

#include <stdint.h>
#include <string.h>

#include "../base/compiler.h"

/* One block of constant size; the compiler turns it into vector moves. */
#define COPY_BLOCK(dst, src, n) __builtin_memcpy((dst), (src), (n))

/* [half, 2 * half): two blocks that overlap in the middle. */
#define COPY_TWO(dst, src, len, half) do { \
	COPY_BLOCK((dst), (src), (half)); \
	COPY_BLOCK((dst) + (len) - (half), (src) + (len) - (half), (half)); \
} while (0)

static VHC_HOT void
copy_bytes(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	if (vhc_unlikely(len > 256)) {
		memcpy(dst, src, len);
	} else if (len >= 64) {
		uint32_t at = 0;

		for (; at + 64 <= len; at += 64)
			COPY_BLOCK(dst + at, src + at, 64);
		if (len - at > 16)
			COPY_BLOCK(dst + len - 64, src + len - 64, 64);
		else if (len > at)
			COPY_BLOCK(dst + len - 16, src + len - 16, 16);
	} else if (len >= 32) {
		COPY_TWO(dst, src, len, 32);
	} else if (len >= 16) {
		COPY_TWO(dst, src, len, 16);
	} else {
		COPY_TWO(dst, src, len, 8);
	}
}

#endif
