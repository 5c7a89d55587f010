#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Provide QEMU 10 from the backports suite beside the distribution's own QEMU: unpacked below OUTDIR, not installed.
# The tests run both, because the two differ where a vhost-user back-end notices (MSI-X under TCG, for one).
#
# The last line on stdout is the program to run. Nothing happens when it is there and starts.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

say() { echo "vhostx: $*" >&2; }
die() { say "$*"; exit 1; }

[ $# -eq 1 ] && [ "${1#-}" = "$1" ] || die "usage: devtools/fetch-qemu10.sh OUTDIR"
mkdir -p "$1"
outdir=$(cd "$1" && pwd)
program=$outdir/qemu-system-x86_64

if [ -x "$program" ] && "$program" --version >/dev/null 2>&1; then
	echo "$program"
	exit 0
fi

suite=$(. /etc/os-release && echo "$VERSION_CODENAME")-backports
say "QEMU 10: fetching it from $suite (about 14 MB)"
rm -rf "$outdir/root" "$outdir/debs" "$program"
mkdir "$outdir/root" "$outdir/debs"
trap 'rm -rf "$outdir/debs" "$outdir/apt"' EXIT
config=$(/usr/bin/python3 "$here/apt_private.py" "$outdir/apt" deb -backports) || exit 1

# What apt would install is exactly what this machine lacks: the newer QEMU and any library it needs.
cd "$outdir/debs"
apt-get -qq -c "$config" --simulate --no-install-recommends -t "$suite" install qemu-system-x86 >plan 2>log </dev/null ||
	die "$suite has no QEMU that fits this system: $(tail -1 log)"
packages=$(sed -n 's/^Inst \([^ ]*\) .*(\([^ ]*\) .*/\1=\2/p' plan)
[ -n "$packages" ] || die "$suite has no QEMU newer than the installed one"
# shellcheck disable=SC2086 # a list of words
apt-get -qq -c "$config" download $packages >log 2>&1 </dev/null ||
	die "QEMU from $suite does not download: $(tail -1 log)"
for deb in ./*.deb; do
	dpkg -x "$deb" "$outdir/root" || die "$deb does not unpack"
done

cat >"$program.new" <<END
#!/bin/sh
usr=$outdir/root/usr
export LD_LIBRARY_PATH="\$usr/lib/$(uname -m)-linux-gnu\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
exec "\$usr/bin/qemu-system-x86_64" -L "\$usr/share/qemu" -L "\$usr/share/seabios" "\$@"
END
chmod +x "$program.new"
"$program.new" --version >log 2>&1 || die "the unpacked QEMU does not start: $(head -1 log)"
mv "$program.new" "$program"
echo "$program"
