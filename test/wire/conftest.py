# SPDX-License-Identifier: BSD-3-Clause
"""Wire-level tests: pytest is the front-end, one small process is the back-end.

The process has several ports and serves all tests. On port OTHER a front-end stays attached all the
time. After each test nothing of it may be left (descriptors, mappings), and the other port must
still deliver packets.
"""

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

import scsi
from backend import KIND, MAIN, NR_RINGS, OTHER, BackEnd
from disk import KINDS, blk, guest, make_image
from driver import MEMORY_NAME, Driver, proves_delivery
from frontend import FrontEnd
from traffic import Traffic


def backend_program() -> Path:
    program = Path(os.environ["VHOSTX_BUILD"]) / "test" / "wire" / "backend"
    if not program.exists():
        pytest.fail(f"{program} is not built: meson setup build && ninja -C build", pytrace=False)
    return program


@pytest.fixture(scope="session")
def session_folder():
    """Sockets and logs; short, because a socket's path ends at 107 bytes."""
    made = Path(tempfile.mkdtemp(prefix="vhx-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


class Bench:
    """The shared back-end with its bystander, and what it holds when nobody else is attached."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.back = self.bystander = None
        self.generation = 0

    def path(self, port: int) -> Path:
        return self.folder / f"{self.generation}-{port}.sock"

    def start(self) -> None:
        self.generation += 1
        ports = [f"{KIND.get(port, 'server')}:{nr}:{self.path(port)}"
                 for port, nr in NR_RINGS.items()]
        self.back = BackEnd(backend_program(), self.folder / f"{self.generation}.log", *ports)
        self.bystander = Driver(FrontEnd.connect(self.path(OTHER))).start()
        self.nr_fds = self.back.nr_fds()
        self.nr_mappings = self.back.nr_mappings(MEMORY_NAME)

    def stop(self) -> int:
        self.bystander.close()
        return self.back.stop()

    def check_nothing_left(self) -> None:
        for port in set(NR_RINGS) - {OTHER}:
            self.back.wait_stage("listening", port)
        # The end of a connection is heard a moment before its descriptor is gone.
        deadline = time.monotonic() + 2
        while self.back.nr_fds() != self.nr_fds and time.monotonic() < deadline:
            time.sleep(0.002)
        assert self.back.nr_fds() == self.nr_fds, "descriptors were left open"
        assert self.back.nr_mappings(MEMORY_NAME) == self.nr_mappings, "memory was left mapped"

    def check_bystander(self) -> None:
        seen = self.back.port(OTHER)
        state = (seen["stage"], seen["nr_connects"])
        assert state == ("running", 1), f"another port was disturbed: {state}"
        proves_delivery(self.back, self.bystander, OTHER)


@pytest.fixture(scope="session")
def bench(session_folder):
    made = Bench(session_folder)
    made.start()
    yield made
    code = made.stop()
    assert code == 0, made.back.explain("did not end well")


@pytest.fixture
def back(bench):
    """The back-end. A test that does it harm fails, and the next one gets a new process."""
    yield bench.back
    try:
        assert bench.back.is_alive(), bench.back.explain("died")
        bench.check_nothing_left()
        bench.check_bystander()
    except AssertionError:
        bench.stop()
        bench.start()
        raise


@pytest.fixture
def bystander(bench, back):
    """bystander.stands(fault): what fault() does to a port is not noticed at another one, under traffic."""
    traffic = Traffic(back, bench.bystander, OTHER)
    yield traffic
    if back.is_alive():
        traffic.stop()


@pytest.fixture
def connect(bench, back):
    """connect() is a new connection to MAIN, connect(WIDE) to that port; closed after the test."""
    opened: list[FrontEnd] = []

    def _connect(port: int = MAIN) -> FrontEnd:
        opened.append(FrontEnd.connect(bench.path(port)))
        return opened[-1]

    yield _connect
    for front in opened:
        front.close()


@pytest.fixture
def front(connect):
    return connect()


@pytest.fixture
def make_driver(connect):
    """make_driver() is a guest on a new connection to MAIN, not started yet."""
    made: list[Driver] = []

    def _make(port: int = MAIN, nr_rings: int = 2, **options) -> Driver:
        made.append(Driver(connect(port), nr_rings, **options))
        return made[-1]

    yield _make
    for driver in made:
        driver.close()


@pytest.fixture
def driver(make_driver):
    return make_driver()


@pytest.fixture
def other_backend(session_folder):
    """other_backend("client:2:/path") is a process of the test's own; it must end well."""
    made: list[BackEnd] = []

    def _make(*ports: str) -> BackEnd:
        log = session_folder / f"own-{len(list(session_folder.iterdir()))}.log"
        made.append(BackEnd(backend_program(), log, *ports))
        return made[-1]

    yield _make
    for back in made:
        code = back.stop()
        assert code == 0, back.explain("did not end well")


@pytest.fixture
def folder():
    made = Path(tempfile.mkdtemp(prefix="vhx-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


# -- a disk ----------------------------------------------------------------------------------------


@pytest.fixture
def image(folder):
    """The disk's file, 4 MiB of anything."""
    make_image(folder / "image", 4 << 20)
    return folder / "image"


@pytest.fixture(params=KINDS)
def ring_kind(request):
    return request.param


@pytest.fixture
def disk(folder, image, ring_kind):
    """A driver on it, with either kind of ring."""
    with blk(folder, "--blk-file", image) as prog, guest(prog, ring_kind) as driver:
        driver.prog, driver.image = prog, image
        yield driver


# -- disks behind a SCSI host ----------------------------------------------------------------------


@pytest.fixture
def images(folder):
    """The disks' files, of random bytes."""
    made = [folder / "first", folder / "second"]
    for path, size in zip(made, scsi.SIZES):
        make_image(path, size)
    return made


@pytest.fixture
def disks(folder, images, ring_kind):
    """A driver with both."""
    with scsi.program_on(folder, images) as prog, scsi.driver_on(prog, ring_kind) as driver:
        driver.prog, driver.files = prog, images
        yield driver
