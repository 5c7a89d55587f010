# SPDX-License-Identifier: BSD-3-Clause
"""Every C unit test as one test, by room: -k ring, -k wire.

The list is meson's own (`meson test --suite unit` runs the same), so a program that is added to
test/unit/meson.build appears here.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

SKIPPED = 77
TIMES_SLOWER = 4  # than meson's timeout, for sanitizers and busy machines


def unit_tests() -> list:
    """(room/test_name, command, seconds) of each."""
    listing = Path(os.environ["VHOSTX_BUILD"]) / "meson-info" / "intro-tests.json"
    if not listing.exists():
        return []
    found = []
    for entry in json.loads(listing.read_text(encoding="utf-8")):
        suites = [suite.split(":")[-1] for suite in entry["suite"]]
        if "unit" not in suites:
            continue
        room = next(suite for suite in suites if suite != "unit")
        name = f"{room}/{Path(entry['cmd'][0]).name}"
        found.append(pytest.param(entry["cmd"], entry["timeout"] * TIMES_SLOWER, id=name))
    return found


def test_unit_tests_are_built():
    assert unit_tests(), "no C unit tests in the build folder: meson setup build && ninja -C build"


@pytest.mark.parametrize("command, seconds", unit_tests())
def test_unit(command, seconds):
    assert Path(command[0]).exists(), f"{command[0]} is not built: run ninja in the build folder"
    done = subprocess.run(command, capture_output=True, text=True, errors="replace",
                          timeout=seconds)
    if done.returncode == SKIPPED:
        pytest.skip(done.stderr.strip().splitlines()[-1].removeprefix("skipped: "))
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
