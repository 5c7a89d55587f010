# SPDX-License-Identifier: BSD-3-Clause
"""A running Linux guest lets go of its network driver, takes it again, and changes its queues, under traffic.

Each time the application must hear what happened, once: testpmd prints its events.
"""

import pytest

from e2e_rig import BACK_LCORES, Events
from lab import firmware
from lab.guest import Guest
from lab.testpmd import Testpmd

pytestmark = [pytest.mark.limit(600), pytest.mark.usefixtures("guest_image")]

PAIRS = 2
PATIENCE = 120
DRIVER = "/sys/bus/virtio/drivers/virtio_net"
PING = "ping -A -s 1000 10.9.0.2"
UP = "until ifconfig eth0 10.9.0.1 netmask 255.255.255.0 up 2>/dev/null; do usleep 20000; done"
FLOOD = f"(while :; do {PING}; usleep 20000; done >/dev/null 2>&1 &)"
ANSWERED = f"until {PING} -c 20 -W 5 2>/dev/null | grep '20 packets received'; do :; done"


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
