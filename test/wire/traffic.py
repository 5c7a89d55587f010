# SPDX-License-Identifier: BSD-3-Clause
"""Packets that never pause, on a port of the back-end, and the proof that something did not disturb them.

A thread of the back-end sends to a ring and makes its buffers available again (traffic.c). What another port does
must not show: no burst of this one is turned away, its thread never waits, and it moves as many packets a second. The
seconds are those the thread ran, since other processes on this machine take some as well.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from driver import AVAIL_AT, Driver

SHARE_KEPT = 0.95
ATTEMPTS = 10
BRIEFLY = 0.0005  # seconds without its core that nobody notices: PATIENCE_SLOW_NS of the library
WINDOW_SECONDS = 0.02  # of the thread's own time


@dataclass
class Sample:
    packets: int
    turned_away: int
    waits: int
    seconds: float
    delay: float  # seconds that somebody else had its core

    def __sub__(self, before: "Sample") -> "Sample":
        return Sample(self.packets - before.packets, self.turned_away - before.turned_away,
                      self.waits - before.waits, self.seconds - before.seconds,
                      self.delay - before.delay)

    def rate(self) -> float:
        return self.packets / self.seconds


class Traffic:
    """From here to stop(); the ring's 256 buffers are made available first, and are used at the end."""

    def __init__(self, back, driver: Driver, port: int, ring: int = 0):
        self.back, self.half, self.words = back, driver.rings[ring], f"{port} {ring}"
        self.half.post(self.half.size)
        assert back.ask(f"traffic {self.words}")["rc"] == 0
        self.task = Path(f"/proc/{back.pid}/task/{back.ask('seen')['thread']}")

    def stop(self) -> None:
        self.back.ask(f"quiet {self.words}")
        at = self.half.at + AVAIL_AT + 2
        self.half.avail_idx = int.from_bytes(self.half.memory.map[at:at + 2], "little")
        assert self.half.used_idx() == self.half.avail_idx, "packets were lost"

    def look(self) -> Sample:
        seen = self.back.ask("seen")
        status = (self.task / "status").read_text(encoding="ascii")
        waits = next(line.split()[1] for line in status.splitlines() if line.startswith("voluntary_ctxt_switches"))
        ran, delay, _ = (self.task / "schedstat").read_text(encoding="ascii").split()
        return Sample(seen["packets"], seen["turned_away"], int(waits), int(ran) / 1e9, int(delay) / 1e9)

    def look_at_work(self) -> Sample:
        """The thread has its core, and all the time that it had not is counted."""
        before = self.look().packets
        while (seen := self.look()).packets == before:
            pass
        return seen

    def feels(self, change: Callable[[], None]) -> bool | None:
        """Was any burst turned away meanwhile? None: who knows, the thread had no core for long."""
        before = self.look_at_work()
        change()
        seen = self.look_at_work() - before
        return seen.turned_away > 0 if seen.delay < BRIEFLY else None

    def during(self, action: Callable[[], None]) -> Sample:
        """What was seen while this was done, and for a moment."""
        before = self.look()
        action()
        while (seen := self.look() - before).seconds < WINDOW_SECONDS:
            time.sleep(0.002)
        return seen

    def _share(self, fault: Callable[[], None], rounds: int) -> float:
        """Of the packets a second without the fault; both are looked at in turns."""
        calm, harmed = [], []
        for _ in range(rounds):
            calm.append(self.during(lambda: None).rate())
            seen = self.during(fault)
            assert seen.turned_away == 0, f"{seen.turned_away} bursts of another port were turned away"
            assert seen.waits == 0, f"the poller of another port had to wait {seen.waits} times"
            harmed.append(seen.rate())
        return statistics.median(harmed) / statistics.median(calm)

    def stands(self, fault: Callable[[], None], rounds: int = 5) -> None:
        """`fault` does something to another port, and is over when it returns."""
        shares = []
        while len(shares) < ATTEMPTS:
            shares.append(self._share(fault, rounds))
            if shares[-1] >= SHARE_KEPT:
                return
        raise AssertionError(f"of its packets a second another port kept {[round(share, 3) for share in shares]}")
