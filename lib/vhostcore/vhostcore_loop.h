/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * vhostcore_loop.h - for programs that have a loop of their own and want no control thread.
 */
#ifndef VHOSTCORE_LOOP_H
#define VHOSTCORE_LOOP_H

#include "vhostcore.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Control threads are numbered from 0 to below this (vhc_server_opts.control_thread). */
#define VHC_CONTROL_THREADS_MAX 16

/**
 * Start no control thread: the application has a loop and drives the library's with it. The thread
 * that calls vhc_loop_dispatch() is the control thread then, and the only one that may. Servers
 * that ask for another (vhc_server_opts.control_thread) get a thread as ever.
 *
 * @param fd Receives a descriptor to poll for POLLIN; vhc_loop_dispatch() then does what is due.
 * @return   0; -EBUSY the library's thread runs already (there is a server); -errno.
 * Context: before the first server is created. Holds until vhc_loop_release().
 */
int vhc_loop_take_over(int *fd);

/** Do what is due, wait for nothing. @return how many events were handled. */
int vhc_loop_dispatch(void);

/** Give that up, after the last server was destroyed. */
void vhc_loop_release(void);

#ifdef __cplusplus
}
#endif

#endif
