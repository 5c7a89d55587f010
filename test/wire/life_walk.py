# SPDX-License-Identifier: BSD-3-Clause
"""Histories told to a real back-end: does it do what the model says? And the shortest one that fails."""

import copy
import mmap
import os
import random
import re
import struct
import time
from collections import deque
from pathlib import Path

import life_hostile
from backend import BackEnd
from driver import BUFFERS_AT, DESC_F_WRITE, MEMORY_NAME, PACKED_FRESH, RING_SPACE, Memory, PackedRing, Ring
from frontend import Feature, FrontEnd, Protocol, Request, bits, eventfd_count, make_eventfd
from life_model import GuestRing, Model
from life_verbs import LOG_SIZE, NR_RINGS, VERBS, WEIGHTS, Connect, Disconnect, Packets, Renew, SetVringCall, Step
from life_verbs import draw_step

PAGE = 4096
HEADER, FRAME = 12, 60
RX_BUFFER, TX_BUFFER = 256, HEADER + FRAME
RING_BUFFERS = 1024 * RX_BUFFER  # of each ring
_EVENT = re.compile(r"^event port0 (?:queue (\d+) usable|running) ([01])$", re.M)
_SHRINK_SECONDS = 60


class Half:
    """The driver's half of a ring, and what it waits to get back."""

    def __init__(self, memory: Memory, index: int, guest: GuestRing):
        self.guest = guest
        kind = PackedRing if guest.packed else Ring
        self.ring = kind(memory, index, guest.size, guest.place)
        self.ring.clear()
        if guest.packed:
            self.ring.begin_at(guest.at)
        self.ring.buffers_at = BUFFERS_AT + index * RING_BUFFERS
        self.ring.buffer_size = TX_BUFFER if index % 2 else RX_BUFFER
        self.sends = bool(index % 2)
        self.pending: deque[tuple[int, int]] = deque()  # slot, number of the packet

    def next_slot(self) -> int:
        ring = self.ring
        return ring.posted_at & 0x7FFF if self.guest.packed else ring.avail_idx % ring.size

    def post(self, number: int) -> None:
        slot, memory = self.next_slot(), self.ring.memory.map
        at = self.ring.buffer_at(slot)
        memory[at:at + TX_BUFFER] = bytes(HEADER) + frame(number) if self.sends else bytes(TX_BUFFER)
        self.pending.append((slot, number))
        self.ring.post(1, 0 if self.sends else DESC_F_WRITE)

    def bytes(self) -> bytes:
        return self.ring.memory.map[self.ring.at:self.ring.at + RING_SPACE]


def frame(number: int) -> bytes:
    return b"\x5a" * (FRAME - 4) + struct.pack("<I", number)


class World:
    """The guest, its front-end and the back-end, with the model that all of them are held to."""

    def __init__(self, program: Path, folder: Path):
        self.program, self.folder = program, folder
        self.memory = Memory((BUFFERS_AT + NR_RINGS * RING_BUFFERS), guest=1 << 20)
        self.dimm = Memory(1 << 16, guest=1 << 30, user=1 << 40)
        self.log_fd = os.memfd_create("vhostx-test-log", os.MFD_CLOEXEC)
        os.ftruncate(self.log_fd, LOG_SIZE)
        self.log = mmap.mmap(self.log_fd, LOG_SIZE)
        self.nr_starts = 0
        self.back: BackEnd | None = None
        self.front: FrontEnd | None = None
        self.start_back_end()
        self.begin()

    def start_back_end(self) -> None:
        self.nr_starts += 1
        self.path = self.folder / f"{self.nr_starts}.sock"
        self.back = BackEnd(self.program, self.folder / f"life-{self.nr_starts}.log",
                            f"server:{NR_RINGS}:{self.path}")
        self.nr_fds = self.back.nr_fds()

    def begin(self) -> None:
        """Nothing has happened yet."""
        self.model = Model(NR_RINGS)
        self.halves: list[Half | None] = [None] * NR_RINGS
        self.calls = [-1] * NR_RINGS
        self.number = 1
        self.nr_moved = 0
        self.mark = self.back.mark()
        self.is_synced = True

    def close(self) -> int:
        if self.front:
            self.front.close()
        for memory in (self.memory, self.dimm):
            memory.close()
        self.log.close()
        os.close(self.log_fd)
        return self.back.stop()

    # -- for the verbs --------------------------------------------------------------------------

    def region(self, name: str) -> bytes:
        if name == "dimm":
            return self.dimm.region()
        start, size = {"all": (0, None), "rings": (0, BUFFERS_AT), "buffers": (BUFFERS_AT, None)}[name]
        return self.memory.region(start, size)

    def file_of(self, name: str) -> int:
        return (self.dimm if name == "dimm" else self.memory).fd

    def eventfd(self, verb, ring: int) -> int:
        fd = self.front.own(make_eventfd())
        if verb is SetVringCall:
            self.calls[ring] = fd
        return fd

    # -- one step -------------------------------------------------------------------------------

    def take(self, step: Step) -> None:
        self._prepare(step)
        special = {Connect: self._connect, Disconnect: self._disconnect, Packets: self._packets, Renew: self._renew}
        is_bad = issubclass(step.verb, life_hostile.Bad)
        if step.verb in special:
            special[step.verb](*step.args)
        elif is_bad:
            self._say_bad(step)
        else:
            self._say(step)
        self.model.settle()
        if step.is_checked or is_bad or step.verb in special:
            self.check()

    def _sync(self) -> None:
        if not self.is_synced:
            self.front.sync()
        self.is_synced = True

    def _prepare(self, step: Step) -> None:
        """The driver sees to it that a ring makes sense before it starts."""
        ahead = copy.deepcopy(self.model)
        step.verb.note(ahead, *step.args)
        for ring in ahead.starts_next():
            told, packed = ahead.rings[ring], ahead.is_packed()
            if self.model.guest[ring].suits(told, packed):
                continue
            self._sync()
            place = told.base & 0xFFFF or PACKED_FRESH
            self._put(ring, GuestRing(told.place, told.num, packed, place if packed else 0,
                                      packed and place == PACKED_FRESH))

    def _put(self, ring: int, guest: GuestRing) -> None:
        self.model.guest[ring] = guest
        self.halves[ring] = Half(self.memory, ring, guest)

    def _say(self, step: Step) -> None:
        verb, front = step.verb, self.front
        payload, fds = verb.payload(self, *step.args)
        expected = verb.note(self.model, *step.args)
        if verb.asks:
            reply = front.ask(verb.request, payload, fds)
            assert verb.is_answer(self, expected, reply), f"the reply is {reply.hex()}, not {expected:#x}"
            self.is_synced = True
        elif step.ack and self.model.agreed(Protocol.REPLY_ACK):
            front.do(verb.request, payload, fds)
            self.is_synced = True
        else:
            front.send(verb.request, payload, fds)
            self.is_synced = False

    def _say_bad(self, step: Step) -> None:
        self._sync()
        if life_hostile.say(self, step):
            self._disconnect()

    def _connect(self, protocol: int | None) -> None:
        self.front = FrontEnd.connect(self.path)
        if protocol is not None:
            offered = self.front.ask_u64(Request.GET_PROTOCOL_FEATURES)
            assert protocol & ~offered & ~bits(Protocol.CONFIG) == 0
            self.front.send(Request.SET_PROTOCOL_FEATURES, struct.pack("=Q", protocol & offered))
        self.front.sync()
        Connect.note(self.model, protocol)

    def _disconnect(self) -> None:
        self.front.close()
        self.is_synced = True
        self.calls = [-1] * NR_RINGS
        Disconnect.note(self.model)
        self.back.wait_stage("listening")

    def _renew(self, ring: int) -> None:
        self._sync()
        old = self.model.guest[ring]
        self._put(ring, GuestRing(old.place, old.size, old.packed, PACKED_FRESH if old.packed else 0, old.packed))

    # -- packets --------------------------------------------------------------------------------

    def _packets(self, ring: int, nr_posted: int, nr_moved: int) -> None:
        self._sync()
        half, told = self.halves[ring], self.model.rings[ring]
        self._harvest()
        if half:
            for _ in range(min(nr_posted, half.ring.size - len(half.pending))):
                half.post(self._next_number())
        if self.calls[ring] >= 0:
            eventfd_count(self.calls[ring])
        if told.running:
            self._move(ring, min(nr_moved, len(half.pending)), nr_moved)
        else:
            self._move_nothing(ring, nr_moved)

    def _next_number(self) -> int:
        self.number += 1
        return self.number

    def _burst(self, ring: int, count: int) -> list[int]:
        """What the application moved: numbers."""
        if ring % 2:
            return self.back.pull(ring, count)
        first, self.number = self.number + 1, self.number + count
        return [first + i for i in range(self.back.push(ring, count, 0, first))]

    def _move_nothing(self, ring: int, count: int) -> None:
        half = self.halves[ring]
        before = half and half.bytes()
        assert not self._burst(ring, count), f"ring {ring} is stopped, and moved packets"
        assert not half or half.bytes() == before, f"ring {ring} is stopped, and something wrote to it"
        assert not self._harvest(), "marked as written, though nothing was"
        assert self.calls[ring] < 0 or eventfd_count(self.calls[ring]) == 0, f"an interrupt for stopped ring {ring}"

    def _move(self, ring: int, expected: int, asked: int) -> None:
        half, told = self.halves[ring], self.model.rings[ring]
        nr_before = half.ring.used_idx()
        moved = self._burst(ring, asked)
        assert len(moved) == expected, f"ring {ring} moved {len(moved)} of {expected} packets"
        after = half.ring.used_idx()
        assert (after - nr_before) & 0xFFFF == expected, f"ring {ring}: {after - nr_before} buffers came back"
        wrote = set()
        for i, number in enumerate(moved):
            slot, sent = half.pending.popleft()
            self._check_one(half, ring, (nr_before + i) & 0xFFFF, slot, sent, number)
            if not half.sends:
                wrote |= self._pages(half.ring.buffer_at(slot), HEADER + FRAME)
        if expected:
            self._check_marks(half, told, wrote)
            self._check_call(ring)
        self.model.moved(ring, expected)
        self.nr_moved += expected

    def _check_one(self, half, ring, entry, slot, sent, number) -> None:
        used, due = half.ring.used(entry), (slot, 0 if half.sends else HEADER + FRAME)
        assert used == due, f"ring {ring}: used {used}, not {due}"
        if half.sends:
            assert number == sent, f"ring {ring}: packet {number} came, not {sent}"
        else:
            at = half.ring.buffer_at(slot) + HEADER
            assert half.ring.memory.map[at:at + FRAME] == frame(number), f"ring {ring}: other bytes than were sent"

    def _check_call(self, ring: int) -> None:
        """Without EVENT_IDX, every burst that moved something interrupts."""
        if not self.model.has(Feature.EVENT_IDX) and self.model.rings[ring].has_call:
            assert eventfd_count(self.calls[ring]) == 1, f"ring {ring}: no interrupt"

    # -- the dirty log --------------------------------------------------------------------------

    def _pages(self, at: int, length: int) -> set[int]:
        start = self.memory.guest + at
        return set(range(start // PAGE, (start + length - 1) // PAGE + 1))

    def _harvest(self) -> set[int]:
        raw = self.log[:]
        self.log[:] = bytes(LOG_SIZE)
        return {8 * index + bit for index, byte in enumerate(raw) if byte for bit in range(8) if byte >> bit & 1}

    def _check_marks(self, half: Half, told, wrote: set[int]) -> None:
        seen = self._harvest()
        if not self.model.is_logging():
            assert not seen, "something was logged, though that was not agreed on"
            return
        assert wrote <= seen, f"pages {sorted(wrote - seen)} were written and not marked"
        ring_pages = self._pages(half.ring.at, RING_SPACE)
        assert seen <= wrote | ring_pages, f"pages {sorted(seen - wrote - ring_pages)} were marked and not written"
        assert bool(seen & ring_pages) == told.is_logged, "the used part is logged, or not, as SET_VRING_ADDR said"

    # -- everything else ------------------------------------------------------------------------

    def check(self) -> None:
        self._sync()
        port, *rings = self.back.ask_all("info 0", *(f"queue 0 {ring}" for ring in range(NR_RINGS)))
        self._check_port(port)
        self._check_rings(rings)
        self._check_events()

    def _check_rings(self, rings: list[dict]) -> None:
        for ring, (told, seen) in enumerate(zip(self.model.rings, rings)):
            at = self.model.base_of(ring) & (0x7FFF if self.model.is_packed() and told.running else 0xFFFF)
            expected = {"running": told.running, "started": told.started, "enabled": told.enabled, "size": told.num,
                        "avail_idx": at, "broken": False, "faults": {}}
            wrong = {key: (seen[key], value) for key, value in expected.items() if seen[key] != value}
            assert not wrong, f"ring {ring}: (it is, it should be) {wrong}"

    def _check_port(self, seen: dict) -> None:
        model = self.model
        expected = {"stage": model.stage(), "features": model.features or 0, "status": model.status,
                    "nr_regions": len(model.regions or ())}
        wrong = {key: (seen[key], value) for key, value in expected.items() if seen[key] != value}
        assert not wrong, f"the port: (it is, it should be) {wrong}: {seen['why']}"

    def _check_events(self) -> None:
        """The application heard of every change, once, and of nothing else."""
        raw = self.back.log(self.mark)
        self.mark += len(raw.encode())
        heard = [(int(ring) if ring else None, on == "1") for ring, on in _EVENT.findall(raw)]
        told, self.model.events = self.model.events, []
        for ring in (None, *range(NR_RINGS)):
            of_one = [[on for what, on in events if what == ring] for events in (heard, told)]
            name = "the port" if ring is None else f"queue {ring}"
            assert of_one[0] == of_one[1], f"events of {name}: (heard, due) {of_one}"

    def end(self) -> None:
        """Disconnect, and see that nothing is left."""
        if self.model.connected:
            self.take(Step(Disconnect, (), False, True))
        deadline = time.monotonic() + 2
        while self.back.nr_fds() != self.nr_fds and time.monotonic() < deadline:
            time.sleep(0.002)
        assert self.back.nr_fds() == self.nr_fds, "descriptors were left open"
        assert self.back.nr_mappings(MEMORY_NAME) == 0, "guest memory was left mapped"

    def recover(self) -> None:
        """After a failure nothing of it may touch the next history."""
        if self.front:
            self.front.close()
        self.back.stop()
        self.start_back_end()


# -- histories -------------------------------------------------------------------------------------


def draw_history(seed: int, length: int, verbs=None, weights=None) -> list[Step]:
    """`length` steps, most of them what a front-end would say next."""
    draw, model, steps = random.Random(seed), Model(NR_RINGS), []
    while len(steps) < length:
        step = draw_step(draw, model, verbs or VERBS, weights or WEIGHTS)
        if not step.verb.is_legal(model, *step.args):
            continue
        steps.append(step)
        step.verb.note(model, *step.args)
        if issubclass(step.verb, life_hostile.Bad) and life_hostile.is_the_end(model, step):
            model.disconnect()
        model.settle()
    return steps


def tell(world: World, steps: list[Step]) -> tuple[list[Step], Exception | None]:
    """The steps that were legal when their turn came, up to the one that failed; and how it failed."""
    world.begin()
    taken: list[Step] = []
    try:
        for step in steps:
            if step.verb.is_legal(world.model, *step.args):
                taken.append(step)
                world.take(step)
        world.end()
    except (AssertionError, OSError) as error:
        world.recover()
        return taken, error
    return taken, None


def shrink(world: World, steps: list[Step], error: Exception) -> tuple[list[Step], Exception]:
    """Leave out what it fails without, larger pieces first."""
    deadline = time.monotonic() + _SHRINK_SECONDS
    size = max(len(steps) // 2, 1)
    while size and time.monotonic() < deadline:
        start = 0
        while start < len(steps) and time.monotonic() < deadline:
            taken, failed = tell(world, steps[:start] + steps[start + size:])
            if failed:
                steps, error = taken, failed
            else:
                start += size
        size //= 2
    return steps, error


def report(seed: int, steps: list[Step], error: Exception) -> str:
    lines = [f"{number:4}  {step}" + ("" if step.is_checked else "   (and at once)")
             for number, step in enumerate(steps, 1)]
    return "\n".join([f"VHOSTX_SEED={seed} makes this history; the shortest part of it that fails:", *lines,
                      f"  ->  {error}"])
