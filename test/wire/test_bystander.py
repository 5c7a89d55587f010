# SPDX-License-Identifier: BSD-3-Clause
"""Whatever a front-end does or leaves undone, another port of the same control thread moves as many packets a second.

Each fault below is done to one port, and ends with its front-end gone, in the middle of what it began. Another port's
thread sends all the while; traffic.py says what must not be seen there. The fixture looks for what was left behind.
"""

import os

import pytest

from backend import IOMMU, MAIN
from driver import ALL_PROTOCOL, BASIC_FEATURES, BUFFERS_AT, GUEST_BASE, MEMORY_NAME, USER_BASE, Driver
from frontend import Feature, Protocol, Request, bits, iotlb, log_base, mem_reg, mem_table, message, region, u64
from lazy import WITH_PAGEFAULT, LazyDriver
from translated import BOTH, INVALIDATE, IOVA_BASE, PAGE, UPDATE, Guest

FAR = 1 << 36
U64_MAX = (1 << 64) - 1
LOGGED = BASIC_FEATURES | bits(Feature.LOG_ALL)
LOG_BYTES = 1 << 20
F_LOG = 1  # of SET_VRING_ADDR
LOAD = 1  # of SET_DEVICE_STATE_FD


# -- memory ----------------------------------------------------------------------------------------


def truncate(driver: Driver, back) -> None:
    driver.start()
    driver.rings[0].post(5)
    os.ftruncate(driver.memory.fd, 0)
    back.push(0)
    driver.front.wait_dropped()


def remove_in_use(driver: Driver, _back) -> None:
    driver.start()
    driver.front.do(Request.ADD_MEM_REG, mem_reg(region(0x5000_0000, PAGE, 0x5000_0000)), [driver.memory.fd])
    driver.front.do(Request.REM_MEM_REG, driver.memory.reg())


def send_absurd_tables(driver: Driver, _back) -> None:
    driver.negotiate()
    whole, fd = driver.memory.region(), driver.memory.fd
    for table, fds in [(mem_table(whole, whole), [fd, fd]), (mem_table(whole), []),
                       (mem_table(region(GUEST_BASE, 1 << 63, USER_BASE)), [fd]),
                       (mem_table(region(GUEST_BASE, 0, USER_BASE)), [fd]),
                       (mem_table(region((1 << 64) - 4096, 8192, USER_BASE)), [fd])]:
        driver.front.refuse(Request.SET_MEM_TABLE, table, fds)


def die_in_a_message(driver: Driver, _back) -> None:
    driver.start()
    driver.front.send_bytes(message(Request.SET_MEM_TABLE, driver.memory.table())[:20], [driver.memory.fd])


def die_with_a_reply_due(driver: Driver, _back) -> None:
    driver.start()
    driver.front.send(Request.ADD_MEM_REG, mem_reg(region(FAR, PAGE, FAR)), [driver.memory.fd], need_reply=True)


def die_half_set_up(driver: Driver, _back) -> None:
    driver.negotiate()
    driver.share_memory()
    driver.set_up_ring(0)


# -- the log of a guest that is moved --------------------------------------------------------------


def log_file(driver: Driver, size: int = LOG_BYTES) -> int:
    fd = driver.front.own(os.memfd_create(MEMORY_NAME, os.MFD_CLOEXEC))
    os.ftruncate(fd, size)
    return fd


def start(driver: Driver) -> None:
    driver.start(protocol=ALL_PROTOCOL | bits(Protocol.LOG_SHMFD))


def begin_log(driver: Driver) -> int:
    payload, fd = log_base(LOG_BYTES), log_file(driver)
    assert driver.front.ask(Request.SET_LOG_BASE, payload, [fd]) == payload
    mark_what_is_written(driver)
    return fd


def mark_what_is_written(driver: Driver) -> None:
    """As QEMU begins: first the features, then each ring's address again."""
    driver.front.do(Request.SET_FEATURES, u64(LOGGED))
    for ring in driver.rings:
        driver.front.do(Request.SET_VRING_ADDR, ring.addr(F_LOG, GUEST_BASE + ring.at))


def name_no_log(driver: Driver, back) -> None:
    """What is written must be marked, and nobody says where: a ring that was stopped does not start."""
    start(driver)
    mark_what_is_written(driver)
    driver.front.ask_base(0)
    driver.front.do(Request.SET_VRING_KICK, u64(0), [driver.rings[0].kick])
    assert not back.ring(0)["running"]


def name_a_log_that_is_too_small(driver: Driver, _back) -> None:
    start(driver)
    driver.front.send(Request.SET_LOG_BASE, log_base(2 * LOG_BYTES), [log_file(driver)])
    driver.front.wait_dropped()


def name_a_log_beyond_all(driver: Driver, _back) -> None:
    start(driver)
    driver.front.send(Request.SET_LOG_BASE, log_base(U64_MAX, 1), [log_file(driver)])
    driver.front.wait_dropped()


def send_no_log(driver: Driver, _back) -> None:
    start(driver)
    driver.front.send(Request.SET_LOG_BASE, log_base(LOG_BYTES))
    driver.front.wait_dropped()


def die_while_it_is_moved(driver: Driver, back) -> None:
    start(driver)
    begin_log(driver)
    driver.rings[0].post(5)
    assert back.push(0, 3) == 3


def die_with_one_ring_handed_over(driver: Driver, back) -> None:
    die_while_it_is_moved(driver, back)
    assert driver.front.ask_base(0) == 3


def shorten_the_log(driver: Driver, back) -> None:
    start(driver)
    os.ftruncate(begin_log(driver), 0)
    driver.rings[0].post(5)
    back.push(0, 3)


# -- the state of the device -----------------------------------------------------------------------


def die_before_the_state_came(driver: Driver, _back) -> None:
    driver.negotiate(BASIC_FEATURES, ALL_PROTOCOL | bits(Protocol.DEVICE_STATE))
    reader, _writer = (driver.front.own(end) for end in os.pipe())
    driver.front.ask(Request.SET_DEVICE_STATE_FD, LOAD.to_bytes(4, "little") + bytes(4), [reader])


# -- an IOMMU --------------------------------------------------------------------------------------


def die_while_asked_for_a_ring(guest: Guest, _back) -> None:
    guest.begin()
    guest.next_miss()


def die_while_asked_for_a_buffer(guest: Guest, back) -> None:
    guest.begin()
    guest.show_rings()
    guest.rings[0].post(3)
    assert back.push(0, 1, IOMMU) == 0
    while guest.next_miss()[0] < BUFFERS_AT:
        pass


def say_what_cannot_be_of_an_iommu(guest: Guest, _back) -> None:
    guest.begin()
    guest.show_rings()
    for entry in [iotlb(UPDATE, IOVA_BASE, PAGE, USER_BASE + FAR, BOTH), iotlb(UPDATE, U64_MAX - 1, PAGE, USER_BASE, BOTH),
                  iotlb(UPDATE, IOVA_BASE, 0, USER_BASE, BOTH), iotlb(UPDATE, IOVA_BASE, 1 << 63, USER_BASE, BOTH),
                  iotlb(77, IOVA_BASE, PAGE, USER_BASE, BOTH), iotlb(INVALIDATE, U64_MAX, U64_MAX)]:
        guest.front.ack(Request.IOTLB_MSG, entry)
    for _ in range(20):
        guest.update(BUFFERS_AT, 4 * PAGE)
        guest.update(BUFFERS_AT + PAGE, 4 * PAGE, place=BUFFERS_AT)
        guest.invalidate(BUFFERS_AT + 2 * PAGE)


# -- postcopy --------------------------------------------------------------------------------------


def listen_out_of_order(guest: LazyDriver, _back) -> None:
    guest.negotiate(protocol=WITH_PAGEFAULT)
    guest.front.refuse(Request.POSTCOPY_LISTEN)
    guest.front.refuse(Request.POSTCOPY_END)


def die_before_its_memory_is_acknowledged(guest: LazyDriver, _back) -> None:
    guest.negotiate(protocol=WITH_PAGEFAULT)
    guest.advise()
    guest.listen()
    guest.send_memory()


def die_with_pages_to_come(guest: LazyDriver, _back) -> None:
    guest.start()


WITHOUT_MORE = [
    truncate, remove_in_use, send_absurd_tables, die_in_a_message, die_with_a_reply_due, die_half_set_up,
    name_no_log, name_a_log_that_is_too_small, name_a_log_beyond_all, send_no_log, die_while_it_is_moved,
    die_with_one_ring_handed_over, shorten_the_log, die_before_the_state_came]
FAULTS = [(fault, MAIN, Driver) for fault in WITHOUT_MORE]
FAULTS += [(fault, IOMMU, Guest) for fault in
           (die_while_asked_for_a_ring, die_while_asked_for_a_buffer, say_what_cannot_be_of_an_iommu)]
FAULTS += [(fault, MAIN, LazyDriver) for fault in
           (listen_out_of_order, die_before_its_memory_is_acknowledged, die_with_pages_to_come)]


@pytest.mark.parametrize("fault, port, kind", FAULTS, ids=[fault.__name__ for fault, _, _ in FAULTS])
def test_another_port_keeps_its_packets(bystander, connect, back, fault, port, kind):
    def once():
        driver = kind(connect(port))
        try:
            fault(driver, back)
        finally:
            driver.close()
        back.wait_stage("listening", port)

    bystander.stands(once)
