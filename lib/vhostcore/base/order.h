/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * order.h - the only names for atomic accesses and fences.
 *
 * Knows:   the C11 memory model as the compiler builtins spell it.
 * Trusts:  nothing to trust.
 * Runs on: everywhere.
 *
 * doc/architecture.md lists the lettered pairs ("acquire [A]") that comments refer to.
 */
#ifndef VHC_BASE_ORDER_H
#define VHC_BASE_ORDER_H

#include "compiler.h"

/* A load or store that is one access, in no particular order. */
#define ld_relaxed(p)		__atomic_load_n((p), __ATOMIC_RELAXED)
#define st_relaxed(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELAXED)

/* Later accesses stay after the load; earlier accesses stay before the store. */
#define ld_acquire(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define st_release(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELEASE)

#define fence_full()		__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define fence_compiler()	__atomic_signal_fence(__ATOMIC_SEQ_CST)

/*
 * Store, then order every later load behind it. On x86 one xchg does both and is cheaper than a
 * store followed by a fence; elsewhere the two halves are spelled out.
 */
#if defined(__x86_64__)
#define st_then_fence(p, v)	((void)__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST))
#else
#define st_then_fence(p, v)	do { st_release((p), (v)); fence_full(); } while (0)
#endif

/* For many writers, off the polling path. The sum is ordered before every later access. */
#define add_then_fence(p, n) \
	do { __atomic_fetch_add((p), (n), __ATOMIC_RELAXED); fence_full(); } while (0)
#define exchange(p, v)		__atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define or_release(p, bits)	((void)__atomic_fetch_or((p), (bits), __ATOMIC_RELEASE))
#define sub_release(p, n)	((void)__atomic_fetch_sub((p), (n), __ATOMIC_RELEASE))

#if defined(__x86_64__)
#define cpu_relax()		__builtin_ia32_pause()
#else
#define cpu_relax()		fence_compiler()
#endif

#define prefetch_read(p)	__builtin_prefetch((p), 0, 3)
#define prefetch_write(p)	__builtin_prefetch((p), 1, 3)

#endif
