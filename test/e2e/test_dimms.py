# SPDX-License-Identifier: BSD-3-Clause
"""Memory is plugged into guests and out of them while they ping each other and push a TCP stream."""

import itertools
import re

import pytest

from e2e_rig import BACK_LCORES
from lab import paths
from lab.dimms import PluggableGuest
from lab.testpmd import Testpmd

pytestmark = pytest.mark.usefixtures("guest_image")

# An Ethernet header of what guest 1 sends to guest 2.
TO_CLIENT = bytes.fromhex("525400000902" "525400000901" "0800")


def flaps(said: str) -> list[str]:
    """Whatever a port went back to after it ran."""
    return [line for port in (0, 1)
            for line in re.findall(rf"vhostx{port}: (?:listening|connected|features|memory|rings|enabled).*",
                                   said.partition(f"vhostx{port}: running")[2])]


def plug_and_unplug(vm: PluggableGuest, busy, at_least: int) -> None:
    """While the other guest is busy."""
    for number in itertools.count():
        if number >= at_least and "GUEST-DONE" in busy.output():
            return
        vm.plug(f"dimm{number}")
        vm.unplug(f"dimm{number}")


@pytest.mark.limit(400)
@pytest.mark.soak(2, 40)
@pytest.mark.parametrize("packed", ["off", "on"])
def test_nothing_is_lost(folder, qemu, packed, rounds):
    """The server's memory comes and goes; what the client gets lands in memory that was plugged in."""
    sockets = [folder / "vm0", folder / "vm1"]
    vdevs = [paths.vhost_vdev(port, path) for port, path in enumerate(sockets)]
    keywords = {"folder": folder, "qemu": qemu, "props": {"packed": packed}, "lifetime": 390}
    work = {"pings": 100 * rounds, "bytes": (4 << 20) * rounds}
    with Testpmd(vdevs, folder=folder, name="switch", lcores=BACK_LCORES) as switch:
        switch.start()
        with PluggableGuest("server", sockets[0], number=1, steps=("serve",), plug="online_movable",
                            **keywords) as server, \
                PluggableGuest("client", sockets[1], number=2, steps=("ping", "send"), plug="online_kernel",
                               options=work, **keywords) as client:
            server.link()
            client.link()
            client.plug("kept")
            plug_and_unplug(server, client, rounds)
            pings, sent = client.result("ping"), client.result("send")
            arrived = server.result("serve")
            assert client.has_in_dimm(TO_CLIENT), "no packet lies in the memory that was plugged in"
            assert switch.link(0) and switch.link(1)
            said = switch.output()
    assert pings["sent"] == pings["received"]
    assert sent["intact"] == arrived["intact"] == "yes"
    assert (sent["bytes"], sent["sum"]) == (arrived["bytes"], arrived["sum"])
    assert not flaps(said)
