# SPDX-License-Identifier: BSD-3-Clause
"""vhostx-blk and vhostx-scsi under real kernels: Linux's drivers in QEMU 10 guests and in User-mode Linux."""

import os
import signal
import time

import pytest

from disk_rig import DISK_BYTES, PACKED, SECTOR, Disk, assert_tree, assert_verified, guest, need_disk_guest
from lab import disk, uml
from lab.disk import Device, UmlDiskGuest

RO, FLUSH, DISCARD, WRITE_ZEROES, MQ, RING_PACKED = 5, 9, 13, 14, 12, 34  # virtio feature bits
RINGS = {"split": {}, "packed": PACKED}
KINDS = ("blk", "scsi")
CASES = [(kind, rings, queues) for kind in KINDS for rings in RINGS for queues in (1, 4)]


@pytest.fixture(scope="module", autouse=True)
def image():
    need_disk_guest()


@pytest.fixture
def file(folder):
    return disk.sparse_file(folder / "disk.img", DISK_BYTES)


@pytest.fixture
def socket(folder):
    return folder / "disk.sock"


def assert_features(features: str, rings: str, queues: int) -> None:
    assert features[RING_PACKED] == str(int(rings == "packed")) and features[MQ] == str(int(queues > 1))
    assert features[FLUSH] == features[DISCARD] == features[WRITE_ZEROES] == "1"


@pytest.mark.parametrize("kind, rings, queues", [case for case in CASES if case[0] == "blk"])
def test_a_tree_of_files(folder, file, socket, kind, rings, queues):
    with Disk(kind, socket, file, folder=folder, num_queues=queues, serial="of-the-test") as back:
        device = Device(socket, kind, queues=queues, props=RINGS[rings])
        with guest(folder, device, steps=("disk", "tree", "verify"), options={"seconds": 3}) as vm:
            seen = vm.result("disk")
            assert (seen["sectors"], seen["queues"], seen["serial"], seen["ro"]) == (
                str(DISK_BYTES // SECTOR), str(queues), "of-the-test", "0")
            assert int(seen["discard"]) > 0 and int(seen["zeroes"]) > 0
            assert_features(seen["features"], rings, queues)
            assert_tree(vm.result("tree"))
            assert_verified(vm.result("verify"))
        back.end()


@pytest.mark.parametrize("kind", KINDS)
def test_what_one_guest_wrote_the_next_one_finds(folder, file, socket, kind):
    """Under the same back-end, and under one that knows of nothing; read-only the last time."""
    with Disk(kind, socket, file, folder=folder) as back:
        with guest(folder, Device(socket, kind), steps=("tree",)) as vm:
            assert_tree(vm.result("tree"))
        with guest(folder, Device(socket, kind, queue_size=1024), steps=("compare",)) as vm:
            assert_tree(vm.result("compare"))
        back.end()
    before = file.read_bytes()
    with Disk(kind, socket, file, folder=folder, read_only=True) as back:
        with guest(folder, Device(socket, kind), steps=("disk", "compare", "readonly")) as vm:
            seen = vm.result("disk")
            assert seen["ro"] == "1"
            assert kind != "blk" or seen["features"][RO] == "1"
            assert_tree(vm.result("compare"))
            seen = vm.result("readonly")
            assert (seen["open"], seen["write"]) != ("none", "none") and seen["same"] == "yes", seen
        back.end()
    assert file.read_bytes() == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_in_memory(folder, socket, kind):
    with Disk(kind, socket, folder=folder, memory="256M") as back:
        with guest(folder, Device(socket, kind), steps=("tree", "verify", "discard"), options={"seconds": 3}) as vm:
            assert_tree(vm.result("tree"))
            assert_verified(vm.result("verify"))
            seen = vm.result("discard")
            assert (seen["zeroes"], seen["neighbours"]) == ("yes", "intact")
        back.end()


@pytest.mark.parametrize("kind", KINDS)
def test_space_is_given_back(folder, file, socket, kind):
    file.write_bytes(b"\xff" * DISK_BYTES)
    before = file.stat().st_blocks
    with Disk(kind, socket, file, folder=folder):
        with guest(folder, Device(socket, kind), steps=("discard",)) as vm:
            seen = vm.result("discard")
            assert (seen["zeroes"], seen["neighbours"]) == ("yes", "intact")
    assert file.stat().st_blocks < before and file.stat().st_size == DISK_BYTES


@pytest.mark.parametrize("kind", KINDS)
def test_grown_while_it_runs(folder, file, socket, kind):
    with Disk(kind, socket, file, folder=folder) as back:
        with guest(folder, Device(socket, kind), steps=("tree",)) as vm:
            assert_tree(vm.result("tree"))
            os.truncate(file, 2 * DISK_BYTES)
            back.signal(signal.SIGHUP)
            wanted = 2 * DISK_BYTES // SECTOR
            assert vm.do("resize", sectors=wanted)["sectors"] == str(wanted)
            grown = vm.do("grow")
            assert_tree(grown)
            assert int(grown["blocks"]) * 4096 > 1.9 * DISK_BYTES


@pytest.mark.limit(600)
@pytest.mark.soak(4, 20)
@pytest.mark.parametrize("kind, rings, queues", CASES)
def test_killed_and_started_again(folder, file, socket, kind, rings, queues, rounds):
    """Verified writes go on over every death of the back-end: none is lost, none is done twice too late."""
    device = Device(socket, kind, queues=queues, reconnect_ms=20, props=RINGS[rings])
    back = Disk(kind, socket, file, folder=folder, num_queues=queues)
    try:
        with guest(folder, device, steps=("tree",), lifetime=120 + 10 * rounds) as vm:
            assert_tree(vm.result("tree"))
            mark = vm.begin_running("verify", seconds=2 + rounds)
            for _ in range(rounds):
                time.sleep(0.5)
                back.kill()
                back = Disk(kind, socket, file, folder=folder, num_queues=queues)
            assert_verified(vm.result("verify", 120, mark))
            assert_tree(vm.do("tree", seed=2))
    finally:
        back.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_user_mode_linux(folder, file, socket, kind):
    missing = uml.what_is_missing()
    if missing:
        pytest.skip(missing)
    uml.make_image()
    with Disk(kind, socket, file, folder=folder):
        with UmlDiskGuest("uml", Device(socket, kind), folder=folder, steps=("disk", "tree", "verify"),
                          options={"seconds": 3}) as vm:
            assert vm.result("disk")["sectors"] == str(DISK_BYTES // SECTOR)
            assert_tree(vm.result("tree"))
            assert_verified(vm.result("verify"))
