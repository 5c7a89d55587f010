# SPDX-License-Identifier: BSD-3-Clause
"""Where things are (repository, build, plugin, DPDK's run-time folders) and which driver is tested.

VHOSTX_BUILD   build folder, default <repository>/build
VHOSTX_DRIVER  net_vhostx (default); net_vhost, Debian's own driver: the same tests then try the peer; or facade,
               Debian's driver on our librte_vhost.so.23 in place of Debian's
"""

import os
import shutil
from pathlib import Path

OURS = "net_vhostx"
PEER = "net_vhost"
FACADE = "facade"
VHOST_LIBRARY = "librte_vhost.so.23"


def repo_root() -> Path:
    return Path(__file__).resolve().parents[2]


def build_dir() -> Path:
    return Path(os.environ.get("VHOSTX_BUILD") or repo_root() / "build").resolve()


def plugin() -> Path:
    """The PMD as EAL loads it with -d."""
    return build_dir() / "drivers" / "net" / "vhostpmd" / "librte_net_vhostx.so"


def facade_dir() -> Path:
    """Where our librte_vhost.so.23 is, and no other library: what LD_LIBRARY_PATH may name."""
    return build_dir() / "lib" / "vhostcore" / "facade"


def under_test() -> str:
    """OURS, PEER or FACADE."""
    name = os.environ.get("VHOSTX_DRIVER", OURS)
    if name not in (OURS, PEER, FACADE):
        raise ValueError(f"VHOSTX_DRIVER={name}: only {OURS}, {PEER} or {FACADE} can be tested")
    return name


def driver() -> str:
    """Name of the vhost driver under test."""
    return OURS if under_test() == OURS else PEER


def is_peer() -> bool:
    """Whether the driver is Debian's, on whichever library."""
    return driver() == PEER


def is_facade() -> bool:
    return under_test() == FACADE


def facade_environment() -> dict[str, str]:
    """What makes a program load our librte_vhost.so.23, and all else as ever."""
    return {"LD_LIBRARY_PATH": ":".join(filter(None, [str(facade_dir()), os.environ.get("LD_LIBRARY_PATH")]))}


def back_end_environment() -> dict[str, str]:
    """What a process with the driver under test needs in its environment."""
    return facade_environment() if is_facade() else {}


def vhost_library_of(pid: int) -> Path | None:
    """The librte_vhost that a process has loaded; None when it has none."""
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    found = {line.split(maxsplit=5)[5] for line in maps.splitlines() if f"/{VHOST_LIBRARY}" in line}
    if len(found) > 1:
        raise AssertionError(f"process {pid} has more than one {VHOST_LIBRARY}: {sorted(found)}")
    return Path(found.pop()) if found else None


def is_ours(library: Path | None) -> bool:
    return library is not None and library.parent == facade_dir()


def plugin_args() -> list[str]:
    """EAL arguments that load the driver under test."""
    return [] if is_peer() else ["-d", str(plugin())]


def what_is_missing() -> str | None:
    """One sentence on why the driver under test cannot run here, or None."""
    if shutil.which("dpdk-testpmd") is None:
        return "dpdk-testpmd is not installed: apt-get install dpdk dpdk-dev"
    if not is_peer() and not plugin().exists():
        return f"{plugin()} is not built: meson setup build && ninja -C build"
    return facade_missing() if is_facade() else None


def facade_missing() -> str | None:
    """One sentence on why Debian's programs cannot run on our library here, or None."""
    if not (facade_dir() / VHOST_LIBRARY).exists():
        return f"{facade_dir() / VHOST_LIBRARY} is not built: meson setup build && ninja -C build"
    return None


def vhost_vdev(index: int, iface: str | Path, **keys: object) -> str:
    """Text of a --vdev for the driver under test: vhost_vdev(0, path, queues=2, client=1)."""
    words = [f"{driver()}{index}", f"iface={iface}"]
    words += [f"{key.replace('_', '-')}={value}" for key, value in keys.items()]
    return ",".join(words)


def virtio_user_vdev(index: int, path: str | Path, **keys: object) -> str:
    """Text of a --vdev for virtio-user: virtio_user_vdev(0, path, queues=2, server=1)."""
    words = [f"virtio_user{index}", f"path={path}"]
    words += [f"{key}={value}" for key, value in keys.items()]
    return ",".join(words)


def dpdk_runtime_dir(prefix: str) -> Path:
    """Where EAL keeps the sockets and files of a process started with --file-prefix=prefix."""
    if os.geteuid() == 0:
        base = Path("/var/run")
    else:
        base = Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp"))
    return base / "dpdk" / prefix
