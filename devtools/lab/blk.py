# SPDX-License-Identifier: BSD-3-Clause
"""vhost-user-blk back-ends as processes: ours, and QEMU's storage daemon."""

import os
import shutil
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from lab import paths
from lab.process import Process

OURS = "vhostx-blk"
QSD = "qemu-storage-daemon"
READY_SECONDS = 10


def ours_program() -> Path:
    return paths.build_dir() / "app" / OURS


def what_is_missing(*, ours: bool = False, qsd: str | Path = QSD) -> str | None:
    """One sentence on what of a comparison is not there, or None."""
    if ours and not ours_program().exists():
        return f"{ours_program()} is not built: meson setup build && ninja -C build"
    if shutil.which(qsd) is None:
        return f"{qsd} is not installed: apt-get install qemu-utils, or devtools/fetch-qemu10.sh for QEMU 10's"
    return None


class BackEnd(Process):
    """A back-end that listens at `socket` from the moment it is made; `before` goes before its command line."""

    def __init__(self, name: str, folder: Path, argv: Sequence, before: Sequence = (), lifetime: float = 300):
        self.socket = folder / f"{name}.sock"
        super().__init__([*before, *(self.socket if word is None else word for word in argv)], folder / f"{name}.log",
                         stdin="null", name=name, lifetime=lifetime)
        self._wait_ready()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_listening():
            if not self.is_alive() or time.monotonic() > deadline:
                message = self.explain("does not listen")
                self.stop()
                raise AssertionError(message)
            time.sleep(0.02)

    def _is_listening(self) -> bool:
        """Whether there is a socket that somebody has called listen() for: bit 16 of its flags."""
        if not self.socket.exists() or not stat.S_ISSOCK(os.stat(self.socket).st_mode):
            return False
        lines = Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()
        return any(line.endswith(f" {self.socket}") and int(line.split()[3], 16) & 0x10000 for line in lines)


def ours(name: str, folder: Path, *words: str | Path, **options) -> BackEnd:
    """vhostx-blk with these words, such as --memory 256M or --blk-file FILE."""
    return BackEnd(name, folder, [ours_program(), "--socket-path", None, *words], **options)


def qsd(name: str, folder: Path, image: Path, *, aio: str = "threads", iothread: str | None = None,
        program: str | Path = QSD, direct: bool = False, **options) -> BackEnd:
    """QEMU's storage daemon with a raw image; `iothread`: options of an I/O thread to run in, "" for its defaults."""
    socket = folder / f"{name}.sock"
    words: list[str] = []
    export = f"type=vhost-user-blk,id=e,node-name=disk,addr.type=unix,addr.path={socket},writable=on,num-queues=1"
    if iothread is not None:
        words += ["--object", ",".join(filter(None, ["iothread,id=io", iothread]))]
        export += ",iothread=io"
    words += ["--blockdev", f"driver=file,node-name=file,filename={image},aio={aio},"
                            f"cache.direct={'on' if direct else 'off'}",
              "--blockdev", "driver=raw,node-name=disk,file=file", "--export", export]
    return BackEnd(name, folder, [program, *words], **options)
