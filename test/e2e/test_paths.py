# SPDX-License-Identifier: BSD-3-Clause
"""Each of virtio-user's ten data paths x sizes from 64 to 65000 bytes x queues x ring sizes.

Every byte is compared, as in test_payload.py. One pair of processes moves all sizes, mixed; which path it
took is read from virtio-user's own words, so that no case silently tests another path.

Without mergeable buffers a packet has to fit one mbuf. So there the front-end's mbufs are as large as they
can be, and a test of its own says what happens to 65000 bytes where they are not.
"""

from dataclasses import dataclass

import pytest

from e2e_rig import PcapLoop, a_thread_each, back_end, front_end
from lab import paths
from lab.testpmd import Testpmd

# Most are small, so that a run is over soon; yet rings wrap several times, and all sizes meet each other.
ETHERNET = (64, 65, 127, 128, 256, 1500, 2048)
SIZES = ETHERNET * 3 + (9000,) + ETHERNET + (65000,)
MTU_MAX = 9218  # what virtio-user agrees to; larger frames pass all the same
LARGEST_MBUF, JUMBO_MBUF = 65408, 9856


@dataclass(frozen=True)
class Path:
    """One of virtio-user's, and what it says when it takes it.

    mbuf of the front-end; no_vector: one receive offload, which keeps it from its vector functions.
    """

    name: str
    packed: bool
    mergeable: bool
    in_order: bool
    rx: str
    tx: str
    vector: bool = False
    no_vector: bool = False
    mbuf: int | None = None

    def virtio_user(self, sock, queues: int, ring: int) -> str:
        keys = {"queues": queues, "queue_size": ring, "mrg_rxbuf": int(self.mergeable),
                "in_order": int(self.in_order), "packed_vq": int(self.packed),
                "vectorized": int(self.vector)}
        return paths.virtio_user_vdev(0, sock, **keys, **({"cq": 1} if queues > 1 else {}))


def _split(name: str, **keywords) -> Path:
    return Path(f"split-{name}", packed=False, **keywords)


def _packed(name: str, rx: str, tx: str = "packed ring standard", **keywords) -> Path:
    return Path(f"packed-{name}", packed=True, rx=f"packed ring {rx}", tx=tx, **keywords)


ALL_PATHS = [
    _split("mergeable", mergeable=True, in_order=False, rx="mergeable buffer", tx="standard"),
    _split("nonmergeable", mergeable=False, in_order=False, rx="standard", tx="standard", no_vector=True,
           mbuf=LARGEST_MBUF),
    _split("inorder-mergeable", mergeable=True, in_order=True, rx="inorder", tx="inorder"),
    _split("inorder-nonmergeable", mergeable=False, in_order=True, rx="inorder", tx="inorder",
           no_vector=True, mbuf=LARGEST_MBUF),
    _split("vector", mergeable=False, in_order=False, rx="vectorized", tx="standard", vector=True,
           mbuf=LARGEST_MBUF),
    # Chains too long for an indirect table make virtio-user stop for good, with any back-end, once they
    # have filled its packed ring, unless it works in order; 65000 bytes are seven of these mbufs.
    _packed("mergeable", mergeable=True, in_order=False, rx="mergeable buffer", mbuf=JUMBO_MBUF),
    _packed("nonmergeable", mergeable=False, in_order=False, rx="standard", mbuf=LARGEST_MBUF),
    _packed("inorder-mergeable", mergeable=True, in_order=True, rx="mergeable buffer"),
    _packed("inorder-nonmergeable", mergeable=False, in_order=True, rx="standard", mbuf=LARGEST_MBUF),
    _packed("vector", mergeable=False, in_order=True, rx="vectorized", tx="packed ring vectorized",
            vector=True, mbuf=LARGEST_MBUF),
]


def front_on(path: Path, folder, *vdevs: str, queues: int = 1, mbuf: int | None = None) -> Testpmd:
    """The front-end, its ports started, on this very path; virtio-user is the last of its ports."""
    port = len(vdevs) - 1
    front = front_end(folder, *vdevs, queues=queues, mbuf_size=mbuf, max_frame=MTU_MAX, mbufs=4096,
                      extra=["--disable-device-start"],
                      eal_extra=["--force-max-simd-bitwidth=512", "--log-level=pmd.net.virtio.init:info"])
    if path.mergeable:
        front.command(f"port config {port} rx_offload scatter on")
    if path.no_vector:
        front.command(f"port config {port} rx_offload vlan_strip on")
    said = front.command("port start all")
    for way, words in (("Rx", path.rx), ("Tx", path.tx)):
        assert f"virtio: using {words} {way} path on port {port}" in said, said
    return front


def pcap_in_front(loop: PcapLoop, path: Path, ring: int) -> dict[str, int]:
    """in.pcap -> guest -> back-end, small mbufs -> guest -> out.pcap; what the back-end counted."""
    folder, queues, sock = loop.folder, loop.queues, loop.folder / "sock"
    with back_end(folder, paths.vhost_vdev(0, sock, queues=queues), queues=queues) as back, \
         front_on(path, folder, loop.vdev(), path.virtio_user(sock, queues, ring), queues=queues,
                  mbuf=path.mbuf) as front:
        loop.run(back, front)
        return back.stats(0)


def pcap_behind(loop: PcapLoop, path: Path, ring: int) -> dict[str, int]:
    """in.pcap -> back-end -> guest, merged buffers -> back-end -> out.pcap; what the back-end counted.

    net_pcap cuts what it has to gather from several mbufs at 16128 bytes. So the files are where mbufs
    are large, and the guest's are not.
    """
    folder, queues, sock = loop.folder, loop.queues, loop.folder / "sock"
    vdevs = [loop.vdev(), paths.vhost_vdev(0, sock, queues=queues)]
    with back_end(folder, *vdevs, queues=queues, mbuf_size=LARGEST_MBUF, mbufs=4096,
                  **a_thread_each(2 * queues)) as back, \
         front_on(path, folder, path.virtio_user(sock, queues, ring), queues=queues,
                  mbuf=path.mbuf) as front:
        loop.run(back, front, back_port=1, front_port=0, filer=back)
        return back.stats(1)


def _cases() -> list:
    """Packed rings may have any size: one odd, one larger than a power of two."""
    return [pytest.param(path, queues, ring, id=f"{path.name}-{queues}q-ring{ring}")
            for path in ALL_PATHS for queues in (1, 2, 4)
            for ring in ((83, 128, 300) if path.packed else (64, 256))]


@pytest.mark.parametrize("path, queues, ring", _cases())
def test_every_byte_on_every_path(folder, path, queues, ring):
    carry(folder, path, queues, ring)


def carry(folder, path: Path, queues: int, ring: int, sizes: tuple[int, ...] = SIZES) -> None:
    """There and back on this very path: every byte is compared, every packet and byte counted."""
    loop = PcapLoop(folder, queues)
    loop.prepare(list(sizes), max(900 // queues, 450))
    counted = (pcap_behind if path.mergeable else pcap_in_front)(loop, path, ring)
    octets = sum(len(packet) for packets in loop.sent for packet in packets)
    assert (counted["RX-packets"], counted["TX-packets"]) == (loop.total(), loop.total())
    assert (counted["RX-bytes"], counted["TX-bytes"]) == (octets, octets)


@pytest.mark.parametrize("path", [path for path in ALL_PATHS if not path.mergeable],
                         ids=lambda path: path.name)
def test_too_large_for_one_buffer(folder, ours_only, path):
    """65000 bytes that fit no buffer of the guest are dropped and counted; what follows arrives."""
    loop = PcapLoop(folder)
    source = loop.prepare([64, 65000, 9000, 1500], 600)
    sock = folder / "sock"
    nr_sent = loop.total()
    loop.sent[0] = [packet for packet in loop.sent[0] if len(packet) < 65000]
    with back_end(folder, paths.vhost_vdev(0, sock)) as back, \
         front_on(path, folder, source, path.virtio_user(sock, 1, 256), mbuf=JUMBO_MBUF) as front:
        loop.run(back, front)
        counted = back.xstats(0)
    assert counted["rx_q0_good_packets"] == nr_sent
    assert counted["tx_q0_good_packets"] == loop.total()
    assert counted["tx_q0_too_long_packets"] == nr_sent - loop.total()
