# SPDX-License-Identifier: BSD-3-Clause
"""What each message means, and what it refuses although size and descriptors are right."""

import os
import struct
from itertools import permutations

import pytest

from backend import MAIN, OTHER, WIDE
from driver import ALL_PROTOCOL, BASIC_FEATURES, MEMORY_NAME, MEMORY_SIZE, NO_STATUS, READY
from driver import Memory, Ring, proves_delivery
from frontend import NOFD, Feature, Protocol, Request, Status, addr, bits, eventfd_count, mem_reg
from frontend import mem_table, region, state, u64

U64_MAX = (1 << 64) - 1
PAGE = 4096


@pytest.fixture
def negotiated(driver):
    """A guest that has agreed on features and nothing else."""
    driver.negotiate(protocol=NO_STATUS)
    return driver


@pytest.fixture
def started(driver):
    return driver.start(protocol=NO_STATUS)


# -- features --------------------------------------------------------------------------------------


def test_offered_features(front):
    offered = front.ask_u64(Request.GET_FEATURES)
    must = bits(Feature.VERSION_1, Feature.PROTOCOL_FEATURES, Feature.MRG_RXBUF, Feature.MQ,
                Feature.INDIRECT_DESC, Feature.EVENT_IDX, Feature.CSUM, Feature.GUEST_CSUM,
                Feature.RING_PACKED, Feature.IN_ORDER)
    assert offered & must == must
    # Commands that would have to be obeyed, and features whose messages we do not have.
    assert offered & bits(Feature.CTRL_RX_EXTRA, Feature.NOTIFICATION_DATA, Feature.RING_RESET) == 0


def test_one_queue_pair_is_no_multiqueue(back):
    assert back.port(MAIN)["offered"] & bits(Feature.MQ)
    assert not back.port(OTHER)["offered"] & bits(Feature.MQ)


def test_features_are_a_subset(front, back):
    front.do(Request.SET_FEATURES, u64(BASIC_FEATURES))
    assert back.port()["features"] == BASIC_FEATURES


@pytest.mark.parametrize("bit", [2, Feature.CTRL_RX_EXTRA, Feature.NOTIFICATION_DATA, 63], ids=int)
def test_feature_that_was_not_offered(front, back, bit):
    front.do(Request.SET_FEATURES, u64(BASIC_FEATURES))
    front.refuse(Request.SET_FEATURES, u64(BASIC_FEATURES | bits(bit)))
    assert back.port()["features"] == BASIC_FEATURES


def test_refused_features_take_features_ok_back(driver):
    driver.negotiate()
    driver.set_status(Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK)
    driver.front.refuse(Request.SET_FEATURES, u64(U64_MAX))
    assert driver.front.ask_u64(Request.GET_STATUS) == Status.ACKNOWLEDGE | Status.DRIVER


def test_same_features_again_while_running(started, back):
    """Once for each queue pair."""
    started.front.do(Request.SET_FEATURES, u64(BASIC_FEATURES))
    proves_delivery(back, started)


def test_protocol_features(front, back):
    front.do(Request.SET_OWNER)
    offered = front.ask_u64(Request.GET_PROTOCOL_FEATURES)
    assert offered & ALL_PROTOCOL == ALL_PROTOCOL
    # A front-end acknowledges every bit it is offered: these would promise what nobody implements.
    assert offered & bits(Protocol.INBAND_NOTIFICATIONS, Protocol.RESERVED_17) == 0
    front.do(Request.SET_PROTOCOL_FEATURES, u64(bits(Protocol.REPLY_ACK, Protocol.MQ)))
    assert back.port()["protocol_features"] == bits(Protocol.REPLY_ACK, Protocol.MQ)


@pytest.mark.parametrize("bit", [Protocol.CONFIG, Protocol.INBAND_NOTIFICATIONS, 63], ids=int)
def test_protocol_feature_that_was_not_offered(front, back, bit):
    front.refuse(Request.SET_PROTOCOL_FEATURES, u64(bits(Protocol.MQ, bit)))
    assert back.port()["protocol_features"] == 0


@pytest.mark.parametrize("port, nr_rings", [(MAIN, 4 + 1), (WIDE, 256)])
def test_queue_num_is_enough_for_pairs_and_for_rings(connect, port, nr_rings):
    front = connect(port)
    front.do(Request.SET_PROTOCOL_FEATURES, u64(bits(Protocol.MQ)))
    assert front.ask_u64(Request.GET_QUEUE_NUM) == nr_rings


def test_owner_is_optional_and_repeatable(front):
    front.do(Request.SET_FEATURES, u64(BASIC_FEATURES))
    front.do(Request.SET_OWNER)
    front.do(Request.SET_OWNER)


@pytest.mark.parametrize("mtu", [68, 1500, 9000, 65535])
def test_mtu(negotiated, back, mtu):
    mark = back.mark()
    negotiated.front.do(Request.NET_SET_MTU, u64(mtu))
    negotiated.front.do(Request.NET_SET_MTU, u64(mtu))
    assert back.port()["mtu"] == mtu
    assert back.log(mark).count(f"event port0 mtu {mtu}\n") == 1


@pytest.mark.parametrize("mtu", [0, 67, 65536, U64_MAX - 35, 0x1_0000_05DC])
def test_no_mtu(negotiated, back, mtu):
    negotiated.front.refuse(Request.NET_SET_MTU, u64(mtu))
    assert back.port()["mtu"] == 0


@pytest.mark.parametrize("mac", ["52:54:00:00:00:01", "02:00:00:00:00:00", "fe:ff:ff:ff:ff:ff"])
def test_an_address_to_announce(negotiated, back, mac):
    """Several times, as front-ends do; bytes behind the address mean nothing."""
    mark = back.mark()
    for tail in (b"\0\0", b"\xff\xff"):
        negotiated.front.do(Request.SEND_RARP, bytes.fromhex(mac.replace(":", "")) + tail)
    assert back.log(mark).count(f"SEND_RARP: {mac} is announced") == 2


@pytest.mark.parametrize("mac", ["00:00:00:00:00:00", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff"])
def test_no_address_to_announce(negotiated, back, mac):
    """Named and ignored: the conversation goes on, also where nobody waits for an answer."""
    mark = back.mark()
    negotiated.front.send(Request.SEND_RARP, bytes.fromhex(mac.replace(":", "")) + b"\0\0")
    negotiated.front.sync()
    assert f"SEND_RARP: {mac} is no station's address: ignored" in back.log(mark)


# -- status and reset ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1, 0x0F, 0xFF])
def test_status_is_kept(driver, status):
    """The front-end reads it, adds its bits and writes it back."""
    driver.negotiate()
    driver.set_status(status)
    assert driver.front.ask_u64(Request.GET_STATUS) == status


def test_no_status_byte(driver):
    driver.negotiate()
    driver.front.refuse(Request.SET_STATUS, u64(0x100))


def test_status_gates_the_device(driver, back):
    driver.start()
    proves_delivery(back, driver)
    driver.set_status(READY & ~Status.DRIVER_OK)
    assert not back.ring(0)["running"] and back.ring(0)["started"]
    driver.set_status()
    proves_delivery(back, driver)


def test_without_status_nobody_waits_for_it(started, back):
    proves_delivery(back, started)


def test_status_0_wipes_nothing(driver, back):
    """QEMU 7.2 says 0 before it fetches the last indices."""
    driver.start()
    proves_delivery(back, driver)
    driver.set_status(0)
    assert driver.front.ask_base(0) == 1


def test_reset_device(driver, back):
    driver.start()
    driver.front.do(Request.RESET_DEVICE)
    for ring in driver.rings:
        seen = back.ring(ring.index)
        assert not seen["started"] and not seen["enabled"] and not seen["running"]
    seen = back.port()
    assert (seen["features"], seen["status"], seen["nr_regions"]) == (0, 0, 1)
    assert seen["protocol_features"] == ALL_PROTOCOL


def test_start_again_after_reset_device(driver, back):
    driver.start()
    proves_delivery(back, driver)
    driver.front.do(Request.RESET_DEVICE)
    driver.front.do(Request.SET_FEATURES, u64(BASIC_FEATURES))
    for ring in driver.rings:
        ring.clear()
        driver.set_up_ring(ring.index)
    driver.enable()
    driver.set_status()
    proves_delivery(back, driver)


def test_reset_device_keeps_the_error_descriptor(driver, back):
    """A front-end sends it once, when it connects."""
    driver.negotiate()
    error = driver.front.eventfd()
    driver.front.do(Request.SET_VRING_ERR, u64(0), [error])
    driver.front.do(Request.RESET_DEVICE)
    assert back.holds_eventfd(error)


def test_reset_owner_disables_all_rings(started, back):
    started.front.do(Request.RESET_OWNER)
    assert not any(back.ring(ring.index)["running"] for ring in started.rings)
    started.enable()
    proves_delivery(back, started)


def test_backend_channel_must_be_a_socket_or_a_pipe(negotiated, back):
    """User-mode Linux sends a pipe."""
    front = negotiated.front
    front.refuse(Request.SET_BACKEND_REQ_FD, b"", [front.eventfd()])
    reading, writing = map(front.own, os.pipe())
    front.refuse(Request.SET_BACKEND_REQ_FD, b"", [reading])
    front.do(Request.SET_BACKEND_REQ_FD, b"", [writing])
    nr_fds = back.nr_fds()
    for _ in range(3):
        front.do(Request.SET_BACKEND_REQ_FD, b"", [front.channel()])
    assert back.nr_fds() == nr_fds


# -- memory table ----------------------------------------------------------------------------------


def share(driver, table: bytes, nr: int = 1) -> int:
    return driver.front.ack(Request.SET_MEM_TABLE, table, [driver.memory.fd] * nr)


def test_identical_table_while_running(started, back):
    proves_delivery(back, started)
    started.share_memory()
    proves_delivery(back, started)
    assert back.port()["nr_regions"] == 1


def test_table_with_room_for_more(started, back):
    """User-mode Linux always sends two regions, and says how many of them count."""
    assert share(started, started.memory.table() + bytes(32)) == 0
    assert back.port()["nr_regions"] == 1
    proves_delivery(back, started)


def test_table_replaced_while_running(started, back):
    """The rings are found in the new mapping: nobody sends their addresses again."""
    memory = started.memory
    assert share(started, mem_table(memory.region(0, 1 << 20), memory.region(1 << 20)), 2) == 0
    assert back.port()["nr_regions"] == 2
    proves_delivery(back, started)


def test_table_without_the_rings_and_with_them_again(started, back):
    proves_delivery(back, started)
    assert share(started, mem_table(started.memory.region(1 << 20))) == 0
    assert not back.ring(0)["running"]
    assert back.push(0) == 0
    started.share_memory()
    proves_delivery(back, started)


def test_another_file_at_the_same_addresses(started, back):
    """Regions are the same only if their file is: here the guest's memory was exchanged."""
    other = Memory()
    other.map[:] = started.memory.map[:]
    started.memory.close()
    started.memory = other
    for ring in started.rings:
        ring.memory = other
    started.share_memory()
    proves_delivery(back, started)


def test_empty_table(started, back):
    assert share(started, mem_table(), 0) == 0
    assert back.port()["nr_regions"] == 0 and not back.ring(0)["running"]


GOOD = region(0x1000_0000, PAGE, 0x7000_0000, 0)

BAD_TABLES = {
    "overlap_in_guest": ([GOOD, region(0x1000_0FFF, PAGE, 0x7100_0000)], "two regions overlap"),
    "overlap_in_user": ([GOOD, region(0x1100_0000, PAGE, 0x7000_0800)], "two regions overlap"),
    "same_twice": ([GOOD, GOOD], "two regions overlap"),
    "inside": ([region(0x1000_0000, 3 * PAGE, 0x7000_0000), region(0x1000_1000, PAGE, 0x7100_0000)],
               "two regions overlap"),
    "empty_region": ([region(0x1000_0000, 0, 0x7000_0000)], "it is empty"),
    "file_too_small": ([region(0x1000_0000, MEMORY_SIZE + PAGE, 0x7000_0000)],
                       "the file behind it is too small"),
    "file_too_small_for_offset": ([region(0x1000_0000, 2 * PAGE, 0x7000_0000, MEMORY_SIZE - PAGE)],
                                  "the file behind it is too small"),
    "guest_overflow": ([region(U64_MAX - PAGE + 2, PAGE, 0x7000_0000)], "overflows"),
    "user_overflow": ([region(0x1000_0000, PAGE, U64_MAX - 4)], "overflows"),
    "offset_overflow": ([region(0x1000_0000, PAGE, 0x7000_0000, U64_MAX - 4)], "overflows"),
    "offset_and_size_wrap": ([region(0x1000_0000, 2 * PAGE, 0x7000_0000, (1 << 64) - PAGE)],
                             "overflows"),
    "second_is_bad": ([GOOD, region(0x2000_0000, 0, 0x7200_0000)], "it is empty"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_table_that_is_refused(started, back, case):
    """The old one stays in force, and nothing of the new one stays mapped."""
    regions, reason = BAD_TABLES[case]
    mark, nr_mappings = back.mark(), back.nr_mappings(MEMORY_NAME)
    assert share(started, mem_table(*regions), len(regions)) == 1
    assert reason in back.wait_log("refused: SET_MEM_TABLE", mark)
    assert back.nr_mappings(MEMORY_NAME) == nr_mappings
    assert back.port()["nr_regions"] == 1
    proves_delivery(back, started)


def test_last_byte_of_the_address_space(negotiated, back):
    """The largest addresses there are do not overflow."""
    start = (1 << 64) - 2 * PAGE
    assert share(negotiated, mem_table(region(start, PAGE, start))) == 0
    assert back.port()["nr_regions"] == 1


def test_memory_that_is_no_file(negotiated, back):
    front = negotiated.front
    front.refuse(Request.SET_MEM_TABLE, mem_table(GOOD), [front.channel()])
    assert back.port()["nr_regions"] == 0


def test_read_only_memory(negotiated, back):
    fd = negotiated.front.own(os.open(f"/proc/self/fd/{negotiated.memory.fd}", os.O_RDONLY))
    negotiated.front.refuse(Request.SET_MEM_TABLE, mem_table(GOOD), [fd])
    assert back.port()["nr_regions"] == 0


# -- single regions --------------------------------------------------------------------------------


def slot(number: int) -> bytes:
    return mem_reg(region(0x2000_0000 + number * PAGE, PAGE, 0x7200_0000 + number * PAGE,
                          (number % 16) * PAGE))


def add(driver, payload: bytes) -> int:
    return driver.front.ack(Request.ADD_MEM_REG, payload, [driver.memory.fd])


def remove(driver, payload: bytes) -> int:
    return driver.front.ack(Request.REM_MEM_REG, payload)


def test_max_mem_slots(negotiated):
    assert negotiated.front.ask_u64(Request.GET_MAX_MEM_SLOTS) >= 509


def test_all_slots(negotiated, back):
    nr = negotiated.front.ask_u64(Request.GET_MAX_MEM_SLOTS)
    for number in range(nr):
        assert add(negotiated, slot(number)) == 0, f"region {number}"
    assert back.port()["nr_regions"] == nr
    mark = back.mark()
    assert add(negotiated, slot(nr)) == 1
    assert f"more than {nr} regions" in back.wait_log("refused: ADD_MEM_REG", mark)
    assert add(negotiated, slot(nr - 1)) == 0, "a region we have costs no slot"
    assert remove(negotiated, slot(17)) == 0
    assert add(negotiated, slot(nr)) == 0
    assert back.port()["nr_regions"] == nr


def test_same_region_twice_and_absent_one(negotiated, back):
    """QEMU 7.2 sends each once for each queue pair."""
    nr_fds = back.nr_fds()
    assert [add(negotiated, slot(1)) for _ in range(3)] == [0, 0, 0]
    assert back.port()["nr_regions"] == 1
    assert back.nr_mappings(MEMORY_NAME) == 2, "one of ours, one of the other port"
    assert [remove(negotiated, slot(1)) for _ in range(3)] == [0, 0, 0]
    assert back.port()["nr_regions"] == 0
    assert back.nr_fds() == nr_fds


def test_remove_ignores_the_offset_and_a_descriptor(negotiated, back):
    assert add(negotiated, slot(1)) == 0
    same = mem_reg(region(0x2000_0000 + PAGE, PAGE, 0x7200_0000 + PAGE, 0xABC000))
    nr_fds = back.nr_fds()
    negotiated.front.do(Request.REM_MEM_REG, same, [negotiated.memory.fd])
    assert back.port()["nr_regions"] == 0
    assert back.nr_fds() == nr_fds


def test_remove_wants_the_same_region(negotiated, back):
    assert add(negotiated, slot(1)) == 0
    for other in (region(0x2000_1000, 2 * PAGE, 0x7200_1000),
                  region(0x2000_1000, PAGE, 0x7200_2000), region(0x2000_2000, PAGE, 0x7200_1000)):
        assert remove(negotiated, mem_reg(other)) == 0
    assert back.port()["nr_regions"] == 1


@pytest.mark.parametrize("one", [
    pytest.param(region(0x2000_1800, PAGE, 0x7900_0000), id="overlap"),
    pytest.param(region(0x2000_1000, PAGE, 0x7900_0000), id="same_guest_other_user"),
    pytest.param(region(0x9000_0000, PAGE, 0x7200_1000), id="same_user_other_guest"),
    pytest.param(region(0x9000_0000, 0, 0x7900_0000), id="empty"),
    pytest.param(region(0x9000_0000, 4 * MEMORY_SIZE, 0x7900_0000), id="file_too_small"),
    pytest.param(region(U64_MAX - 1, PAGE, 0x7900_0000), id="overflow"),
])
def test_region_that_is_refused(negotiated, back, one):
    assert add(negotiated, slot(1)) == 0
    assert add(negotiated, mem_reg(one)) == 1
    assert back.port()["nr_regions"] == 1


def test_ring_follows_its_region(started, back):
    """Updates remove all regions first: a running ring's memory is gone for a moment."""
    memory = started.memory
    proves_delivery(back, started)
    assert remove(started, memory.reg()) == 0
    assert not back.ring(0)["running"]
    assert add(started, memory.reg()) == 0
    proves_delivery(back, started)


def test_table_and_regions_mix(started, back):
    assert add(started, slot(3)) == 0
    assert back.port()["nr_regions"] == 2
    proves_delivery(back, started)
    started.share_memory()
    assert back.port()["nr_regions"] == 1


# -- one ring's size, addresses and index ----------------------------------------------------------


@pytest.mark.parametrize("num", [1, 2, 256, 1024, 32768])
def test_ring_size(front, back, num):
    front.do(Request.SET_VRING_NUM, state(0, num))
    assert back.ring(0)["size"] == num


@pytest.mark.parametrize("num", [0, 3, 255, 32769, 65536, 0x10100, 0x80000000, 0xFFFFFFFF], ids=hex)
def test_no_ring_size(driver, back, num):
    driver.negotiate()
    driver.front.refuse(Request.SET_VRING_NUM, state(0, num))
    assert back.ring(0)["size"] == 0


@pytest.mark.parametrize("num", [0x10000, 0x80008000, 0xFFFFFFFF], ids=hex)
def test_no_base(driver, num):
    driver.negotiate()
    driver.front.refuse(Request.SET_VRING_BASE, state(0, num))
    assert driver.front.ask_base(0) == 0


def test_odd_size_before_features_is_judged_at_the_start(driver, back):
    """Only a packed ring may have it, and nobody knows yet what this one will be."""
    driver.front.do(Request.SET_VRING_NUM, state(0, 3))
    driver.negotiate(protocol=NO_STATUS)
    driver.share_memory()
    driver.set_up_ring(0, steps="bak")
    driver.enable()
    assert not back.ring(0)["running"]
    assert "a split ring has a power of two" in back.port()["why"]


@pytest.mark.parametrize("flags", [2, 0x80000000], ids=hex)
def test_unknown_address_flags(front, flags):
    front.refuse(Request.SET_VRING_ADDR, addr(0, 0x1000, 0x2000, 0x3000, flags))


def test_base_of_a_ring_nobody_set_up(front):
    assert front.ask_base(3) == 0


def test_base_is_given_back(front):
    front.do(Request.SET_VRING_BASE, state(2, 0xFFFF))
    assert front.ask_base(2) == 0xFFFF
    assert front.ask_base(1) == 0


def test_base_stops_one_ring_and_no_other(started, back):
    for _ in range(5):
        proves_delivery(back, started)
    assert started.front.ask_base(0) == 5
    assert not back.ring(0)["running"] and back.ring(1)["running"]
    assert started.front.ask_base(1) == 0


def test_a_stopped_ring_is_left_alone(started, back):
    """Neither memory nor descriptors are touched when the reply is out."""
    proves_delivery(back, started)
    started.front.ask_base(0)
    started.signals(0)
    started.rings[0].post(3)
    before = started.memory.map[:]
    assert back.push(0, 3) == 0
    assert started.memory.map[:] == before
    assert started.signals(0) == 0
    assert not back.holds_eventfd(started.rings[0].kick)


def test_restart_where_it_stopped(started, back):
    for _ in range(3):
        proves_delivery(back, started)
    base = started.front.ask_base(0)
    started.set_up_ring(0, base)
    proves_delivery(back, started)
    assert started.front.ask_base(0) == 4


def test_index_wraps(started, back):
    """65535, then 0."""
    ring = started.rings[0]
    started.front.ask_base(0)
    ring.avail_idx = 0xFFFE
    ring.set_avail_idx(0xFFFE)
    ring.set_used_idx(0xFFFE)
    started.set_up_ring(0, 0xFFFE)
    for _ in range(4):
        proves_delivery(back, started)
    assert started.front.ask_base(0) == 2


@pytest.mark.parametrize("base", [0, 9], ids=["behind", "ahead"])
def test_the_ring_knows_its_index_better(driver, back, base):
    """virtio-user says 0 after a reconnect, cloud-hypervisor counts what is posted already."""
    driver.negotiate(protocol=NO_STATUS)
    driver.share_memory()
    ring = driver.rings[0]
    ring.avail_idx = 5
    ring.set_avail_idx(5)
    ring.set_used_idx(5)
    ring.post(4)
    for index in range(2):
        driver.set_up_ring(index, base if index == 0 else 0)
    driver.enable()
    assert back.push(0, 4) == 4
    assert ring.used_idx() == 9
    assert ring.used(5)[0] == 5 % ring.size


def test_a_guest_that_lies_about_its_index(started, back):
    """The ring is stopped and the error descriptor says so; the other ring goes on."""
    error = started.front.eventfd()
    started.front.do(Request.SET_VRING_ERR, u64(0), [error])
    before = back.ring(0)["faults"]
    started.rings[0].set_avail_idx(257)
    assert back.push(0) == 0
    seen = back.ring(0)
    assert seen["broken"] and seen["last_fault"] == "avail_idx"
    assert seen["faults"] == before | {"avail_idx": before.get("avail_idx", 0) + 1}
    assert eventfd_count(error) == 1
    assert not back.ring(1)["broken"]
    started.front.ask_base(0)
    started.rings[0].clear()
    started.set_up_ring(0)
    proves_delivery(back, started)


def test_needs_reset_while_a_ring_is_broken(driver, back):
    driver.start()
    driver.rings[0].set_avail_idx(257)
    back.push(0)
    assert driver.front.ask_u64(Request.GET_STATUS) == READY | Status.NEEDS_RESET


def test_set_up_anew_while_disabled(started, back):
    """User-mode Linux stops a ring so when its driver is loaded again, not with GET_VRING_BASE."""
    for _ in range(3):
        proves_delivery(back, started)
    started.enable(0)
    started.share_memory()
    for ring in started.rings:
        ring.clear()
        started.set_up_ring(ring.index, steps="cnbak")
    started.enable()
    proves_delivery(back, started)
    assert started.front.ask_base(0) == 1


# -- order -----------------------------------------------------------------------------------------


# NUM and BASE are for stopped rings, and KICK starts one; anything else may come in any order.
LEGAL_ORDERS = [steps for steps in map("".join, permutations("nbakc"))
                if steps.index("k") > max(steps.index("n"), steps.index("b"))]


@pytest.mark.parametrize("steps", LEGAL_ORDERS)
def test_any_order_of_ring_messages(driver, back, steps):
    driver.negotiate(protocol=NO_STATUS)
    driver.share_memory()
    driver.set_up_ring(0, steps=steps)
    driver.enable()
    proves_delivery(back, driver)


STAGES = {
    "features": lambda driver: driver.front.do(Request.SET_FEATURES, u64(BASIC_FEATURES)),
    "memory": lambda driver: driver.share_memory(),
    "ring": lambda driver: driver.set_up_ring(0),
    "enable": lambda driver: driver.enable(),
}


@pytest.mark.parametrize("order", list(permutations(STAGES)), ids="-".join)
def test_any_order_of_stages(driver, back, order):
    for stage in order:
        assert not back.ring(0)["running"]
        STAGES[stage](driver)
    proves_delivery(back, driver)


def test_descriptors_before_anything_else(front, back):
    """QEMU sends these when it connects."""
    call, error = front.eventfd(), front.eventfd()
    front.do(Request.SET_VRING_CALL, u64(0), [call])
    front.do(Request.SET_VRING_ERR, u64(0), [error])
    front.do(Request.SET_VRING_ENABLE, state(0, 1))
    assert back.holds_eventfd(call) and back.holds_eventfd(error)
    assert back.ring(0)["enabled"]


def test_without_protocol_features_rings_are_enabled(driver, back):
    front = driver.front
    front.do(Request.SET_FEATURES, u64(bits(Feature.VERSION_1)))
    driver.share_memory()
    driver.set_up_ring(0)
    proves_delivery(back, driver)


# -- kick, call, error, enable ---------------------------------------------------------------------

by_name = pytest.mark.parametrize("request_id", [
    pytest.param(request_id, id=request_id.name)
    for request_id in (Request.SET_VRING_KICK, Request.SET_VRING_CALL, Request.SET_VRING_ERR)])


@by_name
def test_descriptor_is_replaced_and_taken_back(front, back, request_id):
    first, second = front.eventfd(), front.eventfd()
    front.do(request_id, u64(1), [first])
    front.do(request_id, u64(1), [second])
    assert back.holds_eventfd(second) and not back.holds_eventfd(first)
    front.do(request_id, u64(1 | NOFD))
    assert not back.holds_eventfd(second)


@by_name
def test_descriptor_that_is_no_eventfd(front, back, request_id):
    """A pipe could kill us with a signal, a file would grow. Interrupts are handed on: test_call.py"""
    reading, writing = map(front.own, os.pipe())
    memory = Memory(PAGE)
    front.sync()
    nr_fds = back.nr_fds()
    for fd in (reading, memory.fd):
        front.refuse(request_id, u64(0), [fd])
    if request_id != Request.SET_VRING_CALL:
        front.refuse(request_id, u64(0), [writing])
        front.refuse(request_id, u64(0), [front.channel()])
    memory.close()
    assert back.nr_fds() == nr_fds


@by_name
def test_ring_255_and_no_other_bits(connect, back, request_id):
    """The last index a byte can hold."""
    front = connect(WIDE)
    fd = front.eventfd()
    front.do(request_id, u64(255), [fd])
    assert back.holds_eventfd(fd)


def test_last_of_256_rings(make_driver, back):
    driver = make_driver(WIDE)
    driver.negotiate(protocol=NO_STATUS)
    driver.share_memory()
    last = Ring(driver.memory, 254, place=2)
    driver.rings = [last]
    driver.front.do(Request.SET_VRING_NUM, state(254, 256))
    driver.front.do(Request.SET_VRING_ADDR, last.addr())
    driver.front.do(Request.SET_VRING_KICK, u64(254 | NOFD))
    driver.enable()
    last.post()
    assert back.push(254, 1, WIDE) == 1 and last.used_idx() == 1


def test_a_kick_without_descriptor_starts_the_ring(driver, back):
    driver.negotiate(protocol=NO_STATUS)
    driver.share_memory()
    driver.set_up_ring(0, steps="nba")
    driver.front.do(Request.SET_VRING_KICK, u64(NOFD))
    driver.enable()
    proves_delivery(back, driver)


def test_a_blocking_eventfd_never_blocks_us(started, back):
    """Its counter is full: a blocking write would wait for ever."""
    call = started.front.own(os.eventfd(0, os.EFD_CLOEXEC))
    os.eventfd_write(call, U64_MAX - 1)
    started.front.do(Request.SET_VRING_CALL, u64(0), [call])
    proves_delivery(back, started)
    started.front.sync()


def test_new_call_descriptor_is_signalled(started, back):
    """What the old one got last may have been missed."""
    new = started.front.eventfd()
    started.front.do(Request.SET_VRING_CALL, u64(0), [new])
    assert eventfd_count(new) >= 1
    old = started.signals(0)
    proves_delivery(back, started)
    assert eventfd_count(new) == 1
    assert started.signals(0) == 0, f"the old one was signalled again after {old}"


def test_disabled_ring_takes_nothing(started, back):
    mark = back.mark()
    started.front.do(Request.SET_VRING_ENABLE, state(0, 0))
    started.rings[0].post()
    assert back.push(0) == 0
    assert "event port0 queue 0 usable 0" in back.log(mark)
    assert "event port0 running 0" in back.log(mark)
    assert back.ring(1)["running"]
    started.front.do(Request.SET_VRING_ENABLE, state(0, 1))
    assert back.push(0) == 1


def test_enable_is_remembered_while_stopped(driver, back):
    driver.enable()
    driver.front.ask_base(0)
    driver.negotiate(protocol=NO_STATUS)
    driver.share_memory()
    driver.set_up_ring(0)
    proves_delivery(back, driver)


@pytest.mark.parametrize("value", [2, 0x100, 0x80000000, 0xFFFFFFFF], ids=hex)
def test_neither_on_nor_off(front, back, value):
    front.refuse(Request.SET_VRING_ENABLE, state(0, value))
    assert not back.ring(0)["enabled"]


def test_address_may_be_repeated_while_running(started, back):
    """With another log flag, in practice."""
    started.front.do(Request.SET_VRING_ADDR, started.rings[0].addr())
    started.front.do(Request.SET_VRING_ADDR, started.rings[0].addr(flags=1))
    proves_delivery(back, started)


@pytest.mark.parametrize("part, offset", [("desc", 8), ("avail", 1), ("used", 2)])
def test_misaligned_ring(driver, back, part, offset):
    driver.negotiate(protocol=NO_STATUS)
    driver.share_memory()
    driver.set_up_ring(0, steps="nb")
    fields = list(struct.unpack("=IIQQQQ", driver.rings[0].addr()))
    fields[{"desc": 2, "used": 3, "avail": 4}[part]] += offset
    front = driver.front
    front.ack(Request.SET_VRING_ADDR, struct.pack("=IIQQQQ", *fields))
    front.ack(Request.SET_VRING_KICK, u64(NOFD))
    driver.enable()
    assert not back.ring(0)["running"]
    assert "is not aligned" in back.port()["why"]


def test_ring_that_ends_past_its_region(driver, back):
    """By two bytes: the event field that EVENT_IDX adds."""
    features = BASIC_FEATURES | bits(Feature.EVENT_IDX)
    driver.negotiate(features, NO_STATUS)
    driver.share_memory()
    end = driver.memory.user + MEMORY_SIZE
    used = end - 4 - 8 * 256 - 2
    good = driver.memory.user
    front = driver.front
    front.do(Request.SET_VRING_NUM, state(0, 256))
    front.do(Request.SET_VRING_KICK, u64(NOFD))
    front.do(Request.SET_VRING_ENABLE, state(0, 1))
    front.do(Request.SET_VRING_ADDR, addr(0, good, (used + 4) & ~3, good + 8192))
    assert not back.ring(0)["running"]
    front.do(Request.SET_VRING_ADDR, addr(0, good, used & ~3, good + 8192))
    assert back.ring(0)["running"]
