# SPDX-License-Identifier: BSD-3-Clause
"""How full the rings are: as extended statistics, in telemetry, and descriptor by descriptor."""

import re

import pytest

from e2e_rig import back_end, connect, front_end
from lab import paths, telemetry

pytestmark = pytest.mark.usefixtures("ours_only")

SIZE = 256


def _status(back, way: str, number: int) -> str:
    answer = back.command(f"show port 0 {way}q 0 desc {number} status")
    return re.search(r"status = (\w+)", answer).group(1)


def _waiting(back) -> int:
    return int(re.search(r"count = (\d+)", back.command("show port 0 rxq 0 desc used count")).group(1))


def _gauges(back, way: str) -> tuple[int, ...]:
    counters = back.xstats(0)
    return tuple(counters[f"{way}_q0_ring_{name}"] for name in ("size", "available", "used"))


def test_without_front_end_there_is_no_ring(folder):
    with back_end(folder) as back:
        assert [_status(back, way, 0) for way in ("rx", "tx")] == ["UNAVAILABLE"] * 2
        assert _waiting(back) == 0
        assert [_gauges(back, way) for way in ("rx", "tx")] == [(0, 0, 0)] * 2
        queue = telemetry.query(back.prefix, "/vhostx/queue,0,1")
        assert (queue["size"], queue["available"], queue["used"]) == (0, 0, 0)


@pytest.mark.parametrize("layout", ["split", "packed"])
def test_rings_fill_and_empty(folder, layout):
    keys = {"packed_vq": 1} if layout == "packed" else {}
    vdev = paths.virtio_user_vdev(0, folder / "sock", **keys)
    with back_end(folder, forward="rxonly") as back, \
            front_end(folder, vdev, forward="txonly") as front:
        connect(back, front, front_port=0)
        assert _gauges(back, "rx") == (SIZE, 0, SIZE)
        assert _status(back, "rx", 0) == "AVAILABLE"
        assert f"burst mode: {layout}" in back.command("show rxq info 0 0").lower()
        _, room, taken = _gauges(back, "tx")
        assert room >= SIZE - 1 and room + taken == SIZE
        assert _status(back, "tx", room - 1) == "DONE"
        front.start()
        front.wait_stat("TX-packets", SIZE // 2)
        front.stop_forwarding()
        waiting = _waiting(back)
        assert waiting > SIZE // 2 and _gauges(back, "rx") == (SIZE, waiting, SIZE - waiting)
        assert _status(back, "rx", waiting - 1) == "DONE"
        assert telemetry.query(back.prefix, "/vhostx/queue,0,1")["available"] == waiting
        back.command("clear port xstats 0")
        assert _gauges(back, "rx")[1] == waiting, "a gauge was reset"
        back.start()
        back.wait_stat("RX-packets", SIZE // 2)
        back.stop_forwarding()
        assert _gauges(back, "rx") == (SIZE, 0, SIZE) and _status(back, "rx", 0) == "AVAILABLE"


def test_a_full_guest_has_no_room(folder):
    """The guest does not receive: our packets stay with it, buffer by buffer."""
    with back_end(folder, forward="txonly") as back, front_end(folder) as front:
        connect(back, front, front_port=0)
        back.start()
        back.wait_stat("TX-packets", SIZE - 1)
        back.stop_forwarding()
        assert _gauges(back, "tx") == (SIZE, 0, SIZE)
        assert [_status(back, "tx", number) for number in (0, SIZE - 1)] == ["FULL"] * 2


@pytest.mark.parametrize("bits, kernels", [(128, {"SSE", "NEON", "generic"}),
                                           (256, {"AVX2", "SSE", "NEON", "generic"})])
def test_burst_mode_names_the_kernel_in_use(folder, bits, kernels):
    """What the CPU has, never more than EAL allows."""
    with back_end(folder, eal_extra=[f"--force-max-simd-bitwidth={bits}"]) as back:
        mode = re.search(r"Burst mode: (.*)", back.command("show rxq info 0 0")).group(1).strip()
        layout, _, kernel = mode.partition(", ")
        assert layout == "Split ring"
        assert kernel in kernels
