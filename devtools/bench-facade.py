#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Measure Debian's net_vhost on Debian's librte_vhost.so.23 against itself on ours, in alternating processes.

One process has one of the two libraries, chosen by LD_LIBRARY_PATH, so both cannot take turns in one. Each path has
a process for each library in turn, close together in time; who goes first moves on. A figure is the median of the
processes' own medians, the ratio the median of the pairs' ratios.

usage: devtools/bench-facade.py [--rounds N] [--json FILE] [...]; vhostx-bench is to be built
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lab import paths  # noqa: E402  (needs the path above)

BENCH = paths.build_dir() / "app" / "vhostx-bench"
DRIVER = paths.PEER
PROCESS_SECONDS = 300
MORE_IS_BETTER = {"Mpps"}
DESCRIPTION = ("cpu", "machine", "kernel", "dpdk", "cores", "hugepages", "tsc_mhz", "mode")


def words_of_command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=21, metavar="N", help="pairs of processes a path (default 21)")
    parser.add_argument("--inner", type=int, default=11, metavar="N", help="rounds in a process (default 11)")
    parser.add_argument("--bursts", type=int, default=300, metavar="N", help="in a round (default 300)")
    parser.add_argument("--paths", metavar="A,B", help="as vhostx-bench has them (default: all)")
    parser.add_argument("--sizes", default="64,1518", metavar="A,B", help="bytes (default 64,1518)")
    parser.add_argument("--queues", default="1", metavar="A,B", help="queue pairs (default 1)")
    parser.add_argument("--loop", action="store_true", help="two lcores, packets a second, instead of cycles on one")
    parser.add_argument("--hugepages", action="store_true", help="use free 2 MB pages")
    parser.add_argument("--library", type=Path, default=paths.facade_dir(), metavar="FOLDER",
                        help="where the other librte_vhost.so.23 is (default: the build's)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="rows and the machine's description")
    words = parser.parse_args()
    if min(words.rounds, words.inner, words.bursts) < 1:
        parser.error("a count is at least 1")
    words.library = words.library.resolve()
    return words


def check_library(folder: Path) -> None:
    """LD_LIBRARY_PATH must change this one library and no other."""
    if not (folder / paths.VHOST_LIBRARY).exists():
        sys.exit(f"there is no {paths.VHOST_LIBRARY} in {folder}: meson setup build && ninja -C build")
    others = [path.name for path in folder.glob("lib*.so*") if not path.name.startswith("librte_vhost.so")]
    if others:
        sys.exit(f"{folder} has other libraries, which would be changed too: {', '.join(others)}")


def all_paths() -> list[str]:
    said = subprocess.run([BENCH, "--help"], capture_output=True, text=True, check=True, timeout=30).stdout
    return said.split("\npaths:")[1].split()


# -- one process ----------------------------------------------------------------------------------


class Runner:
    """Runs vhostx-bench with one library or the other."""

    def __init__(self, words: argparse.Namespace, folder: Path):
        self._words, self._out = words, folder / "bench.json"
        self._options = ["--loop" if words.loop else "--single", "--alone", DRIVER, "--sizes", words.sizes,
                         "--queues", words.queues, "--rounds", str(words.inner), "--bursts", str(words.bursts)]
        self._options += ["--hugepages"] if words.hugepages else []
        self.report: dict = {}
        self.libraries: dict[str, str] = {}

    def run(self, who: str, path: str) -> list[dict]:
        """Rows of one process: `who` is "peer" or "ours"."""
        env = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
        if who == "ours":
            env["LD_LIBRARY_PATH"] = str(self._words.library)
        done = subprocess.run([BENCH, *self._options, "--paths", path, "--json", self._out], env=env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=PROCESS_SECONDS)
        if done.returncode:
            sys.exit(f"{path} on {who}: vhostx-bench failed\n{done.stderr.strip()}")
        self.report = json.loads(self._out.read_text(encoding="utf-8"))
        self._check(who)
        return self.report["rows"]

    def _check(self, who: str) -> None:
        """The process had the library that was meant, and nothing else differs."""
        loaded = {re.split(r"\.so\b", Path(name).name)[0]: name for name in self.report["libraries"]}
        library = loaded.pop("librte_vhost", "none")
        if (Path(library).parent.resolve() == self._words.library) != (who == "ours"):
            sys.exit(f"{who}: vhostx-bench ran on {library}")
        rest = " ".join(sorted(loaded.values()))
        if self.libraries.setdefault("rest", rest) != rest:
            sys.exit(f"other libraries changed too: {rest} for {self.libraries['rest']}")
        self.libraries[who] = library


# -- figures --------------------------------------------------------------------------------------


def spread(values: list[float]) -> float:
    """Half of the middle half, as a share of the median: as vhostx-bench has it."""
    values = sorted(values)
    nr = len(values)
    return (values[nr * 3 // 4] - values[nr // 4]) / 2 / statistics.median(values)


def row_of(pairs: list[dict[str, dict]]) -> dict:
    """One row from the same row of each pair of processes; vhostx-bench's keys."""
    first = pairs[0]["ours"]
    row = {key: first[key] for key in ("mode", "path", "size", "queues", "ports", "kind", "unit")}
    values = {who: [pair[who]["ours"] for pair in pairs] for who in ("peer", "ours")}  # each was alone
    for who, its in values.items():
        row |= {who: statistics.median(its), f"{who}_spread": spread(its)}
    ratios = [peer / ours for peer, ours in zip(values["peer"], values["ours"])]
    if row["unit"] in MORE_IS_BETTER:
        ratios = [1 / ratio for ratio in ratios]
    row |= {"ratio": statistics.median(ratios), "ratio_spread": spread(ratios), "floor": None, "distance": None,
            "floor_ratio": None}
    if first["floor"]:
        # The same code in both: how far its ratio is from 1 is what the method may be wrong by.
        row |= {"floor": statistics.median(pair["ours"]["floor"] for pair in pairs),
                "distance": statistics.median(pair["ours"]["distance"] for pair in pairs),
                "floor_ratio": statistics.median(pair["peer"]["floor"] / pair["ours"]["floor"] for pair in pairs)}
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}


def measure(runner: Runner, names: list[str], nr_rounds: int) -> list[dict]:
    """Every path once in each round, so that a slow minute of the machine is shared by all."""
    pairs: dict[str, list[dict[str, list[dict]]]] = {name: [] for name in names}
    start, nr_done = time.monotonic(), 0
    for number in range(nr_rounds):
        order = ("peer", "ours") if number % 2 == 0 else ("ours", "peer")
        for name in names:
            pairs[name].append({who: runner.run(who, name) for who in order})
            nr_done += 1
            left = (time.monotonic() - start) / nr_done * (nr_rounds * len(names) - nr_done)
            tell_progress(f"round {number + 1} of {nr_rounds}, {name}: {left / 60:.0f} minutes to go", nr_done == 1)
    rows = []
    for name in names:
        for at in range(len(pairs[name][0]["ours"])):
            rows.append(row_of([{who: pair[who][at] for who in pair} for pair in pairs[name]]))
    return rows


def tell_progress(text: str, is_first: bool) -> None:
    """Who does not sit at a terminal hears once how long it will be."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif is_first:
        print(text, file=sys.stderr, flush=True)


# -- telling --------------------------------------------------------------------------------------


def without_repository(name: str | Path) -> str:
    path = Path(name)
    return str(path.relative_to(paths.repo_root())) if path.is_relative_to(paths.repo_root()) else str(path)


def said_by(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=paths.repo_root(), timeout=20)
    except OSError:
        return None
    return done.stdout.strip() or None


def describe(runner: Runner, words: argparse.Namespace, rows: list[dict]) -> dict:
    libraries = {who: without_repository(runner.libraries[who]) for who in ("peer", "ours")}
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **{key: runner.report[key] for key in DESCRIPTION if key in runner.report},
        "command": [without_repository(Path(__file__).resolve()), *(without_repository(word) for word in sys.argv[1:])],
        "drivers": [f"{DRIVER} on Debian's librte_vhost", f"{DRIVER} on vhostx's librte_vhost"],
        "libraries": libraries,
        "versions": {"peer": said_by("dpkg-query", "-W", "-f", "${Version}", "librte-vhost23"),
                     "ours": said_by("git", "describe", "--always", "--dirty")},
        "burst": runner.report["burst"], "rounds": words.rounds, "rounds_a_process": words.inner,
        "bursts_a_round": words.bursts, "rows": rows,
    }


def json_text(report: dict) -> str:
    """With one row a line, as vhostx-bench writes it."""
    head = json.dumps({key: value for key, value in report.items() if key != "rows"}, indent=2).removesuffix("\n}")
    rows = ",\n    ".join(json.dumps(row) for row in report["rows"])
    return f'{head},\n  "rows": [\n    {rows}\n  ]\n}}\n'


def cell(row: dict, who: str) -> str:
    digits = 1 if row["unit"] in MORE_IS_BETTER else 0
    return f"{row[who]:.{digits}f} ± {row[f'{who}_spread'] * 100:.0f}%"


def table_of(rows: list[dict]) -> str:
    """Markdown, as doc/performance.md has it: a line for each path, size and number of queues."""
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    lines = ["| path | bytes | q | " + " | ".join(f"{kind}: Debian's | ours | ratio" for kind in kinds) + " |",
             "|---" * (3 + 3 * len(kinds)) + "|"]
    groups: dict[tuple, dict[str, dict]] = {}
    for row in rows:
        groups.setdefault((row["path"], row["size"], row["queues"]), {})[row["kind"]] = row
    for key, group in groups.items():
        cells = [word for kind in kinds for word in (cell(group[kind], "peer"), cell(group[kind], "ours"),
                                                     f"**{group[kind]['ratio']:.2f}**")]
        lines.append("| " + " | ".join([*map(str, key), *cells]) + " |")
    return "\n".join(lines)


def tell(report: dict) -> None:
    rows = report["rows"]
    print(f"{report['dpdk']}, {report['cpu']}, --{report['mode']}; {report['rounds']} pairs of processes, "
          f"median ± half of the middle half\nDebian's: {report['libraries']['peer']} {report['versions']['peer']}\n"
          f"ours: {report['libraries']['ours']} {report['versions']['ours']}\n\n{table_of(rows)}\n")
    floors = [row["floor_ratio"] for row in rows if row["floor_ratio"]]
    if floors:
        print(f"the floor, the same code in both, differed by a factor of {min(floors):.3f} to {max(floors):.3f}")
    worse = [f"{row['path']} {row['size']} {row['kind']} {row['ratio']:.2f}" for row in rows if row["ratio"] <= 1]
    print("\n  not: ".join([f"{len(rows) - len(worse)} of {len(rows)} rows are better on ours", *worse]))


def main() -> None:
    words = words_of_command_line()
    check_library(words.library)
    with tempfile.TemporaryDirectory(prefix="vhostx-") as folder:
        runner = Runner(words, Path(folder))
        names = words.paths.split(",") if words.paths else all_paths()
        rows = measure(runner, names, words.rounds)
        tell_progress("", False)
        report = describe(runner, words, rows)
    if words.json:
        words.json.write_text(json_text(report), encoding="utf-8")
    tell(report)


if __name__ == "__main__":
    main()
