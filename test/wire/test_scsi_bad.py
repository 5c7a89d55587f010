# SPDX-License-Identifier: BSD-3-Clause
"""vhostx-scsi and requests that break the rules: each has an answer, nothing is done, and it goes on."""

import random
import struct

import pytest

from scsi import BLOCK, FAILURE, INVALID_FIELD, INVALID_LIST, LIST_LENGTH, OUT_OF_RANGE, OVERRUN, REQUEST, REQUEST_LEN
from scsi import RESPONSE_LEN, SIZES, SYNCHRONIZE_CACHE, TEST_UNIT_READY, UNTOUCHED, head, inquiry, lun, read
from scsi import report_luns, unmap, unmap_list, write, write_same

LAST = SIZES[0] // BLOCK - 1


@pytest.fixture
def careful(disks):
    """Whatever a test sends, not a byte on the disks changes, and they serve on."""
    before = [path.read_bytes() for path in disks.files]
    yield disks
    assert [path.read_bytes() for path in disks.files] == before
    assert disks.do(read(0, 1), room=BLOCK).data == before[0][:BLOCK]


def test_no_room_for_a_response(careful):
    for cdb, data in [(TEST_UNIT_READY, b""), (write(0, 1), bytes(BLOCK)), (inquiry(), b"")]:
        for room in ([], [1], [12], [RESPONSE_LEN - 1], [50, 57]):
            answer = careful.send(REQUEST, [head(cdb), data] if data else [head(cdb)], room)
            assert answer.written == 0
            assert answer.room == bytes([UNTOUCHED]) * sum(room)


def test_short_requests(careful):
    whole = head(inquiry())
    for length in (0, 1, 8, 19, REQUEST_LEN - 1):
        answer = careful.send(REQUEST, [whole[:length]] if length else [], [RESPONSE_LEN, 96])
        assert (answer.response, answer.written, answer.residual) == (FAILURE, RESPONSE_LEN, 96)


def test_data_both_ways(careful):
    for cdb in (read(0, 1), write(0, 1), TEST_UNIT_READY):
        answer = careful.do(cdb, bytes(BLOCK), BLOCK)
        assert (answer.response, answer.written, answer.residual) == (FAILURE, RESPONSE_LEN, 2 * BLOCK)


def test_less_room_than_data(careful):
    ranges = unmap_list((0, 8))
    for cdb, data, room in [
        (read(0, 1), b"", 0), (read(0, 1), b"", BLOCK - 1), (read(0, 2), b"", BLOCK), (inquiry(), b"", 95),
        (report_luns(), b"", 16), (read(0, LAST + 1), b"", BLOCK),
        (write(0, 1), b"", 0), (write(0, 1), bytes(BLOCK - 1), 0), (write(0, LAST + 1), bytes(BLOCK), 0),
        (unmap(len(ranges)), ranges[:-1], 0), (unmap(65535), ranges, 0),
        (write_same(0, 1), bytes(BLOCK - 1), 0), (write_same(0, 1), b"", 0),
        (read(0, 1), bytes(BLOCK), 0), (write(0, 1), b"", BLOCK),  # the wrong way
    ]:
        answer = careful.do(cdb, data, room)
        assert (answer.response, answer.written) == (OVERRUN, RESPONSE_LEN), cdb
        assert answer.residual == len(data) + room


def test_out_of_range(careful):
    for block, number in [(LAST, 2), (LAST + 1, 1), (LAST + 2, 0), (0, LAST + 2), (1 << 63, 1), (2**64 - 1, 1),
                          (2**64 - 1, 2**32 - 1), (0, 2**32 - 1)]:
        assert careful.do(read(block, number), room=BLOCK).is_refused(OUT_OF_RANGE)
        assert careful.do(write(block, number), bytes(BLOCK)).is_refused(OUT_OF_RANGE)
        assert careful.do(b"\x91\0" + struct.pack(">QIxx", block, number)).is_refused(OUT_OF_RANGE)
    assert careful.do(write_same(LAST, 2), bytes(BLOCK)).is_refused(OUT_OF_RANGE)
    assert careful.do(read(2**64 - 1, 1), room=BLOCK).residual == BLOCK


def test_hostile_lists(careful):
    far = [(LAST, 2), (LAST + 1, 1), (LAST + 2, 0), (2**64 - 1, 2**32 - 1), (2**63, 0)]
    for one in far:
        for ranges in ([one], [(0, 8), one], [one, (0, 8)]):
            data = unmap_list(*ranges)
            assert careful.do(unmap(len(data)), data).is_refused(OUT_OF_RANGE)
    for lie in ({"length": 23}, {"length": 65535}, {"entries": 17}, {"entries": 32}, {"entries": 65535}):
        data = unmap_list((0, 8), **lie)
        assert careful.do(unmap(len(data)), data).is_refused(LIST_LENGTH), lie
    for length in range(1, 8):
        assert careful.do(unmap(length), bytes(8)).is_refused(LIST_LENGTH)
    many = unmap_list(*[(0, 1)] * 17)
    assert careful.do(unmap(len(many)), many).is_refused(INVALID_LIST)
    most = unmap_list(*[(0, 1)] * 4094)
    assert careful.do(unmap(len(most)), most).is_refused(INVALID_LIST)
    assert careful.do(unmap(0)).is_good()
    assert careful.do(unmap(8), unmap_list()).is_good()
    assert careful.do(unmap(len(most)), unmap_list(*[(0, 0)] * 16) + bytes(len(most))).is_good()


def test_patterns(careful):
    for pattern in (b"\1" + bytes(511), bytes(511) + b"\1", b"\xff" * 512):
        assert careful.do(write_same(0, 8), pattern).is_refused(INVALID_LIST)
    assert careful.do(write_same(0, 0), bytes(BLOCK)).is_refused(INVALID_FIELD)
    assert careful.do(write_same(0, 8, flags=0x10), bytes(BLOCK)).is_refused(INVALID_FIELD)


def test_random_requests(careful):
    """No write among them; each is answered within the room there is."""
    chance = random.Random(3)
    harmless = [0x00, 0x03, 0x08, 0x12, 0x1A, 0x1E, 0x25, 0x28, 0x2F, 0x35, 0x5A, 0x88, 0x8F, 0x91, 0x9E, 0xA0, 0xA8,
                0x01, 0x2E, 0x83, 0xFF]
    for _ in range(1500):
        cdb = bytes([chance.choice(harmless)]) + bytes(chance.choice((0, 0, 1, 2, 8, 255)) for _ in range(31))
        where = chance.choice((lun(), lun(1), lun(2), b"\xc1\x01" + bytes(6), chance.randbytes(8)))
        sent = head(cdb, where)[:chance.choice((REQUEST_LEN,) * 4 + (chance.randrange(1, REQUEST_LEN),))]
        room = [chance.choice((0, 1, 12, 107, 108, 109, 200, 620, 4096)) for _ in range(chance.randrange(1, 4))]
        answer = careful.send(REQUEST, [sent], [size for size in room if size])
        if sum(room) < RESPONSE_LEN:
            assert answer.written == 0
        else:
            assert RESPONSE_LEN <= answer.written <= sum(room)
            assert answer.residual == sum(room) - answer.written
    assert careful.do(SYNCHRONIZE_CACHE).is_good()
