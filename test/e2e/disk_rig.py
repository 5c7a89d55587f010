# SPDX-License-Identifier: BSD-3-Clause
"""Disks that guests have from vhostx-blk and vhostx-scsi: the programs, and what every such test asks of a guest."""

import signal
import time
from pathlib import Path

import pytest

from lab import disk, paths
from lab.disk import Device, DiskGuest
from lab.process import Process

SECTOR = 512
DISK_BYTES = 256 << 20
PACKED = {"packed": "on"}
_START_SECONDS = 10


def need_disk_guest() -> None:
    """Skip, saying why, where no guest can run; make what it boots."""
    missing = disk.what_is_missing()
    if missing:
        pytest.skip(missing)
    disk.make_image()


class Disk(Process):
    """vhostx-blk or vhostx-scsi on these files, listening when the constructor returns."""

    def __init__(self, kind: str, socket: Path, *files: Path, folder: Path, lifetime: float = 300, **options: object):
        words = [f"--{key.replace('_', '-')}" + ("" if value is True else f"={value}") for key, value in options.items()]
        words += [f"--blk-file={file}" for file in files]
        argv = [paths.build_dir() / "app" / f"vhostx-{kind}", f"--socket-path={socket}", *words]
        super().__init__(argv, folder / f"{kind}-{time.monotonic_ns()}.log", stdin="null", lifetime=lifetime, name=kind)
        self.wait_listening(socket, _START_SECONDS)

    def end(self) -> None:
        """As an operator ends it; it must go quickly, and well."""
        self.signal(signal.SIGTERM)
        code = self.wait(5)
        assert code == 0, self.explain(f"ended with {code}")


def guest(folder: Path, *devices: Device, **options: object) -> DiskGuest:
    return DiskGuest("guest", *devices, folder=folder, **options)


def assert_tree(result: dict[str, str]) -> None:
    assert int(result["files"]) > 100 and (result["clean"], result["equal"]) == ("yes", "yes"), result


def assert_verified(result: dict[str, str], at_least: int = 100) -> None:
    assert disk.faults(result) == {}, result
    assert int(result["writes"]) >= at_least and int(result["reads"]) >= at_least, result
