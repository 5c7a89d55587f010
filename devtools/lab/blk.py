# SPDX-License-Identifier: BSD-3-Clause
"""vhostx-blk and other back-ends of disks that take their socket's path as a word."""

from collections.abc import Sequence
from pathlib import Path

from . import paths
from .process import Process

PROGRAM = "vhostx-blk"


def program() -> Path:
    return paths.build_dir() / "app" / PROGRAM


def what_is_missing() -> str | None:
    """One sentence on why vhostx-blk cannot run here, or None."""
    return None if program().exists() else f"{program()} is not built: meson setup build && ninja -C build"


class BackEnd(Process):
    """A back-end that listens at `socket` from the moment it is made.

    words   its command line, where None stands for the socket's path
    before  what goes before it: ["taskset", "-c", "1"]
    """

    def __init__(self, words: Sequence, socket: Path, *, folder: Path, name: str, before: Sequence = (),
                 lifetime: float = 300):
        self.socket = socket
        super().__init__([*before, *(socket if word is None else word for word in words)], folder / f"{name}.log",
                         stdin="null", name=name, lifetime=lifetime)
        self.wait_listening(socket)


class VhostxBlk(BackEnd):
    """vhostx-blk with words such as --memory 256M."""

    def __init__(self, *words: str | Path, socket: Path, **keywords):
        super().__init__([program(), "--socket-path", None, *words], socket, **keywords)
