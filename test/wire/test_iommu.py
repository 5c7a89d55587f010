# SPDX-License-Identifier: BSD-3-Clause
"""A guest with an IOMMU: what is asked of its front-end, and everything that may come back."""

import contextlib
import os
import struct
import time

import pytest

from backend import IOMMU, MAIN, PLAIN, WIDE
from channel import Channel
from driver import AVAIL_AT, BUFFER_SIZE, BUFFERS_AT, DESC_F_WRITE, GUEST_BASE, MEMORY_SIZE, NO_STATUS, RING_SPACE
from driver import USER_BASE, USED_AT, Memory, PackedRing, Ring
from frontend import Feature, Protocol, Request, addr, bits, iotlb, log_base, mem_table, region, u64
from lazy import LazyDriver
from translated import ACCESS_FAIL, ASK, BOTH, FEATURES, INVALIDATE, IOVA_BASE, MISS, PACKED, PAGE, READ, UPDATE, WRITE
from translated import Guest

U64_MAX = (1 << 64) - 1
RX, TX = 0, 1
AGAIN_SECONDS = 3  # an address is asked for again within it


@pytest.fixture
def make_guest(back, connect):
    made: list[Guest] = []

    def _make(*args, **options) -> Guest:
        made.append(Guest(connect(IOMMU), *args, **options))
        made[-1].old_faults = [back.ring(ring, IOMMU)["faults"] for ring in range(3)]
        return made[-1]

    yield _make
    for one in made:
        one.close()


@pytest.fixture(params=[Ring, PackedRing], ids=["split", "packed"])
def guest(request, make_guest, back):
    """One whose rings run and whose buffers nobody has asked for yet."""
    made = make_guest(ring_class=request.param).begin()
    made.serve(lambda: back.port(IOMMU)["stage"] == "running")
    return made


def used(guest: Guest, ring: int = RX) -> int:
    return guest.rings[ring].used_idx()


def new_faults(back, guest: Guest, ring: int = RX) -> dict[str, int]:
    """What the guest got wrong: counters live as long as the port."""
    old = guest.old_faults[ring]
    now = back.ring(ring, IOMMU)["faults"]
    return {name: nr - old.get(name, 0) for name, nr in now.items() if nr > old.get(name, 0)}


def takes_packet(back, guest: Guest, *, length: int = 72) -> int:
    """One more packet arrives, whatever has to be translated; the offset of its buffer."""
    before = used(guest)
    guest.rings[RX].post()
    guest.serve(lambda: back.push(RX, 1, IOMMU) == 1)
    return arrived(guest, before, length)


def arrived(guest: Guest, before: int, length: int = 72) -> int:
    assert used(guest) == before + 1
    slot, got = guest.rings[RX].used(before)
    assert got == length
    return BUFFERS_AT + slot * BUFFER_SIZE


def holds_packet(guest: Guest, at: int) -> bool:
    return guest.memory.map[at + 12:at + 72] == b"\x5a" * 60


def wait(until, what: str, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


# -- who has one -----------------------------------------------------------------------------------


def test_offered_on_request_only(back):
    bit = bits(Feature.ACCESS_PLATFORM)
    assert back.port(IOMMU)["offered"] & bit
    for port in (MAIN, WIDE, PLAIN):
        assert not back.port(port)["offered"] & bit


def test_without_the_feature_nothing_changes(back, connect, make_driver):
    driver = make_driver(IOMMU).start()
    driver.front.refuse(Request.IOTLB_MSG, iotlb(UPDATE, 0, PAGE, USER_BASE, BOTH))
    assert "ACCESS_PLATFORM was not agreed on" in back.log()
    driver.rings[RX].post()
    assert back.push(RX, 1, IOMMU) == 1
    assert not back.ask(f"iommu {IOMMU}")["on"]


# -- rings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ring_class", [Ring, PackedRing])
def test_rings_are_asked_for(back, make_guest, ring_class):
    """They run when they have come, and until then the port says what it waits for."""
    before = back.ask(f"iommu {IOMMU}")
    guest = make_guest(ring_class=ring_class).begin()
    seen = back.port(IOMMU)
    assert seen["stage"] == "memory"
    assert "ring 0: it waits for the front-end to translate 0xffff80000000 of its descriptor ring" in seen["why"]
    guest.serve(lambda: back.port(IOMMU)["stage"] == "running")
    places = {(ring.at + part) & ~(PAGE - 1) for ring in guest.rings for part in (0, USED_AT, 64 << 10)}
    assert {offset & ~(PAGE - 1) for offset, _ in guest.asked} == places
    assert takes_packet(back, guest)
    told = back.ask(f"iommu {IOMMU}")
    assert told["on"] and told["readable"] and told["writable"]
    grown = {name: told[name] - before[name] for name in ("misses", "updates", "refused", "invalidations")}
    assert grown == {"misses": len(guest.asked), "updates": len(guest.asked), "refused": 0, "invalidations": 0}


def test_rings_may_come_unasked(back, make_guest):
    guest = make_guest().begin(channel=False)
    wait(lambda: "no way to ask" in back.port(IOMMU)["why"], "says what is missing", AGAIN_SECONDS)
    guest.show_rings()
    assert back.port(IOMMU)["stage"] == "running"
    guest.update(BUFFERS_AT, BUFFER_SIZE * 4, WRITE)
    guest.rings[RX].post(2)
    assert back.push(RX, 3, IOMMU) == 2


def test_ring_that_may_only_be_read(back, make_guest):
    """The used part is written to: to be permitted to read it does not do."""
    guest = make_guest().begin()
    guest.update(0, RING_SPACE, READ)
    guest.update(RING_SPACE, RING_SPACE, BOTH)
    assert "of its used ring, which we write" in back.port(IOMMU)["why"]
    guest.update(USED_AT, PAGE, WRITE)
    assert "of its used ring" in back.port(IOMMU)["why"]
    guest.update(USED_AT, PAGE, BOTH)
    assert back.port(IOMMU)["stage"] == "running"


def test_rings_pages_are_taken_and_come_back(back, guest):
    """Nobody is told of a stop, indices are kept, and packets wait."""
    first = takes_packet(back, guest)
    assert holds_packet(guest, first)
    for part in (0, USED_AT, 64 << 10):
        mark = back.mark()
        guest.invalidate(part)
        guest.rings[RX].post()
        assert back.push(RX, 1, IOMMU) == 0
        before = used(guest)
        guest.serve(lambda: back.push(RX, 1, IOMMU) == 1)
        arrived(guest, before)
        assert "running 0" not in back.log(mark) and "usable 0" not in back.log(mark)
    assert back.port(IOMMU)["stage"] == "running"


def test_everything_is_taken(back, guest):
    """As front-ends say it: from 0, more than there is."""
    takes_packet(back, guest)
    guest.front.do(Request.IOTLB_MSG, iotlb(INVALIDATE, 0, U64_MAX))
    told = back.ask(f"iommu {IOMMU}")
    assert (told["readable"], told["writable"]) == (0, 0)
    takes_packet(back, guest)


def test_ring_that_is_not_translated_any_more(back, guest):
    """It is asked for again and again, and the port says so."""
    takes_packet(back, guest)
    guest.invalidate(0)
    offset, perm = guest.next_miss()
    assert offset == 0
    guest.answer(1)
    wait(lambda: "ring 0: it waits for the front-end to translate" in back.port(IOMMU)["why"], "says why")
    guest.serve(lambda: back.port(IOMMU)["why"] == "running")
    takes_packet(back, guest)


def test_rings_go_elsewhere(back, guest):
    """The same address, other memory: the ring is where the front-end says it is now."""
    takes_packet(back, guest)
    other = 15 * RING_SPACE
    guest.memory.map[other:other + RING_SPACE] = guest.memory.map[:RING_SPACE]
    guest.update(0, RING_SPACE, place=other)
    guest.rings[RX].at = other
    takes_packet(back, guest)


def test_stopped_rings_leave_nothing(back, guest):
    """Front-ends tell of changes only while rings run."""
    takes_packet(back, guest)
    assert guest.front.ask_base(RX) == (0x80018001 if guest.is_packed and used(guest) == 1 else used(guest))
    assert back.ask(f"iommu {IOMMU}")["readable"]
    guest.front.ask_base(TX)
    told = back.ask(f"iommu {IOMMU}")
    assert (told["readable"], told["writable"]) == (0, 0)


PIECES = 8 * RING_SPACE, 8 * RING_SPACE + 2 * PAGE  # where the first pages of a table are: not side by side


def takes_packets_in_pieces(back, memory: Memory, ring: Ring) -> None:
    """What the driver writes to its table lands in those pages."""
    for slot, at in ((0, PIECES[0]), (300, PIECES[1] + 300 * 16 - PAGE)):
        struct.pack_into("<QIHH", memory.map, at, memory.guest + BUFFERS_AT, BUFFER_SIZE, DESC_F_WRITE, 0)
        struct.pack_into("<H", memory.map, ring.at + AVAIL_AT + 4 + 2 * ring.avail_idx, slot)
        ring.avail_idx += 1
        ring.set_avail_idx(ring.avail_idx)
    assert back.push(RX, 2, IOMMU) == 2
    assert [ring.used(0)[0], ring.used(1)[0]] == [0, 300]


def test_ring_in_pieces(back, make_guest):
    """Pages that are neighbours for the guest and not here."""
    guest = make_guest()
    guest.rings[RX].size = 1024
    guest.begin()
    guest.show_rings()
    for number, place in enumerate(PIECES):
        guest.update(number * PAGE, PAGE, place=place)
    guest.serve(lambda: back.port(IOMMU)["stage"] == "running")
    guest.update(BUFFERS_AT, PAGE)
    takes_packets_in_pieces(back, guest.memory, guest.rings[RX])


def test_ring_in_pieces_waits_for_the_end_of_postcopy(back, connect):
    """Mapped once more its pages would not be waited for, but be made, of zeros."""
    with contextlib.closing(LazyDriver(connect(IOMMU))) as driver:
        memory, front = driver.memory, driver.front

        def _show(at: int, size: int, place: int) -> None:
            front.do(Request.IOTLB_MSG, iotlb(UPDATE, at, size, USER_BASE + place, BOTH))

        driver.rings[RX].size = 1024
        driver.negotiate(FEATURES, NO_STATUS | bits(Protocol.PAGEFAULT))
        driver.share_memory()
        for ring in driver.rings:
            _show(USER_BASE + ring.at, RING_SPACE, ring.at)
        for number, place in enumerate(PIECES):
            _show(USER_BASE + number * PAGE, PAGE, place)
        _show(GUEST_BASE + BUFFERS_AT, PAGE, BUFFERS_AT)
        for ring in driver.rings:
            driver.set_up_ring(ring.index)
        driver.enable()
        wait(lambda: "waits until all of the guest's memory has come" in back.port(IOMMU)["why"],
             back.port(IOMMU)["why"])
        memory.complete()
        driver.end()
        wait(lambda: back.port(IOMMU)["stage"] == "running", back.port(IOMMU)["why"])
        takes_packets_in_pieces(back, memory, driver.rings[RX])


# -- buffers ---------------------------------------------------------------------------------------


def test_buffer_is_asked_for_once(back, guest):
    """And its packet arrives when it has come, not before."""
    asked = len(guest.asked)
    guest.rings[RX].post()
    for _ in range(5):
        assert back.push(RX, 1, IOMMU) == 0
    offset, perm = guest.next_miss()
    assert (offset & ~(PAGE - 1), perm) == (BUFFERS_AT, WRITE)
    assert guest.channel.is_silent(0.1)
    assert back.push(RX, 1, IOMMU) == 0
    guest.update(offset & ~(PAGE - 1))
    guest.answer()
    assert back.push(RX, 1, IOMMU) == 1
    assert holds_packet(guest, arrived(guest, 0))
    assert len(guest.asked) == asked + 1
    assert new_faults(back, guest) == {}


def test_other_buffers_of_the_page_are_not_asked_for(back, guest):
    takes_packet(back, guest)
    before = len(guest.asked)
    guest.rings[RX].post()  # two fit into a page
    assert back.push(RX, 1, IOMMU) == 1
    assert guest.channel.is_silent() and len(guest.asked) == before


def test_buffer_over_two_pages_that_are_none(back, guest):
    """Contiguous for the driver, and strangers here."""
    before = used(guest)
    at = BUFFERS_AT + PAGE - 40
    guest.rings[RX].post_chain([(IOVA_BASE + at, 100, DESC_F_WRITE)])
    guest.update(BUFFERS_AT, PAGE, place=BUFFERS_AT + 6 * PAGE)
    guest.update(BUFFERS_AT + PAGE, PAGE, place=BUFFERS_AT + 3 * PAGE)
    assert back.push(RX, 1, IOMMU) == 1
    arrived(guest, before)
    view = guest.memory.map
    assert view[BUFFERS_AT + 7 * PAGE - 28:BUFFERS_AT + 7 * PAGE] == b"\x5a" * 28
    assert view[BUFFERS_AT + 3 * PAGE:BUFFERS_AT + 3 * PAGE + 32] == b"\x5a" * 32
    assert view[BUFFERS_AT + 4 * PAGE] == 0


def test_refused_buffer_is_a_fault(back, guest):
    """It is given back empty, and the ones behind it are not."""
    refused = back.ask(f"iommu {IOMMU}")["refused"]
    guest.rings[RX].post_chain([(IOVA_BASE + BUFFERS_AT, 1000, DESC_F_WRITE)])
    guest.update(BUFFERS_AT + PAGE)
    guest.rings[RX].post_chain([(IOVA_BASE + BUFFERS_AT + PAGE, 1000, DESC_F_WRITE)])
    assert back.push(RX, 1, IOMMU) == 0
    assert guest.next_miss() == (BUFFERS_AT, WRITE)
    guest.answer(1)
    wait(lambda: back.push(RX, 1, IOMMU) == 1, "the next buffer is used")
    assert [guest.rings[RX].used(number)[1] for number in range(used(guest))] == [0, 72]
    assert new_faults(back, guest) == {"iova_refused": 1}
    assert back.ask(f"iommu {IOMMU}")["refused"] == refused + 1


def test_yes_and_nothing_comes(back, guest):
    """A front-end that agrees and translates nothing has refused, after a few times."""
    guest.rings[RX].post_chain([(IOVA_BASE + BUFFERS_AT, 1000, DESC_F_WRITE)])
    assert back.push(RX, 1, IOMMU) == 0
    for _ in range(3):
        assert guest.next_miss() == (BUFFERS_AT, WRITE)
        guest.answer(0)
    wait(lambda: back.push(RX, 1, IOMMU) == 0 and new_faults(back, guest), "it is a fault")
    assert new_faults(back, guest) == {"iova_refused": 1}
    assert guest.channel.is_silent()


def test_lost_answer(back, guest):
    """It is asked for again after a while, and late answers are good."""
    guest.rings[RX].post()
    assert back.push(RX, 1, IOMMU) == 0
    first = guest.next_miss()
    before = time.monotonic()
    assert guest.next_miss() == first
    assert time.monotonic() - before < AGAIN_SECONDS + 5
    guest.update(first[0] & ~(PAGE - 1))
    guest.answer()
    guest.answer()
    assert back.push(RX, 1, IOMMU) == 1


def test_answer_to_an_earlier_question(back, guest):
    """What came was taken away again, and asked for again, before we heard that it had come."""
    guest.rings[RX].post()
    assert back.push(RX, 1, IOMMU) == 0
    first = guest.next_miss()
    guest.update(first[0] & ~(PAGE - 1))
    guest.invalidate(first[0] & ~(PAGE - 1), PAGE)
    assert guest.next_miss() == first
    guest.answer(1)
    assert back.push(RX, 1, IOMMU) == 0 and new_faults(back, guest) == {}
    guest.update(first[0] & ~(PAGE - 1))
    guest.answer()
    assert back.push(RX, 1, IOMMU) == 1
    assert guest.channel.is_silent() and new_faults(back, guest) == {}


def test_buffer_that_is_there_in_part(back, guest):
    """It is not given back for a packet that fits while the rest has been asked for: the driver would unmap it."""
    guest.rings[RX].post_chain([(IOVA_BASE + BUFFERS_AT + PAGE - 200, 1000, DESC_F_WRITE)])
    guest.update(BUFFERS_AT)
    assert back.push(RX, 1, IOMMU) == 0
    assert guest.next_miss() == (BUFFERS_AT + PAGE, WRITE)
    assert back.push(RX, 1, IOMMU) == 0
    guest.update(BUFFERS_AT + PAGE)
    guest.answer()
    assert back.push(RX, 1, IOMMU) == 1
    assert guest.channel.is_silent() and new_faults(back, guest) == {}


def test_answer_before_the_translation(back, guest):
    """A front-end that does not wait for us on one socket before it talks on the other."""
    guest.rings[RX].post()
    assert back.push(RX, 1, IOMMU) == 0
    offset, _ = guest.next_miss()
    guest.answer()
    guest.update(offset & ~(PAGE - 1))
    assert back.push(RX, 1, IOMMU) == 1
    if not guest.channel.is_silent():
        guest.serve_one()
    assert new_faults(back, guest) == {}


def test_read_only_buffer(back, guest):
    """We are let read it: that is named, told, and nothing is written."""
    guest.rings[RX].post_chain([(IOVA_BASE + BUFFERS_AT, 1000, DESC_F_WRITE)])
    assert back.push(RX, 1, IOMMU) == 0
    for _ in range(3):
        assert guest.next_miss() == (BUFFERS_AT, WRITE)
        guest.update(BUFFERS_AT, perm=READ)
        guest.answer()
    request, flags, payload, _ = guest.channel.receive()
    assert (request, flags) == (ASK, 1)
    assert struct.unpack("=QQQBB6x", payload) == (IOVA_BASE + BUFFERS_AT, 0, 0, WRITE, ACCESS_FAIL)
    deadline = time.monotonic() + 5
    while not used(guest):  # the front-end is told before the ring is
        assert back.push(RX, 1, IOMMU) == 0 and time.monotonic() < deadline
    assert used(guest) == 1 and guest.rings[RX].used(0)[1] == 0
    assert new_faults(back, guest) == {"iova_denied": 1}
    assert not any(guest.memory.map[BUFFERS_AT:BUFFERS_AT + PAGE])
    takes_packet(back, guest)


def test_becomes_read_only(back, guest):
    """What is said later counts."""
    guest.update(BUFFERS_AT, 8 * PAGE)
    guest.update(BUFFERS_AT + PAGE, PAGE, READ)
    told = back.ask(f"iommu {IOMMU}")
    guest.rings[RX].post(3)
    assert back.push(RX, 3, IOMMU) == 2
    assert guest.next_miss() == (BUFFERS_AT + PAGE, WRITE)
    guest.update(BUFFERS_AT + PAGE, PAGE, BOTH)
    guest.answer()
    assert back.push(RX, 1, IOMMU) == 1
    assert back.ask(f"iommu {IOMMU}")["writable"] == told["writable"] - 1


def test_other_place(back, guest):
    """An update replaces what was there, in the middle of it as well."""
    guest.update(BUFFERS_AT, 8 * PAGE)
    guest.update(BUFFERS_AT + PAGE, PAGE, place=BUFFERS_AT + 30 * PAGE)
    guest.rings[RX].post(5)
    assert back.push(RX, 5, IOMMU) == 5
    for slot, at in ((0, 0), (1, BUFFER_SIZE), (2, 30 * PAGE), (3, 30 * PAGE + BUFFER_SIZE), (4, 2 * PAGE)):
        assert holds_packet(guest, BUFFERS_AT + at), slot
    assert not any(guest.memory.map[BUFFERS_AT + PAGE:BUFFERS_AT + 2 * PAGE])


def test_invalidated_buffers_are_not_touched(back, guest):
    """From the answer on."""
    guest.update(BUFFERS_AT, 8 * PAGE)
    guest.rings[RX].post(6)
    assert back.push(RX, 1, IOMMU) == 1
    guest.invalidate(BUFFERS_AT + PAGE, PAGE)
    assert back.push(RX, 6, IOMMU) == 1
    assert not any(guest.memory.map[BUFFERS_AT + PAGE:BUFFERS_AT + 2 * PAGE])
    guest.serve(lambda: back.push(RX, 1, IOMMU) == 1)
    assert holds_packet(guest, BUFFERS_AT + PAGE)


@pytest.mark.parametrize("payload, reason", [
    (iotlb(UPDATE, IOVA_BASE, 0, USER_BASE, BOTH), "it is empty"),
    (iotlb(UPDATE, U64_MAX - PAGE + 1, 2 * PAGE, USER_BASE, BOTH), "overflows"),
    (iotlb(UPDATE, IOVA_BASE, PAGE, U64_MAX - 100, BOTH), "overflows"),
    (iotlb(UPDATE, IOVA_BASE, U64_MAX, USER_BASE, BOTH), "overflows"),
    (iotlb(UPDATE, IOVA_BASE, PAGE, USER_BASE, 0), "its permission is none of"),
    (iotlb(UPDATE, IOVA_BASE, PAGE, USER_BASE, 4), "its permission is none of"),
    (iotlb(UPDATE, IOVA_BASE, PAGE, USER_BASE - 1, BOTH), "not all of it lies in the memory"),
    (iotlb(UPDATE, IOVA_BASE, MEMORY_SIZE + 1, USER_BASE, BOTH), "not all of it lies in the memory"),
    (iotlb(UPDATE, IOVA_BASE, PAGE, GUEST_BASE, BOTH), "not all of it lies in the memory"),
    (iotlb(INVALIDATE, IOVA_BASE, 0), "an invalidation of 0 bytes"),
    (iotlb(MISS, IOVA_BASE, PAGE), "type 1 is neither"),
    (iotlb(ACCESS_FAIL, IOVA_BASE, PAGE), "type 4 is neither"),
    (iotlb(0, IOVA_BASE, PAGE), "type 0 is neither"),
    (iotlb(255, IOVA_BASE, PAGE), "type 255 is neither"),
])
def test_what_makes_no_sense(back, make_guest, payload, reason):
    """It is refused with the reason, changes nothing, and the rings go on."""
    guest = make_guest().begin()
    guest.show_rings()
    takes_packet(back, guest)
    told = back.ask(f"iommu {IOMMU}")
    mark = back.mark()
    guest.front.refuse(Request.IOTLB_MSG, payload)
    assert f"refused: IOTLB_MSG: " in back.log(mark) and reason in back.log(mark)
    now = back.ask(f"iommu {IOMMU}")
    assert (now["readable"], now["writable"]) == (told["readable"], told["writable"])
    takes_packet(back, guest)


def test_over_the_border_of_regions(back, make_guest):
    """One update, two regions that are neighbours for the front-end: two entries."""
    guest = make_guest()
    guest.negotiate(FEATURES, NO_STATUS)
    half = MEMORY_SIZE // 2
    front, memory = guest.front, guest.memory
    table = mem_table(memory.region(0, half), memory.region(half, half))
    front.do(Request.SET_MEM_TABLE, table, [memory.fd, memory.fd])
    front.do(Request.IOTLB_MSG, iotlb(UPDATE, IOVA_BASE, MEMORY_SIZE, USER_BASE, READ))
    told = back.ask(f"iommu {IOMMU}")
    assert (told["readable"], told["writable"]) == (2, 0)
    front.refuse(Request.IOTLB_MSG, iotlb(UPDATE, IOVA_BASE, MEMORY_SIZE + PAGE, USER_BASE, READ))
    # The region goes, and with it what is in it.
    front.do(Request.SET_MEM_TABLE, mem_table(memory.region(0, half)), [memory.fd])
    assert back.ask(f"iommu {IOMMU}")["readable"] == 1
    front.do(Request.SET_MEM_TABLE, mem_table(region(GUEST_BASE, PAGE, USER_BASE + PAGE)), [memory.fd])
    assert back.ask(f"iommu {IOMMU}")["readable"] == 0


def test_memory_changes_under_the_rings(back, guest):
    """A region is added, then taken away that holds buffers: they are asked for, and refused."""
    takes_packet(back, guest)
    extra = Memory(1 << 20, GUEST_BASE + (1 << 32), USER_BASE + (1 << 32))
    front = guest.front
    front.do(Request.ADD_MEM_REG, extra.reg(), [extra.fd])
    before = used(guest)
    at = BUFFERS_AT + 100 * PAGE
    front.do(Request.IOTLB_MSG, iotlb(UPDATE, IOVA_BASE + at, PAGE, USER_BASE + (1 << 32), WRITE))
    guest.rings[RX].post_chain([(IOVA_BASE + at, 1000, DESC_F_WRITE)])
    assert back.push(RX, 1, IOMMU) == 1
    arrived(guest, before)
    assert extra.map[12:72] == b"\x5a" * 60
    front.do(Request.REM_MEM_REG, extra.reg())
    guest.rings[RX].post_chain([(IOVA_BASE + at, 1000, DESC_F_WRITE)])
    assert back.push(RX, 1, IOMMU) == 0
    assert guest.next_miss() == (at, WRITE)
    front.refuse(Request.IOTLB_MSG, iotlb(UPDATE, IOVA_BASE + at, PAGE, USER_BASE + (1 << 32), WRITE))
    guest.answer(1)
    wait(lambda: back.push(RX, 1, IOMMU) == 0 and used(guest) == before + 2, "it is given back")
    takes_packet(back, guest)
    extra.close()


# -- ends ------------------------------------------------------------------------------------------


def test_front_end_dies_while_it_is_asked(back, make_guest, connect):
    """For a ring, for a buffer; the next one begins with nothing."""
    guest = make_guest().begin()
    guest.next_miss()
    guest.close()
    back.wait_stage("listening", IOMMU)
    second = make_guest().begin()
    second.serve(lambda: back.port(IOMMU)["stage"] == "running")
    second.rings[RX].post()
    assert back.push(RX, 1, IOMMU) == 0
    second.next_miss()
    second.close()
    back.wait_stage("listening", IOMMU)
    assert not back.ask(f"iommu {IOMMU}")["on"]
    third = make_guest().begin()
    third.serve(lambda: back.port(IOMMU)["stage"] == "running")
    takes_packet(back, third)


def test_channel_ends_while_it_is_asked(back, guest):
    """What the front-end says by itself still counts, and a new channel is asked on."""
    guest.rings[RX].post(3)
    assert back.push(RX, 1, IOMMU) == 0
    guest.next_miss()
    guest.channel.close()
    guest.update(BUFFERS_AT)
    assert back.push(RX, 3, IOMMU) == 2
    assert back.push(RX, 1, IOMMU) == 0
    guest.channel = Channel(guest.front)
    guest.serve(lambda: back.push(RX, 1, IOMMU) == 1)


def test_front_end_that_cannot_answer(back, make_guest):
    """REPLY_ACK was not agreed on: what is not translated waits."""
    guest = make_guest().begin(protocol=NO_STATUS & ~bits(Protocol.REPLY_ACK))
    request, flags, _, _ = guest.channel.receive()
    assert (request, flags) == (ASK, 1)
    guest.show_rings()
    assert back.port(IOMMU)["stage"] == "running"


def test_reset(back, guest):
    takes_packet(back, guest)
    guest.front.do(Request.RESET_DEVICE)
    assert not back.ask(f"iommu {IOMMU}")["on"]
    guest.front.refuse(Request.IOTLB_MSG, iotlb(UPDATE, IOVA_BASE, PAGE, USER_BASE, BOTH))


# -- commands and the dirty log --------------------------------------------------------------------


@pytest.mark.parametrize("ring_class", [Ring, PackedRing])
def test_commands(back, make_guest, ring_class):
    """The control queue asks for its ring, for the command, and for where the answer goes."""
    guest = make_guest(3, ring_class).begin(FEATURES | bits(Feature.CTRL_VQ, Feature.CTRL_RX))
    guest.serve(lambda: back.port(IOMMU)["stage"] == "running" and back.ring(2, IOMMU)["running"])
    command, ack = BUFFERS_AT + 20 * PAGE, BUFFERS_AT + 25 * PAGE
    guest.memory.map[command:command + 3] = b"\x00\x00\x01"
    guest.memory.map[ack] = 0xEE
    guest.rings[2].post_chain([(IOVA_BASE + command, 3, 0), (IOVA_BASE + ack, 1, DESC_F_WRITE)])
    os.eventfd_write(guest.rings[2].kick, 1)
    guest.serve(lambda: guest.rings[2].used_idx() == 1)
    assert guest.asked[-2:] == [(command, READ), (ack, WRITE)]
    assert guest.memory.map[ack] == 0 and back.control(IOMMU)["promisc"]
    # One that may not be answered.
    guest.invalidate(ack)
    guest.rings[2].post_chain([(IOVA_BASE + command, 3, 0), (IOVA_BASE + ack, 1, DESC_F_WRITE)])
    os.eventfd_write(guest.rings[2].kick, 1)
    assert guest.next_miss() == (ack, WRITE)
    guest.answer(1)
    wait(lambda: guest.rings[2].used_idx() == 2, "the command is given back")
    assert new_faults(back, guest, 2) == {"iova_refused": 1}


@pytest.mark.parametrize("ring_class", [Ring, PackedRing])
def test_log_marks_are_guest_addresses(back, make_guest, ring_class):
    """Buffers, used entries and index: where they are in the guest, not for its IOMMU."""
    guest = make_guest(ring_class=ring_class).begin(protocol=NO_STATUS | bits(Protocol.LOG_SHMFD))
    guest.serve(lambda: back.port(IOMMU)["stage"] == "running")
    takes_packet(back, guest)
    front = guest.front
    size = ((GUEST_BASE + MEMORY_SIZE) // PAGE + 7) // 8
    fd = front.own(os.memfd_create("log", os.MFD_CLOEXEC))
    os.ftruncate(fd, size)
    front.ask(Request.SET_LOG_BASE, log_base(size), [fd])
    features = FEATURES | bits(Feature.LOG_ALL) | (PACKED if guest.is_packed else 0)
    front.do(Request.SET_FEATURES, u64(features))
    for ring in guest.rings:
        at = IOVA_BASE + ring.at
        log = at + USED_AT
        front.do(Request.SET_VRING_ADDR, addr(ring.index, at, at + USED_AT, at + (64 << 10), 1, log))
    # The buffer is elsewhere than it seems.
    place = BUFFERS_AT + 90 * PAGE
    at = BUFFERS_AT + 50 * PAGE
    guest.update(at, PAGE, place=place)
    guest.rings[RX].post_chain([(IOVA_BASE + at, 1000, DESC_F_WRITE)])
    assert back.push(RX, 1, IOMMU) == 1
    bitmap = os.pread(fd, size, 0)
    marked = {8 * index + bit for index, byte in enumerate(bitmap) if byte for bit in range(8) if byte >> bit & 1}
    first = GUEST_BASE // PAGE
    ring_page = 0 if guest.is_packed else USED_AT // PAGE
    assert {first + place // PAGE, first + ring_page} <= marked
    assert marked <= {first + place // PAGE, first + ring_page, first + USED_AT // PAGE}
