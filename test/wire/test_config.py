# SPDX-License-Identifier: BSD-3-Clause
"""The configuration space, for front-ends that have none of their own: User-mode Linux, crosvm."""

import struct

import pytest

from backend import WIDE
from driver import ALL_PROTOCOL, BASIC_FEATURES
from frontend import Protocol, Request, bits, config, u64

SPACE = struct.Struct("<6sHHH")  # mac, status, pairs, mtu
LINK_UP = 1


def read(front, offset: int, size: int, flags: int = 0) -> bytes:
    reply = front.ask(Request.GET_CONFIG, config(offset, bytes(size), flags))
    assert reply[:12] == config(offset, b"", flags, size=size)
    assert len(reply) == 12 + size
    return reply[12:]


@pytest.fixture
def agreed(driver):
    driver.negotiate()
    return driver.front


def test_what_is_in_it(agreed):
    assert SPACE.unpack(read(agreed, 0, SPACE.size)) == (bytes(6), LINK_UP, 2, 1500)


def test_pairs_of_a_wide_port(make_driver):
    driver = make_driver(WIDE)
    driver.negotiate()
    assert SPACE.unpack(read(driver.front, 0, SPACE.size))[2] == 128


def test_announced_mtu(agreed):
    agreed.do(Request.NET_SET_MTU, u64(9000))
    assert read(agreed, 10, 2) == struct.pack("<H", 9000)


@pytest.mark.parametrize("offset, size", [(0, 0), (0, 256), (6, 2), (11, 1), (256, 0), (255, 1)])
def test_any_part_of_it(agreed, offset, size):
    whole = read(agreed, 0, 256)
    assert whole[SPACE.size:] == bytes(256 - SPACE.size), "what lies behind reads as zero"
    assert read(agreed, offset, size, flags=1) == whole[offset:offset + size]


@pytest.mark.parametrize("offset", [0, 6, 200])
def test_read_only(back, agreed, offset):
    mark = back.mark()
    before = read(agreed, 0, 256)
    agreed.refuse(Request.SET_CONFIG, config(offset, b"\x02\0\0\0\0\1"))
    assert "is read-only" in back.wait_log("refused: SET_CONFIG", mark)
    assert read(agreed, 0, 256) == before


def test_not_offered_before_set_owner(front):
    """QEMU asks then, serves a network device's configuration itself and warns about the offer."""
    mask = ALL_PROTOCOL & ~bits(Protocol.CONFIG)
    assert front.ask_u64(Request.GET_PROTOCOL_FEATURES) & ALL_PROTOCOL == mask
    front.refuse(Request.SET_PROTOCOL_FEATURES, u64(ALL_PROTOCOL))
    front.do(Request.SET_PROTOCOL_FEATURES, u64(mask))
    front.do(Request.SET_FEATURES, u64(BASIC_FEATURES))
    front.do(Request.SET_OWNER)
    assert front.ask_u64(Request.GET_PROTOCOL_FEATURES) & ALL_PROTOCOL == ALL_PROTOCOL
