#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: devtools/demo.sh [--fast] [--seconds N] [--keep]
#
# Two virtual machines talk to each other through two net_vhostx ports of DPDK's testpmd: they ping, then push a TCP
# stream, while a table shows what the ports do. Installs and builds first what is missing. Ends with 0 only if
# every packet that mattered arrived intact.
#
#   --fast        two virtio-user processes instead of the virtual machines
#   --seconds N   how long traffic runs (10)
#   --keep        leave it running at the end and print how to attach and how to end it
set -eu

here=$(cd "$(dirname "$0")" && pwd)
repo=$(dirname "$here")
build=${VHOSTX_BUILD:-$repo/build}

say() { echo "vhostx: $*" >&2; }
die() { say "$*"; exit 1; }
usage() { sed -n '4,12s/^# \{0,1\}//p' "$0"; }

for argument in "$@"; do
	case $argument in
	-h | --help) usage; exit 0 ;;
	--fast | --keep | --seconds | --seconds=* | [0-9]*) ;; # demo.py looks closer
	*) usage >&2; exit 2 ;;
	esac
done

# Through sudo the build folder still belongs to whom the sources belong to.
as_owner() {
	owner=$(stat -c %U "$repo")
	if [ "$(id -u)" -eq 0 ] && [ "$owner" != root ] && id "$owner" >/dev/null 2>&1; then
		runuser -u "$owner" -- "$@"
	else
		"$@"
	fi
}

"$here/setup.sh" demo
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [ ! -f "$build/build.ninja" ]; then
	as_owner meson setup "$build" "$repo" >"$log" 2>&1 ||
		die "meson setup failed: $(grep -m 1 ERROR "$log"); run it by hand: meson setup $build"
fi
as_owner ninja -C "$build" >"$log" 2>&1 || {
	tail -n 30 "$log" >&2
	die "the build failed, the end of its output is above; by hand: ninja -C $build"
}
rm -f "$log"
case " $* " in
*" --fast "*) ;;
*)
	as_owner "$here/guest-image.sh" "$build/guest" >/dev/null ||
		die "no guest to boot, the reason is above; without virtual machines: devtools/demo.sh --fast"
	;;
esac
VHOSTX_BUILD=$build exec /usr/bin/python3 "$here/demo.py" "$@"
