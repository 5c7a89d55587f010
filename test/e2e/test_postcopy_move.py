# SPDX-License-Identifier: BSD-3-Clause
"""Postcopy with QEMU: a guest that pings runs on the other port before its memory is there."""

import time

import pytest

from e2e_rig import BACK_LCORES
from lab import paths
from lab.moving import MovingGuest
from lab.testpmd import Testpmd

pytestmark = pytest.mark.usefixtures("guest_image")

LIFETIME = 1200  # of each program, in case nobody ends it
SLOW = 64 << 20  # bytes a second before the guest is there: most of its memory must come after it
RINGS = {"split": {}, "packed": {"packed": "on"}}


@pytest.mark.limit(600)
@pytest.mark.soak(1, 20)
@pytest.mark.parametrize("rings", RINGS)
def test_pings_go_on(folder, qemu, rings, rounds):
    socket_of = (folder / "vm0", folder / "vm1")
    vdevs = [paths.vhost_vdev(port, socket_of[port], **{"postcopy-support": 1}) for port in (0, 1)]
    with Testpmd(vdevs, folder=folder, name="switch", forward="icmpecho", lcores=BACK_LCORES,
                 lifetime=LIFETIME) as switch:
        switch.start()
        pings = 2500 * rounds
        with MovingGuest(folder, socket_of, steps=("hold", "ping", "held"), options={"pings": pings, "size": 1000},
                         qemu=qemu, props=RINGS[rings], lifetime=LIFETIME) as vm:
            vm.here.link()
            for _ in range(rounds):
                time.sleep(1)
                said = vm.move(postcopy=True, **{"max-bandwidth": SLOW})
                assert said["ram"]["postcopy-requests"] > 0, f"no page came after the guest: {said}"
                assert switch.link(vm.at)
            said = vm.here.result("ping", 120 + 10 * rounds)
            assert vm.here.result("held", 60) == {"intact": "yes"}
    assert int(said["sent"]) >= pings
    assert int(said["sent"]) - int(said["received"]) <= rounds, said
