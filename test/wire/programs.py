# SPDX-License-Identifier: BSD-3-Clause
"""Programs on the library, started with their sockets and ended in an orderly way."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from lab.process import is_listening

SECONDS = 10


def program(*parts: str) -> Path:
    return Path(os.environ["VHOSTX_BUILD"]).joinpath(*parts)


def wait_for(what, seconds: float = SECONDS):
    """Until `what()` is true; its value."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)
    return value


@contextmanager
def running(path: Path, *sockets: Path):
    """The program, listening on all of these; it must end well when it is told to."""
    process = subprocess.Popen([path, *sockets], stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: all(is_listening(process.pid, one) for one in sockets) or process.poll() is not None)
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0, process.stderr.read()
        assert not any(socket.exists() for socket in sockets)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
