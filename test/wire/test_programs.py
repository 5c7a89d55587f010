# SPDX-License-Identifier: BSD-3-Clause
"""What is written on the interface for devices of one's own: the examples, and the switch."""

import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from driver import BUFFERS_AT, BUFFER_SIZE, DESC_F_WRITE, READY, Driver, PackedRing, Ring
from frontend import Feature, FrontEnd, Status, bits, eventfd_count
from programs import program, running, wait_for

ECHO = program("doc", "echo")
ENTROPY = program("doc", "entropy")
EXAMPLES = Path(__file__).parents[2] / "doc" / "examples"
SWITCH = program("app", "vhostx-net")
BASE = bits(Feature.VERSION_1, Feature.PROTOCOL_FEATURES)
HEADER = bytes(10) + b"\1\0"
RX, TX = 0, 1

KINDS = {
    "split": (BASE, Ring),
    "packed": (BASE | bits(Feature.RING_PACKED), PackedRing),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def guests():
    """guests(path, nr_rings, kind) starts one; guests.new(path, nr_rings, ring_class) does not start it yet."""
    made: list[Driver] = []

    def _new(path, nr_rings: int, ring_class: type) -> Driver:
        made.append(Driver(FrontEnd.connect(path), nr_rings, ring_class=ring_class))
        return made[-1]

    def _make(path, nr_rings: int, kind: tuple) -> Driver:
        features, ring_class = kind
        return _new(path, nr_rings, ring_class).start(features)

    _make.new = _new
    yield _make
    for driver in made:
        driver.close()


def kick(driver: Driver, ring: int) -> None:
    os.eventfd_write(driver.rings[ring].kick, 1)


def write(driver: Driver, place: int, data: bytes) -> int:
    """Into the guest's memory, beside the buffers of its rings; the guest address."""
    at = BUFFERS_AT + 300 * BUFFER_SIZE + place * BUFFER_SIZE
    driver.memory.map[at:at + len(data)] = data
    return driver.memory.guest + at


def read(driver: Driver, guest: int, length: int) -> bytes:
    at = guest - driver.memory.guest
    return driver.memory.map[at:at + length]


# -- the examples ----------------------------------------------------------------------------------


def test_echo(folder, guests, kind):
    with running(ECHO, folder / "echo"):
        driver = guests(folder / "echo", 1, kind)
        for number, length in enumerate([1, 60, 700, 1500]):
            words = os.urandom(length)
            question, answer = write(driver, 0, words), write(driver, 2, bytes(length))
            half = length // 2
            driver.rings[0].post_chain([
                (question, half, 0), (question + half, length - half, 0),
                (answer, length - half, DESC_F_WRITE), (answer + length - half, half, DESC_F_WRITE)])
            kick(driver, 0)
            wait_for(lambda: driver.rings[0].used_idx() == number + 1)
            assert driver.rings[0].used(number)[1] == length
            assert read(driver, answer, length) == words
        assert eventfd_count(driver.rings[0].call) > 0


@contextmanager
def until_killed(path: Path):
    """The source of random bytes, which knows no other end."""
    process = subprocess.Popen([ENTROPY, path])
    try:
        # A socket that an earlier one left there listens no more.
        wait_for(lambda: listens(path) or process.poll() is not None)
        yield process
    finally:
        process.terminate()
        assert process.wait(10) == -signal.SIGTERM


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return path.exists() and probe.connect_ex(str(path)) == 0


@pytest.fixture
def entropy(folder):
    with until_killed(folder / "entropy"):
        yield folder / "entropy"


def test_entropy(entropy, guests, kind):
    """Room of any size and in any pieces is filled up to 256 bytes; the rest of it stays as it is."""
    driver = guests(entropy, 1, kind)
    answers = set()
    for number, (first, second) in enumerate([(64, 0), (1, 6), (16, 48), (200, 56), (200, 57), (1500, 0)]):
        room, more = write(driver, 0, bytes(1500)), write(driver, 2, bytes(1500))
        pieces = [(room, first, DESC_F_WRITE), (more, second, DESC_F_WRITE)]
        driver.rings[0].post_chain(pieces if second else pieces[:1])
        kick(driver, 0)
        wait_for(lambda: driver.rings[0].used_idx() == number + 1)
        length = min(first + second, 256)
        assert driver.rings[0].used(number)[1] == length
        both = read(driver, room, first) + read(driver, more, second)
        assert not any(both[length:])
        if length > 32:  # so many zeros at the end, or the same twice, do not come by chance
            assert any(both[length - 16:length])
            answers.add(both[:length])
    assert len(answers) == 5
    assert eventfd_count(driver.rings[0].call) > 0


def asks_once(driver) -> None:
    room = write(driver, 0, bytes(8))
    driver.rings[0].post_chain([(room, 8, DESC_F_WRITE)])
    kick(driver, 0)


def test_entropy_for_qemu(entropy, guests, kind):
    """QEMU's code for small devices agrees on STATUS and never says DRIVER_OK: an enabled ring counts.

    Who has said it once is taken at its word.
    """
    features, ring_class = kind
    driver = guests.new(entropy, 1, ring_class)
    driver.negotiate(features)
    driver.set_status(Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK)
    driver.share_memory()
    driver.set_up_ring(0)
    asks_once(driver)
    time.sleep(0.1)
    assert driver.rings[0].used_idx() == 0, "the ring is not enabled"
    driver.enable()
    wait_for(lambda: driver.rings[0].used_idx() == 1)
    driver.set_status(READY)
    driver.set_status(0)
    asks_once(driver)
    time.sleep(0.1)
    assert driver.rings[0].used_idx() == 1, "the driver has gone"
    driver.set_status(READY)
    wait_for(lambda: driver.rings[0].used_idx() == 2)


def processor_seconds(process: subprocess.Popen) -> float:
    words = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_entropy_sleeps_through_kicks_of_a_ring_that_is_off(folder, guests, kind):
    with until_killed(folder / "entropy") as process:
        driver = guests(folder / "entropy", 1, kind)
        driver.enable(0)
        asks_once(driver)
        before = processor_seconds(process)
        time.sleep(0.5)
        assert processor_seconds(process) - before < 0.2
        driver.enable()
        wait_for(lambda: driver.rings[0].used_idx() == 1)


def test_entropy_without_room(entropy, guests, kind):
    """A driver that asks for nothing gets nothing, and is served when it asks for more."""
    driver = guests(entropy, 1, kind)
    question = write(driver, 0, b"anything")
    driver.rings[0].post_chain([(question, 8, 0)])
    driver.rings[0].post_chain([(question, 8, DESC_F_WRITE)])
    kick(driver, 0)
    wait_for(lambda: driver.rings[0].used_idx() == 2)
    assert [driver.rings[0].used(number)[1] for number in (0, 1)] == [0, 8]


def test_entropy_replaces_what_a_killed_one_left(folder, guests, kind):
    with until_killed(folder / "entropy"):
        pass
    assert (folder / "entropy").exists()
    with until_killed(folder / "entropy"):
        test_entropy(folder / "entropy", guests, kind)


@pytest.mark.parametrize("name, nr_lines", [("echo", 60), ("entropy", 45)])
def test_example_is_short(name, nr_lines):
    """What an example promises: a whole program that fits on a page."""
    assert (EXAMPLES / f"{name}.c").read_text(encoding="utf-8").count("\n") <= nr_lines


@pytest.mark.parametrize("example", [ECHO, ENTROPY], ids=lambda path: path.name)
def test_example_says_how_it_is_used(example):
    done = subprocess.run([example], capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stderr) == (2, f"usage: {example.name} SOCKET\n")


# -- the switch ------------------------------------------------------------------------------------


class Station:
    """A guest on a port of the switch."""

    def __init__(self, driver: Driver, number: int):
        self.driver = driver
        self.mac = bytes([0x52, 0x54, 0, 0, 0, number])
        self.nr_sent = self.nr_heard = 0
        driver.rings[RX].post(64)

    def send(self, to: bytes, words: bytes) -> bytes:
        frame = to + self.mac + b"\x88\xb5" + words
        packet = write(self.driver, self.nr_sent % 8, HEADER + frame)
        self.driver.rings[TX].post_chain([(packet, len(HEADER), 0),
                                          (packet + len(HEADER), len(frame), 0)])
        kick(self.driver, TX)
        self.nr_sent += 1
        wait_for(lambda: self.driver.rings[TX].used_idx() == self.nr_sent)
        return frame

    def hear(self) -> bytes:
        ring = self.driver.rings[RX]
        wait_for(lambda: ring.used_idx() > self.nr_heard)
        slot, length = ring.used(self.nr_heard)
        self.nr_heard += 1
        packet = read(self.driver, self.driver.memory.guest + BUFFERS_AT + slot * BUFFER_SIZE, length)
        assert packet[:12] == HEADER
        return packet[12:]

    def has_heard_nothing(self) -> bool:
        return self.driver.rings[RX].used_idx() == self.nr_heard


EVERYBODY = b"\xff" * 6


def test_switch_learns(folder, guests, kind):
    sockets = [folder / name for name in "abc"]
    with running(SWITCH, *sockets):
        # One of the other kind among them: nobody can tell.
        kinds = [kind, KINDS["split"], kind]
        a, b, c = [Station(guests(path, 2, which), number)
                   for number, (path, which) in enumerate(zip(sockets, kinds))]
        frame = a.send(b.mac, b"is anybody there?")  # nobody knows where b is
        assert b.hear() == frame and c.hear() == frame
        frame = b.send(a.mac, b"only for you")
        assert a.hear() == frame
        frame = a.send(b.mac, os.urandom(1500))
        assert b.hear() == frame
        frame = c.send(EVERYBODY, b"to all")
        assert a.hear() == frame and b.hear() == frame
        assert c.has_heard_nothing()
        a.send(a.mac, b"to myself")
        frame = a.send(EVERYBODY, b"the last")
        assert b.hear() == frame and c.hear() == frame
        assert a.has_heard_nothing()


def test_switch_goes_on_without_one(folder, guests, kind):
    sockets = [folder / name for name in "ab"]
    with running(SWITCH, *sockets):
        a, b = [Station(guests(path, 2, kind), number) for number, path in enumerate(sockets)]
        b.driver.front.close()
        a.send(EVERYBODY, b"lost")
        again = Station(guests(sockets[1], 2, kind), 7)
        frame = a.send(EVERYBODY, b"heard")
        # What was sent before it came may still be on its way to nobody.
        assert again.hear() == frame
        # The switch holds no request of a's, so that its rings stop at once.
        a.driver.front.ask_base(TX)
        a.driver.front.ask_base(RX)


def test_switch_refuses_what_is_no_frame(folder, guests):
    sockets = [folder / name for name in "ab"]
    with running(SWITCH, *sockets):
        a, b = [Station(guests(path, 2, KINDS["split"]), number)
                for number, path in enumerate(sockets)]
        short = write(a.driver, 0, HEADER + bytes(13))
        for length in (1, 11, 12, 25):
            a.driver.rings[TX].post_chain([(short, length, 0)])
            a.nr_sent += 1
        a.driver.rings[TX].post_chain([(short, 25, DESC_F_WRITE)])
        long = a.driver.memory.guest + BUFFERS_AT  # a jumbo frame with a VLAN tag, and a byte more
        a.driver.memory.map[BUFFERS_AT:BUFFERS_AT + 18] = HEADER + EVERYBODY
        a.driver.rings[TX].post_chain([(long, len(HEADER) + 9235, 0)])
        a.nr_sent += 2
        frame = a.send(EVERYBODY, b"")
        assert b.hear() == frame and b.has_heard_nothing()


@pytest.mark.parametrize("words, code, said", [
    ([], 2, "name 2 to 64 sockets to join"),
    (["/tmp/one"], 2, "name 2 to 64 sockets to join"),
    (["--nonsense", "a", "b"], 2, "unrecognized option"),
    (["/nonexistent/a", "/nonexistent/b"], 1, "the directory does not exist"),
])
def test_switch_says_what_to_do(words, code, said):
    done = subprocess.run([SWITCH, *words], capture_output=True, text=True, timeout=10)
    assert done.returncode == code
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_switch_helps():
    done = subprocess.run([SWITCH, "--help"], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: vhostx-net [--client] SOCKET SOCKET...\n")
