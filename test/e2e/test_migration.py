# SPDX-License-Identifier: BSD-3-Clause
"""Live migration: a guest is moved between two ports of one switch, and back, while packets and a stream arrive.

    guest -- QEMU 1 -- port 0 of testpmd -- port 1, net_tap -- tap0 --.
      |  moved                                                        | bridge, 10.9.0.2, in a network namespace
    guest -- QEMU 2 -- port 2 of testpmd -- port 3, net_tap -- tap1 --'

The bridge learns where the guest is as a switch does: nothing reaches the guest at its new place before it was
announced there. What answers (devtools/guest/answers.c) reports says whether memory came along as the device left it.
"""

import contextlib
import signal
import subprocess
import time

import pytest

from e2e_rig import BACK_LCORES, need_guest
from lab import netns, paths
from lab.moving import MovingGuest
from lab.netns import Namespace
from lab.process import Process
from lab.testpmd import Testpmd

# The last one's driver does not announce itself, so we do.
RINGS = {
    "split": ({}, "arp"),
    "packed": ({"packed": "on"}, "arp"),
    "unmergeable": ({"mrg_rxbuf": "off", "guest_announce": "off"}, "rarp"),
}
INTERVAL_MS = 4
AT_MOST_SECONDS = 700
GUEST_MAC = bytes.fromhex("525400000901")
ETHERTYPE_RARP, ETHERTYPE_ARP = b"\x80\x35", b"\x08\x06"
GUEST_IP = bytes((10, 9, 0, 1))


@pytest.fixture(scope="module", autouse=True)
def image():
    need_guest()
    missing = netns.what_is_missing()
    if missing:
        pytest.skip(missing)


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """The guest's program, for the other end of the stream."""
    target = tmp_path_factory.mktemp("stream") / "stream"
    subprocess.run(["cc", "-O2", "-o", target, paths.repo_root() / "devtools" / "guest" / "stream.c"], check=True,
                   timeout=60)
    return target


@contextlib.contextmanager
def bridged_switch(folder, socket_of):
    """testpmd between the two sockets and a bridge."""
    vdevs = []
    for port in (0, 1):
        vdevs += [paths.vhost_vdev(port, socket_of[port]), f"net_tap{port},iface=tap{port}"]
    with Namespace() as stack, Testpmd(vdevs, folder=folder, name="switch", lcores=BACK_LCORES, lifetime=900,
                                       wrapper=stack.argv()) as switch:
        stack.run("ip", "link", "add", "br0", "type", "bridge")
        for port in (0, 1):
            stack.run("ip", "link", "set", f"tap{port}", "master", "br0", "up")
        stack.run("ip", "addr", "add", "10.9.0.2/24", "dev", "br0")
        stack.run("ip", "link", "set", "br0", "up")
        switch.start()
        yield stack, switch


class Announcements:
    """What the bridge's device sees of who is where."""

    def __init__(self, stack: Namespace, device: str):
        self._socket = stack.packet_socket(device)
        self._socket.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self._socket.close()

    def since_last_time(self) -> set[str]:
        """"rarp" and "arp": ours for the guest, and the guest's own."""
        seen = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = self._socket.recv(2048)
                if frame[6:12] != GUEST_MAC:
                    continue
                if frame[12:14] == ETHERTYPE_RARP:
                    seen.add("rarp")
                elif frame[12:14] == ETHERTYPE_ARP and frame[28:32] == frame[38:42] == GUEST_IP:
                    seen.add("arp")
        return seen


def move(vm: MovingGuest, stack: Namespace, switch: Testpmd, announced_by: str) -> dict:
    """There, and it is known there; the guest's own word may come a moment after it runs."""
    with Announcements(stack, f"tap{1 - vm.at}") as heard:
        said = vm.move()
        switch.wait_link(2 * vm.at)  # the source may say first that it is done
        seen, deadline = set(), time.monotonic() + 15
        while announced_by not in seen:
            seen |= heard.since_last_time()
            assert time.monotonic() < deadline, f"{seen or 'nothing'} told of the guest's new place"
            time.sleep(0.05)
    return said


def lost_at_most(moves: list[dict]) -> int:
    """Pings that a guest cannot have had an answer to: of each move those of its downtime, and one more."""
    return sum(int(said["downtime"]) // INTERVAL_MS + 1 for said in moves)


def send_stream(folder, stack: Namespace, program) -> Process:
    return Process(stack.argv(program, "send", "10.9.0.1", "5001", "1", "0", str(AT_MOST_SECONDS)), folder / "stream.log",
                   stdin="null", lifetime=800)


def end_of_hold(vm: MovingGuest, stack: Namespace) -> dict[str, int]:
    """Tell it to end; a datagram may get lost."""
    for _ in range(120):
        stack.run("bash", "-c", "echo end >/dev/udp/10.9.0.1/5002")
        time.sleep(0.5)
        if vm.has_said("answers"):
            break
    return {key: int(value) for key, value in vm.result("answers", 10).items()}


@pytest.mark.limit(900)
@pytest.mark.soak(1, 10)
@pytest.mark.parametrize("rings", RINGS)
def test_nothing_is_lost(folder, qemu, stream, rings, rounds, ours_only):
    """So many moves with pings, which must not compete with a stream, and so many with one."""
    props, announced_by = RINGS[rings]
    socket_of = (folder / "vm0", folder / "vm1")
    options = {"seconds": AT_MOST_SECONDS, "interval": 1000 * INTERVAL_MS}
    with bridged_switch(folder, socket_of) as (stack, switch), \
            MovingGuest(folder, socket_of, steps=("answers", "serve"), options=options, qemu=qemu, props=props,
                        lifetime=800) as vm:
        vm.here.wait_for("GUEST-RUNNING answers", 120)
        moves = [move(vm, stack, switch, announced_by) for _ in range(rounds)]
        assert not vm.has_said("answers"), "it was over before the guest was moved"
        held = end_of_hold(vm, stack)
        with send_stream(folder, stack, stream) as sender:
            for _ in range(rounds):
                move(vm, stack, switch, announced_by)
            assert sender.is_alive(), sender.explain("broke off")
            time.sleep(1)
            sender.signal(signal.SIGUSR1)
            assert sender.wait(60) == 0, sender.explain("failed")
            sent = sender.output()
        served = vm.result("serve", 60)
    print(f"{rings}: downtime {[said['downtime'] for said in moves]} ms, {held}, {served}")
    assert held["wrong"] == 0, f"answers that are not what was asked, after a move: {held}"
    assert held["area_wrong"] == 0, f"the guest's own memory changed: {held}"
    assert held["lost"] <= lost_at_most(moves), (held, moves)
    assert served["intact"] == "yes" and f"bytes={served['bytes']} sum={served['sum']}" in sent, (served, sent)
