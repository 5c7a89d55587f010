# SPDX-License-Identifier: BSD-3-Clause
"""A driver that sends SCSI commands, right and wrong, to vhostx-scsi."""

import os
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from disk import BlkProgram, blk
from driver import BUFFERS_AT, DESC_F_WRITE, Driver, Memory, PackedRing, Ring
from frontend import Feature, FrontEnd, Request, bits, config
from programs import program, wait_for

SCSI = program("app", "vhostx-scsi")
F_HOTPLUG, F_CHANGE = 1, 2
CONTROL, EVENT, REQUEST = 0, 1, 2
REQUEST_LEN, RESPONSE_LEN = 51, 108
OK, OVERRUN, BAD_TARGET, FAILURE, REJECTED, INCORRECT_LUN = 0, 1, 3, 9, 11, 12
GOOD, CHECK_CONDITION = 0, 2
ABORT_TASK, ABORT_TASK_SET, CLEAR_ACA, CLEAR_TASK_SET, NEXUS_RESET, UNIT_RESET, QUERY_TASK, QUERY_TASK_SET = range(8)
BLOCK = 512
SIZES = [1 << 20, 2 << 20]  # of the images in most tests
UNTOUCHED = 0xAA

BASE = bits(Feature.VERSION_1, Feature.PROTOCOL_FEATURES, F_HOTPLUG, F_CHANGE)
KINDS = {"split": (BASE, Ring), "packed": (BASE | bits(Feature.RING_PACKED), PackedRing)}

INVALID_FIELD, OUT_OF_RANGE, NO_LUN = (5, 0x24, 0), (5, 0x21, 0), (5, 0x25, 0)
LIST_LENGTH, INVALID_LIST, PROTECTED = (5, 0x1A, 0), (5, 0x26, 0), (7, 0x27, 0)
READ_ERROR, WRITE_ERROR, CAPACITY_CHANGED = (3, 0x11, 0), (3, 0x0C, 0), (6, 0x2A, 9)


# -- commands --------------------------------------------------------------------------------------


def inquiry(page: int | None = None, length: int = 96) -> bytes:
    return struct.pack(">BBBHB", 0x12, page is not None, page or 0, length, 0)


def report_luns(length: int = 256, which: int = 0) -> bytes:
    return struct.pack(">BBB3xIxx", 0xA0, 0, which, length)


def read_capacity(length: int = 32) -> bytes:
    return struct.pack(">BBQIxx", 0x9E, 0x10, 0, length)


def read(block: int, number: int, flags: int = 0) -> bytes:
    return struct.pack(">BBQIxx", 0x88, flags, block, number)


def write(block: int, number: int, flags: int = 0) -> bytes:
    return struct.pack(">BBQIxx", 0x8A, flags, block, number)


def write_same(block: int, number: int, flags: int = 0) -> bytes:
    return struct.pack(">BBQIxx", 0x93, flags, block, number)


def unmap(length: int) -> bytes:
    return struct.pack(">B6xHx", 0x42, length)


def unmap_list(*ranges: tuple[int, int], length: int | None = None, entries: int | None = None) -> bytes:
    """Its two lengths may lie."""
    size = 16 * len(ranges)
    head = struct.pack(">HH4x", size + 6 if length is None else length, size if entries is None else entries)
    return head + b"".join(struct.pack(">QI4x", *one) for one in ranges)


TEST_UNIT_READY = bytes(6)
REQUEST_SENSE = struct.pack("BxxxBx", 0x03, 18)
SYNCHRONIZE_CACHE = b"\x35" + bytes(9)


def lun(number: int = 0, target: int = 0) -> bytes:
    return struct.pack(">BBH4x", 1, target, 0x4000 | number)


REPORT_LUNS_LUN = b"\xc1\x01" + bytes(6)


def tmf(subtype: int, where: bytes = lun(), tag: int = 0) -> bytes:
    return struct.pack("<II8sQ", 0, subtype, where, tag)


def head(cdb: bytes, where: bytes = lun(), tag: int = 7) -> bytes:
    """The start of a request."""
    return struct.pack("<8sQBBB32s", where, tag, 0, 0, 0, cdb)


# -- the driver ------------------------------------------------------------------------------------


@dataclass
class Answer:
    """What came back, and what it says."""

    written: int
    room: bytes  # all of the writable part

    def fields(self) -> tuple:
        return struct.unpack_from("<IIHBB", self.room)

    @property
    def residual(self) -> int:
        return self.fields()[1]

    @property
    def status(self) -> int:
        return self.fields()[3]

    @property
    def response(self) -> int:
        return self.fields()[4]

    @property
    def sense(self) -> tuple[int, int, int] | None:
        """Key, code and qualifier; None: there is no sense data."""
        if self.fields()[0] == 0:
            return None
        sense = self.room[12:12 + self.fields()[0]]
        assert len(sense) == 18 and sense[0] == 0x70 and sense[7] == 10
        return sense[2], sense[12], sense[13]

    @property
    def data(self) -> bytes:
        """What was written behind the response."""
        return self.room[RESPONSE_LEN:self.written]

    def is_good(self) -> bool:
        return (self.response, self.status, self.sense) == (OK, GOOD, None)

    def is_refused(self, sense: tuple[int, int, int]) -> bool:
        """With this sense, and with no data."""
        return (self.response, self.status, self.sense, self.written) == (OK, CHECK_CONDITION, sense, RESPONSE_LEN)


class ScsiDriver(Driver):
    """A guest on the host. One request at a time, of memory that is used again for the next one."""

    def __init__(self, path: Path, kind: str = "split", nr_queues: int = 1):
        self.features, ring_class = KINDS[kind]
        super().__init__(FrontEnd.connect(path), REQUEST + nr_queues, Memory(8 << 20), ring_class=ring_class)
        self.nr_seen = [0] * len(self.rings)
        self.start(self.features)

    # -- chains -----------------------------------------------------------------------------------

    def place(self, pieces: list[bytes], flags: int, at: int) -> list[tuple[int, int, int]]:
        """Pieces of a chain, one behind the other in memory, with a gap between."""
        made = []
        for piece in pieces:
            self.memory.map[at:at + len(piece)] = piece
            made.append((self.memory.guest + at, len(piece), flags))
            at += len(piece) + 16
        return made

    def post(self, ring: int, sent: list[bytes], room: list[int], at: int = BUFFERS_AT) -> list[tuple[int, int, int]]:
        """Make a chain available; its writable pieces."""
        readable = self.place(sent, 0, at)
        writable = self.place([bytes([UNTOUCHED]) * size for size in room], DESC_F_WRITE, at + (3 << 20))
        self.rings[ring].post_chain(readable + writable)
        os.eventfd_write(self.rings[ring].kick, 1)
        return writable

    def wait(self, ring: int, writable: list[tuple[int, int, int]]) -> Answer:
        half, before = self.rings[ring], self.nr_seen[ring]
        wait_for(lambda: half.used_idx() != before)
        assert half.used_idx() == before + 1
        self.nr_seen[ring] = before + 1
        written = half.used(before)[1]
        room = b"".join(self.memory.map[guest - self.memory.guest:guest - self.memory.guest + size]
                        for guest, size, _ in writable)
        assert room[written:] == bytes([UNTOUCHED]) * (len(room) - written) or written == RESPONSE_LEN
        return Answer(written, room)

    def send(self, ring: int, sent: list[bytes], room: list[int]) -> Answer:
        return self.wait(ring, self.post(ring, sent, room))

    # -- requests ---------------------------------------------------------------------------------

    def do(self, cdb: bytes, data: bytes = b"", room: int = 0, where: bytes = lun(), ring: int = REQUEST) -> Answer:
        sent = [head(cdb, where)] + ([data] if data else [])
        answer = self.send(ring, sent, [RESPONSE_LEN] + ([room] if room else []))
        assert answer.written >= RESPONSE_LEN
        return answer

    def manage(self, request: bytes, room: int = 1) -> bytes:
        """A request on the control ring; what was written."""
        answer = self.send(CONTROL, [request] if request else [], [room] if room else [])
        return answer.room[:answer.written]

    def config(self) -> tuple:
        """num_queues, seg_max, max_sectors, cmd_per_lun, event_info_size, sense_size, cdb_size, max_channel..."""
        reply = self.front.ask(Request.GET_CONFIG, config(0, bytes(36)))
        return struct.unpack("<7IHHI", reply[12:])


# -- the program -----------------------------------------------------------------------------------


def program_on(folder: Path, files: list[Path], *words, **options):
    """It must end well, with nothing left over."""
    blk_files = [word for path in files for word in ("--blk-file", path)]
    return blk(folder, *blk_files, *words, path=SCSI, **options)


@contextmanager
def driver_on(prog: BlkProgram, kind: str, nr_queues: int = 1):
    driver = ScsiDriver(prog.socket, kind, nr_queues)
    try:
        yield driver
    finally:
        driver.close()
