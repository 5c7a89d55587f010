# SPDX-License-Identifier: BSD-3-Clause
"""Debian's unmodified Open vSwitch on our librte_vhost.so.23: its own vhost-user ports, which use the library
without a driver between.

lab.ovs looks into the switch it starts: one that does not run on our library fails its test.
VHOSTX_DRIVER=net_vhost runs the very same tests on Debian's library.
"""

import re

import pytest

from e2e_rig import need_guest
from lab import ovs, paths
from lab.guest import GuestPair
from test_ovs import BURST, ping_until_all_return, send_through, user, wait_counter, wait_link

pytestmark = pytest.mark.usefixtures("on_facade")

STREAM_BYTES = 5 << 20


@pytest.fixture(scope="module", autouse=True)
def switch_installed():
    missing = ovs.what_is_missing()
    if missing:
        pytest.skip(missing)


@pytest.fixture
def switch(folder, on_facade):
    """With two ports of type dpdkvhostuserclient: front-ends listen on folder/sock0 and folder/sock1."""
    with ovs.OvsDpdk(folder) as running:
        for port in (0, 1):
            running.add_vhost_client_port(f"p{port}", folder / f"sock{port}")
        yield running


def _status(switch, port: str) -> dict[str, str]:
    """What OVS asked the library about a port."""
    return dict(re.findall(r'"?(\w+)"?="?([^",}]*)"?', switch.vsctl("get", "Interface", port, "status")))


# -- virtio-user ------------------------------------------------------------------------------


def test_the_library_is_the_one_that_was_meant(switch):
    assert paths.is_ours(paths.vhost_library_of(switch.switch.pid)) == paths.is_facade()


@pytest.mark.parametrize("packed", [0, 1], ids=["split", "packed"])
def test_traffic_is_switched_and_counted(folder, switch, packed):
    sent, entered = send_through(folder, switch, {"server": 1, "packed_vq": packed})
    assert entered["rx_1_to_64_packets"] == sent


def test_status_says_what_the_library_knows(folder, switch):
    with user(folder, 1, keys={"server": 1}):
        assert wait_link(switch, "p1", True)
        status = _status(switch, "p1")
    assert status["mode"] == "client" and status["status"] == "connected"
    assert (status["num_of_vrings"], status["vring_0_size"], status["vring_1_size"]) == ("2", "256", "256")
    assert status["socket"] == str(folder / "sock1")


def test_front_end_is_killed_and_comes_back(folder, switch):
    for _ in range(2):
        with user(folder, 1, keys={"server": 1}, forward="txonly") as source:
            assert wait_link(switch, "p1", True)
            before = switch.counters("p1").get("rx_packets", 0)  # not copied at all at first
            source.start()
            assert wait_counter(switch, "p1", "rx_packets", before + BURST)["rx_packets"] >= before + BURST
            source.kill()
        assert wait_link(switch, "p1", False)
        (folder / "sock1").unlink()  # virtio-user asks for that when it was killed


def test_port_leaves_and_comes_back(folder, switch):
    """del-port takes the port from under a connected front-end; add-port takes it up again."""
    with user(folder, 1, keys={"server": 1}, forward="txonly") as source:
        assert wait_link(switch, "p1", True)
        switch.del_port("p1")
        source.wait_link(0, up=False)
        switch.add_vhost_client_port("p1", folder / "sock1")
        assert wait_link(switch, "p1", True)
        source.start()
        assert wait_counter(switch, "p1", "rx_packets", BURST)["rx_packets"] >= BURST


# -- guests -------------------------------------------------------------------------------------


def test_guests_talk_and_outlive_the_switch(folder, switch):
    """Ping and a TCP stream; kill -9 of the switch; the next one takes up the running guests, who talk again."""
    need_guest()
    with GuestPair(folder, (folder / "sock0", folder / "sock1"), server=True,
                   options={"bytes": STREAM_BYTES}) as pair:
        assert pair.what_went_wrong() is None
        assert wait_counter(switch, "p0", "tx_bytes", STREAM_BYTES)["tx_bytes"] >= STREAM_BYTES
        pair.client.wait_for("GUEST-DONE", 20)
        for _ in range(2):
            switch.kill_and_restart()
            assert wait_link(switch, "p0", True) and wait_link(switch, "p1", True)
            ping_until_all_return(pair)


def test_guests_talk_through_server_ports(folder, on_facade):
    """The older dpdkvhostuser ports: the switch listens, QEMU connects. OVS does not count on them."""
    need_guest()
    with ovs.OvsDpdk(folder) as switch:
        sockets = [switch.add_vhost_server_port(f"p{port}") for port in (0, 1)]
        with GuestPair(folder, sockets, options={"bytes": STREAM_BYTES}) as pair:
            assert pair.what_went_wrong() is None
            assert _status(switch, "p0")["mode"] == "server"
