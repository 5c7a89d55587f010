# SPDX-License-Identifier: BSD-3-Clause
"""legacy-ol-flags: a switch that only passes mbufs on (testpmd's io) hands requests from guest to guest."""

import struct
import time

import pytest

from e2e_rig import back_end, need_guest
from lab import guest as vm
from lab import paths
from wire_guest import HEADER, guest

TCP, UDP = 6, 17
NEEDS_CSUM = 1
TCPV4, UFO, USO = 1, 3, 5
CSUM, GUEST_CSUM = 0, 1
GUEST_BITS, HOST_BITS = (7, 10, 54), (11, 14, 56)  # TSO4, UFO, USO
L4_AT, SEG = 34, 1000
SENDER_MAC, RECEIVER_MAC = bytes.fromhex("02000000000a"), bytes.fromhex("525400000901")
SENDER_IP, RECEIVER_IP = bytes([10, 9, 0, 2]), bytes([10, 9, 0, 1])  # the receiver's are lab.guest's
ARP, ICMP, UNREACHABLE = b"\x08\x06", 1, b"\x03\x03"
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
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(l4), 42, 0, 64, proto, 0) + SENDER_IP + RECEIVER_IP
    ip = ip[:10] + struct.pack(">H", ~_sum(ip) & 0xFFFF) + ip[12:]
    frame = bytearray(RECEIVER_MAC + SENDER_MAC + b"\x08\x00" + ip + l4)
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


# -- a kernel's opinion -----------------------------------------------------------------------------


def _answer_arp(driver, frame: bytes) -> None:
    if frame[12:14] == ARP and frame[20:22] == b"\0\1" and frame[38:42] == SENDER_IP:
        driver.rings[1].send(RECEIVER_MAC + SENDER_MAC + frame[12:20] + b"\0\2" + SENDER_MAC + SENDER_IP
                             + frame[22:32] + bytes(18))


def _wait_unreachable(driver, seconds: float = 20) -> bytes:
    """What the kernel quotes of a datagram that it took, but has nobody for: from the IP header on."""
    deadline = time.monotonic() + seconds
    while True:
        _, frame = driver.rings[0].receive(max(deadline - time.monotonic(), 0))
        if frame[12:14] == b"\x08\x00" and frame[23] == ICMP and frame[L4_AT:L4_AT + 2] == UNREACHABLE:
            return frame[L4_AT + 8:]
        _answer_arp(driver, frame)


@pytest.mark.usefixtures("ours_only")
@pytest.mark.parametrize("takes", [True, False], ids=["taken", "cut"])
@pytest.mark.parametrize("kind", ["ufo", "uso"])
def test_a_kernel_finds_them_right(folder, kind, takes):
    """It answers to datagrams for a closed port only if they are whole, and their checksums right.

    Linux 6.1 takes UFO, in one piece or in fragments; USO is cut in either case.
    """
    need_guest()
    vdevs = [paths.vhost_vdev(0, folder / "sock0", tso=1, legacy_ol_flags=1),
             paths.vhost_vdev(1, folder / "sock1", tso=int(takes))]
    with back_end(folder, *vdevs) as back, \
         guest(folder / "sock0", CSUM, *HOST_BITS) as sender, \
         vm.Guest("receiver", folder / "sock1", folder=folder) as receiver:
        assert receiver.has_feature(GUEST_BITS[1]) == takes
        back.wait_link(1)
        back.start()
        sender.rings[0].post(200)
        sender.rings[1].send(_frame(UDP), _request(*KINDS[kind]))
        quoted = _wait_unreachable(sender)
        length = SEG if kind == "uso" else len(PAYLOAD)
        assert struct.unpack_from(">H", quoted, 20 + 4) == (8 + length,)
        moved = back.xstats(1)
        is_whole = takes and kind == "ufo"
        assert (moved["tx_q0_gso_packets"], moved["tx_q0_sw_gso_packets"]) == (int(is_whole), int(not is_whole))
