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
# Leaves OUTDIR/vmlinuz and OUTDIR/initramfs; OUTDIR/initramfs-disk, which has the modules of disks, e2fsprogs and
# devtools/guest/disk too; and where iperf3 is installed OUTDIR/initramfs-iperf, which has that. The last line on stdout
# is OUTDIR. Does again only what is out of date.
set -eu

# In the order in which they are loaded; what a kernel has built in is left out.
PCI_MODULES="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci"
NET_MODULES="failover net_failover virtio_net"
DISK_MODULES="virtio_blk scsi_common scsi_mod crc64 crc64_rocksoft_generic crc64-rocksoft t10-pi sd_mod virtio_scsi
	mbcache crc16 jbd2 ext4"
RNG_MODULES="rng-core virtio-rng"
DISK_TOOLS="mke2fs e2fsck resize2fs dumpe2fs"
UML_PROGRAM=/usr/bin/linux.uml
UML_MODULES=/usr/lib/uml/modules
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

# take_modules FOLDER KERNEL MODULE...
take_modules() {
	folder=$outdir/$1
	kernel=$2
	shift 2
	rm -rf "$folder"
	mkdir "$folder"
	for module; do
		file=$(find "$kernel" -name "$module.ko")
		if [ -n "$file" ]; then
			cp "$file" "$folder"
			echo "$module.ko" >>"$folder/order"
		elif ! grep -q "/$module.ko" "$(find "$kernel" -name modules.builtin)"; then
			die "the guest's kernel has no module $module"
		fi
	done
}

# The meta package names the current kernel; that one is a file with vmlinuz and the modules.
fetch_kernel() {
	say "test guest: fetching Debian's cloud kernel (about 30 MB)"
	rm -rf "$outdir/kernel" "$outdir/initramfs"
	mkdir "$outdir/kernel"
	config=$(/usr/bin/python3 "$here/apt_private.py" "$outdir/apt" deb) || exit 1
	cd "$outdir/kernel"
	package=$(apt-cache -c "$config" depends "linux-image-cloud-$(dpkg --print-architecture)" |
		sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p')
	[ -n "$package" ] || die "Debian's mirrors name no cloud kernel for this machine"
	apt-get -qq -c "$config" download "$package" >log 2>&1 </dev/null ||
		die "$package does not download: $(tail -1 log)"
	dpkg -x ./*.deb . || die "$package does not unpack"
	# shellcheck disable=SC2086 # lists of words
	take_modules modules lib $PCI_MODULES $NET_MODULES
	# shellcheck disable=SC2086
	take_modules modules-disk lib $DISK_MODULES $RNG_MODULES
	mv boot/vmlinuz-* "$outdir/vmlinuz"
	cd "$outdir"
	rm -rf kernel apt
}

copy_uml() {
	[ -x $UML_PROGRAM ] || die "user-mode-linux is not installed: run devtools/setup.sh test"
	take_modules modules $UML_MODULES $NET_MODULES
	# shellcheck disable=SC2086 # a list of words
	take_modules modules-disk $UML_MODULES $DISK_MODULES
	gcc -O2 -shared -fPIC -o "$outdir/uml-xstate.so" "$here/guest/uml-xstate.c" ||
		die "guest/uml-xstate.c does not compile"
	ln -sf $UML_PROGRAM "$outdir/vmlinuz"
}

# compile PROGRAM MORE_SOURCES...
compile() {
	program=$1
	shift
	gcc -O2 -static -pthread -o "$outdir/root/bin/$program" "$here/guest/$program.c" "$@" ||
		die "guest/$program.c does not compile"
}

# add_program FILE FOLDER: with its libraries
add_program() {
	mkdir -p "$outdir/root/$2"
	cp "$1" "$outdir/root/$2"
	ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
		mkdir -p "$outdir/root$(dirname "$library")"
		cp "$library" "$outdir/root$library"
	done
}

begin_archive() {
	rm -rf "$outdir/root"
	mkdir -p "$outdir/root/bin"
}

# end_archive NAME [BEFORE]: the kernel unpacks archives that follow each other over each other.
end_archive() {
	(cd "$outdir/root" && find . | cpio --quiet -o -H newc -R 0:0 | cat ${2:+"$outdir/$2"} -) >"$outdir/$1.new"
	mv "$outdir/$1.new" "$outdir/$1"
	rm -rf "$outdir/root"
}

make_initramfs() {
	begin_archive
	cp "$(command -v busybox)" "$outdir/root/bin/busybox"
	ln -s busybox "$outdir/root/bin/sh"
	compile stream
	compile answers
	compile channels
	cp -r "$outdir/modules" "$here/guest/init" "$here/guest/functions" "$outdir/root"
	chmod 755 "$outdir/root/init"
	end_archive initramfs
}

add_disk() {
	begin_archive
	for tool in $DISK_TOOLS; do
		file=$(PATH=$PATH:/usr/sbin:/sbin command -v "$tool") || die "$tool is missing: install e2fsprogs"
		add_program "$file" e2fsprogs
	done
	compile tree
	compile probe
	compile verify "$here/guest/cell.c" "$here/guest/cell_set.c"
	cp -r "$outdir/modules-disk" "$here/guest/disk" "$outdir/root"
	chmod 755 "$outdir/root/disk"
	mkdir "$outdir/root/etc"
	ln -s /proc/mounts "$outdir/root/etc/mtab"
	end_archive initramfs-disk initramfs
}

add_iperf() {
	iperf=$(command -v iperf3) || return 0
	begin_archive
	add_program "$iperf" bin
	end_archive initramfs-iperf initramfs
}

# A kernel from before there were modules for disks comes again.
[ -n "$is_uml" ] || { [ -f "$outdir/vmlinuz" ] && [ -d "$outdir/modules-disk" ]; } || fetch_kernel
for source in "$here"/guest/* "$0" "$outdir/vmlinuz" "$UML_PROGRAM"; do
	if [ ! -f "$outdir/initramfs" ] || [ "$source" -nt "$outdir/initramfs" ]; then
		[ -z "$is_uml" ] || copy_uml
		make_initramfs
		break
	fi
done
[ "$outdir/initramfs-disk" -nt "$outdir/initramfs" ] || add_disk
[ -n "$is_uml" ] || [ "$outdir/initramfs-iperf" -nt "$outdir/initramfs" ] || add_iperf
echo "$outdir"
