# SPDX-License-Identifier: BSD-3-Clause
"""A disk program under test, faults below it, and a driver that sends it block requests cut in any way."""

import errno
import mmap
import os
import random
import signal
import struct
import subprocess
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from driver import ALL_PROTOCOL, BUFFERS_AT, DESC_F_AVAIL, DESC_F_NEXT, DESC_F_USED, DESC_F_WRITE
from driver import MEMORY_NAME, RING_SPACE, USED_AT, Driver, Memory, PackedRing, Ring
from frontend import Feature, FrontEnd, Protocol, Request, bits, config
from programs import program, wait_for

BLK = program("app", "vhostx-blk")
SECTOR = 512
IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
OK, IOERR, UNSUPP, UNTOUCHED = 0, 1, 2, 0xAA
UNMAP = 1

F_SEG_MAX, F_RO, F_BLK_SIZE, F_FLUSH, F_TOPOLOGY, F_CONFIG_WCE, F_MQ = 2, 5, 6, 9, 10, 11, 12
F_DISCARD, F_WRITE_ZEROES = 13, 14
BASE = bits(Feature.VERSION_1, Feature.PROTOCOL_FEATURES, Feature.INDIRECT_DESC)
PROTOCOL = (ALL_PROTOCOL | bits(Protocol.INFLIGHT_SHMFD)) & ~bits(
    Protocol.RARP, Protocol.MTU, Protocol.HOST_NOTIFIER, Protocol.BACKEND_SEND_FD)

WCE_AT = 32
DESC_F_INDIRECT = 4
GUARD, GUARD_BYTE = 16, b"\xe7"


# -- the program -----------------------------------------------------------------------------------


class BlkProgram:
    """vhostx-blk, or another; what it says goes to a file beside its socket."""

    def __init__(self, folder: Path, *words, path: Path = BLK, socket: bool = True, prefix=(), env=None, pass_fds=(),
                 before=None):
        self.socket = folder / "disk.sock"
        self.log_path = folder / "log"
        where = ["--socket-path", self.socket] if socket else []
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, path, *where, *words], stdin=subprocess.DEVNULL, stderr=log, pass_fds=pass_fds,
                env={**os.environ, **(env or {})}, preexec_fn=before)
        self.pid = self.process.pid
        if socket:
            self.wait_said("waiting for a front-end")
            self.nr_fds_at_rest = self.nr_fds()

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def said(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def wait_said(self, words: str) -> None:
        wait_for(lambda: words in self.said() or not self.is_alive())
        assert words in self.said(), self.said()

    def nr_fds(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def nr_mappings(self, name: str) -> int:
        return Path(f"/proc/{self.pid}/maps").read_text(encoding="utf-8").count(name)

    def wait_at_rest(self) -> None:
        """Nothing of a front-end is left."""
        wait_for(lambda: self.nr_fds() == self.nr_fds_at_rest)
        wait_for(lambda: self.nr_mappings(MEMORY_NAME) + self.nr_mappings("vhost-inflight") == 0)

    def end(self, sig: int = signal.SIGTERM, seconds: float = 10) -> int:
        """Its exit code."""
        self.process.send_signal(sig)
        return self.process.wait(seconds)

    def end_well(self) -> None:
        assert self.is_alive(), self.said()
        self.wait_at_rest()
        assert self.end() == 0, self.said()
        assert not self.socket.exists()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def blk(folder: Path, *words, **options):
    """One that must end well, with nothing left over."""
    made = BlkProgram(folder, *words, **options)
    try:
        yield made
        made.end_well()
    finally:
        made.kill()


@contextmanager
def guest(prog: BlkProgram, kind: str = "split", features: int | None = None, **options):
    """A driver that is started, and gone at the end."""
    driver = BlkDriver(prog.socket, kind, **options)
    try:
        yield driver.begin() if features is None else driver.begin(features)
    finally:
        driver.close()


class Below:
    """Faults below the program: test/wire/below.c has the other end. They are words of this file."""

    NAMES = ["no_ring", "hold", "fail", "part", "nr_durable", "nr_flushes", "nr_transfers"]

    def __init__(self, folder: Path):
        self.path = folder / "below"
        self.path.write_bytes(bytes(4096))
        with self.path.open("r+b") as file:
            self.words = memoryview(mmap.mmap(file.fileno(), 4096)).cast("I")

    def env(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(program("test", "wire", "below.so")), "BELOW": str(self.path),
                "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}

    def __getitem__(self, name: str) -> int:
        return self.words[self.NAMES.index(name)]

    def __setitem__(self, name: str, value: int) -> None:
        self.words[self.NAMES.index(name)] = value


@cache
def some_bytes(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def make_image(path: Path, size: int) -> bytes:
    """Random bytes; what is in it."""
    path.write_bytes(some_bytes(size))
    return some_bytes(size)


def part(path: Path, sector: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(sector * SECTOR)
        return file.read(length)


def gives_blocks_back(folder: Path) -> bool:
    """Does the file system there know holes?"""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    with (folder / "probe").open("w+b") as file:
        file.write(bytes(8192))
        file.flush()
        done = libc.fallocate(file.fileno(), 3, ctypes.c_long(0), ctypes.c_long(4096))
        assert done == 0 or ctypes.get_errno() == errno.EOPNOTSUPP
        return done == 0


# -- rings whose chains come back in any order -----------------------------------------------------


class SplitRing(Ring):
    """Descriptors are free when their chain has come back."""

    def __init__(self, memory: Memory, index: int, size: int = 256):
        super().__init__(memory, index, size)
        self.clear()

    def clear(self) -> None:
        super().clear()
        self.free = list(range(self.size))
        self.chains: dict[int, list[int]] = {}
        self.nr_seen = 0

    def put(self, pieces: list[tuple[int, int, int]]) -> int:
        """Make a chain available; its id."""
        slots = [self.free.pop(0) for _ in pieces]
        for slot, then, (guest, length, flags) in zip(slots, [*slots[1:], None], pieces):
            more = 0 if then is None else DESC_F_NEXT
            struct.pack_into("<QIHH", self.memory.map, self.at + 16 * slot, guest, length, flags | more, then or 0)
        struct.pack_into("<H", self.memory.map, self.at + (64 << 10) + 4 + 2 * (self.avail_idx % self.size), slots[0])
        self.avail_idx = (self.avail_idx + 1) & 0xFFFF
        self.set_avail_idx(self.avail_idx)
        self.chains[slots[0]] = slots
        return slots[0]

    def come_back(self) -> list[tuple[int, int]]:
        """(id, written) of each chain since the last time."""
        found = []
        while self.nr_seen != load16(self.memory, self.at + USED_AT + 2):
            chain, written = self.used(self.nr_seen)
            self.free += self.chains.pop(chain)
            self.nr_seen = (self.nr_seen + 1) & 0xFFFF
            found.append((chain, written))
        return found

    def table_entry(self, number: int, last: bool, guest: int, length: int, flags: int) -> bytes:
        return struct.pack("<QIHH", guest, length, flags | (0 if last else DESC_F_NEXT), 0 if last else number + 1)


class PackedChains(PackedRing):
    """Ids are free when their chain has come back; slots when those before them have, too."""

    def begin_at(self, place: int) -> None:
        super().begin_at(place)
        self.free = list(range(self.size))
        self.chains: dict[int, int] = {}

    def put(self, pieces: list[tuple[int, int, int]]) -> int:
        assert sum(self.chains.values()) + len(pieces) <= self.size
        chain, places = self.free.pop(0), [self.posted_at]
        for _ in pieces:
            places.append(self.after(places[-1]))
        self.posted_at = places.pop()
        self.chains[chain] = len(pieces)
        for place, (guest, length, flags) in reversed(list(zip(places, pieces))):
            flags |= 0 if place == places[-1] else DESC_F_NEXT
            at = self.at + 16 * (place & 0x7FFF)
            struct.pack_into("<QIH", self.memory.map, at, guest, length, chain)
            store16(self.memory, at + 14, flags | (DESC_F_AVAIL if place >> 15 else DESC_F_USED))
        return chain

    def come_back(self) -> list[tuple[int, int]]:
        found = []
        while self.chains:
            at = self.at + 16 * (self.used_at & 0x7FFF)
            wanted = DESC_F_AVAIL | DESC_F_USED if self.used_at >> 15 else 0
            if load16(self.memory, at + 14) & (DESC_F_AVAIL | DESC_F_USED) != wanted:
                break
            written, chain = struct.unpack_from("<IH", self.memory.map, at + 8)
            for _ in range(self.chains.pop(chain)):
                self.used_at = self.after(self.used_at)
            self.free.append(chain)
            found.append((chain, written))
        return found

    def table_entry(self, _number: int, _last: bool, guest: int, length: int, flags: int) -> bytes:
        return struct.pack("<QIHH", guest, length, 0, flags)


def load16(memory: Memory, at: int) -> int:
    """In one load, as the other side stores it."""
    with memoryview(memory.map) as view, view.cast("H") as halves:
        return halves[at // 2]


def store16(memory: Memory, at: int, value: int) -> None:
    with memoryview(memory.map) as view, view.cast("H") as halves:
        halves[at // 2] = value


KINDS = {"split": (0, SplitRing, 0), "packed": (bits(Feature.RING_PACKED), PackedChains, 0x80008000)}


# -- requests --------------------------------------------------------------------------------------


class Asked:
    """A request that is out, or has come back."""

    def __init__(self, driver: "BlkDriver", pieces: list[tuple[int, int, int]]):
        self.driver, self.pieces = driver, pieces
        self.before = [b"" if flags & DESC_F_WRITE else driver.bytes_at(guest, length)
                       for guest, length, flags in pieces]
        self.written = None  # not back yet

    def answer(self) -> bytes:
        """All of the writable part."""
        return b"".join(self.driver.bytes_at(guest, length)
                        for guest, length, flags in self.pieces if flags & DESC_F_WRITE)

    def status(self) -> int:
        return self.answer()[-1]

    def data(self) -> bytes:
        return self.answer()[:-1]

    def check_the_rest(self) -> None:
        """What the driver wrote is what it was, and so is what lies around the pieces."""
        for (guest, length, flags), before in zip(self.pieces, self.before):
            if (guest, length) not in self.driver.stored:
                continue  # a test's own invention
            around = self.driver.bytes_at(guest - GUARD, GUARD) + self.driver.bytes_at(guest + length, GUARD)
            assert around == GUARD_BYTE * 2 * GUARD, "bytes beside a piece were written"
            if not flags & DESC_F_WRITE:
                assert self.driver.bytes_at(guest, length) == before, "what is ours was written"


def header(kind: int, sector: int = 0) -> bytes:
    return struct.pack("<IIQ", kind, 0, sector)


def zone(sector: int, nr_sectors: int, flags: int = 0) -> bytes:
    """Of DISCARD and WRITE_ZEROES."""
    return struct.pack("<QII", sector, nr_sectors, flags)


def cuts(length: int, parts) -> list[int]:
    """`parts`, and what is left of `length` behind them."""
    left = length - sum(parts)
    assert left >= 0
    return [*parts, left] if left else [*parts]


class BlkDriver(Driver):
    """A guest with a disk."""

    def __init__(self, path: Path, kind: str = "split", nr_rings: int = 1, ring_size: int = 256,
                 memory_size: int = 8 << 20, front: FrontEnd | None = None):
        features, ring_class, self.base = KINDS[kind]
        self.features = BASE | features
        super().__init__(front or FrontEnd.connect(path), nr_rings, Memory(memory_size), ring_size, ring_class)
        self.top = self.bottom = max(BUFFERS_AT, nr_rings * RING_SPACE)
        self.stored: set[tuple[int, int]] = set()  # pieces with guards
        self.out: list[dict[int, Asked]] = [{} for _ in self.rings]

    def begin(self, features: int = bits(F_FLUSH, F_CONFIG_WCE), protocol: int = PROTOCOL) -> "BlkDriver":
        """All of a start."""
        self.negotiate(self.features | features, protocol)
        self.share_memory()
        for ring in self.rings:
            self.set_up_ring(ring.index, self.base)
        self.enable()
        if protocol & bits(Protocol.STATUS):
            self.set_status()
        return self

    # -- memory -----------------------------------------------------------------------------------

    def bytes_at(self, guest: int, length: int) -> bytes:
        at = guest - self.memory.guest
        return self.memory.map[at:at + length] if 0 <= at < self.memory.size else b""

    def store(self, data: bytes) -> int:
        """Between guards; the guest address."""
        room = GUARD_BYTE * GUARD + data + GUARD_BYTE * GUARD
        assert self.top + len(room) <= self.memory.size, "the guest has no memory left for this"
        self.memory.map[self.top:self.top + len(room)] = room
        at = self.memory.guest + self.top + GUARD
        self.top += len(room)
        self.stored.add((at, len(data)))
        return at

    # -- sending ----------------------------------------------------------------------------------

    def pieces(self, sent: bytes, room: int, cut=(), answer_cut=()) -> list[tuple[int, int, int]]:
        """Descriptors with `sent` in them, then for `room` bytes; lengths of all but the last."""
        made = []
        for length in cuts(len(sent), cut):
            made.append((self.store(sent[:length]), length, 0))
            sent = sent[length:]
        for length in cuts(room, answer_cut):
            made.append((self.store(bytes([UNTOUCHED]) * length), length, DESC_F_WRITE))
        return made

    def post(self, pieces: list[tuple[int, int, int]], queue: int = 0, indirect: bool = False) -> Asked:
        asked, ring = Asked(self, pieces), self.rings[queue]
        if indirect:
            table = b"".join(ring.table_entry(number, number == len(pieces) - 1, *piece)
                             for number, piece in enumerate(pieces))
            pieces = [(self.store_aligned(table), len(table), DESC_F_INDIRECT)]
        self.out[queue][ring.put(pieces)] = asked
        return asked

    def store_aligned(self, table: bytes) -> int:
        self.top += -(self.top + GUARD) % 16
        return self.store(table)

    def kick(self, queue: int = 0) -> None:
        os.eventfd_write(self.rings[queue].kick, 1)

    def ask(self, kind: int, sector: int = 0, data: bytes = b"", room: int = 0, *, cut=(16,), answer_cut=None,
            queue: int = 0, indirect: bool = False) -> Asked:
        """Header and data, then room for data and a status; not waited for."""
        last = ([room] if room else []) if answer_cut is None else answer_cut
        asked = self.post(self.pieces(header(kind, sector) + data, room + 1, cut, last), queue, indirect)
        self.kick(queue)
        return asked

    # -- answers ----------------------------------------------------------------------------------

    def look(self) -> None:
        """Take what came back: each request once, and nothing else."""
        for out, ring in zip(self.out, self.rings):
            for chain, written in ring.come_back():
                out.pop(chain).written = written

    def wait(self, *asked: Asked) -> int:
        """Until they are all back; the last one's status. Memory is free again with none out."""
        def are_back():
            self.look()
            return all(one.written is not None for one in asked)

        wait_for(are_back)
        for one in asked:
            one.check_the_rest()
        status = asked[-1].status() if asked[-1].answer() else None
        if not any(self.out):
            self.last_answer, self.top = asked[-1].answer(), self.bottom
            self.stored.clear()
        return status

    def do(self, *words, **options) -> int:
        """Ask and wait; the status."""
        return self.wait(self.ask(*words, **options))

    def read(self, sector: int, length: int, **options) -> bytes:
        asked = self.ask(IN, sector, room=length, **options)
        assert self.wait(asked) == OK
        assert asked.written == length + 1
        return asked.data()

    def write(self, sector: int, data: bytes, **options) -> None:
        asked = self.ask(OUT, sector, data, **options)
        assert self.wait(asked) == OK
        assert asked.written == 1

    # -- configuration ----------------------------------------------------------------------------

    def config(self, offset: int = 0, length: int = 60) -> bytes:
        reply = self.front.ask(Request.GET_CONFIG, config(offset, bytes(length)))
        assert struct.unpack("=III", reply[:12])[:2] == (offset, length)
        return reply[12:]

    def capacity(self) -> int:
        return struct.unpack("<Q", self.config(0, 8))[0]

    def set_cache(self, on: int) -> None:
        self.front.do(Request.SET_CONFIG, config(WCE_AT, bytes([on])))
