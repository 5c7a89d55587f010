# SPDX-License-Identifier: BSD-3-Clause
"""Live migration: a guest that pings is moved between two ports of one switch, and back."""

import time

import pytest

from e2e_rig import BACK_LCORES, need_guest
from lab import guest, paths
from lab.moving import MovingGuest
from lab.testpmd import Testpmd

LOG_ALL = 26
RINGS = {"split": {}, "packed": {"packed": "on"}, "unmergeable": {"mrg_rxbuf": "off"}}


@pytest.fixture(scope="module", autouse=True)
def image():
    need_guest()


@pytest.fixture
def qemu():
    try:
        return guest.private_qemu()
    except RuntimeError as error:
        pytest.skip(f"QEMU 10 is needed: {error}")


@pytest.mark.limit(600)
@pytest.mark.soak(3, 20)
@pytest.mark.parametrize("rings", RINGS)
def test_pings_go_on(folder, qemu, rings, rounds):
    socket_of = (folder / "vm0", folder / "vm1")
    vdevs = [paths.vhost_vdev(port, socket_of[port]) for port in (0, 1)]
    with Testpmd(vdevs, folder=folder, name="switch", forward="icmpecho", lcores=BACK_LCORES) as switch:
        switch.start()
        pings = 4000 * rounds
        with MovingGuest(folder, socket_of, steps=("ping",), options={"pings": pings, "size": 1000}, qemu=qemu,
                         props=RINGS[rings], lifetime=300) as vm:
            vm.here.link()
            for _ in range(rounds):
                time.sleep(1)
                vm.move()
                assert switch.link(vm.at)
            said = vm.here.result("ping", 120)
    assert int(said["sent"]) - int(said["received"]) <= rounds, said
