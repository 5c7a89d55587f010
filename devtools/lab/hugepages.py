# SPDX-License-Identifier: BSD-3-Clause
"""Huge pages that several DPDK processes share: a hugetlbfs of one's own, and enough pages for it."""

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

_POOL = Path("/proc/sys/vm/nr_hugepages")
PAGE_MB = 2


def _meminfo(key: str) -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    return 0


@contextmanager
def enough(megabytes: int):
    """Have at least so much free in pages of 2 MiB; what is added is given back. RuntimeError: it cannot be had."""
    before, wanted = int(_POOL.read_text(encoding="ascii")), megabytes // PAGE_MB
    missing = wanted - _meminfo("HugePages_Free")
    if missing > 0:
        try:
            _POOL.write_text(f"{before + missing}", encoding="ascii")
        except OSError as error:
            raise RuntimeError(f"{megabytes} MB of free huge pages are needed: sysctl vm.nr_hugepages=...") from error
    try:
        if _meminfo("HugePages_Free") < wanted:
            raise RuntimeError(f"the kernel has no {megabytes} MB left for huge pages in one piece: restart it")
        yield
    finally:
        if missing > 0:
            _POOL.write_text(f"{before}", encoding="ascii")


@contextmanager
def shared(folder: Path, megabytes: int):
    """A folder for --huge-dir. RuntimeError, in words, where this user or machine has none."""
    if os.geteuid() != 0:
        raise RuntimeError("mounting a hugetlbfs takes root")
    with enough(megabytes):
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "hugetlbfs", "-o", f"pagesize={PAGE_MB}M", "nodev", folder],
                              capture_output=True, text=True, timeout=20, check=False)
        if done.returncode:
            raise RuntimeError(f"no hugetlbfs: {done.stderr.strip()}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "-l", folder], check=False, timeout=20)
