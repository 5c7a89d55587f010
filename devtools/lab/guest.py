# SPDX-License-Identifier: BSD-3-Clause
"""A tiny Linux guest under QEMU whose devices hang on vhost-user sockets; here: network devices.

devtools/guest-image.sh makes what it boots; devtools/guest/init says what it can do and how it reports.
"""

import contextlib
import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import paths
from .process import Process, ProcessError

DISTRIBUTION = "qemu-system-x86_64"
_PROBE_SECONDS = 8
_BOOT_SECONDS = 60
_ALWAYS = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
_CMDLINE = "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off"


def image_dir() -> Path:
    return paths.build_dir() / "guest"


def make_image() -> Path:
    """Make the guest's kernel and initramfs where they are missing; return their folder."""
    return Path(last_line("guest-image.sh", image_dir()))


def private_qemu() -> str:
    """QEMU 10, fetched from the backports suite where it is missing; return the program."""
    return last_line("fetch-qemu10.sh", paths.build_dir() / "qemu10")


def private_tool(name: str) -> str:
    """qemu-storage-daemon or qemu-img of QEMU 10."""
    return str(Path(private_qemu()).with_name(name))


def last_line(script: str, *words: str | Path) -> str:
    """Run a script of devtools/ that prints its product last; its own sentence is the error."""
    done = subprocess.run([paths.repo_root() / "devtools" / script, *words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"{script} failed"])[-1])
    return done.stdout.strip().splitlines()[-1]


@functools.cache
def qemu_version(program: str) -> tuple[int, int]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = re.search(r"version (\d+)\.(\d+)", said).groups()
    return int(major), int(minor)


@functools.cache
def accelerator() -> str:
    """"kvm" where it boots the guest's kernel, else "tcg".

    /dev/kvm may be there and still not run a stock kernel (nested set-ups), so a boot is tried. The
    answer holds until the machine restarts and is kept beside the image.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    note = image_dir() / "accelerator"
    known = note.read_text(encoding="ascii").split() if note.exists() else []
    if len(known) == 2 and known[0] == boot:
        return known[1]
    answer = "kvm" if _boots_under_kvm() else "tcg"
    with contextlib.suppress(OSError):  # somebody else's build folder: the probe runs again next time
        note.write_text(f"{boot} {answer}\n", encoding="ascii")
    return answer


def _boots_under_kvm() -> bool:
    with tempfile.TemporaryDirectory(prefix="vhostx-") as folder:
        argv = [DISTRIBUTION, *_ALWAYS, "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "256",
                *_boot_args({}, "initramfs"), "-serial", "stdio"]
        with Process(argv, Path(folder) / "probe.log", stdin="null", lifetime=30, name="kvm probe") as probe:
            try:
                probe.wait_for("GUEST-READY", _PROBE_SECONDS)
                return True
            except ProcessError:
                probe.kill()
                return False


def _boot_args(options: dict[str, object], initramfs: str, kernel: tuple[str, ...] = ()) -> list[str]:
    return ["-kernel", str(image_dir() / "vmlinuz"), "-initrd", str(image_dir() / initramfs),
            "-append", " ".join([command_line(options), *kernel])]


def command_line(options: dict[str, object]) -> str:
    """The kernel's, with guest/init's options."""
    return " ".join([_CMDLINE, *kernel_words(options)])


_MAX_PROCESSORS = 8


def _smp(processors: int) -> str:
    """Room for a second processor at least; a later -smp may ask for more than `processors`.

    TCG for one processor does `lock addl`, which is Linux's barrier, as a plain addition. Then a driver and a back-end
    can each miss what the other wrote just before it went to sleep, and the guest waits for ever.
    """
    return f"{processors},maxcpus={_MAX_PROCESSORS}"


def options_of_a_vm(config: Path, options: dict[str, object], initramfs: str) -> str:
    """What another than we starts such a guest with, in words without blanks; `config` is written and QEMU reads it."""
    config.write_text(f'[machine]\n  kernel = "{image_dir() / "vmlinuz"}"\n  initrd = "{image_dir() / initramfs}"\n'
                      f'  append = "{command_line(options)}"\n', encoding="utf-8")
    cpu = ["-cpu", "host"] if accelerator() == "kvm" else []
    return " ".join([*_ALWAYS, "-accel", accelerator(), "-smp", _smp(1), *cpu, "-serial", "stdio", "-readconfig", str(config)])


def kernel_words(options: dict[str, object]) -> list[str]:
    """guest/init's options as words of a kernel command line."""
    return [f"vhx.{key}={value}" for key, value in options.items()]


def addresses(number: int, steps: tuple[str, ...]) -> dict[str, object]:
    """The options every guest of a pair has."""
    return {"ip": f"10.9.0.{number}", "peer": f"10.9.0.{3 - number}", "do": ",".join(steps)}


class Reporter(Process):
    """A process that runs guest/init and shows its console in this process's log."""

    def _ask_to_end(self) -> None:
        self.kill()  # nothing in the guest is worth a shutdown

    def shell(self, command: str, timeout: float = _BOOT_SECONDS) -> str:
        """Run a command in the shell that the guest has when its steps are over; what it printed, echo included."""
        seen = self.mark()
        self.send(f"{command}; echo GUEST-''OVER")
        return self.wait_for("GUEST-OVER", timeout, seen)

    # -- what the guest reports -------------------------------------------------------------

    def ready(self, timeout: float = _BOOT_SECONDS) -> str:
        """Wait until the guest's kernel is up; return its release."""
        return self._line("READY", timeout)["kernel"]

    def link(self, timeout: float = _BOOT_SECONDS) -> dict[str, str]:
        """Wait for the network device: {"queues": "1", "features": "1101..."}, bit 0 first."""
        return self._line("LINK", timeout)

    def has_feature(self, bit: int) -> bool:
        """Whether the guest's driver and the device agreed on this virtio feature."""
        return self.link()["features"][bit] == "1"

    def nic(self, number: int, timeout: float = _BOOT_SECONDS) -> dict[str, str]:
        """Step iperf: what the guest says of one of its network devices, as link() of the only one."""
        return self._line(f"NIC-{number}", timeout)

    def result(self, step: str, timeout: float = _BOOT_SECONDS, offset: int = 0) -> dict[str, str]:
        """Wait for the result of a step: result("ping") -> {"sent": "20", "received": "20"}.

        offset: where in the log to start, where a step is done more than once
        """
        return self._line(f"RESULT {step}", timeout, offset)

    def _line(self, what: str, timeout: float, offset: int = 0) -> dict[str, str]:
        start = f"GUEST-{what} "
        seen = self.wait_for(start, timeout, offset)
        at = offset + seen.encode().index(start.encode())
        text = self.wait_for("\n", timeout, at)
        return dict(word.split("=", 1) for word in text.splitlines()[0][len(start):].split() if "=" in word)


class QemuGuest(Reporter):
    """One guest under QEMU, reporting on its serial console; devices are for a subclass to say.

    qemu        program, "qemu-system-x86_64" or private_qemu()'s
    processors  how many
    share       of the memory: "on", "off" (a memfd that stays private), None (no memory-backend at all)
    console     path of a socket to attach to for a shell (the log goes on as without)
    kernel      further words of the kernel's command line
    initramfs   which of the image's; None: it boots what its firmware finds
    """

    def __init__(self, name: str, devices: list[str], words: dict[str, object], *, folder: str | Path,
                 initramfs: str | None, qemu: str = DISTRIBUTION, accel: str | None = None, processors: int = 1,
                 memory: int = 256, share: str | None = "on", console: str | Path | None = None,
                 kernel: tuple[str, ...] = (), lifetime: float = 300):
        self.accel = accel or accelerator()
        argv = [qemu, *_ALWAYS, "-machine", "q35", "-accel", self.accel, "-smp", _smp(processors), "-m", memory,
                *_memory_args(memory, share), *_serial(console), *devices]
        if initramfs:
            argv += _boot_args(words, initramfs, kernel)
        if self.accel == "kvm":
            argv += ["-cpu", "host"]
        super().__init__(argv, Path(folder) / f"{name}.log", lifetime=lifetime, name=name)


def always_props(qemu: str, accel: str | None) -> dict[str, object]:
    """Properties that every vhost-user device needs there."""
    crashes = (accel or accelerator()) == "tcg" and qemu_version(qemu)[0] < 8
    return {"vectors": 0} if crashes else {}  # 7.2 crashes where vhost-user meets MSI-X under TCG


class Guest(QemuGuest):
    """One guest with network devices.

    socket    the vhost-user socket; server=True: QEMU listens there (for a port with client=1)
    steps     what the guest does, in order: ping, send, serve, iperf, idle
    options   more of guest/init's options: {"bytes": 1 << 20, "pings": 10}
    props     of the virtio-net device: {"mrg_rxbuf": "off", "packed": "on"}
    more_nics further network devices: [(socket, props), ...]
    queues    queue pairs; the guest gets as many processors, since it uses one pair for each
    more      more of QEMU's arguments
    has_kernel  False: it boots what its firmware finds, see firmware.py
    """

    def __init__(self, name: str, socket: str | Path, *, folder: str | Path, number: int = 1,
                 steps: tuple[str, ...] = ("idle",), options: dict[str, object] | None = None,
                 qemu: str = DISTRIBUTION, accel: str | None = None, server: bool = False,
                 queues: int = 1, props: dict[str, object] | None = None,
                 more_nics: list[tuple[str | Path, dict[str, object]]] = (), more: list[str] = (),
                 has_kernel: bool = True, **keywords):
        devices = list(more)
        image = "initramfs-iperf" if "iperf" in steps else "initramfs"
        for nic, (path, its_props) in enumerate([(socket, props or {}), *more_nics]):
            devices += _nic_args(nic, number + nic, path, server, queues, always_props(qemu, accel) | its_props)
        super().__init__(name, devices, addresses(number, steps) | (options or {}), folder=folder,
                         initramfs=image if has_kernel else None, qemu=qemu, accel=accel, processors=queues,
                         **keywords)


def _memory_args(memory: int, share: str | None) -> list[str]:
    if share is None:
        return []
    return ["-object", f"memory-backend-memfd,id=ram,size={memory}M,share={share}", "-numa", "node,memdev=ram"]


def _nic_args(nic: int, number: int, socket: str | Path, server: bool, queues: int,
              props: dict[str, object]) -> list[str]:
    device = {"netdev": f"net{nic}", "mac": f"52:54:00:00:09:{number:02x}", "romfile": ""}
    if queues > 1:
        device["mq"] = "on"
    words = [f"{key}={value}" for key, value in (device | props).items()]
    return ["-chardev", f"socket,id=vhost{nic},path={socket}" + (",server=on,wait=off" if server else ""),
            "-netdev", f"vhost-user,id=net{nic},chardev=vhost{nic},queues={queues}",
            "-device", ",".join(["virtio-net-pci", *words])]


def _serial(console: str | Path | None) -> list[str]:
    if console is None:
        return ["-serial", "stdio"]
    return ["-chardev", f"socket,id=con,path={console},server=on,wait=off,logfile=/dev/stdout,logappend=on",
            "-serial", "chardev:con"]


def what_is_missing() -> str | None:
    """One sentence on why no guest can run here, or None."""
    if shutil.which(DISTRIBUTION) is None:
        return "QEMU is not installed: devtools/setup.sh test"
    return None


IOMMU_PROPS = {"iommu_platform": "on", "ats": "on", "disable-legacy": "on"}


def behind_iommu(*, strict: bool) -> dict[str, object]:
    """Keywords of a Guest with an IOMMU that decides what its devices reach.

    strict: the guest takes each page away as soon as it is through with it; else all of them every now and then
    """
    return {"more": ["-machine", "kernel-irqchip=split", "-device", "intel-iommu,intremap=on,device-iotlb=on"],
            "kernel": ("intel_iommu=on", f"iommu.strict={int(strict)}", "iommu.passthrough=0")}


class GuestPair:
    """Two guests, each on its socket; the second pings the first and streams to it.

    options go to both guests (guest/init's), the rest of the keywords to Guest(), or to what
    `kind` says instead.
    """

    def __init__(self, folder: str | Path, sockets: tuple[str | Path, str | Path], *,
                 options: dict[str, object] | None = None, consoles: tuple = (None, None),
                 kind: type[Reporter] = Guest, **keywords):
        self.server = kind("guest1", sockets[0], folder=folder, number=1, steps=("serve",),
                           options=options, console=consoles[0], **keywords)
        try:
            self.client = kind("guest2", sockets[1], folder=folder, number=2, steps=("ping", "send"),
                               options=options, console=consoles[1], **keywords)
        except BaseException:
            self.server.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.stop()

    def stop(self) -> None:
        self.client.stop()
        self.server.stop()

    def what_went_wrong(self, timeout: float = 120) -> str | None:
        """Wait for the ping and the stream; one sentence when something got lost or changed."""
        ping = self.client.result("ping", timeout)
        if ping["sent"] != ping["received"]:
            return f"{ping['received']} of {ping['sent']} pings were answered"
        sent = self.client.result("send", timeout)
        if sent["intact"] != "yes":
            return f"the TCP stream broke after {sent['bytes']} bytes"
        arrived = self.server.result("serve", timeout)
        if arrived["intact"] != "yes" or (arrived["bytes"], arrived["sum"]) != (sent["bytes"], sent["sum"]):
            return (f"the TCP stream changed on its way: {sent['bytes']} bytes with sum {sent['sum']} "
                    f"were sent, {arrived['bytes']} with {arrived['sum']} arrived")
        return None
