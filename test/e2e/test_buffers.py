# SPDX-License-Identifier: BSD-3-Clause
"""linear-buffer, ext-buffer, legacy-ol-flags: frames longer than an mbuf, there and back."""

from pathlib import Path

import pytest

from e2e_rig import PcapLoop, back_end, be_lossless, connect, front_end_for
from lab import paths
from wire_guest import guest

SIZES = [60, 64, 1500, 1900, 4000, 9000, 16000]  # net_pcap writes no more than 16128 bytes of a frame
ARGS = [{}, {"ext_buffer": 1}, {"ext_buffer": 1, "linear_buffer": 1}, {"legacy_ol_flags": 1},
        {"tso": 1, "ext_buffer": 1, "legacy_ol_flags": 1}]


def _front(folder: Path, loop: PcapLoop, sizes: list[int], count: int, **keys: object):
    source = loop.prepare(sizes, count)
    return front_end_for(folder, sizes, source,
                         paths.virtio_user_vdev(0, folder / "sock", mrg_rxbuf=1, **keys))


def _name(args: dict) -> str:
    return "+".join(args) or "chains"


@pytest.mark.parametrize("packed", [0, 1], ids=["split", "packed"])
@pytest.mark.parametrize("args", ARGS, ids=_name)
def test_long_frames_arrive_intact(folder, args, packed):
    loop = PcapLoop(folder)
    with back_end(folder, paths.vhost_vdev(0, folder / "sock", **args)) as back, \
         _front(folder, loop, SIZES, 700, packed_vq=packed) as front:
        loop.run(back, front)
        assert back.stats(0)["RX-errors"] == 0


@pytest.mark.usefixtures("ours_only")
@pytest.mark.parametrize("args", ARGS, ids=_name)
def test_the_longest_frames_arrive_intact(folder, args):
    with back_end(folder, paths.vhost_vdev(0, folder / "sock", **args)) as back, \
         guest(folder / "sock") as driver:
        receive, send = driver.rings
        back.wait_link(0)
        back.start()
        for number, length in enumerate((9000, 65000, 65407, 65408, 65535)):
            frame = bytes(12) + b"\x88\xb5" + bytes((at * 7 + number) & 0xFF for at in range(length - 14))
            receive.post(33)
            send.send(frame)
            assert receive.receive()[1] == frame, f"{length} bytes"


@pytest.mark.usefixtures("ours_only")
def test_linear_buffers_take_what_fits_and_count_the_rest(folder):
    """In turn: one that fits an mbuf and one that does not."""
    loop = PcapLoop(folder)
    with back_end(folder, paths.vhost_vdev(0, folder / "sock", linear_buffer=1)) as back, \
         _front(folder, loop, [1500, 9000], 400) as front:
        connect(back, front)
        be_lossless(back, front)
        loop.sent = [[packet for packet in loop.sent[0] if len(packet) == 1500]]
        back.start()
        front.start()
        front.wait_stat("TX-packets", 200, 0)
        back.wait_stat("RX-errors", 200)
        front.stop_forwarding()
        back.stop_forwarding()
        assert back.xstats(0)["rx_q0_too_long_packets"] == 200
    loop.compare()
