# SPDX-License-Identifier: BSD-3-Clause
"""Real virtual machines: two Linux guests talk through two ports of the driver under test.

    guest1 -- QEMU -- port 0 of testpmd (io) port 1 -- QEMU -- guest2: ping, then 50 MiB of TCP, compared
"""

import time

import pytest

from e2e_rig import BACK_LCORES
from lab import guest, paths, telemetry
from lab.guest import Guest, GuestPair
from lab.testpmd import Testpmd

pytestmark = pytest.mark.usefixtures("guest_image")

STREAM_BYTES = 50 << 20
GUEST_TSO4, HOST_TSO4, MRG_RXBUF, MQ, RING_PACKED = 7, 11, 15, 22, 34  # virtio feature bits
NO_TSO = {"guest_tso4": "off", "guest_tso6": "off"}


@pytest.fixture(params=["debian", "backports"])
def qemu(request):
    """Both QEMUs that a user of this Debian may have."""
    if request.param == "debian":
        return guest.DISTRIBUTION
    try:
        return guest.private_qemu()
    except RuntimeError as error:
        pytest.skip(f"only the distribution's QEMU is tried: {error}")


def ports(folder, queues=1, **keys):
    """A testpmd with two vhost ports that hands packets from one to the other."""
    vdevs = [paths.vhost_vdev(port, folder / f"vm{port}", queues=queues, **keys) for port in (0, 1)]
    return Testpmd(vdevs, folder=folder, name="switch", queues=queues, lcores=BACK_LCORES)


def guests(folder, **keywords):
    keywords.setdefault("options", {"bytes": STREAM_BYTES})
    return GuestPair(folder, (folder / "vm0", folder / "vm1"), **keywords)


def assert_intact(pair, switch):
    assert pair.what_went_wrong() is None
    assert pair.server.result("serve")["bytes"] == str(STREAM_BYTES)
    to_server, from_client = switch.stats(0)["TX-bytes"], switch.stats(1)["RX-bytes"]
    assert to_server >= STREAM_BYTES and from_client >= STREAM_BYTES


@pytest.mark.parametrize("qemu_serves", [False, True], ids=["qemu-connects", "qemu-listens"])
def test_ping_and_stream(folder, qemu, qemu_serves):
    with ports(folder, client=int(qemu_serves)) as switch:
        switch.start()
        with guests(folder, qemu=qemu, server=qemu_serves) as pair:
            assert_intact(pair, switch)


def test_without_mergeable_buffers(folder):
    with ports(folder) as switch:
        switch.start()
        with guests(folder, props={"mrg_rxbuf": "off"}) as pair:
            assert_intact(pair, switch)
            assert not pair.server.has_feature(MRG_RXBUF)


def test_packed_rings(folder, qemu):
    with ports(folder) as switch:
        switch.start()
        with guests(folder, qemu=qemu, props={"packed": "on"}) as pair:
            assert_intact(pair, switch)
            assert pair.server.has_feature(RING_PACKED)


def test_two_queue_pairs(folder):
    with ports(folder, queues=2) as switch:
        switch.start()
        with guests(folder, queues=2) as pair:
            assert_intact(pair, switch)
            assert pair.server.has_feature(MQ)
            assert pair.server.link()["queues"] == "2"


def forward_with_tso(switch):
    """Hand TCP packets on with the request to cut them, instead of as they came."""
    switch.command("port stop all")
    for port in (0, 1):
        switch.command(f"csum set ip hw {port}")
        switch.command(f"csum set tcp hw {port}")
        switch.command(f"csum mac-swap off {port}")
        switch.command(f"tso set 1448 {port}")
    switch.command("port start all")
    switch.command("set fwd csum")


def test_large_packets_pass_whole(folder, ours_only):
    with ports(folder, tso=1) as switch:
        switch.start()
        with guests(folder) as pair:
            assert_intact(pair, switch)
            assert pair.client.has_feature(HOST_TSO4) and pair.server.has_feature(GUEST_TSO4)
            assert switch.xstats(1)["rx_q0_gso_packets"] > 100
            assert switch.stats(1)["RX-packets"] < STREAM_BYTES / 3000


@pytest.mark.parametrize("props, counter", [
    pytest.param({}, "tx_q0_gso_packets", id="passed-on"),
    pytest.param(NO_TSO, "tx_q0_sw_gso_packets", id="cut"),
    pytest.param({**NO_TSO, "guest_csum": "off", "mrg_rxbuf": "off"}, "tx_q0_sw_gso_packets",
                 id="cut-and-summed")])
def test_large_packets_are_passed_on_or_cut(folder, ours_only, props, counter):
    with ports(folder, tso=1) as switch:
        forward_with_tso(switch)
        switch.start()
        with guests(folder, props=props) as pair:
            assert_intact(pair, switch)
            assert switch.xstats(0)[counter] > 100
            assert switch.xstats(0)["tx_q0_bad_offload_packets"] == 0


def test_killed_guest_is_replaced(folder):
    """A guest that dies takes its link down; another one on the same socket gets it back."""
    few = {"bytes": 1 << 20}
    with ports(folder) as switch:
        switch.start()
        with guests(folder, options=few) as pair:
            assert pair.what_went_wrong() is None
            pair.client.kill()
            switch.wait_link(1, up=False)
            assert switch.link(0), "the other guest's port must not notice"
        with guests(folder, options=few) as pair:
            assert pair.what_went_wrong() is None
            assert switch.link(0) and switch.link(1)


def test_guests_outlive_the_back_end(folder):
    """kill -9 of the back-end: the guests wait, a new back-end connects to them and they talk again."""
    with guests(folder, server=True, options={"bytes": 1 << 20}) as pair:
        with ports(folder, client=1) as switch:
            switch.start()
            assert pair.what_went_wrong() is None
            pair.client.wait_for("GUEST-DONE", 20)
            switch.kill()
        with ports(folder, client=1) as switch:
            switch.start()
            switch.wait_link(0)
            switch.wait_link(1)
            seen = pair.client.mark()
            pair.client.send("ping -c 10 -A -W 2 10.9.0.1")
            pair.client.wait_for(" 0% packet loss", 30, seen)


@pytest.mark.parametrize("share", [
    pytest.param(None, id="no-memory-backend"), pytest.param("off", id="share-off")])
def test_private_memory_is_named(folder, ours_only, share):
    """Without shared memory nothing can flow: the port says which QEMU option is missing."""
    with ports(folder) as switch:
        switch.start()
        with Guest("guest", folder / "vm0", folder=folder, share=share) as vm:
            vm.link()
            vm.wait_for("GUEST-DONE", 20)
            deadline = time.monotonic() + 5
            why = ""
            while "share=on" not in why and time.monotonic() < deadline:
                answer = telemetry.query(switch.prefix, "/vhostx/why,0")
                why = answer["why"] + answer.get("why_more", "")
                time.sleep(0.2)
    assert "share=on" in why
