# SPDX-License-Identifier: BSD-3-Clause
"""A front-end shortens a file that it shares: its device is dropped and named, and nothing else notices."""

import mmap
import os

import pytest

from backend import MAIN, PLAIN
from disk import OUT, blk, guest, header
from driver import ALL_PROTOCOL, GUEST_BASE, MEMORY_NAME, USER_BASE, Memory
from frontend import Feature, Protocol, Request, bits, inflight, log_base, mem_reg, mem_table, region, u64

HUGE = 2 << 20
MFD_HUGE_2MB = 21 << 26


class HugeMemory(Memory):
    """The same, in two pages of 2 MiB."""

    def __init__(self):  # pylint: disable=super-init-not-called
        self.size, self.guest, self.user = 2 * HUGE, GUEST_BASE, USER_BASE
        self.fd = os.memfd_create(MEMORY_NAME, os.MFD_CLOEXEC | os.MFD_HUGETLB | MFD_HUGE_2MB)
        os.ftruncate(self.fd, self.size)
        self.map = mmap.mmap(self.fd, self.size)


@pytest.fixture(params=["small pages", "huge pages"])
def pages(request):
    if request.param == "small pages":
        return Memory
    try:
        HugeMemory().close()
    except OSError:
        pytest.skip("no two free 2 MiB pages; sysctl vm.nr_hugepages=4 gives some")
    return HugeMemory


def assert_dropped(back, driver, what: str, port: int = MAIN) -> None:
    driver.front.wait_dropped()
    why = back.wait_stage("listening", port)["why"]
    assert f"the last front-end was dropped: {what} was truncated by the front-end" in why


# -- guest memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ring", [0, 1])
def test_rings_are_lost(make_driver, back, pages, ring):
    driver = make_driver(memory=pages()).start()
    driver.rings[ring].post(5)
    os.ftruncate(driver.memory.fd, 0)
    back.push(ring) if ring == 0 else back.ring(ring)  # the poller falls over it, or who asks how full it is
    assert_dropped(back, driver, f"the memory behind region at guest {GUEST_BASE:#x}")


def test_buffers_are_lost(make_driver, back, pages):
    """Behind a region of their own, whose address is the one that is named."""
    driver = make_driver(memory=pages())
    driver.negotiate()
    driver.share_memory()
    buffers = pages()
    address = GUEST_BASE + (1 << 32)
    driver.front.do(Request.ADD_MEM_REG, mem_reg(region(address, buffers.size, USER_BASE + (1 << 32))), [buffers.fd])
    for ring in driver.rings:
        driver.set_up_ring(ring.index)
    driver.enable()
    driver.set_status()
    driver.rings[0].post_chain([(address + 5000, 2000, 2)])
    driver.rings[0].post(1)
    os.ftruncate(buffers.fd, 0)
    assert back.push(0, 2) == 2
    assert_dropped(back, driver, f"the memory behind region at guest {address:#x}")
    buffers.close()


def test_part_is_lost(make_driver, back):
    """What is still there is worked on until control hears of it, and goes back to the guest."""
    driver = make_driver(memory=Memory()).start()
    driver.rings[0].post(3)
    os.ftruncate(driver.memory.fd, 1 << 20)  # the buffers begin there
    assert back.push(0, 3) == 3
    assert_dropped(back, driver, f"the memory behind region at guest {GUEST_BASE:#x}")
    assert driver.rings[0].used_idx() == 3


def test_it_may_come_again(make_driver, back):
    """With good memory this time; and many times."""
    for _ in range(20):
        driver = make_driver().start()
        os.ftruncate(driver.memory.fd, 0)
        back.push(0)
        assert_dropped(back, driver, f"the memory behind region at guest {GUEST_BASE:#x}")
    make_driver().start()
    assert back.port()["stage"] == "running"


def test_control_alone_finds_it(make_driver, back):
    """Nobody polls: the index is read where the front-end asks for it."""
    driver = make_driver(PLAIN).start(bits(Feature.VERSION_1, Feature.PROTOCOL_FEATURES))
    os.ftruncate(driver.memory.fd, 0)
    driver.front.send(Request.GET_VRING_BASE, bytes(8))
    driver.front.sock.recv(64)
    assert_dropped(back, driver, f"the memory behind region at guest {GUEST_BASE:#x}", PLAIN)


def test_it_leaves_by_itself(make_driver, back):
    """It is lost, and the front-end gone, before anybody looked: what ends the rings must not fall over it."""
    driver = make_driver().start()
    os.ftruncate(driver.memory.fd, 0)
    driver.front.close()
    back.wait_stage("listening")


def test_a_region_that_was_removed(make_driver, back):
    """Nobody uses it any more, so it may go."""
    driver = make_driver().start()
    extra = Memory(guest=GUEST_BASE + (1 << 32), user=USER_BASE + (1 << 32))
    driver.front.do(Request.ADD_MEM_REG, extra.reg(), [extra.fd])
    driver.front.do(Request.REM_MEM_REG, extra.reg())
    os.ftruncate(extra.fd, 0)
    extra.close()
    driver.rings[0].post(1)
    assert back.push(0) == 1
    assert back.port()["stage"] == "running"


# -- other files -----------------------------------------------------------------------------------


def test_dirty_log(make_driver, back):
    driver = make_driver()
    driver.start(bits(Feature.VERSION_1, Feature.PROTOCOL_FEATURES, Feature.LOG_ALL),
                 ALL_PROTOCOL | bits(Protocol.LOG_SHMFD))
    log = driver.front.own(os.memfd_create(MEMORY_NAME, os.MFD_CLOEXEC))
    os.ftruncate(log, 4096)
    driver.front.ask(Request.SET_LOG_BASE, log_base(4096), [log])
    os.ftruncate(log, 0)
    back.ask(f"mark {MAIN} 4096 1")
    assert_dropped(back, driver, "the file of SET_LOG_BASE")


def test_inflight_file(make_driver, back):
    """Of a kind that cannot be sealed."""
    driver = make_driver(PLAIN)
    driver.negotiate(bits(Feature.VERSION_1, Feature.PROTOCOL_FEATURES),
                     ALL_PROTOCOL | bits(Protocol.INFLIGHT_SHMFD))
    notes = driver.front.own(os.memfd_create(MEMORY_NAME, os.MFD_CLOEXEC))
    os.ftruncate(notes, 1 << 16)
    driver.front.do(Request.SET_INFLIGHT_FD, inflight(2, 256, 1 << 16), [notes])
    os.ftruncate(notes, 0)
    driver.share_memory()
    driver.set_up_ring(0)
    driver.front.send(Request.SET_VRING_ENABLE, bytes([0, 0, 0, 0, 1, 0, 0, 0]))
    driver.front.send(Request.SET_STATUS, u64(15))
    assert_dropped(back, driver, "the file of SET_INFLIGHT_FD", PLAIN)


# -- what is too small from the start --------------------------------------------------------------


def test_a_file_shorter_than_said(make_driver, pages):
    driver = make_driver(memory=pages())
    driver.negotiate()
    memory = driver.memory
    too_long = region(memory.guest, memory.size + 4096, memory.user)
    driver.front.refuse(Request.SET_MEM_TABLE, mem_table(too_long), [memory.fd])
    driver.front.refuse(Request.ADD_MEM_REG, mem_reg(too_long), [memory.fd])
    driver.share_memory()


# -- a disk ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["memory", "file"])
def test_a_disk(folder, image, ring_kind, where):
    """Its worker copies, or the kernel does; a front-end that comes after finds the disk as it was."""
    words = ["--memory", "4M"] if where == "memory" else ["--blk-file", image]
    data = bytes(range(256)) * 2
    with blk(folder, *words) as prog:
        with guest(prog, ring_kind) as driver:
            driver.write(7, data)
            driver.post(driver.pieces(header(OUT, 9) + data, 1))
            os.ftruncate(driver.memory.fd, 0)
            driver.kick()
            driver.front.wait_dropped()
            prog.wait_said("was truncated by the front-end (SIGBUS)")
        prog.wait_at_rest()
        with guest(prog, ring_kind) as driver:
            assert driver.read(7, 512) == data
