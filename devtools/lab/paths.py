# SPDX-License-Identifier: BSD-3-Clause
"""Where things are (repository, build, plugin, DPDK's run-time folders) and which driver is tested.

VHOSTX_BUILD   build folder, default <repository>/build
VHOSTX_DRIVER  net_vhostx (default) or net_vhost, Debian's own driver: the same tests then try the peer
"""

import os
import shutil
from pathlib import Path

OURS = "net_vhostx"
PEER = "net_vhost"


def repo_root() -> Path:
    return Path(__file__).resolve().parents[2]


def build_dir() -> Path:
    return Path(os.environ.get("VHOSTX_BUILD") or repo_root() / "build").resolve()


def plugin() -> Path:
    """The PMD as EAL loads it with -d."""
    return build_dir() / "drivers" / "net" / "vhostpmd" / "librte_net_vhostx.so"


def driver() -> str:
    """Name of the vhost driver under test."""
    name = os.environ.get("VHOSTX_DRIVER", OURS)
    if name not in (OURS, PEER):
        raise ValueError(f"VHOSTX_DRIVER={name}: only {OURS} or {PEER} can be tested")
    return name


def is_peer() -> bool:
    return driver() == PEER


def plugin_args() -> list[str]:
    """EAL arguments that load the driver under test."""
    return [] if is_peer() else ["-d", str(plugin())]


def what_is_missing() -> str | None:
    """One sentence on why the driver under test cannot run here, or None."""
    if shutil.which("dpdk-testpmd") is None:
        return "dpdk-testpmd is not installed: apt-get install dpdk dpdk-dev"
    if not is_peer() and not plugin().exists():
        return f"{plugin()} is not built: meson setup build && ninja -C build"
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
