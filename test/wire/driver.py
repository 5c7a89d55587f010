# SPDX-License-Identifier: BSD-3-Clause
"""The guest behind the front-end: memory in a memfd, rings in it, the usual way to start."""

import mmap
import os
import struct

from frontend import Feature, FrontEnd, Protocol, Request, Status, addr, bits, eventfd_count
from frontend import mem_reg, mem_table, region, state, u64

MEMORY_NAME = "vhostx-test-guest"  # as it appears in /proc/PID/maps
GUEST_BASE = 0x1_0000_0000
USER_BASE = 0x7F00_0000_0000
MEMORY_SIZE = 2 << 20

RING_SPACE = 128 << 10  # of each ring: its three parts
AVAIL_AT, USED_AT = 64 << 10, 80 << 10  # from the start of that space; room for 4096 entries
BUFFERS_AT = 1 << 20
BUFFER_SIZE = 2048
DESC_F_NEXT, DESC_F_WRITE = 1, 2
DESC_F_AVAIL, DESC_F_USED = 1 << 7, 1 << 15  # packed
PACKED_FRESH = 0x8000  # slot 0, wrap counter 1

ALL_PROTOCOL = bits(Protocol.MQ, Protocol.RARP, Protocol.REPLY_ACK, Protocol.MTU,
                    Protocol.BACKEND_REQ, Protocol.CONFIG, Protocol.RESET_DEVICE,
                    Protocol.CONFIGURE_MEM_SLOTS, Protocol.STATUS, Protocol.BACKEND_SEND_FD,
                    Protocol.HOST_NOTIFIER, Protocol.DEVICE_STATE)
NO_STATUS = ALL_PROTOCOL & ~bits(Protocol.STATUS)
BASIC_FEATURES = bits(Feature.VERSION_1, Feature.PROTOCOL_FEATURES, Feature.MRG_RXBUF)
READY = Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK | Status.DRIVER_OK


class Memory:
    """Guest memory in a memfd, which is one region unless a test says otherwise."""

    def __init__(self, size: int = MEMORY_SIZE, guest: int = GUEST_BASE, user: int = USER_BASE):
        self.size, self.guest, self.user = size, guest, user
        self.fd = os.memfd_create(MEMORY_NAME, os.MFD_CLOEXEC)
        os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)

    def close(self) -> None:
        if not self.map.closed:
            self.map.close()
            os.close(self.fd)

    def region(self, start: int = 0, size: int | None = None) -> bytes:
        """Bytes start...start+size of it, as a region."""
        return region(self.guest + start, self.size - start if size is None else size,
                      self.user + start, start)

    def table(self) -> bytes:
        return mem_table(self.region())

    def reg(self, start: int = 0, size: int | None = None) -> bytes:
        return mem_reg(self.region(start, size))


class Ring:
    """The driver's half of one split ring."""

    def __init__(self, memory: Memory, index: int, size: int = 256, place: int | None = None):
        self.memory, self.index, self.size = memory, index, size
        self.at = (index if place is None else place) * RING_SPACE
        self.call = self.kick = -1
        self.avail_idx = 0
        self.buffer = 0
        self.buffers_at, self.buffer_size = BUFFERS_AT, BUFFER_SIZE

    def addr(self, flags: int = 0, log: int = 0) -> bytes:
        at = self.memory.user + self.at
        return addr(self.index, at, at + USED_AT, at + AVAIL_AT, flags, log)

    def clear(self) -> None:
        """As a driver leaves it that starts afresh."""
        self.memory.map[self.at:self.at + RING_SPACE] = bytes(RING_SPACE)
        self.avail_idx = 0

    def post_chain(self, pieces: list[tuple[int, int, int]]) -> None:
        """Make one chain available: (guest address, length, flags) of each piece; NEXT is added."""
        first = self.avail_idx * 4 % self.size
        slots = [(first + number) % self.size for number in range(len(pieces))]
        for slot, then, (guest, length, flags) in zip(slots, [*slots[1:], None], pieces):
            more = 0 if then is None else DESC_F_NEXT
            struct.pack_into("<QIHH", self.memory.map, self.at + 16 * slot, guest, length,
                             flags | more, then or 0)
        entry = self.at + AVAIL_AT + 4 + 2 * (self.avail_idx % self.size)
        struct.pack_into("<H", self.memory.map, entry, first)
        self.avail_idx = (self.avail_idx + 1) & 0xFFFF
        self.set_avail_idx(self.avail_idx)

    def buffer_at(self, slot: int) -> int:
        """Where in the memory a slot's buffer is."""
        return self.buffers_at + slot * self.buffer_size

    def post(self, count: int = 1, flags: int = DESC_F_WRITE) -> None:
        """Make `count` buffers available, writable ones unless `flags` say otherwise."""
        for _ in range(count):
            slot = self.avail_idx % self.size
            struct.pack_into("<QIHH", self.memory.map, self.at + 16 * slot,
                             self.memory.guest + self.buffer_at(slot), self.buffer_size, flags, 0)
            struct.pack_into("<H", self.memory.map, self.at + AVAIL_AT + 4 + 2 * slot, slot)
            self.avail_idx = (self.avail_idx + 1) & 0xFFFF
        self.set_avail_idx(self.avail_idx)

    def set_avail_idx(self, value: int) -> None:
        """In one store: pack_into() would let a control ring, which is served meanwhile, see 0."""
        with memoryview(self.memory.map) as view, view.cast("H") as halves:
            halves[(self.at + AVAIL_AT + 2) // 2] = value & 0xFFFF

    def set_used_idx(self, value: int) -> None:
        struct.pack_into("<H", self.memory.map, self.at + USED_AT + 2, value & 0xFFFF)

    def used_idx(self) -> int:
        return struct.unpack_from("<H", self.memory.map, self.at + USED_AT + 2)[0]

    def used(self, idx: int) -> tuple[int, int]:
        """Entry number `idx`: descriptor and length."""
        at = self.at + USED_AT + 4 + 8 * (idx % self.size)
        return struct.unpack_from("<II", self.memory.map, at)


class PackedRing(Ring):
    """The driver's half of one packed ring: one descriptor a buffer, its slot the buffer's id."""

    def __init__(self, memory: Memory, index: int, size: int = 256, place: int | None = None):
        super().__init__(memory, index, size, place)
        self.begin_at(PACKED_FRESH)

    def begin_at(self, place: int) -> None:
        """Slots before this one (bit 15: wrap counter) are used in this round, others in the last."""
        self.posted_at = self.used_at = place
        self.seen: list[tuple[int, int]] = []
        self.lengths: dict[int, int] = {}  # slots of a chain, by its id
        for slot in range(self.size):
            wrap = (place >> 15) if slot < (place & 0x7FFF) else 1 - (place >> 15)
            self._write(slot, 0, 0, DESC_F_AVAIL | DESC_F_USED if wrap else 0)

    def clear(self) -> None:
        super().clear()
        self.begin_at(PACKED_FRESH)

    def after(self, place: int) -> int:
        """The place one slot on."""
        slot, wrap = (place & 0x7FFF) + 1, place & 0x8000
        return slot | wrap if slot < self.size else wrap ^ 0x8000

    def post(self, count: int = 1, flags: int = DESC_F_WRITE) -> None:
        for _ in range(count):
            slot, wrap = self.posted_at & 0x7FFF, self.posted_at >> 15
            self._write(slot, self.memory.guest + self.buffer_at(slot), self.buffer_size,
                        flags | (DESC_F_AVAIL if wrap else DESC_F_USED))
            self.posted_at = self.after(self.posted_at)

    def post_chain(self, pieces: list[tuple[int, int, int]]) -> None:
        places = [self.posted_at]
        for _ in pieces:
            places.append(self.after(places[-1]))
        self.posted_at = places.pop()
        self.lengths[places[-1] & 0x7FFF] = len(pieces)
        for place, (guest, length, flags) in reversed(list(zip(places, pieces))):
            more = 0 if place == places[-1] else DESC_F_NEXT
            self._write(place & 0x7FFF, guest, length,
                        flags | more | (DESC_F_AVAIL if place >> 15 else DESC_F_USED))

    def _write(self, slot: int, guest: int, length: int, flags: int) -> None:
        struct.pack_into("<QIHH", self.memory.map, self.at + 16 * slot, guest, length, slot, flags)

    def used_idx(self) -> int:
        """How many buffers came back so far."""
        while len(self.seen) < 0xFFFF:
            at = self.at + 16 * (self.used_at & 0x7FFF)
            length, slot, flags = struct.unpack_from("<IHH", self.memory.map, at + 8)
            bits_of_used = DESC_F_AVAIL | DESC_F_USED if self.used_at >> 15 else 0
            if self.used_at == self.posted_at or flags & (DESC_F_AVAIL | DESC_F_USED) != bits_of_used:
                break
            self.seen.append((slot, length))
            for _ in range(self.lengths.pop(slot, 1)):
                self.used_at = self.after(self.used_at)
        return len(self.seen)

    def used(self, idx: int) -> tuple[int, int]:
        return self.seen[idx]


class Driver:
    """A guest that starts the usual way, step by step; a test may leave steps out or add others."""

    def __init__(self, front: FrontEnd, nr_rings: int = 2, memory: Memory | None = None,
                 ring_size: int = 256, ring_class: type[Ring] = Ring):
        self.front = front
        self.memory = memory or Memory()
        self.rings = [ring_class(self.memory, index, ring_size) for index in range(nr_rings)]

    def close(self) -> None:
        self.front.close()
        self.memory.close()

    def negotiate(self, features: int = BASIC_FEATURES, protocol: int = ALL_PROTOCOL) -> None:
        front = self.front
        front.send(Request.SET_OWNER)
        offered = front.ask_u64(Request.GET_FEATURES)
        assert features & ~offered == 0
        front.send(Request.SET_PROTOCOL_FEATURES,
                   u64(front.ask_u64(Request.GET_PROTOCOL_FEATURES) & protocol))
        front.do(Request.SET_FEATURES, u64(features))

    def share_memory(self) -> None:
        self.front.do(Request.SET_MEM_TABLE, self.memory.table(), [self.memory.fd])

    def set_up_ring(self, index: int, base: int = 0, steps: str = "nbakc") -> None:
        """NUM, BASE, ADDR, KICK, CALL: in the order of the letters in `steps`."""
        ring, front = self.rings[index], self.front
        ring.kick, ring.call = front.eventfd(), front.eventfd()
        messages = {
            "n": (Request.SET_VRING_NUM, state(index, ring.size), []),
            "b": (Request.SET_VRING_BASE, state(index, base), []),
            "a": (Request.SET_VRING_ADDR, ring.addr(), []),
            "k": (Request.SET_VRING_KICK, u64(index), [ring.kick]),
            "c": (Request.SET_VRING_CALL, u64(index), [ring.call]),
        }
        for step in steps:
            front.do(*messages[step])

    def enable(self, on: int = 1) -> None:
        for ring in self.rings:
            self.front.do(Request.SET_VRING_ENABLE, state(ring.index, on))

    def set_status(self, status: int = READY) -> None:
        self.front.do(Request.SET_STATUS, u64(status))

    def start(self, features: int = BASIC_FEATURES, protocol: int = ALL_PROTOCOL) -> "Driver":
        """All of it: packets flow when this returns."""
        self.negotiate(features, protocol)
        self.share_memory()
        for ring in self.rings:
            self.set_up_ring(ring.index)
        self.enable()
        if protocol & bits(Protocol.STATUS):
            self.set_status()
        return self

    def signals(self, index: int) -> int:
        """Interrupts of a ring since it was asked last."""
        return eventfd_count(self.rings[index].call)


def proves_delivery(back, driver: Driver, port: int = 0, ring: int = 0) -> None:
    """One packet reaches the guest through this ring, whatever it delivered before."""
    half = driver.rings[ring]
    before = half.used_idx()
    half.post()
    assert back.push(ring, 1, port) == 1, f"port {port} ring {ring} takes no packet"
    assert half.used_idx() == (before + 1) & 0xFFFF
    slot, length = half.used(before)
    assert length == 60 + 12
    at = BUFFERS_AT + slot * BUFFER_SIZE + 12
    assert driver.memory.map[at:at + 60] == b"\x5a" * 60
