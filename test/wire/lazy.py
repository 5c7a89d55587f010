# SPDX-License-Identifier: BSD-3-Clause
"""A guest that is moved by postcopy: it runs here, and its memory comes page by page, as asked for."""

import contextlib
import fcntl
import mmap
import os
import select
import struct
import threading

from driver import ALL_PROTOCOL, BASIC_FEATURES, MEMORY_NAME, Driver, Memory, Ring
from frontend import FrontEnd, Protocol, Request, bits, mem_reg, mem_table, region, u64

PAGE = 4096
FAULT = struct.Struct("=BBHIQQQ")  # struct uffd_msg of a missing page: the address comes sixth
EVENT_PAGEFAULT, UFFDIO_WAKE = 0x12, 0x8010AA02
WITH_PAGEFAULT = ALL_PROTOCOL | bits(Protocol.PAGEFAULT)


class LazyMemory(Memory):
    """What the driver writes stays where the guest comes from, until it is delivered."""

    def __init__(self):
        super().__init__()
        self.here = os.memfd_create(MEMORY_NAME, os.MFD_CLOEXEC)
        os.ftruncate(self.here, self.size)
        self.delivered: set[int] = set()

    def deliver(self, page: int) -> None:
        if page not in self.delivered:
            os.pwrite(self.here, self.map[page:page + PAGE], page)
        self.delivered.add(page)

    def nr_here(self) -> int:
        """Pages that are there, whoever put them there."""
        return os.fstat(self.here).st_blocks * 512 // PAGE

    def complete(self) -> None:
        """Everything else comes; from now on the guest's memory is only here."""
        for page in range(0, self.size, PAGE):
            self.deliver(page)
        there = self.map
        self.map = mmap.mmap(self.here, self.size)
        there.close()
        os.close(self.fd)
        self.fd = os.dup(self.here)

    def close(self) -> None:
        super().close()
        os.close(self.here)


class LazyDriver(Driver):
    """serving=False: pages that are asked for do not come until serve() is called."""

    def __init__(self, front: FrontEnd, nr_rings: int = 2, ring_class: type[Ring] = Ring, *,
                 serving: bool = True, in_slots: bool = False):
        super().__init__(front, nr_rings, LazyMemory(), ring_class=ring_class)
        self.in_slots, self.uffd, self.there, self.asked = in_slots, -1, 0, []
        self._may_serve = threading.Event()
        if serving:
            self._may_serve.set()
        self._end_read, self._end = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def close(self) -> None:
        os.close(self._end)
        self._may_serve.set()
        if self._thread.ident:
            self._thread.join()
        os.close(self._end_read)
        if self.uffd >= 0:
            os.close(self.uffd)
        self.uffd = -1
        super().close()

    # -- pages ------------------------------------------------------------------------------

    def serve(self) -> None:
        self._may_serve.set()

    def _run(self) -> None:
        while self._end_read not in select.select([self.uffd, self._end_read], [], [])[0]:
            with contextlib.suppress(BlockingIOError):
                self._serve_one(FAULT.unpack(os.read(self.uffd, FAULT.size)))

    def _serve_one(self, fault) -> None:
        assert fault[0] == EVENT_PAGEFAULT
        page = (fault[5] - self.there) & ~(PAGE - 1)
        self.asked.append(page)
        self._may_serve.wait()
        self.memory.deliver(page)
        fcntl.ioctl(self.uffd, UFFDIO_WAKE, struct.pack("=QQ", self.there + page, PAGE))

    # -- the conversation -------------------------------------------------------------------

    def advise(self) -> None:
        self.front.send(Request.POSTCOPY_ADVISE)
        payload, fds = self.front.read_reply_with_fds(Request.POSTCOPY_ADVISE)
        assert payload == b"" and len(fds) == 1
        self.uffd = os.dup(fds[0])

    def listen(self) -> None:
        self.front.do(Request.POSTCOPY_LISTEN)

    def send_memory(self) -> None:
        """Ours for its addresses; not acknowledged yet. As QEMU, which asks for no reply."""
        memory, front = self.memory, self.front
        one = memory.region()
        request, payload = (Request.ADD_MEM_REG, mem_reg(one)) if self.in_slots else (
            Request.SET_MEM_TABLE, mem_table(one))
        front.send(request, payload, [memory.here])
        reply = front.read_reply(request)
        guest, size, self.there, offset = struct.unpack_from("=QQQQ", reply, 8)
        assert len(reply) == len(payload) and (guest, size, offset) == (memory.guest, memory.size, 0)
        assert reply == payload[:8] + region(guest, size, self.there, 0)

    def acknowledge(self, word: int = 0) -> None:
        self.front.send(Request.ADD_MEM_REG if self.in_slots else Request.SET_MEM_TABLE, u64(word))

    def share_memory(self) -> None:
        self.advise()
        self.listen()
        self.send_memory()
        self._thread.start()
        self.acknowledge()

    def start(self, features: int = BASIC_FEATURES, protocol: int = WITH_PAGEFAULT) -> "LazyDriver":
        return super().start(features, protocol)

    def end(self) -> None:
        self.front.send(Request.POSTCOPY_END, need_reply=True)
        assert self.front.read_reply(Request.POSTCOPY_END) == u64(0)
