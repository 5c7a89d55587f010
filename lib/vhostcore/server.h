/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * server.h - what a device may ask of, and must tell, the server it belongs to.
 *
 * Knows:   nothing of messages; a server is an endpoint and its device.
 * Trusts:  the device.
 * Runs on: with the loop's lock held.
 */
#ifndef VHC_SERVER_H
#define VHC_SERVER_H

#include "vhostcore.h"

/* The device's front-end is gone and its socket closed: the client role connects again. */
void vhc_server_detached(struct vhc_server *server);

/* The sentence that says why there is no front-end, into `why` (VHC_WHY_LEN bytes). */
void vhc_server_why(const struct vhc_server *server, char *why);

#endif
