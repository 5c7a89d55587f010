# SPDX-License-Identifier: BSD-3-Clause
"""An application may sleep on a receive queue: it wakes for packets, and only for them."""

import os
import re
import time
from pathlib import Path

import pytest

from e2e_rig import back_end, front_end, program
from lab import paths

IDLE_SECONDS = 1.0


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _send_one_burst(front) -> None:
    """tx_first sends a single burst and then forwards as set (rxonly: sends no more)."""
    front.command("start tx_first")
    front.stop_forwarding()


def _wake_three_times(sleeper, sender) -> None:
    sleeper.wait_for("asleep")
    for wake in range(3):
        busy = _cpu_seconds(sleeper.pid)
        time.sleep(IDLE_SECONDS)
        assert _cpu_seconds(sleeper.pid) - busy < IDLE_SECONDS / 4, "it polls"
        assert _wakes(sleeper) == wake, "it woke though nothing was sent"
        _send_one_burst(sender)
        _wait_for_wakes(sleeper, wake + 1)
    assert sleeper.wait(10) == 0


def test_sleeps_without_packets_and_wakes_for_them(folder):
    with program(folder, "rx_interrupt.c", paths.vhost_vdev(0, folder / "sock")) as sleeper:
        sleeper.wait_for("ready")
        with front_end(folder, forward="rxonly") as front:
            _wake_three_times(sleeper, front)


@pytest.mark.usefixtures("ours_only")
@pytest.mark.parametrize("policy", [{}, {"notify": "deferred"}, {"notify": "deferred", "notify_us": 10000}])
def test_a_guest_sleeps_and_is_woken(folder, policy):
    """The other way round, and whoever makes the interrupt."""
    with back_end(folder, paths.vhost_vdev(0, folder / "sock", **policy), forward="rxonly") as back, \
            program(folder, "rx_interrupt.c", paths.virtio_user_vdev(0, folder / "sock")) as guest:
        back.wait_link(0)
        _wake_three_times(guest, back)
        counted = back.xstats(0)
    assert counted["tx_q0_guest_notifications"] > 0
    assert (counted["tx_q0_guest_notifications_deferred"] > 0) == bool(policy)


def _wakes(sleeper) -> int:
    return len(re.findall(r"^woke after \d+ ms, [1-9]", sleeper.output(), re.M))


def _wait_for_wakes(sleeper, count: int) -> None:
    deadline = time.monotonic() + 5
    while _wakes(sleeper) < count:
        assert time.monotonic() < deadline, sleeper.explain(f"did not wake {count} times")
        time.sleep(0.02)
