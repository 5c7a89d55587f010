#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: devtools/uml-guest.sh SOCKET [vhx.OPTION=VALUE...]
#
# Boot a User-mode Linux guest on a vhost-user socket, with a shell on this terminal: no QEMU, no KVM. It has a static
# address, 10.9.0.1 or what vhx.ip= says; devtools/guest/init has the other options. "halt -f" ends it.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

say() { echo "vhostx: $*" >&2; }
die() { say "$*"; exit 1; }

[ $# -ge 1 ] && [ "${1#-}" = "$1" ] || die "usage: devtools/uml-guest.sh SOCKET [vhx.OPTION=VALUE...]"
[ -S "$1" ] || die "$1 is no socket: start the switch with its port first"
socket=$(realpath "$1")
shift
image=$("$here/guest-image.sh" --uml "${VHOSTX_BUILD:-$here/../build}/uml")
TMPDIR=/dev/shm LD_PRELOAD=$image/uml-xstate.so exec linux.uml mem=128M initrd="$image/initramfs" \
	con=null con0=fd:0,fd:1 console=tty0 quiet panic=-1 virtio_uml.device="$socket:1" vhx.ip=10.9.0.1 "$@"
