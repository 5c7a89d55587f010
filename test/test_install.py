# SPDX-License-Identifier: BSD-3-Clause
"""What is installed around the disks: systemd's units, and the files by which programs find back-ends."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

KINDS = {"blk": "block", "scsi": "scsi"}
FOLDER = Path("usr/local")


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def run(*words: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture(scope="session")
def prefix(build_dir) -> Path:
    """Where this build is to be installed, as a path without the first slash."""
    options = json.loads(run("meson", "introspect", "--buildoptions", build_dir).stdout)
    value = next(option["value"] for option in options if option["name"] == "prefix")
    return Path(value).relative_to("/")


def test_descriptor(installed, prefix, kind):
    """What docs/interop/vhost-user.json of QEMU asks for: these three, and nothing of our own."""
    text = (installed / prefix / f"share/qemu/vhost-user/50-vhostx-{kind}.json").read_text(encoding="utf-8")
    said = json.loads(text)
    assert set(said) == {"description", "type", "binary"}
    assert said["type"] == KINDS[kind]
    program = installed / Path(said["binary"]).relative_to("/")
    assert os.access(program, os.X_OK)


def test_capabilities(build_dir, kind):
    """A program is of the type that its descriptor says, and has the options that it says it has."""
    program = build_dir / "app" / f"vhostx-{kind}"
    said = json.loads(run(program, "--print-capabilities").stdout)
    assert said["type"] == KINDS[kind]
    words = run(program, "--help").stdout
    for feature in said.get("features", []):
        assert re.search(rf"^  --{feature}\b", words, re.M), f"--help knows no --{feature}"
    if kind == "blk":
        assert sorted(said["features"]) == ["blk-file", "read-only"]


def unit_words(path: Path) -> dict[str, list[str]]:
    """{name: values} of a unit's lines."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", path.read_text(encoding="utf-8"), re.M):
        found.setdefault(name, []).append(value)
    return found


def test_units(installed, prefix, kind):
    """The service runs what is installed, on a socket that is there first."""
    folder = installed / prefix / "lib/systemd/system"
    service, socket = (unit_words(folder / f"vhostx-{kind}@.{suffix}") for suffix in ("service", "socket"))
    program = service["ExecStart"][0].split()[0]
    assert os.access(installed / Path(program).relative_to("/"), os.X_OK)
    assert service["Requires"] == service["After"] == [f"vhostx-{kind}@%i.socket"]
    page = service["Documentation"][0].removeprefix("file:")
    assert (installed / Path(page).relative_to("/")).exists()
    assert socket["ListenStream"] == [f"/run/vhostx/{kind}-%i.sock"]


def test_systemd_accepts_the_units(installed, prefix, kind, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed: devtools/setup.sh test")
    units = [installed / prefix / "lib/systemd/system" / f"vhostx-{kind}@.{suffix}" for suffix in ("service", "socket")]
    for unit in units:
        text = unit.read_text(encoding="utf-8").replace(f"=/{prefix}/", f"={installed / prefix}/")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    names = [tmp_path / unit.name.replace("@.", "@data.") for unit in units]
    done = run("systemd-analyze", "verify", "--man=no", *names)
    assert (done.returncode, done.stderr) == (0, "")
    exposure = run("systemd-analyze", "security", "--offline=yes", "--threshold=50", names[0])
    assert exposure.returncode == 0, exposure.stdout
