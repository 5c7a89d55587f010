# SPDX-License-Identifier: BSD-3-Clause
"""The port as an application sees it: arguments, names of counters, telemetry, hot plug, versions."""

import json
import subprocess

import pytest

from e2e_rig import back_end, front_end, connect
from lab import paths, telemetry
from lab.process import ProcessError

pytestmark = pytest.mark.usefixtures("ours_only")

KEYS = ("iface", "queues", "client", "iommu-support", "postcopy-support", "tso", "linear-buffer",
        "ext-buffer", "legacy-ol-flags")

# What dashboards made for Debian's net_vhost look for, for each queue and direction.
PEER_COUNTERS = ("good_packets", "good_bytes", "multicast_packets", "broadcast_packets",
                 "undersize_packets", "size_64_packets", "size_65_127_packets", "size_128_255_packets",
                 "size_256_511_packets", "size_512_1023_packets", "size_1024_1518_packets",
                 "size_1519_max_packets", "guest_notifications")


def _refusal(folder, args: str) -> str:
    """What the driver says about a port with these arguments."""
    with pytest.raises(ProcessError) as caught:
        with back_end(folder, f"net_vhostx0,{args}", extra=["--stats-period=0"]) as back:
            back.command("show port info 0")
            back.command("show port xstats 0")
            pytest.fail(back.explain("accepted the arguments"))
    return str(caught.value)


@pytest.mark.parametrize("key", KEYS[3:])
def test_a_feature_that_is_off_may_be_switched_off(folder, key):
    with back_end(folder, f"net_vhostx0,iface={folder}/sock,{key}=0") as back:
        assert telemetry.query(back.prefix, "/vhostx/list") == [0]
