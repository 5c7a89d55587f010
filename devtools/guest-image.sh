#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Make the tiny test guest: Debian's cloud kernel (downloaded and unpacked, not installed) and an initramfs of busybox,
# the virtio-net modules and devtools/guest/init. Boots in a few seconds, without KVM too.
#
# Leaves OUTDIR/vmlinuz and OUTDIR/initramfs; the last line on stdout is OUTDIR. Does again only what is out of date.
set -eu

MODULES="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover net_failover virtio_net"
here=$(cd "$(dirname "$0")" && pwd)

say() { echo "vhostx: $*" >&2; }
die() { say "$*"; exit 1; }

[ $# -eq 1 ] && [ "${1#-}" = "$1" ] || die "usage: devtools/guest-image.sh OUTDIR"
for program in busybox cpio gcc; do
	command -v $program >/dev/null || die "$program is missing: run devtools/setup.sh build test"
done
mkdir -p "$1"
outdir=$(cd "$1" && pwd)

# The meta package names the current kernel; that one is a file with vmlinuz and the modules.
fetch_kernel() {
	say "test guest: fetching Debian's cloud kernel (about 30 MB)"
	rm -rf "$outdir/kernel" "$outdir/modules"
	mkdir "$outdir/kernel"
	config=$(/usr/bin/python3 "$here/apt_private.py" "$outdir/apt" deb) || exit 1
	cd "$outdir/kernel"
	package=$(apt-cache -c "$config" depends "linux-image-cloud-$(dpkg --print-architecture)" |
		sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p')
	[ -n "$package" ] || die "Debian's mirrors name no cloud kernel for this machine"
	apt-get -qq -c "$config" download "$package" >log 2>&1 </dev/null ||
		die "$package does not download: $(tail -1 log)"
	dpkg -x ./*.deb . || die "$package does not unpack"
	mkdir modules
	for module in $MODULES; do
		file=$(find lib usr -name "$module.ko" 2>/dev/null)
		if [ -n "$file" ]; then
			cp "$file" modules/
			echo "$module.ko" >>modules/order
		elif ! grep -q "/$module.ko" "$(find lib usr -name modules.builtin 2>/dev/null)"; then
			die "$package has no module $module"
		fi
	done
	mv modules "$outdir/modules"
	mv boot/vmlinuz-* "$outdir/vmlinuz"
	cd "$outdir"
	rm -rf kernel apt
}

make_initramfs() {
	rm -rf "$outdir/root"
	mkdir -p "$outdir/root/bin"
	cp "$(command -v busybox)" "$outdir/root/bin/busybox"
	ln -s busybox "$outdir/root/bin/sh"
	gcc -O2 -static -o "$outdir/root/bin/stream" "$here/guest/stream.c" || die "guest/stream.c does not compile"
	cp -r "$outdir/modules" "$outdir/root/modules"
	cp "$here/guest/init" "$outdir/root/init"
	chmod 755 "$outdir/root/init"
	(cd "$outdir/root" && find . | cpio --quiet -o -H newc -R 0:0) >"$outdir/initramfs.new"
	mv "$outdir/initramfs.new" "$outdir/initramfs"
	rm -rf "$outdir/root"
}

[ -f "$outdir/vmlinuz" ] || fetch_kernel
for source in "$here/guest/init" "$here/guest/stream.c" "$0" "$outdir/vmlinuz"; do
	if [ ! -f "$outdir/initramfs" ] || [ "$source" -nt "$outdir/initramfs" ]; then
		make_initramfs
		break
	fi
done
echo "$outdir"
