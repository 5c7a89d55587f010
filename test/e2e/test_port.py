# SPDX-License-Identifier: BSD-3-Clause
"""The port as an application sees it: arguments, counters by name, telemetry, hot plug, versions."""

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from e2e_rig import back_end, connect, front_end
from lab import paths, telemetry
from lab.testpmd import Testpmd

pytestmark = pytest.mark.usefixtures("ours_only")

MOST_PORTS = 32  # RTE_MAX_ETHPORTS
PORT = 1  # of a port plugged into the host fixture

SWITCHES = ("tso", "linear-buffer", "ext-buffer", "legacy-ol-flags", "inflight",
            "postcopy-support", "iommu-support")
KEYS = ("iface", "queues", "client", *SWITCHES, "notify", "notify-us", "control-thread")

# What dashboards made for Debian's net_vhost look for, for each queue and direction.
PEER_COUNTERS = ("good_packets", "good_bytes", "multicast_packets", "broadcast_packets",
                 "undersize_packets", "size_64_packets", "size_65_127_packets", "size_128_255_packets",
                 "size_256_511_packets", "size_512_1023_packets", "size_1024_1518_packets",
                 "size_1519_max_packets", "guest_notifications")

REFUSED = {
    "no-path": ("queues=1", "add iface=<path>"),
    "empty-path": ("iface=", "1 to 107 bytes"),
    "long-path": (f"iface=/{'a' * 107}", "1 to 107 bytes, this one has 108"),
    "unknown-key": ("iface=sock,queue=1", '"queue" is not an argument of this driver'),
    "twice": ("iface=sock,iface=sock", "iface is given more than once"),
    "no-queues": ("iface=sock,queues=0", "from 1 to 128"),
    "many-queues": ("iface=sock,queues=129", "from 1 to 128"),
    "word-for-queues": ("iface=sock,queues=2x", "from 1 to 128"),
    "client-2": ("iface=sock,client=2", "must be 0 (we listen) or 1 (we connect)"),
    **{f"{key}-2": (f"iface=sock,{key}=2", f"{key}=2: must be 0 or 1") for key in SWITCHES},
    "notify-later": ("iface=sock,notify=later", "notify=later: must be inline"),
    "notify-us-0": ("iface=sock,notify=deferred,notify-us=0", "from 1 to 10000"),
    "notify-us-inline": ("iface=sock,notify-us=50", "with notify=deferred only"),
    "control-thread-16": ("iface=sock,control-thread=16", "control-thread=16: must be a number from 0 to 15"),
    "control-thread-less": ("iface=sock,control-thread=-1", "from 0 to 15"),
}


@pytest.fixture(scope="module")
def host():
    """A testpmd with the plugin loaded, and a folder. Its own port 0 is testpmd's condition to start;
    ours come by hot plug and are port 1."""
    folder = Path(tempfile.mkdtemp(prefix="vhx-"))
    with Testpmd(["net_null0"], folder=folder, name="host", load_plugin=True, lcores="0@0,1@0") as process:
        process.folder = folder
        yield process
    shutil.rmtree(folder, ignore_errors=True)


def _attach(host: Testpmd, args: str, name: str = "net_vhostx0") -> str:
    return host.command(f"port attach {name},{args}")


def _detach(host: Testpmd, port: int = PORT) -> None:
    host.command(f"port stop {port}")
    assert "is detached" in host.command(f"port detach {port}")


# -- arguments ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_refused_in_words(host, case):
    args, words = REFUSED[case]
    assert words in _attach(host, args)
    assert telemetry.query(host.prefix, "/vhostx/list") == []


def test_an_unknown_key_lists_every_valid_one(host):
    answer = _attach(host, "iface=sock,speed=9")
    assert [key for key in KEYS if f"{key}=<" not in answer] == []


def test_switches_may_say_that_they_are_off(host):
    off = ",".join(f"{key}=0" for key in SWITCHES)
    assert "is attached" in _attach(host, f"iface={host.folder}/off.sock,{off}")
    _detach(host)


def test_the_longest_path_works(host):
    path = f"{host.folder}/" + "a" * (107 - len(f"{host.folder}/"))
    assert "is attached" in _attach(host, f"iface={path}")
    assert Path(path).is_socket()
    _detach(host)


def _control_threads(host: Testpmd) -> set[str]:
    names = {entry.read_text(encoding="utf-8").strip() for entry in Path(f"/proc/{host.pid}/task").glob("*/comm")}
    return {name for name in names if name == "vhostcore" or name.startswith("vhostcore-")}


def test_a_port_has_the_control_thread_it_asks_for(host):
    """A thread is there as long as a port of its number is."""
    _attach(host, f"iface={host.folder}/first.sock")
    assert _control_threads(host) == {"vhostcore"}
    for number in (2, 3):
        _attach(host, f"iface={host.folder}/{number}.sock,control-thread=3", f"net_vhostx{number}")
    assert _control_threads(host) == {"vhostcore", "vhostcore-3"}
    assert _offered(host.folder / "3.sock")
    for port in (3, 2):
        _detach(host, port)
    assert _control_threads(host) == {"vhostcore"}
    _detach(host)


def test_more_ports_than_ethdev_has_room_for(host):
    """Debian's DPDK has 32; the host has one already."""
    for number in range(1, MOST_PORTS):
        assert "is attached" in _attach(host, f"iface={host.folder}/{number}.sock", f"net_vhostx{number}")
    answer = _attach(host, f"iface={host.folder}/more.sock", "net_vhostx99")
    assert f"there are {MOST_PORTS} ports already" in answer and "-Dmax_ethports=" in answer
    assert not (host.folder / "more.sock").exists()
    for port in reversed(range(1, MOST_PORTS)):
        _detach(host, port)


# -- offloads -------------------------------------------------------------------------------


def _offloads(host: Testpmd, direction: str) -> set[str]:
    text = host.command(f"show port {PORT} {direction}_offload capabilities")
    return set(text.split("Per Queue :")[1].split("Per Port")[0].split())


GUEST_GSO = sum(1 << bit for bit in (7, 8, 9, 10, 54, 55))  # TSO4, TSO6, ECN, UFO, USO4, USO6
HOST_GSO = sum(1 << bit for bit in (11, 12, 13, 14, 56))  # TSO4, TSO6, ECN, UFO, USO
GET_FEATURES = struct.pack("=III", 1, 1, 0)


def _offered(path: Path) -> int:
    """The features a front-end is offered."""
    with socket.socket(socket.AF_UNIX) as front:
        front.settimeout(5)
        front.connect(str(path))
        front.sendall(GET_FEATURES)
        return struct.unpack("=IIIQ", front.recv(20))[3]


# What a port offers besides: to the application when it receives, to the guest.
ALL_GSO = GUEST_GSO | HOST_GSO
OFFERS = {
    "": ({"UDP_CKSUM", "TCP_CKSUM", "SCATTER"}, 0),
    "tso=0": ({"UDP_CKSUM", "TCP_CKSUM", "SCATTER"}, 0),
    "tso=1": ({"UDP_CKSUM", "TCP_CKSUM", "SCATTER", "TCP_LRO"}, ALL_GSO),
    "linear-buffer=1": ({"UDP_CKSUM", "TCP_CKSUM"}, 0),
    "tso=1,linear-buffer=1": ({"UDP_CKSUM", "TCP_CKSUM"}, GUEST_GSO),
    "tso=1,linear-buffer=1,ext-buffer=1": ({"UDP_CKSUM", "TCP_CKSUM", "TCP_LRO"}, ALL_GSO),
    "tso=1,ext-buffer=1": ({"UDP_CKSUM", "TCP_CKSUM", "SCATTER", "TCP_LRO"}, ALL_GSO),
    "tso=1,legacy-ol-flags=1": ({"SCATTER"}, ALL_GSO),
}


@pytest.mark.parametrize("args", OFFERS)
def test_offloads_are_what_the_arguments_say(host, args):
    wanted, gso = OFFERS[args]
    _attach(host, ",".join(filter(None, [f"iface={host.folder}/offload.sock", args])))
    receive, transmit = _offloads(host, "rx"), _offloads(host, "tx")
    assert receive == wanted | {"VLAN_STRIP"}
    assert {"VLAN_INSERT", "UDP_CKSUM", "TCP_CKSUM", "IPV4_CKSUM", "MULTI_SEGS",
            "MBUF_FAST_FREE"} <= transmit
    is_on = "tso=1" in args
    assert ("TCP_TSO" in transmit, "UDP_TSO" in transmit) == (is_on, is_on)
    assert _offered(host.folder / "offload.sock") & ALL_GSO == gso
    _detach(host)


# -- hot plug -------------------------------------------------------------------------------


def test_plug_and_unplug_again_under_the_same_name(host):
    sock = host.folder / "plug.sock"
    for name in ("net_vhostx0", "net_vhostx0", "eth_vhostx0"):
        assert "is attached" in _attach(host, f"iface={sock}", name)
        assert sock.is_socket()
        _detach(host)
        assert not sock.exists()
        assert telemetry.query(host.prefix, "/vhostx/list") == []


# -- threads --------------------------------------------------------------------------------


def _cpus_of_threads(pid: int) -> dict[str, str]:
    """The library's threads: where each may run."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text(encoding="ascii").strip()
        if name.startswith("vhostcore"):
            found[name] = re.search(r"Cpus_allowed_list:\s+(\S+)", (task / "status").read_text()).group(1)
    return found


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU is all there is: run it on two")
def test_the_library_keeps_off_the_polling_cores(folder):
    """EAL's lcores are on CPU 0, its own threads are not; and a thread lives as long as it is needed."""
    with Testpmd(["net_null0"], folder=folder, load_plugin=True, lcores="0@0,1@0") as process:
        pid = process.pid
        _attach(process, f"iface={folder}/sock,notify=deferred,queues=2")
        cpus = _cpus_of_threads(pid)
        assert set(cpus) == {"vhostcore", "vhostcore-call"}
        assert not any(re.match(r"0(\D|$)", where) for where in cpus.values()), cpus
        _detach(process)
        assert _cpus_of_threads(pid) == {}
        _attach(process, f"iface={folder}/sock")
        assert set(_cpus_of_threads(pid)) == {"vhostcore"}


# -- telemetry ------------------------------------------------------------------------------


def test_a_port_without_front_end_says_why_its_link_is_down(host):
    sock = host.folder / "why.sock"
    _attach(host, f"iface={sock},queues=2")
    why = telemetry.query(host.prefix, "/vhostx/why,1")
    assert why["port"] == PORT and why["state"] == "listening" and why["why"]
    info = telemetry.query(host.prefix, "/vhostx/info,1")
    assert info["name"] == "net_vhostx0" and info["iface"] == str(sock)
    assert info["role"] == "server" and info["link"] == "down" and info["connects"] == 0
    assert [queue["direction"] for queue in info["queues"].values()] == ["tx", "rx", "tx", "rx"]
    _detach(host)


@pytest.mark.parametrize("command", ["/vhostx/why", "/vhostx/why,0", "/vhostx/why,1", "/vhostx/why,x", "/vhostx/info,99999",
                                     "/vhostx/info,0x1", "/vhostx/queue,1", "/vhostx/queue,1,0"])
def test_telemetry_of_no_port_is_null(host, command):
    with pytest.raises(telemetry.TelemetryError):
        telemetry.query(host.prefix, command)


def test_telemetry_of_the_widest_port_fits_an_answer(host):
    _attach(host, f"iface={host.folder}/wide.sock,queues=128")
    assert len(telemetry.query(host.prefix, "/vhostx/info,1")["queues"]) == 64
    assert telemetry.query(host.prefix, "/vhostx/queue,1,255")["direction"] == "rx"
    with pytest.raises(telemetry.TelemetryError):
        telemetry.query(host.prefix, "/vhostx/queue,1,256")
    _detach(host)


def test_telemetry_of_a_running_port(folder):
    with back_end(folder) as back, front_end(folder, extra=["--auto-start"]) as front:
        connect(back, front, front_port=0)
        info = telemetry.query(back.prefix, "/vhostx/info,0")
        assert info["state"] == "running" and info["link"] == "up" and info["connects"] == 1
        assert "VERSION_1" in info["features"] and "MQ" in info["protocol_features"]
        assert info["regions"] > 0
        assert all(queue["running"] and queue["size"] == 256 for queue in info["queues"].values())


# -- link -----------------------------------------------------------------------------------


def test_stop_takes_the_link_down_and_keeps_the_front_end(folder):
    with back_end(folder) as back, front_end(folder) as front:
        connect(back, front, front_port=0)
        back.command("port stop 0")
        assert not back.link(0)
        assert telemetry.query(back.prefix, "/vhostx/why,0")["state"] == "running"
        back.command("port start 0")
        assert back.link(0)
        assert telemetry.query(back.prefix, "/vhostx/info,0")["connects"] == 1


def test_events_tell_of_link_and_queues(folder):
    events = ("link state change event", "queue state event")
    with back_end(folder, extra=["--print-event=all"]) as back:
        with front_end(folder):
            for event in events:
                back.wait_for(event)
            back.wait_link(0)
            start = back.mark()
        for event in events:
            back.wait_for(event, offset=start)
        back.wait_link(0, up=False)


# -- counters -------------------------------------------------------------------------------


def test_counters_have_the_names_of_net_vhost(folder):
    with back_end(folder, paths.vhost_vdev(0, folder / "sock", queues=2), queues=2) as back:
        names = back.xstats(0)
        wanted = [f"{way}_q{queue}_{counter}" for way in ("rx", "tx") for queue in (0, 1)
                  for counter in PEER_COUNTERS]
        assert [name for name in wanted if name not in names] == []
        assert "rx_q1_fault_desc_unmapped" in names


def test_stats_and_xstats_are_reset_apart_and_survive_the_front_end(folder):
    with back_end(folder) as back:
        with front_end(folder, forward="txonly") as front:
            connect(back, front, front_port=0)
            back.start()
            front.command("set txpkts 64")
            front.start()
            back.wait_stat("RX-packets", 1000)
            front.stop_forwarding()
        back.wait_link(0, up=False)
        back.stop_forwarding()
        packets = back.stats(0)["RX-packets"]
        assert packets >= 1000
        assert back.xstats(0)["rx_q0_good_packets"] == packets
        assert back.xstats(0)["rx_q0_size_64_packets"] == packets
        back.command("clear port stats 0")
        assert back.stats(0)["RX-packets"] == 0
        assert back.xstats(0)["rx_q0_good_packets"] == packets
        back.command("clear port xstats 0")
        assert back.xstats(0)["rx_q0_good_packets"] == 0


# -- versions -------------------------------------------------------------------------------


def test_pmdinfo_shows_the_arguments():
    tool = shutil.which("dpdk-pmdinfo.py")
    assert tool, "dpdk-pmdinfo.py is missing: apt-get install dpdk-dev"
    text = subprocess.run(["/usr/bin/python3", tool, paths.plugin()], check=True, capture_output=True,
                          timeout=30).stdout
    facts = {entry["name"]: entry for entry in json.loads(text)}["net_vhostx"]
    assert [key for key in KEYS if f"{key}=<" not in facts["params"]] == []


NEWER_EAL = 'const char *rte_version(void) { return "DPDK 23.11.0"; }\n'
NEWER_MAP = "DPDK_24 { global: rte_version; local: *; };\n"
PROGRAM = """
#include <dlfcn.h>
#include <stdio.h>
const char *rte_version(void);
int main(int argc, char **argv)
{
	if (argc == 2 && !dlopen(argv[1], RTLD_NOW))
		puts(dlerror());
	return rte_version() == 0;
}
"""


def test_a_program_on_another_dpdk_is_told_both_versions(folder):
    (folder / "eal.c").write_text(NEWER_EAL)
    (folder / "eal.map").write_text(NEWER_MAP)
    (folder / "main.c").write_text(PROGRAM)
    for command in (
            "cc -shared -fPIC eal.c -o librte_eal.so.24 -Wl,-soname,librte_eal.so.24 "
            "-Wl,--version-script=eal.map",
            f"cc main.c -o main ./librte_eal.so.24 -Wl,-rpath,{folder}"):
        subprocess.run(command.split(), cwd=folder, check=True, timeout=60)
    said = subprocess.run([folder / "main", paths.plugin()], capture_output=True, text=True, timeout=30)
    text = said.stdout + said.stderr
    assert "built for DPDK 22.11 (ABI 23)" in text and "DPDK 23.11.0 (ABI 24)" in text


# -- whose port it is -----------------------------------------------------------------------


@pytest.mark.parametrize("name, driver", [("net_vhostx0", "net_vhostx"), ("eth_vhostx0", "net_vhostx"),
                                          ("net_vhost0", "net_vhost")])
def test_net_vhost_does_not_take_our_ports(folder, name, driver):
    """Its name begins ours, and EAL gives a device to the first driver whose name begins the device's."""
    theirs = next(Path("/usr/lib").glob("*/dpdk/pmds-*/librte_net_vhost.so.*"))
    eal_extra = ["-d", str(theirs), *paths.plugin_args()]
    with Testpmd([f"{name},iface={folder}/sock"], folder=folder, load_plugin=False, eal_extra=eal_extra,
                 lcores="0@0,1@0") as process:
        assert f"Driver name: {driver}\n" in process.command("show port info 0")
