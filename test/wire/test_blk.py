# SPDX-License-Identifier: BSD-3-Clause
"""vhostx-blk: what is read and written is what is in the file, however a request is cut."""

import os
import random
import tempfile
from pathlib import Path

import pytest

from disk import DISCARD, F_CONFIG_WCE, F_DISCARD, F_FLUSH, F_MQ, F_WRITE_ZEROES, FLUSH, GET_ID, IN, OK, OUT, SECTOR
from disk import UNMAP, UNTOUCHED, WRITE_ZEROES, Below, BlkDriver, blk, gives_blocks_back, guest, header, make_image
from disk import part, zone
from driver import DESC_F_WRITE
from frontend import Protocol, Request, bits, mem_table, state

MB = 1 << 20
GIVE_UP = bits(F_DISCARD, F_WRITE_ZEROES)

indirect_too = pytest.mark.parametrize("indirect", [False, True], ids=["plain", "indirect"])


def words(length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(length)


def places():
    """Lengths, at the start, at the end and somewhere between."""
    for length in (512, 1024, 4096, 65536, MB):
        yield from ((length, sector) for sector in (0, 7, 1001, 8192 - length // SECTOR))


# -- round trips -----------------------------------------------------------------------------------


@indirect_too
def test_read(disk, indirect):
    for length, sector in places():
        assert disk.read(sector, length, indirect=indirect) == part(disk.image, sector, length)


@indirect_too
def test_write(disk, indirect):
    """And not a byte more."""
    expected = bytearray(disk.image.read_bytes())
    for length, sector in places():
        data = words(length, sector)
        disk.write(sector, data, indirect=indirect)
        expected[sector * SECTOR:sector * SECTOR + length] = data
        assert disk.image.read_bytes() == expected, (length, sector)
        assert disk.read(sector, length) == data


CUTS = {
    "header in two": (7, 9),
    "header in sixteen": (1,) * 16,
    "header and data together": (),
    "header ends in the data": (11, 100),
    "data at odd places": (16, 1, 1, 509, 3, 510, 1000),
    "a byte behind the header": (17, 511),
    "a sector each": (16, *(512,) * 8),
    "many": (16, *(33,) * 100),
    "empty pieces": (16, 0, 0, 1000, 0, 512, 0),
}


@indirect_too
def test_write_cut(disk, indirect):
    before = disk.image.read_bytes()
    for number, (name, cut) in enumerate(CUTS.items()):
        data = words(8 * SECTOR, number)
        disk.write(3, data, cut=cut, indirect=indirect)
        assert part(disk.image, 3, 8 * SECTOR) == data, name
    assert disk.image.read_bytes() == before[:3 * SECTOR] + data + before[11 * SECTOR:]


ANSWER_CUTS = {
    "data and status together": (),
    "status alone": (8 * SECTOR,),
    "a byte of the data with the status": (8 * SECTOR - 1,),
    "at odd places": (1, 511, 513, 1000, 7),
    "many": (33,) * 100,
    "a sector each": (512,) * 8,
    "empty pieces": (0, 1000, 0, 0, 512, 0),
    "nothing behind the status": (8 * SECTOR, 1, 0),
}


@indirect_too
def test_read_cut(disk, indirect):
    for name, cut in ANSWER_CUTS.items():
        data = disk.read(5, 8 * SECTOR, answer_cut=cut, indirect=indirect)
        assert data == part(disk.image, 5, 8 * SECTOR), name


@indirect_too
def test_cut_anyhow(disk, indirect):
    """A model of the disk in bytes; every request cut at random."""
    chance = random.Random(7)
    model = bytearray(disk.image.read_bytes())

    def pieces(length):
        found = []
        while length and chance.random() < 0.9:
            found.append(chance.randint(0, min(length, 1500)))
            length -= found[-1]
        return found

    for _ in range(150):
        length = SECTOR * chance.randint(1, 24)
        sector = chance.randrange(8192 - length // SECTOR)
        at = sector * SECTOR
        if chance.random() < 0.5:
            data = chance.randbytes(length)
            disk.write(sector, data, cut=pieces(16 + length), indirect=indirect)
            model[at:at + length] = data
        else:
            assert disk.read(sector, length, answer_cut=pieces(length + 1), cut=pieces(16),
                             indirect=indirect) == model[at:at + length]
    assert disk.image.read_bytes() == model


def test_nothing(disk):
    """Of no bytes there is nothing wrong, at the very end neither."""
    before = disk.image.read_bytes()
    for sector in (0, 8191, 8192):
        assert disk.read(sector, 0) == b""
        disk.write(sector, b"")
    assert disk.image.read_bytes() == before


@indirect_too
def test_as_many_pieces_as_there_can_be(folder, image, ring_kind, indirect):
    """1024 of them, header and status included: what preadv2() takes at once, and the library."""
    with blk(folder, "--blk-file", image) as prog, guest(prog, ring_kind, ring_size=4096) as disk:
        cut = [512] * 1022
        assert disk.read(9, 1022 * 512, answer_cut=cut, indirect=indirect) == part(image, 9, 1022 * 512)
        data = words(1022 * 512)
        disk.write(9, data, cut=[16, *cut], indirect=indirect)
        assert part(image, 9, len(data)) == data
        lost = disk.ask(OUT, 9, bytes(1023 * 512), cut=[16, *cut, 512], indirect=indirect)
        disk.wait(lost)
        assert (lost.written, lost.status()) == (0, UNTOUCHED)
        assert part(image, 9, len(data)) == data
        assert disk.read(9, len(data)) == data


def test_many_at_a_time(disk):
    """All different, all there, each once."""
    nr = 80
    asked = [disk.ask(OUT, 64 * number, words(4096, number)) for number in range(nr)]
    disk.wait(*asked)
    assert [one.status() for one in asked] == [OK] * nr
    for number in range(nr):
        assert part(disk.image, 64 * number, 4096) == words(4096, number)
    asked = [disk.ask(IN, 64 * number, room=4096) for number in range(nr)]
    disk.wait(*asked)
    assert [one.data() for one in asked] == [words(4096, number) for number in range(nr)]


def test_more_than_the_kernel_is_given_at_a_time(folder, image, ring_kind):
    """1000 requests; nobody can be served before all of them are out."""
    below = Below(folder)
    below["hold"] = 1
    with blk(folder, "--blk-file", image, env=below.env()) as prog:
        with guest(prog, ring_kind, ring_size=4096) as disk:
            asked = [disk.ask(IN, number, room=SECTOR) for number in range(1000)]
            disk.look()
            assert not any(one.written for one in asked)
            below["hold"] = 0
            disk.wait(*asked)
            data = image.read_bytes()
            assert b"".join(one.data() for one in asked) == data[:1000 * SECTOR]
            assert below["nr_transfers"] == 1000


def test_rings_round_and_round(disk):
    """More requests than a ring has entries, several times."""
    for number in range(200):
        disk.write(number, words(SECTOR, number), cut=(16,))
    assert part(disk.image, 0, 200 * SECTOR) == b"".join(words(SECTOR, number) for number in range(200))


def test_four_queues(folder, image, ring_kind):
    with blk(folder, "--blk-file", image, "--num-queues", "4") as prog:
        with guest(prog, ring_kind, bits(F_FLUSH, F_MQ), nr_rings=4) as disk:
            asked = [disk.ask(OUT, 32 * number, words(8192, number), queue=number % 4) for number in range(100)]
            disk.wait(*asked)
            assert {one.status() for one in asked} == {OK}
            asked = [disk.ask(IN, 32 * number, room=8192, queue=(number + 1) % 4) for number in range(100)]
            disk.wait(*asked)
            assert [one.data() for one in asked] == [words(8192, number) for number in range(100)]


def test_memory(folder, ring_kind):
    """Zeros at first; written, read, given up; nothing of a file."""
    with blk(folder, "--memory", "4M") as prog, guest(prog, ring_kind, bits(F_FLUSH) | GIVE_UP) as disk:
        assert disk.capacity() == 8192
        assert disk.read(0, MB) == bytes(MB)
        data = words(MB)
        disk.write(1000, data, cut=(9, 100, 1000))
        assert disk.read(999, 2 * SECTOR) == bytes(SECTOR) + data[:SECTOR]
        assert disk.read(1000, MB, answer_cut=(1, 5000, 3)) == data
        assert disk.do(FLUSH) == OK
        for kind, sector, nr in ((DISCARD, 1003, 1), (WRITE_ZEROES, 1009, 30), (DISCARD, 1100, 333)):
            assert disk.do(kind, 0, zone(sector, nr)) == OK
            at = (sector - 1000) * SECTOR
            data = data[:at] + bytes(nr * SECTOR) + data[at + nr * SECTOR:]
            assert disk.read(1000, MB) == data
        assert disk.do(GET_ID, room=20) == OK
        assert disk.last_answer == b"memory".ljust(20, b"\0") + bytes([OK])


def test_memory_that_is_given_up_is_given_back(folder):
    def resident():
        status = Path(f"/proc/{prog.pid}/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))

    with blk(folder, "--memory", "1G") as prog, guest(prog, features=GIVE_UP) as disk:
        before = resident()
        disk.write(0, words(MB))
        disk.write(2048, words(MB))
        assert resident() >= before + 2048
        assert disk.do(DISCARD, 0, zone(0, 2 << 20)) == OK
        assert disk.do(WRITE_ZEROES, 0, zone(1000, 64 << 11)) == OK
        assert resident() < before + 1024
        assert disk.read(0, MB) == bytes(MB)


# -- the other kinds -------------------------------------------------------------------------------


@pytest.mark.parametrize("serial, told", [
    ("A-1", b"A-1"), ("x" * 19, b"x" * 19), ("0123456789abcdefghij", b"0123456789abcdefghij"),
    ("0123456789abcdefghijklm", b"0123456789abcdefghij"), ("", b""), (None, b"image")])
def test_serial(folder, image, serial, told):
    words_of_it = [] if serial is None else ["--serial", serial]
    with blk(folder, "--blk-file", image, *words_of_it) as prog, guest(prog) as disk:
        for room in (0, 1, 5, 19, 20, 21, 512):
            assert disk.do(GET_ID, room=room) == OK
            told_here = told.ljust(20, b"\0")[:room].ljust(room, bytes([UNTOUCHED]))
            assert disk.last_answer == told_here + bytes([OK])


def test_flush(folder, image, ring_kind):
    below = Below(folder)
    with blk(folder, "--blk-file", image, env=below.env()) as prog, guest(prog, ring_kind) as disk:
        disk.write(0, words(SECTOR))
        assert (below["nr_durable"], below["nr_flushes"]) == (0, 0)
        assert disk.do(FLUSH) == OK
        assert disk.do(FLUSH, sector=1 << 40) == OK  # it means nothing there
        assert below["nr_flushes"] == 2


@pytest.fixture(params=["/tmp", "/dev/shm"])
def sparse_folder(request):
    """On a disk, and on a file system that knows holes, but cannot be told to write zeros."""
    with tempfile.TemporaryDirectory(prefix="vhx-", dir=request.param) as made:
        yield Path(made)


@pytest.mark.parametrize("kind, flags, gives_back", [
    (DISCARD, 0, True), (WRITE_ZEROES, UNMAP, True), (WRITE_ZEROES, 0, False)], ids=["discard", "unmap", "zeroes"])
@pytest.mark.parametrize("sector, nr", [(0, 8192), (8, 4000), (1, 1), (13, 777)])
def test_give_up(sparse_folder, ring_kind, kind, flags, gives_back, sector, nr):
    """Zeros afterwards, whichever; the blocks are the file system's again where they are not wanted."""
    path = sparse_folder / "image"
    before = make_image(path, 4 * MB)
    with path.open("r+b") as file:
        os.fsync(file.fileno())  # some give blocks to a file only then
    blocks = path.stat().st_blocks
    with blk(sparse_folder, "--blk-file", path) as prog, guest(prog, ring_kind, GIVE_UP) as disk:
        assert disk.do(kind, 0, zone(sector, nr, flags), cut=(16, 5)) == OK
        end = (sector + nr) * SECTOR
        assert path.read_bytes() == before[:sector * SECTOR] + bytes(nr * SECTOR) + before[end:]
        assert disk.read(sector, min(nr * SECTOR, MB)) == bytes(min(nr * SECTOR, MB))
    is_given_back = path.stat().st_blocks <= blocks - nr + 16
    if gives_blocks_back(sparse_folder) and nr > 64:
        assert is_given_back == gives_back


# -- durable ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("no_ring", [0, 1], ids=["io_uring", "calls"])
@pytest.mark.parametrize("features, cache, is_durable", [
    (bits(F_FLUSH), None, False), (0, None, True), (bits(F_FLUSH, F_CONFIG_WCE), None, False),
    (bits(F_FLUSH, F_CONFIG_WCE), 0, True), (bits(F_FLUSH, F_CONFIG_WCE), 1, False), (bits(F_FLUSH), 0, False)])
def test_write_through(folder, image, no_ring, features, cache, is_durable):
    """Who cannot flush, or wishes no cache, has each write on the disk when it is done."""
    below = Below(folder)
    below["no_ring"] = no_ring
    with blk(folder, "--blk-file", image, env=below.env()) as prog:
        with guest(prog, features=features | GIVE_UP) as disk:
            if cache is not None:
                disk.set_cache(cache)
            disk.write(0, words(SECTOR))
            disk.write(1, words(MB), cut=(16, 7, 4000))
            assert below["nr_durable"] == 2 * is_durable
            assert disk.do(WRITE_ZEROES, 0, zone(0, 8)) == OK
            assert below["nr_flushes"] == is_durable
            assert disk.read(0, 8 * SECTOR) == bytes(8 * SECTOR)
        said = prog.said()
        assert ("io_uring cannot be had" in said) == bool(no_ring), said


def test_write_through_is_for_one_front_end(folder, image):
    """The next one finds what it expects, with the very same features."""
    below = Below(folder)
    with blk(folder, "--blk-file", image, env=below.env()) as prog:
        for cache in (0, 1, 0):
            with guest(prog) as disk:
                assert disk.config(32, 1) == b"\1"
                disk.set_cache(cache)
                assert disk.config(32, 1) == bytes([cache])
            prog.wait_at_rest()
        with guest(prog) as disk:
            disk.write(0, words(SECTOR))
            assert below["nr_durable"] == 0


# -- short transfers -------------------------------------------------------------------------------


@pytest.mark.parametrize("no_ring", [0, 1], ids=["io_uring", "calls"])
@pytest.mark.parametrize("step", [1000, 4096, 12345])
def test_gone_on_with(folder, image, ring_kind, no_ring, step):
    """The kernel may do less than it is asked for; nobody above hears of it."""
    below = Below(folder)
    below["no_ring"], below["part"] = no_ring, step
    before = image.read_bytes()
    with blk(folder, "--blk-file", image, env=below.env()) as prog, guest(prog, ring_kind) as disk:
        assert disk.read(3, 65536) == part(image, 3, 65536)
        assert disk.read(3, 65536, answer_cut=(1, 999, 20000, 3)) == part(image, 3, 65536)
        data = words(65536)
        disk.write(3, data, cut=(16, 10000, 1, 1, 1, 3000))
        assert below["nr_transfers"] > 3
    assert image.read_bytes() == before[:3 * SECTOR] + data + before[3 * SECTOR + len(data):]


# -- a chain as a driver need not make it ----------------------------------------------------------


def test_what_is_sent_for_nothing(disk):
    """Bytes behind the header of a read; room behind that of a write: the status is the last byte."""
    asked = disk.ask(IN, 2, b"for nothing", room=SECTOR)
    assert disk.wait(asked) == OK and asked.data() == part(disk.image, 2, SECTOR)
    asked = disk.ask(OUT, 2, words(SECTOR), room=100)
    assert disk.wait(asked) == OK and asked.data() == bytes([UNTOUCHED]) * 100
    assert part(disk.image, 2, SECTOR) == words(SECTOR)


def test_memory_in_many_regions(folder, image, ring_kind):
    """A piece that goes from one region to the next is two for us."""
    with blk(folder, "--blk-file", image) as prog:
        disk = BlkDriver(prog.socket, ring_kind)
        disk.negotiate(disk.features | bits(F_FLUSH), bits(Protocol.REPLY_ACK))
        cut = [0, 2 * MB, 2 * MB + 4096, 2 * MB + 8192, disk.memory.size]
        regions = [disk.memory.region(at, to - at) for at, to in zip(cut, cut[1:])]
        disk.front.do(Request.SET_MEM_TABLE, mem_table(*regions), [disk.memory.fd] * 4)
        disk.set_up_ring(0, disk.base)
        disk.front.do(Request.SET_VRING_ENABLE, state(0, 1))
        disk.top = 2 * MB - 1000
        sent = disk.store(header(OUT, 4) + words(20480))
        status = disk.store(bytes([UNTOUCHED]))
        asked = disk.post([(sent, 16 + 20480, 0), (status, 1, DESC_F_WRITE)])
        disk.kick()
        assert disk.wait(asked) == OK
        assert part(image, 4, 20480) == words(20480)
        disk.top = 2 * MB - 1000
        assert disk.read(3, 20480, answer_cut=()) == part(image, 3, 20480)
        disk.close()
