# SPDX-License-Identifier: BSD-3-Clause
"""Debian's unmodified dpdk-testpmd and librte_net_vhost.so on our librte_vhost.so.23, by LD_LIBRARY_PATH alone.

lab.testpmd looks into each process it starts: a back-end that does not run on our library fails its test.
VHOSTX_DRIVER=net_vhost runs the very same tests on Debian's library.
"""

import itertools
import re

import pytest

import test_paths
import test_payload
from e2e_rig import PcapLoop, back_end, connect, front_end, front_end_for
from lab import paths
# Collected here once more, where the fixture below changes the library under them.
from test_lifecycle import (test_back_end_killed_under_traffic_and_restarted,  # noqa: F401
                            test_back_end_port_stop_and_start_under_traffic,
                            test_client_back_end_starts_before_the_socket_exists,
                            test_front_end_killed_many_times,
                            test_front_end_killed_under_traffic_and_restarted,
                            test_front_end_port_stop_and_start_under_traffic,
                            test_hot_plug_and_unplug, test_link_follows_the_front_end,
                            test_other_port_keeps_running_while_one_front_end_dies,
                            test_payload_after_the_back_end_was_killed)
from test_payload import Case, test_two_ports_both_ways  # noqa: F401
from test_rx_interrupt import test_sleeps_without_packets_and_wakes_for_them  # noqa: F401

pytestmark = pytest.mark.usefixtures("on_facade")

SIZES = (60, 64, 65, 128, 256, 1500, 1514, 1518, 2048, 4000, 9000)


def test_the_library_is_the_one_that_was_meant(folder):
    """Nothing but LD_LIBRARY_PATH differs: program and driver are Debian's."""
    with back_end(folder) as back, front_end(folder) as front:
        maps = open(f"/proc/{back.pid}/maps", encoding="utf-8").read()
        assert paths.is_ours(paths.vhost_library_of(back.pid)) == paths.is_facade()
        assert not paths.is_ours(paths.vhost_library_of(front.pid))
        assert re.search(r" /usr/lib\S*/librte_net_vhost\.so\.23", maps)
        assert paths.OURS not in maps
        assert re.search(r" /usr/bin/dpdk-testpmd$", maps, re.M)


# -- payload --------------------------------------------------------------------------------


def _case(name: str, **keywords) -> Case:
    return Case(name, **{"sizes": SIZES, "count": 1000, **keywords})


def _grid() -> list[Case]:
    """Both layouts x both orders x mergeable or not x both roles, with one and two queue pairs."""
    cases = []
    for packed, in_order, mergeable, serves in itertools.product((False, True), repeat=4):
        queues = 2 if serves == in_order else 1
        name = "-".join(["packed" if packed else "split", "in-order" if in_order else "any-order",
                         "mrg" if mergeable else "nomrg", "client" if serves else "server", f"{queues}q"])
        cases.append(_case(name, packed=packed, in_order=in_order, mergeable=mergeable, front_serves=serves,
                           queues=queues))
    return cases


def _shapes() -> list[Case]:
    """Tables, chains, small mbufs behind, and rings of other sizes, on both layouts."""
    indirect = dict(sizes=tuple(test_payload.INDIRECT), front_mbuf=test_payload.SMALL_MBUF)
    cases = []
    for packed, layout in ((False, "split"), (True, "packed")):
        cases += [_case(f"{layout}-indirect", packed=packed, in_order=False, **indirect),
                  _case(f"{layout}-chained", packed=packed, count=600,
                        **indirect | {"sizes": tuple(test_payload.CHAINED)}),
                  _case(f"{layout}-small-mbufs-behind", packed=packed, back_mbuf=test_payload.SMALL_MBUF),
                  _case(f"{layout}-ring32768", packed=packed, ring=32768, count=6000),
                  _case(f"{layout}-4queues", packed=packed, queues=4, count=600)]
    return cases + [_case("packed-ring300", packed=True, ring=300, in_order=False)]


@pytest.mark.parametrize("case", _grid() + _shapes(), ids=lambda case: case.name)
def test_every_byte_arrives(folder, case):
    test_payload.carry(folder, case)


@pytest.mark.parametrize("path", test_paths.ALL_PATHS, ids=lambda path: path.name)
def test_every_byte_on_every_path(folder, path):
    """virtio-user's own functions, among them its vector ones, named by virtio-user itself."""
    test_paths.carry(folder, path, queues=1, ring=256)


# -- counters and events --------------------------------------------------------------------

# What net_vhost asks the library to count, by the names it has for them, with Debian's library.
COUNTERS = {"good_packets", "good_bytes", "multicast_packets", "broadcast_packets", "undersize_packets",
            "size_64_packets", "size_65_127_packets", "size_128_255_packets", "size_256_511_packets",
            "size_512_1023_packets", "size_1024_1518_packets", "size_1519_max_packets", "guest_notifications",
            "iotlb_hits", "iotlb_misses", "inflight_submitted", "inflight_completed"}
BINS = {"undersize_packets": (0, 63), "size_64_packets": (64, 64), "size_65_127_packets": (65, 127),
        "size_128_255_packets": (128, 255), "size_256_511_packets": (256, 511),
        "size_512_1023_packets": (512, 1023), "size_1024_1518_packets": (1024, 1518),
        "size_1519_max_packets": (1519, 1 << 20)}


def _expected(packets: list[bytes]) -> dict[str, int]:
    """What the counters of one direction say after these packets."""
    lengths = [len(packet) for packet in packets]
    said = {name: sum(least <= length <= most for length in lengths) for name, (least, most) in BINS.items()}
    return said | {"good_packets": len(lengths), "good_bytes": sum(lengths)}


@pytest.mark.parametrize("packed", [0, 1], ids=["split", "packed"])
def test_counters_of_net_vhost(folder, packed):
    """Names as with Debian's library; values are those of the packets, for each queue; reset sets them to 0."""
    loop = PcapLoop(folder, queues=2)
    source = loop.prepare([60, 64, 100, 200, 400, 800, 1518, 3000], 800)
    sock = folder / "sock"
    user = paths.virtio_user_vdev(0, sock, queues=2, cq=1, packed_vq=packed)
    with back_end(folder, paths.vhost_vdev(0, sock, queues=2), queues=2) as back, \
         front_end_for(folder, [3000], source, user, queues=2) as front:
        loop.run(back, front)
        counted = back.xstats(0)
        back.command("clear port xstats 0")
        cleared = back.xstats(0)
    for queue, way in itertools.product((0, 1), ("rx", "tx")):
        start = f"{way}_q{queue}_"
        names = {name.removeprefix(start) for name in counted if name.startswith(start)}
        assert COUNTERS <= names
        wanted = _expected(loop.sent[queue])
        assert {name: counted[start + name] for name in wanted} == wanted
        assert {name: cleared[start + name] for name in wanted} == dict.fromkeys(wanted, 0)


def test_events_tell_of_link_and_queues(folder):
    events = ("link state change event", "queue state event")
    with back_end(folder, extra=["--print-event=all"]) as back:
        start = 0
        for _ in range(2):
            with front_end(folder) as front:
                connect(back, front, front_port=0)
                for event in events:
                    back.wait_for(event, offset=start)
                start = back.mark()
            back.wait_for(events[0], offset=start)
            back.wait_link(0, up=False)
            start = back.mark()
