# SPDX-License-Identifier: BSD-3-Clause
"""What a device must be after any legal history of messages: written from the protocol, not from our code.

Nothing here talks to anybody. A Model is told what the front-end says; it knows what runs, where each ring
stands, how far the port has come, and which events an application must have heard of.
"""

from dataclasses import dataclass, field

from frontend import Feature, Protocol, Status, bits

VITAL_RINGS = 2  # a network device is up when its first pair is
PACKED_FRESH = 0x8000


@dataclass
class RingModel:
    """What a ring was told, and what follows from that."""

    num: int = 0
    place: int | None = None  # where its addresses are
    is_logged: bool = False
    base: int = 0
    started: bool = False
    enabled: bool = False
    has_call: bool = False
    running: bool = False
    at: int = 0  # next slot and wrap counter (packed), or next index; while it runs

    def is_set_up(self) -> bool:
        return bool(self.num) and self.place is not None and self.started


@dataclass
class GuestRing:
    """What is in the guest's memory where a ring is: the driver's view of it."""

    place: int | None = None
    size: int = 0
    packed: bool = False
    at: int = 0  # the next one that the device uses, as RingModel.at
    is_fresh: bool = False  # packed: no slot was ever used

    def suits(self, told: RingModel, packed: bool) -> bool:
        """Does it make sense to a device that goes on as it was told?"""
        if (self.place, self.size, self.packed) != (told.place, told.num, packed):
            return False
        if not packed:
            return True  # the used index is in the ring
        return told.base & 0xFFFF == self.at or (told.base == 0 and self.is_fresh)


@dataclass
class Model:
    """A device, its rings, and the guest's rings, which outlive connections."""

    nr_rings: int
    has_protocol: bool = False  # the front-end knows protocol features
    protocol: int = 0
    connected: bool = False
    features: int | None = None
    status: int = 0
    regions: frozenset | None = None  # names of the regions shared; None: no table yet
    has_log: bool = False
    rings: list[RingModel] = field(default_factory=list)
    guest: list[GuestRing] = field(default_factory=list)
    running: bool = False
    events: list[tuple] = field(default_factory=list)  # (ring or None, is it usable now)

    def __post_init__(self):
        self.rings = [RingModel() for _ in range(self.nr_rings)]
        self.guest = [GuestRing() for _ in range(self.nr_rings)]

    # -- what it says of itself -----------------------------------------------------------------

    def has(self, feature: int) -> bool:
        return self.features is not None and bool(self.features & bits(feature))

    def agreed(self, feature: int) -> bool:
        return bool(self.protocol & bits(feature))

    def is_packed(self) -> bool:
        return self.has(Feature.RING_PACKED)

    def driver_ready(self) -> bool:
        if self.features is None:
            return False
        return not self.agreed(Protocol.STATUS) or bool(self.status & Status.DRIVER_OK)

    def is_at_work(self, ring: int) -> bool:
        """Its size and index are not to be changed."""
        told = self.rings[ring]
        return told.started and told.enabled and self.driver_ready()

    def any_started(self) -> bool:
        return any(ring.started for ring in self.rings)

    def is_logging(self) -> bool:
        return self.has(Feature.LOG_ALL) and self.has_log

    def has_rings_memory(self) -> bool:
        return self.regions is not None and bool(self.regions & {"all", "rings"})

    def has_buffers_memory(self) -> bool:
        return self.regions is not None and bool(self.regions & {"all", "buffers"})

    def obstacle(self, ring: int) -> bool:
        """Something of what it was told cannot be."""
        told = self.rings[ring]
        if self.is_packed():
            if told.base & 0x7FFF >= told.num:
                return True
        elif told.num & (told.num - 1):
            return True
        if told.is_logged and self.has(Feature.LOG_ALL) and not self.has_log:
            return True
        return not self.has_rings_memory()

    def wanted(self, ring: int) -> bool:
        told = self.rings[ring]
        return told.is_set_up() and told.enabled and self.regions is not None and self.driver_ready()

    def is_ready(self, ring: int) -> bool:
        """As far as setting it up goes. What cannot be shows when the ring is to run, not earlier."""
        told = self.rings[ring]
        fails = self.wanted(ring) and self.obstacle(ring) and not told.running
        return told.is_set_up() and not fails

    def stage(self) -> str:
        """How far it has come."""
        ready = [self.is_ready(ring) for ring in range(self.nr_rings)]
        if not self.connected:
            return "listening"
        if self.features is None:
            return "connected"
        if self.regions is None:
            return "features"
        if not all(ready[:VITAL_RINGS]):
            return "rings" if any(ready) else "memory"
        if not all(told.enabled for told in self.rings[:VITAL_RINGS]):
            return "rings"
        return "running" if self.driver_ready() else "enabled"

    def base_of(self, ring: int) -> int:
        """What GET_VRING_BASE must say."""
        told = self.rings[ring]
        if not told.running:
            return told.base
        return told.at | told.at << 16 if self.is_packed() else told.at

    # -- what follows ---------------------------------------------------------------------------

    def starts_next(self) -> list[int]:
        """Rings that settle() would start."""
        return [ring for ring, told in enumerate(self.rings)
                if self.wanted(ring) and not told.running and not self.obstacle(ring)]

    def settle(self) -> None:
        """After each message: what must run does, and nothing else."""
        starting = self.starts_next()
        for ring, told in enumerate(self.rings):
            if told.running and not (self.wanted(ring) and self.has_rings_memory()):
                self.stop(ring)
            elif ring in starting:
                self._start(ring)
        is_up = all(told.running for told in self.rings[:VITAL_RINGS])
        if is_up != self.running:
            self.running = is_up
            self.events.append((None, is_up))

    def _start(self, ring: int) -> None:
        told, guest = self.rings[ring], self.guest[ring]
        told.running, told.at = True, guest.at
        if self.is_packed():
            told.at = told.base & 0xFFFF
            if told.base == 0 and guest.is_fresh:
                told.at = PACKED_FRESH
            guest.at = told.at
        self.events.append((ring, True))

    def stop(self, ring: int) -> None:
        told = self.rings[ring]
        if told.running:
            told.base = self.base_of(ring)
            told.running = False
            self.events.append((ring, False))

    def moved(self, ring: int, count: int) -> None:
        """So many packets went through."""
        told, guest = self.rings[ring], self.guest[ring]
        if guest.packed:
            slot = (told.at & 0x7FFF) + count
            laps, slot = divmod(slot, guest.size)
            told.at = slot | (told.at & 0x8000) ^ (0x8000 if laps % 2 else 0)
        else:
            told.at = (told.at + count) & 0xFFFF
        guest.at = told.at
        guest.is_fresh = guest.is_fresh and not count

    # -- messages that do more than to be noted -------------------------------------------------

    def connect(self, has_protocol: bool) -> None:
        self.connected, self.has_protocol = True, has_protocol

    def disconnect(self) -> None:
        self.reset()
        self.connected = self.has_protocol = self.has_log = False
        self.protocol = 0
        self.regions = None
        for told in self.rings:
            told.has_call = False

    def reset(self) -> None:
        """RESET_DEVICE: as it was when the front-end connected; memory and descriptors stay."""
        for ring, told in enumerate(self.rings):
            self.stop(ring)
            self.rings[ring] = RingModel(has_call=told.has_call)
        self.features, self.status = None, 0

    def set_features(self, features: int) -> None:
        self.features = features
        if not features & bits(Feature.PROTOCOL_FEATURES):
            for told in self.rings:
                told.enabled = True

    def get_base(self, ring: int) -> int:
        """The answer; the ring is stopped, and its addresses are forgotten."""
        base = self.base_of(ring)
        self.stop(ring)
        self.rings[ring].started, self.rings[ring].place = False, None
        return base
