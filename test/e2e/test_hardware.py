# SPDX-License-Identifier: BSD-3-Clause
"""virtio-user on hardware made of software: the device in loopback of test/model/soft_vdpa.c.

No back-end testpmd here; what comes back went through rings that the library only handed out.
"""

import os
from pathlib import Path

import pytest

from e2e_rig import PCAP_PORT, VIRTIO_PORT, PcapLoop, be_lossless, front_end_for
from lab import paths
from lab.process import Process

SIZES = [60, 64, 128, 1500, 1514]


@pytest.fixture
def hardware(folder):
    program = Path(os.environ["VHOSTX_BUILD"]) / "test" / "wire" / "backend"
    with Process([program, f"vdpa:2:{folder / 'sock'}"], folder / "backend.log") as process:
        process.wait_for("ready", 10)
        yield process


@pytest.mark.parametrize("ring", [256, 1024])
@pytest.mark.usefixtures("ours_only", "hardware")
def test_every_byte_comes_back(folder, ring):
    loop = PcapLoop(folder)
    virtio_user = paths.virtio_user_vdev(0, folder / "sock", queue_size=ring)
    with front_end_for(folder, SIZES, loop.prepare(SIZES, 2000), virtio_user) as front:
        front.wait_link(VIRTIO_PORT)
        be_lossless(front)
        front.start()
        front.wait_stat("TX-packets", loop.total(), PCAP_PORT, 30)
        front.stop_forwarding()
    loop.compare()
