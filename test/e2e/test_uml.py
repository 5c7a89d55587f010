# SPDX-License-Identifier: BSD-3-Clause
"""A real kernel driver that leaves the control queue to us: User-mode Linux on the driver under test.

    guest1 -- port 0 of testpmd (io) port 1 -- guest2: ping, then a TCP stream, compared
"""

import time

import pytest

from e2e_rig import BACK_LCORES, need_guest
from lab import guest, paths, telemetry, uml
from lab.testpmd import Testpmd
from lab.uml import UmlGuest

STREAM_BYTES = 20 << 20
CTRL_VQ, CTRL_RX, CTRL_VLAN, MQ, CTRL_MAC_ADDR, RING_PACKED = 17, 18, 19, 22, 23, 34
ANSWER_SECONDS = 10

pytestmark = pytest.mark.usefixtures("ours_only")  # net_vhost knows no such guest: no packet moves


@pytest.fixture(scope="module", autouse=True)
def image():
    need_guest(uml)


def ports(folder, queues=1):
    vdevs = [paths.vhost_vdev(port, folder / f"vm{port}", queues=queues) for port in (0, 1)]
    return Testpmd(vdevs, folder=folder, name="switch", queues=queues, lcores=BACK_LCORES)


def guests(folder, **options):
    return guest.GuestPair(folder, (folder / "vm0", folder / "vm1"), kind=UmlGuest,
                           options={"bytes": STREAM_BYTES, **options})


def control(switch, port=0) -> dict:
    """What the guest commanded."""
    return telemetry.query(switch.prefix, f"/vhostx/info,{port}")["control"]


def wait_control(switch, key, value) -> dict:
    deadline = time.monotonic() + ANSWER_SECONDS
    while (said := control(switch))[key] != value and time.monotonic() < deadline:
        time.sleep(0.05)
    assert said[key] == value, said
    return said


def tell(vm, command: str) -> None:
    """Type a command at the guest's shell and wait until it is over."""
    seen = vm.mark()
    vm.send(f"{command} && echo done-$?")
    vm.wait_for("done-0", ANSWER_SECONDS, seen)


@pytest.fixture
def one(folder):
    """A port and an idle guest on it."""
    with ports(folder) as switch:
        switch.start()
        with UmlGuest("guest", folder / "vm0", folder=folder) as vm:
            vm.wait_for("GUEST-DONE", 30)
            yield switch, vm


def test_ping_and_stream(folder):
    with ports(folder) as switch:
        switch.start()
        with guests(folder) as pair:
            assert pair.what_went_wrong() is None
            assert pair.server.result("serve")["bytes"] == str(STREAM_BYTES)
            assert all(pair.client.has_feature(bit)
                       for bit in (CTRL_VQ, CTRL_RX, CTRL_VLAN, CTRL_MAC_ADDR, RING_PACKED))
            assert switch.stats(1)["RX-bytes"] >= STREAM_BYTES


@pytest.mark.parametrize("channels", [1, 2])
def test_two_queue_pairs(folder, channels):
    """The guest says how many it uses; the others take no packets, and say so."""
    with ports(folder, queues=2) as switch:
        switch.start()
        with guests(folder, channels=channels) as pair:
            assert pair.what_went_wrong() is None
            assert pair.server.has_feature(MQ)
            assert pair.server.link()["queues"] == str(channels)
            said = control(switch)
            assert (said["ring"], said["pairs"]) == (4, channels)
            ring = telemetry.query(switch.prefix, "/vhostx/queue,0,2")
            assert ring["running"] == (channels == 2)
            carrier = telemetry.query(switch.prefix, "/vhostx/queue,0,4")
            assert carrier["direction"] == "control" and carrier["running"]


def test_what_the_guest_commands_is_shown(one):
    switch, vm = one
    assert control(switch)["commands"] > 0, "bringing the interface up sends some"
    tell(vm, "ifconfig eth0 promisc")
    wait_control(switch, "promisc", 1)
    tell(vm, "ifconfig eth0 -promisc allmulti")
    assert wait_control(switch, "promisc", 0)["allmulti"] == 1
    tell(vm, "ip link set eth0 down && ip link set eth0 address 52:54:00:12:34:56 && ip link set eth0 up")
    said = wait_control(switch, "mac", "52:54:00:12:34:56")
    assert said["refused"] == 0


def test_driver_loaded_again(one):
    """The guest disables its rings, and then sets them up anew without stopping them."""
    switch, vm = one
    tell(vm, "ifconfig eth0 promisc")
    wait_control(switch, "promisc", 1)
    for _ in range(3):
        tell(vm, "rmmod virtio_net && insmod /modules/virtio_net.ko && ifconfig eth0 10.9.0.1 up")
        switch.wait_link(0)
        wait_control(switch, "promisc", 0)
    vm.send("ping -c 1 -W 1 10.9.0.2")  # nobody answers, but it asks
    switch.wait_stat("RX-packets", 1, 0)


def test_guest_without_a_port_gives_up(folder):
    """Nobody listens: it boots on, without an interface."""
    with UmlGuest("guest", folder / "nobody", folder=folder) as vm:
        vm.wait_for("RESULT error no network device", 40)


def test_guest_is_killed_and_replaced(folder):
    with ports(folder) as switch:
        switch.start()
        for _ in range(2):
            with UmlGuest("guest", folder / "vm0", folder=folder) as vm:
                vm.wait_for("GUEST-DONE", 30)
                assert switch.link(0)
                vm.kill()
            switch.wait_link(0, up=False)


def test_back_end_is_killed_under_the_guest(folder):
    """Its commands are never answered, and it waits for them: only a kill ends it."""
    with ports(folder) as switch:
        switch.start()
        with UmlGuest("guest", folder / "vm0", folder=folder) as vm:
            vm.wait_for("GUEST-DONE", 30)
            switch.kill()
            vm.send("ifconfig eth0 promisc")
            vm.kill()
            assert not vm.is_alive()
