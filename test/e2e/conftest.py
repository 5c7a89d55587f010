# SPDX-License-Identifier: BSD-3-Clause
"""End-to-end tests: Debian's testpmd and virtio-user against the driver under test.

VHOSTX_DRIVER=net_vhost runs them against Debian's own driver instead, VHOSTX_DRIVER=facade against that driver
on our librte_vhost.so.23 (see devtools/lab/paths.py).
"""

import shutil
import tempfile
from pathlib import Path

import pytest

from e2e_rig import need_guest
from lab import guest, paths


@pytest.fixture(autouse=True, scope="session")
def driver_present():
    missing = paths.what_is_missing()
    if missing:
        pytest.fail(missing, pytrace=False)


@pytest.fixture
def folder():
    """A folder for sockets and logs; the path is short, a Unix socket's name ends at 107 bytes."""
    made = Path(tempfile.mkdtemp(prefix="vhx-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def ours_only():
    if paths.is_peer():
        pytest.skip("net_vhost does not promise this; unset VHOSTX_DRIVER to run it on net_vhostx")


@pytest.fixture
def on_facade(monkeypatch):
    """Debian's programs on our librte_vhost.so.23; with VHOSTX_DRIVER=net_vhost on their own: the test is fair."""
    if paths.under_test() == paths.OURS:
        monkeypatch.setenv("VHOSTX_DRIVER", paths.FACADE)
    missing = paths.what_is_missing()
    if missing:
        pytest.fail(missing, pytrace=False)


@pytest.fixture(scope="session")
def guest_image():
    need_guest()


@pytest.fixture
def qemu():
    """QEMU 10: Debian 12's crashes under TCG when vhost-user meets MSI-X."""
    try:
        return guest.private_qemu()
    except RuntimeError as error:
        pytest.skip(f"QEMU 10 is needed, which devtools/fetch-qemu10.sh fetches where it can: {error}")
