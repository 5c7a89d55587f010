# SPDX-License-Identifier: BSD-3-Clause
"""Firmware drives the network device, then Linux does, on one connection: iPXE under SeaBIOS, and UEFI.

Firmware knows split rings and one queue pair; so where the device has packed ones the layout changes as well.
"""

import re

import pytest

from e2e_rig import BACK_LCORES, need_guest
from lab import firmware, netns
from lab.guest import Guest, image_dir
from lab.testpmd import Testpmd

RING_PACKED = 34
PATIENCE = 240
LAYOUTS = ("packed", "split")

pytestmark = [pytest.mark.limit(600), pytest.mark.soak(1, 2)]


@pytest.fixture(scope="module", autouse=True)
def tools():
    need_guest()
    missing = firmware.what_is_missing()
    if missing:
        pytest.skip(missing)


def nr_events(switch: Testpmd, what: str) -> int:
    return switch.output().count(f"Port 0: {what} event")


def linux_takes_over(vm: Guest, switch: Testpmd, is_packed: bool) -> None:
    """The firmware has used the device; so does the kernel, and the port's events are those of one change."""
    ping = vm.result("ping", PATIENCE)
    assert ping["received"] == ping["sent"] == "5"
    assert vm.has_feature(RING_PACKED) == is_packed
    assert "burst mode: " + ("packed" if is_packed else "split") in switch.command("show rxq info 0 0").lower()
    assert nr_events(switch, "link state change") == 3, "up for the firmware, down, up for the kernel"
    assert nr_events(switch, "queue state") == 6
    assert not [name for name, value in switch.xstats(0).items() if "_fault_" in name and value]


def test_netboot(folder, rounds):
    """iPXE asks for an address by broadcast, then loads the very kernel through the port."""
    missing = netns.what_is_missing()
    if missing:
        pytest.skip(missing)
    for layout in LAYOUTS[:rounds]:
        below = folder / layout
        below.mkdir()
        with firmware.network_with_a_kernel(below, firmware.port(folder), ("ping",), BACK_LCORES) as switch:
            switch.start()
            with Guest("guest", folder / "vm0", folder=below, qemu=firmware.qemu(), has_kernel=False,
                       props=firmware.IPXE_PROPS | {"packed": "on" if layout == "packed" else "off"},
                       lifetime=firmware.LIFETIME) as vm:
                linux_takes_over(vm, switch, layout == "packed")
                counters = switch.xstats(0)
                assert counters["rx_q0_broadcast_packets"] >= 2, "no DHCP was seen"
                assert counters["tx_q0_good_bytes"] > (image_dir() / "vmlinuz").stat().st_size


def test_uefi(folder, rounds):
    for layout in reversed(LAYOUTS[-rounds:]):
        below = folder / layout
        below.mkdir()
        with Testpmd([firmware.port(folder)], folder=below, name="switch", lcores=BACK_LCORES, forward="icmpecho",
                     lifetime=firmware.LIFETIME) as switch:
            switch.start()
            with Guest("guest", folder / "vm0", folder=below, qemu=firmware.qemu(), has_kernel=False, memory=512,
                       props={"packed": "on" if layout == "packed" else "off"},
                       more=firmware.uefi_args(below, ("ping",)), lifetime=firmware.LIFETIME) as vm:
                said = vm.wait_for(firmware.DONE, PATIENCE)
                assert re.search(r"3 packets transmitted, [1-3] received", said), "the firmware's ping got no answer"
                linux_takes_over(vm, switch, layout == "packed")
