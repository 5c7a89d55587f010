# SPDX-License-Identifier: BSD-3-Clause
"""vhostx-blk and requests that break the rules, and files that fail: a defined answer, and on it goes."""

import os
import resource
import shutil
import struct
import subprocess

import pytest

from disk import DESC_F_INDIRECT, DISCARD, F_DISCARD, F_FLUSH, F_RO, F_WRITE_ZEROES, FLUSH, GET_ID, IN, IOERR, OK
from disk import OUT, SECTOR, UNMAP, UNSUPP, UNTOUCHED, WRITE_ZEROES, Below, blk, guest, header, part, some_bytes
from disk import zone
from driver import DESC_F_WRITE
from frontend import bits
from programs import wait_for

MB = 1 << 20
END = 8192  # sectors of the image
GIVE_UP = bits(F_FLUSH, F_DISCARD, F_WRITE_ZEROES)
DISCARD_MAX, ZEROES_MAX = 1 << 22, 1 << 17

below_too = pytest.mark.parametrize("no_ring", [0, 1], ids=["io_uring", "calls"])


@pytest.fixture
def disk(folder, image, ring_kind):
    """The one of all tests, with DISCARD and WRITE_ZEROES."""
    with blk(folder, "--blk-file", image) as prog, guest(prog, ring_kind, GIVE_UP) as driver:
        driver.prog, driver.image, driver.indirect = prog, image, False
        yield driver


def serves(disk) -> None:
    """A good request does what it should."""
    data = os.urandom(SECTOR)
    disk.write(100, data)
    assert disk.read(100, SECTOR) == data
    disk.write(100, some_bytes(4 * MB)[100 * SECTOR:101 * SECTOR])


def is_as_it_was(disk) -> None:
    assert disk.image.read_bytes() == some_bytes(4 * MB), "bytes of the disk were changed"


# -- refused with a status -------------------------------------------------------------------------

LAST = (1 << 64) - 1
REFUSED = {
    "short header": (IOERR, [header(IN)[:15]], 512),
    "no header": (IOERR, [b""], 512),
    "half a header, status alone": (IOERR, [header(OUT)[:8]], 0),
    "read behind the end": (IOERR, [header(IN, END)], 512),
    "read over the end": (IOERR, [header(IN, END - 1)], 1024),
    "read at the last sector there can be": (IOERR, [header(IN, LAST)], 512),
    "read where bytes wrap": (IOERR, [header(IN, 1 << 55)], 512),
    "read of nothing, behind the end": (IOERR, [header(IN, END + 1)], 0),
    "read of half a sector": (IOERR, [header(IN, 0)], 256),
    "read of a byte more": (IOERR, [header(IN, 0)], 513),
    "write behind the end": (IOERR, [header(OUT, END), bytes(512)], 0),
    "write over the end": (IOERR, [header(OUT, END - 1), bytes(1024)], 0),
    "write at the last sector there can be": (IOERR, [header(OUT, LAST), bytes(512)], 0),
    "write where bytes wrap": (IOERR, [header(OUT, 1 << 55), bytes(512)], 0),
    "write of half a sector": (IOERR, [header(OUT, 0), bytes(256)], 0),
    "write of a byte less": (IOERR, [header(OUT, 0), bytes(511)], 0),
    "type of SCSI commands": (UNSUPP, [header(2), bytes(512)], 512),
    "type of lifetimes": (UNSUPP, [header(10)], 512),
    "type of secure erase": (UNSUPP, [header(14), zone(0, 1)], 0),
    "type of zones": (UNSUPP, [header(16)], 512),
    "type of nobody": (UNSUPP, [header(0xFFFFFFFF)], 0),
    "type with the old barrier bit": (UNSUPP, [header(0x80000000 | OUT), bytes(512)], 0),
    "discard of nothing said": (IOERR, [header(DISCARD)], 0),
    "discard with a list too short": (IOERR, [header(DISCARD), zone(0, 1)[:15]], 0),
    "discard with a list too long": (IOERR, [header(DISCARD), zone(0, 1) + b"\0"], 0),
    "discard of two ranges": (IOERR, [header(DISCARD), zone(0, 1) + zone(2, 1)], 0),
    "discard with UNMAP": (UNSUPP, [header(DISCARD), zone(0, 1, UNMAP)], 0),
    "discard with unknown flags": (UNSUPP, [header(DISCARD), zone(0, 1, 1 << 31)], 0),
    "discard of no sectors": (IOERR, [header(DISCARD), zone(0, 0)], 0),
    "discard over the end": (IOERR, [header(DISCARD), zone(END - 1, 2)], 0),
    "discard at the last sector there can be": (IOERR, [header(DISCARD), zone(LAST, 1)], 0),
    "discard of more than the limit": (IOERR, [header(DISCARD), zone(0, DISCARD_MAX + 1)], 0),
    "discard of all there can be": (IOERR, [header(DISCARD), zone(0, (1 << 32) - 1)], 0),
    "zeroes of two ranges": (IOERR, [header(WRITE_ZEROES), zone(0, 1) + zone(2, 1)], 0),
    "zeroes with unknown flags": (UNSUPP, [header(WRITE_ZEROES), zone(0, 1, UNMAP | 2)], 0),
    "zeroes of no sectors": (IOERR, [header(WRITE_ZEROES), zone(0, 0)], 0),
    "zeroes over the end": (IOERR, [header(WRITE_ZEROES), zone(END, 1)], 0),
    "zeroes where sectors wrap": (IOERR, [header(WRITE_ZEROES), zone(LAST - 1, 3)], 0),
    "zeroes of more than the limit": (IOERR, [header(WRITE_ZEROES), zone(0, ZEROES_MAX + 1)], 0),
}


def refused(disk, sent: list[bytes], room: int, indirect: bool) -> int:
    """The status; nothing else is written to the guest, whose bytes it had room for."""
    cut = [len(one) for one in sent if one]
    pieces = disk.pieces(b"".join(sent), room + 1, cut, [room] * bool(room))
    asked = disk.post(pieces, indirect=indirect)
    disk.kick()
    status = disk.wait(asked)
    assert asked.data() == bytes([UNTOUCHED]) * room
    assert asked.written == room + 1
    return status


@pytest.mark.parametrize("indirect", [False, True], ids=["plain", "indirect"])
def test_refused(disk, indirect):
    for name, (status, sent, room) in REFUSED.items():
        assert refused(disk, sent, room, indirect) == status, name
        serves(disk)
    is_as_it_was(disk)


def test_the_limits_are_where_they_are_said_to_be(folder):
    """On a disk that is larger than they are, which REFUSED's is not."""
    with (folder / "large").open("wb") as file:
        file.truncate((DISCARD_MAX + 10) * SECTOR)
    with blk(folder, "--blk-file", folder / "large") as prog, guest(prog, features=GIVE_UP) as disk:
        assert struct.unpack_from("<II", disk.config(), 36) == (DISCARD_MAX, 1)
        assert struct.unpack_from("<IIB", disk.config(), 48) == (ZEROES_MAX, 1, 1)
        for kind, most in ((DISCARD, DISCARD_MAX), (WRITE_ZEROES, ZEROES_MAX)):
            assert disk.do(kind, 0, zone(1, most)) == OK
            assert disk.do(kind, 0, zone(1, most + 1)) == IOERR


def test_read_only(folder, image, ring_kind):
    with blk(folder, "--blk-file", image, "--read-only") as prog, guest(prog, ring_kind, bits(F_FLUSH, F_RO)) as disk:
        disk.image = image
        for kind, data in ((OUT, bytes(512)), (OUT, b""), (DISCARD, zone(0, 1)), (WRITE_ZEROES, zone(0, 1))):
            assert disk.do(kind, 0, data) == IOERR
        assert disk.read(7, 4096) == part(image, 7, 4096)
        assert disk.do(FLUSH) == OK
        assert disk.do(GET_ID, room=20) == OK
        is_as_it_was(disk)


# -- no room to say what is wrong ------------------------------------------------------------------


def lost(disk, pieces, indirect: bool = False) -> None:
    """It comes back with nothing written."""
    before = [disk.bytes_at(guest, length) for guest, length, _ in pieces]
    asked = disk.post(pieces, indirect=indirect)
    disk.kick()
    disk.wait(asked)
    assert asked.written == 0
    assert before == [disk.bytes_at(guest, length) for guest, length, _ in pieces]
    serves(disk)


@pytest.mark.parametrize("indirect", [False, True], ids=["plain", "indirect"])
def test_nowhere_to_write(disk, indirect):
    for kind in (IN, OUT, FLUSH, DISCARD, 77):
        lost(disk, disk.pieces(header(kind) + bytes(512), 0), indirect)
    is_as_it_was(disk)


@pytest.mark.parametrize("indirect", [False, True], ids=["plain", "indirect"])
def test_pieces_outside_of_memory(disk, indirect):
    outside = disk.memory.guest + disk.memory.size
    for at in (0, outside, outside - 100, 1 << 62, (1 << 64) - 256):
        for number in range(3):
            pieces = disk.pieces(header(OUT, 5) + bytes(512), 1, cut=(16,))
            pieces[number] = (at, 512, pieces[number][2])
            lost(disk, pieces, indirect)
    is_as_it_was(disk)


def test_status_outside_of_memory(disk):
    """The data of a read neither: nobody would hear of it."""
    pieces = disk.pieces(header(IN, 5), 512 + 1, answer_cut=(512,))
    pieces[2] = (disk.memory.guest + disk.memory.size, 1, DESC_F_WRITE)
    lost(disk, pieces)


def test_what_is_to_be_written_comes_first(disk):
    sent, room = disk.pieces(header(OUT, 5), 1)
    lost(disk, [room, sent])
    is_as_it_was(disk)


def test_table_of_a_bad_length(disk):
    good = disk.pieces(header(OUT, 5) + bytes(512), 1)
    table = b"".join(disk.rings[0].table_entry(number, number == len(good) - 1, *piece)
                     for number, piece in enumerate(good))
    for length in (0, 1, 15, 17, len(table) - 1, len(table) + 5):
        lost(disk, [(disk.store_aligned(table), length, DESC_F_INDIRECT)])
    lost(disk, [(disk.memory.guest + disk.memory.size - 16, len(table), DESC_F_INDIRECT)])
    is_as_it_was(disk)


# -- a front-end that goes -------------------------------------------------------------------------


@below_too
def test_gone_while_it_is_served(folder, image, ring_kind, no_ring):
    """What is done for it is finished, in memory that stays so long; the next one starts afresh."""
    below = Below(folder)
    below["no_ring"] = no_ring
    with blk(folder, "--blk-file", image, env=below.env()) as prog:
        with guest(prog, ring_kind) as disk:
            below["hold"] = 1
            disk.ask(OUT, 3, os.urandom(65536))
            for number in range(20):
                disk.ask(IN, number, room=4096)
            wait_for(lambda: prog.nr_mappings("vhostx-test-guest"))
        with guest(prog, ring_kind) as disk:
            late = disk.ask(IN, 500, room=SECTOR)
            disk.look()
            assert late.written is None
            below["hold"] = 0
            assert disk.wait(late) == OK
            assert late.data() == part(image, 500, SECTOR)


# -- files that fail -------------------------------------------------------------------------------


def test_image_becomes_shorter(disk):
    """Nobody told us: what is gone cannot be read, what is there can. Writing makes it again."""
    os.truncate(disk.image, 100 * SECTOR)
    assert disk.do(IN, 100, room=SECTOR) == IOERR
    assert disk.do(IN, 99, room=2 * SECTOR) == IOERR
    assert disk.do(IN, 4000, room=65536, answer_cut=(1, 5000)) == IOERR
    assert f"vhostx-blk: {disk.image}: cannot read 512 bytes at offset 51200: Input/output error" in disk.prog.said()
    assert disk.read(98, 2 * SECTOR) == some_bytes(4 * MB)[98 * SECTOR:100 * SECTOR]
    serves(disk)


def test_memory_of_the_guest_becomes_shorter(disk):
    """Pages that are gone: the kernel says so of what it reads and writes there."""
    os.ftruncate(disk.memory.fd, 4 * MB)
    guest_end = disk.memory.guest + 4 * MB
    pieces = disk.pieces(header(IN, 5), 1)
    pieces.insert(1, (guest_end, 4096, DESC_F_WRITE))
    asked = disk.post(pieces)
    disk.kick()
    wait_for(lambda: disk.look() or asked.written is not None)
    assert disk.bytes_at(pieces[2][0], 1) == bytes([IOERR])
    assert "Bad address" in disk.prog.said()
    os.ftruncate(disk.memory.fd, disk.memory.size)
    serves(disk)


@below_too
def test_errors_from_below(folder, image, ring_kind, no_ring):
    below = Below(folder)
    below["no_ring"] = no_ring
    with blk(folder, "--blk-file", image, env=below.env()) as prog, guest(prog, ring_kind, GIVE_UP) as disk:
        disk.image = image
        below["fail"] = 1
        for kind, data, room in ((IN, b"", 4096), (OUT, bytes(4096), 0), (FLUSH, b"", 0), (DISCARD, zone(0, 8), 0),
                                 (WRITE_ZEROES, zone(0, 8), 0), (WRITE_ZEROES, zone(0, 8, UNMAP), 0)):
            assert disk.do(kind, 0, data, room) == IOERR, kind
        assert disk.do(GET_ID, room=20) == OK
        below["fail"] = 0
        serves(disk)
        is_as_it_was(disk)
        # At most a line a second, however many fail.
        assert 1 <= prog.said().count(": cannot ") <= 3, prog.said()


@below_too
def test_limit_on_sizes_of_files(folder, image, ring_kind, no_ring):
    """No room behind it. The signal that comes with it would end a program that does not expect it."""
    below = Below(folder)
    below["no_ring"] = no_ring

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MB, 2 * MB))

    with blk(folder, "--blk-file", image, env=below.env(), before=limit) as prog, guest(prog, ring_kind) as disk:
        disk.image = image
        assert disk.do(OUT, 4096, bytes(SECTOR)) == IOERR
        assert disk.do(OUT, 4095, some_bytes(4 * MB)[4095 * SECTOR:4097 * SECTOR]) == IOERR
        assert "File too large" in prog.said()
        serves(disk)
        is_as_it_was(disk)


MOUNT = 'mount -t tmpfs -o size=1m none "$1" && truncate -s 8M "$1/image" && shift && exec "$@"'


def small_disk() -> list[str]:
    """Words that start a program where `folder`/small is a file system of its own, of 1 MiB."""
    for words in (["unshare", "-m"], ["unshare", "-Urm"]):
        if subprocess.run([*words, "true"], check=False, stderr=subprocess.DEVNULL).returncode == 0:
            return words
    pytest.skip("no mounts of our own here: run it as root, or allow user namespaces")


def test_full(folder, ring_kind):
    """A sparse image on a file system with less room than the disk has."""
    small = folder / "small"
    small.mkdir()
    prefix = [*small_disk(), "sh", "-c", MOUNT, "sh", small]
    with blk(folder, "--blk-file", small / "image", prefix=prefix) as prog, guest(prog, ring_kind, GIVE_UP) as disk:
        first = disk.do(OUT, 0, some_bytes(4 * MB)[:512 << 10])
        second = disk.do(OUT, 4096, some_bytes(4 * MB)[:MB])
        assert (first, second) == (OK, IOERR)
        assert f"{small / 'image'}: cannot write {MB} bytes at offset {2 * MB}: No space left" in prog.said()
        assert disk.read(0, 512 << 10) == some_bytes(4 * MB)[:512 << 10]
        assert disk.read(16000, SECTOR) == bytes(SECTOR)
        assert disk.do(DISCARD, 0, zone(4096, 4096)) == OK  # that makes room
        disk.write(100, some_bytes(4 * MB)[:SECTOR])
        serves(disk)
    shutil.rmtree(small)
