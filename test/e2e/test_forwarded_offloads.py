# SPDX-License-Identifier: BSD-3-Clause
"""legacy-ol-flags: a switch that only passes mbufs on (testpmd's io) hands requests from guest to guest."""

import struct

import pytest

from e2e_rig import back_end
from lab import paths
from wire_guest import HEADER, guest

TCP, UDP = 6, 17
NEEDS_CSUM = 1
TCPV4, UFO, USO = 1, 3, 5
CSUM, GUEST_CSUM = 0, 1
GUEST_BITS, HOST_BITS = (7, 10, 54), (11, 14, 56)  # TSO4, UFO, USO
L4_AT, SEG = 34, 1000
PAYLOAD = bytes((at * 13 + 5) & 0xFF for at in range(4321))

KINDS = {"tso": (TCP, TCPV4), "ufo": (UDP, UFO), "uso": (UDP, USO)}


def _sum(raw: bytes, start: int = 0) -> int:
    total = start + sum(struct.unpack(f">{(len(raw) + 1) // 2}H", raw + bytes(len(raw) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _pseudo(ip: bytes, length: int) -> int:
    return _sum(ip[12:20] + struct.pack(">HH", ip[9], length))


def _l4_header(proto: int) -> bytes:
    if proto == UDP:
        return struct.pack(">HHHH", 1111, 2222, 8 + len(PAYLOAD), 0)
    return struct.pack(">HHIIBBHHH", 1111, 2222, 7, 0, 0x50, 0x10, 100, 0, 0)


def _field(proto: int) -> int:
    return L4_AT + (16 if proto == TCP else 6)


def _frame(proto: int) -> bytes:
    """As a guest makes it that leaves checksum and segments to others."""
    l4 = _l4_header(proto) + PAYLOAD
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(l4), 42, 0, 64, proto, 0, 0x0A000001, 0x0A000002)
    ip = ip[:10] + struct.pack(">H", ~_sum(ip) & 0xFFFF) + ip[12:]
    frame = bytearray(bytes.fromhex("02000000000b" "02000000000a" "0800") + ip + l4)
    struct.pack_into(">H", frame, _field(proto), _pseudo(ip, len(l4)))
    return bytes(frame)


def _request(proto: int, gso_type: int) -> bytes:
    return HEADER.pack(NEEDS_CSUM, gso_type, L4_AT + len(_l4_header(proto)), SEG, L4_AT,
                       _field(proto) - L4_AT, 0)


def _take_apart(frame: bytes) -> tuple[int, bytes]:
    """The fragment word and what is behind the IP header, which is right."""
    ip, l4 = frame[14:L4_AT], frame[L4_AT:]
    assert _sum(ip) == 0xFFFF
    assert struct.unpack_from(">H", ip, 2) == (len(ip) + len(l4),)
    return struct.unpack_from(">H", ip, 6)[0], l4


def _receive_parts(receive, nr: int) -> list[bytes]:
    """`nr` packets that ask for nothing."""
    parts = []
    for _ in range(nr):
        header, frame = receive.receive()
        assert header[:2] == (0, 0)
        parts.append(frame)
    return parts


def _check_segments(proto: int, parts: list[bytes]) -> None:
    header_len = len(_l4_header(proto))
    got = b""
    for frame in parts:
        _, l4 = _take_apart(frame)
        assert _sum(l4, _pseudo(frame[14:L4_AT], len(l4))) == 0xFFFF
        got += l4[header_len:]
    assert got == PAYLOAD


def _check_fragments(parts: list[bytes]) -> None:
    whole = b""
    for number, frame in enumerate(parts):
        word, data = _take_apart(frame)
        assert word == len(whole) // 8 | (0x2000 if number < len(parts) - 1 else 0)
        whole += data
    assert whole[8:] == PAYLOAD
    assert _sum(whole, _pseudo(parts[0][14:L4_AT], len(whole))) == 0xFFFF


@pytest.mark.usefixtures("ours_only")
@pytest.mark.parametrize("takes", [True, False], ids=["taken", "cut"])
@pytest.mark.parametrize("kind", KINDS)
def test_from_guest_to_guest(folder, kind, takes):
    proto, gso_type = KINDS[kind]
    vdevs = [paths.vhost_vdev(port, folder / f"sock{port}", tso=1, legacy_ol_flags=1) for port in (0, 1)]
    with back_end(folder, *vdevs) as back, \
         guest(folder / "sock0", CSUM, *HOST_BITS) as sender, \
         guest(folder / "sock1", *((GUEST_CSUM, *GUEST_BITS) if takes else ())) as receiver:
        for port in (0, 1):
            back.wait_link(port)
        back.start()
        receive = receiver.rings[0]
        receive.post(64)
        sender.rings[1].send(_frame(proto), _request(proto, gso_type))
        if takes:
            header, frame = receive.receive()
            assert HEADER.pack(*header[:-1], 0) == _request(proto, gso_type)
            assert frame == _frame(proto)
        elif kind == "ufo":
            _check_fragments(_receive_parts(receive, 5))
        else:
            _check_segments(proto, _receive_parts(receive, 5))
