# SPDX-License-Identifier: BSD-3-Clause
"""The disks' services as systemd starts them: the unit's own command line, and a listening socket in descriptor 3."""

import os
import re
import shlex
import signal
import socket
import struct
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from driver import BUFFERS_AT, DESC_F_WRITE, Driver
from frontend import Feature, FrontEnd, Request, bits
from programs import SECONDS, program, wait_for

FEATURES = bits(Feature.VERSION_1, Feature.PROTOCOL_FEATURES)
SECTOR, NR_SECTORS = 512, 2048
KINDS = ("blk", "scsi")


def command_of(kind: str, options: str) -> list[str]:
    """ExecStart of the unit, with the build's program in place of the installed one."""
    unit = program("app", "disk", "install", f"vhostx-{kind}@.service").read_text(encoding="utf-8")
    words = shlex.split(re.search(r"^ExecStart=(.*)$", unit, re.M)[1])
    assert Path(words[0]).name == f"vhostx-{kind}" and words[-1] == "$OPTIONS"
    return [str(program("app", f"vhostx-{kind}")), *words[1:-1], *options.split()]


@contextmanager
def served(command: list[str], listener: socket.socket):
    """The service, which must end well when it is told to."""
    process = subprocess.Popen(command, preexec_fn=lambda: os.dup2(listener.fileno(), 3), pass_fds=[3],
                               stderr=subprocess.PIPE, text=True)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0, process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture
def listener(folder):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "disk.sock"))
        made.listen()
        yield made


@pytest.fixture
def image(folder):
    """A disk whose every sector says its number."""
    path = folder / "disk.img"
    path.write_bytes(b"".join(number.to_bytes(SECTOR, "little") for number in range(NR_SECTORS)))
    return path


def read_sector(path: Path, number: int) -> bytes:
    """As a new front-end's guest sees it (virtio 1.2 5.2.6)."""
    driver = Driver(FrontEnd.connect(path), 1).start(FEATURES)
    try:
        question, data, status = (driver.memory.guest + BUFFERS_AT + at for at in (0, 4096, 8192))
        driver.memory.map[BUFFERS_AT:BUFFERS_AT + 16] = struct.pack("<IIQ", 0, 0, number)
        driver.memory.map[BUFFERS_AT + 8192] = 0xFF
        driver.rings[0].post_chain([(question, 16, 0), (data, SECTOR, DESC_F_WRITE), (status, 1, DESC_F_WRITE)])
        os.eventfd_write(driver.rings[0].kick, 1)
        wait_for(lambda: driver.rings[0].used_idx() == 1)
        assert driver.memory.map[BUFFERS_AT + 8192] == 0
        return bytes(driver.memory.map[BUFFERS_AT + 4096:BUFFERS_AT + 4096 + SECTOR])
    finally:
        driver.close()


def test_disk_on_a_socket_of_systemd(folder, listener, image):
    """Virtual machines come and go, and so does the service; the socket stays, and who connects meanwhile waits."""
    command = command_of("blk", f"--blk-file={image} --num-queues=2")
    path = folder / "disk.sock"
    with served(command, listener) as process:
        for number in (7, NR_SECTORS - 1):
            assert read_sector(path, number) == number.to_bytes(SECTOR, "little")
        process.send_signal(signal.SIGHUP)  # the unit's ExecReload
        assert read_sector(path, 8) == (8).to_bytes(SECTOR, "little")
    assert path.is_socket()
    with served(command, listener):
        assert read_sector(path, 9) == (9).to_bytes(SECTOR, "little")


@pytest.mark.parametrize("kind", KINDS)
def test_who_connects_first_is_served_when_it_has_started(folder, listener, image, kind):
    """As systemd does it: the socket is there, the service comes with the first connection."""
    with FrontEnd.connect(folder / "disk.sock").sock as early:
        with served(command_of(kind, f"--blk-file={image}"), listener):
            early.sendall(struct.pack("=III", Request.GET_FEATURES, 1, 0))
            early.settimeout(SECONDS)
            assert early.recv(4) == struct.pack("=I", Request.GET_FEATURES)


@pytest.mark.parametrize("kind", KINDS)
def test_no_socket_in_descriptor_3(image, kind):
    command = command_of(kind, f"--blk-file={image}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 1 and "descriptor 3" in done.stderr
