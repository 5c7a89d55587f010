# SPDX-License-Identifier: BSD-3-Clause
"""Interrupts into a pipe or a socket, as User-mode Linux wants them: eight bytes each, whatever the far end does."""

import fcntl
import os
import select
import socket
import struct
import time

import pytest

from driver import NO_STATUS, proves_delivery
from frontend import NOFD, Request, u64

ONE = struct.pack("=Q", 1)


@pytest.fixture
def started(driver):
    return driver.start(protocol=NO_STATUS)


def make_pipe(front) -> tuple[int, int]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    return front.own(reading), front.own(writing)


def give(driver, fd: int) -> None:
    driver.front.do(Request.SET_VRING_CALL, u64(0), [fd])


def read_one(fd: int, seconds: float = 5) -> bytes:
    assert select.select([fd], [], [], seconds)[0], "no interrupt came"
    return os.read(fd, 8)


def drain(fd: int) -> int:
    """Interrupts that are there."""
    nr = 0
    while select.select([fd], [], [], 0.05)[0]:
        assert os.read(fd, 8) == ONE
        nr += 1
    return nr


def socket_pair(front) -> tuple[int, int]:
    mine, theirs = socket.socketpair()
    return front.own(mine.detach()), front.own(theirs.detach())


@pytest.mark.parametrize("make", [make_pipe, socket_pair], ids=["pipe", "socket"])
def test_each_packet_interrupts(started, back, make):
    reading, writing = make(started.front)
    give(started, writing)
    assert read_one(reading) == ONE, "what the old descriptor got last may have been missed"
    for _ in range(3):
        drain(reading)
        proves_delivery(back, started)
        assert read_one(reading) == ONE


def test_replaced_by_an_eventfd_and_back(started, back):
    reading, writing = make_pipe(started.front)
    for _ in range(3):
        give(started, writing)
        assert read_one(reading) == ONE
        give(started, started.rings[0].call)
        started.signals(0)
        drain(reading)
        proves_delivery(back, started)
        assert started.signals(0) == 1 and drain(reading) == 0


def test_nothing_is_left_open(started, back):
    reading, writing = make_pipe(started.front)
    started.front.do(Request.SET_VRING_CALL, u64(0 | NOFD))
    before = back.nr_fds()
    for _ in range(5):
        give(started, writing)
    assert back.nr_fds() == before + 2, "an eventfd of ours and the pipe"
    started.front.do(Request.SET_VRING_CALL, u64(0 | NOFD))
    assert back.nr_fds() == before
    drain(reading)


def test_nobody_reads_any_more(started, back):
    """SIGPIPE would kill the process."""
    reading, writing = os.pipe()
    give(started, writing)
    os.close(writing)
    os.close(reading)
    for _ in range(5):
        proves_delivery(back, started)
    started.front.sync()
    assert back.is_alive()


@pytest.mark.parametrize("blocking", [False, True], ids=["non-blocking", "blocking"])
def test_full_pipe(started, back, blocking):
    """The front-end shares the descriptor's flags: it can make any write to it wait."""
    reading, writing = make_pipe(started.front)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    give(started, writing)
    read_one(reading)
    os.set_blocking(writing, False)
    while True:
        try:
            os.write(writing, bytes(4096))
        except BlockingIOError:
            break
    os.set_blocking(writing, blocking)
    for _ in range(20):
        proves_delivery(back, started)
    started.front.sync()
    os.read(reading, 1 << 16)
    deadline = time.monotonic() + 5
    while not select.select([reading], [], [], 0.05)[0] and time.monotonic() < deadline:
        proves_delivery(back, started)
    assert read_one(reading) == ONE, "it goes on when there is room again"


def test_full_socket(started, back):
    reading, writing = socket_pair(started.front)
    give(started, writing)
    with socket.socket(fileno=os.dup(writing)) as filler:
        filler.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                filler.send(bytes(65536))
        filler.setblocking(True)
    for _ in range(20):
        proves_delivery(back, started)
    started.front.sync()
    assert read_one(reading)


def test_signals_from_both_ends_of_a_stop(driver, back):
    """The descriptor came before the ring ran: the start itself interrupts."""
    reading, writing = make_pipe(driver.front)
    give(driver, writing)
    driver.negotiate(protocol=NO_STATUS)
    driver.share_memory()
    for ring in driver.rings:
        driver.set_up_ring(ring.index, steps="nbak")
    driver.enable()
    assert read_one(reading) == ONE
    driver.front.ask_base(0)
    drain(reading)
    driver.front.sync()
    assert drain(reading) == 0
