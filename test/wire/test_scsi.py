# SPDX-License-Identifier: BSD-3-Clause
"""vhostx-scsi: disks behind a SCSI host, seen from a driver."""

import os
import signal
import struct
import subprocess

import pytest

from driver import Driver
from frontend import Protocol, Request, bits, config
from programs import wait_for
from scsi import ABORT_TASK, BAD_TARGET, BLOCK, CAPACITY_CHANGED, CHECK_CONDITION, CLEAR_ACA, CONTROL, EVENT, FAILURE
from scsi import INCORRECT_LUN, NEXUS_RESET, NO_LUN, OK, PROTECTED, QUERY_TASK, READ_ERROR, REJECTED, REPORT_LUNS_LUN
from scsi import REQUEST, REQUEST_SENSE, RESPONSE_LEN, SCSI, SIZES, SYNCHRONIZE_CACHE, TEST_UNIT_READY, UNIT_RESET
from scsi import UNTOUCHED, Answer, driver_on, head, inquiry, lun, program_on, read, read_capacity, report_luns, tmf
from scsi import unmap, unmap_list, write, write_same

# -- who is there ----------------------------------------------------------------------------------


def test_inquiry(disks):
    answer = disks.do(inquiry(), room=96)
    assert answer.is_good() and answer.residual == 0
    assert answer.data[:8] == bytes([0, 0, 6, 0x12, 91, 0, 0, 2])
    assert answer.data[8:36] == b"VHOSTX  DISK            0001"
    answer = disks.do(inquiry(0x80, 255), room=255, where=lun(1))
    assert answer.data == b"\0\x80\0\x08second-1"
    assert answer.residual == 255 - 12
    answer = disks.do(inquiry(0x83, 255), room=300)
    assert answer.data[8:] == b"VHOSTX  first-0"
    assert answer.residual == 300 - 23


def test_units(disks):
    answer = disks.do(report_luns(), room=256)
    assert answer.data == struct.pack(">I4xQQ", 16, 0, 1 << 48)
    again = disks.do(report_luns(), room=256, where=REPORT_LUNS_LUN)
    assert again.data == answer.data
    for number, size in enumerate(SIZES):
        answer = disks.do(read_capacity(), room=32, where=lun(number))
        assert struct.unpack_from(">QI", answer.data) == (size // BLOCK - 1, BLOCK)


def test_nobody_there(disks):
    answer = disks.do(inquiry(), room=96, where=lun(2))
    assert answer.is_good() and answer.data[0] == 0x7F
    for cdb, room in [(TEST_UNIT_READY, 0), (read(0, 1), BLOCK), (report_luns(), 256)]:
        answer = disks.do(cdb, room=room, where=lun(2))
        assert answer.is_refused(NO_LUN) and answer.residual == room
    for where in [lun(0, target=1), bytes(8), b"\xff" * 8, b"\xc1\x02" + bytes(6)]:
        answer = disks.do(inquiry(), room=96, where=where)
        assert (answer.response, answer.written) == (BAD_TARGET, RESPONSE_LEN)
    sense = bytes([0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x25, *bytes(5)])
    assert disks.do(REQUEST_SENSE, room=18, where=lun(9)).data == sense


def test_configuration(disks):
    assert disks.config() == (1, 126, 0xFFFF, 128, 16, 96, 32, 0, 0, 1)
    for offset, data in [(20, 96), (24, 32)]:
        disks.front.do(Request.SET_CONFIG, config(offset, struct.pack("<I", data)))
        disks.front.refuse(Request.SET_CONFIG, config(offset, struct.pack("<I", data + 1)))
    disks.front.do(Request.SET_CONFIG, config(20, struct.pack("<II", 96, 32)))
    for offset in (0, 16, 28, 32):  # the right value, but nothing to choose
        same = disks.front.ask(Request.GET_CONFIG, config(offset, bytes(4)))[12:]
        disks.front.refuse(Request.SET_CONFIG, config(offset, same))


def test_no_driver_ok(folder, images, ring_kind, monkeypatch):
    """QEMU 7.2 to 10 agree on STATUS for SCSI, and never say DRIVER_OK: whoever waits for that waits for ever."""
    monkeypatch.setattr(Driver, "set_status", lambda self: None)
    with program_on(folder, images) as prog, driver_on(prog, ring_kind) as driver:
        assert driver.front.ask_u64(Request.GET_PROTOCOL_FEATURES) & bits(Protocol.STATUS)
        assert driver.do(read(0, 1), room=BLOCK).data == images[0].read_bytes()[:BLOCK]


# -- the bytes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1])
def test_round_trip(disks, number):
    expected = bytearray(disks.files[number].read_bytes())
    other = disks.files[1 - number].read_bytes()
    for block, blocks in [(0, 1), (7, 3), (1000, 128), (2047, 1), (0, 2048)]:
        data = os.urandom(blocks * BLOCK)
        at = block * BLOCK
        answer = disks.do(read(block, blocks), room=len(data), where=lun(number))
        assert answer.is_good() and answer.residual == 0
        assert answer.data == expected[at:at + len(data)]
        answer = disks.do(write(block, blocks, flags=8), data, where=lun(number))
        assert answer.is_good() and answer.residual == 0 and answer.written == RESPONSE_LEN
        expected[at:at + len(data)] = data
        assert disks.files[number].read_bytes() == expected
        assert disks.do(read(block, blocks, flags=8), room=len(data), where=lun(number)).data == data
    assert disks.do(SYNCHRONIZE_CACHE, where=lun(number)).is_good()
    assert disks.files[1 - number].read_bytes() == other


CUTS = [(), (1,), (50,), (51,), (52,), (8, 43, 512), (60, 100), (51, 1, 511, 513)]
ROOM_CUTS = [(), (1,), (107,), (108,), (109,), (12, 96, 512), (200, 100), (108, 1, 511, 513)]


def cut(data: bytes, parts) -> list[bytes]:
    pieces = []
    for part in parts:
        pieces.append(data[:part])
        data = data[part:]
    return pieces + [data]


def test_cut_anyhow(disks):
    """Header, response and data in pieces that know nothing of each other."""
    size = 8 * BLOCK
    for number, (parts, room_parts) in enumerate(zip(CUTS, ROOM_CUTS)):
        data = os.urandom(size)
        answer = disks.send(REQUEST, cut(head(write(16 * number, 8)) + data, parts), [RESPONSE_LEN - 20, 20])
        assert answer.is_good()
        assert disks.files[0].read_bytes()[16 * number * BLOCK:][:size] == data
        room = [len(piece) for piece in cut(bytes(RESPONSE_LEN + size), room_parts)]
        answer = disks.send(REQUEST, cut(head(read(16 * number, 8)), (7, 20)), room)
        assert answer.is_good() and answer.data == data


def test_more_room_than_data(disks):
    answer = disks.do(read(3, 2), room=3000)
    assert answer.is_good() and answer.residual == 3000 - 2 * BLOCK
    assert answer.data == disks.files[0].read_bytes()[3 * BLOCK:5 * BLOCK]
    data = os.urandom(3000)
    answer = disks.do(write(3, 2), data)
    assert answer.is_good() and answer.residual == 3000 - 2 * BLOCK
    after = disks.files[0].read_bytes()
    assert after[3 * BLOCK:5 * BLOCK] == data[:2 * BLOCK] and after[5 * BLOCK:6 * BLOCK] != data[2 * BLOCK:][:BLOCK]
    answer = disks.do(TEST_UNIT_READY, room=10)
    assert answer.is_good() and answer.residual == 10


def zeros_in(path) -> list[int]:
    """Blocks of it that are nothing else."""
    data = path.read_bytes()
    return [at // BLOCK for at in range(0, len(data), BLOCK) if not any(data[at:at + BLOCK])]


def test_blocks_are_emptied(disks):
    ranges = unmap_list((8, 16), (100, 0), (2047, 1))
    answer = disks.do(unmap(len(ranges)), ranges)
    assert answer.is_good() and answer.residual == 0
    assert zeros_in(disks.files[0]) == [*range(8, 24), 2047]
    assert disks.do(write_same(40, 8), bytes(BLOCK)).is_good()
    assert disks.do(write_same(64, 8, flags=8), bytes(BLOCK)).is_good()
    assert disks.do(write_same(80, 1, flags=9)).is_good()  # no block comes with it
    assert zeros_in(disks.files[0]) == [*range(8, 24), *range(40, 48), *range(64, 72), 80, 2047]
    most = unmap_list(*((16 * number, 1) for number in range(16)))
    assert disks.do(unmap(len(most)), most).is_good()
    assert set(zeros_in(disks.files[0])) >= {16 * number for number in range(16)}
    assert disks.files[0].stat().st_size == SIZES[0]


def test_in_memory(folder, ring_kind):
    with program_on(folder, [], "--memory", "1M") as prog, driver_on(prog, ring_kind) as driver:
        data = os.urandom(8 * BLOCK)
        assert driver.do(write(0, 8), data).is_good()
        ranges = unmap_list(*((number, 1) for number in range(0, 8, 2)))
        assert driver.do(unmap(len(ranges)), ranges).is_good()
        answer = driver.do(read(0, 8, flags=8), room=8 * BLOCK)
        assert answer.data == b"".join(bytes(BLOCK) + data[at + BLOCK:at + 2 * BLOCK]
                                       for at in range(0, 8 * BLOCK, 2 * BLOCK))
        assert driver.do(SYNCHRONIZE_CACHE).is_good()


def test_queues(folder, images, ring_kind):
    with program_on(folder, images, "--num-queues", "4") as prog, driver_on(prog, ring_kind, 4) as driver:
        assert driver.config()[0] == 4
        for number in range(4):
            answer = driver.do(read(number, 1), room=BLOCK, ring=REQUEST + number)
            assert answer.data == images[0].read_bytes()[number * BLOCK:][:BLOCK]


def test_read_only(folder, images, ring_kind):
    before = images[0].read_bytes()
    ranges = unmap_list((0, 8))
    with program_on(folder, images, "--read-only") as prog, driver_on(prog, ring_kind) as driver:
        assert driver.do(read(0, 1), room=BLOCK).data == before[:BLOCK]
        assert driver.do(write(0, 1), bytes(BLOCK)).is_refused(PROTECTED)
        assert driver.do(write_same(0, 1), bytes(BLOCK)).is_refused(PROTECTED)
        assert driver.do(unmap(len(ranges)), ranges).is_refused(PROTECTED)
        assert driver.do(b"\x1a\x08\x3f\0\xff\0", room=255).data[2] == 0x90
    assert images[0].read_bytes() == before


# -- changes ---------------------------------------------------------------------------------------


def resize(disks, number: int, size: int) -> None:
    os.truncate(disks.files[number], size)
    disks.prog.process.send_signal(signal.SIGHUP)


def changed(number: int) -> bytes:
    return struct.pack("<I8sI", 3, bytes([1, 0, 0, number, 0, 0, 0, 0]), 0x092A)


def test_grows(disks):
    event = disks.post(EVENT, [], [16])
    resize(disks, 1, 4 << 20)
    assert disks.wait(EVENT, event) == Answer(16, changed(1))
    assert disks.do(inquiry(), room=96, where=lun(1)).is_good()
    assert disks.do(TEST_UNIT_READY).is_good()  # of the other one
    assert disks.do(TEST_UNIT_READY, where=lun(1)).is_refused(CAPACITY_CHANGED)
    assert disks.do(TEST_UNIT_READY, where=lun(1)).is_good()  # it was said
    answer = disks.do(read_capacity(), room=32, where=lun(1))
    assert struct.unpack_from(">Q", answer.data) == ((4 << 20) // BLOCK - 1,)
    data = os.urandom(BLOCK)
    assert disks.do(write((4 << 20) // BLOCK - 1, 1), data, where=lun(1)).is_good()
    assert disks.files[1].read_bytes()[-BLOCK:] == data


def test_event_waits_for_a_buffer(disks):
    """However often it happened, and however short the first buffers are."""
    for size in (3 << 20, 4 << 20):
        resize(disks, 0, size)
        wait_for(lambda: size // BLOCK - 1 ==
                 struct.unpack_from(">Q", disks.do(read_capacity(), room=32).data or bytes(8))[0])
    resize(disks, 1, 5 << 20)
    wait_for(lambda: not disks.do(TEST_UNIT_READY, where=lun(1)).is_good())
    assert disks.send(EVENT, [], [15]) == Answer(0, bytes([UNTOUCHED]) * 15)
    assert disks.send(EVENT, [], [4, 100]).room[:16] == changed(0)
    assert disks.send(EVENT, [], [16]) == Answer(16, changed(1))
    # Nothing more is to be told, and nobody holds this one: the ring stops at once.
    disks.post(EVENT, [], [16])
    disks.front.ask_base(EVENT)
    assert disks.rings[EVENT].used_idx() == 3


def test_truncated_behind_our_back(disks):
    os.truncate(disks.files[0], 512 << 10)
    assert disks.do(read(1100, 8), room=8 * BLOCK).is_refused(READ_ERROR)
    assert disks.do(read(1020, 8), room=8 * BLOCK).is_refused(READ_ERROR)  # half of it is there
    assert disks.do(read(1016, 8), room=8 * BLOCK).is_good()
    assert disks.do(TEST_UNIT_READY).is_good()


# -- task management -------------------------------------------------------------------------------

def test_task_management(disks):
    assert disks.do(TEST_UNIT_READY).is_good()
    for subtype in range(8):
        expected = REJECTED if subtype == CLEAR_ACA else OK
        assert disks.manage(tmf(subtype, lun(1), 5)) == bytes([expected]), subtype
        expected = OK if subtype == NEXUS_RESET else INCORRECT_LUN
        assert disks.manage(tmf(subtype, lun(2))) == bytes([expected]), subtype
        assert disks.manage(tmf(subtype, lun(0, target=3))) == bytes([BAD_TARGET]), subtype
    for subtype in (8, 0xFFFFFFFF):
        assert disks.manage(tmf(subtype)) == bytes([REJECTED])
    assert disks.do(TEST_UNIT_READY).is_good()


def test_reset_waits_for_what_was_sent(disks):
    """What was sent before a reset is back when the reset is answered."""
    for _ in range(40):
        before = disks.rings[REQUEST].used_idx()
        disks.post(REQUEST, [head(read(0, 1024))], [RESPONSE_LEN, 1024 * BLOCK])
        writable = disks.post(CONTROL, [tmf(UNIT_RESET)], [1], at=2 << 20)
        assert disks.wait(CONTROL, writable).room == b"\0"
        assert disks.rings[REQUEST].used_idx() == before + 1
    disks.nr_seen[REQUEST] += 40


def test_notifications(disks):
    for kind_of_request in (1, 2):
        request = struct.pack("<I8sI", kind_of_request, lun(), 0xFFFFFFFF)
        assert disks.manage(request, 5) == bytes(5)
        assert disks.manage(request, 4) == b""
        assert disks.manage(request[:-1], 5) == bytes([0, 0, 0, 0, FAILURE])
        assert disks.manage(struct.pack("<I8sI", kind_of_request, lun(7), 2), 5)[4] == INCORRECT_LUN
        assert disks.manage(struct.pack("<I8sI", kind_of_request, lun(0, 9), 2), 5)[4] == BAD_TARGET


def test_bad_control_requests(disks):
    assert disks.manage(tmf(ABORT_TASK), 0) == b""
    assert disks.manage(tmf(ABORT_TASK)[:23]) == bytes([FAILURE])
    assert disks.manage(b"", 1) == b""
    assert disks.manage(b"\0\0\0", 1) == b""
    for unknown in (3, 0x80000000):
        assert disks.manage(struct.pack("<I", unknown) + bytes(20), 5) == b""
    assert disks.manage(tmf(QUERY_TASK)) == bytes([OK])


# -- the program -----------------------------------------------------------------------------------


def said(*words) -> subprocess.CompletedProcess:
    return subprocess.run([SCSI, *words], capture_output=True, text=True, timeout=10)


def test_program_says_what_it_is(folder):
    done = said("--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: vhostx-scsi --socket-path PATH")
    done = said("--print-capabilities")
    assert done.returncode == 0 and done.stdout.split() == ["{", '"type":', '"scsi"', "}"]
    files = ["--blk-file=x"] * 17
    done = said(f"--socket-path={folder}/s", *files)
    assert done.returncode == 2 and "too many" in done.stderr


def test_sixteen_disks(folder, ring_kind):
    files = [folder / f"{number}" for number in range(16)]
    for number, path in enumerate(files):
        path.write_bytes(bytes([number]) * BLOCK)
    with program_on(folder, files, "--serial", "x" * 40 + "\u00e9") as prog, driver_on(prog, ring_kind) as driver:
        assert len(driver.do(report_luns(), room=256).data) == 8 + 16 * 8
        for number in range(16):
            assert driver.do(read(0, 1), room=BLOCK, where=lun(number)).data == bytes([number]) * BLOCK
            serial = driver.do(inquiry(0x80, 255), room=255, where=lun(number)).data[4:].decode()
            assert serial == "x" * 29 + f"-{number}"
        answer = driver.do(read(1, 1), room=BLOCK, where=lun(15))
        assert answer.status == CHECK_CONDITION
