# SPDX-License-Identifier: BSD-3-Clause
"""Memory that is plugged into a running guest, and out of it: pc-dimm devices, told by QEMU's machine protocol."""

import mmap
import os
import time
from pathlib import Path

from . import guest
from .moving import Monitor
from .process import ProcessError

_PLUG_SECONDS = 60
_SLOTS = 8
DIMM = 128 << 20  # Linux plugs no less than this


class PluggableGuest(guest.Guest):
    """A guest with room for more memory.

    plug      what its Linux does with it, e.g. "online_movable", which it can give back, or "online_kernel", which
              packets can lie in
    keywords  guest.Guest's
    """

    def __init__(self, name: str, socket: str | Path, *, folder: Path, plug: str, options: dict | None = None,
                 **keywords):
        self._qmp = folder / f"{name}.qmp"
        memory = keywords.setdefault("memory", 256)
        more = ["-m", f"size={memory}M,slots={_SLOTS},maxmem=4G", "-mon", "chardev=qmp,mode=control",
                "-chardev", f"socket,id=qmp,path={self._qmp},server=on,wait=off"]
        super().__init__(name, socket, folder=folder, more=more, options=(options or {}) | {"plug": plug}, **keywords)
        self._monitor: Monitor | None = None

    def stop(self, *words) -> int:
        if self._monitor:
            self._monitor.close()
            self._monitor = None
        return super().stop(*words)

    def monitor(self) -> Monitor:
        if not self._monitor:
            self._monitor = Monitor(self._qmp)
        return self._monitor

    def plug(self, name: str) -> None:
        """The device is there when this returns; Linux needs a moment more."""
        self.monitor().do("object-add", **{"qom-type": "memory-backend-memfd", "id": f"ram-{name}", "size": DIMM,
                                           "share": True})
        self.monitor().do("device_add", driver="pc-dimm", id=name, memdev=f"ram-{name}")

    def dimms(self) -> list[str]:
        return [dimm["data"]["id"] for dimm in self.monitor().do("query-memory-devices")]

    def unplug(self, name: str) -> None:
        """Linux is asked to give it back, again and again: it refuses while it is still busy with taking it."""
        deadline = time.monotonic() + _PLUG_SECONDS
        while name in self.dimms():
            if time.monotonic() > deadline:
                raise ProcessError(self.explain(f"did not give {name} back in {_PLUG_SECONDS} s"))
            try:
                self.monitor().do("device_del", id=name)
            except ProcessError:
                pass  # it was asked already, or has gone just now
            time.sleep(0.5)
        self.monitor().do("object-del", id=f"ram-{name}")

    def has_in_dimm(self, what: bytes) -> bool:
        """Are these bytes in a DIMM's memory? QEMU's file of it tells."""
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            if "memfd:memory-backend" not in os.readlink(entry) or entry.stat().st_size != DIMM:
                continue
            with entry.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
                if memory.find(what) >= 0:
                    return True
        return False
