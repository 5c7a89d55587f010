#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""How long a guest stands still when it is moved between two ports of one switch, net_vhost beside net_vhostx.

A testpmd that echoes has two ports of one driver, with a QEMU 10 on each; the guest is moved back and forth between them
while it sends an echo request every 4 ms. Measured is the downtime that QEMU tells of each move; of all moves together,
how many requests had no answer.

    devtools/bench-migration.py [--moves 10] [--packed] [--json FILE]
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "devtools"))

from lab import guest, paths  # noqa: E402  (needs the path above)
from lab.moving import MovingGuest  # noqa: E402
from lab.testpmd import Testpmd  # noqa: E402

DRIVERS = (paths.PEER, paths.OURS)
INTERVAL_US = 4000
SECONDS_A_MOVE = 15


def measure(name: str, moves: int, packed: bool, folder: Path) -> dict:
    """One life of a guest, on ports of this driver."""
    socket_of = (folder / "vm0", folder / "vm1")
    vdevs = [f"{name}{port},iface={path}" for port, path in enumerate(socket_of)]
    plugin = paths.plugin_args() if name == paths.OURS else []
    seconds = SECONDS_A_MOVE * moves + 10
    options = {"seconds": seconds, "interval": INTERVAL_US}
    with Testpmd(vdevs, folder=folder, name=name, forward="icmpecho", load_plugin=False, eal_extra=plugin,
                 lifetime=seconds + 300) as switch:
        switch.start()
        with MovingGuest(folder, socket_of, steps=("answers",), options=options, qemu=guest.private_qemu(),
                         props={"packed": "on"} if packed else {}, lifetime=seconds + 300) as vm:
            vm.here.wait_for("GUEST-RUNNING answers", 120)
            downtimes = [int(vm.move()["downtime"]) for _ in range(moves)]
            if vm.has_said("answers"):
                sys.exit("the guest had sent all of its requests before it was moved for the last time")
            answers = {key: int(value) for key, value in vm.result("answers", seconds + 60).items()}
    return {"downtime_ms": downtimes, "answers": answers}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    options.add_argument("--moves", type=int, default=10)
    options.add_argument("--packed", action="store_true")
    options.add_argument("--json", type=Path)
    args = options.parse_args()
    figures = {}
    for name in DRIVERS:
        with tempfile.TemporaryDirectory(prefix="vhx-") as folder:
            figures[name] = measure(name, args.moves, args.packed, Path(folder))
        times, answers = sorted(figures[name]["downtime_ms"]), figures[name]["answers"]
        print(f"{name:12} downtime median {statistics.median(times):6.0f} ms   {times[0]:6} ... {times[-1]:6} ms   "
              f"{answers['lost']} of {answers['sent']} requests without an answer", flush=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
