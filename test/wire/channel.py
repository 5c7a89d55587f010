# SPDX-License-Identifier: BSD-3-Clause
"""The front-end's end of the channel on which the back-end asks: its requests, any answers."""

import array
import select
import socket
import struct

from frontend import HEADER, REPLY, VERSION, BackendRequest, Request, u64

AREA = struct.Struct("=QQQ")  # ring, size, offset
CHANGED = BackendRequest.CONFIG_CHANGE_MSG
NOTIFIER = BackendRequest.VRING_HOST_NOTIFIER_MSG


class Channel:
    """Our end of it."""

    def __init__(self, front, kind: int = socket.SOCK_STREAM):
        self.front = front
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, kind)
        self.sock.settimeout(10)
        front.do(Request.SET_BACKEND_REQ_FD, b"", [theirs.fileno()])
        theirs.close()

    def close(self) -> None:
        self.sock.close()

    def receive(self) -> tuple[int, int, bytes, list[int]]:
        """The next request: its number, flags, payload, descriptors."""
        room = socket.CMSG_SPACE(4)
        head, rights, _, _ = self.sock.recvmsg(HEADER.size, room, socket.MSG_CMSG_CLOEXEC)
        request, flags, size = HEADER.unpack(head)
        fds = array.array("i")
        for _, _, data in rights:
            fds.frombytes(data)
        payload = self.sock.recv(size, socket.MSG_WAITALL) if size else b""
        return request, flags, payload, list(fds)

    def answer(self, request: int, value: int = 0) -> None:
        self.send(request, u64(value))

    def send(self, request: int, payload: bytes, flags: int = VERSION | REPLY, fds=()) -> None:
        self.send_bytes(HEADER.pack(request, flags, len(payload)) + payload, fds)

    def send_bytes(self, raw: bytes, fds=()) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([raw], rights)

    def is_silent(self, seconds: float = 0.05) -> bool:
        return not select.select([self.sock], [], [], seconds)[0]

    def wait_closed(self) -> None:
        """The back-end has given it up."""
        try:
            while self.sock.recv(4096):
                pass
        except ConnectionResetError:
            pass
