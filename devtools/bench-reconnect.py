#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""How long a port takes to be up again after its front-end came back, net_vhost beside net_vhostx.

A testpmd has one port with client=1. A front-end of a few lines listens, sets everything up, and goes away again, as
one does that is restarted. Measured is the time from bind(2) of its socket to the connection, and to a running port:
its first packet in the guest's memory.

    devtools/bench-reconnect.py [--rounds 20] [--away MS] [--json FILE]

--away: how long the front-end is gone each time (default: anything from 0.2 to 3 s, not in step with anybody's clock).
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "devtools"), str(REPO / "test" / "wire")]

from driver import BASIC_FEATURES, Driver  # noqa: E402  (need the paths above)
from frontend import Listener  # noqa: E402
from lab import paths  # noqa: E402
from lab.testpmd import Testpmd  # noqa: E402

DRIVERS = (paths.OURS, paths.PEER)
SECONDS = 10
AWAY = (0.2, 3.0)


def wait_packet(driver: Driver) -> None:
    deadline = time.monotonic() + SECONDS
    while not driver.rings[0].used_idx():
        if time.monotonic() > deadline:
            sys.exit(f"no packet within {SECONDS} s")
        time.sleep(0.0002)


def come_and_go(sock: Path) -> dict[str, float]:
    """Milliseconds from bind() to each event."""
    begin = time.monotonic()
    listener = Listener(sock)
    try:
        driver = Driver(listener.accept(SECONDS))
        connected = time.monotonic()
        driver.rings[0].post(driver.rings[0].size)
        driver.start(BASIC_FEATURES)
        wait_packet(driver)
        up = time.monotonic()
        driver.close()
    finally:
        listener.close()
    return {"connected": 1e3 * (connected - begin), "up": 1e3 * (up - begin)}


def measure(name: str, rounds: int, away: float | None, folder: Path) -> list[dict[str, float]]:
    sock, chance = folder / "sock", random.Random(1)
    plugin = paths.plugin_args() if name == paths.OURS else []
    with Testpmd([f"{name}0,iface={sock},client=1"], folder=folder, name=name, forward="txonly", load_plugin=False,
                 eal_extra=plugin) as switch:
        switch.start()
        done = []
        for _ in range(rounds + 1):
            time.sleep(chance.uniform(*AWAY) if away is None else away / 1e3)
            done.append(come_and_go(sock))
        return done[1:]  # the first finds a port that has never been connected


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--away", type=float, metavar="MS")
    options.add_argument("--json", type=Path)
    args = options.parse_args()
    figures = {}
    for name in DRIVERS:
        with tempfile.TemporaryDirectory(prefix="vhx-") as folder:
            figures[name] = measure(name, args.rounds, args.away, Path(folder))
        for event in ("connected", "up"):
            times = sorted(one[event] for one in figures[name])
            print(f"{name:12} {event:10} median {statistics.median(times):8.1f} ms   "
                  f"{times[0]:8.1f} ... {times[-1]:8.1f} ms", flush=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
