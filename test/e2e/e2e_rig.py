# SPDX-License-Identifier: BSD-3-Clause
"""The set-ups the end-to-end tests share: a back-end testpmd and a virtio-user testpmd with pcap files.

    front-end testpmd                         back-end testpmd
    in.pcap  -> net_pcap0 -> virtio_user0 ->  driver under test  -+
    out.pcap <- net_pcap0 <- virtio_user0 <-  (io: sends it back) -+
"""

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import guest, paths, pcap
from lab.process import Process
from lab.testpmd import Testpmd

# The back-end polls on one core and has its prompt on the other.
BACK_LCORES = "0@0,1@1"
PCAP_PORT, VIRTIO_PORT = 0, 1
_JUMBO_MBUF = 9728 + 128  # a whole jumbo frame, its virtio header and the headroom


def back_end(folder: Path, *vdevs: str, **options) -> Testpmd:
    """A back-end testpmd; by default one port on folder/sock that returns what it gets."""
    vdevs = list(vdevs) or [paths.vhost_vdev(0, folder / "sock")]
    return Testpmd(vdevs, folder=folder, name="back", **{"lcores": BACK_LCORES, **options})


def front_end(folder: Path, *vdevs: str, **options) -> Testpmd:
    """A virtio-user testpmd; by default one client port on folder/sock.

    Each stream has a thread of its own: a thread that waits in transmit for a full ring to empty
    does not receive, so one thread for both directions would wait for the back-end, which waits
    for that thread to make room in the other ring.
    """
    vdevs = list(vdevs) or [paths.virtio_user_vdev(0, folder / "sock")]
    threads = a_thread_each(len(vdevs) * options.get("queues", 1))
    extra = threads.pop("extra") + options.pop("extra", [])
    return Testpmd(vdevs, folder=folder, name="front", **{**threads, **options}, extra=extra)


def a_thread_each(streams: int) -> dict:
    """Testpmd's options for as many forwarding threads as there are streams."""
    lcores = ",".join(["0@1"] + [f"{number}@{number % 2}" for number in range(1, streams + 1)])
    return {"lcores": lcores, "extra": [f"--nb-cores={streams}"]}


def compiled(source: str, folder: Path) -> Path:
    """A C program of this folder; it may use what DPDK keeps for drivers."""
    target, driver_headers = folder / Path(source).stem, paths.build_dir() / "sdk-headers" / "include"
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libdpdk"], check=True, text=True,
                           capture_output=True, timeout=30).stdout.split()
    subprocess.run(["cc", "-O1", "-DALLOW_EXPERIMENTAL_API", "-DALLOW_INTERNAL_API", f"-I{driver_headers}",
                    str(Path(__file__).with_name(source)), "-o", str(target), *flags], check=True, timeout=120)
    return target


@contextmanager
def program(folder: Path, source: str, vdev: str):
    """A C program of this folder, compiled and run with one port."""
    target, prefix = compiled(source, folder), f"vhx-{os.getpid()}-{Path(source).stem}"
    argv = [target, "--no-pci", "--no-huge", "-m", "128", "--lcores=0@0", f"--file-prefix={prefix}",
            *paths.plugin_args(), f"--vdev={vdev}"]
    env = paths.back_end_environment() if vdev.startswith(paths.driver()) else {}
    with Process(argv, folder / f"{target.name}.log", stdin="null", env=env, lifetime=60) as process:
        yield process
    shutil.rmtree(paths.dpdk_runtime_dir(prefix), ignore_errors=True)


def pcap_vdev(index: int, rx_files: list[Path], tx_files: list[Path]) -> str:
    words = [f"net_pcap{index}"]
    words += [f"rx_pcap={path}" for path in rx_files] + [f"tx_pcap={path}" for path in tx_files]
    return ",".join(words)


def front_end_for(folder: Path, sizes: list[int], *vdevs: str, mergeable: bool = True,
                  mbuf_size: int | None = None, **options) -> Testpmd:
    """A front-end (PCAP_PORT, VIRTIO_PORT) that takes frames of these sizes.

    Larger than one mbuf, they need scattered receive, which net_pcap refuses: so that is switched
    on for the virtio port alone, before the ports start. Without mergeable buffers one mbuf holds
    the whole frame.
    """
    if max(sizes) > 1514:
        options["max_frame"] = 9218
        if not mergeable:
            mbuf_size, options["mbufs"] = _JUMBO_MBUF, 16384
    scatter = mergeable and (mbuf_size is not None or max(sizes) > 1514)
    extra = ["--disable-device-start"] if scatter else []
    front = front_end(folder, *vdevs, mbuf_size=mbuf_size, extra=extra, **options)
    if scatter:
        front.command(f"port config {VIRTIO_PORT} rx_offload scatter on")
        front.command("port start all")
    return front


def be_lossless(*processes: Testpmd) -> None:
    """A full ring is waited for, not dropped on."""
    for process in processes:
        process.command("set fwd io retry")
        process.command("set burst tx delay 10 retry 200000")


def connect(back: Testpmd, front: Testpmd, back_port: int = 0, front_port: int = VIRTIO_PORT) -> None:
    back.wait_link(back_port)
    front.wait_link(front_port)


class Events:
    """Of port 0, as testpmd prints them."""

    def __init__(self, switch: Testpmd):
        self.switch, self.at = switch, {}
        self.news()

    def _count(self, what: str) -> int:
        return self.switch.output().count(f"Port 0: {what} event")

    def news(self) -> tuple[int, int]:
        """Changes of the link, and of queues, since the last time."""
        now = {what: self._count(what) for what in ("link state change", "queue state")}
        grew = tuple(now[what] - self.at.get(what, 0) for what in now)
        self.at = now
        return grew

    def expect(self, *expected: int) -> None:
        """They are printed a moment after the guest has seen what caused them."""
        deadline, seen = time.monotonic() + 10, (0, 0)
        while seen != expected and time.monotonic() < deadline:
            time.sleep(0.05)
            seen = tuple(a + b for a, b in zip(seen, self.news()))
        assert seen == expected, f"(link, queue) events: {seen}, not {expected}"


class PcapLoop:
    """in.pcap through the rings and back into out.pcap, one pair of files for each queue."""

    def __init__(self, folder: Path, queues: int = 1):
        self.folder, self.queues = folder, queues
        self.in_files = [folder / f"in{queue}.pcap" for queue in range(queues)]
        self.out_files = [folder / f"out{queue}.pcap" for queue in range(queues)]
        self.sent: list[list[bytes]] = []

    def prepare(self, sizes: list[int], count: int) -> str:
        """Write the input; return the --vdev of the pcap port."""
        self.sent = [pcap.make_packets(sizes, count, seed=queue + 1) for queue in range(self.queues)]
        for path, packets in zip(self.in_files, self.sent):
            pcap.write(path, packets)
        return self.vdev()

    def vdev(self) -> str:
        return pcap_vdev(0, self.in_files, self.out_files)

    def total(self) -> int:
        return sum(len(packets) for packets in self.sent)

    def run(self, back: Testpmd, front: Testpmd, timeout: float = 20, back_port: int = 0,
            front_port: int = VIRTIO_PORT, filer: Testpmd | None = None) -> None:
        """Connect, forward until all came back, and compare every byte.

        The process with the pcap port is the front-end, unless another one is named as `filer`.
        """
        connect(back, front, back_port, front_port)
        be_lossless(back, front)
        back.start()
        front.start()
        try:
            (filer or front).wait_stat("TX-packets", self.total(), PCAP_PORT, timeout)
        finally:
            front.stop_forwarding()
            back.stop_forwarding()
            self.compare()

    def compare(self) -> None:
        for queue in range(self.queues):
            wrong = pcap.difference(self.sent[queue], pcap.read(self.out_files[queue]))
            assert wrong is None, f"queue {queue}: {wrong}"


def need_guest(kind=guest) -> None:
    """Make the image that guests of this kind (lab.guest, lab.uml) boot; skip, and say why, where none can."""
    missing = kind.what_is_missing()
    if missing:
        pytest.skip(missing)
    try:
        kind.make_image()
    except RuntimeError as error:
        pytest.skip(f"no guest to boot: {error}")
