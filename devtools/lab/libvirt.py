# SPDX-License-Identifier: BSD-3-Clause
"""A libvirt that starts one virtual machine and needs no daemon: its QEMU driver inside virt-qemu-run."""

import os
import shutil
from pathlib import Path

from .process import Process

PROGRAM = "virt-qemu-run"
_CONFIG = """user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""

# As root it insists on a user that only the daemon's package makes: one is added where nobody else sees it.
_AS_ROOT = """
for file in passwd group; do
	cp /etc/$file "$ROOT/$file"
done
echo 'libvirt-qemu:x:0:0::/:/bin/false' >>"$ROOT/passwd"
echo 'libvirt-qemu:x:0:' >>"$ROOT/group"
mount --bind "$ROOT/passwd" /etc/passwd
mount --bind "$ROOT/group" /etc/group
exec "$@"
"""


def what_is_missing() -> str | None:
    """One sentence on why it cannot be had here, or None."""
    if shutil.which(PROGRAM) is None:
        return "libvirt's QEMU driver is not installed: devtools/setup.sh test"
    return None


class Domain(Process):
    """A virtual machine from its XML; libvirt's own words are the log. It ends when the `with` block does."""

    def __init__(self, xml: str, folder: Path, lifetime: float = 300):
        root = folder / "libvirt"
        (root / "etc").mkdir(parents=True)
        (root / "etc" / "qemu.conf").write_text(_CONFIG, encoding="ascii")
        (root / "vm.xml").write_text(xml, encoding="utf-8")
        argv = [PROGRAM, "--verbose", "--root", str(root), str(root / "vm.xml")]
        if os.geteuid() == 0:
            argv = ["unshare", "--mount", "--propagation", "private", "env", f"ROOT={root}",
                    "sh", "-e", "-c", _AS_ROOT, "sh", *argv]
        super().__init__(argv, folder / "libvirt.log", stdin="null", lifetime=lifetime, name="libvirt")
