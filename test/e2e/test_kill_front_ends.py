# SPDX-License-Identifier: BSD-3-Clause
"""kill -9 of front-ends in the middle of traffic, hundreds of times: the switch has afterwards what it had before.

A front-end here is a process of a few lines of Python (wire_guest), so that a round takes a fraction of a second.
What the switch has: descriptors, mappings, memory in use, and mbufs in its pools.
"""

import os
import random
import re
import select
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e_rig import back_end
from lab import telemetry
import wire_guest  # noqa: F401  (knows where the next two are)
from driver import BASIC_FEATURES, PACKED_FRESH, Driver, PackedRing, Ring
from frontend import Feature, FrontEnd, bits

WARM_UP = 3
HELD = 256  # mbufs that testpmd's noisy neighbour keeps while others come
RSS_MAY_GROW = 2048  # KiB: allocators keep a little, whatever the number of rounds
LIFETIME = 30
RINGS = {"split": (Ring, 0, 0), "packed": (PackedRing, PACKED_FRESH, bits(Feature.RING_PACKED))}
KEEPS = {"passes-on": ("io", []), "holds": ("noisy", [f"--noisy-tx-sw-buffer-size={HELD}"])}


def flood(sock: Path, kind: str, ready: int) -> None:
    """A guest that sends and receives as fast as it can, until it is killed."""
    ring_class, base, features = RINGS[kind]
    driver = Driver(FrontEnd.connect(sock), ring_class=ring_class)
    driver.negotiate(BASIC_FEATURES | features)
    driver.share_memory()
    for ring in driver.rings:
        driver.set_up_ring(ring.index, base)
    driver.enable()
    driver.set_status()
    posted = [0, 0]
    while True:
        for ring in driver.rings:
            room = ring.size - (posted[ring.index] - ring.used_idx() & 0xFFFF)
            ring.post(room, flags=2 if ring.index == 0 else 0)
            posted[ring.index] += room
        if ready >= 0 and driver.rings[1].used_idx() and driver.rings[0].used_idx():
            os.write(ready, b"r")
            ready = -1


@contextmanager
def flooding(sock: Path, kind: str):
    """Its process, from when packets flow both ways."""
    told, ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LIFETIME)
            flood(sock, kind, ready)
        finally:
            os._exit(1)
    os.close(ready)
    try:
        assert select.select([told], [], [], LIFETIME)[0] and os.read(told, 1), "no packets, or the front-end died"
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(told)


def mbufs_in_use(back) -> int:
    """Of all pools: neither in the pool nor in a core's cache of it."""
    text = back.command("dump_mempool")

    def total(word: str) -> int:
        return sum(int(value) for value in re.findall(rf"^\s*{word}=(\d+)", text, re.M))

    return total("size") - total("common_pool_count") - total("total_cache_count")


def held_by(back) -> dict[str, int]:
    proc = Path(f"/proc/{back.pid}")
    return {"descriptors": len(list((proc / "fd").iterdir())),
            "mappings": len((proc / "maps").read_text(encoding="utf-8").splitlines()), "mbufs": mbufs_in_use(back)}


def resident(back) -> int:
    status = Path(f"/proc/{back.pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0])


def held_at_rest(back) -> dict[str, int]:
    """When the front-end is gone: the link goes down a moment before the last descriptor is closed."""
    back.wait_link(0, up=False)
    time.sleep(0.2)
    return held_by(back)


def wait_front_end_gone(back) -> None:
    deadline = time.monotonic() + 10
    while telemetry.query(back.prefix, "/vhostx/why,0")["state"] != "listening":
        assert time.monotonic() < deadline, back.explain("does not notice that its front-end died")
        time.sleep(0.002)


@pytest.mark.limit(240)
@pytest.mark.soak(4, 500)
@pytest.mark.parametrize("kind", RINGS)
@pytest.mark.parametrize("keeps", KEEPS)
def test_nothing_is_left(folder, ours_only, kind, keeps, rounds):
    forward, extra = KEEPS[keeps]
    chance = random.Random(1)
    with back_end(folder, forward=forward, extra=extra, lifetime=2000) as back:
        back.start()
        for number in range(WARM_UP + rounds):
            if number == WARM_UP:
                before, rss = held_at_rest(back), resident(back)
            with flooding(folder / "sock", kind):
                time.sleep(chance.random() * 0.02)
            wait_front_end_gone(back)
        assert held_at_rest(back) == before
        assert resident(back) - rss < RSS_MAY_GROW
        assert back.stats(0)["RX-packets"] > rounds
    if keeps == "holds":
        assert before["mbufs"] > HELD // 2
    else:
        assert before["mbufs"] == 0
