# SPDX-License-Identifier: BSD-3-Clause
"""Guests with disks (and a random number generator) on vhost-user sockets, and QEMU's own back-end to compare with.

devtools/guest/disk says what such a guest can do and how it reports.
"""

import contextlib
import json
import os
import re
import socket as sockets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import guest, uml
from .process import Process, ProcessError

SECTOR = 512
_STEP_SECONDS = 90
_START_SECONDS = 10
_UML_KINDS = {"blk": 2, "scsi": 8}
_COUNT_PROPS = {"blk": ("num-queues", "queue-size"), "scsi": ("num_queues", "virtqueue_size")}
FAULTS = ("lost", "stale", "torn", "misplaced", "errors", "stuck")  # what step verify may find


def what_is_missing() -> str | None:
    """One sentence on why no guest with a disk can run here, or None."""
    return guest.what_is_missing()


def make_image() -> Path:
    """Make what such a guest boots where it is missing, QEMU 10 too; return its folder."""
    guest.private_qemu()
    return guest.make_image()


def sparse_file(path: Path, size: int) -> Path:
    """A disk's file, all zeros."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def faults(result: dict[str, str]) -> dict[str, int]:
    """What a verify, write or check found wrong; empty when nothing."""
    return {name: int(result[name]) for name in FAULTS if int(result[name]) > 0}


@dataclass(frozen=True)
class Device:
    """One device of a guest.

    kind          "blk", "scsi" or "rng"
    server        QEMU listens on the socket, the back-end connects
    reconnect_ms  QEMU connects again so long after the back-end is gone; None: never
    props         more of the device's: {"packed": "on"}
    """

    socket: str | Path
    kind: str = "blk"
    queues: int = 1
    queue_size: int | None = None
    server: bool = False
    reconnect_ms: int | None = None
    props: dict[str, object] = field(default_factory=dict)

    def qemu_args(self, number: int, always: dict[str, object]) -> list[str]:
        chardev = f"socket,id=dev{number},path={self.socket}"
        if self.server:
            chardev += ",server=on,wait=off"
        elif self.reconnect_ms is not None:
            chardev += f",reconnect-ms={self.reconnect_ms}"
        props = {"chardev": f"dev{number}"} | always | self._counts() | self.props
        return ["-chardev", chardev, "-device", _words(f"vhost-user-{self.kind}-pci", props)]

    def _counts(self) -> dict[str, object]:
        names = _COUNT_PROPS.get(self.kind, ())
        return {name: value for name, value in zip(names, (self.queues, self.queue_size)) if value is not None}


@dataclass(frozen=True)
class OwnDevice:
    """The same device, served by QEMU itself: for what no other back-end can show.

    kind   "blk", "scsi" or "rng"; the disk of the first two is this image, with these properties
    """

    kind: str = "blk"
    image: str | Path | None = None
    queues: int = 1
    props: dict[str, object] = field(default_factory=dict)
    disk_props: dict[str, object] = field(default_factory=dict)

    def qemu_args(self, number: int, _always: dict[str, object]) -> list[str]:
        device, disk = {"id": f"dev{number}"} | self.props, {"drive": f"disk{number}"} | self.disk_props
        if self.kind == "rng":
            return ["-device", _words("virtio-rng-pci", device)]
        args = ["-blockdev", f"driver=file,node-name=disk{number},filename={self.image},discard=unmap"]
        device |= {_COUNT_PROPS[self.kind][0]: self.queues}
        if self.kind == "blk":
            return [*args, "-device", _words("virtio-blk-pci", device | disk)]
        return [*args, "-device", _words("virtio-scsi-pci", device),
                "-device", _words("scsi-hd", disk | {"bus": f"dev{number}.0"})]


def _words(device: str, props: dict[str, object]) -> str:
    return ",".join([device, *[f"{key}={value}" for key, value in props.items()]])


class DiskReports:
    """What guests with disks have beyond Reporter, under QEMU and User-mode Linux alike, whoever starts them."""

    def result(self, step: str, timeout: float = _STEP_SECONDS, offset: int = 0) -> dict[str, str]:
        """As Reporter's; a step that cannot be done is told at once."""
        pattern = re.compile(rf"GUEST-RESULT ({step}|error) [^\n]*\n")
        found = pattern.search(self.wait_for(pattern, timeout, offset))
        if found[1] == "error":
            raise ProcessError(self.explain(found[0].strip()))
        return super().result(step, timeout, offset)

    def begin(self, step: str, **options: object) -> int:
        """Type a step at the guest's shell; return what result() needs as offset."""
        self.wait_for("GUEST-DONE", _STEP_SECONDS)
        mark = self.mark()
        self.send(" ".join(["/disk", step, *guest.kernel_words(options)]))
        return mark

    def do(self, step: str, timeout: float = _STEP_SECONDS, **options: object) -> dict[str, str]:
        """Do a step now, after those that the guest was started with; return its result."""
        return self.result(step, timeout, self.begin(step, **options))

    def begin_running(self, step: str, timeout: float = _STEP_SECONDS, **options: object) -> int:
        """begin(), and wait until it is in the middle of it: verify and write when every place is written once."""
        mark = self.begin(step, **options)
        self.wait_for(f"GUEST-RUNNING {step}", timeout, mark)
        return mark


class DiskGuest(DiskReports, guest.QemuGuest):
    """One guest under QEMU 10 with these devices.

    steps       what the guest does, in order: see guest/disk
    options     more of guest/disk's options: {"seconds": 3}
    processors  default: as many as the device with most has queues, since each uses one of them
    """

    def __init__(self, name: str, *devices: Device | OwnDevice, folder: str | Path,
                 steps: tuple[str, ...] = ("idle",), options: dict[str, object] | None = None,
                 qemu: str | None = None, accel: str | None = None, processors: int | None = None, **keywords):
        qemu = qemu or guest.private_qemu()
        always = guest.always_props(qemu, accel)
        args = [arg for number, device in enumerate(devices) for arg in device.qemu_args(number, always)]
        super().__init__(name, args, {"do": ",".join(steps)} | (options or {}), folder=folder,
                         initramfs="initramfs-disk", qemu=qemu, accel=accel,
                         processors=processors or max(device.queues for device in devices), **keywords)


class UmlDiskGuest(DiskReports, uml.UmlReporter):
    """One guest under User-mode Linux, which uses one queue of each device."""

    def __init__(self, name: str, *devices: Device, folder: str | Path, steps: tuple[str, ...] = ("idle",),
                 options: dict[str, object] | None = None, **keywords):
        super().__init__(name, [(device.socket, _UML_KINDS[device.kind]) for device in devices],
                         {"do": ",".join(steps)} | (options or {}), folder=folder,
                         initramfs="initramfs-disk", **keywords)


class StorageDaemon(Process):
    """QEMU 10's own vhost-user-blk back-end on one image; it serves when the constructor returns.

    aio         "threads" or "io_uring"
    block_size  logical, of the disk
    iothread    the export's own thread, with these properties ("" for none of them); None: the main one serves it
    before      what goes before the command line: ["taskset", "-c", "1"]
    """

    def __init__(self, image: str | Path, socket: str | Path, *, folder: str | Path, queues: int = 1,
                 aio: str = "threads", writable: bool = True, block_size: int = SECTOR, iothread: str | None = None,
                 before: Sequence[str] = (), name: str = "daemon", lifetime: float = 300):
        self._qmp = Path(folder) / f"{name}.qmp"
        self.socket = Path(socket)
        on = "on" if writable else "off"
        thread = [] if iothread is None else ["--object", ",".join(filter(None, ["iothread,id=thread", iothread]))]
        argv = [*before, guest.private_tool("qemu-storage-daemon"), *thread,
                "--chardev", f"socket,id=qmp,path={self._qmp},server=on,wait=off", "--monitor", "chardev=qmp",
                "--blockdev", f"driver=file,node-name=disk,filename={image},aio={aio},discard=unmap,"
                              f"read-only={'off' if writable else 'on'}",
                "--export", f"vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path={socket},"
                            f"writable={on},num-queues={queues},logical-block-size={block_size}"
                            f"{',iothread=thread' if thread else ''}"]
        for path in (Path(socket), self._qmp):
            path.unlink(missing_ok=True)
        super().__init__(argv, Path(folder) / f"{name}.log", stdin="null", lifetime=lifetime, name=name)
        self.wait_listening(socket, _START_SECONDS)

    def resize(self, size: int) -> None:
        """Make the disk so many bytes long; the guest is told."""
        with contextlib.closing(sockets.socket(sockets.AF_UNIX)) as qmp:
            qmp.settimeout(_START_SECONDS)
            qmp.connect(str(self._qmp))
            lines = qmp.makefile("rw")
            self._command(lines, "qmp_capabilities")
            self._command(lines, "block_resize", **{"node-name": "disk", "size": size})

    def _command(self, lines, name: str, **arguments: object) -> None:
        lines.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        lines.flush()
        while "return" not in (answer := json.loads(lines.readline())):
            if "error" in answer:
                raise ProcessError(self.explain(f"{name}: {answer['error']['desc']}"))
