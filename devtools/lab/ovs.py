# SPDX-License-Identifier: BSD-3-Clause
"""Open vSwitch with DPDK in a private folder: its own database, sockets and logs beside any system switch.

The bridge is of the user-space kind, so the kernel's datapath is not touched; its local port is a tap device that
goes when the switch stops.
"""

import itertools
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from . import paths
from .process import Process, ProcessError

SWITCH = Path("/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk")
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
_SERIAL = itertools.count()


def what_is_missing() -> str | None:
    """One sentence on why no switch can run here, or None."""
    if not SWITCH.exists() or not SCHEMA.exists():
        return "openvswitch-switch-dpdk is not installed: devtools/setup.sh test"
    if os.geteuid() != 0:
        return "a switch makes a tap device, which needs root: run as root or through sudo"
    return None


class OvsDpdk:
    """A running switch with one empty bridge that forwards like a learning switch.

    hugepages   False: DPDK on ordinary memory (--no-huge)
    memory      of DPDK, MiB
    cpu_mask    where packets are polled; the rest of the switch runs on processor 0
    """

    def __init__(self, folder: str | Path, *, hugepages: bool = False, memory: int = 512,
                 cpu_mask: str = "0x2", lifetime: float = 300):
        serial = next(_SERIAL)
        self.folder = Path(folder) / f"ovs-{serial}"
        self.folder.mkdir()
        self.prefix = f"vhx-ovs-{os.getpid()}-{serial}"
        self.bridge = f"vhx{os.getpid()}-{serial}"[:15]
        self._env = {f"OVS_{name}DIR": str(self.folder) for name in ("RUN", "DB", "LOG", "SYSCONF")}
        self._lifetime = lifetime
        self._processes: list[Process] = []
        try:
            self._start_database(lifetime)
            self._configure(hugepages, memory, cpu_mask)
            self._start_switch()
            self.vsctl("add-br", self.bridge, "--", "set", "Bridge", self.bridge, "datapath_type=netdev")
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.stop()

    # -- starting ---------------------------------------------------------------------------

    def _start_database(self, lifetime: float) -> None:
        subprocess.run(["ovsdb-tool", "create", self.folder / "conf.db", SCHEMA], check=True, timeout=20)
        argv = ["ovsdb-server", self.folder / "conf.db", f"--remote=punix:{self.folder}/db.sock",
                f"--unixctl={self.folder}/ovsdb-server.ctl", "--verbose=console:info"]
        self._run(argv, "ovsdb-server", lifetime)
        self.vsctl("--retry", "--no-wait", "init")  # the server may not listen yet

    def _configure(self, hugepages: bool, memory: int, cpu_mask: str) -> None:
        words = ["--no-pci", f"--file-prefix={self.prefix}", *paths.plugin_args()]
        # Without --legacy-mem OVS adds --in-memory, which EAL refuses together with --no-huge.
        words += ["--in-memory"] if hugepages else ["--no-huge", "--legacy-mem"]
        words += ["-m", str(memory)]
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                   "other_config:dpdk-lcore-mask=0x1", f"other_config:pmd-cpu-mask={cpu_mask}",
                   # A pool for each port, of the size it needs: the shared one is tried with 800 MB first.
                   "other_config:per-port-memory=true",
                   f"other_config:dpdk-extra={_quoted(' '.join(words))}")

    def _start_switch(self) -> None:
        argv = [SWITCH, f"unix:{self.folder}/db.sock", f"--unixctl={self.folder}/switch.ctl",
                "--verbose=console:info", "--verbose=syslog:off"]
        self.switch = self._run(argv, "ovs-vswitchd", self._lifetime, paths.back_end_environment())
        self.switch.wait_for("DPDK Enabled - initialized", 30)
        library = paths.vhost_library_of(self.switch.pid)
        if paths.is_ours(library) != paths.is_facade():
            raise ProcessError(self.switch.explain(f"runs on {library}"))

    def kill_and_restart(self) -> None:
        """kill -9 of the switch; the next one finds bridge and ports in the database."""
        self.switch.kill()
        self._start_again()

    def end_and_restart(self) -> None:
        """The same in good order, as systemd does it."""
        self.switch.signal(signal.SIGTERM)
        self.switch.stop()
        self._start_again()

    def _start_again(self) -> None:
        self._processes.remove(self.switch)
        shutil.rmtree(paths.dpdk_runtime_dir(self.prefix), ignore_errors=True)
        self._start_switch()

    def _run(self, argv: list, name: str, lifetime: float, env: dict[str, str] | None = None) -> Process:
        process = Process(argv, self.folder / f"{name}.log", stdin="null", env=self._env | (env or {}),
                          cwd=self.folder, lifetime=lifetime, name=name)
        self._processes.append(process)
        return process

    def vsctl(self, *words: str) -> str:
        """Run ovs-vsctl on this switch's database, return what it printed."""
        done = subprocess.run(["ovs-vsctl", f"--db=unix:{self.folder}/db.sock", "--timeout=30", *words],
                              env=dict(os.environ, **self._env), capture_output=True, text=True,
                              timeout=40, check=False)
        if done.returncode:
            said = done.stderr.strip()
            raise ProcessError(self._processes[-1].explain(f"ovs-vsctl {' '.join(words)}: {said}"))
        return done.stdout

    # -- ports ------------------------------------------------------------------------------

    def add_dpdk_port(self, name: str, devargs: str, queues: int = 1) -> None:
        """Hot-plug a DPDK port: add_dpdk_port("p0", "net_vhostx0,iface=/path.sock")."""
        self._add_port(name, "dpdk", f"options:dpdk-devargs={_quoted(devargs)}", f"options:n_rxq={queues}")

    def add_vhost_client_port(self, name: str, path: str | Path) -> None:
        """OVS's own vhost-user port, without an ethdev; QEMU listens on the path."""
        self._add_port(name, "dpdkvhostuserclient", f"options:vhost-server-path={_quoted(str(path))}")

    def add_vhost_server_port(self, name: str) -> Path:
        """The older kind, which listens; return where."""
        self._add_port(name, "dpdkvhostuser")
        return self.folder / name

    def _add_port(self, name: str, kind: str, *options: str) -> None:
        self.vsctl("add-port", self.bridge, name, "--", "set", "Interface", name, f"type={kind}", *options)
        error = json.loads(self.vsctl("--format=json", "get", "Interface", name, "error").strip() or "[]")
        if error:
            raise ProcessError(self.switch.explain(f"port {name} of type {kind}, {options}: {error}"))

    def del_port(self, name: str) -> None:
        """Remove a port; DPDK unplugs its device."""
        self.vsctl("del-port", self.bridge, name)

    def counters(self, name: str) -> dict[str, int]:
        """Statistics of a port by OVS's names (rx_packets, tx_bytes, the driver's own...)."""
        text = self.vsctl("get", "Interface", name, "statistics").strip().strip("{}")
        pairs = (item.split("=", 1) for item in text.split(", ") if item)
        return {key.strip('"'): int(value) for key, value in pairs}

    def link(self, name: str) -> bool:
        """True when the port's link is up."""
        return self.vsctl("get", "Interface", name, "link_state").strip() == "up"

    # -- ending -----------------------------------------------------------------------------

    def stop(self) -> None:
        """End the switch, then its database."""
        for process in reversed(self._processes):
            process.signal(15)
            process.stop()
        shutil.rmtree(paths.dpdk_runtime_dir(self.prefix), ignore_errors=True)


def _quoted(text: str) -> str:
    """`text` as ovs-vsctl wants a value with spaces or commas in it."""
    return f'"{text}"'
