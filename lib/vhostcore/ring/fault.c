/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fault.c - names, sentences and counters of guest faults.
 *
 * Knows:   fault.h's list.
 * Trusts:  nothing to trust.
 * Runs on: polling lcore for counting, any thread for the names.
 */
#include "ring.h"

#include "../base/fd.h"
#include "../base/order.h"
#include "../vhostcore.h"

static const char *const names[RING_NR_FAULTS] = {
#define X(NAME, name, sentence) [RING_FAULT_##NAME] = #name,
	RING_FAULTS(X)
#undef X
};

static const char *const sentences[RING_NR_FAULTS] = {
#define X(NAME, name, sentence) [RING_FAULT_##NAME] = sentence,
	RING_FAULTS(X)
#undef X
};

VHC_API unsigned int
vhc_nr_faults(void)
{
	return RING_NR_FAULTS;
}

VHC_API const char *
vhc_fault_name(unsigned int fault)
{
	return fault < RING_NR_FAULTS ? names[fault] : NULL;
}

VHC_API const char *
vhc_fault_text(unsigned int fault)
{
	return fault < RING_NR_FAULTS ? sentences[fault] : NULL;
}

VHC_API void
vhc_ring_fault(struct ring *r, enum ring_fault fault)
{
	st_relaxed(&r->faults->count[fault], r->faults->count[fault] + 1);
	st_relaxed(&r->faults->last, fault);
}

VHC_API void
vhc_ring_break(struct ring *r, enum ring_fault fault)
{
	vhc_ring_fault(r, fault);
	st_relaxed(&r->broken, true);
	/* The front-end may watch the error descriptor; virtio 1.2 2.1.2 calls this NEEDS_RESET. */
	if (r->err_fd >= 0)
		fd_signal(r->err_fd);
}
