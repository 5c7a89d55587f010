# SPDX-License-Identifier: BSD-3-Clause
"""vhostx-scsi under a real kernel: Linux's virtio_scsi and sd in QEMU 10 guests, SeaBIOS before them."""

import os
import signal

import pytest

from disk_rig import DISK_BYTES, PACKED, SECTOR, Disk, assert_tree, assert_verified, guest, need_disk_guest
from lab import disk
from lab.disk import Device

CHANGE, HOTPLUG, RING_PACKED = 2, 1, 34  # virtio feature bits
RINGS = {"split": {}, "packed": PACKED}


@pytest.fixture(scope="module", autouse=True)
def image():
    need_disk_guest()


@pytest.fixture
def files(folder):
    """One disk."""
    return [disk.sparse_file(folder / "first.img", DISK_BYTES)]


@pytest.fixture
def socket(folder):
    return folder / "scsi.sock"


@pytest.mark.parametrize("queues", [1, 4])
@pytest.mark.parametrize("rings", RINGS)
def test_a_tree_of_files(folder, files, socket, rings, queues):
    """On one of two disks: Linux looks at both at once, and calls sda the one that answers first."""
    files.append(disk.sparse_file(folder / "second.img", DISK_BYTES))
    with Disk("scsi", socket, *files, folder=folder, num_queues=queues, serial="of-the-test") as back:
        device = Device(socket, "scsi", queues=queues, props=RINGS[rings])
        with guest(folder, device, steps=("disk", "tree", "verify"), options={"seconds": 3}) as vm:
            seen = vm.result("disk")
            assert seen["disks"] == "sda,sdb"
            assert (seen["sectors"], seen["queues"], seen["ro"], seen["cache"]) == (
                str(DISK_BYTES // SECTOR), str(queues), "0", "write_back")
            assert seen["serial"] in ("of-the-test-0", "of-the-test-1")
            assert seen["discard"] == seen["zeroes"] == str(1 << 30)
            features = seen["features"]
            assert features[HOTPLUG] == features[CHANGE] == "1" and features[RING_PACKED] == str(int(rings == "packed"))
            assert_tree(vm.result("tree"))
            assert_verified(vm.result("verify"))
        back.end()


def test_read_only(folder, files, socket):
    with Disk("scsi", socket, *files, folder=folder) as back:
        with guest(folder, Device(socket, "scsi"), steps=("tree",)) as vm:
            assert_tree(vm.result("tree"))
        back.end()
    before = files[0].read_bytes()
    with Disk("scsi", socket, *files, folder=folder, read_only=True) as back:
        with guest(folder, Device(socket, "scsi"), steps=("disk", "compare", "readonly")) as vm:
            assert vm.result("disk")["ro"] == "1"
            assert_tree(vm.result("compare"))
            seen = vm.result("readonly")
            assert (seen["open"], seen["write"]) != ("none", "none") and seen["same"] == "yes", seen
        back.end()
    assert files[0].read_bytes() == before


def test_space_is_given_back(folder, files, socket):
    files[0].write_bytes(b"\xff" * DISK_BYTES)
    before = files[0].stat().st_blocks
    with Disk("scsi", socket, *files, folder=folder):
        with guest(folder, Device(socket, "scsi"), steps=("discard",)) as vm:
            seen = vm.result("discard")
            assert (seen["zeroes"], seen["neighbours"]) == ("yes", "intact")
    assert files[0].stat().st_blocks < before and files[0].stat().st_size == DISK_BYTES


def test_grown_while_it_runs(folder, files, socket):
    """The kernel hears of it through the event ring: nobody in the guest asks."""
    with Disk("scsi", socket, *files, folder=folder) as back:
        with guest(folder, Device(socket, "scsi"), steps=("tree",)) as vm:
            assert_tree(vm.result("tree"))
            os.truncate(files[0], 2 * DISK_BYTES)
            back.signal(signal.SIGHUP)
            wanted = 2 * DISK_BYTES // SECTOR
            assert vm.do("resize", sectors=wanted)["sectors"] == str(wanted)
            grown = vm.do("grow")
            assert_tree(grown)
            assert int(grown["blocks"]) * 4096 > 1.9 * DISK_BYTES
