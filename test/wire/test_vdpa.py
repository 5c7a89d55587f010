# SPDX-License-Identifier: BSD-3-Clause
"""Hardware that serves the rings, made of software: test/model/soft_vdpa.c, a device in loopback.

What the guest sends with ring 1 it receives from ring 0; rings 2 and 3 are another pair.
"""

import errno
import os
import time

import pytest

from backend import VDPA
from channel import AREA, NOTIFIER, Channel
from driver import ALL_PROTOCOL, BUFFER_SIZE, BUFFERS_AT, GUEST_BASE, Driver
from frontend import Feature, Protocol, Request, bits, config, log_base, mem_table, state, u64

FEATURES = bits(Feature.VERSION_1, Feature.PROTOCOL_FEATURES, Feature.MRG_RXBUF)
LOG_ALL = bits(Feature.LOG_ALL)
PROTOCOL = ALL_PROTOCOL | bits(Protocol.LOG_SHMFD)
SEND_AT = BUFFERS_AT + 256 * BUFFER_SIZE  # behind what ring 0 receives into
HEADER_LEN = 12
F_LOG = 1
PAGE = 4096


class Hardware:
    """What it has been told since it was looked at first."""

    def __init__(self, back):
        self.back = back
        self.before = back.ask(f"vdpa {VDPA}")

    def look(self) -> dict:
        return self.back.ask(f"vdpa {VDPA}")

    def since(self, what: str) -> int:
        return self.look()[what] - self.before[what]

    def stats(self, ring: int) -> dict:
        return self.back.ask(f"stats {VDPA} {ring}")


@pytest.fixture
def hardware(back):
    return Hardware(back)


@pytest.fixture
def guest(make_driver):
    return make_driver(VDPA)


def start(driver) -> None:
    driver.start(FEATURES, PROTOCOL)


@pytest.fixture
def started(guest, hardware):  # which has been looked at before
    start(guest)
    return guest


def wait(what, seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while not (done := what()) and time.monotonic() < deadline:
        time.sleep(0.001)
    return done


def send(driver, payload: bytes, pair: int = 0) -> None:
    ring = driver.rings[2 * pair + 1]
    driver.memory.map[SEND_AT:SEND_AT + HEADER_LEN + len(payload)] = bytes(HEADER_LEN) + payload
    ring.post_chain([(GUEST_BASE + SEND_AT, HEADER_LEN, 0),
                     (GUEST_BASE + SEND_AT + HEADER_LEN, len(payload), 0)])


def proves_loopback(driver, pair: int = 0) -> int:
    """A packet goes round; the guest address it arrived at."""
    receive, transmit = driver.rings[2 * pair:2 * pair + 2]
    received, sent = receive.used_idx(), transmit.used_idx()
    payload = os.urandom(100)
    receive.post()
    send(driver, payload, pair)
    assert wait(lambda: receive.used_idx() == (received + 1) & 0xFFFF), "it did not come back"
    assert transmit.used_idx() == (sent + 1) & 0xFFFF
    slot, length = receive.used(received)
    at = BUFFERS_AT + slot * BUFFER_SIZE
    assert length == HEADER_LEN + len(payload)
    assert driver.memory.map[at + HEADER_LEN:at + length] == payload
    return GUEST_BASE + at


def stays_away(driver, pair: int = 0) -> None:
    """A packet that is sent does not come back."""
    receive, transmit = driver.rings[2 * pair:2 * pair + 2]
    received, sent = receive.used_idx(), transmit.used_idx()
    receive.post()
    send(driver, b"to nobody" * 8, pair)
    time.sleep(0.05)
    assert (receive.used_idx(), transmit.used_idx()) == (received, sent)


# -- what it offers --------------------------------------------------------------------------------


def test_features_of_both_hardware_and_transport(connect):
    front = connect(VDPA)
    assert front.ask_u64(Request.GET_FEATURES) == FEATURES | LOG_ALL
    front.refuse(Request.SET_FEATURES, u64(FEATURES | bits(Feature.ACCESS_PLATFORM)))
    front.refuse(Request.SET_FEATURES, u64(FEATURES | bits(Feature.EVENT_IDX)))


def test_protocol_features_of_both(connect):
    front = connect(VDPA)
    front.do(Request.SET_OWNER)
    assert front.ask_u64(Request.GET_PROTOCOL_FEATURES) == bits(
        Protocol.MQ, Protocol.LOG_SHMFD, Protocol.RARP, Protocol.REPLY_ACK, Protocol.BACKEND_REQ,
        Protocol.CONFIG, Protocol.BACKEND_SEND_FD, Protocol.HOST_NOTIFIER, Protocol.STATUS)


def test_number_of_rings(guest):
    guest.negotiate(FEATURES, PROTOCOL)
    assert guest.front.ask_u64(Request.GET_QUEUE_NUM) == 4


# -- a guest's life --------------------------------------------------------------------------------


def test_packets_flow_through_it(started, hardware):
    for ring in (0, 1):
        hardware.back.ask(f"reset {VDPA} {ring}")
    for _ in range(600):
        proves_loopback(started)
    for ring in (0, 1):
        assert hardware.stats(ring) == {"rc": 2, "chains": 600, "bytes": 67200, "ok": True}
    assert started.signals(0) > 0 and started.signals(1) > 0
    hardware.back.ask(f"reset {VDPA} 0")
    assert hardware.stats(0)["chains"] == 0 and hardware.stats(1)["chains"] == 600
    assert hardware.back.ask(f"stats {VDPA} 9")["rc"] == -errno.EINVAL


def test_configured_when_the_guest_is_ready(guest, hardware):
    guest.negotiate(FEATURES, PROTOCOL)
    guest.share_memory()
    for ring in guest.rings:
        guest.set_up_ring(ring.index)
    guest.enable()
    assert hardware.since("conf") == 0, "the driver has not said that it is ready"
    guest.set_status()
    assert (hardware.since("conf"), hardware.since("close")) == (1, 0)
    assert hardware.look()["rings_on"] == 0b11
    assert hardware.look()["features"] == FEATURES


def test_stopped_before_the_first_ring_is_answered(started, hardware):
    """Each answer says where the hardware stands, and from there it goes on."""
    for _ in range(5):
        proves_loopback(started)
    started.rings[0].post(3)  # not used
    assert started.front.ask_base(0) == 5
    assert (hardware.since("conf"), hardware.since("close")) == (1, 1)
    assert hardware.look()["rings_on"] == 0
    assert started.front.ask_base(1) == 5
    assert hardware.since("close") == 1
    for ring in (0, 1):
        started.set_up_ring(ring, base=5)
    assert hardware.since("conf") == 2
    for pair in range(3):
        send(started, b"into the three that were posted" * 3)
        assert wait(lambda: started.rings[0].used_idx() == 6 + pair)
    proves_loopback(started)


def test_a_ring_alone_stops_and_starts(started, hardware):
    """Of one that is stopped for good the whole device lets go; the other goes on with it."""
    proves_loopback(started)
    assert started.front.ask_base(1) == 1
    assert hardware.since("close") == 1
    stays_away(started)
    started.set_up_ring(1, base=1)
    assert hardware.since("conf") == 2
    assert wait(lambda: started.rings[0].used_idx() == 2)
    proves_loopback(started)


def test_a_ring_is_disabled(started, hardware):
    front = started.front
    proves_loopback(started)
    front.do(Request.SET_VRING_ENABLE, state(0, 0))
    assert (hardware.since("state_changes") > 0) or hardware.since("close") == 1
    stays_away(started)
    front.do(Request.SET_VRING_ENABLE, state(0, 1))
    assert wait(lambda: started.rings[0].used_idx() == 2)
    proves_loopback(started)
    assert front.ask_base(0) == started.rings[0].used_idx()


def test_another_pair_joins_and_leaves(make_driver, hardware):
    """The first pair is enough to begin with; the others are told ring by ring."""
    driver = make_driver(VDPA, nr_rings=4)
    driver.negotiate(FEATURES, PROTOCOL)
    driver.share_memory()
    for ring in driver.rings:
        driver.set_up_ring(ring.index)
    for ring in (0, 1):
        driver.front.do(Request.SET_VRING_ENABLE, state(ring, 1))
    driver.set_status()
    assert hardware.look()["rings_on"] == 0b11
    proves_loopback(driver)
    for on in (1, 0, 1):
        for ring in (2, 3):
            driver.front.do(Request.SET_VRING_ENABLE, state(ring, on))
        assert hardware.look()["rings_on"] == (0b1111 if on else 0b11)
    assert hardware.since("state_changes") == 6
    assert (hardware.since("conf"), hardware.since("close")) == (1, 0)
    proves_loopback(driver, pair=1)
    proves_loopback(driver)
    assert [driver.front.ask_base(ring) for ring in range(4)] == [2, 2, 1, 1]
    assert (hardware.since("conf"), hardware.since("close")) == (1, 1)


def test_a_new_memory_table(started, hardware):
    """The hardware is off the old memory before that goes."""
    proves_loopback(started)
    half = started.memory.size // 2
    started.front.do(Request.SET_MEM_TABLE,
                     mem_table(started.memory.region(0, half), started.memory.region(half)),
                     [started.memory.fd] * 2)
    assert (hardware.since("conf"), hardware.since("close")) == (2, 1)
    proves_loopback(started)
    assert started.front.ask_base(0) == 2


def test_memory_goes_with_a_ring_that_was_disabled(started, hardware):
    proves_loopback(started)
    started.front.do(Request.SET_VRING_ENABLE, state(0, 0))
    started.share_memory()
    started.front.do(Request.SET_MEM_TABLE, mem_table(started.memory.region(1 << 20)),
                     [started.memory.fd])
    started.share_memory()
    started.front.do(Request.SET_VRING_ENABLE, state(0, 1))
    proves_loopback(started)
    assert hardware.since("conf") == hardware.since("close") + 1


def test_a_front_end_that_vanishes(started, hardware, connect):
    """And comes back with the same guest, whose rings go on where they were."""
    for _ in range(3):
        proves_loopback(started)
    started.front.close()
    hardware.back.wait_stage("listening", VDPA)
    assert (hardware.since("conf"), hardware.since("close")) == (1, 1)
    again = Driver(connect(VDPA), memory=started.memory)
    again.rings = started.rings
    again.negotiate(FEATURES, PROTOCOL)
    again.share_memory()
    for ring in again.rings:
        again.set_up_ring(ring.index, base=3)
    again.enable()
    again.set_status()
    assert hardware.since("conf") == 2
    proves_loopback(again)
    again.front.close()


def test_one_guest_after_the_other(make_driver, hardware):
    for nr in range(1, 11):
        driver = make_driver(VDPA)
        start(driver)
        proves_loopback(driver)
        driver.close()
        hardware.back.wait_stage("listening", VDPA)
        assert (hardware.since("conf"), hardware.since("close")) == (nr, nr)


def test_a_reset_lets_go(started, hardware):
    proves_loopback(started)
    started.front.do(Request.SET_STATUS, u64(0))
    assert hardware.since("close") == 1
    started.set_status()
    assert hardware.since("conf") == 2
    proves_loopback(started)


def test_hardware_that_cannot(guest, hardware):
    seen = hardware.back.mark()
    hardware.back.ask(f"fail {VDPA} {errno.EIO}")
    start(guest)
    hardware.back.ask(f"fail {VDPA} 0")
    assert "port4 cannot serve this guest: Input/output error" in hardware.back.log(seen)
    assert hardware.since("conf") == 0
    stays_away(guest)
    guest.set_status(0)
    guest.set_status()
    assert hardware.since("conf") == 1
    assert wait(lambda: guest.rings[0].used_idx() == 1)
    proves_loopback(guest)


# -- configuration ---------------------------------------------------------------------------------


def test_configuration_is_the_hardwares(guest, back):
    guest.negotiate(FEATURES, PROTOCOL)
    front = guest.front
    assert front.ask(Request.GET_CONFIG, config(3, bytes(4)))[12:] == bytes(range(0xA3, 0xA7))
    front.do(Request.SET_CONFIG, config(8, b"guest"))
    assert front.ask(Request.GET_CONFIG, config(8, bytes(6)))[12:] == b"guest\xad"
    front.refuse(Request.SET_CONFIG, config(0, b"guest"))
    front.do(Request.SET_CONFIG, config(0, b"moved", flags=1))
    assert front.ask(Request.GET_CONFIG, config(0, bytes(5)))[12:] == b"moved"
    front.do(Request.SET_CONFIG, config(0, bytes(range(0xA0, 0xB0)), flags=1))
    front.refuse(Request.SET_CONFIG, config(60, bytes(8)))
    assert front.ask(Request.GET_CONFIG, config(60, bytes(8))) == b"", "there is no such part"


# -- kicks without us ------------------------------------------------------------------------------


def start_with_channel(guest) -> Channel:
    guest.negotiate(FEATURES, PROTOCOL)
    channel = Channel(guest.front)
    guest.share_memory()
    for ring in guest.rings:
        guest.set_up_ring(ring.index)
    guest.enable()
    guest.set_status()
    return channel


@pytest.mark.parametrize("answer", [0, 1], ids=["accepted", "refused"])
def test_host_notifiers(guest, hardware, answer):
    seen = hardware.back.mark()
    channel = start_with_channel(guest)
    for ring in guest.rings:
        request, _, payload, fds = channel.receive()
        assert request == NOTIFIER
        assert AREA.unpack(payload) == (ring.index, PAGE, ring.index * PAGE)
        assert "vhostx-test-notify-area" in os.readlink(f"/proc/self/fd/{fds[0]}")
        os.close(fds[0])
        channel.answer(NOTIFIER, answer)
    assert channel.is_silent()
    assert hardware.look()["rc"] == 0
    if answer:
        for ring in guest.rings:
            hardware.back.wait_log("the front-end refused BACKEND_VRING_HOST_NOTIFIER_MSG for"
                                   f" ring {ring.index}", seen)
    proves_loopback(guest)
    channel.close()


def test_no_host_notifiers(started, hardware):
    """Nobody listens for requests: the kick descriptors are there."""
    assert hardware.look()["rc"] == -errno.ENOTCONN
    proves_loopback(started)


# -- migration -------------------------------------------------------------------------------------


def test_what_it_writes_is_marked(started, hardware):
    first = GUEST_BASE // PAGE
    fd = os.memfd_create("log", os.MFD_CLOEXEC)
    os.ftruncate(fd, first // 8 + PAGE)
    front = started.front
    proves_loopback(started)
    front.ask(Request.SET_LOG_BASE, log_base(first // 8 + PAGE), [fd])
    front.do(Request.SET_FEATURES, u64(FEATURES | LOG_ALL))
    assert hardware.look()["features"] == FEATURES | LOG_ALL
    for ring in started.rings:
        used_at = started.memory.guest + ring.at + (80 << 10)
        front.do(Request.SET_VRING_ADDR, ring.addr(F_LOG, used_at))
    assert (hardware.since("conf"), hardware.since("close")) == (1, 0)
    os.pwrite(fd, bytes(PAGE), first // 8)
    at = proves_loopback(started)
    assert wait(lambda: started.signals(0) > 0)
    front.sync()
    bitmap = os.pread(fd, PAGE, first // 8)
    pages = {8 * index + bit for index, byte in enumerate(bitmap) for bit in range(8)
             if byte >> bit & 1}
    used = {(ring.at + (80 << 10)) // PAGE for ring in started.rings}
    assert pages == {at // PAGE - first} | used
    front.do(Request.SET_FEATURES, u64(FEATURES))
    assert hardware.look()["features"] == FEATURES
    os.close(fd)


def test_a_guest_that_arrived(started, hardware):
    for nr in range(1, 4):
        started.front.do(Request.SEND_RARP, bytes.fromhex("5254000000010000"))
        assert hardware.since("migrations") == nr
