# SPDX-License-Identifier: BSD-3-Clause
"""Every request, made right and made wrong in every way the schema knows.

The cases come from the library's own table (schema_dump). That the table says what the
specification says is checked first, against SPEC below.
"""

import json
import os
import subprocess
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pytest

from driver import ALL_PROTOCOL, BASIC_FEATURES, MEMORY_NAME
from frontend import NOFD, PAYLOAD_MAX, Protocol, Request, addr, config, inflight
from frontend import iotlb, log_base, mem_reg
from frontend import mem_table, message, region, state, u64

# The specification's table: bytes of payload, descriptors, reply, protocol feature.
SPEC = {
    "GET_FEATURES": (0, "none", "body", None),
    "SET_FEATURES": (8, "none", "ack", None),
    "SET_OWNER": (0, "none", "ack", None),
    "RESET_OWNER": (0, "none", "ack", None),
    "SET_MEM_TABLE": ("8+32n", "one_per_region", "ack", None),
    "SET_LOG_BASE": (16, "one", "body", Protocol.LOG_SHMFD),
    "SET_LOG_FD": (0, "one", "ack", None),
    "SET_VRING_NUM": (8, "none", "ack", None),
    "SET_VRING_ADDR": (40, "none", "ack", None),
    "SET_VRING_BASE": (8, "none", "ack", None),
    "GET_VRING_BASE": (8, "none", "body", None),
    "SET_VRING_KICK": (8, "one_unless_nofd", "ack", None),
    "SET_VRING_CALL": (8, "one_unless_nofd", "ack", None),
    "SET_VRING_ERR": (8, "one_unless_nofd", "ack", None),
    "GET_PROTOCOL_FEATURES": (0, "none", "body", None),
    "SET_PROTOCOL_FEATURES": (8, "none", "ack", None),
    "GET_QUEUE_NUM": (0, "none", "body", Protocol.MQ),
    "SET_VRING_ENABLE": (8, "none", "ack", None),
    "SEND_RARP": (8, "none", "ack", Protocol.RARP),
    "NET_SET_MTU": (8, "none", "ack", Protocol.MTU),
    "SET_BACKEND_REQ_FD": (0, "one", "ack", Protocol.BACKEND_REQ),
    "IOTLB_MSG": (32, "none", "ack", None),
    "GET_CONFIG": ("12+n", "none", "body", Protocol.CONFIG),
    "SET_CONFIG": ("12+n", "none", "ack", Protocol.CONFIG),
    "POSTCOPY_ADVISE": (0, "none", "body", Protocol.PAGEFAULT),
    "POSTCOPY_LISTEN": (0, "none", "ack", Protocol.PAGEFAULT),
    "POSTCOPY_END": (0, "none", "ack", Protocol.PAGEFAULT),
    "GET_INFLIGHT_FD": (24, "none", "body", Protocol.INFLIGHT_SHMFD),
    "SET_INFLIGHT_FD": (24, "one", "ack", Protocol.INFLIGHT_SHMFD),
    "RESET_DEVICE": (0, "none", "ack", Protocol.RESET_DEVICE),
    "GET_MAX_MEM_SLOTS": (0, "none", "body", Protocol.CONFIGURE_MEM_SLOTS),
    "ADD_MEM_REG": (40, "one", "ack", Protocol.CONFIGURE_MEM_SLOTS),
    "REM_MEM_REG": (40, "at_most_one", "ack", Protocol.CONFIGURE_MEM_SLOTS),
    "SET_STATUS": (8, "none", "ack", Protocol.STATUS),
    "GET_STATUS": (0, "none", "body", Protocol.STATUS),
    "SET_DEVICE_STATE_FD": (8, "one", "body", Protocol.DEVICE_STATE),
    "CHECK_DEVICE_STATE": (0, "none", "body", Protocol.DEVICE_STATE),
}


@lru_cache
def schema() -> dict[str, dict]:
    """The library's table by name; empty when it is not built."""
    folder = Path(os.environ["VHOSTX_BUILD"]) / "test" / "unit"
    for program in sorted(folder.rglob("schema_dump")):
        dump = subprocess.run([program], capture_output=True, check=True, timeout=30).stdout
        return {entry["name"]: entry for entry in json.loads(dump)}
    return {}


def test_the_table_is_the_specification():
    assert schema(), "schema_dump is not built: ninja -C build"
    rules = {"mem_table": "8+32n", "config": "12+n"}
    told = {name: (rules.get(entry["size"]["rule"], entry["size"].get("bytes")), entry["fds"],
                   entry["reply"], entry["gate"]) for name, entry in schema().items()}
    assert told == SPEC
    assert {name: entry["request"] for name, entry in schema().items()} == {
        name: Request[name].value for name in SPEC}


# -- messages --------------------------------------------------------------------------------------


@dataclass
class Parts:
    """A message before it is sent. `fds`: "eventfd", "memory" or "socket", a word for each."""

    name: str
    payload: bytes = b""
    fds: list[str] = field(default_factory=list)

    @property
    def request(self) -> int:
        return Request[self.name]


def legal(name: str) -> Parts:
    """A message that a device whose rings are stopped accepts."""
    memory_region = region(0x9_0000_0000, 4096, 0x6000_0000_0000)
    payloads = {
        "SET_FEATURES": u64(BASIC_FEATURES),
        "SET_MEM_TABLE": mem_table(memory_region, region(0x9_0001_0000, 4096, 0x6000_0001_0000)),
        "SET_LOG_BASE": log_base(4096),
        "SET_VRING_NUM": state(1, 256),
        "SET_VRING_ADDR": addr(1, 0x1000, 0x2000, 0x3000),
        "SET_VRING_BASE": state(1, 0),
        "GET_VRING_BASE": state(1),
        "SET_VRING_KICK": u64(1),
        "SET_VRING_CALL": u64(1),
        "SET_VRING_ERR": u64(1),
        "SET_PROTOCOL_FEATURES": u64(ALL_PROTOCOL),
        "SET_VRING_ENABLE": state(1, 1),
        "SEND_RARP": bytes.fromhex("5254000000010000"),
        "NET_SET_MTU": u64(1500),
        "ADD_MEM_REG": mem_reg(memory_region),
        "REM_MEM_REG": mem_reg(memory_region),
        "SET_STATUS": u64(1),
        "IOTLB_MSG": iotlb(2, 0, 4096, 0x6000_0000_0000, 3),
        "GET_CONFIG": config(0, bytes(12)),
        "GET_INFLIGHT_FD": inflight(2, 256),
        "SET_INFLIGHT_FD": inflight(2, 8, 4096),
        "SET_CONFIG": config(0, bytes(6)),
        "SET_DEVICE_STATE_FD": state(0, 0),
    }
    fds = {
        "SET_MEM_TABLE": ["memory", "memory"],
        "SET_LOG_BASE": ["memory"],
        "SET_LOG_FD": ["eventfd"],
        "SET_INFLIGHT_FD": ["memory"],
        "ADD_MEM_REG": ["memory"],
        "SET_VRING_KICK": ["eventfd"],
        "SET_VRING_CALL": ["eventfd"],
        "SET_VRING_ERR": ["eventfd"],
        "SET_BACKEND_REQ_FD": ["socket"],
        "SET_DEVICE_STATE_FD": ["socket"],
    }
    return Parts(name, payloads.get(name, b""), fds.get(name, []))


def wrong_sizes(name: str) -> dict[str, Parts]:
    """Payloads of another length than the table says, all short enough to be read."""
    good = legal(name)
    length = len(good.payload)
    lengths = {"empty": 0, "one_less": length - 1, "one_more": length + 1, "twice": 2 * length,
               "largest": PAYLOAD_MAX}
    cases = {case: Parts(name, good.payload.ljust(nr, b"\0")[:nr], good.fds)
             for case, nr in lengths.items() if nr >= 0 and nr != length}
    if name == "SET_MEM_TABLE":
        head = good.payload[:8]
        cases |= {"half_a_head": Parts(name, head[:4], good.fds),
                  "no_regions": Parts(name, head, good.fds),
                  "one_region_too_few": Parts(name, good.payload[:-32], good.fds),
                  "more_regions_than_bytes": Parts(name, mem_table(nregions=0x8000_0000), []),
                  "too_many_regions": Parts(name, mem_table(*[bytes(32)] * 31, nregions=33),
                                            good.fds)}
        del cases["largest"]  # room for regions that do not count: User-mode Linux sends such
    if name in ("GET_CONFIG", "SET_CONFIG"):
        cases |= {"beyond_the_space": Parts(name, config(250, bytes(7))),
                  "more_than_there_is": Parts(name, config(0, bytes(257))),
                  "offset_wraps": Parts(name, config(0xFFFFFFFF, bytes(2))),
                  "size_lies": Parts(name, config(0, bytes(12), size=0xFFFFFFF4))}
    return cases


def wrong_fds(name: str) -> dict[str, Parts]:
    """Another number of descriptors than the table says."""
    good = legal(name)
    kind = good.fds[0] if good.fds else "eventfd"
    counts = {"none": [1, 2, 32], "one": [0, 2, 32], "one_unless_nofd": [0, 2, 32],
              "one_per_region": [0, 1, 3, 32], "at_most_one": [2, 32]}[schema()[name]["fds"]]
    cases = {f"{nr}_fds": Parts(name, good.payload, [kind] * nr) for nr in counts}
    if schema()[name]["fds"] == "one_unless_nofd":
        cases["nofd_and_1_fd"] = Parts(name, u64(1 | NOFD), [kind])
    return cases


def cases_of(make) -> list:
    return [pytest.param(parts, id=f"{name}-{case}") for name in schema()
            for case, parts in make(name).items()]


# -- sending ---------------------------------------------------------------------------------------


def negotiate(front, protocol: int = ALL_PROTOCOL) -> None:
    front.send(Request.SET_OWNER)
    front.send(Request.SET_PROTOCOL_FEATURES, u64(protocol))
    front.do(Request.SET_FEATURES, u64(BASIC_FEATURES))


@pytest.fixture
def negotiated(front):
    """A front-end that has agreed on everything with us."""
    negotiate(front)
    return front


def make_memory(front) -> int:
    fd = front.own(os.memfd_create(MEMORY_NAME, os.MFD_CLOEXEC))
    os.ftruncate(fd, 4096)
    return fd


def send(front, parts: Parts, need_reply: bool) -> None:
    front.send(parts.request, parts.payload, descriptors(front, parts.fds), need_reply)


def descriptors(front, kinds: list[str]) -> list[int]:
    make = {"eventfd": front.eventfd, "memory": lambda: make_memory(front), "socket": front.channel}
    return [make[kind]() for kind in kinds]


def must_be_refused(back, front, parts: Parts, need_reply: bool) -> None:
    """Acked with 1 where it can be heard, else the end; named in the log; nothing kept."""
    mark, nr_fds = back.mark(), back.nr_fds()
    send(front, parts, need_reply)
    if need_reply and schema()[parts.name]["reply"] == "ack":
        assert front.read_reply(parts.request) == u64(1)
        assert back.nr_fds() == nr_fds, "a refused message left descriptors"
        front.sync()
    else:
        front.wait_dropped()
    assert f"refused: {parts.name}: " in back.wait_log("refused: ", mark)


# -- the tests -------------------------------------------------------------------------------------

need_reply_or_not = pytest.mark.parametrize("need_reply", [False, True],
                                            ids=["plain", "need_reply"])


# The configuration of a network device is read-only: test_config.py. What its bursts write is not
# logged, so it does not offer that: test_dirty_log.py. Packets are not tracked: test_inflight.py.
# Postcopy's have an order: test_postcopy.py. IOTLB_MSG wants another port: test_iommu.py.
NOT_OF_A_NETWORK_DEVICE = {"SET_CONFIG", "SET_LOG_BASE", "GET_INFLIGHT_FD", "SET_INFLIGHT_FD", "IOTLB_MSG",
                           "POSTCOPY_ADVISE", "POSTCOPY_LISTEN", "POSTCOPY_END"}


@need_reply_or_not
@pytest.mark.parametrize("name", [name for name in schema()
                                  if name not in NOT_OF_A_NETWORK_DEVICE])
def test_legal(negotiated, name, need_reply):
    """Exactly one reply, or none at all; and the conversation goes on."""
    front, parts = negotiated, legal(name)
    send(front, parts, need_reply)
    if schema()[name]["reply"] == "body":
        front.read_reply(parts.request)
    elif need_reply:
        assert front.read_reply(parts.request) == u64(0)
    front.sync()
    assert front.is_silent(0.005)


@need_reply_or_not
@pytest.mark.parametrize("parts", cases_of(wrong_sizes))
def test_wrong_size(back, negotiated, parts, need_reply):
    must_be_refused(back, negotiated, parts, need_reply)


@need_reply_or_not
@pytest.mark.parametrize("parts", cases_of(wrong_fds))
def test_wrong_number_of_descriptors(back, negotiated, parts, need_reply):
    must_be_refused(back, negotiated, parts, need_reply)


@pytest.mark.parametrize("size", [PAYLOAD_MAX + 1, 0xFFFFFFFF], ids=["max+1", "4GiB"])
@pytest.mark.parametrize("name", list(schema()))
def test_a_size_beyond_all_bounds(back, negotiated, name, size):
    """The stream is of no use after that, whatever the front-end asked for."""
    front, parts, mark = negotiated, legal(name), back.mark()
    front.send_bytes(message(parts.request, parts.payload, need_reply=True, size=size),
                     descriptors(front, parts.fds))
    front.wait_dropped()
    assert f"{name} ({int(parts.request)})" in back.wait_log("larger than any we know", mark)


GATED = [name for name, entry in schema().items() if entry["gate"] is not None]


@need_reply_or_not
@pytest.mark.parametrize("name", GATED)
def test_protocol_feature_not_agreed_on(back, front, name, need_reply):
    gate = Protocol(schema()[name]["gate"])
    negotiate(front, ALL_PROTOCOL & ~(1 << gate))
    mark = back.mark()
    must_be_refused(back, front, legal(name), need_reply)
    assert f"protocol feature {gate.name} was not agreed on" in back.log(mark)


STARTED = {
    "SET_VRING_NUM": (state(1, 128), "is started"),
    "SET_VRING_BASE": (state(1, 5), "is started"),
    "SET_FEATURES": (u64(BASIC_FEATURES | 1), "changed while rings are started"),
    "SET_VRING_ADDR": (addr(1, 0x1000, 0x2000, 0x3000), "is running"),
}


@need_reply_or_not
@pytest.mark.parametrize("name", STARTED)
def test_not_while_the_ring_runs(back, driver, name, need_reply):
    driver.start()
    payload, reason = STARTED[name]
    mark = back.mark()
    must_be_refused(back, driver.front, Parts(name, payload), need_reply)
    assert reason in back.log(mark)
    if need_reply:
        assert back.ring(1)["running"]


WITH_INDEX = {
    "SET_VRING_NUM": lambda ring: state(ring, 256),
    "SET_VRING_ADDR": lambda ring: addr(ring, 0x1000, 0x2000, 0x3000),
    "SET_VRING_BASE": lambda ring: state(ring, 0),
    "GET_VRING_BASE": state,
    "SET_VRING_ENABLE": lambda ring: state(ring, 1),
}


NO_RINGS = [4, 255, 256, 0xFFFF, 0x10000, 0x10001, 0x80000000, 0xFFFFFFFF]


@need_reply_or_not
@pytest.mark.parametrize("ring", NO_RINGS, ids=hex)
@pytest.mark.parametrize("name", WITH_INDEX)
def test_no_such_ring(back, negotiated, name, ring, need_reply):
    """The index is judged as the 32 bits it has: 0x10001 is not ring 1."""
    must_be_refused(back, negotiated, Parts(name, WITH_INDEX[name](ring)), need_reply)


@need_reply_or_not
@pytest.mark.parametrize("ring", [4, 0x7F, 0xFF], ids=hex)
@pytest.mark.parametrize("nofd", [0, NOFD], ids=["fd", "nofd"])
@pytest.mark.parametrize("name", ["SET_VRING_KICK", "SET_VRING_CALL", "SET_VRING_ERR"])
def test_no_such_ring_for_a_descriptor(back, negotiated, name, ring, nofd, need_reply):
    fds = [] if nofd else ["eventfd"]
    must_be_refused(back, negotiated, Parts(name, u64(ring | nofd), fds), need_reply)


UNKNOWN = [*(set(range(50)) - set(Request)), 0x80000005, 0xFFFFFFFF]


@pytest.mark.parametrize("request_id", UNKNOWN, ids=str)
def test_unknown_request(back, negotiated, request_id):
    """Refused, and if that cannot be said: the end."""
    front, mark = negotiated, back.mark()
    assert front.ack(request_id, b"12345678", [front.eventfd()]) == 1
    front.sync()
    front.send(request_id, b"12345678", [front.eventfd()])
    front.wait_dropped()
    assert back.wait_log("refused: ", mark).count(f"request {request_id} is not one we know") >= 2
