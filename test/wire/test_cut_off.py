# SPDX-License-Identifier: BSD-3-Clause
"""A front-end that dies anywhere in its start: after each message, in the middle of one, with descriptors under way."""

import time

import pytest

from driver import ALL_PROTOCOL, BASIC_FEATURES, MEMORY_NAME, Driver, Memory, proves_delivery
from frontend import HEADER, Feature, FrontEnd, Protocol, Request, bits, inflight, u64

STEPS_AT_LEAST = 20
TRACKED = ALL_PROTOCOL | bits(Protocol.INFLIGHT_SHMFD)


class Recorder(FrontEnd):
    """Remembers what it sent: [(bytes, descriptors)], of which the descriptors live as long as it does."""

    def __init__(self, sock):
        super().__init__(sock)
        self.said: list[tuple[bytes, list[int]]] = []

    def send_bytes(self, raw: bytes, fds=()) -> None:
        self.said.append((raw, list(fds)))
        super().send_bytes(raw, fds)


def begin_tracking(driver: Driver) -> None:
    """The file is the back-end's, and comes back to it."""
    front = driver.front
    front.send(Request.GET_INFLIGHT_FD, inflight(2, 256))
    payload, (fd,) = front.read_reply_with_fds(Request.GET_INFLIGHT_FD)
    front.do(Request.SET_INFLIGHT_FD, payload, [fd])


@pytest.fixture
def own(other_backend, folder):
    """A back-end of the test's own, with a port that notes what is in flight."""
    made = other_backend(f"tracked:2:{folder / 'sock'}")
    made.path = folder / "sock"
    made.before = holds(made)
    return made


def holds(back) -> tuple[int, int, int]:
    return back.nr_fds(), back.nr_mappings(MEMORY_NAME), back.nr_mappings("vhost-inflight")


def start_all(driver: Driver) -> None:
    driver.negotiate(BASIC_FEATURES | bits(Feature.MQ) if len(driver.rings) > 2 else BASIC_FEATURES, TRACKED)
    driver.front.do(Request.SET_BACKEND_REQ_FD, b"", [driver.front.channel()])
    driver.share_memory()
    begin_tracking(driver)
    for ring in driver.rings:
        driver.set_up_ring(ring.index, steps="nbakc")
        driver.front.do(Request.SET_VRING_ERR, u64(ring.index), [driver.front.eventfd()])
    driver.enable()
    driver.set_status()


@pytest.fixture
def recorded(own):
    """A start that went well, and its messages."""
    driver = Driver(Recorder.connect(own.path), memory=Memory())
    start_all(driver)
    own.wait_stage("running")
    driver.front.sock.close()
    own.wait_stage("listening")
    assert len(driver.front.said) >= STEPS_AT_LEAST
    yield driver.front.said
    driver.close()


def wait_nothing_held(back, what: str) -> None:
    deadline = time.monotonic() + 5
    while (held := holds(back)) != back.before and time.monotonic() < deadline:
        time.sleep(0.001)
    assert held == back.before, f"{what}: descriptors, memory and notes are {held}, were {back.before}"


def die_after(back, said: list, rest: bytes, fds: list[int], what: str) -> None:
    """Say all of that, a piece of one message more, and vanish without having read an answer."""
    before = back.port()["nr_connects"]
    front = FrontEnd.connect(back.path)
    for raw, its_fds in said:
        front.send_bytes(raw, its_fds)
    if rest:
        front.send_bytes(rest, fds)
    front.close()
    deadline = time.monotonic() + 5
    while said and back.port()["nr_connects"] == before and time.monotonic() < deadline:
        time.sleep(0.001)
    back.wait_stage("listening")
    wait_nothing_held(back, what)


def test_after_each_message(own, recorded):
    for nr in range(len(recorded) + 1):
        die_after(own, recorded[:nr], b"", [], f"after {nr} messages")
    assert own.is_alive()


@pytest.mark.parametrize("keep", [1, HEADER.size - 1, HEADER.size, -1], ids=["a-byte", "most-of-the-header", "the-header",
                                                                            "all-but-a-byte"])
def test_in_the_middle_of_each_message(own, recorded, keep):
    """Its descriptors have arrived, and belong to nobody yet."""
    for nr, (raw, fds) in enumerate(recorded):
        die_after(own, recorded[:nr], raw[:keep], fds, f"in message {nr}")


def test_and_the_next_one_is_served(own, recorded):
    for nr in range(0, len(recorded), 5):
        die_after(own, recorded[:nr], b"", [], f"after {nr} messages")
        driver = Driver(FrontEnd.connect(own.path), memory=Memory())
        start_all(driver)
        proves_delivery(own, driver)
        driver.close()
        own.wait_stage("listening")
        wait_nothing_held(own, f"served after {nr} messages")
