#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Provide QEMU 10 from the backports suite beside the distribution's own QEMU: unpacked below OUTDIR, not installed.
# The tests run both, because the two differ where a vhost-user back-end notices (MSI-X under TCG, for one).
#
# Leaves qemu-system-x86_64, qemu-storage-daemon and qemu-img in OUTDIR. The last line on stdout is the first of them.
# Nothing happens when they are there and start.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

say() { echo "vhostx: $*" >&2; }
die() { say "$*"; exit 1; }

[ $# -eq 1 ] && [ "${1#-}" = "$1" ] || die "usage: devtools/fetch-qemu10.sh OUTDIR"
mkdir -p "$1"
outdir=$(cd "$1" && pwd)
programs="qemu-system-x86_64 qemu-storage-daemon qemu-img"

all_start() {
	for program in $programs; do
		"$outdir/$program" --version >/dev/null 2>&1 || return 1
	done
	echo "$outdir/qemu-system-x86_64"
}

all_start && exit 0
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")-backports
say "QEMU 10: fetching it from $suite (about 16 MB)"
rm -rf "$outdir/root.new" "$outdir/debs"
mkdir "$outdir/root.new" "$outdir/debs"
trap 'rm -rf "$outdir/debs" "$outdir/apt" "$outdir/root.new"' EXIT
config=$(/usr/bin/python3 "$here/apt_private.py" "$outdir/apt" deb -backports) || exit 1

# What apt would install is exactly what this machine lacks: the newer QEMU and any library it needs.
cd "$outdir/debs"
apt-get -qq -c "$config" --simulate --no-install-recommends -t "$suite" install \
	qemu-system-x86 qemu-utils >plan 2>log </dev/null ||
	die "$suite has no QEMU that fits this system: $(tail -1 log)"
packages=$(sed -n 's/^Inst \([^ ]*\) .*(\([^ ]*\) .*/\1=\2/p' plan)
[ -n "$packages" ] || die "$suite has no QEMU newer than the installed one"
# shellcheck disable=SC2086 # a list of words
apt-get -qq -c "$config" download $packages >log 2>&1 </dev/null ||
	die "QEMU from $suite does not download: $(tail -1 log)"
for deb in ./*.deb; do
	dpkg -x "$deb" "$outdir/root.new" || die "$deb does not unpack"
done

rm -rf "$outdir/root"
mv "$outdir/root.new" "$outdir/root"

for program in $programs; do
	where=""
	case $program in
	qemu-system-*) where='-L "$usr/share/qemu" -L "$usr/share/seabios" ' ;;
	esac
	cat >"$outdir/$program.new" <<-END
		#!/bin/sh
		usr=$outdir/root/usr
		export LD_LIBRARY_PATH="\$usr/lib/$(uname -m)-linux-gnu\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
		exec "\$usr/bin/$program" $where"\$@"
	END
	chmod +x "$outdir/$program.new"
	"$outdir/$program.new" --version >log 2>&1 || die "the unpacked $program does not start: $(head -1 log)"
	mv "$outdir/$program.new" "$outdir/$program"
done
all_start
