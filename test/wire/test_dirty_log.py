# SPDX-License-Identifier: BSD-3-Clause
"""What the back-end writes while the guest is being moved: where the log is, what is in it."""

import mmap
import os
import struct

import pytest

from backend import MAIN, PLAIN
from driver import ALL_PROTOCOL, GUEST_BASE, MEMORY_NAME, RING_SPACE, USED_AT, PackedRing
from frontend import Feature, Protocol, Request, bits, log_base, u64

PAGE = 4096
F_LOG = 1
FEATURES = bits(Feature.VERSION_1, Feature.PROTOCOL_FEATURES)
LOGGED = FEATURES | bits(Feature.LOG_ALL)
PROTOCOL = ALL_PROTOCOL | bits(Protocol.LOG_SHMFD)
U64_MAX = (1 << 64) - 1
LOW = 40 * PAGE  # a guest address that a small log has room for


class Log:
    """A bitmap in a file of ours, between bytes that are nobody's business."""

    def __init__(self, size: int = PAGE, offset: int = 0, behind: int = PAGE):
        self.size, self.offset = size, offset
        self.fd = os.memfd_create(MEMORY_NAME, os.MFD_CLOEXEC)
        os.ftruncate(self.fd, offset + size + behind)
        self.map = mmap.mmap(self.fd, offset + size + behind)

    def close(self) -> None:
        self.map.close()
        os.close(self.fd)

    def send(self, front) -> None:
        payload = log_base(self.size, self.offset)
        assert front.ask(Request.SET_LOG_BASE, payload, [self.fd]) == payload

    def harvest(self) -> set[int]:
        """Pages marked since the last time; nothing else of the file may have changed."""
        raw = self.map[:]
        assert not any(raw[:self.offset]) and not any(raw[self.offset + self.size:])
        bitmap = raw[self.offset:self.offset + self.size]
        self.map[:] = bytes(len(raw))
        return {8 * index + bit for index, byte in enumerate(bitmap) if byte
                for bit in range(8) if byte >> bit & 1}


@pytest.fixture
def make_log():
    made: list[Log] = []

    def _make(*args, **options) -> Log:
        made.append(Log(*args, **options))
        return made[-1]

    yield _make
    for log in made:
        log.close()


@pytest.fixture
def plain(make_driver):
    return make_driver(PLAIN)


@pytest.fixture
def logging(plain):
    plain.negotiate(LOGGED, PROTOCOL)
    return plain


def mark(back, at: int, length: int) -> None:
    back.ask(f"mark {PLAIN} {at} {length}")


def mark_used(back, ring: int, offset: int, length: int) -> None:
    back.ask(f"used {PLAIN} {ring} {offset} {length}")


# -- who offers it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("port", [PLAIN, MAIN])
def test_who_marks_what_it_writes_offers_it(back, port):
    """Requests as much as packets."""
    assert back.port(port)["offered"] & bits(Feature.LOG_ALL)


@pytest.mark.parametrize("port", [PLAIN, MAIN])
def test_protocol_feature_goes_with_it(connect, port):
    assert connect(port).ask_u64(Request.GET_PROTOCOL_FEATURES) & bits(Protocol.LOG_SHMFD)


def test_not_agreed_on(back, plain, make_log):
    plain.negotiate(FEATURES, ALL_PROTOCOL)
    log = make_log()
    mark_of_log = back.mark()
    plain.front.send(Request.SET_LOG_BASE, log_base(PAGE), [log.fd])
    plain.front.wait_dropped()
    assert "protocol feature LOG_SHMFD was not agreed on" in back.log(mark_of_log)


# -- where it is -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 8, 4095, PAGE, PAGE + 1, 3 * PAGE])
@pytest.mark.parametrize("offset", [0, 1, 8, 4095, PAGE, PAGE + 9, 5 * PAGE])
def test_any_offset_and_size(back, logging, make_log, size, offset):
    """The bit of page n is in byte offset + n / 8 of the file."""
    log = make_log(size, offset)
    log.send(logging.front)
    last = 8 * size - 1
    for page in (0, last // 2, last):
        mark(back, page * PAGE + 17, 1)
        assert log.harvest() == {page}
    mark(back, (last + 1) * PAGE - 1, 2)  # the second byte is beyond the log
    assert log.harvest() == {last}
    mark(back, (last + 1) * PAGE, 1)
    assert log.harvest() == set()


@pytest.mark.parametrize("size, offset, reason", [
    (0, 0, "the log is empty"),
    (PAGE + 1, 0, "too small"),
    (PAGE, 1, "too small"),
    (1, PAGE, "too small"),
    (1 << 63, 1 << 63, "overflows"),
    (U64_MAX, 1, "overflows"),
    (1, U64_MAX, "overflows"),
    (U64_MAX, 0, "too small"),
    (PAGE, U64_MAX - PAGE + 1, "overflows"),
    (1 << 62, 1 << 62, "too small"),
])
@pytest.mark.parametrize("need_reply", [False, True])
def test_sizes_that_cannot_be(back, logging, make_log, size, offset, reason, need_reply):
    """There is no way to say no to a request that has a reply of its own, but to hang up."""
    log = make_log(PAGE, 0, behind=0)
    seen = back.mark()
    logging.front.send(Request.SET_LOG_BASE, log_base(size, offset), [log.fd], need_reply)
    logging.front.wait_dropped()
    refusal = back.wait_log("refused: SET_LOG_BASE", seen)
    assert reason in refusal


def test_what_is_no_file(back, logging):
    seen = back.mark()
    logging.front.send(Request.SET_LOG_BASE, log_base(PAGE), [logging.front.eventfd()])
    logging.front.wait_dropped()
    assert "is no file" in back.wait_log("refused: SET_LOG_BASE", seen)


def test_a_file_that_cannot_be_written(back, logging, make_log):
    log = make_log()
    reading = logging.front.own(os.open(f"/proc/self/fd/{log.fd}", os.O_RDONLY | os.O_CLOEXEC))
    seen = back.mark()
    logging.front.send(Request.SET_LOG_BASE, log_base(PAGE), [reading])
    logging.front.wait_dropped()
    assert "Permission denied" in back.wait_log("refused: SET_LOG_BASE", seen)


def test_a_new_log_replaces_the_old_one(back, logging, make_log):
    first, second = make_log(), make_log(2 * PAGE, 24)
    first.send(logging.front)
    mark(back, LOW, 1)
    nr_fds, nr_mappings = back.nr_fds(), back.nr_mappings(MEMORY_NAME)
    second.send(logging.front)
    assert (back.nr_fds(), back.nr_mappings(MEMORY_NAME)) == (nr_fds, nr_mappings)
    mark(back, LOW + PAGE, 1)
    assert (first.harvest(), second.harvest()) == ({40}, {41})
    for _ in range(100):
        first.send(logging.front)
        second.send(logging.front)
    assert (back.nr_fds(), back.nr_mappings(MEMORY_NAME)) == (nr_fds, nr_mappings)


def test_the_application_may_ask(back, logging, make_log):
    assert back.ask(f"log {PLAIN}")["rc"] != 0
    make_log(24, 8).send(logging.front)
    assert back.ask(f"log {PLAIN}") == {"rc": 0, "size": 24, "mapped": True, "ok": True}
    logging.front.close()
    back.wait_stage("listening", PLAIN)
    assert back.ask(f"log {PLAIN}")["rc"] != 0


def test_a_descriptor_to_signal_is_taken_and_closed(back, logging):
    nr_fds = back.nr_fds()
    logging.front.do(Request.SET_LOG_FD, b"", [logging.front.eventfd()])
    assert back.nr_fds() == nr_fds


# -- when ------------------------------------------------------------------------------------------


def test_nothing_is_marked_without_the_feature(back, plain, make_log):
    """A migration begins while the device runs, is given up, and begins again."""
    plain.negotiate(FEATURES, PROTOCOL)
    plain.share_memory()
    for ring in plain.rings:
        plain.set_up_ring(ring.index)
    plain.enable()
    plain.set_status()
    assert back.port(PLAIN)["stage"] == "running"
    log = make_log()
    log.send(plain.front)
    mark(back, LOW, 1)
    assert log.harvest() == set()
    for _ in range(2):
        plain.front.do(Request.SET_FEATURES, u64(LOGGED))
        mark(back, LOW, 1)
        assert log.harvest() == {40}
        plain.front.do(Request.SET_FEATURES, u64(FEATURES))
        mark(back, LOW, 1)
        assert log.harvest() == set()
    assert back.port(PLAIN)["stage"] == "running"


def test_a_reset_ends_it(back, logging, make_log):
    log = make_log()
    log.send(logging.front)
    logging.front.do(Request.RESET_DEVICE)
    mark(back, LOW, 1)
    assert log.harvest() == set()


# -- what ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at, length, pages", [
    (0, 0, []),
    (PAGE - 1, 1, [0]),
    (PAGE - 1, 2, [0, 1]),
    (7 * PAGE, PAGE, [7]),
    (7 * PAGE + 1, PAGE, [7, 8]),
    (3 * PAGE, 30 * PAGE, range(3, 33)),
    (0, 1 << 40, range(8 * PAGE)),
    (8 * PAGE * PAGE - 1, U64_MAX, [8 * PAGE - 1]),
    (8 * PAGE * PAGE, 1 << 40, []),
    (U64_MAX, 1, []),
    (U64_MAX, U64_MAX, []),
])
def test_exactly_the_pages_of_a_write(back, logging, make_log, at, length, pages):
    log = make_log()
    log.send(logging.front)
    mark(back, at, length)
    assert log.harvest() == set(pages)


def start_logged(driver, flags: int = F_LOG, log_at: int = 0) -> None:
    """All rings; ring 0's address says where what is written to it is marked."""
    for ring in driver.rings:
        driver.set_up_ring(ring.index, steps="nbkc")
        driver.front.do(Request.SET_VRING_ADDR, ring.addr(flags, log_at))
    driver.enable()
    driver.set_status()


def test_a_ring_is_marked_where_its_address_says(back, logging, make_log):
    logging.share_memory()
    log = make_log()
    log.send(logging.front)
    start_logged(logging, log_at=LOW + 4090)
    mark_used(back, 0, 4, 2)
    assert log.harvest() == {40}
    mark_used(back, 0, 4, 8)
    assert log.harvest() == {40, 41}
    mark_used(back, 0, U64_MAX - LOW, 8)
    mark_used(back, 200, 4, 8)
    assert log.harvest() == set()


def test_a_ring_that_is_not_to_be_marked(back, logging, make_log):
    """Its address may say so later, while it runs."""
    logging.share_memory()
    log = make_log()
    log.send(logging.front)
    start_logged(logging, flags=0, log_at=LOW)
    assert back.ring(0, PLAIN)["running"]
    mark_used(back, 0, 4, 8)
    assert log.harvest() == set()
    logging.front.do(Request.SET_VRING_ADDR, logging.rings[0].addr(F_LOG, LOW))
    assert back.ring(0, PLAIN)["running"]
    mark_used(back, 0, 4, 8)
    assert log.harvest() == {40}
    logging.front.do(Request.SET_VRING_ADDR, logging.rings[0].addr(0, LOW))
    mark_used(back, 0, 4, 8)
    assert log.harvest() == set()


def test_a_packed_ring_is_marked_where_its_descriptors_are(back, make_driver, make_log):
    """QEMU names the place of the event structure, which is not where used entries go."""
    driver = make_driver(PLAIN, ring_class=PackedRing)
    driver.negotiate(LOGGED | bits(Feature.RING_PACKED), PROTOCOL)
    driver.share_memory()
    first = GUEST_BASE // PAGE
    log = make_log((first + 1024) // 8)
    log.send(driver.front)
    start_logged(driver, log_at=GUEST_BASE + USED_AT)
    mark_used(back, 1, 16 * 255, 16)
    assert log.harvest() == {first + RING_SPACE // PAGE}
    mark_used(back, 1, PAGE, 16)
    assert log.harvest() == {first + RING_SPACE // PAGE + 1}


def test_a_ring_waits_for_its_log(back, logging, make_log):
    """QEMU starts rings first if the guest is being moved on already."""
    logging.share_memory()
    start_logged(logging, log_at=LOW)
    assert not back.ring(0, PLAIN)["running"]
    assert "named no log" in back.port(PLAIN)["why"]
    log = make_log()
    log.send(logging.front)
    assert back.port(PLAIN)["stage"] == "running"
    mark_used(back, 1, 2, 2)
    assert log.harvest() == {40}


def test_a_log_of_half_a_region(back, logging, make_log):
    """Where the log ends, writes are not refused and nothing else is harmed."""
    logging.share_memory()
    log = make_log(1)
    log.send(logging.front)
    start_logged(logging, log_at=LOW)
    mark_used(back, 0, 4, 8)
    mark(back, GUEST_BASE, 4096)
    assert log.harvest() == set()
    assert struct.unpack("=Q", logging.front.ask(Request.GET_FEATURES))[0] & LOGGED == LOGGED
