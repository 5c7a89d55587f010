# SPDX-License-Identifier: BSD-3-Clause
"""A running QEMU guest whose switch is killed and comes back, and a guest that reboots: pings go on by themselves."""

import os
import re
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from e2e_rig import BACK_LCORES
from lab import paths
from lab.guest import Guest
from lab.moving import Monitor
from lab.testpmd import Testpmd

pytestmark = pytest.mark.usefixtures("guest_image")

RINGS = {"split": {}, "packed": {"packed": "on"}}
SWITCH_ADDRESS = "10.9.0.2"  # any: icmpecho answers for all
PINGS = 5
LIFETIME = 3600  # of each program, in case nobody ends it


@pytest.fixture(params=RINGS)
def props(request):
    return RINGS[request.param]


def switch_on(folder, **keys) -> Testpmd:
    """One port that answers pings."""
    made = Testpmd([paths.vhost_vdev(0, folder / "sock", **keys)], folder=folder, name="switch",
                   forward="icmpecho", lcores=BACK_LCORES, lifetime=LIFETIME)
    made.start()
    return made


@contextmanager
def guest_on(folder, props, **keywords):
    """One with a shell on its console."""
    with Guest("guest", folder / "sock", folder=folder, props=props, lifetime=LIFETIME, **keywords) as running:
        running.link()
        yield running


def keep_it_busy(vm: Guest) -> None:
    """Traffic that goes on whatever happens, of packets large and small."""
    vm.send(f"(while true; do ping -A -q -w 2 -s 1000 {SWITCH_ADDRESS}; done) >/dev/null 2>&1 &")


def pings_return(vm: Guest) -> None:
    """Until a whole round comes back: the guest may have been interrupted in one."""
    for _ in range(8):
        seen = vm.mark()
        vm.send(f"ping -c {PINGS} -A -W 2 {SWITCH_ADDRESS}")
        if " 0% packet loss" in vm.wait_for("% packet loss", 60, seen):
            return
    pytest.fail(vm.explain("its pings are still lost"))


@pytest.mark.limit(400)
@pytest.mark.soak(2, 20)
def test_switch_is_killed_under_a_guest(folder, props, rounds):
    """QEMU listens; of a packed ring it does not know where it stands."""
    switch = switch_on(folder, client=1)
    try:
        with guest_on(folder, props, server=True) as vm:
            switch.wait_link(0, timeout=60)
            pings_return(vm)
            keep_it_busy(vm)
            for _ in range(rounds):
                switch.kill()
                switch = switch_on(folder, client=1)
                switch.wait_link(0)
                pings_return(vm)
    finally:
        switch.stop()


@pytest.mark.limit(400)
def test_switch_comes_back_with_fewer_features(folder, ours_only):
    """QEMU hangs up, and names what its guest misses; our log says what to do, and that makes it right."""
    switch = switch_on(folder, client=1, tso=1)
    try:
        with guest_on(folder, {}, server=True) as vm:
            switch.wait_link(0, timeout=60)
            pings_return(vm)
            switch.kill()
            switch = switch_on(folder, client=1)
            switch.wait_for("give the port the options it had when that driver started", 20)
            vm.wait_for(re.compile("lacks feature mask 0x[0-9a-f]+"), 20)
            assert switch.link(0) is False
            switch.kill()
            switch = switch_on(folder, client=1, tso=1)
            switch.wait_link(0)
            pings_return(vm)
    finally:
        switch.stop()


def held_by(process) -> tuple[int, int]:
    """Descriptors and mappings."""
    return (len(os.listdir(f"/proc/{process.pid}/fd")),
            len(Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8").splitlines()))


@pytest.mark.limit(400)
@pytest.mark.soak(2, 50)
def test_guest_reboots(folder, props, rounds):
    """A hard reset in the middle of traffic; each boot finds its link and is answered."""
    qmp = folder / "qmp"
    more = ["-chardev", f"socket,id=qmp,path={qmp},server=on,wait=off", "-mon", "chardev=qmp,mode=control"]
    with switch_on(folder) as switch, guest_on(folder, props, more=more) as vm, closing(Monitor(qmp)) as monitor:
        switch.wait_link(0, timeout=60)
        pings_return(vm)
        before = held_by(switch)
        monitor.do("set-action", reboot="reset")  # the lab's guests end otherwise
        for _ in range(rounds):
            keep_it_busy(vm)
            seen = vm.mark()
            monitor.do("system_reset")
            vm.wait_for("GUEST-LINK ", 120, seen)
            switch.wait_link(0)
            pings_return(vm)
            assert held_by(switch) == before
