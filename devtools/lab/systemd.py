# SPDX-License-Identifier: BSD-3-Clause
"""A systemd of one's own, in namespaces, with the units of an installation and no others.

It and its services see this machine's files, with the installation laid over them; what they write to /etc, /run,
/usr/local, /var/cache and /var/lib is nowhere else and goes with them.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

from .process import Process, ProcessError

PROGRAM = Path("/lib/systemd/systemd")
_START_SECONDS = 20
_TARGETS = ("basic", "sysinit", "sockets", "shutdown", "idle")
_NAMESPACES = ("--mount", "--pid", "--ipc", "--uts", "--cgroup")
_PLACES = ("etc", "usr/local", "var/cache", "var/lib")

# The loader finds an installation's libraries by its cache.
_SET_UP = """
set -e
mount -t tmpfs scratch /run
for place in $PLACES; do
	mkdir -p "/run/scratch/$place/upper" "/run/scratch/$place/work" "$INSTALLED/$place"
	mount -t overlay -o "lowerdir=$INSTALLED/$place:/$place,upperdir=/run/scratch/$place/upper" \\
		-o "workdir=/run/scratch/$place/work" overlay "/$place"
done
mount -t tmpfs units /etc/systemd/system
ldconfig
[ "$1" != try ] || exit 0
exec env container=lab SYSTEMD_UNIT_PATH="$TARGETS:/etc/systemd/system:/usr/local/lib/systemd/system" \\
	"$PROGRAM" --system --unit=idle.target
"""


def _argv(folder: Path, installed: Path, *words: str) -> list[str]:
    values = {"INSTALLED": installed, "TARGETS": folder, "PROGRAM": PROGRAM, "PLACES": " ".join(_PLACES)}
    return ["unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
            "env", *[f"{name}={value}" for name, value in values.items()], "sh", "-c", _SET_UP, "sh", *words]


def what_is_missing(folder: Path) -> str | None:
    """One sentence on why there is none to be had here, or None."""
    if shutil.which("systemctl") is None or not PROGRAM.exists():
        return "systemd is not installed: devtools/setup.sh test"
    if os.geteuid() != 0:
        return "a systemd of one's own needs root"
    done = subprocess.run(_argv(folder, folder / "try", "try"), capture_output=True, text=True, timeout=20,
                          check=False)
    return f"this kernel gives no namespaces to systemd: {done.stderr.strip()}" if done.returncode else None


class Manager(Process):
    """Runs when the constructor returns. `installed` is what `meson install --destdir` filled."""

    def __init__(self, folder: Path, installed: Path, lifetime: float = 300):
        units = folder / "targets"
        units.mkdir()
        for target in _TARGETS:
            (units / f"{target}.target").write_text("[Unit]\nDefaultDependencies=no\n", encoding="ascii")
        super().__init__(_argv(units, installed), folder / "systemd.log", stdin="null", lifetime=lifetime,
                         name="systemd")
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while self.run("systemctl", "list-units").returncode:
            if not self.is_alive() or time.monotonic() > deadline:
                self.kill()
                raise ProcessError(self.explain("does not answer systemctl"))
            time.sleep(0.1)

    def _ask_to_end(self) -> None:
        self.kill()  # of it goes all that is in its namespaces

    def inside(self, *words: str) -> list[str]:
        """The command line that runs this one among its services."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        return ["nsenter", "--target", children[0] if children else "0", "--all", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run(self.inside(*words), capture_output=True, text=True, timeout=20, check=False)
