# SPDX-License-Identifier: BSD-3-Clause
"""An application that watches its ring's memory, asks about descriptors and prepares packets."""

import errno
import re

import pytest

from e2e_rig import front_end, program
from lab import paths

pytestmark = pytest.mark.usefixtures("ours_only")

# As in rte_ethdev.h.
RX_AVAIL, RX_DONE, RX_UNAVAIL = 0, 1, 2
TX_DONE, TX_UNAVAIL = 1, 2


def _numbers(said: str, step: str) -> list[int]:
    """The numbers of the line that begins with `step: `."""
    line = re.search(rf"^{re.escape(step)}: (.*)$", said, re.M)
    assert line, f"no line {step!r} in:\n{said}"
    return [int(word) for word in re.findall(r"-?\d+", line.group(1))]


@pytest.mark.parametrize("layout", ["split", "packed"])
def test_an_application_asks(folder, layout):
    keys = {"packed_vq": 1} if layout == "packed" else {}
    with program(folder, "ring_ops.c", paths.vhost_vdev(0, folder / "sock")) as asker:
        asker.wait_for("ready")
        with front_end(folder, paths.virtio_user_vdev(0, folder / "sock", **keys),
                       forward="rxonly") as front:
            asker.wait_for("watching")
            front.command("start tx_first")
            front.stop_forwarding()
            asker.wait_for("reading on")
            front.kill()
        assert asker.wait(15) == 0
        said = asker.output()
    einval, eagain = -errno.EINVAL, -errno.EAGAIN
    assert _numbers(said, "no guest") == [eagain]
    assert f"no guest: count 0 rx {RX_UNAVAIL} tx {TX_UNAVAIL} beyond {RX_UNAVAIL} {TX_UNAVAIL}" in said
    assert _numbers(said, "guest") == [0, RX_AVAIL, TX_DONE, einval, einval]
    # Two good ones; then a checksum of no known protocol, a runt, a second VLAN tag.
    assert [_numbers(said, f"prepare {first}") for first in range(5)] == [
        [2, errno.EINVAL], [1, errno.EINVAL], [0, errno.EINVAL], [0, errno.EINVAL], [0, errno.ENOTSUP]]
    assert _numbers(said, "sent") == [2, 0]
    assert _numbers(said, "may sleep") == [1]
    waiting, *state = _numbers(said, "waiting")
    assert waiting > 0 and state == [RX_DONE, TX_DONE, einval, einval]
    assert _numbers(said, "received") == [32, 1]
    assert _numbers(said, "read on") == [200, eagain]
    assert _numbers(said, "gone") == [0, RX_UNAVAIL, TX_UNAVAIL, RX_UNAVAIL, TX_UNAVAIL]
    assert _numbers(said, "leaked") == [0]
