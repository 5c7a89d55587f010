#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: devtools/test.sh [pytest's arguments]
#
# Installs what is missing, builds, and runs the tests: all of them, or those that pytest's own arguments choose.
#
#   devtools/test.sh                 everything
#   devtools/test.sh -k ring         one room, in seconds
#   devtools/test.sh -x test/wire    one folder, up to the first failure
#   devtools/test.sh --soak          only the tests that repeat something, and those far more often
#
# VHOSTX_BUILD names another build folder than build/.
set -euo pipefail

cd "$(dirname "$0")/.."
build=${VHOSTX_BUILD:-build}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

quietly() {
	"$@" >"$log" 2>&1 && return
	tail -n 40 "$log" >&2
	echo "vhostx: failed: $*" >&2
	exit 1
}

devtools/setup.sh build test
[ -e "$build/build.ninja" ] || quietly meson setup "$build"
quietly ninja -C "$build"

# Debian's own interpreter: one that comes first on PATH may lack Debian's pytest.
tests() {
	VHOSTX_BUILD=$build /usr/bin/python3 -m pytest "$@"
}

if [ $# -gt 0 ]; then
	tests "$@"
	exit
fi

# Everything: as many at a time as there are processors, then one at a time what needs all of them: other builds,
# switches, guests. The second part runs even if the first one fails.
failed=
tests -n auto --ignore=test/test_build.py --ignore=test/e2e || failed="the first part, further up"
tests test/test_build.py test/e2e || failed=${failed:+both parts}${failed:-the second part}
[ -z "$failed" ] || echo "vhostx: tests failed in $failed" >&2
[ -z "$failed" ]
