# SPDX-License-Identifier: BSD-3-Clause
"""The file in which requests are noted: what is made, what is accepted, what is left over."""

import fcntl
import mmap
import os
import struct

import pytest

from backend import NR_RINGS, PLAIN
from driver import ALL_PROTOCOL, MEMORY_NAME
from frontend import Feature, Protocol, Request, bits, inflight, state, u64

FEATURES = bits(Feature.VERSION_1, Feature.PROTOCOL_FEATURES)
PACKED = FEATURES | bits(Feature.RING_PACKED)
PROTOCOL = ALL_PROTOCOL | bits(Protocol.INFLIGHT_SHMFD)
VERSION_AT, DESC_NUM_AT = 8, 10  # in a queue's piece

F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL = 2, 4, 1


def piece(size: int, packed: bool = False) -> int:
    """Bytes of a queue's piece, as other back-ends count them as well."""
    used = 32 + 32 * size if packed else 16 + 16 * size
    return (used + 63) // 64 * 64


def agree(front, features: int = FEATURES, protocol: int = PROTOCOL):
    offered = front.ask_u64(Request.GET_PROTOCOL_FEATURES)
    front.send(Request.SET_PROTOCOL_FEATURES, u64(protocol & offered))
    front.do(Request.SET_FEATURES, u64(features))
    return front


@pytest.fixture
def front(connect):
    return agree(connect(PLAIN))


def make_file(front, size: int) -> int:
    fd = front.own(os.memfd_create(MEMORY_NAME, os.MFD_CLOEXEC))
    os.ftruncate(fd, size)
    return fd


def refuse(back, front, payload: bytes, fds, reason: str) -> None:
    mark = back.mark()
    front.refuse(Request.SET_INFLIGHT_FD, payload, fds)
    assert reason in back.wait_log("refused: SET_INFLIGHT_FD: ", mark)


# -- made ------------------------------------------------------------------------------------------


def get(front, num_queues: int, queue_size: int) -> tuple[tuple, int]:
    front.send(Request.GET_INFLIGHT_FD, inflight(num_queues, queue_size))
    payload, (fd,) = front.read_reply_with_fds(Request.GET_INFLIGHT_FD)
    return struct.unpack("=QQHH4x", payload), fd


@pytest.mark.parametrize("num_queues, queue_size", [(1, 1), (1, 256), (2, 128), (2, 32768)])
@pytest.mark.parametrize("features", [FEATURES, PACKED], ids=["split", "packed"])
def test_a_file_is_made(connect, features, num_queues, queue_size):
    front = agree(connect(PLAIN), features)
    told, fd = get(front, num_queues, queue_size)
    size = num_queues * piece(queue_size, features == PACKED)
    assert told == (size, 0, num_queues, queue_size)
    assert os.fstat(fd).st_size == size
    with mmap.mmap(fd, size) as view:
        assert not any(view[:4096])
    # Neither side can pull it away from under the other.
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL
    front.do(Request.SET_INFLIGHT_FD, inflight(num_queues, queue_size, size), [fd])


def test_before_the_features_there_is_room_for_either_layout(connect):
    front = connect(PLAIN)
    front.do(Request.SET_PROTOCOL_FEATURES, u64(bits(Protocol.INFLIGHT_SHMFD, Protocol.REPLY_ACK)))
    told, _ = get(front, 1, 64)
    assert told[0] == piece(64, packed=True)


@pytest.mark.parametrize("num_queues, queue_size", [
    (0, 256), (NR_RINGS[PLAIN] + 1, 256), (257, 256), (0xFFFF, 256), (1, 0), (1, 32769), (1, 0xFFFF)])
def test_none_is_made_of_these_numbers(back, front, num_queues, queue_size):
    mark = back.mark()
    front.send(Request.GET_INFLIGHT_FD, inflight(num_queues, queue_size))
    front.wait_dropped()
    assert "refused: GET_INFLIGHT_FD: " in back.wait_log("refused: ", mark)


# -- accepted --------------------------------------------------------------------------------------


def test_at_an_offset(front):
    fd = make_file(front, 104 + 2 * piece(16))
    front.do(Request.SET_INFLIGHT_FD, inflight(2, 16, 2 * piece(16), 104), [fd])


def test_sent_again(front):
    for size in (8, 16, 8):
        front.do(Request.SET_INFLIGHT_FD, inflight(2, size, 2 * piece(size)),
                 [make_file(front, 2 * piece(size))])


@pytest.mark.parametrize("num_queues, queue_size", [
    (0, 8), (NR_RINGS[PLAIN] + 1, 8), (257, 8), (0xFFFF, 8), (1, 0), (1, 32769), (1, 0xFFFF)])
def test_numbers_out_of_bounds(back, front, num_queues, queue_size):
    refuse(back, front, inflight(num_queues, queue_size, 1 << 20), [make_file(front, 1 << 20)], "")


@pytest.mark.parametrize("offset", [1, 4, 100])
def test_misaligned_offset(back, front, offset):
    refuse(back, front, inflight(2, 16, 2 * piece(16), offset),
           [make_file(front, 4096 + 2 * piece(16))], "is not aligned to 8 bytes")


@pytest.mark.parametrize("size, offset", [
    (0, 0), (2 * piece(16) - 1, 0), (1 << 20, 4096), (2 * piece(16), (1 << 64) - 64),
    (2 * piece(16), (1 << 63) - 64), ((1 << 64) - 1, 1 << 20)])
def test_no_room(back, front, size, offset):
    """What the message says, or what the file has."""
    refuse(back, front, inflight(2, 16, size, offset), [make_file(front, 4096)],
           "no room for 2 queues of 16 entries")


def test_a_file_shorter_than_it_is_said(back, front):
    refuse(back, front, inflight(2, 16, 2 * piece(16)), [make_file(front, 2 * piece(16) - 1)],
           "no room for")


def test_no_file_at_all(back, front):
    for fd in (front.eventfd(), front.channel()):
        refuse(back, front, inflight(2, 16, 2 * piece(16)), [fd], "no room for")


def test_that_may_only_be_read(back, front):
    fd = make_file(front, 4096)
    read_only = front.own(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY))
    refuse(back, front, inflight(2, 16, 2 * piece(16)), [read_only], "cannot be mapped")


def test_packed_needs_more_room(back, connect):
    front = agree(connect(PLAIN), PACKED)
    refuse(back, front, inflight(2, 16, 2 * piece(16)), [make_file(front, 4096)], "no room for")


# -- against the rings -----------------------------------------------------------------------------


def test_ring_larger_than_its_piece(back, front):
    """In either order."""
    fd = make_file(front, 2 * piece(8))
    front.do(Request.SET_VRING_NUM, state(1, 1024))
    refuse(back, front, inflight(2, 8, 2 * piece(8)), [fd], "but ring 1 has 1024")
    front.do(Request.SET_VRING_NUM, state(1, 8))
    front.do(Request.SET_INFLIGHT_FD, inflight(2, 8, 2 * piece(8)), [fd])
    mark = back.mark()
    front.refuse(Request.SET_VRING_NUM, state(1, 16))
    assert "SET_INFLIGHT_FD said 8" in back.wait_log("refused: SET_VRING_NUM: ", mark)
    front.do(Request.SET_VRING_NUM, state(1, 4))


def test_ring_without_a_piece(front):
    front.do(Request.SET_INFLIGHT_FD, inflight(1, 8, piece(8)), [make_file(front, piece(8))])
    front.do(Request.SET_VRING_NUM, state(1, 1024))


@pytest.mark.parametrize("queue", [0, 1])
def test_piece_of_another_size(back, front, queue):
    fd = make_file(front, 2 * piece(8))
    os.pwrite(fd, struct.pack("=HH", 1, 16), queue * piece(8) + VERSION_AT)
    refuse(back, front, inflight(2, 8, 2 * piece(8)), [fd],
           f"what is noted of ring {queue} has 16")
    os.pwrite(fd, struct.pack("=H", 8), queue * piece(8) + DESC_NUM_AT)
    front.do(Request.SET_INFLIGHT_FD, inflight(2, 8, 2 * piece(8)), [fd])


# -- left over -------------------------------------------------------------------------------------


def test_asked_for_ever(back, front):
    """Nothing is kept of what was made, and one mapping of what was sent."""
    nr_fds, nr_mappings = back.nr_fds(), back.nr_mappings("vhost-inflight")
    for _ in range(200):
        told, fd = get(front, 2, 64)
        front.do(Request.SET_INFLIGHT_FD, inflight(2, 64, told[0]), [fd])
        os.close(front.owned.pop())
    assert back.nr_fds() == nr_fds
    assert back.nr_mappings("vhost-inflight") == nr_mappings + 1
    front.do(Request.RESET_DEVICE)
    assert back.nr_mappings("vhost-inflight") == nr_mappings


def test_gone_with_the_front_end(back, front):
    told, fd = get(front, 2, 64)
    front.do(Request.SET_INFLIGHT_FD, inflight(2, 64, told[0]), [fd])
    front.close()
    back.wait_stage("listening", PLAIN)
    assert back.nr_mappings("vhost-inflight") == 0


def test_a_network_device_does_not_offer_it(connect):
    offered = connect().ask_u64(Request.GET_PROTOCOL_FEATURES)
    assert not offered & bits(Protocol.INFLIGHT_SHMFD)
