# SPDX-License-Identifier: BSD-3-Clause
"""Why is my link down? The same sentence in telemetry and in the log, at each step of a connection."""

import socket
import time

import pytest

from e2e_rig import PcapLoop, back_end, connect, front_end
from lab import paths, telemetry
from lab.testpmd import Testpmd

pytestmark = pytest.mark.usefixtures("ours_only")


def _ask(back: Testpmd, what: str = "why", port: int = 0) -> dict:
    return telemetry.query(back.prefix, f"/vhostx/{what},{port}")


def _why(back: Testpmd, port: int = 0) -> str:
    """The whole sentence: telemetry cuts strings, the rest is in why_more."""
    answer = _ask(back, port=port)
    return answer["why"] + answer.get("why_more", "")


def _wait_state(back: Testpmd, state: str, port: int = 0) -> str:
    deadline = time.monotonic() + 10
    while _ask(back, port=port)["state"] != state:
        assert time.monotonic() < deadline, f"state is not {state} but {_ask(back, port=port)}"
        time.sleep(0.02)
    return _why(back, port)


def test_list_names_every_port(folder):
    vhosts = [paths.vhost_vdev(port, folder / f"sock{port}") for port in (0, 1)]
    with back_end(folder, vhosts[0], "net_null0", vhosts[1]) as back:
        assert telemetry.query(back.prefix, "/vhostx/list") == [0, 2]


def test_waiting_then_running_then_waiting(folder):
    with back_end(folder) as back:
        waiting = f"waiting for a front-end to connect to {folder}/sock"
        assert _wait_state(back, "listening") == waiting
        assert back.link(0) is False
        with front_end(folder) as front:
            connect(back, front, front_port=0)
            assert _wait_state(back, "running") == "running"
            assert _ask(back, "info")["link"] == "up"
        assert _wait_state(back, "listening") == waiting
        assert back.link(0) is False
        log = back.output()
        assert f"net_vhostx0: listening: {waiting}" in log and "net_vhostx0: running: running" in log


def test_client_without_socket_is_told_what_to_start(folder):
    with back_end(folder, paths.vhost_vdev(0, folder / "sock", client=1)) as back:
        said = _wait_state(back, "listening")
        assert f"{folder}/sock" in said and "server=1" in said and "server=on" in said
        assert _ask(back, "info")["role"] == "client"


def test_a_silent_front_end_is_named(folder):
    """Whoever connects and says nothing is shown by pid; once gone the port waits again."""
    with back_end(folder) as back:
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(folder / "sock"))
            said = _wait_state(back, "connected")
            assert said.startswith("process ") and back.link(0) is False
        assert "waiting for a front-end" in _wait_state(back, "listening")


def test_half_a_message_delays_no_other_port(folder):
    vhosts = [paths.vhost_vdev(port, folder / f"sock{port}") for port in (0, 1)]
    loop = PcapLoop(folder)
    source = loop.prepare([64, 1500], 500)
    with back_end(folder, *vhosts) as back, socket.socket(socket.AF_UNIX) as stuck:
        stuck.connect(str(folder / "sock0"))
        stuck.send(b"\x01\x00\x00\x00\x01\x00")  # half a header, and never the rest
        _wait_state(back, "connected", port=0)
        with front_end(folder, source, paths.virtio_user_vdev(0, folder / "sock1")) as front:
            back.command("set portlist 1")
            loop.run(back, front, back_port=1)
        assert _ask(back, port=0)["state"] == "connected"


@pytest.mark.parametrize("size", [256, 1024, 32768])
def test_info_shows_the_rings_the_front_end_made(folder, size):
    user = paths.virtio_user_vdev(0, folder / "sock", queues=2, cq=1, queue_size=size)
    with back_end(folder, paths.vhost_vdev(0, folder / "sock", queues=2), queues=2) as back, \
         front_end(folder, user, queues=2, mbufs=2 * size + 8192) as front:
        connect(back, front, front_port=0)
        queues = _ask(back, "info")["queues"]
        assert [(queues[ring]["size"], queues[ring]["running"], queues[ring]["enabled"])
                for ring in ("0", "1", "2", "3")] == [(size, 1, 1)] * 4


@pytest.mark.parametrize("packed, in_order", [(0, 0), (1, 0), (1, 1)])
def test_info_shows_the_layout_of_the_rings(folder, packed, in_order):
    user = paths.virtio_user_vdev(0, folder / "sock", packed_vq=packed, in_order=in_order)
    with back_end(folder) as back, front_end(folder, user) as front:
        connect(back, front, front_port=0)
        for ring in _ask(back, "info")["queues"].values():
            assert ring["kind"] == ("packed" if packed else "split")
            assert ring["in_order"] == in_order


@pytest.mark.parametrize("mergeable", [0, 1])
def test_info_shows_the_features_agreed_on(folder, mergeable):
    user = paths.virtio_user_vdev(0, folder / "sock", mrg_rxbuf=mergeable)
    with back_end(folder) as back, front_end(folder, user) as front:
        connect(back, front, front_port=0)
        features = _ask(back, "info")["features"]
        assert ("MRG_RXBUF" in features) == bool(mergeable)
        assert {"VERSION_1", "INDIRECT_DESC"} <= set(features)
