# SPDX-License-Identifier: BSD-3-Clause
"""Why is my link down? The stage and the sentence, at each step and for each usual mistake."""

import os
import re
import struct

import pytest

from backend import MAIN
from driver import ALL_PROTOCOL, BASIC_FEATURES, MEMORY_SIZE, NO_STATUS, READY, USER_BASE
from frontend import NOFD, Listener, Request, Status, addr, bits, mem_reg, mem_table, region
from frontend import state, u64

SHARE_OPTION = "share=on"
SINGLE_FILE_OPTION = "--single-file-segments"


def why(back, port: int = MAIN) -> tuple[str, str]:
    seen = back.port(port)
    return seen["stage"], seen["why"]


def assert_why(back, stage: str, *parts: str) -> None:
    """The stage, and a sentence in which all of these occur."""
    seen_stage, sentence = why(back)
    assert seen_stage == stage, sentence
    for part in parts:
        assert part in sentence


# -- each step of a set-up that goes well ----------------------------------------------------------


def test_listening(back, bench):
    assert_why(back, "listening", "waiting for a front-end to connect to", str(bench.path(MAIN)))


def test_connected(front, back):
    front.sync()
    assert_why(back, "connected", f"process {os.getpid()}", "has not agreed on features")


def test_features(driver, back):
    driver.negotiate()
    assert_why(back, "features", "has not shared the guest's memory")


def test_memory(driver, back):
    driver.negotiate()
    driver.share_memory()
    assert_why(back, "memory", "0 of 4 rings", "is the driver in the guest loaded")


@pytest.mark.parametrize("steps, lacks", [("", "SET_VRING_NUM"), ("n", "SET_VRING_ADDR"),
                                          ("nba", "SET_VRING_KICK")])
def test_what_a_ring_lacks(driver, back, steps, lacks):
    driver.negotiate()
    driver.share_memory()
    driver.set_up_ring(0, steps=steps)
    assert_why(back, "memory", "ring 0 still lacks", lacks)


def test_rings(driver, back):
    driver.negotiate()
    driver.share_memory()
    driver.set_up_ring(0)
    assert_why(back, "rings", "1 of 4 rings", "ring 1 still lacks", "SET_VRING_NUM")


@pytest.mark.parametrize("ring", [0, 1])
def test_not_enabled(driver, back, ring):
    driver.start()
    driver.front.do(Request.SET_VRING_ENABLE, state(ring, 0))
    assert_why(back, "rings", f"ring {ring} is set up but not enabled", "SET_VRING_ENABLE")


def test_driver_not_ready(driver, back):
    driver.start()
    driver.set_status(READY & ~Status.DRIVER_OK)
    assert_why(back, "enabled", "0x0b lacks DRIVER_OK")


def test_an_obstacle_that_is_no_more(driver, back):
    """The rings' memory went and came again, and the driver went meanwhile: that is what it waits for now."""
    driver.start(protocol=ALL_PROTOCOL)
    driver.front.do(Request.REM_MEM_REG, driver.memory.reg())
    assert_why(back, "memory", "lies in no memory region")
    driver.set_status(READY & ~Status.DRIVER_OK)
    driver.share_memory()
    assert_why(back, "enabled", "lacks DRIVER_OK")


def test_running(driver, back):
    driver.start()
    assert why(back) == ("running", "running")


def test_running_with_a_broken_ring(driver, back):
    driver.start()
    driver.rings[0].set_avail_idx(300)
    back.push(0)
    assert_why(back, "running", "ring 0 is stopped", "more entries",
               "reload the driver")


def test_running_and_nobody_home(driver, back):
    """Everything was agreed on and the rings stay empty: private memory looks like this, too."""
    driver.start()
    assert why(back) == ("running", "running")
    back.wait_log("port0: running: running, but", back.mark(), seconds=10)
    assert_why(back, "running", "has posted no buffers", SHARE_OPTION)
    driver.rings[0].post()
    assert why(back) == ("running", "running")


def test_stopped_by_the_guest(driver, back):
    driver.start()
    driver.front.ask_base(0)
    driver.front.ask_base(1)
    assert_why(back, "memory", "0 of 4 rings")


def test_every_change_is_logged_once(make_driver, back):
    mark = back.mark()
    make_driver().start().front.close()
    back.wait_stage("listening")
    stages = re.findall(r"^log (?:info|notice) port0: (\w+): ", back.log(mark), re.M)
    order = ["connected", "features", "memory", "rings", "enabled", "running", "listening"]
    assert sorted(set(stages), key=order.index) == order
    assert [stage for at, stage in enumerate(stages) if at == 0 or stages[at - 1] != stage] == order
    assert back.log(mark).count("log notice port0: running: running") == 1


def test_application_hears_of_it(driver, back):
    mark = back.mark()
    driver.start()
    assert back.wait_log("event port0 running 1", mark).count("event port0 running 1") == 1
    driver.front.close()
    seen = back.wait_log("event port0 running 0", mark)
    for ring in range(2):
        assert f"event port0 queue {ring} usable 1" in seen
        assert f"event port0 queue {ring} usable 0" in back.wait_log(f"queue {ring} usable 0", mark)


# -- memory that is not shared ---------------------------------------------------------------------

# (what the front-end sends, does it ask for an acknowledgement)
answered_or_not = pytest.mark.parametrize("need_reply", [False, True], ids=["plain", "need_reply"])


def refused(back, driver, need_reply: bool, request: int, payload: bytes, fds) -> str:
    """Send what must be refused; the sentence a person then reads."""
    driver.negotiate(protocol=NO_STATUS)
    driver.front.send(request, payload, fds, need_reply)
    if need_reply:
        assert driver.front.read_reply(request) == u64(1)
    else:
        driver.front.wait_dropped()
        back.wait_stage("listening")
    return why(back)[1]


@answered_or_not
def test_memory_without_descriptors(driver, back, need_reply):
    """share=off: QEMU sends a table without descriptors, or an older one none at all."""
    seen = refused(back, driver, need_reply, Request.SET_MEM_TABLE, driver.memory.table(), [])
    assert "not shared" in seen
    assert SHARE_OPTION in seen and SINGLE_FILE_OPTION in seen


@answered_or_not
def test_table_with_too_small_a_file(driver, back, need_reply):
    table = mem_table(driver.memory.region(0, MEMORY_SIZE + 4096))
    seen = refused(back, driver, need_reply, Request.SET_MEM_TABLE, table, [driver.memory.fd])
    assert "too small" in seen and SHARE_OPTION in seen


@answered_or_not
def test_region_with_too_small_a_file(driver, back, need_reply):
    payload = driver.memory.reg(0, MEMORY_SIZE + 4096)
    seen = refused(back, driver, need_reply, Request.ADD_MEM_REG, payload, [driver.memory.fd])
    assert "too small" in seen and SHARE_OPTION in seen


@answered_or_not
def test_memory_that_cannot_be_mapped(driver, back, need_reply):
    fd = driver.front.own(os.open(f"/proc/self/fd/{driver.memory.fd}", os.O_RDONLY))
    seen = refused(back, driver, need_reply, Request.SET_MEM_TABLE, driver.memory.table(), [fd])
    assert "mmap failed" in seen and SHARE_OPTION in seen


def test_a_refusal_is_forgotten_when_memory_came(driver, back):
    refused(back, driver, True, Request.SET_MEM_TABLE, driver.memory.table(), [])
    driver.share_memory()
    assert_why(back, "memory", "0 of 4 rings")


def set_up_elsewhere(driver, address: int) -> None:
    """Ring 0 at an address of the front-end's that no region covers."""
    front = driver.front
    front.do(Request.SET_VRING_NUM, state(0, 256))
    front.ack(Request.SET_VRING_ADDR, addr(0, address, address + 8192, address + 4096))
    front.ack(Request.SET_VRING_KICK, u64(NOFD))


def test_ring_outside_all_memory(driver, back):
    driver.negotiate(protocol=NO_STATUS)
    driver.share_memory()
    set_up_elsewhere(driver, USER_BASE + 16 * MEMORY_SIZE)
    driver.enable()
    assert_why(back, "memory", "ring 0: descriptor ring address 0x7f0002000000",
               "lies in no memory region", SHARE_OPTION)


@pytest.mark.parametrize("part", ["descriptor", "available", "used"])
def test_which_part_of_the_ring(driver, back, part):
    driver.negotiate(protocol=NO_STATUS)
    driver.share_memory()
    fields = list(struct.unpack("=IIQQQQ", driver.rings[0].addr()))
    fields[{"descriptor": 2, "used": 3, "available": 4}[part]] = 0x1230
    driver.set_up_ring(0, steps="nbk")
    driver.front.do(Request.SET_VRING_ENABLE, state(0, 1))
    driver.front.ack(Request.SET_VRING_ADDR, struct.pack("=IIQQQQ", *fields))
    assert_why(back, "memory", f"ring 0: {part} ring address 0x1230")


def test_ring_lost_its_memory(driver, back):
    """The region was removed under a running ring."""
    driver.start()
    driver.front.do(Request.ADD_MEM_REG, mem_reg(region(0x5000_0000, 4096, 0x5000_0000)),
                    [driver.memory.fd])
    driver.front.do(Request.REM_MEM_REG, driver.memory.reg())
    assert_why(back, "memory", "ring 0", "lies in no memory region")


# -- front-ends that were dropped ------------------------------------------------------------------


def test_why_the_last_one_was_dropped(front, back, bench):
    front.send(Request.SET_FEATURES, u64(BASIC_FEATURES | bits(63)))
    front.wait_dropped()
    back.wait_stage("listening")
    assert_why(back, "listening", "the last front-end was dropped",
               "SET_FEATURES: bit63 was not offered", "waiting for a front-end to connect to")


def test_the_next_one_makes_that_history(front, connect, back):
    front.send(Request.SET_FEATURES, u64(BASIC_FEATURES | bits(63)))
    front.wait_dropped()
    connect(MAIN).sync()
    assert_why(back, "connected")
    assert "dropped" not in why(back)[1]


def test_leaving_is_no_fault(connect, back):
    front = connect(MAIN)
    front.sync()
    front.close()
    back.wait_stage("listening")
    assert "dropped" not in why(back)[1]


def test_too_many_queues(driver, back):
    """The front-end has more queue pairs than the port: the sentence says what to change."""
    driver.negotiate(protocol=ALL_PROTOCOL)
    driver.front.send(Request.SET_VRING_NUM, state(4, 256))
    driver.front.wait_dropped()
    back.wait_stage("listening")
    assert_why(back, "listening", "ring 4", "rings 0...3", "give the port more queues")


# -- the client role -------------------------------------------------------------------------------


def test_client_without_a_listener(other_backend, folder):
    back = other_backend(f"client:2:{folder / 'sock'}")
    assert_why(back, "listening", str(folder / "sock"), "No such file", "server=on", "retrying")


def test_client_that_found_its_listener(other_backend, folder):
    back = other_backend(f"client:2:{folder / 'sock'}")
    listener = Listener(folder / "sock")
    front = listener.accept()
    front.sync()
    assert_why(back, "connected", "has not agreed on features")
    front.close()
    listener.close()
    back.wait_stage("listening")


def test_client_at_a_file_that_is_no_socket(other_backend, folder):
    path = folder / "file"
    path.write_text("not a socket", encoding="ascii")
    back = other_backend(f"client:2:{path}")
    assert_why(back, "listening", "it is not a socket")
    assert path.read_text(encoding="ascii") == "not a socket"
