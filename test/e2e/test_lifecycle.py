# SPDX-License-Identifier: BSD-3-Clause
"""Ports that stop, peers that die, peers that come back: traffic flows again and nothing is lost."""

import os
import time

import pytest

from e2e_rig import VIRTIO_PORT, Events, PcapLoop, back_end, connect, front_end
from lab import paths
from lab.testpmd import Testpmd

SIZES = [60, 128, 1500, 1514]
COUNT = 1000
_DEADLINE = 20


def _vhost(folder, **keys) -> str:
    return paths.vhost_vdev(0, folder / "sock", **keys)


def _virtio_user(folder, **keys) -> str:
    return paths.virtio_user_vdev(0, folder / "sock", **keys)


def _flood(front: Testpmd) -> None:
    """Have the front-end send without end."""
    front.command("set fwd txonly")
    front.start()


def _wait_for_more(process: Testpmd, key: str, port: int = 0, more: int = 1000) -> None:
    """Traffic moves: a counter grows from what it is now."""
    process.wait_stat(key, process.stats(port)[key] + more, port, _DEADLINE)


def _payload_still_right(folder, back, run: int) -> None:
    """A new front-end sends packets through and gets them back whole."""
    below = folder / f"run{run}"
    below.mkdir()
    loop = PcapLoop(below)
    source = loop.prepare(SIZES, COUNT)
    with front_end(folder, source, _virtio_user(folder)) as front:
        loop.run(back, front)


# -- stop and start -------------------------------------------------------------------------------


def test_back_end_port_stop_and_start_under_traffic(folder):
    with back_end(folder, forward="rxonly") as back, front_end(folder) as front:
        connect(back, front, front_port=0)
        back.start()
        _flood(front)
        for _ in range(3):
            _wait_for_more(back, "RX-packets")
            back.stop_forwarding()
            back.command("port stop 0")
            back.command("port start 0")
            back.wait_link(0)
            back.start()
        _wait_for_more(back, "RX-packets")


def test_front_end_port_stop_and_start_under_traffic(folder):
    with back_end(folder, forward="rxonly") as back, front_end(folder) as front:
        connect(back, front, front_port=0)
        back.start()
        for _ in range(3):
            _flood(front)
            _wait_for_more(back, "RX-packets")
            front.stop_forwarding()
            front.command("port stop 0")
            front.command("port start 0")
            connect(back, front, front_port=0)
        _flood(front)
        _wait_for_more(back, "RX-packets")


def test_back_end_port_stays_stopped(folder):
    """A stopped port moves nothing, though its front-end is connected and sends."""
    with back_end(folder, forward="rxonly") as back, front_end(folder) as front:
        connect(back, front, front_port=0)
        back.command("port stop 0")
        before = back.stats(0)["RX-packets"]
        _flood(front)
        time.sleep(0.5)
        assert back.stats(0)["RX-packets"] == before
        back.command("port start 0")
        back.start()
        _wait_for_more(back, "RX-packets")


def test_payload_after_stop_and_start_of_both(folder):
    loop = PcapLoop(folder)
    source = loop.prepare(SIZES, COUNT)
    with back_end(folder) as back, front_end(folder, source, _virtio_user(folder)) as front:
        connect(back, front)
        front.command(f"port stop {VIRTIO_PORT}")
        back.command("port stop 0")
        back.command("port start 0")
        front.command(f"port start {VIRTIO_PORT}")
        loop.run(back, front)


def test_events_of_a_front_end_that_stops_and_starts(folder, ours_only):
    """Both queues and the link, once each way; and once when it goes for good."""
    with back_end(folder) as back:
        events = Events(back)
        with front_end(folder) as front:
            connect(back, front, front_port=0)
            events.expect(1, 2)
            for wish in ("on", "off", "on"):
                front.command("port stop 0")
                front.command(f"port config 0 rx_offload tcp_cksum {wish}")  # other features: it begins anew
                front.command("port start 0")
                events.expect(2, 4)
        back.wait_link(0, up=False)
        events.expect(1, 2)


# -- the front-end goes and comes back ------------------------------------------------------------


def test_link_follows_the_front_end(folder):
    with back_end(folder) as back:
        assert back.link(0) is False
        for _ in range(2):
            with front_end(folder) as front:
                connect(back, front, front_port=0)
            back.wait_link(0, up=False)


@pytest.mark.parametrize("role", ["front-is-client", "front-is-server"])
def test_front_end_killed_under_traffic_and_restarted(folder, role):
    serve = role == "front-is-server"
    user = _virtio_user(folder, **({"server": 1} if serve else {}))
    with back_end(folder, _vhost(folder, client=int(serve))) as back:
        back.start()
        with front_end(folder, user) as front:
            connect(back, front, front_port=0)
            _flood(front)
            _wait_for_more(back, "RX-packets")
            front.kill()
        back.wait_link(0, up=False)
        back.stop_forwarding()
        if serve:
            (folder / "sock").unlink()  # virtio-user asks for that when it was killed
        loop = PcapLoop(folder)
        source = loop.prepare(SIZES, COUNT)
        with front_end(folder, source, user) as front:
            loop.run(back, front)


def test_front_end_killed_many_times(folder):
    """Nothing of a dead front-end stays behind: the fifth one is served like the first."""
    with back_end(folder, forward="rxonly") as back:
        back.start()
        without_peer = _open_files(back)
        for _ in range(5):
            with front_end(folder) as front:
                connect(back, front, front_port=0)
                _flood(front)
                _wait_for_more(back, "RX-packets", more=100)
                front.kill()
            back.wait_link(0, up=False)
        _wait_for_open_files(back, without_peer)


def _open_files(process: Testpmd) -> int:
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def _wait_for_open_files(process: Testpmd, at_most: int) -> None:
    """The link goes down before the last descriptor is closed, so give it a moment."""
    deadline = time.monotonic() + 5
    while _open_files(process) > at_most:
        assert time.monotonic() < deadline, \
            f"{_open_files(process)} descriptors are open, {at_most} were before the front-ends came"
        time.sleep(0.05)


def test_other_port_keeps_running_while_one_front_end_dies(folder):
    vhosts = [paths.vhost_vdev(port, folder / f"sock{port}") for port in (0, 1)]
    users = [paths.virtio_user_vdev(0, folder / f"sock{port}") for port in (0, 1)]
    with back_end(folder, *vhosts, forward="rxonly") as back, front_end(folder, users[0]) as living:
        connect(back, living, back_port=0, front_port=0)
        back.start()
        _flood(living)
        for _ in range(2):
            with front_end(folder, users[1]) as dying:
                connect(back, dying, back_port=1, front_port=0)
                _flood(dying)
                _wait_for_more(back, "RX-packets", port=1)
                dying.kill()
            back.wait_link(1, up=False)
            assert back.link(0) is True
            _wait_for_more(back, "RX-packets", port=0)


# -- the back-end goes and comes back -------------------------------------------------------------


def test_back_end_killed_under_traffic_and_restarted(folder):
    """virtio-user serves the socket and outlives the back-end, which comes back as its client."""
    vhost = _vhost(folder, client=1)
    with back_end(folder, vhost, forward="rxonly") as back, \
         front_end(folder, _virtio_user(folder, server=1)) as front:
        connect(back, front, front_port=0)
        back.start()
        _flood(front)
        _wait_for_more(back, "RX-packets")
        back.kill()
        front.stop_forwarding()
        for _ in range(2):
            with back_end(folder, vhost, forward="rxonly") as again:
                connect(again, front, front_port=0)
                again.start()
                front.start()
                _wait_for_more(again, "RX-packets")
                again.kill()
                front.stop_forwarding()


def test_payload_after_the_back_end_was_killed(folder):
    loop = PcapLoop(folder)
    source = loop.prepare(SIZES, COUNT)
    vhost = _vhost(folder, client=1)
    with back_end(folder, vhost) as back, \
         front_end(folder, source, _virtio_user(folder, server=1)) as front:
        connect(back, front)
        back.kill()
        with back_end(folder, vhost) as again:
            loop.run(again, front)


def test_client_back_end_starts_before_the_socket_exists(folder):
    """client=1 waits for the path to appear and connects by itself, at once."""
    with back_end(folder, _vhost(folder, client=1)) as back:
        assert back.link(0) is False
        loop = PcapLoop(folder)
        source = loop.prepare(SIZES, COUNT)
        with front_end(folder, source, _virtio_user(folder, server=1)) as front:
            loop.run(back, front)


# -- counters -------------------------------------------------------------------------------------


def test_counters_survive_the_front_end(folder, ours_only):
    """What was counted for one front-end is still there when the next one has come."""
    with back_end(folder) as back:
        _payload_still_right(folder, back, run=0)
        back.wait_link(0, up=False)
        assert _moved(back) == (COUNT, COUNT), "lost with the front-end"
        named = back.xstats(0)
        _payload_still_right(folder, back, run=1)
        back.wait_link(0, up=False)
        assert _moved(back) == (2 * COUNT, 2 * COUNT)
        assert named["rx_q0_good_packets"] == COUNT
        assert back.xstats(0)["rx_q0_good_packets"] == 2 * COUNT


def test_counters_survive_port_stop(folder):
    loop = PcapLoop(folder)
    source = loop.prepare(SIZES, COUNT)
    with back_end(folder) as back, front_end(folder, source, _virtio_user(folder)) as front:
        loop.run(back, front)
        before = back.stats(0)
        back.command("port stop 0")
        back.command("port start 0")
        assert back.stats(0) == before


def _moved(process: Testpmd) -> tuple[int, int]:
    stats = process.stats(0)
    return stats["RX-packets"], stats["TX-packets"]


# -- hot plug -------------------------------------------------------------------------------------


def test_hot_plug_and_unplug(folder):
    """A second port comes and goes while the first one has a front-end; twice, with traffic."""
    with back_end(folder) as back, front_end(folder) as neighbour:
        connect(back, neighbour, front_port=0)
        for run in (0, 1):
            below = folder / f"plug{run}"
            below.mkdir()
            said = back.command(f"port attach {paths.vhost_vdev(1, below / 'sock')}")
            assert "Port 1 is attached" in said, said
            back.command("port start 1")
            _loop_through_port_1(below, back)
            back.command("port stop 1")
            said = back.command("port detach 1")
            assert "Device is detached" in said, said
            assert back.link(0) is True
            assert not (below / "sock").exists(), "the socket of an unplugged port is left behind"


def _loop_through_port_1(folder, back) -> None:
    loop = PcapLoop(folder)
    source = loop.prepare(SIZES, COUNT)
    with front_end(folder, source, _virtio_user(folder)) as front:
        back.command("set portlist 1")
        loop.run(back, front, back_port=1)
