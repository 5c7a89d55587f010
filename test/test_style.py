# SPDX-License-Identifier: BSD-3-Clause
"""The house's rules that a script can check: who includes whom, what lives where, how long."""

import re
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
LIB = REPO / "lib" / "vhostcore"
PMD = REPO / "drivers" / "net" / "vhostpmd"

CODE_SUFFIXES = {".c", ".h", ".py", ".sh", ".map", ".build", ".ini"}
COLUMNS, FILE_LINES, HEADER_LINES, FUNCTION_LINES = 100, 600, 250, 80
FUNCTION_LINES_BURST = 100

# Which rooms of lib/vhostcore a room may include. The class is where ctl/ and net/ meet; what the
# front door shares with each of them is listed by file.
ROOMS = {
    "base": set(),
    "spec": {"base"},
    "mem": {"base", "spec"},
    "ring": {"base", "spec", "mem"},
    "wire": {"base", "spec"},
    "ctl": {"base", "spec", "mem", "ring", "wire"},
    "net": {"base", "spec", "mem", "ring"},
    "facade": set(),  # an application of the library like any other
}
FRONT_DOOR_FILES = {
    "base": {"vhostcore.h"},  # the log levels of the public interface
    "ring": {"vhostcore.h", "vhostcore_queue.h", "vhostcore_notify.h", "vhostcore_ring.h"},  # faults, what to watch
    "ctl": {"device.h", "postcopy.h", "vhostcore_loop.h", "vhostcore_message.h"},
    "net": {"class.h", "dirty.h", "queue.h", "vhostcore_net.h"},
}
PUBLIC_HEADERS = {"vhostcore.h", "vhostcore_features.h", "vhostcore_loop.h", "vhostcore_memory.h",
                  "vhostcore_message.h", "vhostcore_net.h", "vhostcore_notify.h",
                  "vhostcore_queue.h", "vhostcore_ring.h", "vhostcore_vdpa.h"}

# A line that says this ... may be in these files only, or below these folders.
HOMES = {
    r"__atomic_|__sync_|\brte_(atomic|smp_|mb\b|wmb\b|rmb\b)": ["base/order.h"],
    r"\b(SYS_|__NR_)membarrier\b": ["base/gate.c"],
    r"\b(mmap|munmap)\(": ["mem/dirty_log.c", "mem/file.c", "mem/guard.c", "mem/pages.c", "mem/region.c",
                               "mem/view.c"],
    r"\b(recvmsg|sendmsg|accept4)\(|\bCMSG_": ["wire/sock.c"],
    r"\bg_\w+->": ["ring/", "mem/guest.h", "queue.c"],
    r"\bVHOST_USER_": ["spec/vhost_user.h", "wire/", "ctl/", "device.c", "device.h", "names.c",
                        "offer.c", "hardware.c", "facade/"],
    r"\bVIRTIO_NET_": ["spec/virtio_net.h", "net/", "ctl/features.c", "facade/"],
    r"\brte_": ["net/", "vhostcore_net.h", "facade/"],
    r"\bmalloc\(|\bcalloc\(|\baligned_alloc\(": ["mem/", "ctl/", "device.c", "queue.c", "server.c",
                                                  "vdpa.c", "hardware.c", "lost.c", "chains.c",
                                                  "chains_class.c", "ring/inflight.c", "facade/"],
}


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "-C", REPO, "ls-files", "-z"], capture_output=True, check=True)
    paths = [REPO / name for name in listing.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def sources(folder: Path = REPO) -> list[Path]:
    return [path for path in tracked() if path.suffix in {".c", ".h"} and folder in path.parents]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def room_of(path: Path) -> str:
    """The room of a file of the library; "" for the front door."""
    parts = path.relative_to(LIB).parts
    return parts[0] if len(parts) > 1 else ""


def without_comments(text: str) -> str:
    """Same lines, no comments."""
    blank = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
    return blank.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def complain(found: list[str]) -> None:
    assert not found, "\n".join(found)


@pytest.fixture(autouse=True)
def repository():
    if not (REPO / ".git").exists():
        pytest.skip("not a git checkout, and the list of files is git's: clone to run it")


# -- licence and shape -----------------------------------------------------------------------------


def test_licence_on_the_first_line():
    found = []
    for path in tracked():
        if path.suffix not in CODE_SUFFIXES and path.name != "run":
            continue
        lines = text_of(path).splitlines()[:2] + ["", ""]
        line = lines[1] if lines[0].startswith("#!") else lines[0]
        if "SPDX-License-Identifier: BSD-3-Clause" not in line:
            found.append(f"{path.relative_to(REPO)}: no SPDX line at the top")
    complain(found)


def test_columns():
    found = []
    for path in sources():
        for number, line in enumerate(text_of(path).splitlines(), 1):
            if len(line.expandtabs(8)) > COLUMNS:
                found.append(f"{path.relative_to(REPO)}:{number}: more than {COLUMNS} columns")
            if line != line.rstrip():
                found.append(f"{path.relative_to(REPO)}:{number}: blanks at the end")
    complain(found)


def test_length_of_files():
    found = []
    for path in sources():
        limit = HEADER_LINES if path.suffix == ".h" else FILE_LINES
        nr = text_of(path).count("\n")
        if nr > limit:
            found.append(f"{path.relative_to(REPO)}: {nr} lines, at most {limit}")
    complain(found)


def functions(path: Path):
    """(name, number of lines) of each: from the line with its name to the closing brace."""
    name = start = None
    for number, line in enumerate(text_of(path).splitlines(), 1):
        match = re.match(r"([a-z_]\w*)\(", line)
        if match:
            name, start = match.group(1), number
        elif line == "}" and name:
            yield name, number - start + 1
            name = None


def test_length_of_functions():
    found = []
    for path in sources():
        for name, nr in functions(path):
            limit = FUNCTION_LINES_BURST if name.endswith("_burst") else FUNCTION_LINES
            if nr > limit:
                found.append(f"{path.relative_to(REPO)}: {name}() has {nr} lines, at most {limit}")
    complain(found)


def test_head_comments():
    """What it is, and whom it trusts: in every file of the library and the driver."""
    found = []
    for path in sources(LIB) + sources(PMD):
        head = text_of(path)[:2500]
        if path.name in PUBLIC_HEADERS:
            continue
        found += [f"{path.relative_to(REPO)}: the head comment has no {word}"
                  for word in ("Knows:", "Trusts:", "Runs on:") if word not in head]
    complain(found)


# -- rooms -----------------------------------------------------------------------------------------


def own_includes(path: Path):
    for name in re.findall(r'^#include "([^"]+)"', text_of(path), re.M):
        yield (path.parent / name).resolve()


def may_include(room: str, target: Path) -> bool:
    if not target.is_relative_to(LIB):
        return False
    other = room_of(target)
    if room in ("", other):
        return True
    if other == "":
        return target.name in FRONT_DOOR_FILES.get(room, set())
    return other in ROOMS[room]


def test_rooms_include_in_one_direction():
    found = []
    for path in sources(LIB):
        room = room_of(path)
        assert room == "" or room in ROOMS, f"{room}/ is a room without rules: add it to ROOMS"
        found += [f"{path.relative_to(REPO)} must not include {target}"
                  for target in own_includes(path) if not may_include(room, target)]
    complain(found)


def test_front_door_does_not_know_net():
    """The class is an argument: another device needs no change there."""
    complain([f"{path.relative_to(REPO)} includes {target.name} of net/" for path in sources(LIB)
              if room_of(path) == "" and path.name != "vhostcore_net.h"
              for target in own_includes(path)
              if room_of(target) == "net" or target.name == "vhostcore_net.h"])


def test_driver_uses_public_headers_only():
    found = []
    for path in sources(PMD):
        for name in re.findall(r'^#include [<"]([^">]+)[">]', text_of(path), re.M):
            is_private = (LIB / name).exists() and name not in PUBLIC_HEADERS
            if is_private or "vhostcore/" in name:
                found.append(f"{path.relative_to(REPO)} includes {name}")
    complain(found)


def is_at_home(path: Path, homes: list[str]) -> bool:
    where = str(path.relative_to(LIB))
    return any(where == home or home.endswith("/") and where.startswith(home) for home in homes)


@pytest.mark.parametrize("pattern", HOMES)
def test_a_line_knows_its_room(pattern):
    found = []
    for path in sources(LIB):
        if is_at_home(path, HOMES[pattern]):
            continue
        for number, line in enumerate(without_comments(text_of(path)).splitlines(), 1):
            if re.search(pattern, line):
                found.append(f"{path.relative_to(REPO)}:{number}: {line.strip()}")
    complain(found)


def test_facade_uses_public_headers_only():
    found = []
    for path in sources(LIB / "facade"):
        for name in re.findall(r'^#include [<"]([^">]+)[">]', text_of(path), re.M):
            is_private = (LIB / name).exists() and name not in PUBLIC_HEADERS
            if name.startswith("..") or is_private:
                found.append(f"{path.relative_to(REPO)} includes {name}")
    complain(found)


def test_device_interface_of_dpdk_stays_in_the_driver():
    complain([f"{path.relative_to(REPO)} speaks of rte_eth_" for path in sources(LIB)
              if re.search(r"\brte_eth_", without_comments(text_of(path)))])
