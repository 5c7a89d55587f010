# SPDX-License-Identifier: BSD-3-Clause
"""A running Linux guest lets go of its network driver, takes it again, and changes its queues, under traffic.

Each time the application must hear what happened, once: testpmd prints its events.
"""

import time

import pytest

from e2e_rig import BACK_LCORES, need_guest
from lab import firmware
from lab.guest import Guest
from lab.testpmd import Testpmd

PAIRS = 2
PATIENCE = 120
DRIVER = "/sys/bus/virtio/drivers/virtio_net"
PING = "ping -A -s 1000 10.9.0.2"
UP = "until ifconfig eth0 10.9.0.1 netmask 255.255.255.0 up 2>/dev/null; do usleep 20000; done"
FLOOD = f"(while :; do {PING}; usleep 20000; done >/dev/null 2>&1 &)"
ANSWERED = f"until {PING} -c 20 -W 5 2>/dev/null | grep '20 packets received'; do :; done"

pytestmark = [pytest.mark.limit(600)]


@pytest.fixture(scope="module", autouse=True)
def image():
    need_guest()


class Events:
    """Of port 0, as testpmd prints them."""

    def __init__(self, switch: Testpmd):
        self.switch, self.at = switch, {}
        self.news()

    def _count(self, what: str) -> int:
        return self.switch.output().count(f"Port 0: {what} event")

    def news(self) -> tuple[int, int]:
        """Changes of the link, and of queues, since the last time."""
        now = {what: self._count(what) for what in ("link state change", "queue state")}
        grew = tuple(now[what] - self.at.get(what, 0) for what in now)
        self.at = now
        return grew

    def expect(self, *expected: int) -> None:
        """They are printed a moment after the guest has seen what caused them."""
        deadline, seen = time.monotonic() + 10, (0, 0)
        while seen != expected and time.monotonic() < deadline:
            time.sleep(0.05)
            seen = tuple(a + b for a, b in zip(seen, self.news()))
        assert seen == expected, f"(link, queue) events: {seen}, not {expected}"


def rebind(vm: Guest, events: Events) -> None:
    """All four rings stop, and start again."""
    vm.shell(f"echo virtio0 >{DRIVER}/unbind", PATIENCE)
    events.expect(1, 2 * PAIRS)
    vm.shell(f"echo virtio0 >{DRIVER}/bind; {UP}; {ANSWERED}", PATIENCE)
    events.expect(1, 2 * PAIRS)


def change_channels(vm: Guest, events: Events) -> None:
    """One pair of queues less, and one more: the link stays up."""
    for pairs in (1, PAIRS):
        vm.shell(f"channels eth0 {pairs}; {ANSWERED}", PATIENCE)
        events.expect(0, 2)


@pytest.mark.parametrize("layout", ["split", "packed"])
@pytest.mark.soak(2, 50)
def test_driver_goes_and_comes_under_traffic(folder, rounds, layout):
    with Testpmd([firmware.port(folder, queues=PAIRS)], folder=folder, name="switch", queues=PAIRS,
                 lcores=BACK_LCORES, forward="icmpecho", lifetime=600) as switch:
        switch.start()
        with Guest("guest", folder / "vm0", folder=folder, qemu=firmware.qemu(), queues=PAIRS, lifetime=600,
                   props={"packed": "on" if layout == "packed" else "off"}) as vm:
            vm.link(PATIENCE)
            vm.wait_for("GUEST-DONE", PATIENCE)
            vm.shell(f"{ANSWERED}; {FLOOD}", PATIENCE)
            events = Events(switch)
            for _ in range(rounds):
                rebind(vm, events)
                change_channels(vm, events)
            assert switch.link(0)
            faults = {name: value for name, value in switch.xstats(0).items() if "_fault_" in name and value}
            assert not faults
