# SPDX-License-Identifier: BSD-3-Clause
"""Switches between virtio-user processes: what goes in at one socket comes out at the other.

vhostx-net works chains; doc/examples/l2switch.c works the rings itself, as programs for DPDK do, and is tried on our
library and on DPDK's.
"""

import pytest

from e2e_rig import PCAP_PORT, VIRTIO_PORT, front_end, pcap_vdev
from lab import paths, pcap
from lab.process import Process

SIZES = [60, 64, 65, 127, 128, 256, 1500, 1514]
COUNT = 200  # fits into the receiver's ring: an Ethernet drops what nobody takes
RINGS = {
    "split": {},
    "split-in-order": {"in_order": 1},
    "packed": {"packed_vq": 1},
    "packed-in-order": {"packed_vq": 1, "in_order": 1},
}


@pytest.fixture
def switch(folder, ours_only):
    argv = [paths.build_dir() / "app" / "vhostx-net", folder / "a", folder / "b"]
    with Process(argv, folder / "switch.log", stdin="null") as process:
        yield process
        assert process.is_alive(), process.explain("died")


def carry(folder, rings: str) -> None:
    """Every byte from socket a to socket b."""
    keys = {"in_order": 0, "queue_size": 256, **RINGS[rings]}
    sent = pcap.make_packets(SIZES, COUNT)
    pcap.write(folder / "in.pcap", sent)
    pcap.write(folder / "none.pcap", [])
    ends = {"a": [[folder / "in.pcap"], [folder / "unused.pcap"]],
            "b": [[folder / "none.pcap"], [folder / "out.pcap"]]}
    with front_end(folder, pcap_vdev(0, *ends["b"]),
                   paths.virtio_user_vdev(0, folder / "b", **keys)) as receiver:
        receiver.wait_link(VIRTIO_PORT)
        receiver.start()
        with front_end(folder, pcap_vdev(0, *ends["a"]),
                       paths.virtio_user_vdev(0, folder / "a", **keys)) as sender:
            sender.wait_link(VIRTIO_PORT)
            sender.start()
            receiver.wait_stat("TX-packets", COUNT, PCAP_PORT)
            sender.stop_forwarding()
        receiver.stop_forwarding()
    wrong = pcap.difference(sent, pcap.read(folder / "out.pcap"))
    assert wrong is None, wrong


@pytest.mark.parametrize("rings", RINGS)
def test_chains(folder, switch, rings):
    carry(folder, rings)


@pytest.mark.parametrize("program", ["l2switch", "l2switch-dpdk"])
def test_rings_by_hand(folder, ours_only, program):
    """The example: one source on two libraries."""
    argv = [paths.build_dir() / "doc" / "examples" / program, "--no-pci", "--no-huge", "--no-shconf", "-m", "64",
            "--lcores=0@0,1@1", "--", folder / "a", folder / "b"]
    with Process(argv, folder / "switch.log", stdin="null") as switch:
        switch.wait_for("2 ports")
        carry(folder, "split")
        assert switch.is_alive(), switch.explain("died")
