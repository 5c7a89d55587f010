# SPDX-License-Identifier: BSD-3-Clause
"""What a network device keeps of its driver, carried to another back-end: SET_DEVICE_STATE_FD, CHECK_DEVICE_STATE."""

import fcntl
import os
import select
import socket
import struct
import time

import pytest

from backend import MAIN, PLAIN, VDPA
from driver import ALL_PROTOCOL, BASIC_FEATURES
from frontend import Feature, Protocol, Request, bits, u64

SAVE, LOAD = 0, 1
STOPPED = 0
NOFD, ERROR = 0x100, 1
PROTOCOL = ALL_PROTOCOL | bits(Protocol.DEVICE_STATE)
PROMISC, ALLMULTI, HAS_MAC = 1, 2, 4
MAC = bytes.fromhex("525400aabbcc")


def state_of(magic=b"NVXT", version=1, pairs=1, flags=PROMISC | HAS_MAC, unicast=3, multicast=5, mac=MAC,
             vlans=bytes([2]) + bytes(511)) -> bytes:
    """The first version's layout."""
    return struct.pack("<4sHHIII6s6x512s", magic, version, pairs, flags, unicast, multicast, mac, vlans)


@pytest.fixture
def driver(make_driver):
    made = make_driver(MAIN)
    made.negotiate(BASIC_FEATURES, PROTOCOL)
    return made


def begin(front, direction: int, fd: int, phase: int = STOPPED) -> int:
    return struct.unpack("=Q", front.ask(Request.SET_DEVICE_STATE_FD, struct.pack("=II", direction, phase), [fd]))[0]


def check(front) -> int:
    return front.ask_u64(Request.CHECK_DEVICE_STATE)


def read_all(fd: int) -> bytes:
    read = b""
    while select.select([fd], [], [], 10)[0]:
        piece = os.read(fd, 65536)
        if not piece:
            return read
        read += piece
    raise AssertionError(f"no end after {len(read)} bytes")


def save(front) -> bytes:
    reader, writer = os.pipe()
    try:
        assert begin(front, SAVE, writer) == NOFD
        os.close(writer)
        saved = read_all(reader)
        assert check(front) == 0
        return saved
    finally:
        os.close(reader)


def load(front, state: bytes) -> int:
    reader, writer = os.pipe()
    try:
        assert begin(front, LOAD, reader) == NOFD
        at = 0
        while at < len(state):
            at += os.write(writer, state[at:])
    finally:
        os.close(writer)
        os.close(reader)
    return check(front)


def test_who_has_state_offers_it(connect):
    assert connect(MAIN).ask_u64(Request.GET_PROTOCOL_FEATURES) & bits(Protocol.DEVICE_STATE)
    assert connect(PLAIN).ask_u64(Request.GET_PROTOCOL_FEATURES) & bits(Protocol.DEVICE_STATE)
    assert not connect(VDPA).ask_u64(Request.GET_PROTOCOL_FEATURES) & bits(Protocol.DEVICE_STATE)


def test_a_driver_that_said_nothing(driver):
    assert save(driver.front) == state_of(pairs=0, flags=0, unicast=0, multicast=0, mac=bytes(6), vlans=bytes(512))


def test_there_and_back(driver):
    """Also past SET_FEATURES, which otherwise begins with a driver that said nothing."""
    assert load(driver.front, state_of()) == 0
    assert save(driver.front) == state_of()
    driver.front.do(Request.SET_FEATURES, u64(BASIC_FEATURES))
    assert save(driver.front) == state_of()
    driver.front.do(Request.RESET_DEVICE)
    assert save(driver.front) != state_of()


def test_a_socket_will_do(driver):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert begin(driver.front, LOAD, theirs.fileno()) == NOFD
        ours.sendall(state_of())
        ours.shutdown(socket.SHUT_WR)
        assert check(driver.front) == 0
    assert save(driver.front) == state_of()


@pytest.mark.parametrize("state, reason", [
    (b"", "no state of a network device"),
    (state_of()[:-1], "no state of a network device"),
    (state_of() + b"x", "of another version"),
    (state_of(magic=b"TXVN"), "no state of a network device"),
    (state_of(version=2), "of another version"),
    (state_of(pairs=9), "more queue pairs than this port has"),
    (state_of(flags=8), "flags that this version has not"),
    (state_of(mac=b"\x01" + MAC[1:]), "a group's"),
    (b"\xff" * 544, "no state of a network device"),
])
def test_bytes_that_make_no_sense(back, driver, state, reason):
    """Nothing of them is taken, and the conversation goes on."""
    before, seen = save(driver.front), back.mark()
    assert load(driver.front, state) == ERROR
    assert reason in back.wait_log("device state: not loaded", seen)
    assert save(driver.front) == before


def test_more_than_any_device_has(back, driver):
    reader, writer = os.pipe()
    seen = back.mark()
    assert begin(driver.front, LOAD, reader) == NOFD
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        for _ in range(100):
            os.write(writer, bytes(65536))
    os.close(writer)
    assert "more of it than any device has" in back.wait_log("device state: not loaded", seen)
    assert check(driver.front) == ERROR


@pytest.mark.parametrize("direction, phase, reason", [
    (2, 0, "no such direction"), (SAVE, 1, "no such phase"), (0xFFFFFFFF, 0xFFFFFFFF, "no such direction"),
])
def test_what_cannot_be_asked_for(back, driver, direction, phase, reason):
    reader, writer = os.pipe()
    seen = back.mark()
    assert begin(driver.front, direction, writer, phase) == NOFD | ERROR
    assert reason in back.wait_log("SET_DEVICE_STATE_FD", seen)
    assert check(driver.front) == ERROR
    os.close(reader)
    os.close(writer)


def test_neither_a_pipe_nor_a_socket(back, driver):
    seen = back.mark()
    assert begin(driver.front, SAVE, driver.front.eventfd()) == NOFD | ERROR
    assert "neither a pipe nor a socket" in back.wait_log("SET_DEVICE_STATE_FD", seen)


def test_rings_that_run(back, make_driver):
    running = make_driver(MAIN).start(BASIC_FEATURES, PROTOCOL)
    reader, writer = os.pipe()
    seen = back.mark()
    assert begin(running.front, SAVE, writer) == NOFD | ERROR
    assert "rings run" in back.wait_log("SET_DEVICE_STATE_FD", seen)
    assert back.port(MAIN)["stage"] == "running"
    os.close(reader)
    os.close(writer)


def test_check_without_a_transfer(back, driver):
    seen = back.mark()
    assert check(driver.front) == ERROR
    back.wait_log("no transfer was begun", seen)


def test_a_pipe_that_nobody_reads(back, driver):
    """The reader is gone: an error, and no signal that would end the process."""
    reader, writer = os.pipe()
    seen = back.mark()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, bytes(4096))
        except BlockingIOError:
            break
    assert begin(driver.front, SAVE, writer) == NOFD
    os.close(writer)
    os.close(reader)
    assert check(driver.front) == ERROR
    assert "Broken pipe" in back.wait_log("device state: not saved", seen)


def test_a_full_pipe_holds_up_nobody_else(back, driver, connect):
    """Not even if the front-end says that writes to it may block."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, bytes(4096))
    assert begin(driver.front, SAVE, writer) == NOFD
    begun = time.monotonic()
    connect(PLAIN).ask_u64(Request.GET_FEATURES)
    assert time.monotonic() - begun < 5
    os.close(writer)
    assert len(read_all(reader)) == 4096 + len(state_of())
    assert check(driver.front) == 0
    os.close(reader)


@pytest.mark.parametrize("direction", [SAVE, LOAD])
def test_a_front_end_that_goes_meanwhile(back, driver, direction):
    nr_fds = back.nr_fds()
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, bytes(4096))
    assert begin(driver.front, direction, writer if direction == SAVE else reader) == NOFD
    assert back.nr_fds() == nr_fds + 1
    driver.front.close()
    back.wait_stage("listening", MAIN)
    assert back.nr_fds() < nr_fds
    os.close(reader)
    os.close(writer)


# -- a device of one's own -------------------------------------------------------------------------

OWN_MAX = 1 << 20


@pytest.fixture
def own(make_driver):
    made = make_driver(PLAIN)
    made.negotiate(bits(Feature.VERSION_1, Feature.PROTOCOL_FEATURES), PROTOCOL)
    return made


@pytest.mark.parametrize("length", [0, 1, 65536, OWN_MAX])
def test_a_device_of_ones_own(own, length):
    """Its bytes are its own business."""
    state = bytes(number % 251 for number in range(length))
    assert load(own.front, state) == 0
    assert save(own.front) == state


def test_a_device_of_ones_own_refuses(back, own):
    assert load(own.front, b"kept") == 0
    seen = back.mark()
    assert load(own.front, b"!not this") == ERROR
    assert "Invalid argument" in back.wait_log("device state: not loaded after 9 bytes", seen)
    assert save(own.front) == b"kept"
