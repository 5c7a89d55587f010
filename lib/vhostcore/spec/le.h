/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * le.h - little-endian integers as the specifications lay them out.
 *
 * Knows:   byte order.
 * Trusts:  nothing: a leNN is bytes, not yet a number.
 * Runs on: everywhere.
 *
 * They are one-member structs so that arithmetic on them does not compile.
 */
#ifndef VHC_SPEC_LE_H
#define VHC_SPEC_LE_H

#include <endian.h>
#include <stdint.h>

typedef struct { uint16_t raw; } le16;
typedef struct { uint32_t raw; } le32;
typedef struct { uint64_t raw; } le64;

static inline uint16_t le16_get(le16 x) { return le16toh(x.raw); }
static inline uint32_t le32_get(le32 x) { return le32toh(x.raw); }
static inline uint64_t le64_get(le64 x) { return le64toh(x.raw); }

static inline le16 le16_put(uint16_t v) { return (le16){ htole16(v) }; }
static inline le32 le32_put(uint32_t v) { return (le32){ htole32(v) }; }
static inline le64 le64_put(uint64_t v) { return (le64){ htole64(v) }; }

#endif
