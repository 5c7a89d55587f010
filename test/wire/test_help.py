# SPDX-License-Identifier: BSD-3-Clause
"""All programs explain themselves in one way, and know what they say they know."""

import re
import subprocess

import pytest

from programs import SECONDS, program

PROGRAMS = ("vhostx-bench", "vhostx-blk", "vhostx-blk-bench", "vhostx-net", "vhostx-scsi")
COLUMNS = 100


@pytest.fixture(params=PROGRAMS)
def name(request):
    return request.param


def run(name: str, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([program("app", name), *words], capture_output=True, text=True, timeout=SECONDS)


def test_help(name):
    """usage, what it is for, options; each thing apart from the next."""
    done = run(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    usage, purpose, *rest = done.stdout.split("\n\n")
    assert re.fullmatch(rf"usage: {name} \S[^\n]*", usage)
    assert purpose[0].isupper() and purpose.rstrip().endswith(".")
    assert rest and max(map(len, done.stdout.splitlines())) <= COLUMNS
    assert re.search(r"^  --help +say this$", done.stdout, re.M)


def test_options_of_the_help_are_known(name):
    """A word of the help that the program does not know is a lie of either."""
    options = re.findall(r"^  (--[a-z-]+)", run(name, "--help").stdout, re.M)
    assert len(options) == len(set(options)) > 1
    for option in set(options) - {"--help", "--print-capabilities"}:
        said = run(name, option, *2 * ["--no-such-option"]).stderr  # the first may be its value
        assert not re.search(rf"(unrecognized|no such) option\b.*{option}\b", said), said


def test_unknown_option(name):
    done = run(name, "--no-such-option")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--no-such-option" in done.stderr
    assert re.search(rf"{name}.* --help tells more\n$", done.stderr)


@pytest.mark.parametrize("name", sorted(set(PROGRAMS) - {"vhostx-bench"}))  # which needs none
def test_no_words(name):
    """What it needs is said."""
    done = run(name)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(rf"{name}.* --help tells more\n$", done.stderr)
