# SPDX-License-Identifier: BSD-3-Clause
"""Our process is killed, again and again, under a front-end that listens and goes on: what the guest sees of it."""

import os
import random
import signal

import pytest

from backend import BackEnd
from driver import ALL_PROTOCOL, BASIC_FEATURES, Driver, PackedRing, Ring
from frontend import Feature, Listener, Protocol, Request, bits, eventfd_count, inflight

TRACKED = ALL_PROTOCOL | bits(Protocol.INFLIGHT_SHMFD)
PACKED_START = 0x80008000
SIZE = 64
RING_OF = {"split": Ring, "packed": PackedRing}


class LastingFrontEnd:
    """A guest's memory and rings, which stay, and one back-end after the other on them."""

    def __init__(self, folder, kind: str, is_tracked: bool):
        self.path = folder / "sock"
        self.listener = Listener(self.path)
        self.kind, self.is_tracked = kind, is_tracked
        self.driver, self.notes = None, None
        self.has_tables = True  # then every chain takes one slot
        self.nr_back = 0

    def close(self) -> None:
        self.listener.close()
        if self.notes:
            os.close(self.notes[1])
        if self.driver:
            self.driver.close()

    def features(self) -> int:
        more = bits(Feature.INDIRECT_DESC) if self.has_tables else 0
        return BASIC_FEATURES | more | (bits(Feature.RING_PACKED) if self.kind == "packed" else 0)

    def _note(self) -> None:
        """The file is made by the first back-end and outlives it here."""
        front = self.driver.front
        if not self.notes:
            front.send(Request.GET_INFLIGHT_FD, inflight(2, SIZE))
            payload, (fd,) = front.read_reply_with_fds(Request.GET_INFLIGHT_FD)
            self.notes = payload, os.dup(fd)
        front.do(Request.SET_INFLIGHT_FD, self.notes[0], [self.notes[1]])

    def accept(self) -> None:
        """As QEMU does it: of a packed ring it knows no more than where it began."""
        front = self.listener.accept()
        if self.driver:
            self.driver.front.close()
            self.driver.front = front
        else:
            self.driver = Driver(front, ring_size=SIZE, ring_class=RING_OF[self.kind])
        self.driver.negotiate(self.features(), TRACKED if self.is_tracked else ALL_PROTOCOL)
        self.driver.share_memory()
        if self.is_tracked:
            self._note()
        for ring in self.driver.rings:
            self.driver.set_up_ring(ring.index, PACKED_START if self.kind == "packed" else 0)
        self.driver.enable()
        self.driver.set_status()

    def post(self, count: int) -> None:
        self.driver.rings[0].post(count)

    def collect(self) -> int:
        """How many buffers came back since the last time, each of them once and in the order in which it was given."""
        ring, came = self.driver.rings[0], 0
        while self.nr_back != ring.used_idx():
            slot, _length = ring.used(self.nr_back)
            assert slot == self.nr_back % SIZE, f"buffer {slot} came back in the place of {self.nr_back % SIZE}"
            self.nr_back += 1
            came += 1
        return came


@pytest.fixture(params=["split", "packed"])
def kind(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["plain", "tracked"])
def lasting(request, folder, kind):
    made = LastingFrontEnd(folder, kind, request.param)
    yield made
    made.close()


@pytest.fixture
def begin(lasting, folder, build_dir):
    """begin() is the next back-end, whose port runs on the front-end's rings."""
    made: list[BackEnd] = []

    def _begin() -> BackEnd:
        role = "tracked-client" if lasting.is_tracked else "client"
        made.append(BackEnd(build_dir / "test" / "wire" / "backend", folder / "back.log", f"{role}:2:{lasting.path}"))
        lasting.accept()
        made[-1].wait_stage("running")
        return made[-1]

    yield _begin
    for back in made:
        back.stop()


def kill(back) -> None:
    os.kill(back.pid, signal.SIGKILL)
    back.stop()


@pytest.mark.limit(120)
@pytest.mark.soak(8, 500)
def test_killed_while_it_sends(lasting, begin, rounds):
    """No buffer is lost, none comes twice, whatever it was doing when it ended."""
    chance, outstanding = random.Random(1), 0
    for _ in range(rounds):
        back = begin()
        outstanding -= lasting.collect()
        lasting.post(SIZE - outstanding)
        outstanding = SIZE
        for _ in range(chance.randrange(4)):
            back.push(0, chance.randrange(1, 12))
        back.begin("push 0 0 30")
        kill(back)
        outstanding -= lasting.collect()
        assert 0 <= outstanding <= SIZE
    back = begin()
    assert back.push(0, outstanding) == outstanding
    assert lasting.collect() == outstanding


def test_the_driver_is_called(lasting, begin):
    """It may wait for an interrupt that was never sent."""
    for _ in range(2):
        back = begin()
        assert all(eventfd_count(ring.call) for ring in lasting.driver.rings)
        kill(back)


def test_the_log_says_where_a_packed_ring_goes_on(lasting, begin):
    lasting_says = lasting.kind == "packed" and not lasting.is_tracked
    back = begin()
    lasting.post(5)
    assert back.push(0, 3) == 3
    assert "packed ring" not in back.log()
    kill(back)
    log = begin().log()
    assert ("going on at slot 3, as the ring shows: packets that an earlier back-end took" in log) == lasting_says
    assert ("earlier back-end" in log) == lasting_says


def test_ring_that_does_not_tell(lasting, begin):
    """Chains of two slots: what is left of those that came back looks like ones to take."""
    lasting.has_tables = False
    back = begin()
    ring = lasting.driver.rings[0]
    at = lasting.driver.memory.guest + (1 << 20)
    for _ in range(4):
        ring.post_chain([(at, 2048, 2), (at, 2048, 2)])
    assert back.push(0, 2) == 2
    kill(back)
    log = begin().log()
    unknown = lasting.kind == "packed" and not lasting.is_tracked
    assert ("may come twice, be lost, or not come at all" in log) == unknown
