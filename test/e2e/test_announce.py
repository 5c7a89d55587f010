# SPDX-License-Identifier: BSD-3-Clause
"""After a migration the front-end asks us to announce the guest: the application gets the frame."""

import pytest

from e2e_rig import back_end, pcap_vdev
from lab import paths, pcap
from wire_guest import Request, guest

MAC = bytes.fromhex("525400abcdef")
RARP = (b"\xff" * 6 + MAC + bytes.fromhex("8035" "0001080006040003") + MAC + bytes(4) + MAC).ljust(60, b"\0")


@pytest.mark.usefixtures("ours_only")
def test_the_application_gets_each_announcement(folder):
    """Forwarded to a file, so that its bytes can be looked at."""
    nothing, out = folder / "in.pcap", folder / "out.pcap"
    pcap.write(nothing, [])
    vdevs = [paths.vhost_vdev(0, folder / "sock"), pcap_vdev(0, [nothing], [out])]
    with back_end(folder, *vdevs) as back, guest(folder / "sock") as driver:
        back.wait_link(0)
        back.start()
        for nr in range(1, 4):
            driver.front.do(Request.SEND_RARP, MAC + bytes(2))
            back.wait_stat("RX-packets", nr, 0)
        back.wait_stat("TX-packets", 3, 1)
        assert back.xstats(0)["rx_q0_broadcast_packets"] == 3
    assert pcap.read(out) == [RARP] * 3
