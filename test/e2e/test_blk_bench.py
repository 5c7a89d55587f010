# SPDX-License-Identifier: BSD-3-Clause
"""vhostx-blk-bench measures disks that do what they say, tells the truth of them, and refuses the others."""

import json
import re
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from lab import blk, disk, paths

BENCH = paths.build_dir() / "app" / "vhostx-blk-bench"
LYING_DISK = paths.build_dir() / "test" / "lying_disk"
PATTERNS = {"randread-4k-1": (4096, 1), "randread-4k-32": (4096, 32), "randwrite-4k-1": (4096, 1),
            "randwrite-4k-32": (4096, 32), "read-1m-4": (1 << 20, 4), "write-1m-4": (1 << 20, 4)}
SHORT = ["--rounds", "1", "--millis", "30", "--span", "8"]
PATIENCE_SECONDS = 5


def _bench(*words) -> subprocess.CompletedProcess:
    return subprocess.run([BENCH, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          check=False)


def _measure(folder: Path, *words, short=SHORT) -> tuple[dict, str]:
    """Run it; what it wrote to its JSON file, and its table."""
    out = folder / "bench.json"
    done = _bench(*words, *short, "--json", out)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text(encoding="utf-8")), done.stdout


def _lying_disk(folder: Path, mode: str = "honest", *words: str, name: str = "disk") -> blk.BackEnd:
    return blk.BackEnd([LYING_DISK, None, mode, *words], folder / f"{name}.sock", folder=folder, name=name)


@pytest.fixture
def qsd(folder):
    missing = disk.what_is_missing()
    if missing:
        pytest.skip(missing)
    with disk.StorageDaemon(disk.sparse_file(folder / "disk.img", 16 << 20), folder / "qsd.sock",
                            folder=folder) as back:
        yield back


def _spread(values: list[float]) -> float:
    values = sorted(values)
    return (values[len(values) * 3 // 4] - values[len(values) // 4]) / 2 / values[len(values) // 2]


def _check_row(row: dict) -> None:
    """What is told of all rounds follows from the rounds."""
    size, depth = PATTERNS[row["pattern"]]
    assert (row["size"], row["depth"]) == (size, depth)
    rates = [sample["requests"] / sample["seconds"] for sample in row["samples"]]
    assert row["requests_per_second"] == pytest.approx(statistics.median(rates), rel=1e-4, abs=2e-6) and min(rates) > 0
    assert row["spread"] == pytest.approx(_spread(rates), rel=1e-4, abs=2e-6)
    assert row["mib_per_second"] == pytest.approx(row["requests_per_second"] * size / (1 << 20), rel=1e-4, abs=2e-6)
    for key in ("p50_us", "p99_us"):
        assert row[key] == pytest.approx(statistics.median(sample[key] for sample in row["samples"]), abs=1e-3)
    assert 0 < row["p50_us"] <= row["p99_us"]
    # With so many under way none takes longer, on average, than so many at the rate that was seen.
    assert row["p50_us"] < 4 * depth * 1e6 / min(rates)
    costs = [sample["cpu_seconds"] * 1e6 / sample["requests"] for sample in row["samples"]]
    # Told with four digits behind the point.
    assert row["cpu_us_per_request"] == pytest.approx(statistics.median(costs), rel=1e-4, abs=6e-5) and max(costs) > 0
    assert all(sample["cpu_seconds"] < 4 * sample["seconds"] + 0.1 for sample in row["samples"])
    kicks = [sample["kicks"] / sample["requests"] for sample in row["samples"]]
    assert row["kicks_per_request"] == pytest.approx(statistics.median(kicks), rel=1e-4, abs=2e-6)


# -- measuring -------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["split", "packed"])
def test_qemu_storage_daemon(folder, qsd, layout):
    """Every pattern, polling and sleeping. It has no packed rings, and the table says what it got."""
    report, said = _measure(folder, f"qsd={qsd.socket}", f"--{layout}")
    rows = report["rows"]
    assert [row["pattern"] for row in rows] == list(PATTERNS) * 2
    assert [row["driver"] for row in rows] == ["poll"] * 6 + ["wait"] * 6
    assert [row["chains"] for row in rows] == ["direct"] * 6 + ["indirect"] * 6
    assert {row["ring"] for row in rows} == {"split"} and "packed" not in said
    for row in rows:
        _check_row(row)
        assert len(row["samples"]) == 1 and row["ratio"] is None
        assert 0.03 <= row["samples"][0]["seconds"] < 2
    assert {"date", "cpu", "machine", "kernel", "cores", "command"} <= report.keys()
    assert report["backends"] == ["qsd"] and report["rounds"] == 1 and report["span_mib"] == 8


@pytest.mark.parametrize("words", [[], ["--no-event-idx"], ["--direct"], ["--indirect"]],
                         ids=["plain", "no-event-idx", "direct", "indirect"])
def test_both_layouts(folder, words):
    """What the driver was told to be is what it is, in each of four ways to be one."""
    with _lying_disk(folder) as back:
        report, _ = _measure(folder, f"disk={back.socket}", "--split", "--packed", *words)
    rows = report["rows"]
    assert [(row["ring"], row["driver"]) for row in rows[::6]] == [
        ("split", "poll"), ("split", "wait"), ("packed", "poll"), ("packed", "wait")]
    assert {row["event_idx"] for row in rows} == {"--no-event-idx" not in words}
    if {"--direct", "--indirect"} & set(words):
        assert {row["chains"] for row in rows} == {words[0].removeprefix("--")}
    for row in rows:
        _check_row(row)


def test_rounds_alternate(folder):
    """Medians and ratios of many rounds, of a back-end and another."""
    with _lying_disk(folder, name="a") as a, _lying_disk(folder, name="b") as b:
        report, said = _measure(folder, f"a={a.socket}", f"b={b.socket}", "--poll", "--patterns",
                                "randread-4k-32,read-1m-4", short=["--rounds", "7", "--millis", "10", "--span", "8"])
    rows = report["rows"]
    assert [(row["pattern"], row["backend"]) for row in rows] == [
        ("randread-4k-32", "a"), ("randread-4k-32", "b"), ("read-1m-4", "a"), ("read-1m-4", "b")]
    for first, second in zip(rows[::2], rows[1::2]):
        _check_row(first)
        _check_row(second)
        rates = [[sample["requests"] / sample["seconds"] for sample in row["samples"]] for row in (first, second)]
        ratios = [ours / other for ours, other in zip(*rates, strict=True)]
        assert len(ratios) == 7 and first["ratio"] is None
        assert second["ratio"] == pytest.approx(statistics.median(ratios), rel=1e-4, abs=2e-6)
        assert second["ratio_spread"] == pytest.approx(_spread(ratios), rel=1e-4, abs=2e-6)
    assert re.search(r"^randread-4k-32 +split +poll +b +\d+ ±", said, re.M), said


def test_a_disk_may_be_measured_again(folder):
    with _lying_disk(folder) as back:
        for _ in range(2):
            report, _ = _measure(folder, f"disk={back.socket}", "--poll", "--patterns", "randwrite-4k-1")
            _check_row(report["rows"][0])


# -- refusing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["--poll", "--wait"])
@pytest.mark.parametrize("mode, when, sentence", [
    ("forgets", "0", "disk: what was written at byte 0 is not what is read there"),
    ("forgets", "1000", "is not what is read there"),
    ("mixes", "0", "is not what is read there"),
    ("mixes", "1000", "is not what is read there"),
    ("fails", "0", "disk: a write of 1048576 bytes at byte 0 was answered with status 1"),
    ("fails", "1000", "was answered with status 1"),
    ("dies", "0", "disk has closed the connection"),
    ("dies", "1000", "disk has closed the connection"),
    ("small", "0", "disk: a disk of 1048576 bytes is too small, 8388608 are needed"),
    ("read-only", "0", "disk is read-only"),
    ("no-config", "0", "disk does not offer CONFIG"),
])
def test_a_bad_disk_is_not_measured(folder, driver, mode, when, sentence):
    """From the first request on, or when the warm-up is long over."""
    with _lying_disk(folder, mode, when) as back:
        done = _bench(f"disk={back.socket}", driver, *SHORT)
    assert done.returncode == 1
    assert sentence in done.stderr and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("driver", ["--poll", "--wait"])
def test_patience_ends(folder, driver):
    with _lying_disk(folder, "hangs", "1000") as back:
        began = time.monotonic()
        done = _bench(f"disk={back.socket}", driver, *SHORT)
    assert done.returncode == 1
    assert done.stderr == f"disk has not answered a request for {PATIENCE_SECONDS} seconds\n"
    assert PATIENCE_SECONDS <= time.monotonic() - began < PATIENCE_SECONDS + 5


def test_nobody_listens(folder):
    out = folder / "bench.json"
    done = _bench(f"disk={folder / 'nothing.sock'}", "--json", out)
    assert done.returncode == 1
    assert done.stderr == f"disk: nobody to talk to at {folder / 'nothing.sock'}: No such file or directory\n"
    assert json.loads(out.read_text(encoding="utf-8"))["rows"] == []


def test_json_that_cannot_be_written(folder):
    done = _bench("disk=/nothing", "--json", folder / "no" / "file")
    assert done.returncode == 1 and "cannot be written" in done.stderr


@pytest.mark.parametrize("words, sentence", [
    ([], "whom to measure? NAME=SOCKET is missing"),
    (["/run/a.sock"], '"/run/a.sock" is not NAME=SOCKET'),
    (["=/run/a.sock"], "is not NAME=SOCKET"),
    (["a="], '"a=" is not NAME=SOCKET'),
    (["a=/x", "a=/y"], "a: each back-end has a name and a socket of its own"),
    (["a=/x", "b=/x"], "b: each back-end has a name and a socket of its own"),
    ([f"{number}=/{number}" for number in range(9)], "more than 8 back-ends"),
    (["a=/x", "--rounds", "0"], '--rounds: "0" is not a number from 1 to 1000'),
    (["a=/x", "--millis", "1s"], '--millis: "1s" is not a number from 1 to 10000'),
    (["a=/x", "--span", "7"], '--span: "7" is not a number from 8 to 65536'),
    (["a=/x", "--patterns", "randread"], '--patterns: there is no pattern "randread"'),
    (["a=/x", "--patterns", ","], "--patterns: which?"),
    (["a=/x", "--patterns", ",".join(["read-1m-4"] * 17)], "--patterns: read-1m-4 is one too many"),
    (["a=/x", "--direct", "--indirect"], "--direct and --indirect: one at a time"),
    (["a=/x", "--fast"], "unrecognized option"),
])
def test_refused(words, sentence):
    done = _bench(*words)
    assert done.returncode == 2 and done.stdout == ""
    assert sentence in done.stderr


def test_help():
    done = _bench("--help")
    assert done.returncode == 0 and done.stderr == ""
    assert all(pattern in done.stdout for pattern in PATTERNS)
