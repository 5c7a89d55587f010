# SPDX-License-Identifier: BSD-3-Clause
"""Postcopy: pages that come when they are asked for, late, or never; and everything out of order."""

import contextlib
import os
import signal
import time

import pytest

from backend import MAIN
from driver import AVAIL_AT, BASIC_FEATURES, BUFFERS_AT, PackedRing, Ring, proves_delivery
from frontend import Feature, FrontEnd, Protocol, Request, bits, make_eventfd, mem_reg, mem_table, state, u64
from lazy import WITH_PAGEFAULT, LazyDriver

FIRST_POLLED = AVAIL_AT  # of ring 0: a poller needs this page, and control does not
PATIENCE = 5  # POSTCOPY_PATIENCE_MS of the library

LAYOUTS = {"split": (Ring, BASIC_FEATURES),
           "packed": (PackedRing, BASIC_FEATURES | bits(Feature.RING_PACKED))}


@pytest.fixture
def lazy(connect):
    """lazy() is a guest that is about to be moved to MAIN."""
    with contextlib.ExitStack() as stack:
        def _lazy(**options) -> LazyDriver:
            made = LazyDriver(connect(), **options)
            stack.callback(made.close)
            return made
        yield _lazy


def is_missing(driver: LazyDriver, page: int) -> bool:
    """Nobody has made this page: not even of zeros."""
    return os.lseek(driver.memory.here, page, os.SEEK_HOLE) == page


# -- pages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_slots", [False, True], ids=["table", "slots"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_pages_come_as_they_are_wanted(back, lazy, layout, in_slots):
    ring_class, features = LAYOUTS[layout]
    driver = lazy(ring_class=ring_class, in_slots=in_slots)
    ring, memory = driver.rings[0], driver.memory
    memory.map[BUFFERS_AT:] = bytes([0xA7]) * (memory.size - BUFFERS_AT)
    ring.post(3)
    driver.start(features)
    assert "still to come" in back.port()["why"]
    assert back.push(0, 2) == 2
    assert 0 < memory.nr_here() == len(memory.delivered) < 12, "pages that nobody needed were made"
    memory.complete()
    driver.end()
    assert back.port()["why"] == "running"
    for slot in range(3):
        at = BUFFERS_AT + slot * 2048 + 12
        assert memory.map[at:at + 60] == (b"\x5a" if slot < 2 else b"\xa7") * 60
    assert memory.map[BUFFERS_AT + 8192:] == bytes([0xA7]) * (memory.size - BUFFERS_AT - 8192)
    proves_delivery(back, driver)


def test_a_poller_waits_for_a_page(bench, back, lazy):
    """For as long as it takes; and meanwhile everybody else is served."""
    driver = lazy()
    driver.rings[0].post(2)
    driver.start()
    driver._may_serve.clear()  # what control read is here, no more
    back.begin("push 0 0 1")
    wait_asked(driver, FIRST_POLLED)
    bench.bystander.front.sync()  # on another port of the same control thread
    driver.front.sync()
    driver.serve()
    assert back.finish("push 0 0 1")["pushed"] == 1


def wait_asked(driver: LazyDriver, page: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while page not in driver.asked:
        assert time.monotonic() < deadline, f"nobody asked for {page:#x}, but {driver.asked}"
        time.sleep(0.005)


# -- front-ends that go ----------------------------------------------------------------------------


def in_another_process(path, report: int, *, holds_ring: bool) -> None:
    """A guest of its own; says R when it waits for its end. Its pages do not come any more then."""
    driver = LazyDriver(FrontEnd.connect(path), serving=not holds_ring)
    driver.rings[0].post(2)
    if not holds_ring:
        driver.start()
        driver._may_serve.clear()
        os.write(report, b"R")
        wait_asked(driver, FIRST_POLLED)
    else:
        driver.negotiate(protocol=WITH_PAGEFAULT)
        driver.share_memory()
        driver.set_up_ring(0, steps="nba")
        for request, payload, fds in ((Request.SET_VRING_ENABLE, state(0, 1), []),
                                      (Request.SET_STATUS, u64(15), []),
                                      (Request.SET_VRING_KICK, u64(0), [make_eventfd()])):
            driver.front.send(request, payload, fds)
        while not driver.asked:
            time.sleep(0.005)
        os.write(report, b"R")
    os.write(report, b"W")
    signal.pause()


@contextlib.contextmanager
def another_process(path, **options):
    """Its id, and a pipe on which it says where it is."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        with contextlib.suppress(BaseException):
            in_another_process(path, write, **options)
        os._exit(1)
    os.close(write)
    try:
        yield pid, read
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read)


def test_killed_while_a_poller_waits(bench, back):
    with another_process(bench.path(MAIN), holds_ring=False) as (pid, said):
        assert os.read(said, 1) == b"R"
        back.wait_stage("running")
        back.begin("push 0 0 1")
        assert os.read(said, 1) == b"W"
        os.kill(pid, signal.SIGKILL)
        back.finish("push 0 0 1")
    back.wait_stage("listening")


def test_killed_while_control_waits(bench, back):
    """Nobody can read the end of the connection then: the thread that watches does."""
    with another_process(bench.path(MAIN), holds_ring=True) as (pid, said):
        assert os.read(said, 1) == b"R"
        begun = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        back.wait_stage("listening")
        assert time.monotonic() - begun < PATIENCE, "it was noticed only by the clock"


def test_gone_with_its_descriptor_kept(back, lazy):
    """Somebody has the userfaultfd still, but nobody serves it."""
    driver = lazy()
    driver.rings[0].post(2)
    driver.start()
    driver._may_serve.clear()
    back.begin("push 0 0 1")
    wait_asked(driver, FIRST_POLLED)
    driver.front.close()
    back.finish("push 0 0 1")
    back.wait_stage("listening")
    assert is_missing(driver, FIRST_POLLED), "zeros of ours are in the guest's memory"


def test_control_does_not_wait_for_ever(back, lazy):
    """A front-end that lives and does not bring a page that control needs is dropped."""
    driver, mark = lazy(serving=False), back.mark()
    driver.negotiate(protocol=WITH_PAGEFAULT)
    driver.share_memory()
    driver.set_up_ring(0, steps="nba")
    driver.front.send(Request.SET_VRING_ENABLE, state(0, 1))
    driver.set_status()
    begun = time.monotonic()
    driver.front.send(Request.SET_VRING_KICK, u64(0), [driver.front.eventfd()])
    driver.front.wait_dropped(4 * PATIENCE)
    assert time.monotonic() - begun >= PATIENCE - 0.5
    assert "did not bring a page of the guest's memory" in back.wait_log("dropped: ", mark)
    back.wait_stage("listening")
    assert driver.memory.nr_here() == 0, "zeros of ours are in the guest's memory"


PHASES = ("connected", "negotiated", "advised", "listening", "told", "acknowledged", "running", "ended")


@pytest.mark.parametrize("in_slots", [False, True], ids=["table", "slots"])
@pytest.mark.parametrize("phase", PHASES)
def test_gone_in_each_phase(back, lazy, phase, in_slots):
    """The fixture looks for what is left, and whether others noticed."""
    driver, front = lazy(in_slots=in_slots), None
    steps = [lambda: None, lambda: driver.negotiate(protocol=WITH_PAGEFAULT), driver.advise, driver.listen,
             driver.send_memory, lambda: (driver._thread.start(), driver.acknowledge()),
             lambda: (driver.set_up_ring(0), driver.set_up_ring(1), driver.enable(), driver.set_status()),
             driver.end]
    for step in steps[:PHASES.index(phase) + 1]:
        step()
    front = driver.front
    front.close()
    back.wait_stage("listening", MAIN)


# -- out of order ----------------------------------------------------------------------------------


def negotiated(lazy, protocol: int = WITH_PAGEFAULT, **options) -> LazyDriver:
    driver = lazy(**options)
    driver.negotiate(protocol=protocol)
    return driver


def test_not_agreed_on(back, lazy):
    driver, mark = negotiated(lazy, WITH_PAGEFAULT & ~bits(Protocol.PAGEFAULT)), back.mark()
    driver.front.refuse(Request.POSTCOPY_LISTEN)
    assert "protocol feature PAGEFAULT was not agreed on" in back.wait_log("refused: ", mark)


def test_listen_without_advise(back, lazy):
    driver, mark = negotiated(lazy), back.mark()
    driver.front.refuse(Request.POSTCOPY_LISTEN)
    assert "POSTCOPY_ADVISE must come before" in back.wait_log("refused: ", mark)


@pytest.mark.parametrize("advised", [False, True], ids=["bare", "advised"])
def test_end_without_listen(back, lazy, advised):
    driver, mark = negotiated(lazy), back.mark()
    if advised:
        driver.advise()
    driver.front.refuse(Request.POSTCOPY_END)
    assert "POSTCOPY_LISTEN must come before" in back.wait_log("refused: ", mark)


def test_a_second_advise(back, lazy):
    """QEMU sends one for each queue pair; it must fail before the guest has left where it was."""
    driver, mark = negotiated(lazy), back.mark()
    driver.advise()
    driver.front.send(Request.POSTCOPY_ADVISE)
    driver.front.wait_dropped()
    assert "more than one queue pair" in back.wait_log("refused: ", mark)


def test_a_second_listen(back, lazy):
    driver, mark = negotiated(lazy), back.mark()
    driver.advise()
    driver.listen()
    driver.front.refuse(Request.POSTCOPY_LISTEN)
    assert "it came before" in back.wait_log("refused: ", mark)


def test_listen_with_memory_there(back, lazy):
    driver, mark = negotiated(lazy), back.mark()
    driver.front.do(Request.SET_MEM_TABLE, driver.memory.table(), [driver.memory.here])
    driver.advise()
    driver.front.refuse(Request.POSTCOPY_LISTEN)
    assert "memory is shared already" in back.wait_log("refused: ", mark)


def test_overlapping_regions(back, lazy):
    driver, mark = negotiated(lazy), back.mark()
    driver.advise()
    driver.listen()
    one, fd = driver.memory.region(), driver.memory.here
    driver.front.refuse(Request.SET_MEM_TABLE, mem_table(one, one), [fd, fd])
    assert "two regions overlap" in back.wait_log("refused: ", mark)
    driver.send_memory()  # and the right one is taken


@pytest.mark.parametrize("in_slots", [False, True], ids=["table", "slots"])
def test_no_acknowledgement(back, lazy, in_slots):
    driver, mark = negotiated(lazy, in_slots=in_slots), back.mark()
    driver.advise()
    driver.listen()
    driver.send_memory()
    assert driver.front.ack(Request.SET_VRING_NUM, state(0, 256)) == 1
    assert "must first acknowledge" in back.wait_log("refused: ", mark)
    assert back.port()["nr_regions"] == 0, "memory is used that nobody brings pages of"
    assert "SET_VRING_NUM: the front-end must first acknowledge" in back.port()["why"]
    driver.acknowledge()
    driver.front.sync()
    assert back.port()["nr_regions"] == 1


def test_an_acknowledgement_that_says_no(back, lazy):
    driver, mark = negotiated(lazy), back.mark()
    driver.advise()
    driver.listen()
    driver.send_memory()
    driver.acknowledge(1)
    driver.front.wait_dropped()
    assert "cannot bring pages" in back.wait_log("refused: ", mark)


def test_regions_one_after_the_other(back, lazy):
    """One acknowledgement for all; the same region again, as for a second pair; and one that goes."""
    driver = negotiated(lazy, in_slots=True)
    memory, front, half = driver.memory, driver.front, driver.memory.size // 2
    driver.advise()
    driver.listen()
    replies = []
    for start in (0, half, half):
        front.send(Request.ADD_MEM_REG, memory.reg(start, half), [memory.here])
        replies.append(front.read_reply(Request.ADD_MEM_REG))
    assert replies[1] == replies[2] != replies[0]
    assert back.port()["nr_regions"] == 0
    driver.acknowledge()
    front.sync()
    assert back.port()["nr_regions"] == 2
    front.send(Request.REM_MEM_REG, memory.reg(half, half))
    front.send(Request.REM_MEM_REG, u64(0))
    front.sync()
    assert back.port()["nr_regions"] == 1
    driver.end()


def test_nothing_new_is_acknowledged_as_request_0(back, lazy):
    """QEMU's last request was none, where memory has not changed since the ring stopped."""
    driver = negotiated(lazy)
    driver.advise()
    driver.listen()
    driver.front.send(0, u64(0))
    driver.front.sync()
    driver.end()
    driver.front.send(0, u64(0))
    driver.front.wait_dropped()


def test_a_region_of_another_kind(back, lazy):
    """The kernel reports missing pages of memory files only."""
    driver, mark = negotiated(lazy), back.mark()
    driver.advise()
    driver.listen()
    path = os.path.join(os.environ["VHOSTX_BUILD"], "postcopy-test-memory")
    fd = driver.front.own(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    os.unlink(path)
    os.ftruncate(fd, driver.memory.size)
    if driver.front.ack(Request.ADD_MEM_REG, mem_reg(driver.memory.region()), [fd]) == 0:
        pytest.skip("the build folder is in memory")
    assert "give the VM -object memory-backend-memfd" in back.wait_log("refused: ", mark)
