# SPDX-License-Identifier: BSD-3-Clause
"""A guest with an IOMMU: its rings and buffers are where that shows them, and its front-end knows where that is."""

import struct
import time

from channel import Channel
from driver import BASIC_FEATURES, GUEST_BASE, NO_STATUS, RING_SPACE, USER_BASE, Driver, Memory, PackedRing, Ring
from frontend import BackendRequest, Feature, FrontEnd, Request, bits, iotlb, region

FEATURES = BASIC_FEATURES | bits(Feature.ACCESS_PLATFORM, Feature.INDIRECT_DESC)
IOVA_BASE = 0xFFFF_8000_0000  # where the guest's IOMMU shows its memory to the device
PAGE = 4096
MISS, UPDATE, INVALIDATE, ACCESS_FAIL = 1, 2, 3, 4
READ, WRITE, BOTH = 1, 2, 3
ASK = BackendRequest.IOTLB_MSG
PACKED = bits(Feature.RING_PACKED)


class Mapped(Memory):
    """Memory whose rings and descriptors say where the IOMMU shows it, not where it is."""

    def __init__(self):
        super().__init__(guest=IOVA_BASE, user=IOVA_BASE)

    def region(self, start: int = 0, size: int | None = None) -> bytes:
        return region(GUEST_BASE + start, self.size - start if size is None else size, USER_BASE + start, start)


class Guest(Driver):
    """A driver, the IOMMU in front of it, and the front-end that knows what that permits."""

    def __init__(self, front: FrontEnd, nr_rings: int = 2, ring_class: type[Ring] = Ring, memory: Memory | None = None):
        super().__init__(front, nr_rings, memory or Mapped(), 256, ring_class)
        self.is_packed = ring_class is PackedRing
        self.channel: Channel | None = None
        self.asked: list[tuple[int, int]] = []  # address and permission, as they came
        self.old_faults: list[dict[str, int]] = []

    def close(self) -> None:
        if self.channel:
            self.channel.close()
        super().close()

    def begin(self, features: int = FEATURES, protocol: int = NO_STATUS, *, channel: bool = True) -> "Guest":
        """All but the translations: the rings are asked for when this returns."""
        self.negotiate(features | (PACKED if self.is_packed else 0), protocol)
        if channel:
            self.channel = Channel(self.front)
        self.share_memory()
        for ring in self.rings:
            self.set_up_ring(ring.index, 0x80008000 if self.is_packed else 0)
        self.enable()
        return self

    # -- what the front-end says ------------------------------------------------------------

    def update(self, offset: int, size: int = PAGE, perm: int = BOTH, place: int | None = None) -> None:
        """Show `size` bytes of memory from `place` on at this offset of the IOMMU's addresses."""
        user = USER_BASE + (offset if place is None else place)
        self.front.do(Request.IOTLB_MSG, iotlb(UPDATE, IOVA_BASE + offset, size, user, perm))

    def invalidate(self, offset: int, size: int = PAGE) -> None:
        self.front.do(Request.IOTLB_MSG, iotlb(INVALIDATE, IOVA_BASE + offset, size))

    def next_miss(self) -> tuple[int, int]:
        """Offset and permission of the next address we are asked for."""
        request, _, payload, fds = self.channel.receive()
        iova, size, user, perm, kind = struct.unpack("=QQQBB6x", payload)
        assert (request, kind, size, user, fds) == (ASK, MISS, 0, 0, [])
        assert IOVA_BASE <= iova < IOVA_BASE + self.memory.size and perm in (READ, WRITE)
        self.asked.append((iova - IOVA_BASE, perm))
        return self.asked[-1]

    def answer(self, value: int = 0) -> None:
        self.channel.answer(ASK, value)

    def serve_one(self, perm: int = BOTH) -> int:
        """As QEMU does: the page on one socket, and when that is answered, the answer on the other."""
        offset, _ = self.next_miss()
        self.update(offset & ~(PAGE - 1), perm=perm)
        self.answer()
        return offset

    def serve(self, until) -> None:
        """Translate what is asked for until it is so."""
        deadline = time.monotonic() + 10
        while not until():
            assert time.monotonic() < deadline, f"asked for {self.asked}"
            if not self.channel.is_silent(0.01):
                self.serve_one()

    def show_rings(self) -> None:
        """Without being asked."""
        for ring in self.rings:
            self.update(ring.at, RING_SPACE)
