# SPDX-License-Identifier: BSD-3-Clause
"""A kernel's TCP on either side, for every combination of offloads a front-end can choose.

    guest, iperf3 server                     network namespace, iperf3 client
    eth0 -- QEMU -- port 0 of testpmd -- port 1, net_tap -- tap0
    eth1 -- QEMU -- port 2 of testpmd -- port 3, net_tap -- tap1 ...

All combinations are devices of one guest, which boots once. They are tried twice: as testpmd finds packets, it
hands them on (io); and with the requests a switch makes: checksum this, cut that (csum). What reaches the
namespace is whole, so every checksum in it is looked at; what reaches the guest, the guest's kernel judges.
"""

import json
import shutil
import time
from dataclasses import dataclass, field

import pytest

from e2e_rig import BACK_LCORES, need_guest
from lab import netns, paths
from lab.guest import Guest
from lab.netns import Listener, Namespace, bad_checksum
from lab.testpmd import Testpmd

NR_BYTES = 16 << 20
MTU = 9000  # so that there is something to cut
SEGMENT = 1400  # with its headers, net_tap lets 1500 bytes pass
CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MRG_RXBUF, VERSION_1, PACKED = 0, 1, 7, 11, 15, 32, 34
NO_GUEST_TSO = {"guest_tso4": "off", "guest_tso6": "off", "guest_ecn": "off", "guest_ufo": "off"}
NO_HOST_TSO = {"host_tso4": "off", "host_tso6": "off", "host_ecn": "off", "host_ufo": "off"}


@dataclass(frozen=True)
class Nic:
    """One device: its properties, our own devargs, the features that come of them."""

    name: str
    props: dict[str, str] = field(default_factory=dict)
    tso: int = 1
    has: frozenset[int] = frozenset()


def _nic(name: str, *has: int, tso: int = 1, **props: str) -> Nic:
    return Nic(name, props, tso, frozenset(has))


_TSO_BOTH = (CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4)
NICS = [
    _nic("tso0", CSUM, GUEST_CSUM, MRG_RXBUF, VERSION_1, tso=0),
    _nic("tso0-nomrg", CSUM, GUEST_CSUM, VERSION_1, tso=0, mrg_rxbuf="off"),
    _nic("tso0-no-csum", MRG_RXBUF, VERSION_1, tso=0, csum="off", guest_csum="off"),
    _nic("tso0-packed", CSUM, GUEST_CSUM, MRG_RXBUF, VERSION_1, PACKED, tso=0, packed="on"),
    _nic("tso0-legacy", CSUM, GUEST_CSUM, tso=0, mrg_rxbuf="off", **{"disable-modern": "on"}),
    _nic("all", *_TSO_BOTH, MRG_RXBUF, VERSION_1),
    _nic("all-nomrg", *_TSO_BOTH, VERSION_1, mrg_rxbuf="off"),
    _nic("all-packed", *_TSO_BOTH, MRG_RXBUF, VERSION_1, PACKED, packed="on"),
    _nic("all-packed-nomrg", *_TSO_BOTH, VERSION_1, PACKED, packed="on", mrg_rxbuf="off"),
    _nic("no-guest-tso", CSUM, GUEST_CSUM, HOST_TSO4, MRG_RXBUF, VERSION_1, **NO_GUEST_TSO),
    _nic("no-host-tso", CSUM, GUEST_CSUM, GUEST_TSO4, MRG_RXBUF, VERSION_1, **NO_HOST_TSO),
    # QEMU leaves the bits for segments on where those of checksums, without which they mean nothing, are off.
    _nic("no-csum", GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MRG_RXBUF, VERSION_1, csum="off"),
    _nic("no-guest-csum", CSUM, GUEST_TSO4, HOST_TSO4, MRG_RXBUF, VERSION_1, guest_csum="off"),
    _nic("nothing-packed", VERSION_1, PACKED, packed="on", mrg_rxbuf="off", csum="off", guest_csum="off",
         **NO_GUEST_TSO, **NO_HOST_TSO),
]


def switch_vdevs(folder) -> list[str]:
    """Ports in pairs: 2n to the guest, 2n+1 to the namespace."""
    vdevs = []
    for index, nic in enumerate(NICS):
        vdevs += [paths.vhost_vdev(index, folder / f"nic{index}", tso=nic.tso),
                  f"net_tap{index},iface=tap{index}"]
    return vdevs


def ask_for_offloads(switch: Testpmd) -> None:
    """Whoever gets a packet in the csum mode is asked to sum it, and to cut what is long."""
    switch.command("port stop all", timeout=60)
    for port in range(2 * len(NICS)):
        switch.command(f"csum set ip hw {port}")
        switch.command(f"csum set tcp hw {port}")
        switch.command(f"csum mac-swap off {port}")
        switch.command(f"tso set {SEGMENT} {port}")
    switch.command("port start all", timeout=60)


class Lab:
    """The guest, testpmd and the namespace, all up."""

    def __init__(self, folder, stack: Namespace, switch: Testpmd, vm: Guest):
        self.folder, self.stack, self.switch, self.vm = folder, stack, switch, vm
        self.mode = None

    def set_mode(self, mode: str) -> None:
        if mode == self.mode:
            return
        if self.mode:
            self.switch.stop_forwarding()
        self.switch.command(f"set fwd {mode}")
        self.switch.start()
        self.mode = mode

    def features(self, index: int) -> frozenset[int]:
        """Of those the combinations differ in."""
        bits = self.vm.nic(index + 1)["features"]
        return frozenset(bit for bit in _OF_INTEREST if bits[bit] == "1")

    def iperf(self, index: int, *options: str) -> dict:
        """One run of iperf3 over a device; what it says at its end.

        A server that has not quite ended the run before refuses the next: then no stream is connected.
        """
        for _ in range(20):
            said = json.loads(self.stack.run("iperf3", "-c", f"10.9.{index + 1}.1", "-n", str(NR_BYTES),
                                             "-J", *options, timeout=15))
            if "error" not in said or said["start"]["connected"]:
                break
            time.sleep(0.2)
        assert "error" not in said, said["error"]
        return said["end"]

    def guest_counters(self) -> dict[str, int]:
        seen = self.vm.mark()
        self.vm.send("echo; cat /proc/net/snmp; echo GUEST-''SNMP")
        return netns.parse_snmp(self.vm.wait_for("GUEST-SNMP", 20, seen))


_OF_INTEREST = (CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MRG_RXBUF, VERSION_1, PACKED)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    missing = netns.what_is_missing()
    if not missing and shutil.which("iperf3") is None:
        missing = "iperf3 is not installed: devtools/setup.sh test"
    if not missing and paths.is_peer():
        missing = "net_vhost is asked for other devargs; unset VHOSTX_DRIVER to run this on net_vhostx"
    if missing:
        pytest.skip(missing)
    need_guest()
    folder = tmp_path_factory.mktemp("iperf")
    with Namespace() as stack, \
         Testpmd(switch_vdevs(folder), folder=folder, name="switch", lcores=BACK_LCORES, memory=1024,
                 mbufs=32768, mbuf_size=MTU + 856, wrapper=stack.argv(), lifetime=600, startup=60) as switch:
        for index in range(len(NICS)):
            stack.run("ip", "address", "add", f"10.9.{index + 1}.2/24", "dev", f"tap{index}")
            stack.run("ip", "link", "set", f"tap{index}", "mtu", str(MTU), "up")
        ask_for_offloads(switch)
        first, *others = [(folder / f"nic{index}", nic.props) for index, nic in enumerate(NICS)]
        with Guest("guest", first[0], folder=folder, props=first[1], more_nics=others, steps=("iperf",),
                   options={"mtu": MTU}, memory=768, lifetime=600) as vm:
            vm.result("iperf", 120)
            yield Lab(folder, stack, switch, vm)


def assert_clean(lab: Lab, before: list[dict[str, int]]) -> None:
    after = [lab.stack.counters(), lab.guest_counters()]
    for where, old, new in zip(("namespace", "guest"), before, after):
        for name in ("TcpInCsumErrors", "IpInHdrErrors", "TcpInErrs"):
            assert new[name] == old[name], f"{where}: {name}"


def assert_checksums(packets: list[bytes]) -> None:
    wrong = [found for found in map(bad_checksum, packets) if found]
    assert not wrong, f"{len(wrong)} of {len(packets)} have bad checksums, the first is {wrong[0]}"


def move_both_ways(lab: Lab, index: int, *options: str) -> None:
    """iperf3 there and back: everything arrives, and no kernel meets a bad checksum."""
    before = [lab.stack.counters(), lab.guest_counters()]
    with Listener(lab.stack, f"tap{index}") as heard:
        try:
            there = lab.iperf(index, *options)
            back = lab.iperf(index, "-R", *options)
        finally:
            assert_checksums(heard.packets)  # says more than that nothing moves
    for way in (there, back):
        assert way["sum_sent"]["bytes"] >= NR_BYTES
        assert way["sum_received"]["bytes"] >= NR_BYTES / 2  # iperf3 ends when all is sent
    assert len(heard.packets) > 2 * NR_BYTES / MTU / 2
    assert_clean(lab, before)


EVERY_NIC = [pytest.param(index, id=nic.name) for index, nic in enumerate(NICS)]


@pytest.mark.parametrize("index", EVERY_NIC)
def test_features_are_agreed_on(lab, index):
    assert lab.features(index) == NICS[index].has


@pytest.mark.parametrize("index", [param for param, nic in zip(EVERY_NIC, NICS) if not nic.tso])
def test_packets_are_handed_on(lab, index):
    """Of the guest's packets the checksums are finished here; nothing longer than a segment comes along."""
    lab.set_mode("io")
    before = lab.switch.xstats(2 * index)
    move_both_ways(lab, index, "-M", str(SEGMENT))
    after = lab.switch.xstats(2 * index)
    summed = after["rx_q0_sw_csum_packets"] - before["rx_q0_sw_csum_packets"]
    assert (summed > NR_BYTES / MTU) == (CSUM in NICS[index].has)


@pytest.mark.parametrize("index", EVERY_NIC)
def test_packets_come_with_requests(lab, index):
    """The guest is handed what it takes, the rest is summed and cut here; its own is cut behind us."""
    lab.set_mode("csum")
    before, has = lab.switch.xstats(2 * index), NICS[index].has
    move_both_ways(lab, index)
    grew = {name: value - before[name] for name, value in lab.switch.xstats(2 * index).items()}
    assert (grew["rx_q0_gso_packets"] > 100) == ({CSUM, HOST_TSO4} <= has)
    assert (grew["tx_q0_gso_packets"] > 100) == ({GUEST_CSUM, GUEST_TSO4} <= has)
    assert (grew["tx_q0_sw_gso_packets"] > 100) == (not {GUEST_CSUM, GUEST_TSO4} <= has)
    assert (grew["tx_q0_sw_csum_packets"] > 100) == (GUEST_CSUM not in has)
    assert grew["tx_q0_bad_offload_packets"] == 0
