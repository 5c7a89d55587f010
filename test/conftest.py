# SPDX-License-Identifier: BSD-3-Clause
"""What all tests share: which build they test, and that none of them runs for ever."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
# Helpers of test/wire name programs when they are loaded, which is before pytest_configure().
os.environ.setdefault("VHOSTX_BUILD", str(REPO / "build"))
DEFAULT_SECONDS = 300
SOAK_PATIENCE = 10


def pytest_addoption(parser):
    parser.addoption("--build", metavar="DIR", default=None,
                     help="build folder to test, as one word (default: $VHOSTX_BUILD, else build/)")
    parser.addoption("--soak", action="store_true",
                     help="only the tests that repeat something, as often as it takes to trust it")


def pytest_configure(config):
    """Every test, and every helper in devtools/lab, finds the build folder in the environment."""
    chosen = config.getoption("--build") or os.environ.get("VHOSTX_BUILD") or REPO / "build"
    os.environ["VHOSTX_BUILD"] = str(Path(chosen).resolve())


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--soak"):
        return
    chosen = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.fixture
def rounds(request):
    """How often a test marked soak(few, many) repeats what it does."""
    few, many = request.node.get_closest_marker("soak").args
    return many if request.config.getoption("--soak") else few


def pytest_report_header():
    return f"build folder: {os.environ['VHOSTX_BUILD']}"


@pytest.fixture(scope="session")
def build_dir() -> Path:
    return Path(os.environ["VHOSTX_BUILD"])


@pytest.fixture(autouse=True)
def time_limit(request):
    """A test that hangs fails; @pytest.mark.limit(SECONDS) where DEFAULT_SECONDS do not do."""
    marker = request.node.get_closest_marker("limit")
    seconds = marker.args[0] if marker else DEFAULT_SECONDS
    if request.config.getoption("--soak"):
        seconds *= SOAK_PATIENCE

    def too_long(_signal, _frame):
        pytest.fail(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def installed(build_dir, tmp_path_factory) -> Path:
    """A folder with all that `meson install` puts below /."""
    folder = tmp_path_factory.mktemp("installed")
    done = subprocess.run(["meson", "install", "-C", build_dir, "--no-rebuild", "--destdir", folder],
                          capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.fail(f"meson install failed: {done.stdout[-2000:]}{done.stderr[-2000:]}", pytrace=False)
    return folder
