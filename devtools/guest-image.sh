#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: devtools/guest-image.sh [--uml] OUTDIR
#
# Make the tiny test guest: Debian's cloud kernel (downloaded and unpacked, not installed) and an initramfs of busybox,
# the virtio-net modules and devtools/guest/init. Boots in a few seconds, without KVM too.
#
#   --uml   for the installed User-mode Linux: its modules; and uml-xstate.so, see guest/uml-xstate.c
#
# Leaves OUTDIR/vmlinuz and OUTDIR/initramfs, and where iperf3 is installed OUTDIR/initramfs-iperf, which has it too; the
# last line on stdout is OUTDIR. Does again only what is out of date.
set -eu

MODULES="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover net_failover virtio_net"
UML_MODULES="failover net_failover virtio_net"	# the others are built in
UML_PROGRAM=/usr/bin/linux.uml
here=$(cd "$(dirname "$0")" && pwd)

say() { echo "vhostx: $*" >&2; }
die() { say "$*"; exit 1; }

is_uml=""
if [ "${1-}" = --uml ]; then
	is_uml=yes
	shift
fi
[ $# -eq 1 ] && [ "${1#-}" = "$1" ] || die "usage: devtools/guest-image.sh [--uml] OUTDIR"
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

# Its modules lie beside it, in the one folder its release has.
copy_uml() {
	[ -x $UML_PROGRAM ] || die "user-mode-linux is not installed: run devtools/setup.sh test"
	rm -rf "$outdir/modules"
	mkdir "$outdir/modules"
	for module in $UML_MODULES; do
		cp "$(find /usr/lib/uml/modules -name "$module.ko")" "$outdir/modules/" ||
			die "user-mode-linux has no module $module"
		echo "$module.ko" >>"$outdir/modules/order"
	done
	gcc -O2 -shared -fPIC -o "$outdir/uml-xstate.so" "$here/guest/uml-xstate.c" ||
		die "guest/uml-xstate.c does not compile"
	ln -sf $UML_PROGRAM "$outdir/vmlinuz"
}

make_initramfs() {
	rm -rf "$outdir/root"
	mkdir -p "$outdir/root/bin"
	cp "$(command -v busybox)" "$outdir/root/bin/busybox"
	ln -s busybox "$outdir/root/bin/sh"
	for tool in stream channels; do
		gcc -O2 -static -o "$outdir/root/bin/$tool" "$here/guest/$tool.c" || die "guest/$tool.c does not compile"
	done
	cp -r "$outdir/modules" "$outdir/root/modules"
	cp "$here/guest/init" "$outdir/root/init"
	chmod 755 "$outdir/root/init"
	(cd "$outdir/root" && find . | cpio --quiet -o -H newc -R 0:0) >"$outdir/initramfs.new"
	mv "$outdir/initramfs.new" "$outdir/initramfs"
	rm -rf "$outdir/root"
}

# The kernel unpacks archives that follow each other over each other.
add_iperf() {
	iperf=$(command -v iperf3) || return 0
	rm -rf "$outdir/root"
	mkdir -p "$outdir/root/bin"
	cp "$iperf" "$outdir/root/bin"
	ldd "$iperf" | grep -o '/[^ ]*' | while read -r library; do
		mkdir -p "$outdir/root$(dirname "$library")"
		cp "$library" "$outdir/root$library"
	done
	(cd "$outdir/root" && find . | cpio --quiet -o -H newc -R 0:0 | cat "$outdir/initramfs" -) >"$outdir/initramfs.new"
	mv "$outdir/initramfs.new" "$outdir/initramfs-iperf"
	rm -rf "$outdir/root"
}

[ -n "$is_uml" ] || [ -f "$outdir/vmlinuz" ] || fetch_kernel
for source in "$here"/guest/* "$0" "$outdir/vmlinuz" "$UML_PROGRAM"; do
	if [ ! -f "$outdir/initramfs" ] || [ "$source" -nt "$outdir/initramfs" ]; then
		[ -z "$is_uml" ] || copy_uml
		make_initramfs
		break
	fi
done
[ -n "$is_uml" ] || [ "$outdir/initramfs-iperf" -nt "$outdir/initramfs" ] || add_iperf
echo "$outdir"
