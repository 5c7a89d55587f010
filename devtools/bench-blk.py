#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Measure vhostx-blk against QEMU 10's storage daemon: disks in memory, and in a file.

Each setting is one run of vhostx-blk-bench, in which rounds of all back-ends alternate. Back-ends are on one core,
the driver on another; whose turn it is not sleeps.

  memory   vhostx-blk --memory; vhostx-blk and the daemon with a file on /dev/shm
  file     both with a preallocated file in --folder, through the page cache, as either does by default

The daemon has no single best way: `aio` io_uring or threads, an I/O thread or none. Each is measured, and "best of
QEMU" is, for each row of the table, the one that was fastest there.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lab import blk, disk, guest, paths  # noqa: E402  (needs the path above)

BENCH = paths.build_dir() / "app" / "vhostx-blk-bench"
SHM = Path("/dev/shm")
OURS = "vhostx"
QEMU = "qemu"
DAEMONS = {
    f"{QEMU}-uring": {"aio": "io_uring"},
    f"{QEMU}-threads": {"aio": "threads"},
    f"{QEMU}-uring-io": {"aio": "io_uring", "iothread": ""},
    f"{QEMU}-uring-io-nopoll": {"aio": "io_uring", "iothread": "poll-max-ns=0"},
}
SETTINGS = ("memory", "file")


def words_of_command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--settings", default=",".join(SETTINGS), metavar="A,B", help="memory,file (default: both)")
    parser.add_argument("--size", type=int, default=256, metavar="MIB", help="of each disk (default 256)")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), metavar="FOLDER",
                        help="on a real disk, for the file (default /var/tmp)")
    parser.add_argument("--rounds", type=int, default=11, metavar="N", help="as vhostx-blk-bench has it (default 11)")
    parser.add_argument("--millis", type=int, default=200, metavar="N", help="likewise (default 200)")
    parser.add_argument("--patterns", metavar="A,B", help="likewise (default: all)")
    parser.add_argument("--packed", action="store_true", help="packed rings where offered (QEMU's daemon: split)")
    parser.add_argument("--poll-us", type=int, metavar="N", help="vhostx-blk's own (default: its default)")
    parser.add_argument("--cores", default="1,0", metavar="BACK,DRIVER", help="cores of both sides (default 1,0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="rows, rounds and the machine's description")
    words = parser.parse_args()
    words.settings = words.settings.split(",")
    words.cores = words.cores.split(",")
    wrong = [name for name in words.settings if name not in SETTINGS]
    if wrong:
        parser.error(f"--settings: there is no setting {wrong[0]!r}")
    if len(words.cores) != 2 or not all(core.isdigit() for core in words.cores):
        parser.error("--cores: two numbers, as 1,0")
    allowed = os.sched_getaffinity(0)
    for core in map(int, words.cores):
        if core not in allowed:
            parser.error(f"--cores: there is no core {core} here, only {', '.join(map(str, sorted(allowed)))}")
    if words.size < 8:
        parser.error("--size: at least 8")
    if not words.folder.is_dir():
        parser.error(f"--folder: {words.folder} is not a folder")
    return words


def check_programs() -> None:
    missing = blk.what_is_missing() or disk.what_is_missing()
    if not missing and not BENCH.exists():
        missing = f"{BENCH} is not built: meson setup build && ninja -C build"
    if missing:
        sys.exit(missing)


def make_file(path: Path, mib: int) -> Path:
    """Allocated and written, so that no file system has anything to do for the first write of a block."""
    zeros = bytes(1 << 20)
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(zeros)
        file.flush()
        os.fsync(file.fileno())
    return path


# -- settings -------------------------------------------------------------------------------------


class Setting:
    """Back-ends of one setting, as long as a `with` block."""

    def __init__(self, words: argparse.Namespace, folder: Path, files: Path):
        self._words, self._folder, self._files = words, folder, files
        self._stack = contextlib.ExitStack()
        self._common = {"folder": folder, "before": ["taskset", "-c", words.cores[0]], "lifetime": 3600}
        self.backends: list = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    def _socket(self, name: str) -> Path:
        return self._folder / f"{name}.sock"

    def add_ours(self, name: str, *words: str | Path) -> None:
        if self._words.poll_us is not None:
            words += ("--poll-us", str(self._words.poll_us))
        self._keep(blk.VhostxBlk(*words, socket=self._socket(name), name=name, **self._common))

    def add_daemons(self) -> None:
        for name, options in DAEMONS.items():
            self._keep(disk.StorageDaemon(self.file(name), self._socket(name), name=name, **options, **self._common))

    def file(self, name: str) -> Path:
        path = self._files / f"{name}.img"
        self._stack.callback(path.unlink)
        return make_file(path, self._words.size)

    def _keep(self, backend) -> None:
        self.backends.append(self._stack.enter_context(backend))


def open_setting(name: str, words: argparse.Namespace, folder: Path) -> Setting:
    base = SHM if name == "memory" else words.folder
    files = Path(tempfile.mkdtemp(prefix="vhostx-blk-", dir=base))
    setting = Setting(words, folder, files)
    with contextlib.ExitStack() as on_error:
        on_error.push(setting)
        setting._stack.callback(files.rmdir)
        if name == "memory":
            setting.add_ours(f"{OURS}-memory", "--memory", f"{words.size}M")
        setting.add_ours(OURS, "--blk-file", setting.file(OURS))
        setting.add_daemons()
        on_error.pop_all()
    return setting


# -- measuring ------------------------------------------------------------------------------------


def run_bench(setting: Setting, words: argparse.Namespace, folder: Path) -> dict:
    out = folder / "bench.json"
    command = ["taskset", "-c", words.cores[1], BENCH, "--rounds", str(words.rounds), "--millis", str(words.millis),
               "--span", str(words.size), "--json", out]
    command += ["--packed"] if words.packed else []
    command += ["--patterns", words.patterns] if words.patterns else []
    command += [f"{backend.name}={backend.socket}" for backend in setting.backends]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True, check=False, timeout=7200)
    if done.returncode:
        sys.exit(f"vhostx-blk-bench failed: {done.stderr.strip()}")
    return json.loads(out.read_text(encoding="utf-8"))


def rates(row: dict) -> list[float]:
    return [sample["requests"] / sample["seconds"] for sample in row["samples"]]


def median(values: list[float]) -> float:
    """As vhostx-blk-bench has it."""
    return sorted(values)[len(values) // 2]


def compare(rows: list[dict]) -> list[dict]:
    """For each pattern and driver: our best, QEMU's best, and the ratio by rounds."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["pattern"], row["driver"]), []).append(row)
    found = []
    for (pattern, driver), group in groups.items():
        daemons = [row for row in group if row["backend"].startswith(QEMU)]
        peer = max(daemons, key=lambda row: row["requests_per_second"])
        for ours in (row for row in group if row["backend"].startswith(OURS)):
            ratios = [mine / its for mine, its in zip(rates(ours), rates(peer), strict=True)]
            found.append({"pattern": pattern, "driver": driver, "ours": ours, "peer": peer,
                          "ratio": round(median(ratios), 3)})
    return found


# -- telling --------------------------------------------------------------------------------------


def cells(row: dict) -> str:
    return (f"{row['requests_per_second']:>9.0f} ±{100 * row['spread']:>3.0f}% {row['mib_per_second']:>8.0f} "
            f"{row['p50_us']:>7.1f} {row['p99_us']:>7.1f} {row['cpu_us_per_request']:>7.2f}")


def tell(name: str, report: dict) -> None:
    half = f"{'requests/s':>9} {'':>4} {'MiB/s':>8} {'p50 us':>7} {'p99 us':>7} {'cpu us':>7}"
    print(f"\n{name}: {report['cpu']}, {report['rounds']} rounds of {report['millis_a_round']} ms\n"
          f"{'pattern':<16} {'by':<5} {'ours':<14} {half}   {'best of QEMU':<22} {half}  ratio")
    for line in compare(report["rows"]):
        ours, peer = line["ours"], line["peer"]
        print(f"{line['pattern']:<16} {line['driver']:<5} {ours['backend']:<14} {cells(ours)}   "
              f"{peer['backend']:<22} {cells(peer)} {line['ratio']:>6.2f}", flush=True)


def version(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=paths.repo_root(), timeout=20)
    return done.stdout.strip().split("\n", maxsplit=1)[0]


def report_of(words: argparse.Namespace, reports: dict[str, dict]) -> dict:
    first = next(iter(reports.values()))
    shared = {key: first[key] for key in ("date", "cpu", "machine", "kernel", "cores", "rounds", "millis_a_round",
                                          "span_mib")}
    return {**shared, "command": ["devtools/bench-blk.py", *sys.argv[1:]],
            "versions": {"qemu": version(guest.private_tool("qemu-storage-daemon"), "--version"),
                         "ours": version("git", "describe", "--always", "--dirty")},
            "qemu_options": DAEMONS, "cores_of": dict(zip(("backends", "driver"), words.cores)),
            "settings": {name: report["rows"] for name, report in reports.items()}}


def main() -> None:
    words = words_of_command_line()
    check_programs()
    reports = {}
    with tempfile.TemporaryDirectory(prefix="vhx-") as folder:
        for name in words.settings:
            with open_setting(name, words, Path(folder)) as setting:
                reports[name] = run_bench(setting, words, Path(folder))
            tell(name, reports[name])
    if words.json:
        words.json.write_text(json.dumps(report_of(words, reports), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
