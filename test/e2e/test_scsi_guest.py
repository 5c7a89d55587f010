# SPDX-License-Identifier: BSD-3-Clause
"""What is SCSI's own about vhostx-scsi under a real kernel; test_disks.py has what all disks do."""

import pytest

from disk_rig import DISK_BYTES, PACKED, SECTOR, Disk, assert_tree, assert_verified, guest, need_disk_guest
from lab import disk
from lab.disk import Device

CHANGE, HOTPLUG, RING_PACKED = 2, 1, 34  # virtio feature bits
RINGS = {"split": {}, "packed": PACKED}


@pytest.fixture(scope="module", autouse=True)
def image():
    need_disk_guest()


@pytest.mark.parametrize("rings, queues", [("split", 1), ("packed", 4)])
def test_a_tree_of_files(folder, rings, queues):
    """On one of two disks: Linux looks at both at once, and calls sda the one that answers first."""
    files = [disk.sparse_file(folder / name, DISK_BYTES) for name in ("first.img", "second.img")]
    socket = folder / "scsi.sock"
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
