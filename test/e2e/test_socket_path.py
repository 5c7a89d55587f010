# SPDX-License-Identifier: BSD-3-Clause
"""What may already be at the socket's path, and what the user is told when the port cannot have it."""

import os
import socket

import pytest

from e2e_rig import PcapLoop, back_end, connect, front_end
from lab import paths
from lab.process import ProcessError
from lab.testpmd import Testpmd

pytestmark = pytest.mark.usefixtures("ours_only")

NOBODY = 65534
COUNT = 500


def _refusal(folder, path) -> str:
    """What the driver says when a port on `path` is refused as testpmd starts."""
    with pytest.raises(ProcessError) as refused:
        with back_end(folder, paths.vhost_vdev(0, path)):
            pass
    said = [line.strip() for line in str(refused.value).splitlines()]
    return "\n".join(line for line in said if line.startswith("net_vhostx0:"))


def _make_file(path):
    path.write_text("precious")


def _make_link(path):
    _make_file(path.with_name("target"))
    path.symlink_to(path.with_name("target"))


NOT_SOCKETS = {"file": _make_file, "folder": lambda path: path.mkdir(), "symlink": _make_link,
               "fifo": os.mkfifo}


@pytest.mark.parametrize("kind", NOT_SOCKETS)
def test_what_is_not_a_socket_is_left_alone(folder, kind):
    path = folder / "sock"
    NOT_SOCKETS[kind](path)
    before = _identity(path)
    assert f"{path} exists and is not a socket" in _refusal(folder, path)
    assert _identity(path) == before


def _identity(path) -> tuple[int, int, int]:
    stat = path.lstat()
    return stat.st_ino, stat.st_mode, stat.st_size


def test_a_missing_folder_is_named(folder):
    assert f"mkdir -p {folder}/missing" in _refusal(folder, folder / "missing" / "sock")


def test_a_stale_socket_is_replaced(folder):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "sock"))
    loop = PcapLoop(folder)
    source = loop.prepare([64], COUNT)
    with back_end(folder) as back, \
         front_end(folder, source, paths.virtio_user_vdev(0, folder / "sock")) as front:
        loop.run(back, front)


def test_the_socket_of_a_killed_back_end_is_replaced(folder):
    with back_end(folder) as back:
        back.kill()
    assert (folder / "sock").is_socket()
    with back_end(folder) as back, front_end(folder) as front:
        connect(back, front, front_port=0)


def test_a_socket_in_use_is_refused_and_keeps_working(folder):
    path = folder / "sock"
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(str(path))
        owner.listen()
        said = _refusal(folder, path)
        assert f"process {os.getpid()} (" in said and f"listens on {path} already" in said
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_second_back_end_does_not_disturb_the_first(folder):
    loop = PcapLoop(folder)
    source = loop.prepare([64, 1500], COUNT)
    with back_end(folder) as first, \
         front_end(folder, source, paths.virtio_user_vdev(0, folder / "sock")) as front:
        connect(first, front)
        assert f"process {first.pid} (dpdk-testpmd)" in _refusal(folder, folder / "sock")
        loop.run(first, front)


def test_the_socket_goes_with_its_port(folder):
    with back_end(folder) as back:
        assert (folder / "sock").is_socket()
        assert back.quit() == 0
    assert not (folder / "sock").exists()


def test_a_socket_that_may_not_be_opened_shows_whose_permission_is_missing(folder):
    """The client role as another user, on a socket only root may open."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user: run the tests with sudo")
    if not _may_read(paths.plugin(), NOBODY):
        pytest.skip(f"uid {NOBODY} cannot reach {paths.plugin()}: build in a folder others may enter")
    run = folder / "run"
    for made in (folder, run):
        made.mkdir(exist_ok=True)
        made.chmod(0o755)
    os.chown(run, NOBODY, NOBODY)
    path = folder / "sock"
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(str(path))
        path.chmod(0o600)
        owner.listen()
        nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        with Testpmd([paths.vhost_vdev(0, path, client=1)], folder=folder, name="nobody",
                     wrapper=nobody, env={"XDG_RUNTIME_DIR": str(run)}) as process:
            said = process.wait_for(f"cannot connect to {path}")
    words = [line for line in said.splitlines() if str(path) in line][0]
    assert f"uid {NOBODY}" in words and "600" in words, words


def _may_read(path, uid: int) -> bool:
    """Whether `others` may enter every folder down to the file and read it."""
    folders = all(parent.stat().st_mode & 0o001 for parent in path.parents)
    return path.stat().st_uid == uid or (folders and bool(path.stat().st_mode & 0o004))
