# SPDX-License-Identifier: BSD-3-Clause
"""Memory comes and goes under traffic: no packet is lost or turned away."""

import struct
from collections.abc import Callable, Iterator

import pytest

from backend import MAIN
from driver import DESC_F_WRITE, GUEST_BASE, USER_BASE, Memory, Ring
from frontend import Request, mem_table
from traffic import Traffic

SLOTS = 509
FAR = 1 << 36
PAGE = 4096
ENOUGH = 20  # changes of which it is known
SHARE_FELT = 0.01  # one may be: this machine's processors are not ours alone


@pytest.fixture
def spare():
    """Memory of which regions are made; one descriptor serves for all."""
    made = Memory(size=1 << 20, guest=GUEST_BASE + FAR, user=USER_BASE + FAR)
    yield made
    made.close()


def add(driver, memory, number: int, size: int = PAGE) -> None:
    driver.front.do(Request.ADD_MEM_REG, memory.reg(number * size, size), [memory.fd])


def remove(driver, memory, number: int, size: int = PAGE) -> None:
    driver.front.do(Request.REM_MEM_REG, memory.reg(number * size, size))


class Changes:
    """Changes under traffic, and whether a burst was turned away in them: of `known` ones that is known."""

    def __init__(self, traffic: Traffic):
        self.traffic, self.known, self.felt = traffic, 0, 0

    def make(self, change: Callable[[], None]) -> None:
        felt = self.traffic.feels(change)
        self.known += felt is not None
        self.felt += felt is True

    def numbers(self, rounds: int) -> Iterator[int]:
        """So many, or as many as it takes on a busy machine."""
        number = 0
        while number < rounds or self.known < ENOUGH:
            yield number
            number += 1

    def check(self) -> None:
        allowed = max(1, self.known * SHARE_FELT)
        assert self.felt <= allowed, f"bursts were turned away in {self.felt} of {self.known} changes"


# -- under traffic ---------------------------------------------------------------------------------


@pytest.mark.soak(500, 10000)
def test_regions_come_and_go_under_traffic(driver, back, spare, rounds):
    driver.start()
    before = back.ring(0)["faults"]
    traffic = Traffic(back, driver, MAIN)
    changes = Changes(traffic)
    for number in changes.numbers(rounds):
        changes.make(lambda at=number % 100: add(driver, spare, at))
        if number >= 50:
            changes.make(lambda at=(number - 50) % 100: remove(driver, spare, at))
    for at in range(number - 49, number + 1):
        remove(driver, spare, at % 100)
    seen = traffic.look()
    traffic.stop()  # each packet that was taken is in the ring
    assert seen.packets > rounds
    changes.check()
    assert back.port()["nr_regions"] == 1
    assert back.ring(0)["faults"] == before


@pytest.mark.soak(200, 5000)
def test_whole_tables_under_traffic(driver, back, spare, rounds):
    """With and without another region; what both have is not mapped anew."""
    driver.start()
    mark = back.mark()
    traffic = Traffic(back, driver, MAIN)
    changes = Changes(traffic)
    for number in changes.numbers(rounds):
        more = [spare.region()] if number % 2 == 0 else []
        table = mem_table(driver.memory.region(), *more)
        fds = [driver.memory.fd] + [spare.fd] * len(more)
        changes.make(lambda table=table, fds=fds: driver.front.do(Request.SET_MEM_TABLE, table, fds))
    traffic.stop()
    changes.check()
    assert "running 0" not in back.log(mark) and "usable 0" not in back.log(mark)


def test_packets_land_in_what_was_added(driver, back, spare):
    """Buffers lie in a region as soon as it was acknowledged, and no more in one that was removed."""
    driver.start()
    before = back.ring(0)["faults"]
    nr_before = before.get("desc_unmapped", 0)
    ring = driver.rings[0]
    for number in range(50):
        add(driver, spare, number)
        ring.post_chain([(spare.guest + number * PAGE, 2048, DESC_F_WRITE)])
        assert back.push(0) == 1
        assert spare.map[number * PAGE + 12:number * PAGE + 72] == b"\x5a" * 60
        remove(driver, spare, number)
        spare.map[number * PAGE:(number + 1) * PAGE] = bytes(PAGE)
        ring.post_chain([(spare.guest + number * PAGE, 2048, DESC_F_WRITE)])
        back.push(0)
        assert back.ring(0)["faults"] == before | {"desc_unmapped": nr_before + number + 1}
        assert not any(spare.map[number * PAGE:(number + 1) * PAGE])


def test_rings_in_a_region_that_is_removed(driver, back, spare):
    """They stop, and it is said why; the other direction, whose ring lies elsewhere, is as it was."""
    driver.memory = spare
    driver.rings = [Ring(spare, 0), Ring(Memory(), 1)]
    driver.negotiate()
    for ring in driver.rings:
        driver.front.do(Request.ADD_MEM_REG, ring.memory.reg(), [ring.memory.fd])
        driver.set_up_ring(ring.index)
    driver.enable()
    driver.set_status()
    assert back.port()["stage"] == "running"
    driver.front.do(Request.REM_MEM_REG, spare.reg())
    assert back.port()["why"].startswith("ring 0: descriptor ring address")
    assert "lies in no memory region" in back.port()["why"]
    assert not back.ring(0)["running"] and back.ring(1)["running"]
    driver.front.do(Request.ADD_MEM_REG, spare.reg(), [spare.fd])
    assert back.port()["stage"] == "running"


# -- as many as there may be -----------------------------------------------------------------------


def test_509_regions(driver, back):
    """One by one, with a buffer in each; not one more."""
    many = Memory(size=(SLOTS + 1) * PAGE, guest=GUEST_BASE + FAR, user=USER_BASE + FAR)
    driver.negotiate()
    driver.front.do(Request.ADD_MEM_REG, driver.memory.reg(), [driver.memory.fd])
    driver.rings[0] = ring = Ring(driver.memory, 0, 1024, place=4)
    # Not in order, and neighbours in the guest are none here.
    places = [number * 211 % (SLOTS - 1) for number in range(SLOTS - 1)]
    for place in places:
        add(driver, many, place)
    for number in range(2):
        driver.set_up_ring(number)
    driver.enable()
    driver.set_status()
    assert back.port()["nr_regions"] == SLOTS
    mark = back.mark()
    driver.front.refuse(Request.ADD_MEM_REG, many.reg((SLOTS - 1) * PAGE, PAGE), [many.fd])
    back.wait_log("more than 509 regions", mark)
    for place in places:
        descriptor = struct.pack("<QIHH", many.guest + place * PAGE, 2048, DESC_F_WRITE, 0)
        slot = ring.avail_idx
        driver.memory.map[ring.at + 16 * slot:ring.at + 16 * slot + 16] = descriptor
        struct.pack_into("<H", driver.memory.map, ring.at + (64 << 10) + 4 + 2 * slot, slot)
        ring.avail_idx += 1
    ring.set_avail_idx(ring.avail_idx)
    assert sum(back.push(0, 128) for _ in range(4)) == SLOTS - 1
    for place in places:
        assert many.map[place * PAGE + 12:place * PAGE + 72] == b"\x5a" * 60
    many.close()
