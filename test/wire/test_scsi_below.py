# SPDX-License-Identifier: BSD-3-Clause
"""vhostx-scsi on a disk that hangs, fails, or does things by halves."""

import os
import signal
import time

import pytest

from disk import Below
from scsi import ABORT_TASK, BLOCK, CONTROL, FAILURE, OK, QUERY_TASK, READ_ERROR, REJECTED, REQUEST, RESPONSE_LEN
from scsi import SYNCHRONIZE_CACHE, TEST_UNIT_READY, UNIT_RESET, WRITE_ERROR, driver_on, head, program_on, read, tmf
from scsi import unmap, unmap_list, write, write_same


@pytest.fixture(params=[0, 1], ids=["io_uring", "calls"])
def below(folder, request):
    made = Below(folder)
    made["no_ring"] = request.param
    return made


@pytest.fixture
def disks(folder, images, ring_kind, below):
    with program_on(folder, images, env=below.env()) as prog, driver_on(prog, ring_kind) as driver:
        driver.prog, driver.files = prog, images
        yield driver


def is_silent(disks, ring: int, seconds: float = 0.1) -> bool:
    time.sleep(seconds)
    return disks.rings[ring].used_idx() == disks.nr_seen[ring]


@pytest.mark.parametrize("subtype", [ABORT_TASK, UNIT_RESET])
def test_a_reset_waits_for_the_disk(disks, below, subtype):
    below["hold"] = 1
    reading = disks.post(REQUEST, [head(read(0, 8))], [RESPONSE_LEN, 8 * BLOCK])
    resetting = disks.post(CONTROL, [tmf(subtype, tag=7)], [1], at=2 << 20)
    assert is_silent(disks, CONTROL) and is_silent(disks, REQUEST)
    below["hold"] = 0
    assert disks.wait(CONTROL, resetting).room == bytes([OK])
    assert disks.rings[REQUEST].used_idx() == disks.nr_seen[REQUEST] + 1  # before the answer to the reset
    assert disks.wait(REQUEST, reading).data == disks.files[0].read_bytes()[:8 * BLOCK]


def test_nobody_knows_which_command_runs(disks, below):
    below["hold"] = 1
    reading = disks.post(REQUEST, [head(read(0, 8))], [RESPONSE_LEN, 8 * BLOCK])
    asking = disks.post(CONTROL, [tmf(QUERY_TASK, tag=7)], [1], at=2 << 20)
    assert disks.wait(CONTROL, asking).room == bytes([REJECTED])
    below["hold"] = 0
    assert disks.wait(REQUEST, reading).is_good()
    assert disks.manage(tmf(QUERY_TASK, tag=7)) == bytes([OK])


def test_ends_while_a_reset_waits(disks, below):
    below["hold"] = 1
    reading = disks.post(REQUEST, [head(read(0, 8))], [RESPONSE_LEN, 8 * BLOCK])
    resetting = disks.post(CONTROL, [tmf(UNIT_RESET)], [1], at=2 << 20)
    assert is_silent(disks, CONTROL)
    disks.prog.process.send_signal(signal.SIGTERM)
    assert disks.wait(CONTROL, resetting).room == bytes([FAILURE])
    below["hold"] = 0
    assert disks.wait(REQUEST, reading).is_good()
    assert disks.prog.process.wait(10) == 0
    disks.prog.end_well = lambda: None  # it has


def test_a_disk_that_fails(disks, below):
    before = disks.files[0].read_bytes()
    ranges = unmap_list((0, 8), (100, 8), (200, 8))
    below["fail"] = 1
    assert disks.do(read(0, 8), room=8 * BLOCK).is_refused(READ_ERROR)
    assert disks.do(read(0, 8, flags=8), room=8 * BLOCK).is_refused(READ_ERROR)
    for cdb, data in [(write(0, 8), bytes(8 * BLOCK)), (SYNCHRONIZE_CACHE, b""), (unmap(len(ranges)), ranges),
                      (write_same(0, 8), bytes(BLOCK))]:
        answer = disks.do(cdb, data)
        assert answer.is_refused(WRITE_ERROR) and answer.residual == len(data)
    assert disks.do(TEST_UNIT_READY).is_good()
    below["fail"] = 0
    assert disks.files[0].read_bytes() == before
    assert disks.do(read(0, 8), room=8 * BLOCK).data == before[:8 * BLOCK]
    disks.prog.wait_said("vhostx-scsi: ")


def test_durability(disks, below):
    def figures():
        return below["nr_durable"], below["nr_flushes"]

    assert disks.do(write(0, 1), bytes(BLOCK)).is_good()
    assert figures() == (0, 0)
    assert disks.do(write(0, 1, flags=8), bytes(BLOCK)).is_good()
    assert figures() == (1, 0)
    assert disks.do(SYNCHRONIZE_CACHE).is_good()
    assert figures() == (1, 1)
    assert disks.do(read(0, 1), room=BLOCK).is_good()
    assert figures() == (1, 1)
    assert disks.do(read(0, 1, flags=8), room=BLOCK).is_good()
    assert figures() == (1, 2)
    assert disks.do(b"\x1b\0\0\0\0\0").is_good()  # stop
    assert figures() == (1, 3)


def test_by_halves(disks, below):
    below["part"] = 700
    data = os.urandom(16 * BLOCK)
    assert disks.do(write(5, 16), data).is_good()
    answer = disks.do(read(5, 16), room=17 * BLOCK)
    assert answer.is_good() and answer.data == data and answer.residual == BLOCK
    assert disks.files[0].read_bytes()[5 * BLOCK:21 * BLOCK] == data
