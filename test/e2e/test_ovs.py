# SPDX-License-Identifier: BSD-3-Clause
"""Open vSwitch with DPDK: two ports of the driver under test on one bridge, hot-plugged as users do."""

import time

import pytest

from e2e_rig import need_guest
from lab import ovs, paths
from lab.guest import GuestPair
from lab.testpmd import Testpmd

MACS = ("52:54:00:00:0a:00", "52:54:00:00:0a:01")
FRONT_LCORES = "0@1,1@0"  # the switch polls on processor 1
BURST = 2000
COUNTERS_SECONDS = 15  # the switch copies its counters into its database every few seconds


@pytest.fixture(scope="module", autouse=True)
def switch_installed():
    missing = ovs.what_is_missing()
    if missing:
        pytest.skip(missing)


@pytest.fixture
def switch(folder):
    with ovs.OvsDpdk(folder) as running:
        for port in (0, 1):
            running.add_dpdk_port(f"p{port}", paths.vhost_vdev(port, folder / f"sock{port}"))
        yield running


def user(folder, port, keys=None, **options):
    """A virtio-user testpmd on a port of the switch; keys are virtio-user's."""
    vdev = paths.virtio_user_vdev(0, folder / f"sock{port}", mac=MACS[port], **(keys or {}))
    return Testpmd([vdev], folder=folder, name=f"user{port}", lcores=FRONT_LCORES, memory=256,
                   mbufs=16384, **options)


def wait_counter(switch, port, name, at_least):
    deadline = time.monotonic() + COUNTERS_SECONDS
    while switch.counters(port).get(name, 0) < at_least and time.monotonic() < deadline:
        time.sleep(0.5)
    return switch.counters(port)


def wait_link(switch, port, up):
    deadline = time.monotonic() + COUNTERS_SECONDS
    while switch.link(port) != up and time.monotonic() < deadline:
        time.sleep(0.2)
    return switch.link(port) == up


def ping_until_all_return(pair) -> None:
    """From the second guest's shell, again until nothing is lost: a switch that has just started learns first."""
    for _ in range(5):
        seen = pair.client.mark()
        pair.client.send("ping -c 10 -A -W 2 10.9.0.1")
        if " 0% packet loss" in pair.client.wait_for("% packet loss", 30, seen):
            return
    pytest.fail("packets are still lost")


def send_through(folder, switch, keys=None) -> tuple[int, dict[str, int]]:
    """A flood from port p1 to p0, counted alike by both users and the switch; how many, and p1's counters."""
    with user(folder, 0, keys, forward="rxonly") as sink, \
         user(folder, 1, keys, forward="txonly", extra=[f"--eth-peer=0,{MACS[0]}"]) as source:
        assert wait_link(switch, "p0", True) and wait_link(switch, "p1", True)
        sink.start()
        source.start()
        source.wait_stat("TX-packets", BURST)
        source.stop_forwarding()
        sent = source.stats()["TX-packets"]
        entered = wait_counter(switch, "p1", "rx_packets", sent)
        left = wait_counter(switch, "p0", "tx_packets", 1)
        arrived = sink.stats()["RX-packets"]
    assert entered["rx_packets"] == sent
    assert entered["rx_bytes"] == sent * 64
    assert arrived > 0
    assert left["tx_packets"] == arrived
    assert left["tx_packets"] + left["tx_dropped"] == sent, "every packet is sent or counted as dropped"
    return sent, entered


def test_traffic_is_switched_and_counted(folder, switch):
    _sent, entered = send_through(folder, switch)
    assert entered["rx_dropped"] == entered["rx_errors"] == 0


def test_port_leaves_and_comes_back(folder, switch):
    """del-port unplugs the device under a connected front-end; add-port takes it up again."""
    with user(folder, 1, forward="txonly") as source:
        assert wait_link(switch, "p1", True)
        switch.del_port("p1")
        source.wait_link(0, up=False)
        assert not (folder / "sock1").exists(), "an unplugged port removes the socket it made"
    switch.add_dpdk_port("p1", paths.vhost_vdev(1, folder / "sock1"))
    with user(folder, 1, forward="txonly") as source:
        assert wait_link(switch, "p1", True)
        source.start()
        assert wait_counter(switch, "p1", "rx_packets", BURST)["rx_packets"] >= BURST


def test_guests_talk_through_the_switch(folder, switch):
    need_guest()
    with GuestPair(folder, (folder / "sock0", folder / "sock1"), options={"bytes": 5 << 20}) as pair:
        assert pair.what_went_wrong() is None
        assert wait_counter(switch, "p0", "tx_bytes", 5 << 20)["tx_bytes"] >= 5 << 20


@pytest.mark.limit(400)
@pytest.mark.soak(1, 5)
def test_guests_outlive_the_switch(folder, rounds):
    """QEMU listens; a switch that is killed, or ends in good order, is followed by one that takes up the guests."""
    need_guest()
    sockets = (folder / "sock0", folder / "sock1")
    with ovs.OvsDpdk(folder) as switch:
        for port, path in enumerate(sockets):
            switch.add_dpdk_port(f"p{port}", paths.vhost_vdev(port, path, client=1))
        with GuestPair(folder, sockets, server=True, options={"bytes": 1 << 20}) as pair:
            assert pair.what_went_wrong() is None
            pair.client.wait_for("GUEST-DONE", 20)
            for restart in [switch.kill_and_restart, switch.end_and_restart] * rounds:
                restart()
                assert wait_link(switch, "p0", True) and wait_link(switch, "p1", True)
                ping_until_all_return(pair)
