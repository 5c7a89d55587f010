# SPDX-License-Identifier: BSD-3-Clause
"""Secondary processes: they see a port of the primary's, count what it counts, capture, and hurt nobody."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e_rig import PCAP_PORT, PcapLoop, back_end, be_lossless, compiled, connect, front_end
from lab import hugepages, paths, pcap, telemetry
from lab.process import Process
from lab.testpmd import Testpmd

pytestmark = pytest.mark.usefixtures("ours_only")

MEMORY_MB = 256
E_RTE_SECONDARY, ENOTSUP, ENODEV, ENOTCONN, EPROTO, EINVAL = 1001, 95, 19, 107, 71, 22

# Debian's testpmd is linked with this driver of memory pools and so has it first, others have it later; but a pool
# names its driver by the place in that list. Who shares pools with testpmd has to load it first, too.
FIRST_OF_TESTPMD = "librte_mempool_dpaa.so.23"


@pytest.fixture(scope="module")
def huge():
    folder = Path(tempfile.mkdtemp(prefix="vhx-"))
    try:
        with hugepages.shared(folder / "huge", MEMORY_MB + 64) as mounted:
            yield mounted
    except RuntimeError as error:
        pytest.skip(f"processes share memory in huge pages only: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def program():
    folder = Path(tempfile.mkdtemp(prefix="vhx-"))
    yield compiled("secondary.c", folder)
    shutil.rmtree(folder, ignore_errors=True)


def _primary(folder, huge, *vdevs, **options) -> Testpmd:
    return back_end(folder, *vdevs, **{"hugepages": huge, "memory": MEMORY_MB, "mbufs": 16384, **options})


def _eal_args(prefix: str) -> list[str]:
    return ["--proc-type=secondary", f"--file-prefix={prefix}", "--no-pci", *paths.plugin_args()]


class Secondary(Process):
    """secondary.c; ask() types a command and returns what it printed."""

    def __init__(self, program: Path, prefix: str, folder: Path, name: str = "secondary", wait: bool = True):
        super().__init__([program, *_eal_args(prefix)], folder / f"{name}.log", name=name, lifetime=120)
        if wait:
            self.wait_for("ready")

    def ask(self, command: str) -> str:
        start = self.mark()
        self.send(command)
        return self.wait_for(f"done {command.split()[0]}\n", 20, start)

    def numbers(self, command: str, step: str) -> list[list[int]]:
        """The numbers of each line that begins with `step:`."""
        return [[int(number) for number in re.findall(r"-?\d+", line)]
                for line in re.findall(rf"^{step}: (.*)$", self.ask(command), re.M)]


def _tool(name: str, prefix: str, *args: str) -> str:
    done = subprocess.run([name, *_eal_args(prefix), "--", *args], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def _send_some(back: Testpmd, front: Testpmd) -> None:
    """Both directions, and all is quiet again when this returns."""
    connect(back, front, front_port=0)
    back.start()
    before = back.stats(0)["TX-packets"]
    front.command("start tx_first")
    back.wait_stat("TX-packets", before + 32)
    front.stop_forwarding()
    back.stop_forwarding()


@contextmanager
def _pair(folder, huge):
    """A primary that returns what it gets, and a guest."""
    with _primary(folder, huge) as back, front_end(folder, forward="rxonly") as front:
        connect(back, front, front_port=0)
        yield back, front


@pytest.fixture(scope="module")
def pair(huge):
    """The same for all that leave it as it was."""
    made = Path(tempfile.mkdtemp(prefix="vhx-"))
    with _pair(made, huge) as (back, front):
        back.folder = made
        yield back, front
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def secondary(pair, program):
    back, _ = pair
    with Secondary(program, back.prefix, back.folder) as process:
        yield process


# -- looking --------------------------------------------------------------------------------


def test_counters_are_those_of_the_primary(pair):
    back, front = pair
    _send_some(back, front)
    mine = back.stats(0)
    theirs = _tool("dpdk-proc-info", back.prefix, "--stats")
    found = {key: int(re.search(rf"^\s*{key}:\s*(\d+)|\s{key}:\s*(\d+)", theirs, re.M).group(1) or 0)
             for key in ("RX-packets", "TX-packets")}
    assert found == {key: mine[key] for key in found} and mine["RX-packets"] >= 32
    theirs = _tool("dpdk-proc-info", back.prefix, "--xstats")
    assert {name: int(value) for name, value in re.findall(r"^(\w+): (\d+)$", theirs, re.M)} == back.xstats(0)


def test_a_secondary_resets_the_counters_of_the_primary(pair, secondary):
    back, front = pair
    _send_some(back, front)
    assert secondary.numbers("stats", "stats")[0][1] == back.stats(0)["RX-packets"] >= 32
    assert secondary.numbers("reset", "reset") == [[0, 0]]
    assert back.stats(0)["RX-packets"] == back.xstats(0)["rx_q0_good_packets"] == 0
    _send_some(back, front)
    assert secondary.numbers("stats", "stats")[0][1] == back.stats(0)["RX-packets"] >= 32


def test_the_port_is_seen_as_it_is(folder, huge, program):
    vdev = paths.vhost_vdev(0, folder / "sock", queues=3)
    with _primary(folder, huge, vdev, queues=2) as back, Secondary(program, back.prefix, folder) as secondary:
        mac = re.search(r"MAC address: (\S+)", back.command("show port info 0")).group(1)
        wanted = f"name net_vhostx0 driver net_vhostx mac {mac} link %d mtu %d rx 2 tx 2 most 3 speed 10000"
        assert wanted % (0, 1500) in secondary.ask("ports")
        back.command("port config mtu 0 1400")
        with front_end(folder, paths.virtio_user_vdev(0, folder / "sock", queues=2), queues=2):
            back.wait_link(0)
            assert wanted % (1, 1400) in secondary.ask("ports")
            said = _tool("dpdk-proc-info", back.prefix, "--show-port")
            assert said.count("descriptors 256") == 4 and "Split" in said and mac in said
        back.wait_link(0, up=False)
        assert wanted % (0, 1400) in secondary.ask("ports")


def test_private_facts_and_telemetry_are_the_primarys(pair, secondary):
    back, _ = pair
    said = _tool("dpdk-proc-info", back.prefix, "--show-port-private")
    assert f"net_vhostx0 on {back.folder}/sock: running" in said and "VERSION_1" in said
    secondary.ask("telemetry")
    for command in ("/vhostx/list", "/vhostx/info,0", "/vhostx/why,0", "/vhostx/queue,0,1", "/ethdev/stats,0"):
        assert telemetry.query(back.prefix, command, 1) == telemetry.query(back.prefix, command)
    for command in ("/vhostx/why,1", "/vhostx/queue,0,2"):
        with pytest.raises(telemetry.TelemetryError):
            telemetry.query(back.prefix, command, 1)
    assert secondary.is_alive()


# -- what a secondary must not do -----------------------------------------------------------


def test_what_only_the_primary_may_do_is_refused_in_words(pair, secondary):
    back, front = pair
    said = secondary.ask("try")
    found = dict(re.findall(r"^(\w+): (-?\d+)", said, re.M))
    refused = {step: str(-E_RTE_SECONDARY) for step in ("stop", "mtu", "mac", "vlan", "interrupt")}
    absent = {step: str(-ENOTSUP) for step in ("configure", "count", "descriptor")}
    assert found == {**refused, **absent, "promiscuous": "0", "received": "0", "sent": "0", "rxq": "0"}
    assert "rxq: 0 descriptors 256" in said
    assert "set the MTU: not from a secondary process: do it in the primary" in said
    assert said.count("cannot receive or send") == 1, "said once"
    _send_some(back, front)
    assert "MTU: 1500" in back.command("show port info 0")


def test_questions_nobody_should_ask_are_answered(pair, secondary):
    back, front = pair
    wanted = [-EPROTO, -EPROTO, -EPROTO, -EINVAL, -ENODEV, -ENODEV, -EINVAL]
    assert secondary.numbers("garbage", "garbage") == [[0, 1, answer] for answer in wanted]
    _send_some(back, front)
    assert secondary.numbers("stats", "stats")[0][0] == 0


def test_another_version_of_the_driver_is_refused(pair, secondary, program, folder):
    back, front = pair
    secondary.ask("spoil")
    with Secondary(program, back.prefix, folder, "other", wait=False) as other:
        other.wait_for("the primary process has another version of this driver")
        other.wait_for("ready")
        assert "ports: 0" in other.ask("ports")
    secondary.ask("mend")
    _send_some(back, front)


def test_without_huge_pages_there_are_no_secondaries(folder, program):
    with back_end(folder) as back, Secondary(program, back.prefix, folder, wait=False) as secondary:
        assert secondary.wait(30) != 0
        assert re.search(r"EAL: .*(hugepage|memory|attach|config)", secondary.output())


# -- captures -------------------------------------------------------------------------------


def _as_testpmd_does() -> dict[str, str]:
    """dpdk-dumpcap takes no -d, so the driver is preloaded; FIRST_OF_TESTPMD see there."""
    return {"LD_PRELOAD": f"{FIRST_OF_TESTPMD} {paths.plugin()}"}


class _Interrupted(Process):
    """A tool that is told to end with SIGINT; timeout(1) would end by it as well, so it goes to the tool alone."""

    def finish(self) -> str:
        os.kill(self.pid, signal.SIGINT)
        assert self.wait(20) == 0, self.explain("did not end well")
        return self.output()


@contextmanager
def _loop(folder, huge):
    """A primary that sends back what it gets, a guest with pcap files; nothing moves yet.

    A capture sees what is tried to be sent, so the primary must not try twice: the guest's ring has room for all.
    """
    loop = PcapLoop(folder)
    pcap_vdev = loop.prepare([60, 64, 700, 1514], 200)
    with _primary(folder, huge) as back, \
            front_end(folder, pcap_vdev, paths.virtio_user_vdev(0, folder / "sock")) as front:
        connect(back, front)
        be_lossless(front)
        back.start()
        yield loop, back, front


def _all_comes_back(loop, front) -> None:
    front.start()
    front.wait_stat("TX-packets", loop.total(), PCAP_PORT)
    front.stop_forwarding()
    loop.compare()


def _wait_captured(file: Path, packets: int) -> list[bytes]:
    deadline = time.monotonic() + 10
    while not file.exists() or len(pcap.read(file)) < packets:
        assert time.monotonic() < deadline, f"{file.name} has not {packets} packets"
        time.sleep(0.05)
    return pcap.read(file)


def test_dumpcap_captures_what_is_sent(folder, huge):
    """Each packet twice: as it comes from the guest, as it goes back."""
    file = folder / "cap.pcap"
    with _loop(folder, huge) as (loop, back, front):
        argv = ["stdbuf", "-oL", "dpdk-dumpcap", f"--file-prefix={back.prefix}", "-i", "net_vhostx0", "-P", "-w", file]
        with _Interrupted(argv, folder / "dumpcap.log", stdin="null", env=_as_testpmd_does()) as dumpcap:
            dumpcap.wait_for("Capturing on 'net_vhostx0'")
            _all_comes_back(loop, front)
            time.sleep(0.5)  # it writes what is in its ring
            said = dumpcap.finish()
        assert "(100.0)" in said, said
    assert Counter(pcap.read(file)) == Counter({packet: 2 for packet in loop.sent[0]})


def test_pdump_captures_each_direction_by_itself(folder, huge):
    files = {way: folder / f"{way}.pcap" for way in ("rx", "tx")}
    with _loop(folder, huge) as (loop, back, front):
        what = f"port=0,queue=*,rx-dev={files['rx']},tx-dev={files['tx']}"
        argv = ["stdbuf", "-oL", "dpdk-pdump", f"--file-prefix={back.prefix}", "--no-pci", *paths.plugin_args(), "--", "--pdump", what]
        with _Interrupted(argv, folder / "pdump.log", stdin="null", env=_as_testpmd_does()) as pdump:
            pdump.wait_for("capture for (1) tuples")
            _all_comes_back(loop, front)
            time.sleep(0.5)
            pdump.finish()
    for way, file in files.items():
        assert pcap.difference(loop.sent[0], pcap.read(file)) is None, way


# -- coming and going -----------------------------------------------------------------------


def test_ports_are_plugged_and_unplugged_in_both(folder, huge, program):
    with Testpmd(["net_null0"], folder=folder, load_plugin=True, hugepages=huge, memory=MEMORY_MB, mbufs=16384,
                 lcores="0@0,1@0") as host, Secondary(program, host.prefix, folder) as secondary:
        assert "ports: 1\n" in secondary.ask("ports")
        for _ in range(3):
            assert "is attached" in host.command(f"port attach net_vhostx0,iface={folder}/sock")
            assert "port 1: name net_vhostx0 driver net_vhostx" in secondary.ask("ports")
            host.command("port stop 1")
            assert "is detached" in host.command("port detach 1")
            assert "ports: 1\n" in secondary.ask("ports")


def test_a_secondary_asks_for_a_port(folder, huge, program):
    with Testpmd(["net_null0"], folder=folder, load_plugin=True, hugepages=huge, memory=MEMORY_MB, mbufs=16384,
                 lcores="0@0,1@0") as host, Secondary(program, host.prefix, folder) as secondary:
        assert secondary.numbers(f"plug net_vhostx5,iface={folder}/sock", "plug") == [[0]]
        assert telemetry.query(host.prefix, "/vhostx/list") == [1] and (folder / "sock").is_socket()
        assert secondary.numbers("plug net_vhostx6,iface=", "plug")[0][0] < 0
        assert secondary.numbers("unplug net_vhostx5", "unplug") == [[0]]
        assert telemetry.query(host.prefix, "/vhostx/list") == [] and not (folder / "sock").exists()
        assert "ports: 1\n" in secondary.ask("ports")


def _open_files(process: Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


@pytest.mark.soak(3, 100)
def test_killed_secondaries_leave_nothing_behind(pair, program, folder, rounds):
    back, front = pair
    files = None
    for number in range(rounds):
        with Secondary(program, back.prefix, folder) as secondary:
            secondary.send("xstats")
            secondary.wait_for("xstats:")
            secondary.kill()
        _send_some(back, front)
        files = files or _open_files(back)
        assert _open_files(back) == files, f"after {number + 1} kills"


def test_a_capture_that_is_killed_stops_nobody(pair, folder):
    """What it installed stays, until someone ends it; its ring is full, packets pass it by."""
    back, front = pair
    argv = ["stdbuf", "-oL", "dpdk-dumpcap", f"--file-prefix={back.prefix}", "-i", "net_vhostx0", "-P", "-w", folder / "cap.pcap"]
    with Process(argv, folder / "dumpcap.log", stdin="null", env=_as_testpmd_does()) as dumpcap:
        dumpcap.wait_for("Capturing on 'net_vhostx0'")
        dumpcap.kill()
    for _ in range(3):
        _send_some(back, front)
    assert back.xstats(0)["rx_q0_mbuf_alloc_failed"] == 0


def _is_alone(secondary):
    said = secondary.ask("stats")
    assert f"stats: -{ENOTCONN}" in said, said
    assert "net_vhostx0: the primary process, where this port lives, is not there any more" in said


def test_a_secondary_outlives_the_primary(folder, huge, program):
    with _pair(folder, huge) as (back, front), Secondary(program, back.prefix, folder) as secondary:
        _send_some(back, front)
        assert secondary.numbers("stats", "stats")[0][0] == 0
        back.leave_remains()
        _is_alone(secondary)
        back.kill()  # its socket is gone now, too
        _is_alone(secondary)
        assert "name net_vhostx0" in secondary.ask("ports")
        secondary.send("quit")
        secondary.wait(20)
        assert "egmentation" not in secondary.output()


def test_a_port_that_the_primary_closed_is_gone(folder, huge, program):
    """Closed without telling anybody: rte_eth_dev_close() sends no message."""
    with _pair(folder, huge) as (back, front), Secondary(program, back.prefix, folder) as secondary:
        back.command("port stop 0")
        back.command("port close 0")
        said = secondary.ask("stats")
        assert f"stats: -{ENODEV}" in said and "net_vhostx0: the primary process, where this port lives, has closed" in said
        assert f"xstats: -{ENODEV}" in secondary.ask("xstats")
        assert secondary.is_alive()
