/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uml-xstate.c - let a User-mode Linux of 2022 run on processors with more registers than it knows.
 *
 * Debian 12's user-mode-linux switches its tasks with 832 bytes of vector registers (up to AVX)
 * and hands them to ptrace(2). A host kernel takes all that its processor has or nothing, so with
 * AVX-512, protection keys or AMX the guest dies on its first step: "ptrace set fp regs failed".
 *
 * Preloaded (LD_PRELOAD), this keeps the rest of the registers for it, and adds it again. Which
 * rest belongs to which task is told by the buffer the guest's kernel uses, one a task.
 */
#define _GNU_SOURCE 1	/* RTLD_NEXT */

#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#define STATE_MAX	(16 << 10)	/* a processor with AMX needs 11,008 bytes */
#define TASKS		4096		/* dead ones too; untouched memory costs nothing */
#define BITS_AT		512		/* XSTATE_BV: which parts of the state count */
#define BITS_KNOWN	UINT64_C(7)	/* x87, SSE, AVX: those within the guest's bytes */

typedef long (*ptrace_fn)(int request, int pid, void *addr, void *data);

struct task {
	const void *owner;
	uint8_t state[STATE_MAX];
};

static struct task tasks[TASKS];

static long
real_ptrace(int request, int pid, void *addr, void *data)
{
	static ptrace_fn fn;

	if (!fn)
		*(void **)&fn = dlsym(RTLD_NEXT, "ptrace");	/* as dlsym(3) suggests */
	return fn(request, pid, addr, data);
}

/* The one with this buffer; else a free one, or one that must give way. */
static struct task *
find_task(const void *owner)
{
	size_t first = (uintptr_t)owner / 64 % TASKS;

	for (size_t i = 0; i < TASKS; i++) {
		struct task *task = &tasks[(first + i) % TASKS];

		if (task->owner == owner || !task->owner)
			return task;
	}
	return &tasks[first];
}

static long
get_state(int pid, struct iovec *wanted)
{
	struct task *task = find_task(wanted->iov_base);
	struct iovec whole = { task->state, STATE_MAX };
	long rc = real_ptrace(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &whole);

	if (rc)
		return rc;
	task->owner = wanted->iov_base;
	if (wanted->iov_len > whole.iov_len)
		wanted->iov_len = whole.iov_len;
	memcpy(wanted->iov_base, task->state, wanted->iov_len);
	return 0;
}

/* A task that was never read has no rest: those parts begin as the processor starts them. */
static void
forget_rest(uint8_t *state)
{
	uint64_t bits;

	memcpy(&bits, state + BITS_AT, sizeof(bits));
	bits &= BITS_KNOWN;
	memcpy(state + BITS_AT, &bits, sizeof(bits));
}

static long
set_state(int pid, const struct iovec *given)
{
	static uint8_t state[STATE_MAX];
	const struct task *task = find_task(given->iov_base);
	struct iovec whole = { state, STATE_MAX };
	long rc = real_ptrace(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &whole);

	if (rc || given->iov_len > whole.iov_len)
		return real_ptrace(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, (void *)given);
	if (task->owner == given->iov_base)
		memcpy(state, task->state, whole.iov_len);
	memcpy(state, given->iov_base, given->iov_len);
	if (task->owner != given->iov_base)
		forget_rest(state);
	return real_ptrace(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, &whole);
}

/* The declaration in sys/ptrace.h is variadic, so is this. */
long
ptrace(enum __ptrace_request request, ...)
{
	va_list args;
	int pid;
	void *addr, *regs;

	va_start(args, request);
	pid = va_arg(args, int);
	addr = va_arg(args, void *);
	regs = va_arg(args, void *);
	va_end(args);
	if (addr == (void *)NT_X86_XSTATE && request == PTRACE_GETREGSET)
		return get_state(pid, regs);
	if (addr == (void *)NT_X86_XSTATE && request == PTRACE_SETREGSET)
		return set_state(pid, regs);
	return real_ptrace((int)request, pid, addr, regs);
}
