# SPDX-License-Identifier: BSD-3-Clause
"""doc/devices.md does what it says: every shell block on it runs as it stands, in a person's order.

A section is followed in a fresh folder with two terminals: blocks that start QEMU have one of their own, all others are typed into
the first. The test is the person's virtual machine ($VM) and looks from inside it for what the section promises.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from lab import disk, guest, libvirt, paths, systemd
from lab.process import Process

PAGE = paths.repo_root() / "doc" / "devices.md"
GIB = 1 << 30
SECTORS = str(GIB // disk.SECTOR)  # of the disks on the page
TWICE = str(2 * GIB // disk.SECTOR)
LANGUAGES = {"sh", "xml", "c"}
F_PACKED = 34
PATIENCE = 90


def sections() -> dict[str, list[tuple[str, str]]]:
    """{title: [(language, block), ...]} of the page, in order."""
    found: dict[str, list[tuple[str, str]]] = {}
    pattern = re.compile(r"^#+ (?P<title>[^\n]*)$|^```(?P<language>\S*)\n(?P<block>.*?)^```$", re.M | re.S)
    for match in pattern.finditer(PAGE.read_text(encoding="utf-8")):
        if match["title"]:
            title = match["title"]
            found[title] = []
        else:
            found[title].append((match["language"], match["block"]))
    return found


def blocks(title: str, language: str) -> list[str]:
    return [block for its_language, block in sections()[title] if its_language == language]


class Terminal(Process):
    """A shell that ends at the first command that fails."""

    def __init__(self, folder: Path, prefix: list[str], env: dict[str, str]):
        super().__init__([*prefix, "env", f"--chdir={folder}", "bash", "-e", "-s"], folder / "terminal.log", env=env)
        self._nr_blocks = 0

    def type(self, block: str) -> None:
        """Wait until all of it is done, but for what it leaves running."""
        self._nr_blocks += 1
        self.send(f"{block}\necho BLOCK-{self._nr_blocks}-IS-DONE")
        self.wait_for(f"BLOCK-{self._nr_blocks}-IS-DONE")

    def end_program(self) -> None:
        """What was started last ends as the page says, and well."""
        self.send("kill %%; wait %% && echo IT-ENDED-WELL")
        self.wait_for("IT-ENDED-WELL")

    def _ask_to_end(self) -> None:
        self.kill()


class Machine(disk.DiskReports, guest.Reporter):
    """A block that starts QEMU, in a terminal of its own."""

    def __init__(self, block: str, folder: Path, prefix: list[str], env: dict[str, str]):
        super().__init__([*prefix, "env", f"--chdir={folder}", "bash", "-e", "-c", block], folder / "vm.log",
                         env=env, name="vm")

    def shut_down(self) -> None:
        self.wait_for("GUEST-DONE", PATIENCE)
        self.send("poweroff -f")
        assert self.wait(PATIENCE) == 0, self.explain("did not end well")


class Console(disk.DiskReports, guest.Reporter):
    """What a guest of somebody else's says, in a file."""

    def __init__(self, path: Path, folder: Path):
        super().__init__(["tail", "--lines=+1", "-F", path], folder / "tail.log", name="console")


class Visit:
    """Somebody who follows a section."""

    def __init__(self, title: str, folder: Path, *, prefix: list[str] = (), step: str = "disk",
                 options: dict[str, object] | None = None, **env: str):
        programs = [paths.build_dir() / name for name in ("app", "doc", "qemu10")]
        disk.make_image()
        self._blocks = blocks(title, "sh")
        self._folder, self._prefix = folder, list(prefix)
        self._env = {"PATH": ":".join([*map(str, programs), os.environ["PATH"]]),
                     "VM": guest.options_of_a_vm(folder / "vm.cfg", {"do": step} | (options or {}), "initramfs-disk"), **env}
        self.terminal = Terminal(folder, self._prefix, self._env)
        self.vm: Machine | None = None

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        for process in filter(None, [self.vm, self.terminal]):
            process.kill()

    def go_on(self) -> None:
        """The next block."""
        block = self._blocks.pop(0)
        if "qemu-system" not in block:
            self.terminal.type(block)
            return
        assert self.vm is None, "the section starts a second VM: teach the test what to do with it"
        self.vm = Machine(block, self._folder, self._prefix, self._env)

    def start(self, **wanted: str) -> None:
        """The disk and the VM; the guest sees what is wanted."""
        while self.vm is None:
            self.go_on()
        seen = self.vm.result("disk", PATIENCE)
        assert {name: seen.get(name) for name in wanted} == wanted, seen

    def finish(self) -> None:
        self.vm.shut_down()
        assert not self._blocks, f"never run: {self._blocks}"

    def leave(self) -> None:
        """finish(), and the program that was started last ends as well."""
        self.finish()
        self.terminal.end_program()


def try_out(vm: Machine) -> None:
    """A file system on the disk keeps what is put there."""
    tree = vm.do("tree", files=50)
    assert (tree["clean"], tree["equal"]) == ("yes", "yes")


@pytest.fixture
def visit(folder):
    visits = []

    def _visit(title: str, **keywords) -> Visit:
        visits.append(Visit(title, folder, **keywords))
        return visits[-1]

    yield _visit
    for one in visits:
        one.__exit__()


# -- sections --------------------------------------------------------------------------------------


PLAIN = {
    "Give a VM a disk": {"name": "vda", "sectors": SECTORS, "queues": "1", "ro": "0", "serial": "disk.img"},
    "Memory": {"name": "vda", "sectors": SECTORS, "serial": "memory"},
}


@pytest.mark.parametrize("title", PLAIN)
def test_plain(visit, title):
    here = visit(title)
    here.start(**PLAIN[title])
    try_out(here.vm)
    here.leave()


def test_several_queues(visit):
    here = visit("Several queues, packed rings, long rings")
    here.start(name="vda", sectors=SECTORS, queues="4")
    assert here.vm.result("disk")["features"][F_PACKED] == "1"
    here.vm.wait_for("GUEST-DONE", PATIENCE)
    here.vm.send("echo LENGTH=$(cat /sys/block/vda/queue/nr_requests)")
    here.vm.wait_for("LENGTH=1024")
    try_out(here.vm)
    here.leave()


def test_read_only(visit, folder):
    here = visit("Read-only")
    here.start(name="vda", sectors=SECTORS, ro="1")
    here.leave()
    assert not (folder / "disk.img").stat().st_mode & 0o222
    assert not (folder / "disk.img").read_bytes().strip(b"\0")


@pytest.fixture
def loop_device(folder):
    """A block device that nothing on the host uses."""
    with (folder / "below.img").open("wb") as file:
        file.truncate(GIB)
    made = subprocess.run(["losetup", "--find", "--show", folder / "below.img"], capture_output=True, text=True,
                          timeout=20, check=False)
    if made.returncode:
        pytest.skip(f"no block device to be had here: {made.stderr.strip()}")
    yield made.stdout.strip()
    subprocess.run(["losetup", "--detach", made.stdout.strip()], timeout=20, check=True)


def test_block_device(visit, loop_device):
    here = visit("A block device", DEVICE=loop_device)
    here.start(name="vda", sectors=SECTORS, serial="data")
    try_out(here.vm)
    here.leave()


def test_scsi(visit):
    here = visit("SCSI: many disks in one device")
    here.start(disks="sda,sdb")
    both = {here.vm.do("disk", disk=name)["sectors"] for name in ("sda", "sdb")}
    assert both == {SECTORS, TWICE}  # Linux looks at units side by side, so which has which name is chance
    try_out(here.vm)
    here.leave()


def test_larger(visit):
    here = visit("Make it larger while the VM runs")
    here.start(sectors=SECTORS)
    try_out(here.vm)
    waiting = here.vm.begin("resize", sectors=TWICE)
    here.go_on()
    here.vm.result("resize", PATIENCE, waiting)
    assert here.vm.do("grow", files=50)["equal"] == "yes"
    here.leave()


def test_restart(visit):
    """Written while the program is killed and started again, read and compared."""
    here = visit("Restart the program while the VM runs")
    here.start(sectors=SECTORS)
    busy = here.vm.begin_running("verify", seconds=4, threads=4)
    here.go_on()
    said = here.vm.result("verify", PATIENCE, busy)
    assert disk.faults(said) == {} and int(said["writes"]) > 0, said
    here.terminal.wait_for(re.compile("running: running.*running: running", re.S))
    here.leave()


def service(manager: systemd.Manager) -> dict[str, str]:
    """Properties of the disk's service."""
    said = manager.run("systemctl", "show", "vhostx-blk@data.service")
    assert said.returncode == 0, said.stderr
    return dict(line.split("=", 1) for line in said.stdout.splitlines() if "=" in line)


def test_systemd(visit, folder, installed):
    """By a systemd of its own, which knows what `meson install` brought."""
    missing = systemd.what_is_missing(folder)
    if missing:
        pytest.skip(missing)
    (folder / "run").mkdir()
    with systemd.Manager(folder / "run", installed) as manager:
        here = visit("From boot on: systemd", prefix=manager.inside())
        here.start(name="vda", sectors=SECTORS, queues="2")
        try_out(here.vm)
        before = service(manager)["MainPID"]
        descriptors = manager.run("sh", "-c", f"ls -l /proc/{before}/fd").stdout
        assert "[io_uring]" in descriptors, "what the unit forbids keeps io_uring away"
        waiting = here.vm.begin("resize", sectors=TWICE)
        here.go_on()
        here.vm.result("resize", PATIENCE, waiting)
        assert here.vm.do("grow", files=50)["equal"] == "yes"
        assert service(manager)["MainPID"] not in ("0", before)
        crashes_and_comes_again(manager, here.vm)
        here.finish()
        assert manager.run("systemctl", "stop", "vhostx-blk@data.socket").returncode == 0
        after = service(manager)
        assert (after["ActiveState"], after["Result"]) == ("inactive", "success")


def crashes_and_comes_again(manager: systemd.Manager, vm: Machine) -> None:
    busy = vm.begin_running("verify", seconds=2, threads=2)
    before = service(manager)
    assert manager.run("systemctl", "kill", "--signal=KILL", "vhostx-blk@data.service").returncode == 0
    assert disk.faults(vm.result("verify", PATIENCE, busy)) == {}
    after = service(manager)
    assert after["MainPID"] not in ("0", before["MainPID"]) and after["NRestarts"] == "1", (before, after)


def test_entropy(visit):
    """/dev/hwrng of a real guest; see test/wire/test_programs.py for each case of it."""
    here = visit("Write a device", step="rng", options={"bytes": 65536})
    here.go_on()
    here.terminal.wait_for("waiting for a front-end")  # as a person does who goes to another terminal
    here.go_on()
    said = here.vm.result("rng", PATIENCE)
    assert (said["bytes"], said["values"]) == ("65536", "256"), said
    assert said["current"].startswith("virtio_rng"), said
    here.finish()
    here.terminal.send("kill %%; wait %% || echo IT-ENDED")
    here.terminal.wait_for("IT-ENDED")


# -- libvirt ---------------------------------------------------------------------------------------

DOMAIN = """<domain type='{accel}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
<name>vm</name><memory unit='MiB'>256</memory><vcpu>2</vcpu>{memory}
<os><type arch='x86_64' machine='q35'>hvm</type>
<kernel>{folder}/vmlinuz</kernel><initrd>{folder}/initramfs-disk</initrd><cmdline>{command_line}</cmdline></os>
<devices>{disk}<serial type='file'><source path='{console}'/></serial></devices>
<qemu:commandline>{more}</qemu:commandline>
</domain>"""
SOCKET_OF_THE_UNIT = "/run/vhostx/blk-data.sock"


@pytest.fixture
def domain(folder) -> str:
    """A whole VM with what the page says, but for the socket's place."""
    memory, its_disk = blocks("libvirt", "xml")
    assert its_disk.count(f"'{SOCKET_OF_THE_UNIT}'") == 1
    props = guest.always_props(guest.DISTRIBUTION, None)
    words = [word for name, value in props.items() for word in ("-global", f"vhost-user-blk-pci.{name}={value}")]
    accel = guest.accelerator()
    return DOMAIN.format(
        accel={"tcg": "qemu"}.get(accel, accel), memory=memory, folder=guest.make_image(),
        disk=its_disk.replace(SOCKET_OF_THE_UNIT, str(folder / "disk.sock")),
        command_line=guest.command_line({"do": "disk,tree", "files": 50}), console=folder / "console",
        more="".join(f"<qemu:arg value='{word}'/>" for word in words))


def test_libvirt_accepts_the_xml(domain, folder):
    """By its own schema and its own parser."""
    (folder / "vm.xml").write_text(domain, encoding="utf-8")
    for words in (["virt-xml-validate", "vm.xml", "domain"],
                  ["virsh", "--connect", "test:///default", "define", "--validate", "vm.xml"]):
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_libvirt_gives_a_vm_the_disk(domain, folder):
    """A real one, with the distribution's QEMU, and no daemon."""
    missing = libvirt.what_is_missing()
    if missing:
        pytest.fail(missing, pytrace=False)
    disk.sparse_file(folder / "disk.img", GIB)
    program = [paths.build_dir() / "app" / "vhostx-blk", "--socket-path", folder / "disk.sock",
               "--blk-file", folder / "disk.img", "--num-queues", "2"]
    with Process(program, folder / "blk.log", stdin="null") as back:
        back.wait_for("waiting for a front-end")
        with libvirt.Domain(domain, folder) as vm:
            vm.wait_for("guest running", PATIENCE)
            with Console(folder / "console", folder) as console:
                said = console.result("disk", PATIENCE)
                assert (said["name"], said["sectors"], said["queues"]) == ("vda", SECTORS, "2")
                said = console.result("tree", PATIENCE)
                assert (said["clean"], said["equal"]) == ("yes", "yes")
            assert vm.is_alive()


# -- the page --------------------------------------------------------------------------------------


def test_no_section_is_left_out():
    tested = set(re.findall(r'visit\("(.+?)"', Path(__file__).read_text(encoding="utf-8")))
    assert tested | set(PLAIN) == {title for title, its_blocks in sections().items() if "sh" in dict(its_blocks)}


def test_every_block_is_of_a_known_language():
    assert {language for its_blocks in sections().values() for language, _ in its_blocks} == LANGUAGES
    assert len(re.findall("^```", PAGE.read_text(encoding="utf-8"), re.M)) == 2 * sum(map(len, sections().values()))


def test_the_walk_shows_the_example_as_it_is():
    example = (paths.repo_root() / "doc" / "examples" / "entropy.c").read_text(encoding="utf-8")
    for block in blocks("Write a device", "c"):
        for line in filter(None, map(str.strip, block.splitlines())):
            assert line in example, line
