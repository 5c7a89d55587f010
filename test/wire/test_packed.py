# SPDX-License-Identifier: BSD-3-Clause
"""What the messages mean for packed rings: sizes, and bases with a slot and a wrap counter in each half."""

import struct

import pytest

from driver import BASIC_FEATURES, DESC_F_NEXT, DESC_F_WRITE, NO_STATUS, PackedRing, proves_delivery
from frontend import Feature, Request, Status, bits, eventfd_count, state, u64

FEATURES = BASIC_FEATURES | bits(Feature.RING_PACKED)
QEMU_FRESH, VIRTIO_USER_FRESH = 0x80008000, 0x8000


@pytest.fixture
def packed(make_driver):
    """packed(size) is a guest with packed rings that has agreed on features and shared memory."""
    def _make(size: int = 256, features: int = FEATURES):
        driver = make_driver(ring_size=size, ring_class=PackedRing)
        driver.negotiate(features, protocol=NO_STATUS)
        driver.share_memory()
        return driver
    return _make


def start(driver, base: int = QEMU_FRESH, place: int | None = None):
    """Both rings; ring 0 where `base` says, or where the guest left it."""
    driver.rings[0].begin_at(base & 0xFFFF if place is None else place)
    driver.set_up_ring(0, base)
    driver.set_up_ring(1, QEMU_FRESH)
    driver.enable()
    return driver


# -- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("num", [1, 3, 255, 256, 32767, 32768])
def test_ring_size(packed, back, num):
    packed().front.do(Request.SET_VRING_NUM, state(0, num))
    assert back.ring(0)["size"] == num


@pytest.mark.parametrize("num", [0, 32769, 0x10003], ids=hex)
def test_no_ring_size(packed, back, num):
    packed().front.refuse(Request.SET_VRING_NUM, state(0, num))
    assert back.ring(0)["size"] == 0


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256])
@pytest.mark.parametrize("base", [QEMU_FRESH, VIRTIO_USER_FRESH], ids=["qemu", "virtio-user"])
def test_fresh_ring_delivers_round_after_round(packed, back, size, base):
    driver = start(packed(size), base)
    for _ in range(2 * size + 1 if size < 10 else 5):
        proves_delivery(back, driver)


def test_in_order(packed, back):
    driver = start(packed(7, FEATURES | bits(Feature.IN_ORDER)))
    for _ in range(20):
        proves_delivery(back, driver)


@pytest.mark.parametrize("posted", [0, 1, 255, 256])
def test_fresh_ring_with_a_base_of_0(packed, back, posted):
    """User-mode Linux says so, where wrap counter 1 is meant: a ring without a used entry is new."""
    driver = packed()
    driver.rings[0].post(posted)
    driver.set_up_ring(0, 0)
    driver.set_up_ring(1, QEMU_FRESH)
    driver.enable()
    assert back.push(0, 256) == posted
    assert driver.rings[0].used_idx() == posted
    if posted < 256:
        proves_delivery(back, driver)


# -- where it begins and stops ---------------------------------------------------------------------


@pytest.mark.parametrize("base", [0x00000000, 0x80008000, 0x00020002, 0x80028002], ids=hex)
def test_begins_at_any_place(packed, back, base):
    """Slot and wrap counter; what it says when it stops is where it would go on."""
    driver = start(packed(3), base)
    place = base & 0xFFFF
    for _ in range(7):
        proves_delivery(back, driver)
        place = driver.rings[0].after(place)
    assert driver.front.ask_base(0) == place << 16 | place


def test_restart_where_it_stopped(packed, back):
    driver = start(packed(5))
    for _ in range(4):
        for _ in range(3):
            proves_delivery(back, driver)
        base = driver.front.ask_base(0)
        assert base == driver.rings[0].used_at * 0x10001
        driver.set_up_ring(0, base)
    assert driver.front.ask_base(1) == QEMU_FRESH


@pytest.mark.parametrize("base", [0x00008004, 0x80008004, 0x00048004], ids=hex)
def test_the_used_half_is_not_believed(packed, back, base):
    """Nothing is in flight when a ring starts: what was not given back is taken again."""
    driver = start(packed(7), base, 0x8004)
    proves_delivery(back, driver)
    assert driver.front.ask_base(0) == 0x80058005


def test_buffers_taken_by_nobody_are_still_there(packed, back):
    driver = start(packed(4))
    driver.rings[0].post(3)
    assert back.push(0, 1) == 1
    base = driver.front.ask_base(0)
    assert base == 0x80018001
    driver.set_up_ring(0, base)
    assert back.push(0, 3) == 2
    assert driver.rings[0].used_idx() == 3


def test_base_is_given_back(packed):
    front = packed().front
    front.do(Request.SET_VRING_BASE, state(2, 0x8123_0045))
    assert front.ask_base(2) == 0x8123_0045


@pytest.mark.parametrize("slot", [3, 4, 0x7FFF])
def test_slot_outside_the_ring(packed, back, slot):
    """Known only when size and base are both there: the port says what keeps the ring down."""
    driver = packed(3)
    driver.set_up_ring(0, 0x8000 | slot)
    driver.enable()
    assert not back.ring(0)["running"]
    assert f"SET_VRING_BASE said slot {slot} of a ring of 3" in back.port()["why"]
    assert back.push(0) == 0
    driver.front.ask_base(0)
    start(driver, 0x8002)
    proves_delivery(back, driver)


def test_base_with_32_bits_for_a_split_ring(make_driver, back):
    """It came before the features: a split ring goes by its own index, so this hurts nobody."""
    driver = make_driver()
    driver.front.do(Request.SET_VRING_BASE, state(0, QEMU_FRESH))
    driver.negotiate(protocol=NO_STATUS)
    driver.share_memory()
    for index in range(2):
        driver.set_up_ring(index, steps="nakc")
    driver.enable()
    proves_delivery(back, driver)


# -- a guest that lies -----------------------------------------------------------------------------


def test_endless_chain_breaks_the_ring(packed, back):
    """Every slot has a next. The other ring goes on, and a fresh start mends it."""
    driver = start(packed(4))
    error = driver.front.eventfd()
    driver.front.do(Request.SET_VRING_ERR, u64(0), [error])
    before = back.ring(0)["faults"].get("chain_endless", 0)
    driver.rings[0].post(4, flags=DESC_F_WRITE | DESC_F_NEXT)
    assert back.push(0) == 0
    seen = back.ring(0)
    assert seen["broken"] and seen["last_fault"] == "chain_endless"
    assert seen["faults"]["chain_endless"] == before + 1
    assert eventfd_count(error) == 1
    assert not back.ring(1)["broken"]
    driver.front.ask_base(0)
    driver.rings[0].clear()
    driver.set_up_ring(0, QEMU_FRESH)
    proves_delivery(back, driver)


# -- addresses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("field, part, offset", [
    (2, "descriptor", 8), (4, "driver event", 2), (3, "device event", 1)])
def test_misaligned_part(packed, back, field, part, offset):
    driver = packed()
    fields = list(struct.unpack("=IIQQQQ", driver.rings[0].addr()))
    fields[field] += offset
    driver.set_up_ring(0, QEMU_FRESH, steps="nbk")
    driver.front.do(Request.SET_VRING_ENABLE, state(0, 1))
    driver.front.ack(Request.SET_VRING_ADDR, struct.pack("=IIQQQQ", *fields))
    assert not back.ring(0)["running"]
    assert f"{part} ring address" in back.port()["why"]


def test_layout_does_not_change_under_a_started_ring(packed, back):
    driver = start(packed())
    driver.front.refuse(Request.SET_FEATURES, u64(BASIC_FEATURES))
    proves_delivery(back, driver)


def test_status_gates_packed_rings_too(make_driver, back):
    driver = make_driver(ring_class=PackedRing)
    driver.negotiate(FEATURES)
    driver.share_memory()
    for index in range(2):
        driver.set_up_ring(index, QEMU_FRESH)
    driver.enable()
    assert back.push(0) == 0
    driver.set_status(Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK | Status.DRIVER_OK)
    proves_delivery(back, driver)
