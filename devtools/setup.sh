#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: devtools/setup.sh [build] [test] [demo] [bench]
#
# Installs what Debian 12 packages and this machine lacks for the named purposes; says nothing when nothing is missing.
#
#   build   compile and install (the default)
#   test    build, and everything the test suite starts
#   demo    build, and everything devtools/demo.sh starts
#   bench   build, and what devtools/bench-chart.py draws with
set -eu

BUILD="gcc libc6-dev meson ninja-build pkg-config dpkg-dev python3 python3-pyelftools
	libnuma-dev liburing-dev libdpdk-dev dpdk dpdk-dev"
GUEST="qemu-system-x86 busybox-static cpio e2fsprogs"
TEST="$GUEST ipxe-qemu ovmf user-mode-linux python3-pytest python3-pytest-xdist python3-matplotlib clang libclang-rt-dev
	openvswitch-switch openvswitch-switch-dpdk iperf3 iproute2 systemd libvirt-clients libvirt-daemon-driver-qemu libxml2-utils"
DEMO="$GUEST python3-rich socat"
BENCH="python3-matplotlib"

say() { echo "vhostx: $*" >&2; }
die() { say "$*"; exit 1; }
usage() { sed -n '4,11s/^# \{0,1\}//p' "$0"; }

wanted=$BUILD
for purpose in "$@"; do
	case $purpose in
	build) ;;
	test) wanted="$wanted $TEST" ;;
	demo) wanted="$wanted $DEMO" ;;
	bench) wanted="$wanted $BENCH" ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

command -v apt-get >/dev/null ||
	die "this set-up knows Debian and its kin only; install by hand what README.md lists, then run meson"
missing=""
for package in $wanted; do
	is_installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || die "packages are missing and there is no sudo; as root: apt-get install$missing"
	as_root=sudo
fi

# A switch that nobody asked for must not run, now or after the next boot: the tests start their own.
quiet_switch() {
	if [ -d /run/systemd/system ]; then
		$as_root systemctl --quiet disable --now openvswitch-switch
	else
		$as_root service openvswitch-switch stop
		$as_root update-rc.d openvswitch-switch disable
	fi >/dev/null 2>&1 || true
	say "Open vSwitch is installed, its system service stopped and disabled (systemctl enable --now openvswitch-switch)"
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
say "installing$missing"
$as_root apt-get -q -o DPkg::Lock::Timeout=120 update >"$log" 2>&1 </dev/null ||
	say "apt-get update complained, going on all the same: $(grep '^[EW]:' "$log" | head -1)"
# shellcheck disable=SC2086 # lists of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 \
	install --no-install-recommends $missing >"$log" 2>&1 </dev/null ||
	die "apt-get install failed ($(grep '^E:' "$log" | head -1)): check the network and \
/etc/apt/sources.list*, then try by hand: apt-get install$missing"
case " $missing " in
*" openvswitch-switch "*) quiet_switch ;;
esac
