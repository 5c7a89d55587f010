# SPDX-License-Identifier: BSD-3-Clause
"""Classic pcap files, test packets with a sequence number, and a comparison that says what differs."""

import random
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

_FILE = struct.Struct("<IHHiIII")
_RECORD = struct.Struct("<IIII")
_MAGICS = {0xA1B2C3D4, 0xA1B23C4D}  # micro- and nanosecond stamps, written on a little-endian machine
_SNAPLEN = 262144
_ETHERNET = 1
_HEADER = bytes.fromhex("02000000000b" "02000000000a" "88b5")  # local addresses, experimental type
_SEQUENCE = struct.Struct(">I")
SMALLEST = len(_HEADER) + _SEQUENCE.size


def write(path: str | Path, packets: Iterable[bytes]) -> None:
    with open(path, "wb") as out:
        out.write(_FILE.pack(0xA1B2C3D4, 2, 4, 0, 0, _SNAPLEN, _ETHERNET))
        for packet in packets:
            out.write(_RECORD.pack(0, 0, len(packet), len(packet)) + packet)


def read(path: str | Path) -> list[bytes]:
    """Packets of a file; a record cut short at the end (its writer was killed) is left out."""
    raw = Path(path).read_bytes()
    if len(raw) < _FILE.size or _FILE.unpack_from(raw)[0] not in _MAGICS:
        raise ValueError(f"{path}: not a little-endian classic pcap file")
    packets, at = [], _FILE.size
    while at + _RECORD.size <= len(raw):
        _, _, kept, whole = _RECORD.unpack_from(raw, at)
        if kept != whole:
            raise ValueError(f"{path}: packet {len(packets)} was cut from {whole} to {kept} bytes")
        at += _RECORD.size
        if at + kept > len(raw):
            break
        packets.append(raw[at:at + kept])
        at += kept
    return packets


def make_packets(sizes: Sequence[int], count: int, seed: int = 1) -> list[bytes]:
    """`count` packets that take the sizes in turn: Ethernet header, sequence number, random bytes."""
    if min(sizes) < SMALLEST:
        raise ValueError(f"a test packet has at least {SMALLEST} bytes, not {min(sizes)}")
    source = random.Random(seed)
    return [_HEADER + _SEQUENCE.pack(number) + source.randbytes(sizes[number % len(sizes)] - SMALLEST)
            for number in range(count)]


def difference(sent: Sequence[bytes], got: Sequence[bytes]) -> str | None:
    """What went wrong on the way, in words; None when every byte of every packet arrived in order."""
    for position, packet in enumerate(got):
        if position >= len(sent):
            return f"{len(got) - len(sent)} packets more than sent, the first is {_describe(packet)}"
        if packet != sent[position]:
            return _first_difference(sent, got, position)
    if len(got) < len(sent):
        return (f"{len(sent) - len(got)} of {len(sent)} packets are missing at the end, "
                f"from {_describe(sent[len(got)])} on")
    return None


def _first_difference(sent, got, position: int) -> str:
    want, have = sent[position], got[position]
    where = f"packet {position}: sent {_describe(want)}, got {_describe(have)}"
    if len(want) == len(have) and want[:SMALLEST] == have[:SMALLEST]:
        bad = [at for at, pair in enumerate(zip(want, have)) if pair[0] != pair[1]]
        return (f"{where}: {len(bad)} bytes differ, at {bad[0]}..{bad[-1]}; "
                f"sent {want[bad[0]:bad[0] + 16].hex(' ')}, got {have[bad[0]:bad[0] + 16].hex(' ')}")
    missing = len(set(sent) - set(got))
    strange = len(set(got) - set(sent))
    return (f"{where}; {len(sent)} sent, {len(got)} got, {missing} of the sent never arrived whole, "
            f"{strange} of the arrived were never sent")


def _describe(packet: bytes) -> str:
    if len(packet) < SMALLEST or packet[:len(_HEADER)] != _HEADER:
        return f"a strange packet of {len(packet)} bytes ({packet[:24].hex(' ')}...)"
    return f"number {_SEQUENCE.unpack_from(packet, len(_HEADER))[0]} of {len(packet)} bytes"
