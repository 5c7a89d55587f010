/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay.h - interrupts for front-ends that want them in a pipe or a socket.
 *
 * Knows:   the loop.
 * Trusts:  nothing of the far end: it may be full, gone, or somebody's who wants us to wait.
 * Runs on: control thread, under the loop's lock.
 *
 * A poller signals eventfds and nothing else: a pipe could stop it, or kill the process. So it gets
 * an eventfd of ours, and the control thread hands on what arrives there.
 */
#ifndef VHC_CTL_RELAY_H
#define VHC_CTL_RELAY_H

#include "loop.h"

struct relay;

/* Can `fd` be relayed to: the write end of a pipe, or a socket? */
bool vhc_relay_fits(int fd);

/*
 * Hand on to `far` what is signalled on `*signal_fd`, a new eventfd that is the caller's to close
 * after vhc_relay_destroy(). Takes over `far`, also on failure.
 */
int vhc_relay_create(struct loop *loop, int far, int *signal_fd, struct relay **relay) VHC_MUST_USE;

/* NULL is fine. */
void vhc_relay_destroy(struct relay *relay);

#endif
