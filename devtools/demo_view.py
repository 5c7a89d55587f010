# SPDX-License-Identifier: BSD-3-Clause
"""What the demo shows of its ports: a table that lives on a terminal, plain lines elsewhere."""

import re
import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table

from lab import telemetry
from lab.testpmd import Testpmd

_TABLE_SECONDS = 0.5
_LINE_SECONDS = 2.0
_SHORT_NAMES = {"MRG_RXBUF": "mergeable", "RING_EVENT_IDX": "event-idx", "EVENT_IDX": "event-idx",
                "RING_INDIRECT_DESC": "indirect", "INDIRECT_DESC": "indirect", "CSUM": "csum",
                "GUEST_CSUM": "guest-csum", "VERSION_1": "1.0", "MQ": "mq", "IN_ORDER": "in-order"}


@dataclass
class PortView:
    """One port at one moment; rates are since the moment before."""

    number: int
    when: float
    link: str = "down"
    ring: str = "-"
    features: str = "-"
    why: str = ""
    counters: dict[str, int] = field(default_factory=dict)
    drops: int = 0
    mpps: float = 0.0
    gbps: float = 0.0

    def cells(self) -> list[str]:
        return [str(self.number), self.link, self.ring, self.features, f"{self.mpps:.3f}",
                f"{self.gbps:.3f}", str(self.drops)]

    def line(self) -> str:
        text = (f"port {self.number}: link {self.link}, ring {self.ring}, {self.mpps:.3f} Mpps, "
                f"{self.gbps:.3f} Gb/s, {self.drops} dropped")
        return text if self.link == "up" or not self.why else f"{text} ({self.why})"


def _ask(switch: Testpmd, command: str) -> dict:
    """An answer, or nothing where the driver has none: the table shows a dash then."""
    try:
        return telemetry.query(switch.prefix, command)
    except telemetry.TelemetryError:
        return {}


def _ring_text(queues: dict[str, dict]) -> str:
    live = [queue for queue in queues.values() if queue.get("size")]
    if not live:
        return "-"
    return f"{live[0].get('kind', 'split')} {live[0]['size']} x{len(live)}"


def _forward_drops(switch: Testpmd) -> dict[int, int]:
    """Packets that testpmd had for a port and could not hand over, by port."""
    text = switch.command("show fwd stats all")
    blocks = re.findall(r"statistics for port (\d+).*?TX-dropped:\s*(\d+)", text, re.S)
    return {int(port): int(dropped) for port, dropped in blocks}


def look(switch: Testpmd, before: list[PortView]) -> list[PortView]:
    """Ask the switch about both ports."""
    dropped = _forward_drops(switch)
    views = []
    for number in (0, 1):
        told = _ask(switch, f"/vhostx/info,{number}")
        view = PortView(number, time.monotonic(), counters=_ask(switch, f"/ethdev/stats,{number}"))
        view.link = _ask(switch, f"/ethdev/link_status,{number}").get("status", "down").lower()
        view.why = told.get("why", "") + told.get("why_more", "")
        view.ring = _ring_text(told.get("queues", {}))
        words = [_SHORT_NAMES[name] for name in told.get("features", []) if name in _SHORT_NAMES]
        view.features = " ".join(words) or "-"
        lost = ("imissed", "ierrors", "oerrors", "rx_nombuf")
        view.drops = dropped.get(number, 0) + sum(view.counters.get(name, 0) for name in lost)
        if before:
            _fill_rates(view, before[number])
        views.append(view)
    return views


def _fill_rates(view: PortView, before: PortView) -> None:
    seconds = max(view.when - before.when, 0.001)

    def gained(*names: str) -> int:
        return sum(view.counters.get(name, 0) - before.counters.get(name, 0) for name in names)
    view.mpps = gained("ipackets", "opackets") / seconds / 1e6
    view.gbps = gained("ibytes", "obytes") * 8 / seconds / 1e9


def _table(views: list[PortView], stage: str) -> Table:
    table = Table(title=stage, caption="\n".join(
        f"port {view.number}: {view.why}" for view in views if view.link != "up" and view.why))
    for name in ("port", "link", "ring", "features", "Mpps", "Gb/s", "drops"):
        table.add_column(name, justify="right" if name in ("Mpps", "Gb/s", "drops") else "left")
    for view in views:
        table.add_row(*view.cells())
    return table


def show_while(console: Console, switch: Testpmd, stage, is_over) -> list[PortView]:
    """Show the ports until is_over(); stage() names what goes on. Return the last look."""
    views = look(switch, [])
    if not console.is_terminal:
        return _print_while(switch, stage, is_over, views)
    with Live(_table(views, stage()), console=console, auto_refresh=False) as live:
        while not is_over():
            time.sleep(_TABLE_SECONDS)
            views = look(switch, views)
            live.update(_table(views, stage()), refresh=True)
    return views


def _print_while(switch: Testpmd, stage, is_over, views: list[PortView]) -> list[PortView]:
    said, next_line = "", time.monotonic()
    while not is_over():
        time.sleep(_TABLE_SECONDS)
        if stage() != said:
            said = stage()
            print(said, flush=True)
        if time.monotonic() >= next_line:
            views = look(switch, views)
            print("\n".join("  " + view.line() for view in views), flush=True)
            next_line = time.monotonic() + _LINE_SECONDS
    return look(switch, views)
