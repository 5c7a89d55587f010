#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Draw what vhostx-bench --json wrote: how many times better we are, by path, one panel a size;
of --devices what a packet costs as devices become more, beside as many bare rings.

usage: devtools/bench-chart.py FILE.json OUT.svg|OUT.png
"""

import argparse
import json
import sys
from pathlib import Path

COLORS = {"pull": "#2f6f9f", "push": "#d98032", "both": "#5f8f4f", "idle": "#8a8a8a"}
SUFFIXES = {".svg", ".png"}


def chart_library():
    """matplotlib.pyplot without a display, or the end with a sentence."""
    try:
        import matplotlib
    except ImportError:
        sys.exit("matplotlib is missing: devtools/setup.sh bench installs it for /usr/bin/python3")
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "vhostx"  # the same figures give the same file
    import matplotlib.pyplot as pyplot
    return pyplot


def panels_of(rows: list[dict]) -> dict[tuple, list[dict]]:
    """Rows by (size, queues), in the order of the file; empty polls only where nothing else was measured."""
    moving = [row for row in rows if row["kind"] != "idle"] or rows
    panels: dict[tuple, list[dict]] = {}
    for row in moving:
        panels.setdefault((row["size"], row["queues"]), []).append(row)
    return panels


def label_of(row: dict, with_ports: bool) -> str:
    return f"{row['path']}, {row['ports']}" if with_ports else row["path"]


def title_of(size: int, queues: int) -> str:
    what = f"{size} bytes" if size else "empty poll"
    return what if queues == 1 else f"{what}, {queues} queues"


def draw_panel(axes, rows: list[dict], with_ports: bool) -> None:
    labels = list(dict.fromkeys(label_of(row, with_ports) for row in rows))
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    width = 0.8 / len(kinds)
    for nr, kind in enumerate(kinds):
        bars = [row for row in rows if row["kind"] == kind]
        at = [labels.index(label_of(row, with_ports)) + (nr - (len(kinds) - 1) / 2) * width for row in bars]
        drawn = axes.bar(at, [row["ratio"] for row in bars], width, label=kind, color=COLORS[kind])
        axes.bar_label(drawn, fmt="%.1f", fontsize=6)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right", fontsize=7)
    axes.set_ylabel("times better", fontsize=8)
    axes.tick_params(axis="y", labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def draw_drivers(pyplot, report: dict):
    panels = panels_of(report["rows"])
    with_ports = any(row["ports"] > 1 for row in report["rows"])
    figure, grid = pyplot.subplots(len(panels), 1, squeeze=False, sharex=True, layout="constrained",
                                   figsize=(9, 1.8 + 1.8 * len(panels)))
    for axes, ((size, queues), rows) in zip(grid[:, 0], panels.items()):
        draw_panel(axes, rows, with_ports)
        axes.set_title(title_of(size, queues), fontsize=9, loc="left")
    grid[0, 0].legend(fontsize=7, frameon=False, ncols=3, loc="upper right", bbox_to_anchor=(1, 1.2))
    peer, ours = report["drivers"]
    return figure, f"{ours} against {peer}, {report['rows'][0]['unit']}, --{report['mode']}"


def draw_line(axes, rows: list[dict], kind: str, value, style: str, label: str) -> None:
    points = [(row["ports"], value(row)) for row in rows if row["kind"] == kind and row["floor"]]
    axes.plot(*zip(*points), style, color=COLORS[kind], label=label, linewidth=1.2, markersize=3)


def draw_growth(left, right, rows: list[dict]) -> None:
    """Cycles of ours and of the floor by number of devices; what is left without the floor's."""
    for kind in dict.fromkeys(row["kind"] for row in rows):
        draw_line(left, rows, kind, lambda row: row["ours"], "o-", kind)
        draw_line(left, rows, kind, lambda row: row["floor"], "--", f"{kind}, floor")
        draw_line(right, rows, kind, lambda row: row["ours"] - row["floor"], "o-", kind)
    for axes, what in ((left, "cycles"), (right, "cycles above the floor")):
        axes.set_xscale("log", base=2)
        axes.set_xticks(*[sorted({row["ports"] for row in rows})] * 2, fontsize=7)
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        axes.set_ylabel(what, fontsize=8)
        axes.tick_params(axis="y", labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)


def draw_devices(pyplot, report: dict):
    panels: dict[tuple, list[dict]] = {}
    for row in report["rows"]:
        if row["floor"]:
            panels.setdefault((row["path"], row["size"]), []).append(row)
    figure, grid = pyplot.subplots(len(panels), 2, squeeze=False, sharex=True, layout="constrained",
                                   figsize=(9, 1.4 + 1.9 * len(panels)))
    for (left, right), ((path, size), rows) in zip(grid, panels.items()):
        draw_growth(left, right, rows)
        left.set_title(f"{path}, {size} bytes", fontsize=9, loc="left")
    for axes in grid[-1]:
        axes.set_xlabel("devices", fontsize=8)
    grid[0, 0].legend(fontsize=6, frameon=False, ncols=3)
    return figure, f"{report['drivers'][1]}: a packet and an empty poll, by number of devices"


def draw(report: dict, out: Path) -> None:
    pyplot = chart_library()
    figure, title = (draw_devices if report["mode"] == "devices" else draw_drivers)(pyplot, report)
    figure.suptitle(f"{title}\n{report['dpdk']}, {report['cpu']}, {report['date'][:10]}", fontsize=9)
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("report", type=Path, metavar="FILE.json")
    parser.add_argument("out", type=Path, metavar="OUT.svg|OUT.png")
    words = parser.parse_args()
    if words.out.suffix not in SUFFIXES:
        parser.error(f"{words.out}: the name must end in .svg or .png")
    try:
        report = json.loads(words.report.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        parser.error(f"{words.report}: {error}")
    if not isinstance(report, dict) or not report.get("rows"):
        parser.error(f"{words.report}: no rows; is it a finished vhostx-bench --json file?")
    draw(report, words.out)


if __name__ == "__main__":
    main()
