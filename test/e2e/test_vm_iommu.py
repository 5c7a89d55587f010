# SPDX-License-Identifier: BSD-3-Clause
"""Guests whose IOMMU decides what the ports may reach: every packet's pages are shown and taken away."""

import pytest

from e2e_rig import BACK_LCORES, be_lossless
from lab import paths, telemetry
from lab.guest import IOMMU_PROPS, Guest, GuestPair, behind_iommu
from lab.testpmd import Testpmd

pytestmark = pytest.mark.usefixtures("guest_image")

ACCESS_PLATFORM, RING_PACKED = 33, 34
RINGS = {"split": {}, "packed": {"packed": "on"}, "in-pieces": {"rx_queue_size": 1024, "tx_queue_size": 1024}}
PIECE = 256 << 10  # of a stream: every packet is a few round trips to QEMU
PIECE_TAKES = 4  # seconds, on a busy machine
LIFETIME = 3600  # of each program, in case nobody ends it


@pytest.fixture
def switch(folder, ours_only):
    """One that waits where a ring takes no packet: a buffer that is asked for is as good as none."""
    vdevs = [paths.vhost_vdev(port, folder / f"vm{port}", iommu_support=1) for port in (0, 1)]
    with Testpmd(vdevs, folder=folder, name="switch", lcores=BACK_LCORES, lifetime=LIFETIME) as made:
        be_lossless(made)
        made.start()
        yield made


def faults(switch) -> dict[str, int]:
    return {f"{port} {name}": value for port in (0, 1) for name, value in switch.xstats(port).items()
            if "fault" in name and value}


def pair_of(folder, qemu, rings, *, strict, pieces):
    return GuestPair(folder, (folder / "vm0", folder / "vm1"), qemu=qemu, props=IOMMU_PROPS | RINGS[rings],
                     options={"bytes": pieces * PIECE, "pings": 20}, lifetime=LIFETIME, **behind_iommu(strict=strict))


@pytest.mark.limit(300)
@pytest.mark.soak(1, 200)
@pytest.mark.parametrize("rings", RINGS)
def test_strict_guests(folder, switch, qemu, rings, rounds):
    """Each page is mapped for one packet and unmapped after it: nothing is lost or changed, nothing is a fault."""
    with pair_of(folder, qemu, rings, strict=True, pieces=rounds) as pair:
        assert pair.what_went_wrong(240 + PIECE_TAKES * rounds) is None
        assert pair.server.has_feature(ACCESS_PLATFORM)
        assert pair.server.has_feature(RING_PACKED) == (rings == "packed")
        assert faults(switch) == {}
        for port in (0, 1):
            seen = switch.xstats(port)
            assert seen["iotlb_misses"] > 100 and seen["iotlb_invalidations"] > 100, seen
            assert seen["iotlb_refused"] == 0
            assert telemetry.query(switch.prefix, f"/vhostx/info,{port}")["iommu"]["on"] == 1


@pytest.mark.limit(300)
@pytest.mark.soak(4, 400)
def test_guests_that_take_all_away(folder, switch, qemu, rounds):
    """Not strict, a guest invalidates everything at once, its rings too, while packets flow."""
    with pair_of(folder, qemu, "split", strict=False, pieces=rounds) as pair:
        assert pair.what_went_wrong(240 + PIECE_TAKES * rounds) is None
        assert faults(switch) == {}
        assert switch.link(0) and switch.link(1)


def test_offered_and_not_there(folder, switch, qemu):
    """Guests without an IOMMU are served as by any port."""
    with GuestPair(folder, (folder / "vm0", folder / "vm1"), qemu=qemu, options={"bytes": PIECE}) as pair:
        assert pair.what_went_wrong() is None
        assert switch.xstats(0)["iotlb_misses"] == 0


def test_wanted_and_not_offered(folder, ours_only, qemu):
    """A port without iommu-support=1: QEMU refuses such a device rather than let it reach everything."""
    with Testpmd([paths.vhost_vdev(0, folder / "vm0")], folder=folder, name="switch", lcores=BACK_LCORES) as switch:
        switch.start()
        with Guest("guest", folder / "vm0", folder=folder, qemu=qemu, props=IOMMU_PROPS,
                   **behind_iommu(strict=True)) as vm:
            vm.wait_for("iommu_platform=true is not supported by the device", 30)
