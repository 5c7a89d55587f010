# SPDX-License-Identifier: BSD-3-Clause
"""A User-mode Linux guest: a real kernel's virtio drivers as an ordinary process, without QEMU or KVM.

Debian's user-mode-linux connects to a vhost-user socket by itself and leaves the control queue to the
back-end. It has one processor, so it uses one queue pair until it is told to use more.
"""

import contextlib
import os
from pathlib import Path

from . import guest, paths

PROGRAM = Path("/usr/bin/linux.uml")
NETWORK = 1  # numbers of virtio's kinds of devices
_MEMORY_FOLDER = "/dev/shm"  # the guest's memory is a file there, unlinked at once


def image_dir() -> Path:
    return paths.build_dir() / "uml"


def make_image() -> Path:
    """Make the initramfs where it is missing; return its folder."""
    return Path(guest.last_line("guest-image.sh", "--uml", image_dir()))


def what_is_missing() -> str | None:
    """One sentence on why no such guest can run here, or None."""
    return None if PROGRAM.exists() else "user-mode-linux is not installed: devtools/setup.sh test"


def argv(name: str, devices: list[tuple[str | Path, int]], folder: str | Path, options: dict[str, object],
         *, initramfs: str = "initramfs", memory: int = 128) -> list[str]:
    """The command line; a device is its socket and the number of its kind in virtio."""
    return [str(PROGRAM), f"mem={memory}M", f"initrd={image_dir() / initramfs}", f"uml_dir={folder}/",
            f"umid={name}", "con=null", "con0=fd:0,fd:1", "console=tty0", "quiet", "panic=-1",
            *[f"virtio_uml.device={socket}:{kind}" for socket, kind in devices], *guest.kernel_words(options)]


def environment() -> dict[str, str]:
    return {"TMPDIR": _MEMORY_FOLDER, "LD_PRELOAD": str(image_dir() / "uml-xstate.so")}


class UmlReporter(guest.Reporter):
    """One guest; devices, options and keywords as argv() takes them."""

    def __init__(self, name: str, devices: list[tuple[str | Path, int]], options: dict[str, object], *,
                 folder: str | Path, lifetime: float = 120, **keywords):
        super().__init__(argv(name, devices, folder, options, **keywords), Path(folder) / f"{name}.log",
                         env=environment(), lifetime=lifetime, name=name)

    def signal(self, number: int) -> None:
        """It makes a session of its own, in which a process for each of the guest's lives."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
        super().signal(number)


class UmlGuest(UmlReporter):
    """One guest with a network device; steps and options as for a guest under QEMU."""

    def __init__(self, name: str, socket: str | Path, *, folder: str | Path, number: int = 1,
                 steps: tuple[str, ...] = ("idle",), options: dict[str, object] | None = None,
                 console: None = None, lifetime: float = 120):
        del console  # it is this process's stdin
        super().__init__(name, [(socket, NETWORK)], guest.addresses(number, steps) | (options or {}),
                         folder=folder, lifetime=lifetime)
