/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * compiler.h - the few compiler words the library uses, under one spelling.
 *
 * Knows:   gcc and clang attributes.
 * Trusts:  nothing to trust.
 * Runs on: everywhere.
 */
#ifndef VHC_BASE_COMPILER_H
#define VHC_BASE_COMPILER_H

#include <assert.h>
#include <stddef.h>

#define VHC_API		__attribute__((visibility("default")))
#define VHC_HOT		inline __attribute__((always_inline))
#define VHC_COLD	__attribute__((cold, noinline))
#define VHC_NOINLINE	__attribute__((noinline))
#define VHC_MUST_USE	__attribute__((warn_unused_result))
#define VHC_PRINTF(f, a) __attribute__((format(printf, f, a)))

#define VHC_CACHE_LINE	64
#define VHC_ALIGNED	__attribute__((aligned(VHC_CACHE_LINE)))

#define vhc_likely(x)	__builtin_expect(!!(x), 1)
#define vhc_unlikely(x)	__builtin_expect(!!(x), 0)

#define VHC_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* For what we ourselves establish; never for a value that came from a ring or a socket. */
#define vhc_assert(cond) assert(cond)

#define vhc_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
