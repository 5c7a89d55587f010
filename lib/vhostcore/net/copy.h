/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * copy.h - copies of packet size, never reading or writing past the length.
 *
 * Knows:   that most packets are small: up to 256 bytes without a call or a loop; the compiler
 *          turns a block of constant size into the widest moves this kernel may use (kernel.h).
 *          Above that the C library knows the CPU's best way; nothing of ours was faster.
 * Trusts:  both sides to be proven for `len` bytes, and not to overlap.
 * Runs on: polling lcore.
 */
#ifndef VHC_NET_COPY_H
#define VHC_NET_COPY_H

#include <stdint.h>
#include <string.h>

#include "../base/compiler.h"

#define COPY_BLOCK(dst, src, n) __builtin_memcpy((dst), (src), (n))

/* [half, 2 * half): two blocks that overlap in the middle. */
#define COPY_TWO(dst, src, len, half) do { \
	COPY_BLOCK((dst), (src), (half)); \
	COPY_BLOCK((dst) + (len) - (half), (src) + (len) - (half), (half)); \
} while (0)

/* Fewer than 8, which no frame has. */
static inline void
copy_few(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	for (uint32_t at = 0; at < len; at++)
		dst[at] = src[at];
}

static VHC_HOT void
copy_bytes(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	if (len <= 64) {
		if (len > 32)
			COPY_TWO(dst, src, len, 32);
		else if (len >= 16)
			COPY_TWO(dst, src, len, 16);
		else if (len >= 8)
			COPY_TWO(dst, src, len, 8);
		else
			copy_few(dst, src, len);
	} else if (len <= 128) {
		COPY_TWO(dst, src, len, 64);
	} else if (vhc_unlikely(len > 256)) {
		memcpy(dst, src, len);
	} else {
		COPY_BLOCK(dst, src, 64);
		COPY_BLOCK(dst + 64, src + 64, 64);
		COPY_TWO(dst + len - 128, src + len - 128, 128, 64);
	}
}

#endif
