# SPDX-License-Identifier: BSD-3-Clause
"""devtools/bench-blk.py compares vhostx-blk with QEMU's storage daemon, and cleans up behind itself."""

import json
import statistics
import subprocess
from pathlib import Path

import pytest

from lab import blk, disk, paths

TOOL = paths.repo_root() / "devtools" / "bench-blk.py"
SHORT = ["--rounds", "3", "--millis", "20", "--size", "8", "--patterns", "randread-4k-32,write-1m-4"]
DAEMONS = 4


def _run(*words) -> subprocess.CompletedProcess:
    return subprocess.run([TOOL, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200,
                          check=False)


def _rates(row: dict) -> list[float]:
    return [sample["requests"] / sample["seconds"] for sample in row["samples"]]


def _line(said: str, *words: str) -> list[str]:
    """The cells of the only line that begins with these words."""
    lines = [cells for cells in map(str.split, said.splitlines()) if cells[:len(words)] == list(words)]
    assert len(lines) == 1, f"{len(lines)} lines begin with {words} in:\n{said}"
    return lines[0]


@pytest.fixture(autouse=True)
def programs():
    missing = blk.what_is_missing() or disk.what_is_missing()
    if missing:
        pytest.skip(missing)


@pytest.mark.parametrize("words", [[], ["--packed"]], ids=["split", "packed"])
def test_both_settings(folder, words):
    out = folder / "blk.json"
    done = _run(*SHORT, *words, "--folder", folder, "--json", out)
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["versions"]["qemu"].startswith("qemu-storage-daemon version 1") and report["versions"]["ours"]
    # Two patterns, two drivers; ours twice in memory and once in a file.
    assert {name: len(rows) for name, rows in report["settings"].items()} == {
        "memory": 4 * (2 + DAEMONS), "file": 4 * (1 + DAEMONS)}
    for rows in report["settings"].values():
        for row in rows:
            assert row["requests_per_second"] == pytest.approx(statistics.median(_rates(row)), rel=1e-3)
            assert row["ring"] == ("packed" if words and row["backend"].startswith("vhostx") else "split")
    rows = {row["backend"]: row for row in report["settings"]["memory"]
            if (row["pattern"], row["driver"]) == ("write-1m-4", "wait")}
    cells = _line(done.stdout.split("\nfile:")[0], "write-1m-4", "wait", "vhostx-memory")
    best = max((row for name, row in rows.items() if name.startswith("qemu")),
               key=lambda row: row["requests_per_second"])
    assert best["backend"] in cells
    ratios = [ours / its for ours, its in zip(_rates(rows["vhostx-memory"]), _rates(best), strict=True)]
    assert float(cells[-1]) == pytest.approx(statistics.median(ratios), abs=0.006)
    assert not list(folder.glob("vhostx-blk-*")) and not list(Path("/dev/shm").glob("vhostx-blk-*"))


def test_who_fails_is_named(folder):
    """And nothing is left behind."""
    done = _run(*SHORT, "--settings", "file", "--folder", folder, "--patterns", "nothing")
    assert done.returncode == 1 and 'there is no pattern "nothing"' in done.stderr
    assert not list(folder.glob("vhostx-blk-*"))


@pytest.mark.parametrize("words, sentence", [
    (["--settings", "tape"], "there is no setting 'tape'"),
    (["--cores", "0"], "two numbers, as 1,0"),
    (["--cores", "0,4096"], "there is no core 4096 here"),
    (["--size", "7"], "at least 8"),
    (["--folder", "/nowhere"], "/nowhere is not a folder"),
])
def test_refused(words, sentence):
    done = _run(*words)
    assert done.returncode == 2 and sentence in done.stderr
