# SPDX-License-Identifier: BSD-3-Clause
"""Other compilers, and sanitizers: built below the build folder, where the next run finds them.

clang compiles everything. gcc's address and undefined-behaviour sanitizers compile what runs
without EAL, and the unit and wire tests run again on that.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
BUILD_SECONDS = 1200
RUN_SECONDS = 1200
REPORT = re.compile(r".*(?:ERROR: \w+Sanitizer|runtime error:).*")


def run(argv: list, seconds: int = BUILD_SECONDS, **env: str) -> str:
    """A command that must succeed; its output."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=seconds, cwd=REPO, env={**os.environ, **env})
    if done.returncode:
        pytest.fail(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout[-8000:]}",
                    pytrace=False)
    return done.stdout


def build(main_build: Path, name: str, compiler: str, *options: str) -> Path:
    """Configure (once) and compile; warnings are errors."""
    folder = main_build / "variants" / name
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed: devtools/setup.sh test")
    if not (folder / "build.ninja").exists():
        shutil.rmtree(folder, ignore_errors=True)
        headers = main_build / "sdk-headers"
        if headers.exists():  # fetched once is enough
            shutil.copytree(headers, folder / "sdk-headers")
        run(["meson", "setup", folder, REPO, "--werror", *options], CC=compiler)
    run(["ninja", "-C", folder])
    return folder


@pytest.mark.limit(BUILD_SECONDS)
def test_clang(build_dir):
    folder = build(build_dir, "clang", "clang")
    plugin = folder / "drivers" / "net" / "vhostpmd" / "librte_net_vhostx.so"
    assert plugin.exists()


@pytest.mark.limit(BUILD_SECONDS + RUN_SECONDS)
def test_sanitizers(build_dir, tmp_path):
    """Not one report while the unit and wire tests run, as many at a time as there are processors."""
    folder = build(build_dir, "sanitizers", "gcc", "-Db_sanitize=address,undefined",
                   "-Dbuildtype=debugoptimized", "-Db_lundef=false")
    reports = tmp_path / "report"
    try:
        run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "auto", f"--build={folder}",
             "test/test_unit.py", "test/wire"], RUN_SECONDS, VHOSTX_BUILD=str(folder),
            ASAN_OPTIONS=f"log_path={reports}:detect_leaks=1",
            UBSAN_OPTIONS=f"log_path={reports}:halt_on_error=1:print_stacktrace=1")
    finally:
        found = [line for path in sorted(tmp_path.glob("report*"))
                 for line in REPORT.findall(path.read_text(encoding="utf-8", errors="replace"))]
        if found:
            pytest.fail("\n".join(found), pytrace=False)
