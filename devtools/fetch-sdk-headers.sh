#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Provide DPDK's driver-SDK headers, which a driver built outside DPDK's tree needs and Debian does not package.
# They must match the installed library exactly (a driver is bound to its ABI), so they are taken from Debian's
# source package of the very version that libdpdk-dev has, never from a copy kept here.
#
# The last line on stdout is the include folder; an empty line says that pkg-config's own folder has them.
# Runs again in no time: a stamp holds the version. Touches nothing outside OUTDIR.
set -eu

HEADERS="ethdev_driver.h ethdev_vdev.h bus_vdev_driver.h dev_driver.h bus_driver.h vdpa_driver.h"
here=$(cd "$(dirname "$0")" && pwd)

say() { echo "vhostx: $*" >&2; }
die() { say "$*"; exit 1; }

[ $# -eq 1 ] && [ "${1#-}" = "$1" ] || die "usage: devtools/fetch-sdk-headers.sh OUTDIR"

pkg-config --exists libdpdk 2>/dev/null ||
	die "DPDK's development files are missing: run devtools/setup.sh build"
for folder in "$(pkg-config --variable=includedir libdpdk)/dpdk" \
	$(pkg-config --cflags-only-I libdpdk | sed 's/-I//g'); do
	if [ -f "$folder/ethdev_driver.h" ]; then
		say "driver headers: $folder has them"
		echo
		exit 0
	fi
done

version=$(dpkg-query -W -f '${source:Package}=${source:Version}' libdpdk-dev 2>/dev/null) ||
	die "this DPDK is not Debian's and lacks its driver headers: install it with meson -Denable_driver_sdk=true"

mkdir -p "$1"
outdir=$(cd "$1" && pwd)
include=$outdir/include
if [ "$(cat "$outdir/version" 2>/dev/null)" = "$version: $HEADERS" ]; then
	echo "$include"
	exit 0
fi

command -v dpkg-source >/dev/null || die "dpkg-source is missing: run devtools/setup.sh build"
say "driver headers: fetching Debian's source of $version (about 16 MB)"
rm -rf "$outdir/source" "$include" "$outdir/version"
mkdir "$outdir/source"
trap 'rm -rf "$outdir/source" "$outdir/apt"' EXIT
config=$(/usr/bin/python3 "$here/apt_private.py" "$outdir/apt" deb-src) || exit 1
cd "$outdir/source"
apt-get -qq -c "$config" --download-only source "$version" >log 2>&1 </dev/null ||
	die "Debian's mirrors do not have the source of $version: $(tail -1 log); upgrade libdpdk-dev, then try again"
dpkg-source -x ./*.dsc tree >log 2>&1 ||
	die "the source of $version does not unpack: $(tail -1 log)"

mkdir "$include"
for header in $HEADERS; do
	from=$(find tree/lib tree/drivers/bus -name "$header")
	[ -f "$from" ] || die "the source of $version has no $header"
	cp "$from" "$include/"
done
echo "$version: $HEADERS" >"$outdir/version"
echo "$include"
