# SPDX-License-Identifier: BSD-3-Clause
"""Disks that guests have from vhostx-blk and vhostx-scsi: the programs, and what every such test asks of a guest."""

import signal
import time
from pathlib import Path

import pytest

from lab import disk, paths
from lab.disk import Device, DiskGuest
from lab.process import Process, ProcessError

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
        deadline = time.monotonic() + _START_SECONDS
        # After a kill the old socket is still there, until it is replaced: wait for who listens.
        while not _listens(socket, self.pid):
            if not self.is_alive() or time.monotonic() > deadline:
                raise ProcessError(self.explain(f"does not listen on {socket}"))
            time.sleep(0.005)

    def end(self) -> None:
        """As an operator ends it; it must go quickly, and well."""
        self.signal(signal.SIGTERM)
        code = self.wait(5)
        assert code == 0, self.explain(f"ended with {code}")


def _listens(socket: Path, pid: int) -> bool:
    """Whether this process has a listening socket of that name."""
    inodes = {line.split()[6] for line in Path("/proc/net/unix").read_text(encoding="ascii").splitlines()
              if line.endswith(f" {socket}")}
    try:
        held = {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:
        return False
    return any(f"socket:[{inode}]" in held for inode in inodes)


def guest(folder: Path, *devices: Device, **options: object) -> DiskGuest:
    return DiskGuest("guest", *devices, folder=folder, **options)


def assert_tree(result: dict[str, str]) -> None:
    assert int(result["files"]) > 100 and (result["clean"], result["equal"]) == ("yes", "yes"), result


def assert_verified(result: dict[str, str], at_least: int = 100) -> None:
    assert disk.faults(result) == {}, result
    assert int(result["writes"]) >= at_least and int(result["reads"]) >= at_least, result
