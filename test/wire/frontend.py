# SPDX-License-Identifier: BSD-3-Clause
"""The front-end's end of the socket: requests with descriptors, replies, any nonsense as well."""

import array
import os
import select
import socket
import struct
import time
from enum import IntEnum
from pathlib import Path

HEADER = struct.Struct("=III")
VERSION, REPLY, NEED_REPLY = 0x1, 0x4, 0x8
NOFD = 0x100
PAYLOAD_MAX = 8 + 32 * 32  # a memory table of 32 regions is the largest message we send legally
REPLY_SECONDS = 10


class Request(IntEnum):
    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    RESET_OWNER = 4
    SET_MEM_TABLE = 5
    SET_LOG_BASE = 6
    SET_LOG_FD = 7
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    SEND_RARP = 19
    NET_SET_MTU = 20
    SET_BACKEND_REQ_FD = 21
    IOTLB_MSG = 22
    GET_CONFIG = 24
    SET_CONFIG = 25
    POSTCOPY_ADVISE = 28
    POSTCOPY_LISTEN = 29
    POSTCOPY_END = 30
    GET_INFLIGHT_FD = 31
    SET_INFLIGHT_FD = 32
    RESET_DEVICE = 34
    GET_MAX_MEM_SLOTS = 36
    ADD_MEM_REG = 37
    REM_MEM_REG = 38
    SET_STATUS = 39
    GET_STATUS = 40
    SET_DEVICE_STATE_FD = 42
    CHECK_DEVICE_STATE = 43


class BackendRequest(IntEnum):
    """Requests to us, on the channel that we give."""

    IOTLB_MSG = 1
    CONFIG_CHANGE_MSG = 2
    VRING_HOST_NOTIFIER_MSG = 3


class Protocol(IntEnum):
    """Protocol feature bits."""

    MQ = 0
    LOG_SHMFD = 1
    RARP = 2
    REPLY_ACK = 3
    MTU = 4
    BACKEND_REQ = 5
    PAGEFAULT = 8
    CONFIG = 9
    BACKEND_SEND_FD = 10
    HOST_NOTIFIER = 11
    INBAND_NOTIFICATIONS = 14
    INFLIGHT_SHMFD = 12
    RESET_DEVICE = 13
    CONFIGURE_MEM_SLOTS = 15
    STATUS = 16
    RESERVED_17 = 17
    DEVICE_STATE = 19


class Feature(IntEnum):
    """Virtio feature bits."""

    CSUM = 0
    GUEST_CSUM = 1
    MTU = 3
    MRG_RXBUF = 15
    CTRL_VQ = 17
    CTRL_RX = 18
    CTRL_VLAN = 19
    CTRL_RX_EXTRA = 20
    GUEST_ANNOUNCE = 21
    MQ = 22
    CTRL_MAC_ADDR = 23
    LOG_ALL = 26
    INDIRECT_DESC = 28
    EVENT_IDX = 29
    PROTOCOL_FEATURES = 30
    VERSION_1 = 32
    RING_PACKED = 34
    IN_ORDER = 35
    ACCESS_PLATFORM = 33
    RING_RESET = 40
    NOTIFICATION_DATA = 38


class Status(IntEnum):
    """Bits of the device status byte."""

    ACKNOWLEDGE = 1
    DRIVER = 2
    DRIVER_OK = 4
    FEATURES_OK = 8
    NEEDS_RESET = 64


def bits(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


# -- payloads --------------------------------------------------------------------------------------


def u64(value: int) -> bytes:
    return struct.pack("=Q", value)


def state(ring: int, num: int = 0) -> bytes:
    return struct.pack("=II", ring, num)


def addr(ring: int, desc: int, used: int, avail: int, flags: int = 0, log: int = 0) -> bytes:
    return struct.pack("=IIQQQQ", ring, flags, desc, used, avail, log)


def log_base(size: int, offset: int = 0) -> bytes:
    return struct.pack("=QQ", size, offset)


def region(guest: int, size: int, user: int, offset: int = 0) -> bytes:
    return struct.pack("=QQQQ", guest, size, user, offset)


def mem_table(*regions: bytes, nregions: int | None = None) -> bytes:
    return struct.pack("=II", len(regions) if nregions is None else nregions, 0) + b"".join(regions)


def mem_reg(one: bytes) -> bytes:
    return struct.pack("=Q", 0) + one


def config(offset: int, data: bytes, flags: int = 0, *, size: int | None = None) -> bytes:
    return struct.pack("=III", offset, len(data) if size is None else size, flags) + data


def iotlb(kind: int, iova: int, size: int = 0, user: int = 0, perm: int = 0) -> bytes:
    return struct.pack("=QQQBB6x", iova, size, user, perm, kind)


def inflight(num_queues: int, queue_size: int, size: int = 0, offset: int = 0) -> bytes:
    return struct.pack("=QQHH4x", size, offset, num_queues, queue_size)


# -- descriptors to send ---------------------------------------------------------------------------


def make_eventfd() -> int:
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


def eventfd_count(fd: int) -> int:
    """How often it was signalled since it was asked last."""
    try:
        return os.eventfd_read(fd)
    except BlockingIOError:
        return 0


# -- the socket ------------------------------------------------------------------------------------


class Dropped(AssertionError):
    """The back-end closed the connection where it should have answered."""


class FrontEnd:
    """One connection. Descriptors made with eventfd() live as long as it does."""

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self.owned: list[int] = []

    @classmethod
    def connect(cls, path: str | Path) -> "FrontEnd":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(str(path))  # waits while the queue of connections is full
        sock.settimeout(REPLY_SECONDS)
        return cls(sock)

    def close(self) -> None:
        self.sock.close()
        while self.owned:
            os.close(self.owned.pop())

    def own(self, fd: int) -> int:
        """Close this descriptor together with the connection."""
        self.owned.append(fd)
        return fd

    def eventfd(self) -> int:
        return self.own(make_eventfd())

    def channel(self) -> int:
        """A socket to give away. Never our own: the back-end would keep this connection alive."""
        mine, theirs = socket.socketpair()
        self.own(mine.detach())
        return self.own(theirs.detach())

    # -- sending ----------------------------------------------------------------------------

    def send_bytes(self, raw: bytes, fds=()) -> None:
        """All of `raw`; the descriptors travel with the first byte."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.sock.sendmsg([raw], rights)
        if sent < len(raw):
            self.sock.sendall(raw[sent:])

    def send(self, request: int, payload: bytes = b"", fds=(), need_reply: bool = False) -> None:
        self.send_bytes(message(request, payload, need_reply=need_reply), fds)

    # -- receiving --------------------------------------------------------------------------

    def _read(self, nr: int) -> bytes:
        got = b""
        while len(got) < nr:
            try:
                more = self.sock.recv(nr - len(got))
            except ConnectionResetError:
                more = b""
            if not more:
                raise Dropped(f"the connection ended after {len(got)} of {nr} bytes")
            got += more
        return got

    def read_reply(self, request: int) -> bytes:
        """The payload of a reply, which must be one to `request`, with flags of exactly 5."""
        answered, flags, size = HEADER.unpack(self._read(HEADER.size))
        assert answered == request, f"a reply to {name_of(answered)}"
        assert flags == VERSION | REPLY, f"a reply with flags {flags:#x}"
        return self._read(size)

    def read_reply_with_fds(self, request: int) -> tuple[bytes, list[int]]:
        """The same of a short reply that may carry descriptors; they close with the connection."""
        raw, fds, _, _ = socket.recv_fds(self.sock, HEADER.size + PAYLOAD_MAX, 8)
        answered, flags, size = HEADER.unpack(raw[:HEADER.size])
        assert (answered, flags, size) == (request, VERSION | REPLY, len(raw) - HEADER.size)
        return raw[HEADER.size:], [self.own(fd) for fd in fds]

    def ask(self, request: int, payload: bytes = b"", fds=()) -> bytes:
        """A request that has a reply of its own: the reply's payload."""
        self.send(request, payload, fds)
        return self.read_reply(request)

    def ask_u64(self, request: int, payload: bytes = b"") -> int:
        (value,) = struct.unpack("=Q", self.ask(request, payload))
        return value

    def ask_base(self, ring: int) -> int:
        """Stop a ring; its index."""
        reply = self.ask(Request.GET_VRING_BASE, state(ring, 0xDEADBEEF))  # num means nothing
        answered, num = struct.unpack("=II", reply)
        assert answered == ring
        return num

    def ack(self, request: int, payload: bytes = b"", fds=()) -> int:
        """The u64 of a request sent with NEED_REPLY: 0 is success."""
        self.send(request, payload, fds, need_reply=True)
        reply = self.read_reply(request)
        assert len(reply) == 8, f"an acknowledgement of {len(reply)} bytes"
        return struct.unpack("=Q", reply)[0]

    def do(self, request: int, payload: bytes = b"", fds=()) -> None:
        """A request that must succeed; complete when this returns."""
        assert self.ack(request, payload, fds) == 0, f"{name_of(request)} was refused"

    def refuse(self, request: int, payload: bytes = b"", fds=()) -> None:
        """A request that must be refused, after which the conversation goes on."""
        assert self.ack(request, payload, fds) == 1, f"{name_of(request)} was accepted"
        self.sync()

    def sync(self) -> None:
        """Wait until everything sent so far is handled: the reply comes after it."""
        self.ask(Request.GET_FEATURES)

    # -- states -----------------------------------------------------------------------------

    def is_silent(self, seconds: float = 0.05) -> bool:
        """Neither bytes nor an end within `seconds`."""
        return not select.select([self.sock], [], [], seconds)[0]

    def wait_dropped(self, seconds: float = REPLY_SECONDS) -> None:
        """The back-end must close the connection, and say nothing before."""
        self.sock.settimeout(seconds)
        try:
            got = self.sock.recv(1)
        except ConnectionResetError:
            return
        except socket.timeout:
            raise AssertionError(f"the connection still lives after {seconds} s") from None
        assert not got, "a reply where the connection had to end"


def name_of(request: int) -> str:
    return Request(request).name if request in list(Request) else f"request {request}"


def message(request: int, payload: bytes = b"", *, need_reply: bool = False,
            flags: int | None = None, size: int | None = None) -> bytes:
    """A message as bytes; `flags` and `size` may lie."""
    if flags is None:
        flags = VERSION | (NEED_REPLY if need_reply else 0)
    return HEADER.pack(request, flags, len(payload) if size is None else size) + payload


class Listener:
    """A front-end that listens, for back-ends in the client role."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(str(path))
        self.sock.listen(4)
        self.since = time.monotonic()

    def accept(self, seconds: float = REPLY_SECONDS) -> FrontEnd:
        self.sock.settimeout(seconds)
        sock, _ = self.sock.accept()
        sock.settimeout(REPLY_SECONDS)
        return FrontEnd(sock)

    def close(self) -> None:
        self.sock.close()
        self.path.unlink(missing_ok=True)
