# SPDX-License-Identifier: BSD-3-Clause
"""vhostx-blk as a program: its command line, its sockets, how it ends, and how another one goes on."""

import json
import os
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from disk import BLK, IN, KINDS, OK, OUT, PROTOCOL, SECTOR, UNTOUCHED, Below, BlkDriver, BlkProgram, blk, guest
from disk import part, some_bytes
from frontend import REPLY_SECONDS, FrontEnd, Request, inflight, state
from programs import wait_for

NO_OVERRIDE = "-dac_override,-dac_read_search"
LIKE_NOBODY = ["setpriv", f"--bounding-set={NO_OVERRIDE}", f"--inh-caps={NO_OVERRIDE}"]


def run(*words, prefix=(), **options) -> subprocess.CompletedProcess:
    return subprocess.run([*prefix, BLK, *words], capture_output=True, text=True, timeout=20,
                          stdin=subprocess.DEVNULL, check=False, **options)


def refused(done: subprocess.CompletedProcess, code: int, said: str) -> None:
    """One sentence that says who speaks and what is wrong."""
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("vhostx-blk: ") and done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr
    assert done.stdout == ""


# -- the command line ------------------------------------------------------------------------------

WRONG = {
    "nothing": ([], "--socket-path PATH or --fd N"),
    "no disk": (["--socket-path", "SOCKET"], "--blk-file FILE or --memory SIZE"),
    "no socket": (["--memory", "1M"], "--socket-path PATH or --fd N"),
    "two places": (["--socket-path", "SOCKET", "--fd", "3", "--memory", "1M"], "--socket-path PATH or --fd N"),
    "two kinds of disk": (["--socket-path", "SOCKET", "--blk-file", "IMAGE", "--memory", "1M"], "or --memory SIZE"),
    "two files": (["--socket-path", "SOCKET", "--blk-file", "IMAGE", "--blk-file", "IMAGE"], "one --blk-file too many"),
    "unknown option": (["--nonsense"], "--nonsense"),
    "unknown letters": (["-xy"], "-xy"),
    "value for none": (["--read-only=yes"], "--read-only=yes"),
    "no value": (["--memory", "1M", "--socket-path"], "missing after: --socket-path"),
    "stray word": (["--memory", "1M", "--socket-path", "SOCKET", "stray"], "what is this: stray"),
    **{f"--num-queues {value!r}": (["--num-queues", value], "--num-queues must be 1 to 128")
       for value in ("0", "129", "-1", "x", "", "4x", "99999999999999999999", "1.5")},
    **{f"--poll-us {value!r}": (["--poll-us", value], "--poll-us must be") for value in ("-1", "1000001", "x", "")},
    **{f"--fd {value!r}": (["--fd", value], "--fd must be") for value in ("-1", "x", "", "4294967296")},
    **{f"--memory {value!r}": (["--memory", value], "--memory must be a size")
       for value in ("0", "-1", "x", "", "1X", "1MM", "M", "16777216T", "99999999999999999999")},
}


@pytest.mark.parametrize("words, said", WRONG.values(), ids=WRONG)
def test_command_line(folder, image, words, said):
    names = {"SOCKET": str(folder / "disk.sock"), "IMAGE": str(image)}
    refused(run(*[names.get(word, word) for word in words]), 2, said)
    assert os.listdir(folder) == ["image"]


def test_images_that_are_none(folder, image):
    (folder / "empty").touch()
    (folder / "odd").write_bytes(bytes(1000))
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    before = sorted(os.listdir(folder))
    for name, said in (("missing", "No such file or directory; make it first, for example: truncate"),
                       ("empty", "it is empty"), ("odd", "its 1000 bytes are not a multiple of 512"),
                       ("folder", "Is a directory"), ("fifo", "neither a file nor a block device"),
                       ("missing/image", "No such file"), ("image/image", "Not a directory")):
        for read_only in ([], ["--read-only"]):
            said = "neither a file nor" if read_only and name == "folder" else said
            done = run("--socket-path", folder / "disk.sock", "--blk-file", folder / name, *read_only)
            refused(done, 1, f"{folder / name}: ")
            assert said in done.stderr
    refused(run("--socket-path", folder / "disk.sock", "--blk-file", "/dev/null"), 1, "neither a file nor")
    assert sorted(os.listdir(folder)) == before


def test_image_of_somebody_else(folder, image):
    prefix = LIKE_NOBODY if os.geteuid() == 0 else []
    where = ["--socket-path", folder / "disk.sock", "--blk-file", image]
    image.chmod(0o400)
    said = f"{image}: Permission denied; run as a user who may"
    refused(run(*where, prefix=prefix), 1, f"{said} write it, or add --read-only")
    image.chmod(0)
    refused(run(*where, "--read-only", prefix=prefix), 1, f"{said} read it")
    assert os.listdir(folder) == ["image"]


def test_sizes_of_memory(folder):
    where = ["--socket-path", folder / "disk.sock"]
    refused(run(*where, "--memory", "1000"), 1, "--memory: 1000 bytes are not a multiple of 512")
    refused(run(*where, "--memory", "16000000T"), 1, "--memory: ")
    for number, (words, sectors) in enumerate((("512", 1), ("3K", 6), ("1G", 2 << 20), ("2T", 2 << 31))):
        (folder / str(number)).mkdir()
        with blk(folder / str(number), "--memory", words) as prog, guest(prog) as driver:
            assert driver.capacity() == sectors
            assert driver.read(sectors - 1, SECTOR) == bytes(SECTOR)


def test_paths_of_sockets(folder, image):
    (folder / "file").write_bytes(b"words")
    disk = ["--blk-file", image]
    refused(run("--socket-path", folder / "file", *disk), 1, "exists and is not a socket")
    refused(run("--socket-path", folder / "missing" / "s", *disk), 1, "the directory does not exist")
    refused(run("--socket-path", folder / ("x" * 120), *disk), 1, "longer than the 107 bytes")
    refused(run("--socket-path", "", *disk), 1, "the socket path is missing")
    assert (folder / "file").read_bytes() == b"words"
    with blk(folder, *disk) as prog:
        refused(run("--socket-path", prog.socket, *disk), 1, f"listens on {prog.socket} already")
        with guest(prog) as driver:
            assert driver.read(0, SECTOR) == part(image, 0, SECTOR)
    assert sorted(os.listdir(folder)) == ["file", "image", "log"]


def test_socket_file_that_nobody_listens_on(folder, image):
    """As a program that was killed leaves it: taken over."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "disk.sock"))
    prog = BlkProgram(folder, "--blk-file", image)
    try:
        with guest(prog) as driver:
            assert driver.read(0, SECTOR) == part(image, 0, SECTOR)
        assert prog.end() == 0
        assert not prog.socket.exists()
    finally:
        prog.kill()


def test_help():
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: vhostx-blk --socket-path PATH --blk-file FILE")
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.parametrize("words", [
    ["--print-capabilities"], ["--print-capabilities", "--nonsense"], ["--nonsense", "--print-capabilities"],
    ["--num-queues", "0", "--print-capabilities", "stray"],
    ["--socket-path", "SOCKET", "--blk-file", "/nonexistent", "--print-capabilities"]])
def test_capabilities(folder, words):
    """Whatever else is on the line, nothing is done."""
    done = run(*[str(folder / "s") if word == "SOCKET" else word for word in words])
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"type": "block", "features": ["read-only", "blk-file"]}
    assert os.listdir(folder) == []


# -- descriptors instead of a path -----------------------------------------------------------------


def test_no_socket_in_the_descriptor(folder, image):
    with image.open() as file:
        refused(run("--fd", str(file.fileno()), "--blk-file", image, pass_fds=[file.fileno()]), 1, "non-socket")
    refused(run("--fd", "999", "--blk-file", image), 1, "descriptor 999: Bad file descriptor")
    for made in (socket.socket(socket.AF_INET), socket.socket(socket.AF_UNIX),
                 socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)):
        with made:
            done = run("--fd", str(made.fileno()), "--blk-file", image, pass_fds=[made.fileno()])
            refused(done, 1, "is not a Unix stream socket that listens or is connected")


def test_listening_descriptor(folder, image):
    """As systemd gives one: front-ends come and go, and the file is not ours to remove."""
    path = folder / "theirs.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        prog = BlkProgram(folder, "--fd", str(listener.fileno()), "--blk-file", image, socket=False,
                          pass_fds=[listener.fileno()])
    try:
        for _ in range(3):
            driver = BlkDriver(path).begin()
            assert driver.read(5, SECTOR) == part(image, 5, SECTOR)
            driver.close()
        assert prog.end() == 0, prog.said()
        assert path.exists()
    finally:
        prog.kill()


@pytest.fixture
def pair(folder, image):
    """A program on one end of a connection, and the front-end at the other."""
    ours, theirs = socket.socketpair()
    prog = BlkProgram(folder, "--fd", str(theirs.fileno()), "--blk-file", image, socket=False,
                      pass_fds=[theirs.fileno()])
    theirs.close()
    ours.settimeout(REPLY_SECONDS)
    front = FrontEnd(ours)
    yield prog, front
    front.close()
    prog.kill()


def test_connected_descriptor(pair, image):
    """The program ends well with the one front-end that it can ever have."""
    prog, front = pair
    driver = BlkDriver(None, front=front).begin()
    assert driver.read(5, SECTOR) == part(image, 5, SECTOR)
    assert prog.is_alive()
    driver.close()
    assert prog.process.wait(10) == 0, prog.said()


def test_connected_descriptor_and_a_bad_message(pair):
    """We hang up, although we have a copy of the connection; and then there is nothing more to do."""
    prog, front = pair
    front.sync()
    front.send_bytes(b"\xff" * 12)
    front.wait_dropped()
    assert prog.process.wait(10) == 0, prog.said()


def test_connected_descriptor_and_a_signal(pair):
    prog, front = pair
    front.sync()
    assert prog.end() == 0
    front.wait_dropped()


# -- rest and end ----------------------------------------------------------------------------------


def test_sleeps(folder, image):
    """Without a front-end, with one that asks nothing, and after it: no time is spent."""
    def is_at_rest():
        before, _ = seconds(prog), time.sleep(0.3)
        return seconds(prog) - before < 0.05

    def seconds(of):
        words = Path(f"/proc/{of.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    with blk(folder, "--blk-file", image, "--num-queues", "4") as prog:
        assert is_at_rest()
        with guest(prog, nr_rings=4) as driver:
            assert driver.read(0, SECTOR, queue=2) == part(image, 0, SECTOR)
            assert is_at_rest()
        prog.wait_at_rest()
        assert is_at_rest()


def test_many_queues_start_and_end_soon(folder, image):
    since = time.monotonic()
    with blk(folder, "--blk-file", image, "--num-queues", "128"):
        pass
    assert time.monotonic() - since < 5


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_end_while_requests_run(folder, image, ring_kind, sig):
    """What was acknowledged is in the file; what was not is as it was, or written."""
    prog = BlkProgram(folder, "--blk-file", image)
    try:
        with guest(prog, ring_kind) as driver:
            asked = [driver.ask(OUT, 8 * number, os.urandom(4096)) for number in range(80)]
            since = time.monotonic()
            assert prog.end(sig) == 0, prog.said()
            assert time.monotonic() - since < 2  # a second, and what a busy machine adds
            driver.look()
            for number, one in enumerate(asked):
                data = driver.bytes_at(one.pieces[1][0], 4096)
                now = part(image, 8 * number, 4096)
                if one.written is None:
                    assert one.status() in (UNTOUCHED, OK)
                    assert now in (data, some_bytes(4 << 20)[4096 * number:4096 * (number + 1)])
                else:
                    assert (one.status(), now) == (OK, data)
        assert not prog.socket.exists()
    finally:
        prog.kill()


def attempt(path: Path) -> FrontEnd | None:
    try:
        return FrontEnd.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return None


def test_nobody_reads_what_is_said(folder, image):
    """A signal would end a program that does not expect it."""
    reader, writer = os.pipe()
    where = ["--socket-path", folder / "disk.sock", "--blk-file", image]
    with subprocess.Popen([BLK, *where], stderr=writer, stdin=subprocess.DEVNULL) as process:
        os.close(writer)
        os.close(reader)
        driver = BlkDriver(None, front=wait_for(lambda: attempt(folder / "disk.sock"))).begin()
        os.truncate(image, 1 << 20)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: driver.capacity() == 2048)
        driver.close()
        process.terminate()
        assert process.wait(10) == 0


# -- one ends, another goes on ---------------------------------------------------------------------


def tracked(driver: BlkDriver):
    """A file for what is in flight, as the program makes it: the message, and a descriptor."""
    driver.negotiate(driver.features, PROTOCOL)
    driver.front.send(Request.GET_INFLIGHT_FD, inflight(1, 256))
    payload, (fd,) = driver.front.read_reply_with_fds(Request.GET_INFLIGHT_FD)
    size, offset, *_ = struct.unpack("=QQHH4x", payload)
    return inflight(1, 256, size, offset), os.dup(fd)


def connect_again(driver: BlkDriver, path: Path, notes) -> None:
    """The same guest, as QEMU does it when a back-end has gone: the ring's index is not known, and nobody kicks."""
    driver.front.close()
    driver.front = FrontEnd.connect(path)
    driver.negotiate(driver.features, PROTOCOL)
    driver.share_memory()
    driver.front.do(Request.SET_INFLIGHT_FD, notes[0], [notes[1]])
    driver.set_up_ring(0, driver.base)
    driver.front.do(Request.SET_VRING_ENABLE, state(0, 1))
    driver.set_status()


@pytest.mark.parametrize("nr_unseen", [20, 0], ids=["more-comes", "all-are-out"])
@pytest.mark.parametrize("no_ring", [0, 1], ids=["io_uring", "calls"])
def test_killed(folder, image, ring_kind, no_ring, nr_unseen):
    """Whatever was out is answered once, by the next one: taken and held, done, or not seen yet.

    Where all are out nothing is new in the ring: a driver with as many requests as it makes at a time waits for these.
    """
    below = Below(folder)
    below["no_ring"] = no_ring
    first = BlkProgram(folder, "--blk-file", image, env=below.env())
    driver = BlkDriver(first.socket, ring_kind)
    try:
        notes = tracked(driver)
        driver.share_memory()
        driver.front.do(Request.SET_INFLIGHT_FD, notes[0], [notes[1]])
        driver.set_up_ring(0, driver.base)
        driver.enable()
        driver.set_status()
        driver.write(0, b"\x11" * SECTOR)
        below["hold"] = 1
        held = [driver.ask(OUT, number + 10, bytes([number]) * SECTOR) for number in range(20)]
        held += [driver.ask(IN, number + 100, room=SECTOR) for number in range(20)]
        time.sleep(0.05)  # taken, if it runs at all
        first.process.send_signal(signal.SIGSTOP)
        unseen = [driver.ask(IN, number + 200, room=SECTOR) for number in range(nr_unseen)]
        first.kill()
        below["hold"] = 0
        driver.look()
        assert all(one.written is None for one in held + unseen)
        second = BlkProgram(folder, "--blk-file", image, env=below.env())
        try:
            time.sleep(0.05)  # its threads have nothing to do yet, and sleep
            connect_again(driver, second.socket, notes)
            driver.wait(*held, *unseen)
            assert {one.status() for one in held + unseen} == {OK}
            for number in range(20):
                assert part(image, number + 10, SECTOR) == bytes([number]) * SECTOR
                assert held[20 + number].data() == part(image, number + 100, SECTOR)
            for number, one in enumerate(unseen):
                assert one.data() == part(image, number + 200, SECTOR)
            time.sleep(0.02)
            driver.look()  # nothing comes twice: it would not be known
            assert driver.read(0, SECTOR) == b"\x11" * SECTOR
            driver.close()
            second.wait_at_rest()
            assert second.end() == 0
        finally:
            second.kill()
    finally:
        driver.close()
        first.kill()


@pytest.mark.parametrize("kind", KINDS)
def test_killed_again_and_again(folder, image, kind):
    """At any moment, with requests on their way all the time."""
    driver = notes = None
    asked = []
    for number in range(6):
        prog = BlkProgram(folder, "--blk-file", image)
        try:
            if not driver:
                driver = BlkDriver(prog.socket, kind)
                notes = tracked(driver)
            connect_again(driver, prog.socket, notes)
            for turn in range(12):
                asked.append(driver.ask(OUT, len(asked), bytes([number, turn]) * 256))
            time.sleep(0.003 * number)
            if number == 5:
                driver.wait(*asked)
                assert {one.status() for one in asked} == {OK}
                assert part(image, 0, len(asked) * SECTOR) == b"".join(
                    bytes([one // 12, one % 12]) * 256 for one in range(len(asked)))
        finally:
            prog.kill()
    driver.close()


def test_notes_that_lie(folder, image, ring_kind):
    """Of a ring of another size, of no room, of requests that cannot be: refused, or the ring is down."""
    with blk(folder, "--blk-file", image) as prog:
        driver = BlkDriver(prog.socket, ring_kind)
        (message, fd) = tracked(driver)
        size = struct.unpack_from("=Q", message)[0]
        front = driver.front
        front.refuse(Request.SET_INFLIGHT_FD, inflight(1, 256, size - 1), [fd])
        front.refuse(Request.SET_INFLIGHT_FD, inflight(2, 256, size), [fd])
        front.refuse(Request.SET_INFLIGHT_FD, inflight(1, 256, size, 4), [fd])
        front.refuse(Request.SET_INFLIGHT_FD, inflight(1, 256, size, size), [fd])
        os.pwrite(fd, struct.pack("=HH", 1, 128), 8)
        front.refuse(Request.SET_INFLIGHT_FD, message, [fd])
        assert prog.said().count("vhostx-blk: refused: SET_INFLIGHT_FD: ") == 5, prog.said()
        assert "what is noted of ring 0 has 128" in prog.said()
        driver.close()
        os.close(fd)
        prog.wait_at_rest()
        with guest(prog, ring_kind) as other:
            assert other.read(0, SECTOR) == part(image, 0, SECTOR)
