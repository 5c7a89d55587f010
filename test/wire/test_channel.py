# SPDX-License-Identifier: BSD-3-Clause
"""Requests of the back-end on the channel we give it, and answers good, late, wrong and none."""

import errno
import os
import socket
import time

import pytest

from channel import AREA, CHANGED, NOTIFIER, Channel
from driver import ALL_PROTOCOL, BASIC_FEATURES
from frontend import HEADER, NEED_REPLY, NOFD, REPLY, VERSION, Feature, Protocol, Request, bits, u64

MTU_THAT_WAITS = 1234  # see backend.c
DUE_MAX = 512


@pytest.fixture
def agreed(driver):
    driver.negotiate()
    return driver.front


@pytest.fixture
def channel(agreed):
    made = Channel(agreed)
    yield made
    made.close()


def changed(back, wait: bool = False) -> int:
    return back.ask(f"changed 0 {int(wait)}")["rc"]


def notifier(back, ring: int, size: int = 4096) -> int:
    return back.ask(f"notifier 0 {ring} {size}")["rc"]


# -- a front-end that does what it should ----------------------------------------------------------


def test_change_without_waiting(back, channel):
    """No answer is wanted, so none is due: whoever does not wait costs the front-end nothing."""
    for _ in range(3):
        assert changed(back) == 0
        assert channel.receive() == (CHANGED, VERSION, b"", [])
    assert channel.is_silent()


@pytest.mark.parametrize("answer, rc", [(0, 0), (1, -errno.EPROTO), (1 << 63, -errno.EPROTO)])
def test_change_with_waiting(back, channel, answer, rc):
    """The main conversation goes on meanwhile: the front-end may need it to answer."""
    mark = back.mark()
    back.begin("changed 0 1")
    assert channel.receive() == (CHANGED, VERSION | NEED_REPLY, b"", [])
    channel.front.sync()
    channel.answer(CHANGED, answer)
    assert back.finish("changed 0 1")["rc"] == rc
    if answer:  # stderr may lag behind the answer on stdout
        back.wait_log("the front-end refused BACKEND_CONFIG_CHANGE_MSG", mark)
    else:
        assert "refused" not in back.log(mark)
    assert changed(back) == 0
    channel.receive()


def test_the_callback_must_not_wait(back, channel):
    mark = back.mark()
    channel.front.do(Request.NET_SET_MTU, u64(MTU_THAT_WAITS))
    back.wait_log(f"event port0 waited {-errno.EDEADLK}", mark)
    assert channel.is_silent()


def test_host_notifier(back, channel):
    assert notifier(back, 1, 4096) == 0
    request, flags, payload, fds = channel.receive()
    assert (request, flags) == (NOTIFIER, VERSION | NEED_REPLY)
    assert AREA.unpack(payload) == (1, 4096, 8192)
    assert len(fds) == 1 and "vhostx-test-notifier" in os.readlink(f"/proc/self/fd/{fds[0]}")
    os.close(fds[0])
    channel.answer(NOTIFIER)
    assert notifier(back, 1, 0) == 0
    request, flags, payload, fds = channel.receive()
    assert (request, AREA.unpack(payload), fds) == (NOTIFIER, (1 | NOFD, 0, 0), [])
    channel.answer(NOTIFIER)
    assert changed(back) == 0


def test_refused_host_notifier_is_logged(back, channel):
    mark = back.mark()
    assert notifier(back, 3) == 0
    os.close(channel.receive()[3][0])
    channel.answer(NOTIFIER, 1)
    back.wait_log("the front-end refused BACKEND_VRING_HOST_NOTIFIER_MSG for ring 3", mark)
    channel.front.sync()


def test_answers_belong_to_their_questions(back, channel):
    """Three are due; the one that somebody waits for is the last."""
    mark = back.mark()
    for ring in (0, 1):
        assert notifier(back, ring) == 0
    back.begin("changed 0 1")
    for want in (NOTIFIER, NOTIFIER, CHANGED):
        request, _, _, fds = channel.receive()
        assert request == want
        for fd in fds:
            os.close(fd)
    channel.send_bytes(b"".join(HEADER.pack(request, VERSION | REPLY, 8) + u64(value) for
                                request, value in ((NOTIFIER, 0), (NOTIFIER, 1), (CHANGED, 0))))
    assert back.finish("changed 0 1")["rc"] == 0
    assert "for ring 1" in back.log(mark) and "for ring 0" not in back.log(mark)


def test_a_new_channel_replaces_the_old_one(back, channel):
    back.begin("changed 0 1")
    channel.receive()
    other = Channel(channel.front)
    assert back.finish("changed 0 1")["rc"] == -errno.ENOTCONN
    channel.wait_closed()
    assert changed(back) == 0
    assert other.receive()[0] == CHANGED
    other.close()


# -- what was not agreed on ------------------------------------------------------------------------


def test_nobody_listens(back, agreed):
    assert changed(back) == changed(back, wait=True) == -errno.ENOTCONN
    assert notifier(back, 0) == -errno.ENOTCONN


def test_nobody_is_connected(back):
    assert changed(back) == changed(back, wait=True) == notifier(back, 0) == -errno.ENOTCONN


@pytest.mark.parametrize("ring", [4, 255, 256, 65535])
def test_no_such_ring(back, channel, ring):
    assert notifier(back, ring) == -errno.EINVAL
    assert channel.is_silent()


def agree(front, without: int, features: int = BASIC_FEATURES) -> None:
    front.send(Request.SET_OWNER)
    front.do(Request.SET_PROTOCOL_FEATURES, u64(ALL_PROTOCOL & ~without))
    front.do(Request.SET_FEATURES, u64(features))


@pytest.mark.parametrize("bit", [Protocol.HOST_NOTIFIER, Protocol.BACKEND_SEND_FD, None])
def test_host_notifier_not_agreed_on(back, front, bit):
    without_version_1 = BASIC_FEATURES & ~bits(Feature.VERSION_1)
    agree(front, bits(bit) if bit else 0, BASIC_FEATURES if bit else without_version_1)
    channel = Channel(front)
    assert notifier(back, 0) == -errno.ENOTSUP
    assert channel.is_silent()
    channel.close()


def test_change_without_a_configuration(back, front):
    agree(front, bits(Protocol.CONFIG))
    channel = Channel(front)
    assert changed(back) == -errno.ENOTSUP
    assert channel.is_silent()
    channel.close()


def test_without_acknowledgements(back, front):
    """Nothing asks for an answer; nobody can wait for one."""
    agree(front, bits(Protocol.REPLY_ACK))
    channel = Channel(front)
    assert changed(back, wait=True) == -errno.ENOTSUP
    assert changed(back) == 0
    assert channel.receive()[:2] == (CHANGED, VERSION)
    assert notifier(back, 0) == 0
    request, flags, _, fds = channel.receive()
    assert (request, flags) == (NOTIFIER, VERSION)
    os.close(fds[0])
    channel.close()


def test_a_pipe_is_kept_silent(back, agreed):
    """User-mode Linux gives one, and would take its end for something to read."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    agreed.do(Request.SET_BACKEND_REQ_FD, b"", [writing])
    os.close(writing)
    assert changed(back) == changed(back, wait=True) == notifier(back, 0) == -errno.ENOTCONN
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
    os.close(reading)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_no_stream(back, agreed, kind):
    channel = Channel(agreed, kind)
    assert changed(back) == -errno.ENOTCONN
    channel.close()


# -- a front-end that does not ---------------------------------------------------------------------


def test_one_that_never_answers(back, channel):
    """The one who waits gives up; a second one need not try; what comes late is taken."""
    began = time.monotonic()
    back.begin("changed 0 1")
    channel.receive()
    assert back.finish("changed 0 1")["rc"] == -errno.ETIMEDOUT
    assert 4.5 < time.monotonic() - began < 15
    back.begin("changed 0 1")
    channel.receive()
    channel.answer(CHANGED, 1)  # to the first
    channel.answer(CHANGED, 0)
    assert back.finish("changed 0 1")["rc"] == 0


def test_answers_due_are_bounded(back, channel):
    mark = back.mark()
    for _ in range(DUE_MAX):
        assert notifier(back, 0, 0) == 0
        channel.receive()
    assert notifier(back, 0, 0) == -errno.EAGAIN
    assert "the front-end does not read our requests" in back.log(mark)
    assert changed(back) == 0, "one that needs no answer goes out"
    assert channel.receive()[0] == CHANGED
    channel.answer(NOTIFIER)
    channel.front.sync()
    assert notifier(back, 0, 0) == 0


def test_one_that_does_not_read(back, channel):
    """Nothing waits for room; once there is some the channel goes on, and not in mid-message."""
    mark = back.mark()
    sent = 0
    while (rc := changed(back)) == 0:
        sent += 1
        assert sent < 100_000
    assert rc == -errno.EAGAIN
    assert "BACKEND_CONFIG_CHANGE_MSG cannot be sent: the front-end does not read" in back.log(mark)
    channel.front.sync()
    for _ in range(sent):
        assert channel.receive() == (CHANGED, VERSION, b"", [])
    assert changed(back) == 0
    assert channel.receive() == (CHANGED, VERSION, b"", [])


def test_one_that_hangs_up(back, channel):
    back.begin("changed 0 1")
    channel.receive()
    channel.close()
    assert back.finish("changed 0 1")["rc"] == -errno.ENOTCONN
    channel.front.sync()
    assert changed(back) == -errno.ENOTCONN


def test_one_that_disconnects(back, channel):
    back.begin("changed 0 1")
    channel.receive()
    channel.front.close()
    assert back.finish("changed 0 1")["rc"] == -errno.ENOTCONN


LIES = {
    "not_asked": (False, HEADER.pack(CHANGED, VERSION | REPLY, 8) + u64(0), "nobody asked for"),
    "other_request": (True, HEADER.pack(NOTIFIER, VERSION | REPLY, 8) + u64(0),
                      "an answer to request 3, and one to BACKEND_CONFIG_CHANGE_MSG was due"),
    "unknown_request": (True, HEADER.pack(0xFFFFFFFF, VERSION | REPLY, 8) + u64(0), "was due"),
    "empty": (True, HEADER.pack(CHANGED, VERSION | REPLY, 0), "of 0 bytes"),
    "short": (True, HEADER.pack(CHANGED, VERSION | REPLY, 4) + bytes(4), "of 4 bytes"),
    "long": (True, HEADER.pack(CHANGED, VERSION | REPLY, 16) + bytes(16), "of 16 bytes"),
    "huge": (True, HEADER.pack(CHANGED, VERSION | REPLY, 0xFFFFFFFF), "larger than any we know"),
    "request": (True, HEADER.pack(CHANGED, VERSION, 8) + u64(0), "not marked as a reply"),
    "version": (True, HEADER.pack(CHANGED, 2 | REPLY, 8) + u64(0), "version is not 1"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_wrong_answer_ends_the_channel_only(back, channel, lie):
    asked, raw, reason = LIES[lie]
    mark = back.mark()
    if asked:
        back.begin("changed 0 1")
        channel.receive()
    channel.send_bytes(raw)
    if asked:
        assert back.finish("changed 0 1")["rc"] == -errno.ENOTCONN
    log = back.wait_log("the channel for our requests is closed", mark)
    assert reason in log
    channel.wait_closed()
    channel.front.sync()
    assert changed(back) == -errno.ENOTCONN


def test_descriptors_with_an_answer(back, channel):
    nr_fds = back.nr_fds()
    back.begin("changed 0 1")
    channel.receive()
    channel.send(CHANGED, u64(0), fds=[channel.front.eventfd()] * 3)
    assert back.finish("changed 0 1")["rc"] == -errno.ENOTCONN
    channel.front.sync()
    assert back.nr_fds() == nr_fds - 1, "the channel, and nothing else, is gone"


@pytest.mark.parametrize("length", [1, 11, 12, 19])
def test_half_an_answer(back, channel, length):
    """Nobody waits for the rest but the one who asked; the end of the stream frees that one."""
    whole = HEADER.pack(CHANGED, VERSION | REPLY, 8) + u64(0)
    back.begin("changed 0 1")
    channel.receive()
    channel.send_bytes(whole[:length])
    channel.front.sync()
    channel.send_bytes(whole[length:])
    assert back.finish("changed 0 1")["rc"] == 0
    back.begin("changed 0 1")
    channel.receive()
    channel.send_bytes(whole[:length])
    channel.close()
    assert back.finish("changed 0 1")["rc"] == -errno.ENOTCONN


def test_a_flood_of_answers(back, channel):
    flood = (HEADER.pack(CHANGED, VERSION | REPLY, 8) + u64(0)) * 1000
    channel.sock.setblocking(False)
    try:
        while True:
            channel.sock.send(flood)
    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
        pass
    channel.front.sync()
    assert changed(back) == -errno.ENOTCONN


def test_channels_again_and_again(back, agreed):
    channel = Channel(agreed)
    nr_fds = back.nr_fds()
    for _ in range(200):
        channel.close()
        channel = Channel(agreed)
    agreed.sync()
    assert back.nr_fds() == nr_fds
    channel.close()
