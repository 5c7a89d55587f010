# SPDX-License-Identifier: BSD-3-Clause
"""The facade in the place of DPDK's librte_vhost.so.23: what a program can see of the difference.

Symbols and versions are read from the two libraries, sizes and values from two programs compiled
from one source with either's headers, types of functions from the headers themselves.
"""

import re
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
HEADERS = REPO / "include" / "vhostcore-compat"
SONAME = "librte_vhost.so.23"


def run(*argv) -> str:
    return subprocess.run([str(word) for word in argv], check=True, capture_output=True, text=True,
                          timeout=60).stdout


@pytest.fixture(scope="session")
def ours(build_dir) -> Path:
    return build_dir / "lib" / "vhostcore" / "facade" / SONAME


@pytest.fixture(scope="session")
def dpdks() -> Path:
    return Path(run("pkg-config", "--variable=libdir", "libdpdk").strip()) / SONAME


def symbols(library: Path) -> set:
    """name@@VERSION of all that it exports."""
    return {line.split()[-1] for line in run("nm", "-D", "--defined-only", library).splitlines()
            if "@" in line or " A " in line}


def test_symbols_and_versions(ours, dpdks):
    assert symbols(ours) == symbols(dpdks)
    assert len(symbols(dpdks)) > 80


def test_soname(ours, dpdks):
    name = re.compile(r"\(SONAME\).*\[(.*)\]")
    assert name.search(run("readelf", "-d", ours))[1] == SONAME
    assert name.search(run("readelf", "-d", dpdks))[1] == SONAME


def test_nodes(ours, dpdks):
    def nodes(library):
        text = run("readelf", "-V", library).split(".gnu.version_d")[1].split(".gnu.version_r")[0]
        return re.findall(r"Name: (\S+)", text)

    assert nodes(ours) == nodes(dpdks)


def test_sizes_places_and_values(build_dir):
    dumps = [run(build_dir / "test" / "facade" / f"abi_dump_{whose}") for whose in ("ours", "dpdk")]
    assert dumps[0].splitlines() == dumps[1].splitlines()
    assert len(dumps[0].splitlines()) > 150


def prototypes(folder: Path) -> dict:
    """name -> the types of its result and arguments, without the arguments' names."""
    found = {}
    for name in sorted(folder.glob("rte_v*.h")):
        text = re.sub(r"/\*.*?\*/|^\s*#.*?(?<!\\)$", "", name.read_text("utf-8"), flags=re.S | re.M)
        text = re.sub(r"\s+", " ", text.replace("__rte_experimental", ""))
        for match in re.finditer(r"(\b(?!return)[a-z][\w ]*[ *]+)(rte_v(?:host|dpa)_\w+)\(([^()]*)\);", text):
            args = [re.sub(r"(?<=[ *])(?!const\b)\w+$", "", arg.strip()).replace(" ", "")
                    for arg in match[3].split(",")]
            found[match[2]] = match[1].replace(" ", ""), args
    return found


def test_prototypes(dpdks):
    theirs = prototypes(Path("/usr/include/dpdk"))
    mine = prototypes(HEADERS)
    assert {name: mine.get(name) for name in theirs} == theirs
    exported = {symbol.split("@@")[0] for symbol in symbols(dpdks) if "@@" in symbol}
    internal = {"rte_vdpa_register_device", "rte_vdpa_unregister_device",
                "rte_vhost_host_notifier_ctrl"}
    assert exported - set(mine) == internal
