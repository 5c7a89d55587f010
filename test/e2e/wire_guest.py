# SPDX-License-Identifier: BSD-3-Clause
"""Guests made of a few lines of Python, from test/wire: their packets may be as odd as a test likes."""

import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "wire"))

from driver import (AVAIL_AT, BASIC_FEATURES, BUFFER_SIZE, BUFFERS_AT, Driver, Memory,  # noqa: E402
                    Ring)
from frontend import FrontEnd, Request, bits  # noqa: E402  (needs the path above)

HEADER = struct.Struct("<BBHHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, _offset, num_buffers
_SENT_AT = 2 << 20  # in the guest's memory: the frame being sent, behind all receive buffers


class LongRing(Ring):
    """Sends frames of any length in one descriptor each; receives them over many buffers."""

    used_so_far = 0

    def send(self, frame: bytes, header: bytes = bytes(HEADER.size)) -> None:
        """One at a time: they share one place in memory."""
        slot, raw = self.avail_idx % self.size, header + frame
        self.memory.map[_SENT_AT:_SENT_AT + len(raw)] = raw
        struct.pack_into("<QIHH", self.memory.map, self.at + 16 * slot, self.memory.guest + _SENT_AT,
                         len(raw), 0, 0)
        struct.pack_into("<H", self.memory.map, self.at + AVAIL_AT + 4 + 2 * slot, slot)
        self.avail_idx += 1
        self.set_avail_idx(self.avail_idx)

    def _next_buffer(self, seconds: float) -> bytes:
        deadline = time.monotonic() + seconds
        while self.used_idx() == self.used_so_far:
            assert time.monotonic() < deadline, f"no packet within {seconds} s"
            time.sleep(0.002)
        slot, length = self.used(self.used_so_far)
        self.used_so_far += 1
        at = BUFFERS_AT + slot * BUFFER_SIZE
        return self.memory.map[at:at + length]

    def receive(self, seconds: float = 10) -> tuple[tuple, bytes]:
        """A packet's header, taken apart, and its frame."""
        raw = self._next_buffer(seconds)
        header = HEADER.unpack_from(raw)
        for _ in range(header[-1] - 1):
            raw += self._next_buffer(seconds)
        return header, raw[HEADER.size:]


@contextmanager
def guest(sock: Path, *features: int) -> Iterator[Driver]:
    """One that runs on this socket, with these feature bits besides the usual ones."""
    made = Driver(FrontEnd.connect(sock), memory=Memory(4 << 20), ring_class=LongRing)
    try:
        yield made.start(BASIC_FEATURES | bits(*features))
    finally:
        made.close()
