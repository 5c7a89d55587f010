# SPDX-License-Identifier: BSD-3-Clause
"""Commands on the control ring: what they do, how they are refused, and every lie a guest can tell there."""

import os
import struct
import time

import pytest

from backend import OTHER, WIDE
from driver import BASIC_FEATURES, BUFFERS_AT, DESC_F_WRITE, NO_STATUS, PackedRing, Ring, proves_delivery
from frontend import NOFD, Feature, Request, bits, eventfd_count, state, u64

CONTROL_FEATURES = BASIC_FEATURES | bits(
    Feature.CTRL_VQ, Feature.CTRL_RX, Feature.CTRL_VLAN, Feature.CTRL_MAC_ADDR, Feature.GUEST_ANNOUNCE,
    Feature.INDIRECT_DESC)
MQ = bits(Feature.MQ)
OK, ERR = 0, 1
PROMISC, ALLMULTI, ALLUNI, NOMULTI, NOUNI, NOBCAST = ((0, number) for number in range(6))
MAC_TABLE_SET, MAC_ADDR_SET = (1, 0), (1, 1)
VLAN_ADD, VLAN_DEL = (2, 0), (2, 1)
ANNOUNCE_ACK, PAIRS_SET = (3, 0), (4, 0)
COMMAND_AT, ACK_AT, TABLE_AT = BUFFERS_AT, BUFFERS_AT + 0x40000, BUFFERS_AT + 0x50000
UNTOUCHED = 0xEE
NO_RING = 0xFFFF


class Guest:
    """A driver that has set up its control ring like the others."""

    def __init__(self, driver, index: int, ring_class):
        self.driver, self.memory = driver, driver.memory
        self.index = index
        self.ring = ring_class(self.memory, index, 64)
        self.base = 0x80008000 if ring_class is PackedRing else 0

    def start(self, features: int, pairs: int = 1) -> "Guest":
        driver = self.driver
        driver.negotiate(features, NO_STATUS)
        driver.share_memory()
        driver.rings = [type(self.ring)(self.memory, number) for number in range(2 * pairs)]
        for ring in driver.rings:
            driver.set_up_ring(ring.index, self.base)
        driver.rings += [Ring(self.memory, 0)] * (self.index - len(driver.rings)) + [self.ring]
        self.set_up()
        return self

    def set_up(self, steps: str = "nbakc") -> None:
        self.driver.set_up_ring(self.index, self.base, steps)
        for index in {ring.index for ring in self.driver.rings}:
            self.driver.front.do(Request.SET_VRING_ENABLE, state(index, 1))

    def at(self, offset: int) -> int:
        return self.memory.guest + offset

    def kick(self) -> None:
        os.eventfd_write(self.ring.kick, 1)

    def submit(self, pieces: list[tuple[int, int, int]], seconds: float = 5) -> int | None:
        """Send a chain as it is; the length it came back with, None if it did not."""
        before = self.ring.used_idx()
        self.ring.post_chain(pieces)
        self.kick()
        return self.wait_used(before, seconds)

    def wait_used(self, before: int, seconds: float = 5) -> int | None:
        deadline = time.monotonic() + seconds
        while self.ring.used_idx() == before:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.001)
        return self.ring.used(before)[1]

    def command(self, code: tuple[int, int], data: bytes = b"", cut: tuple[int, ...] = (2,)) -> int:
        """Send a command, cut into descriptors at these places; the answer."""
        return self.raw(bytes(code) + data, cut)

    def raw(self, text: bytes, cut: tuple[int, ...] = ()) -> int:
        self.memory.map[COMMAND_AT:COMMAND_AT + len(text)] = text
        self.memory.map[ACK_AT] = UNTOUCHED
        edges = [0, *[edge for edge in cut if edge < len(text)], len(text)]
        pieces = [(self.at(COMMAND_AT + first), last - first, 0) for first, last in zip(edges, edges[1:])]
        assert self.submit([*pieces, (self.at(ACK_AT), 1, DESC_F_WRITE)]) == 1
        return self.memory.map[ACK_AT]


@pytest.fixture(params=[Ring, PackedRing], ids=["split", "packed"])
def make_guest(request, make_driver):
    """make_guest() is a started guest with one queue pair in use and a control ring."""
    def _make(features: int = CONTROL_FEATURES | MQ, pairs: int = 1, index: int | None = None) -> Guest:
        if request.param is PackedRing:
            features |= bits(Feature.RING_PACKED)
        if index is None:
            index = 4 if features & MQ else 2
        return Guest(make_driver(), index, request.param).start(features, pairs)
    return _make


@pytest.fixture
def guest(make_guest):
    return make_guest()


def faults(back, guest, name: str) -> int:
    return back.ring(guest.index)["faults"].get(name, 0)


# -- where it is -----------------------------------------------------------------------------------


@pytest.mark.parametrize("features, index", [
    (CONTROL_FEATURES | MQ, 4), (CONTROL_FEATURES, 2)], ids=["behind-all-pairs", "behind-the-first"])
def test_its_place(make_guest, back, features, index):
    """virtio 1.2 5.1.2: without MQ there is one pair, so ring 2 of this port carries commands then."""
    guest = make_guest(features, index=index)
    assert back.port()["control_ring"] == index
    seen = back.ring(index)
    assert seen["control"] and seen["running"]
    assert guest.command(PROMISC, b"\1") == OK
    proves_delivery(back, guest.driver)


def test_no_such_ring_unless_agreed_on(driver, back):
    driver.negotiate(BASIC_FEATURES | MQ)
    assert back.port()["control_ring"] == NO_RING
    driver.front.refuse(Request.SET_VRING_NUM, state(4, 64))
    assert "rings 0...3" in back.port()["why"]


def test_a_ring_too_far(driver):
    driver.negotiate(CONTROL_FEATURES | MQ)
    driver.front.refuse(Request.SET_VRING_NUM, state(5, 64))
    driver.front.refuse(Request.SET_VRING_NUM, state(NO_RING, 64))


def test_128_pairs_leave_no_number_for_it(back):
    assert not back.port(WIDE)["offered"] & bits(Feature.CTRL_VQ, Feature.CTRL_RX, Feature.GUEST_ANNOUNCE)
    assert back.port(OTHER)["offered"] & bits(Feature.CTRL_VQ)


def test_pollers_get_nothing_from_it(make_guest, back):
    """Ring 2 of a guest without MQ: whoever sends to the second queue must not take commands."""
    guest = make_guest(CONTROL_FEATURES)
    guest.ring.post_chain([(guest.at(ACK_AT), 2048, DESC_F_WRITE)])
    assert back.push(2) == 0
    guest.kick()
    assert guest.wait_used(0) == 1


def test_the_device_runs_without_it(make_driver, back):
    """It is no vital ring."""
    driver = make_driver()
    driver.start(CONTROL_FEATURES | MQ, NO_STATUS)
    assert back.port()["stage"] == "running"
    proves_delivery(back, driver)


def test_who_serves_commands_itself_uses_all_rings(make_driver, back):
    """Some front-ends agree on CTRL_VQ and keep the ring: then every enabled ring counts."""
    driver = make_driver(nr_rings=4)
    driver.start(CONTROL_FEATURES | MQ, NO_STATUS)
    proves_delivery(back, driver, ring=2)


def test_without_kick_descriptor(make_driver, back):
    """The driver polls, so do we."""
    guest = Guest(make_driver(), 4, Ring)
    guest.start(CONTROL_FEATURES | MQ)
    guest.driver.front.ask_base(4)
    guest.set_up(steps="nba")
    guest.driver.front.do(Request.SET_VRING_KICK, u64(4 | NOFD))
    guest.kick = lambda: None
    assert [guest.command(PROMISC, bytes([on])) for on in (1, 0, 1)] == [OK] * 3


def test_commands_that_came_before_the_ring(make_driver, back):
    """No kick need come for them."""
    driver = make_driver()
    guest = Guest(driver, 4, Ring)
    guest.memory.map[COMMAND_AT:COMMAND_AT + 3] = b"\0\0\1"
    guest.ring.post_chain([(guest.at(COMMAND_AT), 3, 0), (guest.at(ACK_AT), 1, DESC_F_WRITE)])
    guest.start(CONTROL_FEATURES | MQ)
    assert guest.wait_used(0) == 1 and back.control()["promisc"]


def test_kick_descriptor_is_replaced(guest, back):
    for _ in range(3):
        guest.ring.kick = guest.driver.front.eventfd()
        guest.driver.front.do(Request.SET_VRING_KICK, u64(guest.index), [guest.ring.kick])
        assert guest.command(PROMISC, b"\1") == OK


def test_it_interrupts(guest):
    guest.driver.front.sync()
    eventfd_count(guest.ring.call)
    guest.command(PROMISC, b"\1")
    deadline = time.monotonic() + 5
    while not (nr := eventfd_count(guest.ring.call)) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert nr == 1


def test_stopped_and_started_again(guest, back):
    """What was commanded holds until another driver begins."""
    front = guest.driver.front
    guest.command(PROMISC, b"\1")
    base = front.ask_base(guest.index)
    assert not back.ring(guest.index)["running"]
    guest.ring.post_chain([(guest.at(COMMAND_AT), 3, 0), (guest.at(ACK_AT), 1, DESC_F_WRITE)])
    before = guest.ring.used_idx()
    guest.kick()
    front.sync()
    assert guest.ring.used_idx() == before, "a stopped ring is left alone"
    guest.base = base
    guest.set_up()
    assert guest.wait_used(before) == 1
    assert back.control()["promisc"]


def test_memory_is_exchanged_meanwhile(guest, back):
    guest.driver.share_memory()
    assert guest.command(ALLMULTI, b"\1") == OK


def test_reset_forgets(guest, back):
    guest.command(PROMISC, b"\1")
    guest.driver.front.do(Request.RESET_DEVICE)
    assert not back.control()["promisc"] and back.control()["commands"] == 0


def test_the_next_front_end_begins_afresh(guest, connect, back):
    guest.command(PROMISC, b"\1")
    guest.driver.front.close()
    back.wait_stage("listening")
    assert not back.control()["promisc"]


# -- what commands do ------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [(), (1,), (2,), (1, 2), tuple(range(1, 9))], ids=str)
def test_any_layout(guest, back, cut):
    assert guest.command(MAC_ADDR_SET, b"\x52\x54\0\1\2\3", cut) == OK
    assert back.control()["mac"] == "52:54:00:01:02:03"


def test_receive_modes(guest, back):
    for on in (True, False):
        for code, name in ((PROMISC, "promisc"), (ALLMULTI, "allmulti")):
            assert guest.command(code, bytes([on])) == OK
            assert back.control()[name] is on


@pytest.mark.parametrize("code", [ALLUNI, NOMULTI, NOUNI, NOBCAST])
def test_modes_that_would_have_to_be_obeyed(guest, back, code):
    """Nothing is filtered here, so nothing is promised."""
    assert guest.command(code, b"\1") == ERR
    assert back.control()["refused"] == 1


def test_mac_table(guest, back):
    table = struct.pack("<I", 2) + b"\2\0\0\0\0\1" * 2 + struct.pack("<I", 3) + b"\1\0\x5e\0\0\1" * 3
    assert guest.command(MAC_TABLE_SET, table) == OK
    seen = back.control()
    assert (seen["unicast"], seen["multicast"]) == (2, 3)
    assert guest.command(MAC_TABLE_SET, bytes(8)) == OK
    seen = back.control()
    assert (seen["unicast"], seen["multicast"]) == (0, 0)


def test_longest_mac_table(guest, back):
    """16 KiB with the header; one address more is refused, and nothing is forgotten."""
    table = struct.pack("<I", 2728) + bytes(6 * 2728) + bytes(4)
    assert len(table) + 2 <= 16384
    assert guest.command(MAC_TABLE_SET, table) == OK
    before = faults(back, guest, "ctrl_bad")
    table = struct.pack("<I", 2730) + bytes(6 * 2730) + bytes(4)
    assert guest.command(MAC_TABLE_SET, table) == ERR
    assert faults(back, guest, "ctrl_bad") == before + 1
    assert back.control()["unicast"] == 2728


def test_vlans(guest, back):
    assert [guest.command(VLAN_ADD, struct.pack("<H", vid)) for vid in (0, 7, 7, 4095)] == [OK] * 4
    assert back.control()["vlans"] == 3
    assert [guest.command(VLAN_DEL, struct.pack("<H", vid)) for vid in (7, 8)] == [OK] * 2
    assert back.control()["vlans"] == 2


def test_announce(guest, back):
    assert guest.command(ANNOUNCE_ACK) == OK
    assert back.control()["announced"] == 1


def test_the_address_is_in_the_configuration(guest):
    guest.command(MAC_ADDR_SET, b"\x52\x54\0\1\2\3")
    reply = guest.driver.front.ask(Request.GET_CONFIG, struct.pack("=III", 0, 6, 0) + bytes(6))
    assert reply[12:] == b"\x52\x54\0\1\2\3"


def test_pairs(make_guest, back):
    """Rings of pairs not in use take no packets; giving up a pair does not lose what was sent."""
    guest = make_guest(pairs=2)
    mark = back.mark()
    guest.driver.rings[2].post(8)
    assert back.push(2) == 0, "a driver begins with one pair"
    assert guest.command(PAIRS_SET, struct.pack("<H", 2)) == OK
    assert "event port0 queue 2 usable 1" in back.wait_log("queue 2 usable", mark)
    assert back.control()["pairs"] == 2
    assert back.push(2) == 1
    mark = back.mark()
    assert guest.command(PAIRS_SET, struct.pack("<H", 1)) == OK
    assert "event port0 queue 2 usable 0" in back.wait_log("queue 2 usable", mark)
    assert back.push(2) == 0
    assert back.ring(3)["running"]
    proves_delivery(back, guest.driver)


@pytest.mark.parametrize("nr", [0, 3, 0x8000, 0x8001, 65535])
def test_no_such_number_of_pairs(make_guest, back, nr):
    guest = make_guest(pairs=2)
    guest.command(PAIRS_SET, struct.pack("<H", 2))
    before = faults(back, guest, "ctrl_bad")
    assert guest.command(PAIRS_SET, struct.pack("<H", nr)) == ERR
    assert faults(back, guest, "ctrl_bad") == before + 1
    assert back.control()["pairs"] == 2
    proves_delivery(back, guest.driver, ring=2)


@pytest.mark.parametrize("feature, code, data", [
    (Feature.CTRL_RX, PROMISC, b"\1"), (Feature.CTRL_RX, MAC_TABLE_SET, bytes(8)),
    (Feature.CTRL_MAC_ADDR, MAC_ADDR_SET, b"\2\0\0\0\0\1"), (Feature.CTRL_VLAN, VLAN_ADD, b"\1\0"),
    (Feature.CTRL_VLAN, VLAN_DEL, b"\1\0"), (Feature.GUEST_ANNOUNCE, ANNOUNCE_ACK, b""),
    (Feature.MQ, PAIRS_SET, b"\1\0")])
def test_command_that_was_not_agreed_on(make_guest, back, feature, code, data):
    guest = make_guest((CONTROL_FEATURES | MQ) & ~bits(feature))
    assert guest.command(code, data) == ERR
    assert back.control()["refused"] == 1


# -- lies ------------------------------------------------------------------------------------------

MALFORMED = {
    "nothing": b"",
    "half-a-header": b"\0",
    "no-data": bytes(PROMISC),
    "neither-on-nor-off": bytes(PROMISC) + b"\2",
    "two-switches": bytes(PROMISC) + b"\1\1",
    "short-address": bytes(MAC_ADDR_SET) + bytes(5),
    "long-address": bytes(MAC_ADDR_SET) + bytes(7),
    "group-address": bytes(MAC_ADDR_SET) + b"\1\0\x5e\0\0\1",
    "no-table": bytes(MAC_TABLE_SET),
    "half-a-count": bytes(MAC_TABLE_SET) + bytes(3),
    "one-count": bytes(MAC_TABLE_SET) + bytes(4),
    "one-and-a-half": bytes(MAC_TABLE_SET) + bytes(7),
    "something-behind": bytes(MAC_TABLE_SET) + bytes(9),
    "more-than-there-are": bytes(MAC_TABLE_SET) + struct.pack("<I", 2) + bytes(6 + 4),
    "count-that-wraps": bytes(MAC_TABLE_SET) + struct.pack("<I", 0x2AAAAAAB) + bytes(4),
    "count-of-4-GiB": bytes(MAC_TABLE_SET) + struct.pack("<I", 0xFFFFFFFF) + bytes(4),
    "second-count-wraps": bytes(MAC_TABLE_SET) + bytes(4) + struct.pack("<I", 0xAAAAAAAB),
    "both-counts-wrap": bytes(MAC_TABLE_SET) + struct.pack("<I", 0x55555556) + bytes(4)
                        + struct.pack("<I", 0x55555556),
    "short-vlan": bytes(VLAN_ADD) + b"\1",
    "long-vlan": bytes(VLAN_ADD) + b"\1\0\0",
    "vlan-4096": bytes(VLAN_ADD) + struct.pack("<H", 4096),
    "vlan-65535": bytes(VLAN_DEL) + struct.pack("<H", 65535),
    "announce-with-data": bytes(ANNOUNCE_ACK) + b"\0",
    "half-a-number-of-pairs": bytes(PAIRS_SET) + b"\1",
    "pairs-and-more": bytes(PAIRS_SET) + b"\1\0\0",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(guest, back, name):
    """Answered with an error, counted by name, and without effect; the next command is served."""
    before, said = faults(back, guest, "ctrl_bad"), back.control()
    assert guest.raw(MALFORMED[name]) == ERR
    assert faults(back, guest, "ctrl_bad") == before + 1
    assert back.ring(guest.index)["last_fault"] == "ctrl_bad"
    now = back.control()
    assert {key: now[key] for key in now if key not in ("commands", "refused")} == {
        key: said[key] for key in said if key not in ("commands", "refused")}
    assert guest.command(PROMISC, b"\1") == OK


@pytest.mark.parametrize("code", [(0, 6), (1, 2), (2, 2), (3, 1), (4, 1), (4, 2), (5, 0), (6, 0), (255, 255)])
def test_unknown_command(guest, back, code):
    """No fault: drivers may try."""
    before = faults(back, guest, "ctrl_bad")
    assert guest.command(code, bytes(64)) == ERR
    assert faults(back, guest, "ctrl_bad") == before
    assert guest.command(PROMISC, b"\1") == OK


def test_nowhere_to_answer(guest, back):
    """Not carried out either: nobody would know."""
    before = faults(back, guest, "ctrl_no_ack")
    guest.memory.map[COMMAND_AT:COMMAND_AT + 3] = b"\0\0\1"
    assert guest.submit([(guest.at(COMMAND_AT), 3, 0)]) == 0
    assert guest.submit([(guest.at(COMMAND_AT), 3, 0), (guest.at(ACK_AT), 1, 0)]) == 0
    assert guest.submit([(guest.at(COMMAND_AT), 3, 0), (guest.at(ACK_AT), 0, DESC_F_WRITE)]) == 0
    assert faults(back, guest, "ctrl_no_ack") == before + 3
    assert not back.control()["promisc"]
    assert guest.command(PROMISC, b"\1") == OK


def test_answer_over_the_command(guest, back):
    """The copy is judged, not what lies there."""
    guest.memory.map[COMMAND_AT:COMMAND_AT + 3] = b"\0\0\1"
    assert guest.submit([(guest.at(COMMAND_AT), 3, 0), (guest.at(COMMAND_AT), 1, DESC_F_WRITE)]) == 1
    assert guest.memory.map[COMMAND_AT] == OK and back.control()["promisc"]


def test_only_one_byte_is_written(guest):
    guest.memory.map[ACK_AT:ACK_AT + 64] = bytes([UNTOUCHED]) * 64
    guest.memory.map[COMMAND_AT:COMMAND_AT + 3] = b"\0\0\1"
    assert guest.submit([(guest.at(COMMAND_AT), 3, 0), (guest.at(ACK_AT), 64, DESC_F_WRITE)]) == 1
    assert guest.memory.map[ACK_AT:ACK_AT + 64] == bytes([OK]) + bytes([UNTOUCHED]) * 63


@pytest.mark.parametrize("pieces, fault", [
    pytest.param([(0x7000_0000_0000, 16, 0)], "desc_unmapped", id="outside-memory"),
    pytest.param([((1 << 64) - 8, 16, 0)], "desc_wrap", id="wraps"),
    pytest.param([(None, 3, DESC_F_WRITE), (None, 3, 0)], "chain_order", id="answer-first"),
])
def test_chain_that_is_none(guest, back, pieces, fault):
    before = faults(back, guest, fault)
    chain = [(guest.at(COMMAND_AT) if at is None else at, length, flags) for at, length, flags in pieces]
    assert guest.submit([*chain, (guest.at(ACK_AT), 1, DESC_F_WRITE)]) == 0
    assert faults(back, guest, fault) == before + 1
    assert guest.command(PROMISC, b"\1") == OK


def test_huge_chain(guest, back):
    """Sixty times all of memory: refused by its length, nothing of it is copied."""
    before = faults(back, guest, "ctrl_bad")
    pieces = [(guest.memory.guest, guest.memory.size, 0)] * 60
    assert guest.submit([*pieces, (guest.at(ACK_AT), 1, DESC_F_WRITE)]) == 1
    assert guest.memory.map[ACK_AT] == ERR
    assert faults(back, guest, "ctrl_bad") == before + 1


def indirect(guest, pieces) -> int | None:
    """Send a chain through a table."""
    table, packed = b"", isinstance(guest.ring, PackedRing)
    for number, (at, length, flags) in enumerate(pieces):
        more = 0 if number == len(pieces) - 1 or packed else 1
        table += struct.pack("<QIHH", at, length, 0 if packed else flags | more, flags if packed else number + 1)
    guest.memory.map[TABLE_AT:TABLE_AT + len(table)] = table
    return guest.submit([(guest.at(TABLE_AT), len(table), 4)])


def test_indirect(guest, back):
    guest.memory.map[COMMAND_AT:COMMAND_AT + 3] = b"\0\0\1"
    assert indirect(guest, [(guest.at(COMMAND_AT), 3, 0), (guest.at(ACK_AT), 1, DESC_F_WRITE)]) == 1
    assert back.control()["promisc"]


def test_too_many_pieces(guest, back):
    before = faults(back, guest, "chain_spans")
    assert indirect(guest, [(guest.at(COMMAND_AT), 1, 0)] * 1025) == 0
    assert faults(back, guest, "chain_spans") == before + 1


def test_chain_in_a_loop(make_driver, back):
    guest = Guest(make_driver(), 4, Ring).start(CONTROL_FEATURES | MQ)
    before = faults(back, guest, "chain_loop")
    struct.pack_into("<QIHH", guest.memory.map, guest.ring.at, guest.at(COMMAND_AT), 1, 1, 0)
    struct.pack_into("<H", guest.memory.map, guest.ring.at + 0x10000 + 4, 0)
    guest.ring.avail_idx = 1
    guest.ring.set_avail_idx(1)
    guest.kick()
    assert guest.wait_used(0) == 0
    assert faults(back, guest, "chain_loop") == before + 1
    assert guest.command(PROMISC, b"\1") == OK


def test_index_that_jumps(make_driver, back):
    """The ring stops and says so, the others go on; a fresh start mends it."""
    guest = Guest(make_driver(), 4, Ring).start(CONTROL_FEATURES | MQ)
    error = guest.driver.front.eventfd()
    guest.driver.front.do(Request.SET_VRING_ERR, u64(4), [error])
    guest.ring.set_avail_idx(1000)
    guest.kick()
    deadline = time.monotonic() + 5
    while not back.ring(4)["broken"] and time.monotonic() < deadline:
        time.sleep(0.002)
    assert back.ring(4)["last_fault"] == "avail_idx" and eventfd_count(error) == 1
    proves_delivery(back, guest.driver)
    guest.driver.front.ask_base(4)
    guest.ring.clear()
    guest.set_up()
    assert guest.command(PROMISC, b"\1") == OK


def test_flood(guest, back):
    """A ring that is always full of commands holds nobody up."""
    guest.memory.map[COMMAND_AT:COMMAND_AT + 3] = b"\0\0\1"
    chain = [(guest.at(COMMAND_AT), 3, 0), (guest.at(ACK_AT), 1, DESC_F_WRITE)]
    for round_ in range(40):
        for _ in range(16):
            guest.ring.post_chain(chain)
            guest.kick()
        proves_delivery(back, guest.driver)
        deadline = time.monotonic() + 5
        while guest.ring.used_idx() < 16 * (round_ + 1) and time.monotonic() < deadline:
            time.sleep(0.0005)
        assert guest.ring.used_idx() == 16 * (round_ + 1), back.ring(guest.index)
    assert back.control()["commands"] == 640
