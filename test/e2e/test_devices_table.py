# SPDX-License-Identifier: BSD-3-Clause
"""What doc/devices.md says that programs say when something does not work, they say: each line of its table is made to happen."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from lab import guest, paths
from lab.process import Process

PAGE = paths.repo_root() / "doc" / "devices.md"
MEMORY = "-m 256M -object memory-backend-memfd,id=ram,size=256M,share=on -machine q35,memory-backend=ram"
START = "truncate -s 1M disk.img; vhostx-blk --socket-path disk.sock --blk-file disk.img & "
WAIT = "until [ -S disk.sock ]; do sleep 0.1; done; "
QEMU = f"exec qemu-system-x86_64 -nodefaults -display none -accel tcg -S {MEMORY} "
CHARDEV = "-chardev socket,id=disk,path=disk.sock"
DEVICE = "-device vhost-user-blk-pci,chardev=disk"
CONNECT = f"{sys.executable} -c 'import socket, time; s = socket.socket(1); s.connect(\"disk.sock\"); time.sleep(20)'"
# Root may write what is read-only; without this right it may not.
WITHOUT_RIGHTS = "$(setpriv --bounding-set=-dac_override true 2>/dev/null && echo setpriv --bounding-set=-dac_override) "

CASES = {
    "make it first, for example: truncate": "vhostx-blk --socket-path disk.sock --blk-file disk.img",
    "are not a multiple of 512, the size of a sector":
        "echo hello >disk.img; vhostx-blk --socket-path disk.sock --blk-file disk.img",
    "run as a user who may write it, or add --read-only":
        f"truncate -s 1M disk.img; chmod 400 disk.img; {WITHOUT_RIGHTS} vhostx-blk --socket-path disk.sock --blk-file disk.img",
    "listens on disk.sock already; stop it, or choose another path":
        f"{START} {WAIT} vhostx-blk --socket-path disk.sock --memory 1M",
    "the directory does not exist": "vhostx-blk --socket-path none/disk.sock --memory 1M",
    "was turned away: a front-end is attached already": f"{START} {WAIT} {CONNECT} & {CONNECT}",
    "The maximum number of queues supported by the backend is 1": f"{START} {WAIT} {QEMU} -smp 4 {CHARDEV} {DEVICE}",
    "Failed to connect to 'disk.sock'": f"{QEMU} {CHARDEV} {DEVICE}",
    "Invalid parameter 'reconnect-ms'":
        f"{QEMU.replace('qemu-system-x86_64', str(shutil.which(guest.DISTRIBUTION)))} {CHARDEV},reconnect-ms=100 {DEVICE}",
}


def rows() -> list[tuple[str, str]]:
    """The table under "When it does not work"."""
    section = PAGE.read_text(encoding="utf-8").split("## When it does not work")[1].split("\n## ")[0]
    return re.findall(r"^\| `(.*?)` \| (.+) \|$", section, re.M)


def test_rows_and_cases_are_the_same():
    assert {message for message, _ in rows()} == set(CASES)
    assert all(advice for _, advice in rows())


@pytest.mark.parametrize("message", CASES)
def test_message(message, folder):
    programs = [str(paths.build_dir() / "app"), str(Path(guest.private_qemu()).parent)]
    script = f"PATH={':'.join(programs)}:$PATH; {CASES[message]}"
    with Process(["bash", "-c", script], folder / "log", stdin="null", cwd=folder, lifetime=60) as process:
        try:
            process.wait_for(message, 30)
        finally:
            process.kill()  # and what it left in the background
