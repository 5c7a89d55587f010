# SPDX-License-Identifier: BSD-3-Clause
"""Thousands of devices in one process: all run, each is small, a storm loses nobody, nothing is left.

The program, build/test/scale/scale, plays both sides and ends with an error at the first thing that does not hold. Times are
printed, and not judged: a machine may be busy.
"""

import json
import subprocess

import pytest

NR_DEVICES = 2000
NR_AT_ONCE = 500
IDLE_BYTES = 64 * 1024
KEPT_BYTES = 2 * 1024 * 1024  # what malloc and the kernel's page tables of threads may keep, however long it went on
LINES_A_SECOND = 10


def _run(build_dir, *words) -> dict:
    done = subprocess.run([build_dir / "test" / "scale" / "scale", *map(str, words)], capture_output=True, text=True,
                          timeout=2900, check=False)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip().removeprefix("skipped: "))
    assert done.returncode == 0, done.stderr[-4000:]
    figures = json.loads(done.stdout)
    print(*words, figures)
    return figures


@pytest.mark.parametrize("threads, packed", [(1, 0), (4, 1)], ids=["one-thread-split", "four-threads-packed"])
def test_thousands_of_devices_run(build_dir, threads, packed):
    """Each has its front-end, its memory and rings, moves a packet both ways; the program checks that, and what is left."""
    figures = _run(build_dir, "devices", NR_DEVICES, threads, packed)
    assert figures["heap"] <= IDLE_BYTES and figures["anonymous"] <= IDLE_BYTES
    # Listener, connection, its other end, two kicks, two calls; one mapping of the guest's one region.
    assert figures["files"] < 7.1 and figures["maps"] < 1.1


@pytest.mark.soak(2, 50)
@pytest.mark.limit(600)
def test_devices_come_and_go_and_leave_nothing(build_dir, rounds):
    figures = _run(build_dir, "churn", 1000 if rounds > 2 else 300, rounds)
    assert figures["files"] == 0
    assert abs(figures["maps"]) <= 4  # of malloc's, for its threads
    assert figures["heap"] < KEPT_BYTES and figures["anonymous"] < KEPT_BYTES


@pytest.mark.soak(1, 20)
@pytest.mark.parametrize("threads", [1, 4])
def test_a_storm_of_front_ends_is_served(build_dir, rounds, threads):
    """All connect in the same instant, each to its own socket; a port that runs meanwhile never finds its queue closed."""
    for _ in range(rounds):
        figures = _run(build_dir, "storm", NR_AT_ONCE, threads)
        assert figures["bystander_refused"] == 0 and figures["bystander_moved"] > 0


@pytest.mark.soak(1, 20)
def test_a_crowd_at_one_socket(build_dir, rounds):
    """One is served, all others are turned away at once and by name, in a log that they cannot flood."""
    for _ in range(rounds):
        figures = _run(build_dir, "crowd", NR_AT_ONCE)
        assert figures["served"] == 1
        assert 1 <= figures["named"] <= LINES_A_SECOND * (figures["seconds"] + 2)  # the clock's seconds may change
        assert figures["named"] == figures["lines"]
        assert figures["bystander_refused"] == 0


@pytest.mark.soak(2, 40)
@pytest.mark.limit(600)
def test_thousands_of_clients_wait_and_connect(build_dir, rounds):
    """They share one inotify instance, of which a user has 128, and none while all are connected."""
    figures = _run(build_dir, "clients", NR_DEVICES, rounds)
    assert figures["inotify"] == 1
