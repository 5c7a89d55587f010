# SPDX-License-Identifier: BSD-3-Clause
"""devtools/bench-facade.py measures one library against the other, and is sure which is which."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import paths

TOOL = paths.repo_root() / "devtools" / "bench-facade.py"
SHORT = ["--rounds", "2", "--inner", "3", "--bursts", "20", "--paths", "split-mergeable", "--sizes", "64"]
DEBIANS = next(Path("/usr/lib").glob(f"*-linux-gnu/{paths.VHOST_LIBRARY}"))


def _run(*words) -> subprocess.CompletedProcess:
    return subprocess.run([TOOL, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          check=False)


def _measure(folder, *words) -> tuple[dict, str]:
    out = folder / "figures.json"
    done = _run(*SHORT, "--json", out, *words)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text()), done.stdout


def _check(report: dict, said: str) -> None:
    assert [row["kind"] for row in report["rows"]] == ["pull", "push", "idle"]
    assert all(row["peer"] > 0 and row["ours"] > 0 and row["ratio"] > 0 for row in report["rows"])
    assert report["libraries"]["peer"].startswith(("/lib/", "/usr/lib/"))
    assert report["rounds"] == 2 and report["cpu"] and report["versions"]["ours"]
    assert "| split-mergeable | 64 | 1 |" in said and "of 3 rows are better" in said


def test_on_both_libraries(folder, on_facade):
    if not paths.is_facade():
        pytest.skip("VHOSTX_DRIVER=net_vhost leaves our library out; the next test has the copy of Debian's")
    report, said = _measure(folder)
    _check(report, said)
    assert Path(report["libraries"]["ours"]).name == paths.VHOST_LIBRARY


def test_the_same_library_twice(folder):
    """The method favours nobody: Debian's library is as good as its copy."""
    below = folder / "copy"
    below.mkdir()
    shutil.copy(DEBIANS, below)
    report, said = _measure(folder, "--library", below)
    _check(report, said)
    assert report["libraries"]["ours"] == str(below / paths.VHOST_LIBRARY)
    for row in report["rows"]:
        assert 0.4 < row["ratio"] < 2.5, row


def test_loop(folder):
    below = folder / "copy"
    below.mkdir()
    shutil.copy(DEBIANS, below)
    out = folder / "figures.json"
    done = _run(*SHORT, "--loop", "--library", below, "--json", out)
    assert done.returncode == 0, done.stderr
    assert [row["kind"] for row in json.loads(out.read_text())["rows"]] == ["pull", "push", "both"]


def test_refuses_a_folder_without_the_library(folder):
    done = _run(*SHORT, "--library", folder)
    assert done.returncode == 1 and f"there is no {paths.VHOST_LIBRARY}" in done.stderr


def test_refuses_a_folder_that_changes_more(folder):
    for name in (paths.VHOST_LIBRARY, "librte_ring.so.23"):
        (folder / name).touch()
    done = _run(*SHORT, "--library", folder)
    assert done.returncode == 1 and "librte_ring.so.23" in done.stderr


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--paths", "split-nothing"]], ids=["count", "path"])
def test_refused(folder, words):
    shutil.copy(DEBIANS, folder)
    done = _run("--library", folder, *words)
    assert done.returncode and ("at least 1" in done.stderr or "there is no path" in done.stderr)
