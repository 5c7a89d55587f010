# SPDX-License-Identifier: BSD-3-Clause
"""A guest that is moved from one QEMU to another on this machine, while it runs: live migration.

    devices on sockets[0] -- QEMU 1 --.
                                      | the guest, first here, then there, and back
    devices on sockets[1] -- QEMU 2 --'
"""

import contextlib
import json
import socket as sockets
import time
from pathlib import Path

from . import guest
from .process import ProcessError

_QMP_SECONDS = 20
_MOVE_SECONDS = 60


class Monitor:
    """QEMU's machine protocol, as much of it as a move needs."""

    def __init__(self, path: Path):
        deadline = time.monotonic() + _QMP_SECONDS
        self._socket = sockets.socket(sockets.AF_UNIX)
        self._socket.settimeout(_QMP_SECONDS)
        while self._socket.connect_ex(str(path)):
            if time.monotonic() > deadline:
                raise ProcessError(f"nobody answers at {path}")
            time.sleep(0.05)
        self._lines = self._socket.makefile("rw")
        self._answer("QMP")
        self.do("qmp_capabilities")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def _answer(self, key: str) -> dict:
        """The next answer; events that come before it are passed over."""
        while key not in (answer := json.loads(self._lines.readline())):
            if "error" in answer:
                raise ProcessError(answer["error"]["desc"])
        return answer[key]

    def do(self, command: str, **arguments: object) -> dict:
        self._lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._lines.flush()
        return self._answer("return")


class MovingGuest:
    """One guest with a network device, that move() moves to the other socket.

    socket_of   the two sockets; the guest begins at the first
    keywords    guest.Guest's

    What it reports is in the log of the QEMU it is in when it says so: result() looks in all of them.
    """

    def __init__(self, folder: str | Path, socket_of: tuple[Path, Path], **keywords):
        self._folder, self._sockets, self._keywords = Path(folder), socket_of, keywords
        self._serial = 0
        self.at = 0
        self.here = self._start(self.at, [])
        self._been = [self.here]

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.here.stop()

    def _path(self, serial: int, what: str) -> Path:
        return self._folder / f"qemu{serial}.{what}"

    def _start(self, at: int, more: list[str]) -> guest.Guest:
        self._serial += 1
        qmp = f"socket,id=qmp,path={self._path(self._serial, 'qmp')},server=on,wait=off"
        return guest.Guest(f"qemu{self._serial}", self._sockets[at], folder=self._folder,
                           more=["-chardev", qmp, "-mon", "chardev=qmp,mode=control", *more], **self._keywords)

    def monitor(self) -> contextlib.closing:
        return contextlib.closing(Monitor(self._path(self._serial, "qmp")))

    def move(self, postcopy: bool = False, **parameters: object) -> dict[str, object]:
        """To the other socket; what QEMU says of the move (downtime, total-time... in ms).

        postcopy    it runs there at once, and its memory comes after it
        """
        channel = self._path(self._serial + 1, "in")
        with self.monitor() as source:
            there = self._start(1 - self.at, ["-incoming", f"unix:{channel}"])
            try:
                source.do("migrate-set-parameters", **({"max-bandwidth": 1 << 30} | parameters))
                there.wait_listening(channel)
                if postcopy:
                    self._allow_postcopy(source)
                source.do("migrate", uri=f"unix:{channel}")
                if postcopy:
                    self._begin_postcopy(source)
                said = self._wait_moved(source)
            except BaseException:
                there.stop()
                raise
        self.here.stop()
        self.here, self.at = there, 1 - self.at
        self._been.append(there)
        return said

    def _allow_postcopy(self, source: Monitor) -> None:
        """On both sides; `self.monitor()` is the one that was started last."""
        with self.monitor() as destination:
            for monitor in (source, destination):
                monitor.do("migrate-set-capabilities",
                           capabilities=[{"capability": "postcopy-ram", "state": True}])

    @staticmethod
    def _begin_postcopy(source: Monitor) -> None:
        deadline = time.monotonic() + _QMP_SECONDS
        while source.do("query-migrate").get("status") in (None, "setup") and time.monotonic() < deadline:
            time.sleep(0.01)
        source.do("migrate-start-postcopy")

    def _where_it_said(self, step: str) -> guest.Guest | None:
        return next((place for place in self._been if f"GUEST-RESULT {step} " in place.output()), None)

    def has_said(self, step: str) -> bool:
        return self._where_it_said(step) is not None

    def result(self, step: str, timeout: float) -> dict[str, str]:
        """As guest.Reporter's, wherever the guest was when it said so."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            place = self._where_it_said(step)
            if place:
                return place.result(step)
            time.sleep(0.1)
        raise ProcessError(self.here.explain(f"said nothing of {step} within {timeout} s"))

    def _wait_moved(self, source: Monitor) -> dict[str, object]:
        deadline = time.monotonic() + _MOVE_SECONDS
        while (said := source.do("query-migrate")).get("status") != "completed":
            if said.get("status") in ("failed", "cancelled"):
                raise ProcessError(self.here.explain(f"was not moved: {said.get('error-desc', said['status'])}"))
            if time.monotonic() > deadline:
                raise ProcessError(self.here.explain(f"is not moved within {_MOVE_SECONDS} s: {said}"))
            time.sleep(0.05)
        return said
