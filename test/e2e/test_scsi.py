# SPDX-License-Identifier: BSD-3-Clause
"""What Linux's virtio_scsi and sd see of vhostx-scsi beyond a disk: test_disks.py has what all disks share."""

from disk_rig import DISK_BYTES, SECTOR, Disk, guest, need_disk_guest
from lab import disk
from lab.disk import Device

HOTPLUG, CHANGE = 1, 2  # virtio feature bits


def test_two_disks(folder):
    """Linux looks at both at once, and calls sda the one that answers first."""
    need_disk_guest()
    socket = folder / "scsi.sock"
    files = [disk.sparse_file(folder / name, DISK_BYTES) for name in ("first.img", "second.img")]
    with Disk("scsi", socket, *files, folder=folder, serial="of-the-test") as back:
        with guest(folder, Device(socket, "scsi"), steps=("disk",)) as vm:
            seen = vm.result("disk")
            assert (seen["disks"], seen["sectors"], seen["cache"]) == (
                "sda,sdb", str(DISK_BYTES // SECTOR), "write_back")
            assert seen["serial"] in ("of-the-test-0", "of-the-test-1")
            assert seen["discard"] == seen["zeroes"] == str(1 << 30)
            assert seen["features"][HOTPLUG] == seen["features"][CHANGE] == "1"
        back.end()
