# SPDX-License-Identifier: BSD-3-Clause
"""The byte stream: cut anywhere, glued together, stopped half-way, or ended at the wrong moment."""

import os
import socket
import struct
import time

import pytest

from backend import MAIN, OTHER
from driver import MEMORY_NAME, Memory, proves_delivery
from frontend import HEADER, NEED_REPLY, PAYLOAD_MAX, VERSION, Dropped, Listener, Request, message
from frontend import mem_table, state, u64

SILENCE_SECONDS = 5  # a front-end that sent half a message has so long for the rest


# -- how the stream is cut -------------------------------------------------------------------------


def test_a_byte_at_a_time(front):
    for byte in message(Request.SET_VRING_NUM, state(0, 256), need_reply=True):
        front.send_bytes(bytes([byte]))
    assert front.read_reply(Request.SET_VRING_NUM) == u64(0)


def test_a_byte_at_a_time_with_a_descriptor_on_the_first(front, back):
    kick = front.eventfd()
    raw = message(Request.SET_VRING_KICK, u64(0), need_reply=True)
    front.send_bytes(raw[:1], [kick])
    for byte in raw[1:]:
        front.send_bytes(bytes([byte]))
    assert front.read_reply(Request.SET_VRING_KICK) == u64(0)
    assert back.holds_eventfd(kick)


def test_two_messages_in_one_write(front):
    front.send_bytes(message(Request.GET_FEATURES) + message(Request.SET_VRING_BASE, state(1, 7),
                                                             need_reply=True))
    assert len(front.read_reply(Request.GET_FEATURES)) == 8
    assert front.read_reply(Request.SET_VRING_BASE) == u64(0)
    assert front.ask_base(1) == 7


def test_a_hundred_messages_in_one_write(front):
    """More than are handled in one turn of the loop."""
    front.send_bytes(b"".join(message(Request.SET_VRING_BASE, state(0, nr)) for nr in range(99)) +
                     message(Request.GET_VRING_BASE, state(0)))
    assert front.read_reply(Request.GET_VRING_BASE) == struct.pack("=II", 0, 98)


def test_descriptors_stay_with_their_message(front, back):
    """Two messages with a descriptor each, written before either is read."""
    first, second = front.eventfd(), front.eventfd()
    front.send(Request.SET_VRING_CALL, u64(0), [first])
    front.send(Request.SET_VRING_CALL, u64(1), [second])
    front.do(Request.SET_VRING_CALL, u64(0x100))
    assert not back.holds_eventfd(first)
    assert back.holds_eventfd(second)


def test_an_empty_list_of_descriptors_is_none(front):
    """virtio-user attaches one to every message."""
    front.sock.sendmsg([message(Request.SET_OWNER, need_reply=True)],
                       [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"")])
    assert front.read_reply(Request.SET_OWNER) == u64(0)


def test_descriptors_in_the_middle_of_a_message(front, back):
    raw = message(Request.SET_VRING_KICK, u64(0), need_reply=True)
    mark = back.mark()
    front.send_bytes(raw[:12])
    front.send_bytes(raw[12:], [front.eventfd()])
    front.wait_dropped()
    back.wait_log("descriptors came in the middle of a message", mark)


# -- headers nobody can follow ---------------------------------------------------------------------


@pytest.mark.parametrize("flags", [0, 2, 3, NEED_REPLY], ids=hex)
def test_another_protocol_version(front, back, flags):
    mark = back.mark()
    front.send_bytes(message(Request.GET_FEATURES, flags=flags))
    front.wait_dropped()
    assert "GET_FEATURES" in back.wait_log("the protocol version is not 1", mark)


def test_a_reply_that_nobody_asked_for(front, back):
    mark = back.mark()
    front.send_bytes(message(Request.SET_OWNER, flags=VERSION | 0x4))
    front.wait_dropped()
    assert "SET_OWNER" in back.wait_log("it is marked as a reply", mark)


@pytest.mark.parametrize("size", [PAYLOAD_MAX + 1, 1 << 20, 0x80000000, 0xFFFFFFFF], ids=hex)
@pytest.mark.parametrize("need_reply", [False, True], ids=["plain", "need_reply"])
def test_a_payload_that_no_message_has(front, back, size, need_reply):
    """Refused when the header is there: we wait for none of those bytes."""
    mark = back.mark()
    front.send_bytes(message(Request.SET_FEATURES, need_reply=need_reply, size=size))
    front.wait_dropped()
    assert "SET_FEATURES" in back.wait_log("larger than any we know", mark)


@pytest.mark.parametrize("nr", [33, 64, 253])
def test_more_descriptors_than_any_message_has(front, back, nr):
    mark = back.mark()
    front.send(Request.SET_MEM_TABLE, mem_table(nregions=nr), [front.eventfd()] * nr)
    front.wait_dropped()
    back.wait_log("more than 32 descriptors", mark)


# -- half a message --------------------------------------------------------------------------------

PARTS = {
    "nothing_yet": b"\x05",
    "half_a_header": HEADER.pack(Request.SET_MEM_TABLE, VERSION, 40)[:7],
    "header": HEADER.pack(Request.SET_MEM_TABLE, VERSION, 40),
    "half_a_payload": message(Request.SET_MEM_TABLE, mem_table(bytes(32)))[:-9],
}


@pytest.mark.parametrize("part", PARTS)
def test_end_in_the_middle(front, back, part):
    mark = back.mark()
    front.send_bytes(PARTS[part], [front.eventfd()])
    front.close()
    seen = back.wait_log("the connection ended", mark)
    assert ("SET_MEM_TABLE" in seen) == (len(PARTS[part]) >= 12)


def test_silence_in_the_middle_delays_nobody(connect, back, bench):
    """Dropped when its time is over; the other port answers at once all the while."""
    mark = back.mark()
    front = connect(MAIN)
    start = time.monotonic()
    front.send_bytes(PARTS["header"], [front.eventfd()])
    worst = 0.0
    while not select_readable(front) and time.monotonic() < start + 2 * SILENCE_SECONDS:
        before = time.monotonic()
        bench.bystander.front.sync()
        proves_delivery(back, bench.bystander, OTHER)
        worst = max(worst, time.monotonic() - before)
        time.sleep(0.01)
    lasted = time.monotonic() - start
    front.wait_dropped()
    assert SILENCE_SECONDS - 0.2 < lasted < SILENCE_SECONDS + 2
    assert worst < 1, f"the other port waited {worst:.2f} s"
    assert "SET_MEM_TABLE" in back.wait_log("it sent part of a message", mark)


def test_silence_before_a_header_is_complete(front, back):
    mark = back.mark()
    front.send_bytes(b"\x01")
    front.wait_dropped(2 * SILENCE_SECONDS)
    back.wait_log("not even a header", mark)


def test_silence_between_messages_is_fine(front):
    front.sync()
    assert front.is_silent(SILENCE_SECONDS + 1)
    front.sync()


def test_writes_that_never_end_with_a_message(front):
    """No message is ever late, although there is always a part of one."""
    raw = message(Request.SET_VRING_BASE, state(0, 3))
    front.send_bytes(raw[:5])
    end = time.monotonic() + SILENCE_SECONDS + 1.5
    while time.monotonic() < end:
        front.send_bytes(raw[5:] + raw[:5])
        time.sleep(0.2)
    front.send_bytes(raw[5:])
    front.sync()


def select_readable(front) -> bool:
    return not front.is_silent(0)


# -- replies ---------------------------------------------------------------------------------------


def test_replies_that_are_not_read(front, back):
    """Whoever asks and never listens is dropped; memory for replies is finite."""
    front.sock.settimeout(5)
    mark = back.mark()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(100000):
            front.send(Request.GET_FEATURES)
    back.wait_log("the reply to GET_FEATURES cannot be sent", mark)


def test_no_reply_unless_asked(front):
    front.send(Request.SET_OWNER)
    front.send(Request.SET_VRING_NUM, state(0, 256))
    assert front.is_silent(0.1)


def test_one_reply_even_if_asked_twice(front):
    """A request with a reply of its own, and NEED_REPLY: that reply and no other."""
    front.send(Request.GET_FEATURES, need_reply=True)
    assert len(front.read_reply(Request.GET_FEATURES)) == 8
    assert front.is_silent(0.1)


# -- connections -----------------------------------------------------------------------------------


def test_a_second_front_end_is_turned_away(driver, connect, back):
    driver.start()
    mark = back.mark()
    connect(MAIN).wait_dropped()
    back.wait_log("was turned away", mark)
    driver.front.sync()
    proves_delivery(back, driver)


def test_the_next_front_end_need_not_wait(connect, back):
    """The one before may be gone without our having read the end of its stream."""
    for _ in range(50):
        front = connect(MAIN)
        front.sync()
        front.close()


def test_reconnect_storm(make_driver, back):
    """200 times: start, deliver, leave; nothing grows."""
    levels = set()
    for _ in range(200):
        driver = make_driver()
        driver.start()
        proves_delivery(back, driver)
        levels.add((back.nr_fds(), back.nr_mappings(MEMORY_NAME)))
        driver.close()
        back.wait_stage("listening")
    assert len(levels) == 1, f"descriptors and mappings changed: {sorted(levels)}"


def test_leave_half_way_storm(connect, back, bench):
    """200 times: memory, descriptors, half a message, gone."""
    memory = Memory()
    for _ in range(200):
        front = connect(MAIN)
        front.send(Request.SET_MEM_TABLE, memory.table(), [memory.fd])
        front.send(Request.SET_VRING_ERR, u64(1), [front.eventfd()])
        front.send_bytes(message(Request.SET_VRING_KICK, u64(0))[:-1], [front.eventfd()])
        front.close()
    memory.close()
    bench.check_nothing_left()


# -- the client role -------------------------------------------------------------------------------


def test_client_connects_when_the_socket_appears(other_backend, folder):
    path = folder / "sock"
    back = other_backend(f"client:2:{path}")
    assert back.port()["stage"] == "listening"
    listener = Listener(path)
    front = listener.accept()
    took = time.monotonic() - listener.since
    front.sync()
    front.close()
    listener.close()
    assert took < 0.5, f"connected only after {took:.2f} s"


def test_client_comes_back(other_backend, folder):
    """The front-end goes with its socket, and returns."""
    path = folder / "sock"
    back = other_backend(f"client:2:{path}")
    nr_fds = None
    for _ in range(5):
        listener = Listener(path)
        front = listener.accept()
        front.sync()
        nr_fds = nr_fds or back.nr_fds()
        assert back.nr_fds() == nr_fds
        front.close()
        listener.close()
        back.wait_stage("listening")


def test_client_with_a_listener_that_hangs_up(other_backend, folder):
    """Not a busy loop: ever less often."""
    listener = Listener(folder / "sock")
    back = other_backend(f"client:2:{folder / 'sock'}")
    end, count = time.monotonic() + 2, 0
    while time.monotonic() < end:
        try:
            listener.accept(0.5).close()
            count += 1
        except socket.timeout:
            pass
    listener.close()
    assert 2 <= count <= 15, f"{count} connections in two seconds"
    assert os.path.exists(f"/proc/{back.pid}")
    back.wait_log("ended soon after it was made")


def test_answers_end_with_the_connection(front):
    front.send(Request.GET_QUEUE_NUM)  # MQ was not agreed on
    with pytest.raises(Dropped):
        front.read_reply(Request.GET_QUEUE_NUM)
