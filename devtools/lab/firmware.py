# SPDX-License-Identifier: BSD-3-Clause
"""Guests whose firmware drives the network device before their kernel does.

    netboot   SeaBIOS runs iPXE from the device's ROM: DHCP, then kernel and initramfs by HTTP, all through the device
    uefi      OVMF's shell configures the device and pings, then starts the kernel from a small disk
"""

import contextlib
import shutil
from pathlib import Path

from . import guest, paths
from .netns import Namespace
from .process import Process
from .testpmd import Testpmd

IPXE_ROM = Path("/usr/lib/ipxe/qemu/pxe-virtio.rom")
OVMF_CODE, OVMF_VARS = Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
DONE = "FIRMWARE-DONE"  # says the shell
LIFETIME = 280

# The ROM is for the modern device's PCI id, which SeaBIOS compares.
IPXE_PROPS = {"romfile": IPXE_ROM, "bootindex": 0, "disable-legacy": "on"}


def what_is_missing() -> str | None:
    """One sentence on why no firmware boots here, or None."""
    for path, package in ((IPXE_ROM, "ipxe-qemu"), (OVMF_CODE, "ovmf")):
        if not path.exists():
            return f"{path} is missing ({package}): devtools/setup.sh test"
    return None


def _command_line(steps: tuple[str, ...]) -> str:
    return guest.command_line(guest.addresses(1, steps) | {"pings": 5})


# -- netboot ---------------------------------------------------------------------------------------


def _write_site(folder: Path, steps: tuple[str, ...]) -> Path:
    site = folder / "site"
    site.mkdir()
    for name in ("vmlinuz", "initramfs"):
        (site / name).symlink_to(guest.image_dir() / name)
    script = ["#!ipxe", f"kernel vmlinuz {_command_line(steps)}", "initrd initramfs", "boot", ""]
    (site / "boot").write_text("\n".join(script), encoding="ascii")
    return site


def _write_dhcp(folder: Path) -> Path:
    leases, config = folder / "leases", folder / "udhcpd"
    leases.touch()
    config.write_text("\n".join([
        "start 10.9.0.1", "end 10.9.0.1", "max_leases 1", "interface tap0", f"lease_file {leases}",
        f"pidfile {folder / 'udhcpd.pid'}", "opt subnet 255.255.255.0", "boot_file http://10.9.0.2/boot", ""]),
        encoding="ascii")
    return config


@contextlib.contextmanager
def network_with_a_kernel(folder: Path, vdev: str, steps: tuple[str, ...], lcores: str):
    """The port `vdev` of a testpmd, behind which 10.9.0.2 hands out an address and what to boot; the testpmd."""
    site, dhcp = _write_site(folder, steps), _write_dhcp(folder)
    servers = [["udhcpd", "-f", dhcp], ["httpd", "-f", "-p", "10.9.0.2:80", "-h", site]]
    with Namespace() as there, contextlib.ExitStack() as running:
        switch = running.enter_context(Testpmd([vdev, "net_tap0,iface=tap0"], folder=folder, name="switch",
                                               lcores=lcores, wrapper=there.argv(), startup=60, lifetime=LIFETIME))
        there.run("ip", "address", "add", "10.9.0.2/24", "dev", "tap0")
        there.run("ip", "link", "set", "tap0", "up")
        for words in servers:
            running.enter_context(Process(there.argv("busybox", *map(str, words)), folder / f"{words[0]}.log",
                                          stdin="null", lifetime=LIFETIME, name=words[0]))
        yield switch


# -- UEFI ------------------------------------------------------------------------------------------


def _write_disk(folder: Path, steps: tuple[str, ...]) -> Path:
    """What the shell finds: a script for it, kernel and initramfs. "stall" is in microseconds."""
    disk = folder / "disk"
    disk.mkdir()
    shutil.copy(guest.image_dir() / "vmlinuz", disk / "vmlinuz.efi")
    shutil.copy(guest.image_dir() / "initramfs", disk / "initramfs")
    script = ["@echo -off", "connect -r", "ifconfig -s eth0 static 10.9.0.1 255.255.255.0 10.9.0.2", "stall 3000000",
              "ping -n 3 10.9.0.2", f"echo {DONE}", "fs0:",
              rf"vmlinuz.efi initrd=\initramfs {_command_line(steps)}", ""]
    (disk / "startup.nsh").write_text("\r\n".join(script), encoding="ascii")
    return disk


def uefi_args(folder: Path, steps: tuple[str, ...]) -> list[str]:
    """QEMU's arguments for OVMF, and a disk with the kernel; nothing of Debian's files is written to."""
    disk, variables = _write_disk(folder, steps), folder / "variables"
    shutil.copy(OVMF_VARS, variables)
    return ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}",
            "-drive", f"if=pflash,unit=1,format=raw,file={variables}",
            "-drive", f"if=none,id=disk,format=raw,file=fat:rw:{disk}", "-device", "ide-hd,drive=disk,bootindex=0"]


def qemu() -> str:
    """QEMU 10, or what is there."""
    try:
        return guest.private_qemu()
    except RuntimeError:
        return guest.DISTRIBUTION


def port(folder: Path, **keys: object) -> str:
    return paths.vhost_vdev(0, folder / "vm0", **keys)
