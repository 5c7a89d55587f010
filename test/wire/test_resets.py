# SPDX-License-Identifier: BSD-3-Clause
"""A driver goes and another one comes on the same connection: SET_STATUS 0, RESET_DEVICE, one ring alone."""

import struct

import pytest

from backend import MAIN
from driver import ALL_PROTOCOL, BASIC_FEATURES, READY, PackedRing, Ring
from driver import proves_delivery
from frontend import Feature, Request, Status, bits, eventfd_count, state, u64

PACKED = BASIC_FEATURES | bits(Feature.RING_PACKED)
CHANGES = "port0 queue"


def nr_events(back, mark: int, text: str) -> int:
    return back.log(mark).count(f"event {text}")


def test_status_0_stops_every_ring_and_nothing_else(driver, back):
    driver.start(protocol=ALL_PROTOCOL)
    proves_delivery(back, driver)
    driver.set_status(0)
    assert back.push(0) == 0
    seen = back.ring(0)
    assert (seen["started"], seen["enabled"], seen["running"], seen["avail_idx"]) == (True, True, False, 1)
    driver.set_status()
    proves_delivery(back, driver)


def test_rings_are_set_up_anew_after_status_0(driver, back):
    """No GET_VRING_BASE: the driver that had the rings is gone, so nobody is at work on them."""
    driver.start(protocol=ALL_PROTOCOL)
    proves_delivery(back, driver)
    driver.set_status(0)
    for ring in driver.rings:
        ring.size = 64
        ring.clear()
        driver.set_up_ring(ring.index)
    driver.set_status()
    proves_delivery(back, driver)
    assert back.ring(0)["size"] == 64


def test_the_next_driver_wants_other_rings(driver, back):
    """Firmware with split rings, then a kernel with packed ones."""
    driver.start(protocol=ALL_PROTOCOL)
    proves_delivery(back, driver)
    driver.set_status(0)
    driver.front.do(Request.SET_FEATURES, u64(PACKED))
    driver.rings = [PackedRing(driver.memory, ring.index) for ring in driver.rings]
    for ring in driver.rings:
        driver.set_up_ring(ring.index, base=0x80008000)
    driver.set_status()
    proves_delivery(back, driver)


def test_features_and_sizes_stay_while_the_driver_is_there(driver):
    driver.start(protocol=ALL_PROTOCOL)
    driver.front.refuse(Request.SET_FEATURES, u64(PACKED))
    driver.front.refuse(Request.SET_VRING_NUM, state(0, 64))
    driver.front.refuse(Request.SET_VRING_BASE, state(0, 0))
    driver.set_status(READY & ~Status.DRIVER_OK)
    driver.front.do(Request.SET_VRING_NUM, state(0, 64))


@pytest.mark.parametrize("ring_class", [Ring, PackedRing], ids=["split", "packed"])
def test_one_ring_stops_alone(make_driver, back, ring_class):
    """... changes its size, and starts again; the other pair does not notice."""
    driver = make_driver(nr_rings=4, ring_class=ring_class)
    driver.start(PACKED if ring_class is PackedRing else BASIC_FEATURES)
    mark = back.mark()
    for size in (64, 1024, 256):
        ring = driver.rings[0]
        driver.front.ask_base(0)
        assert back.push(0) == 0
        proves_delivery(back, driver, MAIN, 2)
        ring.size = size
        ring.clear()
        driver.set_up_ring(0, base=0x80008000 if ring_class is PackedRing else 0)
        proves_delivery(back, driver, MAIN, 0)
        assert back.ring(0)["size"] == size
    assert nr_events(back, mark, f"{CHANGES} 0") == 6
    assert nr_events(back, mark, CHANGES) == 6, "another queue was disturbed"


def test_another_call_descriptor_is_no_event(driver, back):
    """SET_VRING_CALL of a running ring, many times: nobody hears of it, and no interrupt is lost."""
    driver.start()
    mark = back.mark()
    for _ in range(20):
        fresh = driver.front.eventfd()
        driver.front.do(Request.SET_VRING_CALL, u64(0), [fresh])
        assert eventfd_count(fresh) == 1, "what the old one was signalled for is repeated"
        proves_delivery(back, driver)
        assert eventfd_count(fresh) == 1
    assert nr_events(back, mark, "port0") == 0


def test_get_base_of_a_packed_ring_after_status_0(make_driver):
    """QEMU 7.2 says 0 before it asks where the last ring stands."""
    driver = make_driver(ring_class=PackedRing)
    driver.start(PACKED)
    driver.rings[0].post(3)
    driver.set_status(0)
    reply = driver.front.ask(Request.GET_VRING_BASE, state(0))
    assert struct.unpack("=II", reply) == (0, 0x80008000)
