# SPDX-License-Identifier: BSD-3-Clause
"""A kernel network stack of its own: a network namespace, commands in it, its counters, what its devices see."""

import ctypes
import itertools
import os
import re
import shutil
import socket
import subprocess
import threading
from pathlib import Path

_SERIAL = itertools.count()
_CLONE_NEWNET = 0x40000000
_ETH_P_IP, _ETH_P_ALL = 0x0800, 0x0003
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 64 << 20
_TCP, _UDP = 6, 17


def what_is_missing() -> str | None:
    """One sentence on why there is no namespace to be had here, or None."""
    if shutil.which("ip") is None:
        return "iproute2 is not installed: devtools/setup.sh test"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not Path("/dev/net/tun").exists():
        return "this kernel has no tap devices (/dev/net/tun): modprobe tun"
    return None


class Namespace:
    """With a name of its own; it ends, and its devices with it, when the `with` block does."""

    def __init__(self):
        self.name = f"vhx-{os.getpid()}-{next(_SERIAL)}"

    def __enter__(self):
        subprocess.run(["ip", "netns", "add", self.name], check=True, timeout=10)
        self.run("ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_exc):
        subprocess.run(["ip", "netns", "del", self.name], check=False, timeout=10)

    def argv(self, *words: str) -> list[str]:
        """The command line that runs this one in the namespace."""
        return ["ip", "netns", "exec", self.name, *words]

    def run(self, *words: str, timeout: float = 20) -> str:
        done = subprocess.run(self.argv(*words), capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode:
            raise AssertionError(f"{' '.join(words)}: {(done.stderr + done.stdout).strip()[-2000:]}")
        return done.stdout

    def counters(self) -> dict[str, int]:
        """The kernel's own: {"TcpInCsumErrors": 0, ...}."""
        return parse_snmp(self.run("cat", "/proc/net/snmp"))

    def packet_socket(self, device: str) -> socket.socket:
        """Everything that a device of the namespace sends or receives."""
        made = []

        def make() -> None:  # setns() moves a thread: this one ends behind it
            with open(f"/var/run/netns/{self.name}", "rb") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            sock.bind((device, 0))
            made.append(sock)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return made[0]


def parse_snmp(text: str) -> dict[str, int]:
    """/proc/net/snmp: a line of names and a line of values for each protocol."""
    lines = [line.split() for line in text.splitlines() if re.match(r"[A-Z]\w+: \S", line)]
    return {names[0].rstrip(":") + name: int(value) for names, values in zip(lines[::2], lines[1::2])
            for name, value in zip(names[1:], values[1:])}


class Listener:
    """Packets that a device of the namespace received from its wire while the `with` block ran."""

    def __init__(self, namespace: Namespace, device: str):
        self._sock = namespace.packet_socket(device)
        self._sock.settimeout(0.1)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.packets: list[bytes] = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._ends.set()
        self._thread.join()
        self._sock.close()

    def _listen(self) -> None:
        """All that is buffered is read before the end is looked for."""
        while True:
            try:
                packet, (_device, _protocol, kind, *_address) = self._sock.recvfrom(65536 + 64)
            except TimeoutError:
                if self._ends.is_set():
                    return
                continue
            if kind != socket.PACKET_OUTGOING:
                self.packets.append(packet)


def _sums_up(octets: bytes) -> bool:
    """RFC 1071: with the checksum in it the sum is all ones, which is zero."""
    return int.from_bytes(octets + bytes(len(octets) % 2), "big") % 0xFFFF == 0


def bad_checksum(packet: bytes) -> str | None:
    """What is wrong with the checksums of an IPv4 packet; None if nothing is, or it is no IPv4."""
    if int.from_bytes(packet[12:14], "big") != _ETH_P_IP:
        return None
    ip = packet[14:14 + int.from_bytes(packet[16:18], "big")]
    header = (ip[0] & 15) * 4
    if not _sums_up(ip[:header]):
        return f"the IP header's, of {len(packet)} bytes: {packet[14:14 + header].hex(' ')}"
    protocol, l4 = ip[9], ip[header:]
    if protocol not in (_TCP, _UDP) or (protocol == _UDP and l4[6:8] == b"\0\0"):
        return None
    pseudo = ip[12:20] + bytes([0, protocol]) + len(l4).to_bytes(2, "big")
    if not _sums_up(pseudo + l4):
        return f"protocol {protocol}'s, of {len(packet)} bytes: {packet[14:94].hex(' ')}"
    return None
