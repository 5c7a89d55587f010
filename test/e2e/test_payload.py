# SPDX-License-Identifier: BSD-3-Clause
"""Every byte of every packet: virtio-user -> driver under test -> virtio-user, compared in order."""

from dataclasses import dataclass

import pytest

from e2e_rig import (PcapLoop, back_end, be_lossless, connect, front_end, front_end_for,
                     pcap_vdev)
from lab import paths, pcap

ETHERNET = [60, 64, 65, 127, 128, 256, 1500, 1514]
ALL_SIZES = ETHERNET + [2048, 4000, 9000]
SMALL_MBUF = 512  # 384 bytes of data behind the headroom
# Up to 7 segments of one packet go into an indirect table, more become a plain chain: that is how
# virtio-user sends. Where IN_ORDER was agreed on it makes plain chains only.
INDIRECT = [400, 768, 769, 1500, 2000, 2600]
CHAINED = [3100, 4000, 8999, 9000]


@dataclass(frozen=True)
class Case:
    """One arrangement; the defaults are the plainest."""

    name: str
    sizes: tuple[int, ...] = tuple(ETHERNET)
    queues: int = 1
    ring: int = 256
    mergeable: bool = True
    front_mbuf: int | None = None
    back_mbuf: int | None = None
    front_serves: bool = False
    in_order: bool = True
    packed: bool = False
    count: int = 2000

    def vhost(self, sock) -> str:
        return paths.vhost_vdev(0, sock, queues=self.queues, client=int(self.front_serves))

    def virtio_user(self, sock) -> str:
        keys = {"queues": self.queues, "queue_size": self.ring, "mrg_rxbuf": int(self.mergeable),
                "in_order": int(self.in_order), "packed_vq": int(self.packed)}
        if self.queues > 1:
            keys["cq"] = 1
        if self.front_serves:
            keys["server"] = 1
        return paths.virtio_user_vdev(0, sock, **keys)


def _sweep() -> list[Case]:
    """Sizes x mergeable, then each further axis on its own and the corners where axes meet."""
    jumbo = tuple(ALL_SIZES)
    cases = [Case(f"{size}B", sizes=(size,), count=700) for size in ALL_SIZES]
    cases += [Case(f"{size}B-nomrg", sizes=(size,), mergeable=False, count=700)
              for size in (60, 1514, 9000)]
    cases += [Case(f"ring{ring}-{'mrg' if mergeable else 'nomrg'}", ring=ring, mergeable=mergeable,
                   count=3000)
              for ring in (256, 1024) for mergeable in (True, False)]
    cases += [
        Case("ring32768", ring=32768, sizes=jumbo, count=10000),
        Case("2queues", queues=2),
        Case("4queues", queues=4),
        Case("4queues-nomrg-ring1024", queues=4, mergeable=False, ring=1024),
        Case("4queues-jumbo", queues=4, sizes=jumbo, count=600),
        Case("not-in-order", in_order=False),
        Case("not-in-order-nomrg", in_order=False, mergeable=False),
        Case("indirect", sizes=tuple(INDIRECT), front_mbuf=SMALL_MBUF, in_order=False),
        Case("segments-in-order", sizes=tuple(INDIRECT), front_mbuf=SMALL_MBUF),
        Case("chained", sizes=tuple(CHAINED), front_mbuf=SMALL_MBUF, count=600),
        Case("chained-and-indirect", sizes=tuple(INDIRECT + CHAINED), front_mbuf=SMALL_MBUF,
             in_order=False, count=1000),
        Case("small-back-mbufs", sizes=jumbo, back_mbuf=SMALL_MBUF, count=1000),
        Case("small-mbufs-both", sizes=jumbo, front_mbuf=SMALL_MBUF, back_mbuf=SMALL_MBUF,
             count=1000),
        Case("front-serves", front_serves=True),
        Case("front-serves-4queues", front_serves=True, queues=4),
    ]
    return cases


def _packed_sweep() -> list[Case]:
    """The packed layout: both ways to give back x mergeable, then shapes, sizes and queues.

    A packed ring may have any size; QEMU insists on powers of two, virtio-user took these.
    """
    jumbo = tuple(ALL_SIZES)
    cases = [Case(f"packed-{'in-order' if in_order else 'any-order'}-{'mrg' if mrg else 'nomrg'}",
                  packed=True, in_order=in_order, mergeable=mrg, sizes=jumbo, count=1500)
             for in_order in (False, True) for mrg in (False, True)]
    cases += [Case(f"packed-{name}", packed=True, **keywords) for name, keywords in {
        "indirect": dict(sizes=tuple(INDIRECT), front_mbuf=SMALL_MBUF, in_order=False),
        "segments-in-order": dict(sizes=tuple(INDIRECT), front_mbuf=SMALL_MBUF),
        "chained": dict(sizes=tuple(CHAINED), front_mbuf=SMALL_MBUF, count=600),
        # In order: otherwise virtio-user stops for good, with any back-end, once chains too long
        # for a table have filled its packed ring.
        "small-mbufs-both": dict(sizes=jumbo, front_mbuf=SMALL_MBUF, back_mbuf=SMALL_MBUF,
                                 count=1000),
        "4queues": dict(queues=4),
        "ring300": dict(ring=300, sizes=jumbo, in_order=False),
        "ring255-in-order-nomrg": dict(ring=255, mergeable=False),
        "ring32768": dict(ring=32768, count=10000),
        "front-serves": dict(front_serves=True, in_order=False),
    }.items()]
    return cases


@pytest.mark.parametrize("case", _sweep() + _packed_sweep(), ids=lambda case: case.name)
def test_every_byte_arrives(folder, case):
    carry(folder, case)


def carry(folder, case: Case) -> None:
    """There and back: every byte is compared, every packet and byte counted."""
    loop = PcapLoop(folder, case.queues)
    source = loop.prepare(list(case.sizes), case.count)
    sock = folder / "sock"
    mbufs = max(32768, case.ring * 2 + 8192)
    with back_end(folder, case.vhost(sock), queues=case.queues, mbuf_size=case.back_mbuf) as back, \
         front_end_for(folder, list(case.sizes), source, case.virtio_user(sock),
                       mergeable=case.mergeable, mbuf_size=case.front_mbuf, queues=case.queues,
                       mbufs=mbufs) as front:
        loop.run(back, front)
        total = loop.total()
        counted = back.stats(0)
    octets = sum(len(packet) for packets in loop.sent for packet in packets)
    assert (counted["RX-packets"], counted["TX-packets"]) == (total, total)
    assert (counted["RX-bytes"], counted["TX-bytes"]) == (octets, octets)


def test_two_ports_both_ways(folder):
    """Port 0 forwards to port 1 and back at once; each direction keeps its own bytes."""
    ways = [pcap.make_packets(ETHERNET, 3000, seed=seed) for seed in (10, 20)]
    for way, packets in enumerate(ways):
        pcap.write(folder / f"in{way}.pcap", packets)
    vhosts = [paths.vhost_vdev(port, folder / f"sock{port}") for port in (0, 1)]
    sources = [pcap_vdev(way, [folder / f"in{way}.pcap"], [folder / f"out{way}.pcap"])
               for way in (0, 1)]
    users = [paths.virtio_user_vdev(port, folder / f"sock{port}") for port in (0, 1)]
    with back_end(folder, *vhosts) as back, \
         front_end(folder, sources[0], users[0], sources[1], users[1]) as front:
        connect(back, front, back_port=0, front_port=1)
        connect(back, front, back_port=1, front_port=3)
        be_lossless(back, front)
        back.start()
        front.start()
        front.wait_stat("TX-packets", 3000, port=0)
        front.wait_stat("TX-packets", 3000, port=2)
    for way in (0, 1):
        wrong = pcap.difference(ways[way], pcap.read(folder / f"out{1 - way}.pcap"))
        assert wrong is None, f"from port {way} to port {1 - way}: {wrong}"
