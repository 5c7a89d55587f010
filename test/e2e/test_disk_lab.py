# SPDX-License-Identifier: BSD-3-Clause
"""The guests with disks that other tests stand on: do they work, and would they notice a bad disk?

Here the disks are QEMU's: its storage daemon behind vhost-user, and for what that has not, its own devices.
"""

import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from e2e_rig import need_guest
from lab import disk, guest, paths, uml
from lab.disk import Device, DiskGuest, OwnDevice, StorageDaemon, UmlDiskGuest
from lab.process import ProcessError

SIZE = 64 << 20
SECTORS = SIZE // disk.SECTOR
PACKED = 34  # virtio feature bit
FILES = 200
GUEST_SOURCES = paths.repo_root() / "devtools" / "guest"

# What verify says of a disk that makes this mistake now and then.
MISTAKES = {"none": set(), "slow": set(), "lost": {"lost"}, "stale": {"stale"}, "torn": {"torn"},
            "misplaced": {"misplaced"}, "error": {"errors"}, "stuck": {"stuck"}}


@pytest.fixture(scope="module")
def module_folder():
    with tempfile.TemporaryDirectory(prefix="vhx-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def verify(module_folder):
    """The guest's program, for this machine."""
    target = module_folder / "verify"
    sources = [GUEST_SOURCES / name for name in ("verify.c", "cell.c", "cell_set.c")]
    subprocess.run(["gcc", "-O2", "-pthread", "-Wall", "-Wextra", "-Werror", "-o", target, *sources],
                   check=True, timeout=120)
    return target


def words_of(said: str) -> dict[str, str]:
    line = re.search(r"^GUEST-RESULT \w+ (.*)$", said, re.M)
    assert line, said
    return dict(word.split("=", 1) for word in line[1].split())


# -- the checker, on a plain file --------------------------------------------------------------------


@pytest.fixture(scope="module")
def mistakes(module_folder, verify):
    """What it says of every kind of bad disk; all at once, since it is a second of waiting for each."""
    running = {}
    for kind in MISTAKES:
        image = disk.sparse_file(module_folder / f"image-{kind}", 8 << 20)
        argv = [verify, "both", image, module_folder / f"state-{kind}", "seconds=1", "threads=4", "patience=2",
                f"fault={kind}"]
        running[kind] = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    return {kind: process.communicate(timeout=60)[0] for kind, process in running.items()}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_bad_disk_is_noticed_and_named(mistakes, kind):
    result = words_of(mistakes[kind])
    assert int(result["writes"]) > 100 and int(result["cells"]) == 64
    assert set(disk.faults(result)) == MISTAKES[kind], mistakes[kind]
    assert kind != "slow" or int(result["longest_ms"]) >= 400


class Bench:
    """verify's phases on a file which the test spoils in between."""

    def __init__(self, verify: Path, folder: Path):
        self.verify, self.folder = verify, folder
        self.image = disk.sparse_file(folder / "image", 8 << 20)

    def run(self, phase: str) -> dict[str, str]:
        argv = [self.verify, phase, self.image, self.folder / "state", "seconds=0", "threads=2"]
        return words_of(subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout)

    def spoil(self, at: int, data: bytes) -> None:
        with self.image.open("r+b") as file:
            file.seek(at)
            file.write(data)

    def read(self, at: int = 0, length: int = -1) -> bytes:
        with self.image.open("rb") as file:
            file.seek(at)
            return file.read(length)


@pytest.fixture
def bench(verify, folder):
    """All cells are written, and nothing was wrong."""
    made = Bench(verify, folder)
    assert disk.faults(made.run("write")) == {}
    return made


def test_a_changed_bit_is_torn(bench):
    bench.spoil(100, bytes([bench.read(100, 1)[0] ^ 1]))
    assert disk.faults(bench.run("check")) == {"torn": 1}


def test_a_sector_of_another_place_is_misplaced(bench):
    bench.spoil(bench.image.stat().st_size - disk.SECTOR, bench.read(0, disk.SECTOR))
    assert disk.faults(bench.run("check")) == {"misplaced": 1}


def test_one_sector_of_an_earlier_write_is_torn(bench):
    """In all cells but those of one sector, which are older as a whole."""
    before = bench.read()
    bench.run("write")
    now = bytearray(bench.read())
    starts = [at for at in range(0, len(now), disk.SECTOR) if now[at:at + disk.SECTOR] != before[at:at + disk.SECTOR]
              and (at == 0 or now[at - disk.SECTOR:at] == before[at - disk.SECTOR:at])]
    for at in starts:
        now[at:at + disk.SECTOR] = before[at:at + disk.SECTOR]
    bench.spoil(0, bytes(now))
    found = disk.faults(bench.run("check"))
    assert found["torn"] > len(starts) / 2 and set(found) <= {"torn", "lost"}, found


def test_a_write_that_never_came_is_lost(bench):
    before = bench.read()
    result = bench.run("write")
    bench.spoil(0, before)
    assert disk.faults(bench.run("check")) == {"lost": int(result["cells"])}


def test_what_was_read_and_is_older_again_is_stale(bench):
    before = bench.read()
    bench.run("both")
    bench.spoil(0, before)
    result = bench.run("check")
    assert disk.faults(result) == {"stale": int(result["cells"])}


def test_what_was_on_the_disk_before_is_lost(bench):
    """Zeros, as it was new; with another run's cells it is the same."""
    bench.spoil(0, bytes(SIZE >> 3))
    assert disk.faults(bench.run("check")) == {"lost": 64}


# -- guests ------------------------------------------------------------------------------------------


def spoil_a_byte(image: Path) -> None:
    with image.open("r+b") as file:
        file.seek(100)
        byte = file.read(1)[0] ^ 1
        file.seek(100)
        file.write(bytes([byte]))


def assert_tree(result: dict[str, str], files: int = FILES) -> None:
    assert (result["files"], result["clean"], result["equal"]) == (str(files), "yes", "yes"), result
    assert int(result["bytes"]) > 1 << 19


def assert_verified(result: dict[str, str]) -> None:
    assert disk.faults(result) == {}
    cells = int(result["cells"])
    assert int(result["writes"]) > cells > 50 and int(result["reads"]) > 50, result


@pytest.fixture
def images(folder):
    return [disk.sparse_file(folder / f"image{number}", SIZE) for number in range(2)]


def test_split_rings_of_the_storage_daemon(folder, images):
    """Also: another size, a disk that must not be written, a new daemon for a killed one, a spoilt image."""
    need_guest(disk)
    first = dict(image=images[0], socket=folder / "vm0", folder=folder, queues=2)
    with StorageDaemon(**first) as daemon, \
            StorageDaemon(images[1], folder / "vm1", folder=folder, name="ro", writable=False, block_size=4096), \
            DiskGuest("guest", Device(folder / "vm0", queues=2, queue_size=64, reconnect_ms=50),
                      Device(folder / "vm1"), folder=folder, options={"files": FILES, "seconds": 2}) as vm:
        said = vm.do("disk")
        assert (said["name"], said["sectors"], said["queues"], said["ro"]) == ("vda", str(SECTORS), "2", "0")
        said = vm.do("disk", disk="vdb")
        assert (said["block"], said["ro"], said["disks"]) == ("4096", "1", "vda,vdb")
        said = vm.do("readonly", disk="vdb")
        assert (said["write"], said["same"]) == ("EPERM", "yes")
        assert vm.do("readonly", disk="vda")["same"] == "no", "it looks at nothing"
        assert_tree(vm.do("tree"))
        resized = vm.begin_running("resize", sectors=SECTORS * 3 // 2)
        daemon.resize(SIZE * 3 // 2)
        assert vm.result("resize", offset=resized)["was"] == str(SECTORS)
        grown = vm.do("grow")
        assert_tree(grown)
        assert grown["sectors"] == str(SECTORS * 3 // 2)
        said = vm.do("discard")
        assert said == {"zeroes": "yes", "unmap": "yes", "discard": "yes", "neighbours": "intact"}
        running = vm.begin_running("write")
        daemon.kill()
        with StorageDaemon(**first):
            assert_verified(vm.result("write", offset=running))
            assert disk.faults(vm.do("check")) == {}
            spoil_a_byte(images[0])
            assert disk.faults(vm.do("check")) == {"torn": 1}


def test_packed_rings_scsi_and_random_numbers(folder, images):
    """The storage daemon has no such things; QEMU itself has."""
    need_guest(disk)
    steps = ("disk", "tree", "verify", "rng")
    with DiskGuest("guest", OwnDevice("blk", images[0], props={"packed": "on", "serial": "a_serial"}),
                   OwnDevice("scsi", images[1], queues=2, disk_props={"serial": "another"}), OwnDevice("rng"),
                   folder=folder, steps=steps, options={"files": FILES, "seconds": 2}) as vm:
        said = vm.result("disk")
        assert (said["features"][PACKED], said["serial"], said["cache"]) == ("1", "a_serial", "write_back")
        assert_tree(vm.result("tree"))
        assert_verified(vm.result("verify"))
        random = vm.result("rng")
        assert random["values"] == "256" and random["current"].startswith("virtio_rng")
        said = vm.do("disk", disk="sda")
        assert (said["sectors"], said["serial"], said["queues"]) == (str(SECTORS), "another", "2")
        assert_tree(vm.do("tree", disk="sda"))
        assert_verified(vm.do("verify", disk="sda"))
        with pytest.raises(ProcessError, match="error disk: no disk"):
            vm.do("disk", disk="sdb", wait=0)


def test_user_mode_linux(folder):
    """Slow with everything, so there is less of it."""
    image, files = disk.sparse_file(folder / "image", SIZE // 8), 50
    need_guest(uml)
    try:
        guest.private_qemu()
    except RuntimeError as error:
        pytest.skip(f"no storage daemon: {error}")
    with StorageDaemon(image, folder / "vm0", folder=folder), \
            UmlDiskGuest("guest", Device(folder / "vm0"), folder=folder, steps=("disk", "tree", "verify"),
                         options={"files": files, "seconds": 1, "threads": 4}) as vm:
        assert vm.result("disk")["sectors"] == str(SECTORS // 8)
        assert_tree(vm.result("tree"), files)
        assert_verified(vm.result("verify"))
