# SPDX-License-Identifier: BSD-3-Clause
"""Two unit tests that depend on the machine's NUMA nodes, run in a guest that has two."""

import shutil
import subprocess

import pytest

from e2e_rig import need_guest
from lab import guest, paths
from lab.process import Process

PROGRAMS = {"mem/test_node": "moved through 2 nodes", "server/test_queue_node": "followed guests over 2 nodes"}
TWO_NODES = ["-smp", "2", "-m", "512", "-object", "memory-backend-ram,id=m0,size=256M",
             "-object", "memory-backend-ram,id=m1,size=256M", "-numa", "node,nodeid=0,cpus=0,memdev=m0",
             "-numa", "node,nodeid=1,cpus=1,memdev=m1"]
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
for program in /tests/*; do $program; echo "$program ended with $?"; done
echo GUEST-DONE
/bin/busybox poweroff -f
"""


def _with_libraries(program, root):
    """Copy it to /tests, and what it is linked with to where it looks for it."""
    (root / "tests").mkdir(exist_ok=True)
    shutil.copy(program, root / "tests")
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True, timeout=20).stdout
    for library in {word for word in listed.split() if word.startswith("/")}:
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)


def _initramfs(folder):
    root = folder / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin" / "busybox")
    (root / "init").write_text(INIT, encoding="ascii")
    (root / "init").chmod(0o755)
    for program in PROGRAMS:
        _with_libraries(paths.build_dir() / "test" / "unit" / program, root)
    subprocess.run("find . | cpio --quiet -o -H newc -R 0:0 >../initramfs", cwd=root, shell=True, check=True, timeout=60)
    return folder / "initramfs"


@pytest.mark.limit(180)
def test_pages_move_between_real_nodes(folder):
    need_guest()
    argv = [guest.DISTRIBUTION, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35",
            "-accel", guest.accelerator(), *TWO_NODES, "-kernel", guest.image_dir() / "vmlinuz", "-initrd",
            _initramfs(folder), "-append", guest.command_line({}), "-serial", "stdio"]
    with Process(argv, folder / "guest.log", stdin="null", lifetime=150, name="guest") as machine:
        said = machine.wait_for("GUEST-DONE", 120)
    for program, words in PROGRAMS.items():
        assert words in said, said
        assert f"{program.split('/')[1]} ended with 0" in said, said
