# SPDX-License-Identifier: BSD-3-Clause
"""vhostx-blk: what it says of itself, what may be set, and a disk that gets another size."""

import os
import signal
import struct

import pytest

from channel import CHANGED, Channel
from disk import BASE, F_BLK_SIZE, F_CONFIG_WCE, F_DISCARD, F_FLUSH, F_MQ, F_RO, F_SEG_MAX, F_TOPOLOGY
from disk import F_WRITE_ZEROES, IN, IOERR, SECTOR, WCE_AT, BlkDriver, blk, guest, part, some_bytes
from frontend import Feature, Protocol, Request, bits, config

SIZES_OF_QEMU = [36, 48, 57, 60, 256]
CLASS_BITS = (1 << 24) - 1  # below are the features of a kind of device
ALWAYS = bits(F_SEG_MAX, F_BLK_SIZE, F_FLUSH, F_TOPOLOGY, F_CONFIG_WCE)
GIVE_UP = bits(F_DISCARD, F_WRITE_ZEROES)

CONFIG = struct.Struct("<QIIHBBIBBHIBBHIIIIIB3x")
CONFIG_FIELDS = ["capacity", "size_max", "seg_max", "cylinders", "heads", "sectors", "blk_size", "physical_exp",
                 "alignment", "min_io", "opt_io", "wce", "unused", "num_queues", "max_discard", "max_discard_seg",
                 "discard_alignment", "max_zeroes", "max_zeroes_seg", "zeroes_unmap"]


def fields(driver: BlkDriver) -> dict[str, int]:
    return dict(zip(CONFIG_FIELDS, CONFIG.unpack(driver.config(0, CONFIG.size))))


# -- features --------------------------------------------------------------------------------------


@pytest.mark.parametrize("words, features", [
    ([], ALWAYS | GIVE_UP), (["--read-only"], ALWAYS | bits(F_RO)),
    (["--num-queues", "1"], ALWAYS | GIVE_UP), (["--num-queues", "2"], ALWAYS | GIVE_UP | bits(F_MQ)),
    (["--num-queues", "128", "--read-only"], ALWAYS | bits(F_RO, F_MQ))])
def test_features(folder, image, words, features):
    with blk(folder, "--blk-file", image, *words) as prog:
        driver = BlkDriver(prog.socket)
        offered = driver.front.ask_u64(Request.GET_FEATURES)
        assert offered & CLASS_BITS == features
        assert offered & BASE == BASE
        assert offered & bits(Feature.RING_PACKED, Feature.EVENT_IDX) == bits(Feature.RING_PACKED, Feature.EVENT_IDX)
        assert not offered & bits(Feature.IN_ORDER)  # slow requests would keep quick ones waiting
        protocol = driver.front.ask_u64(Request.GET_PROTOCOL_FEATURES)
        wanted = bits(Protocol.MQ, Protocol.CONFIG, Protocol.INFLIGHT_SHMFD, Protocol.BACKEND_REQ, Protocol.REPLY_ACK)
        assert protocol & wanted == wanted
        nr = int(words[1]) if words and words[0] == "--num-queues" else 1
        driver.negotiate(BASE)
        assert driver.front.ask_u64(Request.GET_QUEUE_NUM) == nr
        assert fields(driver)["num_queues"] == nr
        driver.close()


# -- reading ---------------------------------------------------------------------------------------


def test_fields(disk):
    seen = fields(disk)
    block = seen["min_io"]
    assert seen["capacity"] == 8192 and seen["blk_size"] == 512 and seen["seg_max"] == 126
    assert block == os.stat(disk.image).st_blksize // SECTOR == 1 << seen["physical_exp"]
    assert (seen["size_max"], seen["cylinders"], seen["alignment"]) == (0, 0, 0)
    assert seen["wce"] == 1 and seen["num_queues"] == 1
    assert (seen["max_discard"], seen["max_discard_seg"], seen["discard_alignment"]) == (1 << 22, 1, block)
    assert (seen["max_zeroes"], seen["max_zeroes_seg"], seen["zeroes_unmap"]) == (1 << 17, 1, 1)


def test_any_part_of_it(disk):
    """Behind its end there are zeros: newer drivers know more fields."""
    whole = disk.config(0, 256)
    assert whole[:60] == disk.config() and whole[60:] == bytes(196)
    for length in SIZES_OF_QEMU:
        assert disk.config(0, length) == whole[:length]
    for offset, length in ((0, 1), (8, 4), (31, 3), (32, 1), (59, 2), (95, 10), (96, 8), (200, 56), (255, 1)):
        assert disk.config(offset, length) == whole[offset:offset + length]


@pytest.mark.parametrize("offset, length", [(0, 257), (1, 256), (256, 1), (0xFFFFFFFF, 1), (8, 0xFFFFFFF8)])
def test_nothing_behind_the_configuration_space(disk, offset, length):
    """Refused as GET_CONFIG is: a reply without a payload."""
    disk.front.send(Request.GET_CONFIG, config(offset, bytes(min(length, 300)), size=length))
    try:
        reply = disk.front.read_reply(Request.GET_CONFIG)
    except AssertionError:
        return  # or hung up
    assert len(reply) == 0


# -- writing ---------------------------------------------------------------------------------------


def test_cache_is_set(disk):
    for on in (0, 1, 1, 0):
        disk.set_cache(on)
        assert disk.config(WCE_AT, 1) == bytes([on])
        assert fields(disk)["wce"] == on


@pytest.mark.parametrize("offset, data", [
    (0, bytes(8)), (31, b"\0"), (33, b"\0"), (WCE_AT, b"\0\0"), (WCE_AT, b"\2"), (WCE_AT, b"\xff"),
    (0, bytes(60)), (255, b"\0"), (0, bytes(256))])
def test_nothing_else_is(disk, offset, data):
    before = disk.config(0, 256)
    disk.front.refuse(Request.SET_CONFIG, config(offset, data))
    assert disk.config(0, 256) == before
    assert disk.read(1, SECTOR) == part(disk.image, 1, SECTOR)


# -- another size ----------------------------------------------------------------------------------


@pytest.fixture
def channel(disk):
    """Where the disk tells of it; each test begins with a front-end that listens."""
    made = Channel(disk.front)
    yield made
    made.close()


def resize(disk, nr_bytes: int) -> None:
    os.truncate(disk.image, nr_bytes)
    disk.prog.process.send_signal(signal.SIGHUP)


def test_larger(disk, channel):
    assert disk.do(IN, 8192, room=SECTOR) == IOERR
    resize(disk, 6 << 20)
    assert channel.receive()[0] == CHANGED
    assert disk.capacity() == 12288
    assert disk.read(8192, 4096) == bytes(4096)
    disk.write(12287, some_bytes(SECTOR))
    assert disk.image.read_bytes() == some_bytes(4 << 20) + bytes((2 << 20) - SECTOR) + some_bytes(SECTOR)
    assert disk.do(IN, 12288, room=SECTOR) == IOERR
    assert "vhostx-blk: the disk has 12288 sectors now\n" in disk.prog.said()


def test_smaller(disk, channel):
    resize(disk, 1 << 20)
    assert channel.receive()[0] == CHANGED
    assert disk.capacity() == 2048
    assert disk.do(IN, 2047, room=1024) == IOERR
    assert disk.read(2047, SECTOR) == some_bytes(4 << 20)[2047 * SECTOR:2048 * SECTOR]


@pytest.mark.parametrize("nr_bytes, said", [
    (4 << 20, None), ((4 << 20) + 100, "its 4194404 bytes are not a multiple of 512"), (0, "it is empty"),
    (511, "its 511 bytes are not a multiple")])
def test_no_size_of_a_disk(disk, channel, nr_bytes, said):
    """It stays what it was, and nobody is told."""
    resize(disk, nr_bytes)
    if said:
        disk.prog.wait_said(f"vhostx-blk: {disk.image}: {said}")
    assert channel.is_silent()
    assert disk.capacity() == 8192
    resize(disk, 2 << 20)
    assert channel.receive()[0] == CHANGED
    assert disk.capacity() == 4096


def test_nobody_listens(folder, image):
    """Without a front-end, or with one that has no such channel: the next one sees the size."""
    with blk(folder, "--blk-file", image) as prog:
        for nr_bytes in (6 << 20, 5 << 20):
            os.truncate(image, nr_bytes)
            prog.process.send_signal(signal.SIGHUP)
            prog.wait_said(f"the disk has {nr_bytes // SECTOR} sectors now")
        with guest(prog) as driver:
            assert driver.capacity() == 10240
            os.truncate(image, 4 << 20)
            prog.process.send_signal(signal.SIGHUP)
            prog.wait_said("the disk has 8192 sectors now")
            assert driver.capacity() == 8192


def test_memory_stays_as_it_is(folder):
    with blk(folder, "--memory", "1M") as prog, guest(prog) as driver:
        prog.process.send_signal(signal.SIGHUP)
        driver.write(0, some_bytes(SECTOR))
        assert driver.capacity() == 2048
        assert "sectors" not in prog.said()
