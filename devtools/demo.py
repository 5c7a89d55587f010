#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The traffic and the verdict of devtools/demo.sh, which installs and builds first: run that one."""

import argparse
import concurrent.futures
import os
import shutil
import signal
import stat
import sys
import tempfile
import threading
from pathlib import Path

from rich.console import Console

import demo_view
from lab import guest, paths, pcap
from lab.guest import GuestPair
from lab.process import Process, ProcessError
from lab.telemetry import TelemetryError
from lab.testpmd import Testpmd

PINGS = 20
SIZES = [60, 64, 256, 1500, 1514]
COMPARED = 10000
MEMORY_MIB = 512
RING = 4096  # where three pollers share two cores, each turn moves a ring full
KEEP_HOURS = 8
HUGEPAGES = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")


class DemoError(Exception):
    """One sentence: what failed and what to do."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="devtools/demo.sh", add_help=False)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--seconds", type=int, default=10)
    chosen = parser.parse_args()
    if not 1 <= chosen.seconds <= 3600:
        parser.error(f"--seconds {chosen.seconds}: choose 1 to 3600")
    return chosen


# ---- the machine ----------------------------------------------------------------------------


def has_hugepages(processes: int) -> bool:
    """Whether so many DPDK processes find their memory in free 2 MiB pages."""
    free = int(HUGEPAGES.read_text(encoding="ascii")) if HUGEPAGES.exists() else 0
    return os.geteuid() == 0 and free * 2 >= processes * MEMORY_MIB


def lcores(process: int) -> str:
    """--lcores of process 0 (the switch), 1 or 2: prompts on the first core, pollers spread over the others."""
    cores = sorted(os.sched_getaffinity(0))
    return f"0@{cores[0]},1@{cores[(1 + process) % len(cores)]}"


def check_machine() -> None:
    missing = paths.what_is_missing()
    if missing:
        raise DemoError(missing)
    folder = paths.plugin().parent
    for parent in [folder, *folder.parents]:
        if not paths.is_peer() and parent.stat().st_mode & stat.S_IWOTH:
            raise DemoError(f"DPDK loads no plugin from below {parent}, where everybody may write: "
                            "move this folder, to your home for example")


# ---- the two kinds of traffic ---------------------------------------------------------------


class Machines:
    """Two virtual machines: ping, then a TCP stream compared byte by byte on arrival."""

    def __init__(self, folder: Path, chosen: argparse.Namespace, lifetime: float):
        self.stage = "preparing the guests"
        self.folder, self.seconds, self.lifetime = folder, chosen.seconds, lifetime
        self.pair: GuestPair | None = None
        try:
            guest.make_image()
        except RuntimeError as error:
            raise DemoError(f"{error}; or without virtual machines: devtools/demo.sh --fast") from error
        self.accel = guest.accelerator()
        why = "" if self.accel == "kvm" else " (no KVM that works here: slower, all the same otherwise)"
        self.kind = f"two virtual machines on {self.accel.upper()}{why}"

    def run(self) -> str:
        """Start the guests, wait for their verdict; return what happened."""
        self.stage = "guests are booting"
        options = {"pings": PINGS, "bytes": 0, "seconds": self.seconds}
        self.pair = GuestPair(self.folder, (self.folder / "port0", self.folder / "port1"), options=options,
                              consoles=(self.folder / "console1", self.folder / "console2"),
                              lifetime=self.lifetime)
        self.pair.client.link()
        self.stage = "guests ping each other"
        self.pair.client.result("ping")
        self.stage = "guests push a TCP stream"
        wrong = self.pair.what_went_wrong(self.seconds + 60)
        if wrong:
            raise DemoError(wrong)
        ping, sent = self.pair.client.result("ping"), self.pair.client.result("send")
        rate = int(sent["bytes"]) * 8 / max(float(sent["seconds"]), 0.01) / 1e9
        return (f"{ping['received']} of {ping['sent']} pings answered; {int(sent['bytes']) / 1e6:.0f} MB of TCP "
                f"arrived intact in {sent['seconds']} s ({rate:.2f} Gb/s, checksum {sent['sum']})")

    def how_to_attach(self) -> list[str]:
        return [f"socat -,raw,echo=0,escape=0x1d UNIX-CONNECT:{self.folder}/console{number}"
                f"   # shell of guest{number}, Ctrl-] leaves it; try: ping 10.9.0.{3 - number}" for number in (1, 2)]

    def stop(self) -> None:
        if self.pair:
            self.pair.stop()


class Users:
    """Two virtio-user processes: packets from a file compared byte by byte, then as fast as they go."""

    kind = "two virtio-user processes"

    def __init__(self, folder: Path, chosen: argparse.Namespace, lifetime: float, hugepages: bool):
        self.stage = "starting"
        self.folder, self.seconds = folder, chosen.seconds
        self.stopped = threading.Event()
        self.packets = pcap.make_packets(SIZES, COMPARED)
        self.options = {"folder": folder, "hugepages": hugepages, "memory": MEMORY_MIB, "lifetime": lifetime,
                        "rxd": RING, "txd": RING}
        self.users: list[Testpmd] = []

    def run(self) -> str:
        """Compare, then measure; return what happened."""
        pcap.write(self.folder / "in0.pcap", self.packets)
        pcap.write(self.folder / "in1.pcap", [])
        for number in (0, 1):
            files = f"net_pcap0,rx_pcap={self.folder}/in{number}.pcap,tx_pcap={self.folder}/out{number}.pcap"
            user = paths.virtio_user_vdev(0, self.folder / f"port{number}", queue_size=RING)
            self.users.append(Testpmd([files, user], name=f"user{number}", lcores=lcores(1 + number),
                                      **self.options))
        for user in self.users:
            user.wait_link(1)
        self.stage = f"{COMPARED} packets are compared byte by byte"
        self._compare()
        self.stage = "packets as fast as they go"
        return f"{COMPARED} packets arrived intact; {self._measure()}"

    def _compare(self) -> None:
        sender, receiver = self.users
        wait_for_room(sender)
        receiver.start()
        sender.start()
        try:
            receiver.wait_stat("TX-packets", COMPARED, port=0)
        except ProcessError:
            pass  # the comparison says it better
        sender.stop_forwarding()
        receiver.stop_forwarding()
        for user in self.users:
            user.command("port stop 0")
            user.command("port close 0")  # writes the file to its end
        wrong = pcap.difference(self.packets, pcap.read(self.folder / "out1.pcap"))
        if wrong:
            raise DemoError(wrong)

    def _measure(self) -> str:
        sender, receiver = self.users
        for user, mode in ((sender, "txonly"), (receiver, "rxonly")):
            user.command(f"set fwd {mode}")
            user.command("set portlist 1")
        before = receiver.stats(1)["RX-packets"]
        receiver.start()
        sender.start()
        self.stopped.wait(self.seconds)
        sender.stop_forwarding()
        arrived = receiver.stats(1)["RX-packets"] - before
        if arrived == 0:
            raise DemoError("no packet arrived in the measurement")
        return (f"then {arrived / self.seconds / 1e6:.2f} million a second for {self.seconds} s, "
                f"three pollers on {len(os.sched_getaffinity(0))} cores")

    def how_to_attach(self) -> list[str]:
        return []

    def stop(self) -> None:
        self.stopped.set()
        for user in self.users:
            user.stop()


# ---- the run --------------------------------------------------------------------------------


def start_switch(folder: Path, hugepages: bool, lossless: bool, lifetime: float) -> Testpmd:
    vdevs = [paths.vhost_vdev(port, folder / f"port{port}") for port in (0, 1)]
    switch = Testpmd(vdevs, folder=folder, name="switch", hugepages=hugepages, memory=MEMORY_MIB,
                     lcores=lcores(0), lifetime=lifetime)
    if lossless:
        wait_for_room(switch)
    switch.start()
    return switch


def wait_for_room(process: Testpmd) -> None:
    """A full ring is waited for, not dropped on: what is compared must not depend on who is quicker."""
    process.command("set fwd io retry")
    process.command("set burst tx delay 10 retry 10000")


def why_down(views: list) -> str:
    """The reasons of the ports that are down, as an addition to a sentence."""
    reasons = [f"port {view.number}: {view.why}" for view in views if view.link != "up" and view.why]
    return f" ({'; '.join(reasons)})" if reasons else ""


def run_traffic(switch: Testpmd, traffic: "Machines | Users", console: Console) -> None:
    """Traffic on a thread of its own, the view on this one; print the summary."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(traffic.run)
        try:
            views = demo_view.show_while(console, switch, lambda: traffic.stage, running.done)
        except BaseException as error:
            traffic.stop()  # else leaving the pool would wait for the traffic's own end
            if isinstance(error, ProcessError) and not switch.is_alive():
                raise DemoError(f"{traffic.stage}: testpmd ended (exit code {switch.returncode()}); its last words "
                                f"are in {switch.log_path.name}, please report them") from error
            raise
        try:
            summary = running.result()
        except (DemoError, ProcessError) as error:
            raise DemoError(f"{traffic.stage}: {first_line(error)}{why_down(views)}") from error
    moved = [view.counters.get("ipackets", 0) for view in views]
    drops = sum(view.drops for view in views)
    print(f"{summary}.\nport 0 took in {moved[0]} packets, port 1 {moved[1]}; {drops} were dropped.")


def first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def demo(chosen: argparse.Namespace, folder: Path, on_success) -> None:
    """The whole run; calls on_success(switch, traffic) while everything still runs."""
    check_machine()
    hugepages = has_hugepages(3 if chosen.fast else 1)
    lifetime = chosen.seconds + (KEEP_HOURS * 3600 if chosen.keep else 300)
    if chosen.fast:
        traffic: Machines | Users = Users(folder, chosen, lifetime, hugepages)
    else:
        traffic = Machines(folder, chosen, lifetime)
    memory = "hugepages" if hugepages else "ordinary memory (no free hugepages)"
    print(f"testpmd with two {paths.driver()} ports on {memory}; {traffic.kind}", flush=True)
    switch: Process | None = None
    try:
        switch = start_switch(folder, hugepages, chosen.fast, lifetime)
        run_traffic(switch, traffic, Console())
        on_success(switch, traffic)
    finally:
        traffic.stop()
        if switch:
            switch.stop()


def run_and_judge(chosen: argparse.Namespace, on_success) -> int:
    """0 for intact packets; else one sentence, and the logs stay."""
    folder = Path(tempfile.mkdtemp(prefix="vhostx-demo-"))
    try:
        demo(chosen, folder, lambda *running: on_success(folder, *running))
    except (DemoError, ProcessError, TelemetryError, OSError) as error:
        print(f"FAILED: {first_line(error)}. The logs in {folder} have the rest.", flush=True)
        return 1
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        return 130
    shutil.rmtree(folder, ignore_errors=True)
    return 0


# ---- --keep ---------------------------------------------------------------------------------


def print_how_to_attach(folder: Path, switch: Testpmd, traffic: "Machines | Users") -> None:
    commands = traffic.how_to_attach()
    commands += [f"echo 'show port xstats all' >{folder}/switch.in; sleep 1; tail -n 60 {switch.log_path}"
                 "   # testpmd's prompt",
                 f"dpdk-telemetry.py -f {switch.prefix}   # then: /vhostx/info,0",
                 f"kill {os.getpid()}   # ends it all; it ends by itself after {KEEP_HOURS} hours"]
    print("It goes on in the background:\n  " + "\n  ".join(commands), flush=True)


def serve_prompt(folder: Path, switch: Testpmd) -> None:
    """Hand the lines written to folder/switch.in to testpmd, until it or we end."""
    os.mkfifo(folder / "switch.in")
    with open(os.open(folder / "switch.in", os.O_RDWR), encoding="utf-8") as lines:
        while switch.is_alive():
            switch.send(lines.readline().rstrip("\n"))


def keep_running(chosen: argparse.Namespace, verdict: int) -> int:
    """The background process: run, tell the verdict through the pipe, then stay until SIGTERM."""
    os.setsid()

    def on_success(folder: Path, switch: Testpmd, traffic) -> None:
        print_how_to_attach(folder, switch, traffic)
        os.write(verdict, b"0")
        os.close(verdict)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        try:
            serve_prompt(folder, switch)
        except KeyboardInterrupt:
            pass
    return run_and_judge(chosen, on_success)


def run_and_keep(chosen: argparse.Namespace) -> int:
    """Run in a child that may outlive us; return its verdict."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        return keep_running(chosen, writer)
    os.close(writer)
    try:
        return 0 if os.read(reader, 1) == b"0" else 1
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        return 130


def interrupt(*_args) -> None:
    """SIGTERM ends us as Ctrl-C does: what was started is stopped."""
    raise KeyboardInterrupt


def main() -> int:
    chosen = arguments()
    signal.signal(signal.SIGTERM, interrupt)
    if chosen.keep:
        return run_and_keep(chosen)
    return run_and_judge(chosen, lambda *_running: None)


if __name__ == "__main__":
    sys.exit(main())
