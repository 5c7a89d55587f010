# SPDX-License-Identifier: BSD-3-Clause
"""vhostx-bench measures what it says: each mode in a few short rounds, files, refusals, the chart."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import paths

SHORT = ["--rounds", "5", "--bursts", "20", "--millis", "20"]
BENCH = paths.build_dir() / "app" / "vhostx-bench"
CHART = paths.repo_root() / "devtools" / "bench-chart.py"
DESCRIPTION = {"date", "cpu", "machine", "kernel", "dpdk", "cores", "hugepages", "mode", "command", "drivers",
               "burst", "rounds", "rows"}


def _bench(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([BENCH, *words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120, check=False)


def _measure(folder, *words: str, short=SHORT) -> dict:
    """Run it; return what it wrote to its JSON file."""
    out = folder / "bench.json"
    done = _bench(*words, *short, "--json", str(out))
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


def _kinds(report: dict) -> list[str]:
    return [row["kind"] for row in report["rows"]]


def _check_figures(report: dict) -> None:
    for row in report["rows"]:
        assert row["peer"] > 0 and row["ours"] > 0 and row["ratio"] > 0, row


def test_single(folder):
    report = _measure(folder, "--single", "--paths", "split-mergeable,packed-vector", "--sizes", "64,1518")
    assert _kinds(report) == ["pull", "push", "idle"] * 4
    assert [row["size"] for row in report["rows"]] == [64] * 3 + [1518] * 3 + [64] * 3 + [1518] * 3
    _check_figures(report)
    for row in report["rows"]:
        assert row["unit"] == "cycles"
        if row["kind"] == "idle":
            assert row["floor"] is None
        else:
            assert row["floor"] > 0 and 0.05 < row["distance"] < 3


def test_logged(folder):
    """Percent of what it takes without a log; a busy machine allows no narrower judgement."""
    report = _measure(folder, "--logged", "--paths", "split-mergeable,packed-mergeable", "--sizes", "64")
    assert _kinds(report) == ["pull", "push", "idle"] * 2
    _check_figures(report)
    for row in report["rows"]:
        assert row["unit"] == "%" and 20 < row["ours"] < 1000, row


def test_description(folder):
    report = _measure(folder, "--idle", "--paths", "split-vector,split-mergeable")
    assert DESCRIPTION <= report.keys()
    assert report["drivers"] == ["net_vhost", "net_vhostx"] and report["hugepages"] is False
    assert report["dpdk"].startswith("DPDK ")
    assert "split-vector,split-mergeable" in report["command"], "a list was cut up before it was told"


def test_idle(folder):
    report = _measure(folder, "--idle", "--paths", "split-mergeable")
    assert _kinds(report) == ["idle"]
    _check_figures(report)


def test_loop(folder):
    """Two lcores on whatever the machine has: packets arrive in all three directions."""
    report = _measure(folder, "--loop", "--paths", "packed-mergeable", "--sizes", "64", "--queues", "1,2")
    assert _kinds(report) == ["pull", "push", "both"] * 2
    assert [row["queues"] for row in report["rows"]] == [1] * 3 + [2] * 3
    assert {row["unit"] for row in report["rows"]} == {"Mpps"}
    _check_figures(report)


def test_ports(folder):
    report = _measure(folder, "--ports", "3", "--paths", "split-mergeable", "--sizes", "64")
    assert [row["ports"] for row in report["rows"]] == [1] * 3 + [2] * 3 + [3] * 3
    _check_figures(report)


DEVICE_KINDS = ["heap", "resident", "attach", "pull", "push", "idle"]


def _devices(folder, *words: str, nr: int = 5) -> dict:
    return _measure(folder, "--devices", str(nr), "--sizes", "64", *words, short=["--rounds", "3", "--bursts", "8"])


@pytest.mark.parametrize("path", ["split-mergeable", "packed-mergeable", "split-inorder-nonmergeable",
                                  "packed-vector"])
def test_devices(folder, path):
    """Packets move through each device, beside a floor, and nobody claims a peer."""
    report = _devices(folder, "--paths", path)
    assert _kinds(report) == DEVICE_KINDS * 4
    assert [row["ports"] for row in report["rows"]] == [1] * 6 + [2] * 6 + [4] * 6 + [5] * 6
    assert report["drivers"] == [None, "libvhostcore"]
    for row in report["rows"]:
        assert row["peer"] is None and row["ratio"] is None
        if row["kind"] in DEVICE_KINDS[3:]:
            assert row["ours"] > 0 and row["floor"] > 0 and 0.05 < row["distance"] < 3, row


@pytest.mark.parametrize("path", ["split-mergeable", "packed-mergeable"])
def test_devices_behind_an_iommu(folder, path):
    """Packets move through entries of 4 KiB, and through one for all."""
    for kib in ("4", "2048"):
        report = _devices(folder, "--paths", path, "--iommu", kib)
        assert all(row["ours"] > 0 for row in report["rows"] if row["kind"] in DEVICE_KINDS[3:])


@pytest.mark.parametrize("words", [[], ["--iommu", "4"], ["--regions", "8"]], ids=["plain", "iommu", "regions"])
def test_ports_as_devices(folder, words):
    """Both drivers' ports, with front-ends of ours."""
    report = _devices(folder, "--drivers", "net_vhost,net_vhostx", *words, nr=2)
    assert _kinds(report) == DEVICE_KINDS[3:] * 4
    assert all(row["ours"] > 0 and row["peer"] > 0 and row["floor"] > 0 for row in report["rows"])


def test_an_idle_device_is_small(folder):
    """At most 64 KiB beside what is its front-end's; pages of a handful of devices are too few to count."""
    heaps = [row for row in _devices(folder)["rows"] if row["kind"] == "heap"]
    assert {row["path"] for row in heaps} == {"split-mergeable", "packed-mergeable"}
    for row in heaps:
        assert row["unit"] == "KiB" and 0 < row["ours"] <= 64, row


@pytest.mark.parametrize("path", ["split-mergeable", "packed-mergeable"])
def test_many_regions(folder, path):
    """As many as a device takes; every packet arrives, or the program ends."""
    assert _kinds(_devices(folder, "--paths", path, "--regions", "509")) == DEVICE_KINDS * 4


def test_devices_leave_no_file(folder):
    with subprocess.Popen([BENCH, "--devices", "2", "--rounds", "1", "--json", folder / "bench.json"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as bench:
        assert bench.wait(60) == 0
    assert not list(Path("/tmp").glob(f"vhostx-bench-{bench.pid}-*"))


def test_too_few_files():
    """Says how many descriptors are wanted, before it has opened any."""
    as_anybody = ["setpriv", "--bounding-set=-sys_resource"] if os.geteuid() == 0 else []
    done = subprocess.run(["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *as_anybody, BENCH, "--devices", "1024"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "1024 devices need" in done.stderr and "ulimit -n" in done.stderr


def test_matrix_has_every_size_and_queue(folder):
    report = _measure(folder, "--idle", "--matrix", "--paths", "split-mergeable", short=["--rounds", "1", "--bursts", "1"])
    assert [row["queues"] for row in report["rows"]] == [1, 2, 4]
    report = _measure(folder, "--matrix", "--paths", "split-mergeable", "--queues", "1",
                      short=["--rounds", "1", "--bursts", "1"])
    assert [row["size"] for row in report["rows"][::3]] == [64, 128, 256, 512, 1024, 1518]


def test_peer_against_itself(folder):
    """The method favours nobody: the same driver on both sides is as good as itself."""
    report = _measure(folder, "--drivers", "net_vhost,net_vhost", "--paths", "split-mergeable", "--sizes", "64",
                      short=["--rounds", "31", "--bursts", "60"])
    for row in report["rows"]:
        assert 0.7 < row["ratio"] < 1.4, row


def test_alone(folder):
    """One driver, its floor, nobody to compare with; which libraries it ran on is said."""
    report = _measure(folder, "--alone", "net_vhost", "--paths", "split-mergeable", "--sizes", "64")
    assert _kinds(report) == ["pull", "push", "idle"]
    assert report["drivers"] == [None, "net_vhost"]
    assert {"librte_net_vhost", "librte_vhost"} <= {Path(name).name.split(".so")[0] for name in report["libraries"]}
    for row in report["rows"]:
        assert row["ours"] > 0 and row["peer"] is None and row["ratio"] is None
    report = _measure(folder, "--ports", "2", "--alone", "net_vhostx", "--paths", "split-mergeable", "--sizes", "64")
    assert [row["ports"] for row in report["rows"]] == [1] * 3 + [2] * 3
    assert all(row["ours"] > 0 for row in report["rows"])


def test_csv_says_what_json_says(folder):
    report = _measure(folder, "--paths", "split-mergeable", "--sizes", "64", "--csv", str(folder / "bench.csv"))
    with open(folder / "bench.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == _kinds(report)
    for of_csv, of_json in zip(rows, report["rows"]):
        assert of_csv.keys() == of_json.keys()
        assert float(of_csv["ratio"]) == of_json["ratio"]
        assert (of_csv["floor"] == "") == (of_json["floor"] is None)


def test_progress_is_for_terminals(folder):
    done = _bench("--idle", "--paths", "split-mergeable", *SHORT)
    assert done.returncode == 0
    assert "\r" not in done.stdout + done.stderr and "round" not in done.stderr


@pytest.mark.parametrize("words, sentence", [
    (["--paths", "split-nothing"], 'there is no path "split-nothing"'),
    (["--sizes", "63"], '"63" is not a number from 64 to 1518'),
    (["--ports", "15"], '"15" is not a number from 1 to 14'),
    (["--devices", "4097"], '"4097" is not a number from 1 to 4096'),
    (["--devices", "4", "--queues", "2"], "one pair of queues"),
    (["--devices", "4", "--iommu", "12"], "a power of two"),
    (["--single", "--iommu", "4"], "with --devices only"),
    (["--devices", "4", "--iommu", "4", "--regions", "8"], "--iommu and --regions: one of them"),
    (["--devices", "15", "--drivers", "net_vhost,net_vhostx"], "of drivers there may be 14"),
    (["--devices", "1", "--drivers", "net_vhost,net_vhostx", "--regions", "9"], "with --drivers at most 8"),
    (["--drivers", "net_vhost"], "two names are needed"),
    (["--alone", "net_vhost,net_vhostx"], "one name is needed"),
    (["--alone", "net_vhost", "--drivers", "net_vhost,net_vhostx"], "two names are needed"),
    (["--loop", "--idle"], "--loop and --idle: one at a time"),
    (["--no-huge"], "unrecognized option"),
], ids=["path", "size", "ports", "devices", "devices-queues", "iommu-size", "iommu-without-devices", "iommu-and-regions",
        "devices-drivers", "regions-drivers", "drivers", "alone", "alone-and-drivers", "modes", "eal-option"])
def test_refused(words, sentence):
    done = _bench(*words)
    assert done.returncode == 2
    assert sentence in done.stderr


@pytest.mark.parametrize("words", [["--sizes", "64,128"], ["--devices", "4", "--sizes", "64,128"]],
                         ids=["drivers", "devices"])
@pytest.mark.parametrize("suffix, start", [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_chart(folder, words, suffix, start):
    pytest.importorskip("matplotlib", reason="matplotlib is missing: devtools/setup.sh bench installs it")
    _measure(folder, "--paths", "split-mergeable,packed-vector", *words)
    out = folder / f"chart.{suffix}"
    subprocess.run([sys.executable, CHART, folder / "bench.json", out], check=True, timeout=60)
    drawn = out.read_bytes()
    assert drawn.startswith(start) and len(drawn) > 5000
